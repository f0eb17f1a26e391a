"""
Handlers are flushed when their block is left, when the call that was given them in
``callbacks=`` ends, and at the interpreter's exit.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Generator, Iterator
from types import SimpleNamespace
from typing import Any

import anyio
import pytest

from instrument import (
    AsyncCallbackHandler,
    BaseCallbackHandler,
    callbacks,
    emit,
    traced,
)
from instrument._runs.ending import afail, afinish
from instrument.handlers import TokenStream, tail
from instrument.testing import Recorder

pytestmark = pytest.mark.anyio


both_backends = pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])


class Flushed(BaseCallbackHandler):
    """
    Keeps what it hears, and that it was flushed.
    """

    def __init__(self) -> None:
        self.log: list[str] = []
        self.flushed = threading.Event()

    def on_event(self, event: Any, **kwargs: Any) -> None:
        self.log.append(event.event)

    def flush(self) -> None:
        self.log.append("flush")
        self.flushed.set()


class AsyncFlushed(AsyncCallbackHandler):
    """
    The same in coroutines.
    """

    def __init__(self) -> None:
        self.log: list[str] = []
        self.flushed = threading.Event()

    async def on_event(self, event: Any, **kwargs: Any) -> None:
        self.log.append(event.event)

    async def aflush(self) -> None:
        self.log.append("flush")
        self.flushed.set()


class Both(Flushed):
    """
    Has both, of which each kind of block takes its own.
    """

    async def aflush(self) -> None:
        self.log.append("aflush")


@pytest.mark.parametrize("handler", [Flushed, AsyncFlushed])
@pytest.mark.rule(14, "sync")
def test_sync_block_flushes(handler: type[Flushed]) -> None:
    """
    Leaving a sync block flushes its handlers, after all that they hear.
    """
    flushed = handler()

    with callbacks(flushed):
        traced(lambda: None)()
        assert "flush" not in flushed.log

    assert flushed.log == ["on_chain_start", "on_chain_end", "flush"]


@both_backends
@pytest.mark.parametrize("handler", [Flushed, AsyncFlushed])
@pytest.mark.rule(14, "sync", "async")
async def test_async_block_flushes(handler: type[Flushed]) -> None:
    """
    Leaving an async block serves what is queued, and then flushes.
    """
    flushed = handler()

    async with callbacks(flushed):
        traced(lambda: None)()

    assert flushed.log == ["on_chain_start", "on_chain_end", "flush"]


@both_backends
@pytest.mark.rule(14, "sync")
async def test_sync_block_in_async_code(anyio_backend: str) -> None:
    """
    A sync block in async code has its async handlers flushed, at once or soon.
    """
    flushed = AsyncFlushed()

    with callbacks(flushed):
        traced(lambda: None)()
    await anyio.to_thread.run_sync(flushed.flushed.wait, 5)

    assert flushed.log == ["on_chain_start", "on_chain_end", "flush"]


@pytest.mark.rule(14, "sync", "async")
async def test_each_kind_of_block_takes_its_own_flush() -> None:
    """
    A handler with both has ``flush`` called by a sync block, ``aflush`` by an async one.
    """
    both = Both()

    with callbacks(both):
        pass
    async with callbacks(both):
        pass

    assert both.log == ["flush", "aflush"]


@pytest.mark.rule(14, "sync", "async")
async def test_flush_after_an_exception() -> None:
    """
    A block that is left by an exception flushes too.
    """
    flushed = Flushed()

    with pytest.raises(KeyError):
        async with callbacks(flushed):
            raise KeyError
    with pytest.raises(KeyError), callbacks(flushed):
        raise KeyError

    assert flushed.log == ["flush", "flush"]


@pytest.mark.rule(14, "sync", "generator")
def test_decorated_functions_flush() -> None:
    """
    A decorated function flushes when it returns, a generator when it is exhausted.
    """
    flushed = Flushed()

    @callbacks(flushed)
    def stream() -> Iterator[int]:
        yield 1

    callbacks(flushed)(lambda: None)()
    list(stream())

    assert flushed.log == ["flush", "flush"]


@pytest.mark.rule(14, "sync")
def test_uninstall_flushes() -> None:
    """
    Process-wide handlers are flushed when they are taken away.
    """
    flushed = Flushed()

    installed = callbacks(flushed).install()
    installed.uninstall()
    installed.uninstall()

    assert flushed.log == ["flush"]


@pytest.mark.parametrize("failure", [OSError("full"), SystemExit(1)])
@pytest.mark.rule(13, "sync", "async")
async def test_failing_flush(failure: BaseException, reports: list[str]) -> None:
    """
    A flush that raises is reported, and the next handler is flushed.
    """

    def fail() -> None:
        raise failure

    async def afail() -> None:
        raise failure

    flushed = Flushed()
    broken = SimpleNamespace(on_event=print, flush=fail)
    abroken = SimpleNamespace(on_event=print, aflush=afail)

    with callbacks(broken, flushed):
        pass
    async with callbacks(broken, abroken, flushed):
        pass

    assert flushed.log == ["flush", "flush"]
    assert len([line for line in reports if "failed at flush" in line]) == 2


@pytest.mark.rule(14, "sync")
def test_function_handlers_are_not_flushed() -> None:
    """
    A function given for one event is not flushed, nor is what it is bound to.
    """
    flushed, other = Flushed(), Flushed()

    with callbacks(other, on_chain_start=flushed.on_event):
        emit("told")

    assert flushed.log == []
    assert other.log == ["on_custom_event", "flush"]


@pytest.mark.rule(14, "sync", "async")
async def test_flush_that_is_no_method() -> None:
    """
    An attribute called ``flush`` that cannot be called is left alone.
    """
    recorder = Recorder()
    vars(recorder)["flush"] = True

    with callbacks(recorder):
        pass
    async with callbacks(recorder):
        traced(callbacks=[recorder])(lambda: None)()

    assert len(recorder.events) == 2


@pytest.mark.rule(13, "sync")
def test_flush_that_cannot_be_read(reports: list[str]) -> None:
    """
    A handler whose ``flush`` cannot even be read does not break the block's end.
    """

    class Unreadable(Recorder):
        @property
        def flush(self) -> Any:
            raise ValueError("unreadable")

    handler = Unreadable()

    with callbacks(handler):
        traced("x")(lambda: None)()

    assert len(handler.events) == 2
    assert any("unreadable" in report for report in reports)


@both_backends
async def test_cancelled_flush(anyio_backend: str) -> None:
    """
    Who read a `TokenStream` waited for ever when its block was cancelled while another
    handler was flushed.
    """
    flushing = anyio.Event()

    class Slow(AsyncFlushed):
        async def aflush(self) -> None:
            flushing.set()
            await anyio.sleep_forever()

    class Quick(AsyncFlushed):
        async def aflush(self) -> None:
            flushed.set()

    stream, flushed = TokenStream(), anyio.Event()

    async def request() -> None:
        with cancelled:
            async with callbacks(Slow(), Quick(), stream):
                pass

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            cancelled = anyio.CancelScope()
            tasks.start_soon(request)
            await flushing.wait()
            cancelled.cancel()
            tokens = [token async for token in stream]
            await flushed.wait()

    assert tokens == []


@pytest.mark.anyio
async def test_flush_cancelled_once_more() -> None:
    """
    Where a task that was cancelled is so again while one handler is flushed, the others
    are all the same, and it ends as cancelled.
    """
    begun, flushing = asyncio.Event(), asyncio.Event()

    class Slow(AsyncFlushed):
        async def aflush(self) -> None:
            flushing.set()
            await asyncio.Event().wait()

    quick = AsyncFlushed()

    async def request() -> None:
        async with callbacks(Slow(), quick):
            begun.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(request())
    for event in (begun, flushing):
        await event.wait()
        task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert quick.log == ["flush"]


def test_closed_flush() -> None:
    """
    A coroutine that is closed while one handler is flushed flushes the others.
    """

    class Never:
        def __await__(self) -> Generator[None]:
            yield

    class Slow(AsyncFlushed):
        async def aflush(self) -> None:
            await Never()

    async def request() -> None:
        async with callbacks(Slow(), quick, slower):
            pass

    quick, slower = Flushed(), AsyncFlushed()
    leaving = request()
    leaving.send(None)

    leaving.close()

    assert (quick.log, slower.log) == (["flush"], ["flush"])


def test_interrupted_flush() -> None:
    """
    Ctrl-C while one handler of a sync block is flushed gets out, and who comes behind is
    flushed all the same: whoever reads a `TokenStream` goes on.
    """

    class Slow(Flushed):
        def flush(self) -> None:
            raise KeyboardInterrupt

    behind, stream = Flushed(), TokenStream()

    with pytest.raises(KeyboardInterrupt), callbacks(Slow(), behind, stream):
        pass

    assert behind.log == ["flush"]
    assert list(stream) == []


WHOLE = ["on_chain_start", "on_chain_end", "flush"]


class Refusing(Flushed):
    """
    Stops the call at its end.
    """

    raise_error = True

    def on_chain_end(self, outputs: Any, **kwargs: Any) -> None:
        raise PermissionError


every_handler = pytest.mark.parametrize("handler", [Flushed, AsyncFlushed])


def work(error: BaseException | None = None) -> None:
    """
    Raise what is given.
    """
    if error is not None:
        raise error


async def awork(error: BaseException | None = None) -> None:
    """
    The same in async code.
    """
    work(error)


def count() -> Iterator[int]:
    """
    Yield two numbers.
    """
    yield from (1, 2)


async def acount() -> AsyncIterator[int]:
    """
    The same in async code.
    """
    yield 1
    yield 2


@every_handler
@pytest.mark.rule(14, "sync", "generator")
def test_sync_call(handler: type[Flushed]) -> None:
    """
    A function flushes when it returns, a generator when it is exhausted.
    """
    one, two = handler(), handler()

    traced(work)(callbacks=[one])  # type: ignore[call-arg]
    list(traced(count)(callbacks=[two]))  # type: ignore[call-arg]

    assert one.log == two.log == WHOLE


@both_backends
@every_handler
@pytest.mark.rule(14, "async", "async generator")
async def test_async_call(handler: type[Flushed]) -> None:
    """
    The same holds in async code, behind what an async handler hears.
    """
    one, two = handler(), handler()

    await traced(awork)(callbacks=[one])  # type: ignore[call-arg]
    async for _ in traced(acount)(callbacks=[two]):  # type: ignore[call-arg]
        assert "flush" not in two.log

    assert one.log == two.log == WHOLE


@pytest.mark.rule(14, "sync", "generator")
def test_sync_call_that_does_not_return() -> None:
    """
    A call that raises, is stopped by a handler, or is left, flushes too.
    """
    failed, left, refusing = Flushed(), Flushed(), Refusing()

    with pytest.raises(KeyError):
        traced(work)(KeyError(), callbacks=[failed])  # type: ignore[call-arg]
    with pytest.raises(PermissionError):
        traced(work)(callbacks=[refusing])  # type: ignore[call-arg]
    numbers: Any = traced(count)(callbacks=[left])  # type: ignore[call-arg]
    next(numbers)
    numbers.close()

    assert failed.log == left.log == ["on_chain_start", "on_chain_error", "flush"]
    assert refusing.log[-1] == "flush"


@both_backends
@every_handler
@pytest.mark.rule(14, "async", "async generator")
async def test_async_call_that_does_not_return(handler: type[Flushed]) -> None:
    """
    The same holds in async code, of a call that is cancelled as well.
    """
    failed, cancelled, left, refusing = handler(), handler(), handler(), Refusing()

    with pytest.raises(KeyError):
        await traced(awork)(KeyError(), callbacks=[failed])  # type: ignore[call-arg]
    with pytest.raises(PermissionError):
        await traced(awork)(callbacks=[refusing])  # type: ignore[call-arg]
    with anyio.move_on_after(0.01):
        await traced(anyio.sleep_forever)(callbacks=[cancelled])  # type: ignore[call-arg]
    numbers: Any = traced(acount)(callbacks=[left])  # type: ignore[call-arg]
    await anext(numbers)
    await numbers.aclose()
    await anyio.to_thread.run_sync(left.flushed.wait, 5)

    assert failed.log == cancelled.log == ["on_chain_start", "on_chain_error", "flush"]
    assert left.log == failed.log
    assert refusing.log[-1] == "flush"


@both_backends
@pytest.mark.rule(13, "async generator")
async def test_call_that_is_left_and_refused(anyio_backend: str) -> None:
    """
    A handler that raises at the end of what is left is flushed, and so are the others.
    """

    class RefusingErrors(Flushed):
        raise_error = True

        def on_chain_error(self, error: BaseException, **kwargs: Any) -> None:
            raise PermissionError

    refusing, other = RefusingErrors(), Flushed()
    numbers: Any = traced(acount)(callbacks=[refusing, other])  # type: ignore[call-arg]
    await anext(numbers)

    with pytest.raises(PermissionError):
        await numbers.aclose()

    assert refusing.log[-1] == other.log[-1] == "flush"


@pytest.mark.rule(7, "async")
def test_run_that_has_ended() -> None:
    """
    A run that has ended ends no more, in async code neither.
    """
    handler = Flushed()

    with callbacks(handler), traced("once") as run:
        pass

    assert afinish(run, None) is None
    assert afail(run, KeyError()) is None
    assert handler.log == WHOLE


@pytest.mark.rule(4, "sync")
def test_who_is_not_flushed() -> None:
    """
    A constructor's handlers, and those of a block, go on when a call has ended.
    """
    constructors, blocks, own = Flushed(), Flushed(), Flushed()
    function = traced(callbacks=[constructors])(work)

    with callbacks(blocks):
        function(callbacks=[own])  # type: ignore[call-arg]
        function()
        assert "flush" not in blocks.log

    assert "flush" not in constructors.log
    assert own.log == WHOLE


async def test_flush_of_a_call_inside_another() -> None:
    """
    Handlers of a call inside another run are flushed when that call ends, and a
    request that `tail` keeps is told then.
    """
    log: list[str] = []

    class Typed:
        def on_chain_end(self, *_: object, **__: object) -> None:
            log.append("end")

        def flush(self) -> None:
            log.append("flush")

    called: Any = traced(work)
    acalled: Any = traced(awork)

    @traced
    async def outer() -> None:
        called(callbacks=[Typed()])
        await acalled(callbacks=[Typed()])
        called(callbacks=[tail(Typed(), keep=["slow>0s"])])
        log.append("outer")

    with callbacks(BaseCallbackHandler()):
        await outer()

    assert log == ["end", "flush"] * 3 + ["outer"]


def test_token_stream_of_a_call() -> None:
    """
    A stream of tokens that was given to one call ends with it.
    """
    stream = TokenStream()
    model: Any = traced.llm(lambda: (letter for letter in "abc"))
    thread = threading.Thread(target=lambda: list(model(callbacks=[stream])))

    thread.start()
    tokens = list(stream)
    thread.join()

    assert tokens == ["a", "b", "c"]


@pytest.mark.parametrize("function", [count, acount])
def test_generator_that_is_never_stepped(function: Any) -> None:
    """
    A stream of tokens that was given to a generator ends with it, though nobody takes a
    step: who reads the stream waited for ever.
    """
    stream = TokenStream()

    traced(function)(callbacks=[stream])

    assert list(stream) == []
