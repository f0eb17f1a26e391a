"""
Answers and messages with more parts than any model gives, and calls that hold one thing
many times: the call they come in does not wait for that.
"""

import io
import sys
from collections.abc import Callable
from typing import Any

import pytest

from instrument import callbacks, traced
from instrument._payloads.answers import Answer, answer_of, take
from instrument.handlers import StdOutCallbackHandler
from instrument.testing import Recorder

MANY = 12_000
MOST_CALLS = 3_000_000
"""Of Python's functions: what looks at each of so many parts takes more."""
pydantic = pytest.importorskip("pydantic")


class Given(pydantic.BaseModel):  # type: ignore[misc, name-defined]
    """
    Arguments as a model of pydantic.
    """

    a: Any = None
    b: Any = None


def held_often(make: Callable[[Any], Any]) -> Any:
    """
    Give what holds one thrice that holds one thrice ...
    """
    value: Any = 1
    for _ in range(30):
        value = make(value)
    return value


def calls_in(act: Callable[[], object]) -> int:
    """
    Count the functions that are called meanwhile.
    """
    count, profiled = 0, sys.getprofile()

    def hear(_: object, event: str, __: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    try:
        sys.setprofile(hear)
        act()
    finally:
        sys.setprofile(profiled)
    return count


def calls() -> list[dict[str, Any]]:
    """
    Write many calls of a tool.
    """
    function = {"name": "f", "arguments": "{}"}
    return [{"id": str(it), "index": it, "function": function} for it in range(MANY)]


PARTS: list[Any] = [{"type": "text", "text": "x"}]
CALLED = {"name": "f", "args": {}}
LARGE: dict[str, Callable[[], Any]] = {
    "whole calls": lambda: {"choices": [{"message": {"tool_calls": calls()}}]},
    "calls beside a text": lambda: {"content": "x", "tool_calls": calls()},
    "calls of LangChain": lambda: {"type": "ai", "content": "", "tool_calls": calls()},
    "pieces of LangChain": lambda: {
        "type": "AIMessageChunk",
        "tool_call_chunks": [{**it, "name": "f", "args": "{}"} for it in calls()],
    },
    "calls of Gemini": lambda: {
        "candidates": [{"content": {"parts": [{"function_call": CALLED}] * MANY}}]
    },
    "blocks": lambda: {"choices": [{"message": {"content": PARTS * 300_000}}]},
    "numbers": lambda: {"choices": [{"message": {"content": [1] * 300_000}}]},
    "choices of blocks": lambda: {
        "choices": [{"message": {"content": PARTS * 1_000}}] * 300
    },
}


@pytest.mark.parametrize("name", LARGE)
def test_whole_answer(name: str) -> None:
    """
    What an answer holds very many times is looked at ten thousand times.
    """
    answer = LARGE[name]()
    model: Any = traced.chat_model(lambda asked: answer)

    def ask() -> None:
        with callbacks(Recorder()):
            assert (model("q") is answer) is True

    assert calls_in(ask) < MOST_CALLS


def test_what_is_left_out_is_said() -> None:
    """
    Behind what was read of the text stands how many parts there are more.
    """
    read = answer_of({"choices": [{"message": {"content": PARTS * 10_007}}]})

    assert read.text == "x" * 9_999 + "… 8 more parts"  # a choice is one


def test_streamed_calls() -> None:
    """
    Many calls in a stream are found by their index, as few are.
    """
    answer = Answer()

    def read() -> None:
        more = {"index": 3, "function": {"arguments": " "}}
        for call in [*calls()[:4_000], more]:
            take(answer, {"choices": [{"index": 0, "delta": {"tool_calls": [call]}}]})

    assert calls_in(read) < MOST_CALLS
    assert len(answer.tool_calls) == 4_000
    assert answer._calls[(3,)].pieces == ["{}", " "]


def test_arguments_in_many_pieces() -> None:
    """
    A text that Gemini tells in many pieces is put together.
    """
    part = {"json_path": "$.a", "string_value": "x" * 1_000}
    call = {"name": "f", "partial_args": [part] * 900}
    told = {"candidates": [{"content": {"parts": [{"function_call": call}]}}]}

    (read,) = answer_of(told).tool_calls

    assert read["arguments"]["a"] == "x" * 900_000


def test_a_path_without_an_end() -> None:
    """
    A path into arguments that no object has is not gone along.
    """
    part = {"json_path": "$.a" + "[999]" * 10_000, "string_value": "x"}
    call = {"name": "f", "partial_args": [part]}
    told = {"candidates": [{"content": {"parts": [{"function_call": call}]}}]}

    assert answer_of(told).tool_calls == [{"id": None, "name": "f", "arguments": {}}]


@pytest.mark.parametrize(
    "make",
    [
        lambda held: [held, held, held],
        lambda held: (held, held, held),
        lambda held: Given.model_construct(a=held, b=[held, held]),
    ],
    ids=["list", "tuple", "model"],
)
def test_arguments_that_hold_one_often(make: Callable[[Any], Any]) -> None:
    """
    Arguments of a call that hold one thing thrice at each level are told in a moment.
    """
    use = {"type": "tool_use", "id": "1", "name": "f", "input": held_often(make)}
    answer = {"content": [use], "stop_reason": "tool_use"}
    recorder = Recorder()

    def ask() -> None:
        with callbacks(recorder):
            traced.chat_model(lambda asked: answer)("q")

    assert calls_in(ask) < MOST_CALLS
    assert [it["name"] for it in recorder.events[-1].data["tool_calls"]] == ["f"]


def test_a_delta_without_a_place() -> None:
    """
    A call whose pieces have no index is followed by others.
    """
    answer = Answer()
    delta = {"type": "content_block_delta", "delta": {"partial_json": "{}"}}

    take(answer, delta)
    take(answer, {"content": "x", "tool_calls": calls()[:1]})

    assert [it["arguments"] for it in answer.tool_calls] == [{}, {}]


ASKED: dict[str, Callable[[], Any]] = {
    "numbers": lambda: [{"role": "user", "content": [1] * 300_000}],
    "parts": lambda: [{"role": "user", "content": PARTS * 300_000}],
    "one conversation": lambda: [{"role": "user", "content": PARTS * 1_000}] * 300,
    "results": lambda: [
        {"content": [{"type": "tool_result", "content": PARTS * 1_000}] * 1_000}
    ],
}


@pytest.mark.parametrize("name", ASKED)
def test_messages(name: str) -> None:
    """
    Messages with very many parts are told as they are, and cut where a record is.
    """
    asked, recorder = ASKED[name](), Recorder()
    model: Any = traced.chat_model(lambda messages: "Rome")

    def ask() -> None:
        with callbacks(recorder, StdOutCallbackHandler(file=io.StringIO())):
            assert model(asked) == "Rome"

    assert calls_in(ask) < MOST_CALLS
    assert recorder.events[0].data["messages"]
