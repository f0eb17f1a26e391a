"""
What handlers and redactors give back, and what a block is left with, is asked nothing:
not even its class, whose metaclass may raise.
"""

import asyncio
import io
from collections.abc import AsyncIterator, Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from instrument import BaseCallbackHandler, callbacks, traced
from instrument.handlers import (
    SSEHandler,
    StdOutCallbackHandler,
    WebSocketHandler,
    background,
    filtered,
    tail,
)
from instrument.propagation import attach, extract
from instrument.testing import Recorder


class Own(BaseException):
    """
    An exception that is no `Exception`.
    """


class Armed:
    """
    What is raised by whatever is asked, from the time that it is set.
    """

    error: type[BaseException] | None = None
    count = 0


def ask() -> None:
    """
    Raise what is armed, and count it.
    """
    if Armed.error is not None:
        Armed.count += 1
        raise Armed.error


@pytest.fixture(params=[ValueError, SystemExit, Own], autouse=True)
def arm(request: pytest.FixtureRequest) -> Iterator[Callable[[], None]]:
    """
    Give what lets everything raise from then on, until the test is over.
    """

    def now() -> None:
        Armed.error, Armed.count = request.param, 0

    yield now
    Armed.error = None


class Closed(type):
    """
    A metaclass that raises when a class is asked for its attributes, or compared.
    """

    def __getattribute__(cls, name: str) -> Any:
        ask()
        return type.__getattribute__(cls, name)

    def __eq__(cls, other: object) -> bool:
        ask()
        return cls is other

    def __hash__(cls) -> int:
        ask()
        return id(cls)


class Answer(metaclass=Closed):
    """
    What a handler answers with.
    """


class OddError(Exception):
    """
    What raises when it is asked for its class.
    """

    @property
    def __class__(self) -> Any:
        ask()
        return OddError

    @__class__.setter
    def __class__(self, value: Any) -> None: ...


class OddInterrupt(BaseException):
    """
    The same of an exception that is no `Exception`.
    """

    __class__ = OddError.__dict__["__class__"]


class Key(str):
    """
    A text that raises when it is compared.
    """

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        ask()
        return str.__eq__(self, other)

    __hash__ = str.__hash__


class Unlike:
    """
    A value that raises when it is compared.
    """

    def __eq__(self, other: object) -> bool:
        ask()
        return self is other

    __ne__ = __eq__
    __hash__ = object.__hash__


class Typed(BaseCallbackHandler):
    """
    Answers by methods, and by what flushes it.
    """

    def _answer(self, *args: Any, **kwargs: Any) -> Any:
        return Answer()

    on_chain_start = on_chain_end = on_llm_start = on_llm_new_token = _answer
    on_llm_end = flush = _answer


def function() -> int:
    """
    Be called.
    """
    return traced(lambda: 1)()


def generator() -> int:
    """
    Be read.
    """
    return len(list(traced.llm(lambda: (it for it in ["a"]))()))


def coroutine() -> int:
    """
    Be awaited, and read, in a block.
    """

    async def one() -> int:
        return 1

    async def items() -> AsyncIterator[str]:
        yield "a"

    async def main() -> int:
        async with callbacks(Typed(), lambda event: Answer()):
            assert [it async for it in traced.llm(items)()] == ["a"]
            return await traced(one)()

    return asyncio.run(main())


@pytest.mark.parametrize("way", [function, generator, coroutine])
@pytest.mark.parametrize(
    "make",
    [
        Typed,
        lambda: lambda event: Answer(),
        lambda: filtered(Typed(), kinds=["chain", "llm"]),
        lambda: tail(Typed(), keep=lambda run: True),
        lambda: background(Typed()),
    ],
    ids=["typed", "function", "filtered", "tail", "background"],
)
@pytest.mark.rule(13, "sync")
def test_what_a_handler_answers(
    make: Callable[[], Any], way: Callable[[], int], arm: Callable[[], None]
) -> None:
    """
    A handler may answer with anything: it is no more asked than None is.
    """
    heard = Recorder()
    with callbacks(make(), heard):
        arm()
        assert way() == 1

    assert Armed.count == 0
    assert heard.tree().endswith(": ok")


@pytest.mark.parametrize("raised", [OddError, OddInterrupt])
@pytest.mark.parametrize("protocol", ["native", "ai-sdk", "ag-ui", "openai"])
@pytest.mark.rule(13, "sync")
def test_what_the_block_of_a_page_is_left_with(
    protocol: Any, raised: Callable[[], BaseException], arm: Callable[[], None]
) -> None:
    """
    A page is told the end, and the exception reaches who waits for it.
    """
    exc, sent = raised(), list[str]()

    @traced
    def work() -> None:
        raise exc

    @traced
    async def later() -> None:
        raise exc

    def sync() -> None:
        page = WebSocketHandler(SimpleNamespace(send=sent.append), protocol=protocol)
        with callbacks(page, SSEHandler(protocol=protocol)):
            work()

    async def main() -> None:
        page = WebSocketHandler(SimpleNamespace(send=sent.append), protocol=protocol)
        async with callbacks(page, SSEHandler(protocol=protocol)):
            await later()

    arm()
    for act in (sync, lambda: main().send(None)):
        caught: object = None
        try:
            act()
        except BaseException as left:
            caught = left
        assert caught is exc

    assert Armed.count == 0


@pytest.mark.rule(13, "sync")
def test_what_a_redactor_gives(arm: Callable[[], None], reports: list[str]) -> None:
    """
    What a redactor makes of a call of a tool, or of an exception, is asked nothing that
    fails the handlers.
    """

    class HeldError(Exception):
        def __init__(self, text: str) -> None:
            super().__init__(text)
            self.text = text

    def redact(value: Any, path: tuple[Any, ...]) -> Any:
        if path[-1:] == ("tool_calls",):
            return [{Key("name"): 1, Key("arguments"): "a"}]
        return Unlike() if path[-1:] == ("text",) else value

    held = HeldError("a sentence")

    @traced
    def fails() -> None:
        raise held

    function = {"name": "f", "arguments": "{}"}
    call = {"id": "1", "type": "function", "function": function}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    shown, heard = StdOutCallbackHandler(file=io.StringIO()), Recorder()
    with callbacks(shown, heard, redact=redact):
        arm()
        assert traced.chat_model(lambda given: message)([message]) is message
        with pytest.raises(HeldError) as caught:
            fails()

    assert caught.value is held
    assert [run.status for run in heard.runs] == ["ok", "error"]
    assert not [it for it in reports if "StdOut" in it or "redact" in it]


@pytest.mark.parametrize("place", ["itself", "v", "traceparent", "id", "tags"])
@pytest.mark.rule(13, "sync")
def test_what_a_carrier_is_and_holds(place: str, arm: Callable[[], None]) -> None:
    """
    What came from another process may be anything, and is as if it were empty.
    """

    class Bytes(bytes):
        def __getitem__(self, key: Any) -> Any:
            ask()

    class Told(dict[str, Any]):
        def get(self, *args: Any) -> Any:
            ask()

        def __contains__(self, name: object) -> bool:
            ask()
            return False

    heard, given = Recorder(), {"v": 1}
    values = {"v": Unlike(), "traceparent": Bytes(b"00"), "id": Answer(), "tags": [1]}
    made = Told(given) if place == "itself" else given | {place: values[place]}
    arm()
    came = extract([("traceparent", Bytes(b"00"))])
    with attach(came), attach(made), callbacks(heard):
        assert traced(lambda: 1)() == 1

    assert Armed.count == 0
    assert heard.tree().endswith(": ok")


class Holder:
    """
    An object whose class holds what may not be asked, under names that are looked for.
    """

    content: Any = Answer()
    password: Any = Answer()
    __pydantic_extra__ = Answer()

    def __init__(self) -> None:
        self.role, self.content, self.given = "user", "Hello", Answer()

    def __repr__(self) -> str:
        return "Holder()"


@pytest.mark.parametrize("redact", [None, ["password"], lambda value, path: value])
@pytest.mark.rule(13, "sync")
def test_what_a_class_holds(redact: Any, arm: Callable[[], None]) -> None:
    """
    What the class of a payload holds is asked as little as the payload.
    """
    given, heard, said = Holder(), Recorder(), list[str]()

    def take(response: Any, **kwargs: Any) -> None:
        said.append(response.generations[0][0].text)

    with callbacks(
        heard, lambda event: event.to_json(), on_llm_end=take, redact=redact
    ):
        arm()
        assert traced(lambda it: it)(given) is given
        assert traced.chat_model(lambda it: it[0])([given]) is given

    assert Armed.count == 0
    Armed.error = None
    assert "dropped" not in repr([run.inputs for run in heard.runs])
    assert said == ["Hello"]
