"""
What the `Event` of each kind carries, and what it costs.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest

from instrument import callbacks, current_run, traced
from instrument.testing import Recorder

Called = Callable[..., Awaitable[Any]]


pytestmark = pytest.mark.anyio


every_mode = ("sync", "async", "generator", "async generator")


@pytest.mark.rule(15, *every_mode)
async def test_payload_is_made_for_nobody(called: Called) -> None:
    """
    Where no handler has a method for an event, its payload is not even looked at.
    """
    asked: list[str] = []

    def inputs(*args: Any, **kwargs: Any) -> dict[str, Any]:
        asked.append("inputs")
        return {}

    with callbacks(on_chain_end=lambda: None):
        await called(traced(inputs=inputs), lambda: None)
    assert asked == []

    with callbacks(on_chain_start=lambda: None):
        await called(traced(inputs=inputs), lambda: None)
    assert asked == ["inputs"]


@pytest.mark.rule(15, "sync", "async")
async def test_payload_is_not_copied_deep(called: Called) -> None:
    """
    What stands in containers is passed as it is: the same objects, no text of them.
    """

    class Costly:
        def __repr__(self) -> str:
            raise AssertionError("serialised")

        def __deepcopy__(self, memo: object) -> Any:
            raise AssertionError("copied")

    payload, recorder = Costly(), Recorder()

    with callbacks(recorder):
        await called(traced(inputs=lambda x: {"x": x}), lambda x: [x], payload)

    assert recorder.runs[0].inputs["x"] is payload
    assert recorder.runs[0].outputs[0] is payload


@pytest.mark.rule(15, "generator", "async generator")
async def test_generator_outputs_are_capped(called: Called) -> None:
    """
    The outputs of a long generator are its first thousand items, and say so.
    """
    recorder = Recorder()

    @traced("sync")
    def numbers() -> Iterator[int]:
        yield from range(1_500)

    @traced("async")
    async def anumbers() -> AsyncIterator[int]:
        for number in range(1_500):
            yield number

    with callbacks(recorder):
        list(numbers())
        _ = [number async for number in anumbers()]

    for run in recorder.runs:
        assert run.outputs[:1_000] == list(range(1_000))
        assert run.outputs[1_000:] == ["… 500 more items"]


@pytest.mark.rule(15, "sync")
def test_event_data_of_every_kind() -> None:
    """
    The `Event` of each start and end has the keys of the design.
    """
    recorder = Recorder()

    with callbacks(recorder):
        for kind in ("chain", "tool", "retriever", "embedding", "llm", "chat_model"):
            traced(kind=kind, model="m", provider="p")(lambda q: [[0.5, 0.5]])("q")

    model = {"model": "m", "provider": "p", "params": {}}
    starts = [event.data for event in recorder.events[::2]]
    assert starts == [
        {"inputs": {"q": "q"}},
        {"inputs": {"q": "q"}},
        {"query": "q"},
        {"texts": ["q"]},
        {"prompts": ["q"], **model},
        {"messages": [{"role": "user", "content": "q"}], **model},
    ]
    ends = [set(event.data) for event in recorder.events[1::2]]
    told = {"usage", "status", "duration_s", "time_to_first_token_s"}
    answer = {"text", "tool_calls", "model", "finish_reason"}
    assert ends[0] == told | {"outputs"}
    assert ends[1] == told | {"output"}
    assert ends[2] == told | {"documents"}
    assert ends[3] == told | {"vectors"}
    assert ends[4] == ends[5] == told | answer
    assert recorder.events[7].data["vectors"] == {"count": 1, "size": 2}


@pytest.mark.parametrize("vectors", [None, 3, [], [1, 2], {"a": 1}])
@pytest.mark.rule(15, "sync")
def test_vectors_of_unknown_shape(vectors: Any) -> None:
    """
    Vectors of no known shape are told as none; none at all have no size.
    """
    recorder = Recorder()

    with callbacks(recorder):
        traced.embedding(lambda: vectors)()

    expected = {"count": 0, "size": 0} if vectors == [] else None
    assert recorder.events[-1].data["vectors"] == expected


@pytest.mark.rule(15, "sync")
def test_error_data() -> None:
    """
    The `Event` of a failure says type, message, status and origin.
    """

    class NoMessageError(Exception):
        def __str__(self) -> str:
            raise ValueError

    def fail() -> None:
        raise NoMessageError

    recorder = Recorder()
    with callbacks(recorder), pytest.raises(NoMessageError):
        traced(fail)()

    data = recorder.events[-1].data
    assert data["type"].endswith("NoMessageError")
    assert data["message"] == "<no message: str raised ValueError>"
    assert (data["status"], data["origin"]) == ("error", True)
    assert "outputs" not in data


@pytest.mark.rule(15, "sync")
def test_inputs_are_of_the_call() -> None:
    """
    What a body does with its lists afterwards does not show in what was heard.
    """
    recorder = Recorder()

    @traced
    def consume(items: list[int]) -> Any:
        items.clear()
        return current_run().inputs

    with callbacks(recorder):
        inputs = consume([1, 2])

    assert inputs == {"items": [1, 2]}
