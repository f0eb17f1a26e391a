"""
Values in one line, for a person: what went in and what came out.
"""

import dataclasses
import datetime as dt
import decimal
import enum
import pathlib
import uuid
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instrument._payloads.names import MASK
from instrument.handlers._shared.said import read_message
from instrument.handlers._shared.style import Marks, cells
from instrument.handlers._shared.values import (
    arguments,
    came_out,
    counted_error,
    counted_text,
    value,
    went_in,
)

MARKS = Marks()


@dataclasses.dataclass
class Order:
    """
    An object with fields.
    """

    number: int
    lines: Any = None


class Colour(enum.Enum):
    """
    An enumeration.
    """

    RED = "red"
    PAIR = (1, 2)


class Text(enum.StrEnum):
    """
    An enumeration whose members are text.
    """

    ONE = "one"


class Broken:
    """
    An object that cannot be shown.
    """

    def __repr__(self) -> str:
        raise ValueError("broken")


class Plain:
    """
    An object without fields that are told.
    """

    def __repr__(self) -> str:
        return "Plain(password='hunter2', city='Rome')"


def written(given: object) -> str:
    """
    Write a value whole.
    """
    return "".join(value(given, MARKS))


def into(**data: Any) -> str:
    """
    Write what went in.
    """
    return "".join(went_in(data, MARKS))


def out_of(**data: Any) -> str:
    """
    Write what came out.
    """
    return "".join(came_out(data, MARKS))


RELEASED = memoryview(b"abc")
RELEASED.release()
VALUES: list[Any] = [
    ("How is it\nin Rome?", r"'How is it\nin Rome?'"),
    ("It's", '"It\'s"'),
    ("a\"b'c\\", "'a\"b\\'c\\\\'"),
    ("\x1b[31m\u202e", r"'\x1b[31m\u202e'"),
    ("👩\u200d👧", "'👩\u200d👧'"),
    (1, "1"),
    pytest.param(10**5000, "<int of 16,610 bits>", id="long"),
    (0.1 + 0.2, "0.3"),
    (2.0, "2.0"),
    (float("nan"), "nan"),
    (True, "True"),
    (None, "None"),
    ({}, "{}"),
    ({"a": 1, "b": {"c": 1, "d": 2}}, "{'a': 1, 'b': {2 keys}}"),
    ({"a": 1, "b": {}, "c": 3, "d": 4}, "{'a': 1, 'b': {}, 'c': 3, …}"),
    ([], "[]"),
    ([1, 2, 3], "[1, 2, 3]"),
    ([1, 2, 3, 4], "[4 items]"),
    (["x" * 30], "[1 item]"),
    ([{}], "[1 item]"),
    ((), "()"),
    ((1,), "(1,)"),
    ((1, 2), "(1, 2)"),
    (set(), "set()"),
    ({1}, "{1}"),
    (list(range(214)), "[214 items]"),
    ([*"a" * 1000, "… 5 more items"], "[1,000 items of more]"),
    (["… 5 more items"], "['… 5 more items']"),
    (b"x" * 2_400_000, "<bytes, 2.4 MB>"),
    (bytearray(10), "<bytearray, 10 B>"),
    (memoryview(b"abc"), "<memoryview, 3 B>"),
    pytest.param(RELEASED, "<unreadable memoryview>", id="released"),
    (dt.date(2026, 11, 28), "2026-11-28"),
    (decimal.Decimal("1.50"), "1.50"),
    (pathlib.PurePosixPath("/a/b"), "/a/b"),
    (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    (Colour.RED, "red"),
    (Colour.PAIR, "(1, 2)"),
    (Text.ONE, "'one'"),
    (Order(1), "Order(number=1, lines=None)"),
    (Order(1, Order(2)), "Order(number=1, lines=Order(…))"),
    ([Order(1)], "[1 item]"),
    (Broken(), "<unreadable Broken>"),
    (Plain(), "Plain(password=[redacted], city='Rome')"),
    (ValueError("bad"), "ValueError('bad')"),
    ({1: {"a": 1}}, "{1: {1 key}}"),
    ({Order: 1}, "{" + repr(Order) + ": 1}"),
]


@pytest.mark.parametrize("given, text", VALUES)
def test_value(given: object, text: str) -> None:
    """
    A value is written as Python would, but short, safe, and on one line.
    """
    assert written(given) == text


def test_array() -> None:
    """
    An array is told by its shape and type.
    """
    numpy = pytest.importorskip("numpy")

    assert written(numpy.zeros((3, 1536), "float32")) == "<ndarray 3x1536 float32>"
    assert written(numpy.zeros(())) == "<ndarray of one float64>"
    assert written(numpy.float64(0.5)) == "0.5"


def test_message_of_more_parts_than_are_shown() -> None:
    """
    Of a message of very many parts the rest is counted.
    """
    said = read_message({"role": "user", "content": [{"type": "image"}] * 1_500})

    assert said.parts == [*["<image>"] * 1_000, "<500 more parts>"]


def test_arguments() -> None:
    """
    Arguments are told by name; what is usually secret is masked unasked, and what the
    application has masked is bare, so that no text looks like it.
    """
    given = {"city": "Rome", "days": 14, "api_key": "s3cret", "user": MASK}

    assert "".join(arguments(given, MARKS)) == (
        "city='Rome', days=14, api_key=[redacted], user=[redacted]"
    )
    assert "".join(arguments({"x": "[redacted" + "]"}, MARKS)) == "x='[redacted]'"
    assert "".join(arguments({1: 2, None: 3}, MARKS)) == "1=2, null=3"
    assert "".join(arguments({Order(1).__class__: 3}, MARKS)) == "type=3"


SECRETS = [
    {"headers": "x", "Authorization": "Bearer s3cret"},
    ("set-cookie", "s3cret"),
    ["x-api-key", "s3cret"],
    '{"db_password": "s3cret", "b": 1}',
    '["a", {"access_token": "s3cret',
    SimpleNamespace(clientSecret="s3cret"),
    [["cookie", "s3cret"]],
    {"a": {"password": "s3cret"}},
    {"role": "tool", "content": '{"refresh_token": "s3cret"}'},
]


@pytest.mark.parametrize("given", SECRETS)
def test_secrets(given: object) -> None:
    """
    What is usually secret is told nowhere, in whatever it is held.
    """
    assert "s3cret" not in written(given)
    assert "s3cret" not in into(inputs={"x": given})
    assert "s3cret" not in out_of(outputs=given)


def test_long_json() -> None:
    """
    Of long JSON no more is told than secrets were looked for in.
    """
    text = '{"a": "' + "x" * 30_000 + '", "password": "s3cret"}'

    assert "s3cret" not in written(text)
    assert written(text).endswith("x…'")


def test_nothing() -> None:
    """
    A result of None is not told, what is empty is.
    """
    assert out_of(outputs=None) == out_of(text=None) == out_of() == ""
    assert out_of(outputs="") == out_of(text="") == "''"
    assert out_of(output=[]) == "[]"
    assert into() == into(inputs={}) == into(query="") == into(messages=[]) == ""
    assert into(inputs=None) == "None"


def test_went_in() -> None:
    """
    What went in is written by the kind of the run.
    """
    assert into(inputs={"city": "Rome"}) == "city='Rome'"
    assert into(inputs="Rome") == into(query="Rome") == "'Rome'"
    assert into(prompts=["Hi"], model="m") == into(texts=["Hi"]) == "'Hi'"
    assert into(prompts=["Hi", "Ho"]) == "['Hi', 'Ho']"


USER = {"role": "user", "content": "Hi"}
TOOL = {"role": "tool", "content": "2800000"}
CALL = {"name": "weather", "args": {"city": "Rome"}, "id": "1"}
MESSAGES: list[tuple[Any, str]] = [
    ([USER], "user: 'Hi'"),
    ([USER, USER, USER, USER, TOOL], "5 messages, tool: '2800000'"),
    ({"messages": [USER, TOOL], "steps": 3}, "2 messages, tool: '2800000'"),
    (SimpleNamespace(messages=[USER]), "user: 'Hi'"),
    ([("user", "Hi"), ("ai", "Ho")], "2 messages, assistant: 'Ho'"),
    (USER, "user: 'Hi'"),
    (SimpleNamespace(type="human", content="Hi"), "user: 'Hi'"),
    (SimpleNamespace(type="AIMessageChunk", content=""), "''"),
    (
        {"role": "assistant", "content": "", "tool_calls": [CALL, CALL]},
        "-> weather(city='Rome'), weather(city='Rome')",
    ),
    (
        {"role": "assistant", "content": "Let me see.", "tool_calls": [CALL]},
        "'Let me see.' -> weather(city='Rome')",
    ),
    (
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "hm"},
                {"type": "tool_use", "name": "weather", "input": {"api_key": "s"}},
            ],
        },
        "-> weather(api_key=[redacted])",
    ),
    (
        {"role": "ai", "content": [{"type": "tool_call", "name": "time", "args": {}}]},
        "-> time()",
    ),
    (
        {"role": "user", "content": [{"type": "tool_result", "content": "21 °C"}]},
        "tool: '21 °C'",
    ),
    ({"role": "model", "parts": [{"text": "Hi"}, {"text": " you"}]}, "'Hi you'"),
    ([USER, {"type": "function_call_output", "output": "x"}], "[2 items]"),
    ({"role": "admin", "content": "x"}, "{'role': 'admin', 'content': 'x'}"),
    ({"role": "user"}, "{'role': 'user'}"),
    ({"messages": []}, "{'messages': []}"),
]


@pytest.mark.parametrize("given, text", MESSAGES)
def test_messages(given: object, text: str) -> None:
    """
    Of a conversation the last message is told, and how many there are.
    """
    assert written(given) == text


PARTS: list[tuple[dict[str, Any], str]] = [
    (
        {
            "type": "image_url",
            "image_url": {"url": "data:image/png;base64," + "A" * 64},
        },
        "<image, 48 B>",
    ),
    ({"type": "image_url", "image_url": "data:image/png;base64,AAAA"}, "<image, 3 B>"),
    ({"type": "image_url", "image_url": {"url": "https://x.org/a.png"}}, "<image>"),
    ({"type": "image", "source": {"type": "base64", "data": "AAAA"}}, "<image, 3 B>"),
    ({"type": "input_audio", "input_audio": {"data": "AAAA"}}, "<audio, 3 B>"),
    ({"type": "file", "file": {"file_data": "AAAA"}}, "<file, 3 B>"),
    ({"inline_data": {"mime_type": "video/mp4", "data": b"12345"}}, "<video, 5 B>"),
    ({"other": 1}, "<dict>"),
]


@pytest.mark.parametrize("part, text", PARTS)
def test_parts(part: dict[str, Any], text: str) -> None:
    """
    What is no text in a message is told by kind and size.
    """
    said = {"type": "text", "text": "What is this?"}

    assert written({"role": "user", "content": [said, part]}) == (
        f"user: 'What is this?', {text}"
    )
    thought = {"type": "thinking", "thinking": "hm"}
    assert written({"role": "user", "content": [thought, part]}) == f"user: {text}"
    assert written({"role": "user", "content": [part, part]}) == (
        f"user: {text}, {text}"
    )


def test_answers() -> None:
    """
    An answer has no role, and calls have an arrow.
    """
    called = {"name": "weather", "arguments": {"city": "Rome"}}
    state = {"messages": [USER, {"role": "ai", "content": "Sunny."}]}

    assert out_of(text="Sunny.", tool_calls=[], model="m") == "'Sunny.'"
    assert out_of(text="", tool_calls=[called]) == "-> weather(city='Rome')"
    assert out_of(text="So:", tool_calls=[called]) == "'So:' -> weather(city='Rome')"
    assert out_of(text="", tool_calls=[{"name": "f", "arguments": "{"}]) == "-> f('{')"
    assert out_of(text="", tool_calls=[{"name": "f", "arguments": None}]) == "-> f()"
    assert out_of(output={"role": "tool", "content": "21"}) == "'21'"
    assert out_of(outputs=state) == "'Sunny.'"
    assert out_of(outputs=state["messages"]) == "2 messages, assistant: 'Sunny.'"
    assert out_of(outputs={"messages": [USER]}) == "user: 'Hi'"


def test_documents() -> None:
    """
    Documents are told by where they are from, equal ones once; else by their words.
    """

    def document(**metadata: str) -> dict[str, Any]:
        return {"page_content": "Rome is sunny all year long.", "metadata": metadata}

    several = [
        document(source="docs/rome.md"),
        document(title="Rome"),
        document(id="7"),
    ]

    assert out_of(documents=several) == "3 documents: rome.md, Rome, 7"
    assert out_of(documents=[document(source="a/")] * 3) == "3 documents: a (3)"
    assert written([document()]) == "1 document: 'Rome is sunny all year long.'"
    assert written([document(), document(id="7")]) == (
        "2 documents: 'Rome is sunny all year…, 7"
    )
    assert written(SimpleNamespace(**document(id="7"))) == "1 document: 7"
    assert out_of(documents=["Rome", {"text": "Paris"}, 7]) == (
        "3 documents: 'Rome', 'Paris', 'int'"
    )
    assert out_of(documents="none") == "'none'"


def test_vectors() -> None:
    """
    Vectors are told by count and size.
    """
    assert out_of(vectors={"count": 3, "size": 1536}) == "3 vectors of 1,536"
    assert out_of(vectors=None) == ""
    assert out_of(vectors="none") == "'none'"


def test_counted() -> None:
    """
    In logs and errors the rest of a long text is counted.
    """
    assert counted_text("How is it?", 6, MARKS) == "'How is…' + 4 characters"
    assert counted_text("How is it?", 10, MARKS) == "'How is it?'"
    assert counted_error("no password='x'", 99) == "no password=[redacted]"
    assert counted_error("x" * 12, 10) == "xxxxxxxxxx… + 2 characters"


def test_million() -> None:
    """
    A list of a million, and a text as long, are not looked through.
    """

    class Watched(list[Any]):
        """
        A list that counts what is taken.
        """

        taken = 0

        def __iter__(self) -> Iterator[Any]:
            raise AssertionError

    big = Watched([{"a": 1}] * 1_000_000)

    assert MARKS.cropped(value(big, MARKS), 20) == "[1,000,000 items]"
    assert MARKS.cropped(value("ab" * 500_000, MARKS), 5) == "'aba…"


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.text() | st.integers(), inner)
        | st.builds(Order, st.integers(), inner)
        | st.builds(lambda it: {"role": "user", "content": it}, inner)
    ),
)


@pytest.mark.parametrize("marks", [MARKS, Marks("ascii")])
@given(given=anything, most=st.integers(0, 60))
def test_any(marks: Marks, given: object, most: int) -> None:
    """
    Anything is written within its cells, and without a control character.
    """
    for pieces in (
        value(given, marks),
        went_in({"inputs": given}, marks),
        came_out({"outputs": given}, marks),
        came_out({"text": given, "tool_calls": []}, marks),
    ):
        text = marks.cropped(pieces, most)

        assert cells(text) <= most
        assert text.replace("\u200c", "").replace("\u200d", "").isprintable()
