"""
Async handlers at the end of things: cancellation, closed coroutines, blocks, loops.
"""

import asyncio
import gc
import threading
from collections.abc import AsyncGenerator, Generator, Iterator
from typing import Any

import anyio
import pytest

from instrument import AsyncCallbackHandler, callbacks, emit, traced
from instrument._delivery import loops as _loops

pytestmark = pytest.mark.anyio
both_backends = pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])


class Heard(AsyncCallbackHandler):
    """
    Keeps what it hears, after it has waited a little.
    """

    def __init__(self) -> None:
        self.events: list[str] = []

    async def on_event(self, event: Any, **kwargs: Any) -> None:
        await anyio.lowlevel.checkpoint()
        self.events.append(event.event)


@pytest.fixture(autouse=True)
def no_coroutine_is_left() -> Iterator[None]:
    """
    Have what was never awaited warn, which fails the test, before the test ends.
    """
    yield
    gc.collect()


@traced
def work() -> None:
    """
    Tell something in sync code.
    """
    emit("told")


@traced
async def forever() -> None:
    """
    Wait to be cancelled.
    """
    await anyio.sleep_forever()


@traced
async def endless() -> AsyncGenerator[int, None]:
    """
    Yield once, then wait to be cancelled.
    """
    yield 1
    await anyio.sleep_forever()


async def drain() -> None:
    """
    Consume the endless generator.
    """
    async for _ in endless():
        pass


WHOLE = ["on_chain_start", "on_custom_event", "on_chain_end"]
FAILED = ["on_chain_start", "on_chain_error"]


@both_backends
@pytest.mark.parametrize("body", [forever, drain])
@pytest.mark.rule(14, "async", "async generator")
async def test_cancelled_run_is_served(body: Any) -> None:
    """
    An async handler hears that a run was cancelled, though its task may not wait.
    """
    heard = Heard()

    async with callbacks(heard):
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(body)
                await anyio.wait_all_tasks_blocked()
                scope.cancel()

        assert heard.events == FAILED


@both_backends
@pytest.mark.rule(14, "async")
async def test_cancelled_block_is_served() -> None:
    """
    A block whose own task is cancelled is left when its handlers have heard.
    """
    heard = Heard()

    async def request() -> None:
        async with callbacks(heard):
            work()
            await anyio.sleep_forever()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(request)
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()

    assert heard.events == WHOLE


@both_backends
@pytest.mark.rule(14, "async")
async def test_cancelled_while_a_handler_works() -> None:
    """
    A task that is cancelled while a handler is awaited: the next handlers hear.
    """
    heard = Heard()

    class Stuck(AsyncCallbackHandler):
        async def on_chain_start(self, *args: Any, **kwargs: Any) -> None:
            await anyio.sleep_forever()

    async with callbacks(Stuck(), heard), anyio.create_task_group() as tasks:
        tasks.start_soon(forever)
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()

    assert heard.events == FAILED


@both_backends
@pytest.mark.rule(14, "async")
async def test_closed_coroutine_is_served() -> None:
    """
    A coroutine that is closed can wait for nothing: its end is queued, and served.
    """
    heard = Heard()

    @traced
    async def waits() -> None:
        await Never()

    async with callbacks(heard):
        waiting = waits()
        await Until(waiting)
        waiting.close()

    assert heard.events == FAILED


class Never:
    """
    Suspends whoever awaits it with a signal that no loop knows.
    """

    def __await__(self) -> Generator[Any, Any, None]:
        yield Never


class Until:
    """
    Drives a coroutine on this loop until it awaits `Never`.
    """

    def __init__(self, driven: Any) -> None:
        self.driven = driven

    def __await__(self) -> Generator[Any, Any, None]:
        signal = self.driven.send(None)
        while signal is not Never:
            signal = self.driven.send((yield signal))


@both_backends
@pytest.mark.rule(14, "async generator")
async def test_closed_async_generator_is_served() -> None:
    """
    An async handler hears that an async generator was closed early.
    """
    heard = Heard()

    async with callbacks(heard):
        stream = endless()
        await anext(stream)
        await stream.aclose()

    assert heard.events == FAILED


@pytest.mark.parametrize("block", ["sync outside", "sync inside", "async inside"])
@pytest.mark.rule(14, "sync", "generator")
def test_loop_ends_behind_sync_code(block: str) -> None:
    """
    What sync code queued last is served though ``asyncio.run`` ends there.
    """
    heard = Heard()

    async def main() -> None:
        if block == "sync outside":
            work()
        elif block == "sync inside":
            with callbacks(heard):
                work()
        else:
            async with callbacks(heard):
                work()

    if block == "sync outside":
        with callbacks(heard):
            asyncio.run(main())
    else:
        asyncio.run(main())

    assert heard.events == WHOLE


@pytest.mark.rule(14, "sync")
def test_loop_ends_while_a_handler_works() -> None:
    """
    A queue that is being served when ``asyncio.run`` ends is finished.
    """
    heard = Heard()

    async def main() -> None:
        work()
        await asyncio.sleep(0)  # the first event is being served

    with callbacks(heard):
        asyncio.run(main())
        work()

    assert heard.events[-3:] == WHOLE
    assert len(heard.events) >= 5


@pytest.mark.parametrize("anyio_backend", ["trio"])
@pytest.mark.rule(14, "sync", "generator")
async def test_sync_block_in_trio(reports: list[str]) -> None:
    """
    A sync block in trio leaves no coroutine behind: it is served, or its loss is told.
    """
    heard = Heard()

    with callbacks(heard):
        work()
    await anyio.lowlevel.checkpoint()

    assert heard.events == WHOLE or reports


@pytest.mark.parametrize("anyio_backend", ["trio"])
@pytest.mark.rule(14, "sync", "async")
async def test_constructor_handler_in_trio(reports: list[str]) -> None:
    """
    The same for a handler that no block will serve.
    """
    heard = Heard()

    traced(callbacks=[heard])(lambda: emit("told"))()
    await anyio.lowlevel.checkpoint()

    assert heard.events == WHOLE or reports


@pytest.mark.rule(14, "sync")
def test_handler_that_never_ends(
    monkeypatch: pytest.MonkeyPatch, reports: list[str]
) -> None:
    """
    Leaving a block waits for the background loop no longer than the limit, and says so.
    """
    gate, ended = threading.Event(), threading.Event()

    class Stuck(AsyncCallbackHandler):
        async def on_chain_start(self, *args: Any, **kwargs: Any) -> None:
            await asyncio.get_running_loop().run_in_executor(None, gate.wait)
            ended.set()

    monkeypatch.setattr(_loops, "WAIT_S", 0.01)
    with callbacks(Stuck()):
        traced(lambda: None)()
    gate.set()

    assert ended.wait(10)
    assert len([line for line in reports if "Stuck" in line]) == 1


@pytest.mark.rule(14, "sync")
def test_handler_on_the_background_loop_may_open_blocks() -> None:
    """
    A handler at work on the background loop never waits for that loop.
    """
    heard = Heard()

    class Nested(AsyncCallbackHandler):
        async def on_chain_start(self, *args: Any, **kwargs: Any) -> None:
            with callbacks(heard):
                work()

    with callbacks(Nested()):
        work()

    assert heard.events == []


@pytest.mark.rule(14, "sync", "async")
async def test_failing_async_handler_in_a_queue(reports: list[str]) -> None:
    """
    A queued handler that raises is reported, and what is behind it is served.
    """

    class Fragile(Heard):
        async def on_event(self, event: Any, **kwargs: Any) -> None:
            await super().on_event(event)
            raise LookupError(event.event)

    fragile = Fragile()
    async with callbacks(fragile):
        work()

    assert fragile.events == WHOLE
    assert len(reports) == 3
