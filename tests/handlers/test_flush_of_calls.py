"""
Handlers that one call is given in ``callbacks=`` are flushed when it ends.
"""

import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import anyio
import pytest

from instrument import AsyncCallbackHandler, BaseCallbackHandler, callbacks, traced
from instrument._runs.ending import afail, afinish
from instrument.handlers import TokenStream

pytestmark = pytest.mark.anyio

both_backends = pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])

WHOLE = ["on_chain_start", "on_chain_end", "flush"]


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
