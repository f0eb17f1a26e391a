"""
Coroutines and async generators driven by hand, as frameworks drive them: thrown into,
closed and cancelled wherever they are suspended.
"""

import asyncio
import gc
import types
from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from typing import Any

import pytest

from instrument import bind, callbacks, traced
from instrument._state import get_state
from instrument.testing import Recorder

pytestmark = pytest.mark.anyio

Decorate = Callable[[Any], Any]
each_decorator = pytest.mark.parametrize(
    "decorate",
    [traced("x"), callbacks(Recorder()), bind],
    ids=["traced", "callbacks", "bind"],
)


class Ask:
    """
    Suspends whoever awaits it with a question; what is sent is the answer.
    """

    def __init__(self, question: str) -> None:
        self.question = question

    def __await__(self) -> Generator[Any, Any, Any]:
        return (yield self.question)


async def body() -> list[object]:
    """
    Ask twice, and tell what happened at the first question.
    """
    try:
        first = await Ask("first")
    except ValueError as exc:
        first = f"caught {exc}"
    except GeneratorExit:
        await Ask("refuse to close")
    return [first, await Ask("second")]


async def stream() -> AsyncGenerator[Any, Any]:
    """
    Yield what was answered, and be content with being closed.
    """
    value: object = None
    try:
        while True:
            try:
                value = yield await Ask(f"after {value}")
            except ValueError as exc:
                value = f"caught {exc}"
    except GeneratorExit:
        return


async def waiting() -> AsyncGenerator[Any, Any]:
    """
    Ask before the first item.
    """
    yield await Ask("first")


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    """
    Have what was dropped half-way warn, which fails the test, before the test ends.
    """
    yield
    gc.collect()


def driven(steps: str, coroutine: Any) -> list[str]:
    """
    Send, throw into and close a coroutine as *steps* says.
    """
    done = []
    for step in steps.split():
        word, _, value = step.partition(":")
        try:
            if word == "throw":
                done.append(f"asks {coroutine.throw(ERRORS[value]('thrown'))}")
            elif word == "close":
                done.append(f"closed {coroutine.close()}")
            else:
                done.append(f"asks {coroutine.send(value or None)}")
        except StopIteration as stop:
            done.append(f"returns {stop.value}")
        except BaseException as exc:
            done.append(type(exc).__name__)
    return done


ERRORS: dict[str, type[BaseException]] = {
    each.__name__: each
    for each in (ValueError, KeyError, GeneratorExit, asyncio.CancelledError)
}
SCRIPTS = [
    ("send send:1 send:2", "ok"),
    ("send throw:ValueError send:2", "ok"),
    ("send send:1 throw:ValueError", "error"),
    ("send throw:KeyError", "error"),
    ("send throw:CancelledError", "cancelled"),
    ("send send:1 close", "abandoned"),
    ("send send:1 throw:GeneratorExit", "abandoned"),
    ("send close", "error"),
]
each_script = pytest.mark.parametrize("steps, status", SCRIPTS)


def returning(function: Any) -> Any:
    """
    Make a plain function that returns what *function*, a coroutine's, gives.
    """

    def call() -> Any:
        return function()

    return call


@each_decorator
@each_script
@pytest.mark.rule(8, "async", "sync")
def test_driven_coroutine(
    decorate: Decorate, steps: str, status: str, mode: str
) -> None:
    """
    A coroutine takes what is sent, thrown and closed as it does undecorated.
    """
    expected = driven(steps, body())

    with callbacks(Recorder()):
        before = get_state()
        made = decorate(body if mode == "async" else returning(body))()
        done = driven(steps, made)
        assert get_state() is before
        made.close()

    assert done == expected


@each_script
@pytest.mark.rule(7, "async", "sync")
def test_driven_coroutine_ends_once(steps: str, status: str, mode: str) -> None:
    """
    However a coroutine is driven, its run ends once, with how it ended.
    """
    recorder = Recorder()

    with callbacks(recorder):
        made = traced("x")(body if mode == "async" else returning(body))()
        driven(steps, made)
        made.close()

    assert [event.event for event in recorder.events] == [
        "on_chain_start",
        "on_chain_end" if status == "ok" else "on_chain_error",
    ]
    assert recorder.runs[0].status == status


@each_decorator
@pytest.mark.rule(7, "async", "sync")
def test_coroutine_content_with_being_closed(decorate: Decorate, mode: str) -> None:
    """
    A coroutine that returns when it is closed is closed, and its run abandoned.
    """
    recorder = Recorder()

    async def content() -> str:
        try:
            await Ask("first")
        except GeneratorExit:
            cleaned.append(mode)
        return "done"

    cleaned: list[str] = []
    with callbacks(recorder):
        before = get_state()
        made = decorate(content if mode == "async" else returning(content))()
        assert driven("send close", made) == ["asks first", "closed None"]
        assert get_state() is before

    assert cleaned == [mode]
    assert {run.status for run in recorder.runs} <= {"abandoned"}


STEPS = [
    ("send send:1 | close", "abandoned"),
    ("send send:1 | send:x send:2 | close", "abandoned"),
    ("send send:1 | send throw:ValueError send:2 | close", "abandoned"),
    ("send throw:KeyError", "error"),
    ("send throw:CancelledError", "cancelled"),
]


@each_decorator
@pytest.mark.parametrize("script, status", STEPS)
@pytest.mark.rule(9, "async generator")
def test_driven_step(decorate: Decorate, script: str, status: str) -> None:
    """
    A step of an async generator that waits takes what is sent and thrown into it.
    """
    expected = stepped(script, stream())

    with callbacks(Recorder()):
        before = get_state()
        done = stepped(script, decorate(stream)())
        assert get_state() is before

    assert done == expected


@pytest.mark.parametrize("script, status", STEPS)
@pytest.mark.rule(7, "async generator")
def test_driven_stream_ends_once(script: str, status: str) -> None:
    """
    However the steps of an async generator are driven, its run ends once, with how.
    """
    recorder = Recorder()

    with callbacks(recorder):
        stepped(script, traced("x")(stream)())

    assert [event.event for event in recorder.events] == [
        "on_chain_start",
        "on_chain_error",
    ]
    assert recorder.runs[0].status == status


@each_decorator
@pytest.mark.rule(9, "async generator")
def test_closed_step(decorate: Decorate) -> None:
    """
    Closing a step that waits does what it does undecorated.
    """
    expected = closed_in_a_step(waiting())

    with callbacks(Recorder()):
        before = get_state()
        done = closed_in_a_step(decorate(waiting)())
        assert get_state() is before

    assert done == expected


@pytest.mark.rule(7, "async generator")
def test_closed_step_ends_once() -> None:
    """
    A stream whose step was closed is abandoned, once, at the latest when it goes.
    """
    recorder = Recorder()

    with callbacks(recorder):
        closed_in_a_step(traced("x")(waiting)())
        gc.collect()

    assert [run.status for run in recorder.runs] == ["abandoned"]
    assert len(recorder.events) == 2


def closed_in_a_step(made: Any) -> list[str]:
    """
    Close the first step of an async generator, then the generator.
    """
    return [*driven("send close", made.asend(None)), *driven("send", made.aclose())]


def stepped(script: str, made: Any) -> list[str]:
    """
    Drive one step after the other: the words between two bars are one.
    """
    done = []
    for steps in script.split("|"):
        if steps.strip() == "close":
            done += driven("send", made.aclose())
        else:
            word, _, rest = steps.strip().partition(" ")
            sent = word.partition(":")[2] or None
            done += driven(f"send {rest}", made.asend(sent))
    return done


@types.coroutine
def awaited() -> Generator[Any, Any, Any]:
    """
    Be awaited, though a generator.
    """
    return (yield from asyncio.sleep(0, "slept").__await__())


def gives() -> Any:
    """
    Be a plain function that returns it.
    """
    return awaited()


@pytest.mark.parametrize("made", [awaited, gives])
@each_decorator
async def test_generator_that_is_awaited(decorate: Decorate, made: Any) -> None:
    """
    What `types.coroutine` makes, or a plain function returns of it, is awaited as before.
    """
    async with callbacks(Recorder()):
        assert await decorate(made)() == "slept"


@pytest.mark.parametrize("kind", ["chain", "chat_model"])
async def test_generator_that_is_awaited_is_no_stream(kind: str) -> None:
    """
    Its outputs are what it returns, not what the loop is asked to wait for.
    """
    async with callbacks(recorder := Recorder()):
        await traced(kind=kind, outputs=str.upper)(awaited)()

    (run,) = recorder.runs
    assert (run.status, run.time_to_first_token_s) == ("ok", None)
    assert "SLEPT" in str(getattr(run.outputs, "generations", run.outputs))


def test_interrupted_before_its_first_line() -> None:
    """
    What a function returned, and an interrupt has come to before any line of it, ends
    before the run that it fails.
    """
    recorder = Recorder()

    async def body() -> None: ...

    @traced
    def inner() -> Any:
        return body()

    @traced
    def outer() -> None:
        inner().throw(KeyboardInterrupt())

    with callbacks(recorder), pytest.raises(KeyboardInterrupt):
        outer()

    ends = [it.name for it in recorder.events if not it.event.endswith("_start")]
    assert ends == ["inner", "outer"]
