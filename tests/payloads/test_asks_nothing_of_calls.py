"""
What a client is called with and answers, what a socket's ``send`` gives, and the names in
a payload are asked nothing: not even their class, whose metaclass may raise.
"""

import asyncio
import io
import signal
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from instrument import callbacks, traced
from instrument._hearing.operations import CHAT
from instrument._hearing.wrapped.methods import Rule
from instrument.handlers import StdOutCallbackHandler, WebSocketHandler
from instrument.integrations import mcp
from instrument.propagation import attach, extract
from instrument.testing import Recorder


class Own(BaseException):
    """
    An exception that is no `Exception`.
    """


class Asked:
    """
    What was asked.
    """

    names: list[str] = []  # noqa: RUF012 - of the one test that runs


def ask(name: str) -> Any:
    """
    Note what the package has asked, and raise; others are told that there is none.
    """
    frame = sys._getframe(1)
    while frame.f_back is not None:
        frame = frame.f_back
        if frame.f_globals.get("__name__", "").startswith("instrument."):
            Asked.names.append(name)
            raise Own(name)
    raise AttributeError(name)


@pytest.fixture(autouse=True)
def asked() -> Iterator[list[str]]:
    """
    Give what is asked.
    """
    Asked.names.clear()
    yield Asked.names
    Asked.names.clear()


class Closed(type):
    """
    A metaclass that raises when a class is compared, or asked for what it lacks.
    """

    def __eq__(cls, other: object) -> bool:
        try:
            ask("type ==")
        except AttributeError:
            return cls is other
        return False

    def __getattr__(cls, name: str) -> Any:
        return ask(f"type.{name}")

    __hash__ = type.__hash__


class Name(metaclass=Closed):
    """
    A key of a dict.
    """


class Odd(metaclass=Closed):
    """
    What raises when it is asked anything but for its ``repr``.
    """

    def __getattr__(self, name: str) -> Any:
        return ask(name)

    def __eq__(self, other: object) -> bool:
        return bool(ask("=="))

    def __bool__(self) -> bool:
        return bool(ask("bool"))

    def __len__(self) -> int:
        return int(ask("len"))

    def __str__(self) -> str:
        return str(ask("str"))

    def __hash__(self) -> int:
        return int(ask("hash"))

    def __call__(self, *args: Any) -> None: ...

    def __repr__(self) -> str:
        return "Odd()"


class Given(dict[str, Any]):
    """
    Arguments that raise when they are asked whether there are any.
    """

    def __bool__(self) -> bool:
        return bool(ask("bool"))

    __len__ = __bool__


class Client:
    """
    A client of a provider, or of a server of tools.
    """

    def chat(self, messages: Any, answer: Any = None, **more: Any) -> Any:
        """
        Answer.
        """
        return answer

    call_tool = chat


def mask(value: Any, path: Any) -> Any:
    """
    Redact nothing.
    """
    return value


every_redactor = pytest.mark.parametrize("redact", [None, ["password"], mask])


@every_redactor
@pytest.mark.parametrize("make", [Odd, lambda: {Name(): "error", "isError": True}])
@pytest.mark.rule(13, "sync")
def test_a_client(redact: Any, make: Any, asked: list[str]) -> None:
    """
    What a client is given, and answers, is told as it is.
    """
    client: Any = Rule("own", {"chat": CHAT}).wrapped(Client())
    value, heard, told = make(), Recorder(), list[str]()
    with callbacks(heard, lambda event: told.append(event.to_json()), redact=redact):
        assert client.chat([value], answer=value, temperature=value) is value
        assert client.chat([{"role": "user", "content": value}]) is None

    assert asked == []
    assert [run.status for run in heard.runs] == ["ok", "ok"]
    assert "temperature" in heard.runs[0].params


class Session:
    """
    A client of a server of tools.
    """

    def call_tool(self, name: Any, arguments: Any = None) -> Any:
        """
        Answer.
        """
        return arguments


@every_redactor
@pytest.mark.rule(13, "sync")
def test_a_tool_of_a_server(redact: Any, asked: list[str]) -> None:
    """
    The arguments of a tool are not asked whether there are any, nor its name for a text.
    """
    session: Any = mcp.WRAPS["ClientSession"].wrapped(Session())
    heard, given, odd = Recorder(), Given(a=1), Odd()
    with callbacks(heard, redact=redact):
        assert session.call_tool("add", given) is given
        assert session.call_tool("add", odd) is odd
        assert session.call_tool(odd) is None

    assert asked == []
    assert [run.name for run in heard.runs] == ["add", "add", "<Odd>"]
    assert [run.inputs for run in heard.runs] == [{"a": 1}, {}, {}]


@every_redactor
@pytest.mark.rule(13, "sync")
def test_names_in_a_payload(redact: Any, asked: list[str]) -> None:
    """
    What stands for a name in a result is not compared, whatever it stands before.
    """
    given = {Name(): "error", "password": "xyz"}
    heard, shown = Recorder(), StdOutCallbackHandler(file=io.StringIO())
    with callbacks(heard, shown, redact=redact, metadata={"k": given}):
        assert traced.tool(lambda: given)() is given

    assert asked == []
    assert "dropped" not in repr(heard.runs[0].outputs)


@pytest.mark.parametrize("make", [Odd, Name])
@pytest.mark.rule(13, "sync")
def test_what_send_gives(make: Any, asked: list[str]) -> None:
    """
    What the ``send`` of a socket gives is no awaitable where its class says nothing of it.
    """

    class Socket:
        def __init__(self) -> None:
            self.sent = 0

        def send(self, frame: str) -> Any:
            self.sent += 1
            return make()

    async def main() -> None:
        async with callbacks(WebSocketHandler(socket)):
            assert traced(lambda: 1)() == 1

    socket = Socket()
    asyncio.run(main())

    assert asked == []
    assert socket.sent >= 2


@pytest.mark.rule(13, "sync")
def test_what_a_redactor_makes_of_a_text(asked: list[str]) -> None:
    """
    It is asked for no text of its own.
    """

    def redact(value: Any, path: Any) -> Any:
        return Odd() if path[-1] == "a" or type(value) is str else value

    heard, shown = Recorder(), StdOutCallbackHandler(file=io.StringIO())
    with callbacks(heard, shown, redact=redact):
        assert traced.chat_model(lambda given: {"a": []})({"a": object()})

    assert asked == []
    assert heard.runs[0].status == "ok"


@pytest.mark.rule(13, "sync")
def test_a_header_that_is_no_text(asked: list[str]) -> None:
    """
    It is as if it were not there.
    """
    odd: Any = Odd()
    assert extract([("traceparent", odd), (odd, "1")]) == {}
    with attach({"v": 1, "traceparent": odd}), callbacks(Recorder()):
        assert traced(lambda: 1)() == 1

    assert asked == []


@pytest.mark.parametrize("fails", ["handler", "payload"])
@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="there is no such signal")
@pytest.mark.rule(13, "sync")
def test_an_object_that_handles_a_signal(
    fails: str, asked: list[str], reports: Callable[[], Any]
) -> None:
    """
    To tell whether a signal's handler has raised, it is asked nothing.
    """

    def fail(event: Any) -> None:
        if fails == "handler":
            raise ValueError("no")
        event.to_json()

    class Broken:
        def __repr__(self) -> str:
            raise ValueError("no")

    class Quits:
        def __getattr__(self, name: str) -> Any:
            return ask(name)

        def __call__(self, *args: Any) -> None: ...

    before = signal.signal(signal.SIGUSR1, Quits())
    try:
        with callbacks(fail):
            assert traced(lambda given: 1)(Broken()) == 1
    finally:
        signal.signal(signal.SIGUSR1, before)

    assert asked == []
