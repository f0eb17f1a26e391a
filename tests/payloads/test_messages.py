"""
Messages of known shapes as data and as text.
"""

import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from instrument import callbacks, traced
from instrument._payloads.turns import turns_in, turns_of, written
from instrument.testing import Recorder


def as_object(value: Any) -> Any:
    """
    Turn dicts into objects with attributes, at every level.
    """
    if isinstance(value, dict):
        return SimpleNamespace(**{key: as_object(item) for key, item in value.items()})
    return [as_object(item) for item in value] if isinstance(value, list) else value


LANGCHAIN = {
    "type": "ai",
    "content": "Hi",
    "tool_calls": [],
    "response_metadata": {"model_name": "gpt-x", "finish_reason": "stop"},
    "usage_metadata": {
        "input_tokens": 10,
        "output_tokens": 5,
        "input_token_details": {"cache_read": 4, "cache_creation": 1},
        "output_token_details": {"reasoning": 2},
    },
}


CALL = {"id": "1", "name": "clock", "arguments": {"zone": "UTC"}}
LANGCHAIN_CALL = {"id": "1", "name": "clock", "args": {"zone": "UTC"}}
OPENAI_CALL = {
    "id": "1",
    "function": {"name": "clock", "arguments": '{"zone": "UTC"}'},
}


MESSAGES = [
    ("Hi", {"role": "user", "content": "Hi"}),
    (("system", "Be brief"), {"role": "system", "content": "Be brief"}),
    (["human", "Hi"], {"role": "user", "content": "Hi"}),
    ({"role": "user", "content": "Hi"}, {"role": "user", "content": "Hi"}),
    (as_object(LANGCHAIN), {"role": "assistant", "content": "Hi"}),
    (
        {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]},
    ),
    (
        {"type": "ai", "content": "", "tool_calls": [LANGCHAIN_CALL, OPENAI_CALL]},
        {"role": "assistant", "content": "", "tool_calls": [CALL, CALL]},
    ),
    (3, {"role": "unknown", "content": 3}),
]


@pytest.mark.parametrize("message, data", MESSAGES, ids=range(len(MESSAGES)))
def test_messages(message: Any, data: dict[str, Any]) -> None:
    """
    A message of any shape becomes role, content and tool calls.
    """
    assert turns_in(message) == [data]


def test_conversation_as_text() -> None:
    """
    A conversation is written a line a message; only its text counts.
    """
    image = {"type": "image_url", "image_url": "x"}
    conversation = [
        ("system", "Be brief"),
        {
            "role": "user",
            "content": [{"type": "text", "text": "Look: "}, image, "here"],
        },
        {"role": "tool", "content": None},
    ]

    assert written(conversation) == "System: Be brief\nUser: Look: here\nTool: "


def test_slot_where_nothing_is() -> None:
    """
    A slot of a message in which nothing was put is read as none.
    """

    class Message:
        __slots__ = ("content", "role", "tool_calls")

        def __init__(self) -> None:
            self.role, self.content = "user", "hi"

    assert turns_in(Message()) == [{"role": "user", "content": "hi"}]


def calls_made(act: Callable[[], object]) -> int:
    """
    Count what *act* calls.
    """
    made = 0

    def count(*_: object) -> None:
        nonlocal made
        made += 1

    sys.setprofile(count)
    try:
        act()
    finally:
        sys.setprofile(None)
    return made


class Compared(str):
    """
    A text that counts how often it is compared.
    """

    __slots__ = ()
    times = 0
    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        Compared.times += 1
        return str.__eq__(self, other)


def test_calls_beside_the_content() -> None:
    """
    Calls that stand in the content and beside it are told once, and not each compared
    with each.
    """
    use = {"type": "tool_use", "name": "f", "input": {}}
    blocks = [{**use, "id": Compared(f"a{number}")} for number in range(100)]
    calls = [{"id": f"b{number}", "args": {}, "name": "f"} for number in range(100)]
    beside = [{"id": "a1", "args": {}, "name": "f"}, *calls]

    (turn,) = turns_of([{"role": "ai", "content": blocks, "tool_calls": beside}])

    assert len(turn["tool_calls"]) == 200
    assert Compared.times < 200


def test_more_messages_than_are_told() -> None:
    """
    Of a conversation longer than a record no more is looked at, and how much is said.
    """
    given = [{"role": "user", "content": "Hi"}, *range(40_000)]

    made = calls_made(lambda: turns_of(given))
    turns = turns_of(given)

    assert turns[:2] == [given[0], {"role": "unknown", "content": 0}]
    assert turns[-1] == {"role": "unknown", "content": "… 7,001 more messages"}
    assert made < 5 * len(turns)


def test_more_documents_than_are_told() -> None:
    """
    Of more documents than a record has room for the rest is not looked at.
    """
    given = [SimpleNamespace(page_content="a", metadata={})] * 40_000
    recorder = Recorder()

    with callbacks(recorder):
        made = calls_made(traced.retriever(lambda: given))

    told = recorder.events[-1].data["documents"]
    assert len(told) == 40_000
    assert told[0] == {"page_content": "a", "metadata": {}}
    assert made < 45 * 33_000


def test_message_of_more_parts_than_are_told() -> None:
    """
    A message of more parts than are written in one shape is told as it is.
    """
    message = {"role": "user", "parts": [{"text": "a"}] * 10_001}

    assert turns_in(message) == [{"role": "user", "content": message}]


def test_interrupt_while_a_message_is_read() -> None:
    """
    What interrupts the program while a key is compared is no failure of the message.
    """

    class Slow(str):
        __slots__ = ()
        __hash__ = str.__hash__

        def __eq__(self, other: object) -> bool:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        turns_in({Slow("role"): "user", "content": "Hi"})
