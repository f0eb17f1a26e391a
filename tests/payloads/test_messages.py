"""
Messages of known shapes as data and as text.
"""

from types import SimpleNamespace
from typing import Any

import pytest

from instrument._payloads.turns import turns_in, written


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
