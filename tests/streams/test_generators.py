"""
Generators: real ones, as if undecorated, with their run current at each step.
"""

import gc
import inspect
from collections.abc import Callable
from typing import Any

import anyio
import pytest

from instrument import bind, callbacks, traced
from instrument._state import get_state
from instrument.testing import Recorder

pytestmark = pytest.mark.anyio
both_backends = pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
each_decorator = pytest.mark.parametrize(
    "decorate",
    [traced("x"), callbacks(Recorder()), bind],
    ids=["traced", "callbacks", "bind"],
)
generators = ("generator", "async generator")

Decorate = Callable[[Any], Any]


def tried(call: Callable[..., Any], *args: object) -> Any:
    """
    Give what a call returns, or the exception it raises as text.
    """
    try:
        return call(*args)
    except BaseException as exc:
        return f"{type(exc).__name__}: {exc}"


async def atried(awaitable: Any) -> Any:
    """
    The same for an awaitable.
    """
    try:
        return await awaitable
    except BaseException as exc:
        return f"{type(exc).__name__}: {exc}"


def following(function: Any) -> Any:
    """
    Make a plain function that returns what *function*, a generator's, gives.
    """

    def call() -> Any:
        return function()

    return call


class Steps:
    """
    What one generator did when it was sent, thrown and closed this and that.
    """

    def body(self) -> Any:
        self.seen: list[object] = []
        value: object = "first"
        while True:
            try:
                value = yield value
                self.seen.append(value)
                if value == "stop":
                    return "returned"
                if value == "fail":
                    raise KeyError("failed")
            except ValueError as exc:
                value = f"caught {exc}"
            except GeneratorExit:
                if value == "refuse":
                    yield "refused"
                if value == "answer":
                    return "closed"
                raise

    async def abody(self) -> Any:
        self.seen = []
        value: object = "first"
        while True:
            try:
                value = yield value
                self.seen.append(value)
                await anyio.lowlevel.checkpoint()
                if value == "stop":
                    return
                if value == "fail":
                    raise KeyError("failed")
            except ValueError as exc:
                value = f"caught {exc}"
            except GeneratorExit:
                if value == "refuse":
                    yield "refused"
                raise


SCRIPTS = [
    "next next next",
    "send:1",
    "next send:1 send:2 next",
    "next send:stop next",
    "next send:fail next",
    "next throw:ValueError send:1 close",
    "next throw:KeyError next",
    "throw:ValueError next",
    "close next",
    "next close close next",
    "next send:answer close next",
    "next send:refuse close next",
    "next throw:GeneratorExit next",
    "next send:answer throw:GeneratorExit",
    "next send:refuse throw:GeneratorExit next",
    "next throw:StopIteration next",
    "next throw:StopAsyncIteration next",
]
each_script = pytest.mark.parametrize("script", SCRIPTS)
ERRORS: dict[str, type[BaseException]] = {
    each.__name__: each
    for each in (ValueError, KeyError, GeneratorExit, StopIteration, StopAsyncIteration)
}


def stepped(generator: Any, script: str) -> list[object]:
    """
    Step a generator as *script* says.
    """
    done = []
    for word in script.split():
        name, _, value = word.partition(":")
        if name == "send":
            done.append(tried(generator.send, value))
        elif name == "throw":
            done.append(tried(generator.throw, ERRORS[value]("thrown")))
        else:
            done.append(
                tried(generator.close if name == "close" else generator.__next__)
            )
    return done


async def astepped(generator: Any, script: str) -> list[object]:
    """
    The same with an async generator.
    """
    done = []
    for word in script.split():
        name, _, value = word.partition(":")
        if name == "send":
            done.append(await atried(generator.asend(value)))
        elif name == "throw":
            done.append(await atried(generator.athrow(ERRORS[value]("thrown"))))
        elif name == "next":
            done.append(await atried(anext(generator)))
        else:
            done.append(await atried(generator.aclose()))
    return done


@each_decorator
@each_script
@pytest.mark.rule(9, "generator")
def test_protocol(decorate: Decorate, script: str) -> None:
    """
    `send`, `throw`, `close` and the return value do what they do undecorated.
    """
    plain, decorated = Steps(), Steps()

    expected = stepped(plain.body(), script)
    with callbacks(Recorder()):
        before = get_state()
        done = stepped(decorate(decorated.body)(), script)
        assert get_state() is before

    assert done == expected
    assert vars(decorated) == vars(plain)


@both_backends
@each_decorator
@each_script
@pytest.mark.rule(9, "async generator")
async def test_async_protocol(decorate: Decorate, script: str) -> None:
    """
    `asend`, `athrow` and `aclose` do what they do undecorated.
    """
    plain, decorated = Steps(), Steps()
    script += " close"

    expected = await astepped(plain.abody(), script)
    with callbacks(Recorder()):
        before = get_state()
        done = await astepped(decorate(decorated.abody)(), script)
        assert get_state() is before

    assert done == expected
    assert vars(decorated) == vars(plain)


@each_script
@pytest.mark.rule(7, "generator", "sync")
def test_protocol_ends_once(mode: str, script: str) -> None:
    """
    However a generator is stepped, its run has one end when it is dropped.
    """
    recorder = Recorder()

    with callbacks(recorder):
        function: Any = Steps().body
        made = traced("x")(function if mode == "generator" else following(function))()
        stepped(made, script)
        del made
        gc.collect()

    starts = [event for event in recorder.events if event.event == "on_chain_start"]
    assert len(recorder.events) == 2 * len(starts)
    assert "running" not in {run.status for run in recorder.runs}


@both_backends
@each_script
@pytest.mark.rule(7, "async generator")
async def test_async_protocol_ends_once(script: str) -> None:
    """
    However an async generator is stepped, its run has one end when it is closed.
    """
    recorder = Recorder()

    with callbacks(recorder):
        made = traced("x")(Steps().abody)()
        await astepped(made, script)
        await atried(made.aclose())

    starts = [event for event in recorder.events if event.event == "on_chain_start"]
    assert len(recorder.events) == 2 * len(starts)
    assert "running" not in {run.status for run in recorder.runs}


@each_decorator
@pytest.mark.rule(9, *generators)
async def test_real_generator_comes_back(mode: str, decorate: Decorate) -> None:
    """
    `inspect` and `isinstance` answer of function, method and generator as undecorated.
    """

    def generator(a: int, *, b: str = "") -> Any:
        yield a

    async def async_generator(a: int, *, b: str = "") -> Any:
        yield a

    plain: Any = generator if mode == "generator" else async_generator
    decorated = decorate(plain)

    class Holder:
        method = decorated

    asked: list[Any] = [
        inspect.isgeneratorfunction,
        inspect.isasyncgenfunction,
        inspect.isfunction,
    ]
    assert [ask(decorated) for ask in asked] == [ask(plain) for ask in asked]
    assert [ask(Holder().method) for ask in asked[:2]] == [
        ask(plain) for ask in asked[:2]
    ]
    assert inspect.signature(decorated) == inspect.signature(plain)
    assert decorated.__name__ == plain.__name__
    with callbacks(Recorder()):
        made, bare = decorated(1), plain(1)
        assert type(made) is type(bare)
        assert made.__name__ == bare.__name__
        assert made.__qualname__ == bare.__qualname__
        if mode == "async generator":
            await made.aclose()
