"""
What a body sets itself, ``current_run().outputs`` and ``.inputs``, wins.
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest

from instrument import callbacks, current_run, traced
from instrument.testing import Recorder

Called = Callable[..., Awaitable[Any]]

pytestmark = pytest.mark.anyio


def by_hand(value: object) -> str:
    """
    Set both, and return something else.
    """
    current_run().inputs = {"value": "by hand"}
    current_run().outputs = ["by hand"]
    return "returned"


@pytest.mark.rule(15, "sync", "async", "generator", "async generator")
@pytest.mark.parametrize("outputs", [None, False, lambda value: "chosen"])
async def test_what_a_body_sets_wins(called: Called, outputs: Any) -> None:
    """
    It wins over what the body took and gives, and over ``outputs=``.
    """
    recorder = Recorder()

    with callbacks(recorder):
        await called(traced("x", outputs=outputs), by_hand, 1)

    (run,) = recorder.runs
    assert (run.inputs, run.outputs) == ({"value": "by hand"}, ["by hand"])
    assert recorder.events[-1].data["outputs"] == ["by hand"]


@pytest.mark.rule(15, "sync", "async", "generator", "async generator")
async def test_what_a_failing_body_sets_stays(called: Called) -> None:
    """
    It is told with the error too.
    """
    recorder = Recorder()

    def fail(value: object) -> None:
        by_hand(value)
        raise ZeroDivisionError

    with callbacks(recorder), suppress(ZeroDivisionError):
        await called(traced("x"), fail, 1)

    assert recorder.runs[0].outputs == ["by hand"]
    assert recorder.events[-1].data["outputs"] == ["by hand"]


@pytest.mark.rule(15, "sync", "async", "generator", "async generator")
@pytest.mark.parametrize("kind", ["llm", "chat_model"])
@pytest.mark.parametrize("outputs", [None, False, lambda value: "chosen"])
@pytest.mark.parametrize("is_failing", [False, True])
async def test_what_a_models_body_sets_is_told(
    called: Called, kind: str, outputs: Any, is_failing: bool
) -> None:
    """
    It is the answer that a model's end tells, or its error.
    """
    recorder = Recorder()

    def work(value: object) -> str:
        current_run().outputs = "by hand"
        if is_failing:
            raise ZeroDivisionError
        return "returned"

    with callbacks(recorder), suppress(ZeroDivisionError):
        await called(traced("x", kind=kind, outputs=outputs), work, "Hi")

    assert recorder.runs[0].outputs == "by hand"
    assert recorder.events[-1].data["text"] == "by hand"


def test_none_by_hand() -> None:
    """
    Also that it is None, and what was set last.
    """
    recorder = Recorder()

    @traced
    def hides() -> str:
        current_run().outputs = "first"
        current_run().outputs = None
        return "secret"

    with callbacks(recorder):
        hides()

    assert recorder.runs[0].outputs is None


def test_answer_by_hand() -> None:
    """
    Of a model's answer the text is what was set, usage and model what was returned.
    """
    recorder = Recorder()

    @traced.chat_model
    def ask(messages: list[str], temperature: float = 0) -> dict[str, Any]:
        current_run().inputs = [["asked by hand"]]
        current_run().outputs = "by hand"
        return {
            "model": "m-1",
            "choices": [{"message": {"role": "assistant", "content": "hello"}}],
            "usage": {"prompt_tokens": 3, "completion_tokens": 5},
        }

    with callbacks(recorder):
        ask(["hi"], temperature=1)

    (run,) = recorder.runs
    assert (run.outputs, run.model, run.usage.input_tokens) == ("by hand", "m-1", 3)
    assert (run.inputs, run.params) == ([["asked by hand"]], {"temperature": 1})
    assert recorder.events[-1].data["text"] == "by hand"


def test_by_hand_is_redacted() -> None:
    """
    What a body sets is masked, or dropped, as what it returns would be.
    """
    recorder = Recorder()

    @traced
    def work() -> None:
        current_run().inputs = {"password": "enigma"}
        current_run().outputs = {"password": "enigma"}

    with callbacks(recorder, redact=["password"]):
        work()
    with callbacks(recorder, capture=False):
        work()

    shown = [(run.inputs, run.outputs) for run in recorder.runs]
    masked = {"password": "[redacted]"}
    assert shown == [(masked, masked), (None, None)]


def test_by_hand_outside_any_run() -> None:
    """
    Where there is no run, what is set is dropped.
    """
    run = current_run()

    run.inputs = run.outputs = "by hand"
    told: list[object] = [run.inputs, run.outputs]

    assert told == [None, None]
