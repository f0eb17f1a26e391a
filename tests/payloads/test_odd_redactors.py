"""
A function given as ``redact=`` may put anything in the place of what it hides: it breaks
no call and no handler, and what it hides in one place is shown in no other.
"""

import io
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from instrument import BaseCallbackHandler, Event, callbacks, emit, traced
from instrument._payloads.names import MASK
from instrument._payloads.redact import redacted
from instrument.handlers import SSEHandler, StdOutCallbackHandler, TreeHandler
from instrument.testing import Recorder

KEY = "enigma1940"
CALL = {"id": "1", "function": {"name": "add", "arguments": '{"a": 1}'}}
ANSWER = {
    "choices": [
        {"message": {"role": "assistant", "content": "hello", "tool_calls": [CALL]}}
    ]
}


class Odd:
    """
    Says nothing of itself but its ``repr``.
    """

    def __repr__(self) -> str:
        return "<odd>"

    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError(name)

    __bool__ = __len__ = __iter__ = __str__ = __eq__ = None  # type: ignore[assignment]
    __hash__ = None  # type: ignore[assignment]


class OddDict(dict[str, Any]):
    """
    A dict that can be read by the methods of ``dict`` alone.
    """

    def __iter__(self) -> Any:
        raise RuntimeError

    __bool__ = __len__ = keys = values = items = copy = __iter__


@traced.chat_model
def model(messages: list[Any]) -> dict[str, Any]:
    """
    Answer with a text and a call.
    """
    return ANSWER


def at(place: tuple[Any, ...], given: Any) -> Callable[[Any, Any], Any]:
    """
    Make a function that puts *given* in that place.
    """
    return lambda value, path: given if path == place else value


GIVEN = {
    "object": (Odd(), "<odd>"),
    "number": (3, "3"),
    "bool": (True, "True"),
    "dict": ({"hidden": 5}, "{'hidden': 5}"),
    "text": ("***", "***"),
    "class of text": (type("Text", (str,), {})("***"), "***"),
}


@pytest.mark.parametrize("given", GIVEN)
@pytest.mark.parametrize("name", ["text", "tool_calls"])
def test_place_of_an_answer(given: str, name: str, reports: list[str]) -> None:
    """
    The text of an answer is told as one, and its calls as a list, whatever a function
    makes of them; nothing that is for people or for a page fails at it.
    """
    put, told = GIVEN[given]
    screen, tree, recorder = io.StringIO(), io.StringIO(), Recorder()
    page = SSEHandler(protocol="ai-sdk", payload="all")
    handlers = [StdOutCallbackHandler(file=screen), TreeHandler(file=tree), recorder]

    with callbacks(page, *handlers, redact=at(("outputs", name), put)):
        model(["hi"])

    outputs = recorder.events[-1].data
    if name == "text":
        assert outputs["text"] == told
    elif given == "dict":
        assert outputs["tool_calls"] == [put]
    else:
        assert outputs["tool_calls"] == [{"name": told}]
    assert reports == []


@pytest.mark.parametrize("given", GIVEN)
@pytest.mark.parametrize("place", ["inputs", "outputs", "metadata", "error", "data"])
def test_place_of_a_payload(given: str, place: str, reports: list[str]) -> None:
    """
    In place of a whole payload, too, it breaks neither the call nor a handler.
    """

    @traced(metadata={"a": 1})
    def work(x: int, *, fails: bool = False) -> int:
        emit("news", 1)
        if fails:
            raise ValueError("refused")
        return x

    put = GIVEN[given][0]
    handlers = [StdOutCallbackHandler(file=io.StringIO()), BaseCallbackHandler()]

    with callbacks(*handlers, Event.to_json, redact=at((place,), put)):
        assert work(3) == 3
        with pytest.raises(ValueError, match="refused"):
            work(3, fails=True)

    assert reports == []


@pytest.mark.parametrize("place", ["inputs", "outputs", "metadata"])
def test_dict_of_its_own(place: str, everything: Any, reports: list[str]) -> None:
    """
    A dict that a function gives is read as one, whatever class it is of.
    """
    put = OddDict()
    dict.__setitem__(put, "shown", 7)

    @traced(metadata={"a": 1})
    def work(x: int) -> dict[str, int]:
        return {"y": x}

    with callbacks(everything, redact=at((place,), put)):
        assert work(3) == {"y": 3}

    assert "'shown': 7" in everything.text
    assert reports == []


@pytest.mark.parametrize(
    "given",
    [OrderedDict(a=1), type("Items", (list,), {})([1]), type("S", (str,), {})("x")],
)
def test_subclasses_become_what_they_are_made_of(given: Any) -> None:
    """
    What a function gives of a subclass is told as a dict, list or text.
    """
    shown = redacted(1, (lambda value, path: given,), ("inputs",))

    assert type(shown) in (dict, list, str)
    assert shown == given


class RefusedError(ValueError):
    """
    An exception that tells one of its arguments, and keeps both.
    """

    def __init__(self, user: str, password: str) -> None:
        super().__init__(user, password)
        self.password = password

    def __str__(self) -> str:
        return f"{self.args[0]} may not enter with {self.password}"


@pytest.mark.parametrize("way", ["alone", "group", "payload"])
def test_field_of_an_exception(way: str) -> None:
    """
    An exception of which a function hides a field does not show it in its message, or
    among what it was made of.
    """
    recorder, screen = Recorder(), io.StringIO()
    error = RefusedError("ada", KEY)

    def hide(value: Any, path: Any) -> Any:
        return "***" if path[-1] == "password" else value

    @traced
    def work() -> Any:
        if way == "payload":
            return error
        raise error if way == "alone" else ExceptionGroup("both", [error])

    handlers = [recorder, StdOutCallbackHandler(file=screen)]
    with callbacks(*handlers, redact=hide), suppress(RefusedError, ExceptionGroup):
        work()

    told = "".join(event.to_json() for event in recorder.events)
    assert MASK in told
    assert KEY not in told + screen.getvalue()
