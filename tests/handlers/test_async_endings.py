"""
Async handlers at the end of things: cancellation, closed coroutines, blocks, loops that
stop, close or fork.
"""

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import AsyncGenerator, Generator
from typing import Any

import anyio
import pytest

from instrument import AsyncCallbackHandler, callbacks, emit, traced
from instrument._audience.listener import as_listener
from instrument._audience.plan import Layer, Options
from instrument._delivery import lanes as _lanes
from instrument._delivery import loops as _loops

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.usefixtures("no_coroutine_is_left"),
]


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


@traced
def numbers() -> Generator[int]:
    """
    Count to two.
    """
    yield 1
    yield 2


@traced
async def anumbers() -> AsyncGenerator[int]:
    """
    The same, in async code.
    """
    yield 1
    yield 2


async def left_open(way: str) -> tuple[Heard, Any]:
    """
    Step a stream once, and close it elsewhere: what is heard of it has been left by then.
    """
    heard = Heard()
    streamed: Any = numbers if way.startswith("sync") else anumbers
    if way.endswith("constructor"):
        stream = traced(callbacks=[heard])(streamed)()
    else:
        async with callbacks(heard):
            stream = streamed()
    if way.startswith("sync"):
        next(stream)
    else:
        await anext(stream)
    return heard, stream


WAYS = ["sync block", "async block", "async constructor"]


@both_backends
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.rule(14, "async", "generator")
async def test_stream_closed_behind_its_block(way: str) -> None:
    """
    What is closed when its block has been left has its end heard all the same.
    """
    heard, stream = await left_open(way)

    if way.startswith("sync"):
        stream.close()
    else:
        await stream.aclose()
    await anyio.sleep(0.01)

    assert heard.events[-1] == "on_chain_error"


@pytest.mark.parametrize("way", ["async block", "async constructor"])
@pytest.mark.rule(14, "async", "generator")
def test_stream_that_trio_closes(way: str) -> None:
    """
    So has a stream that trio closes when it ends, and starts no more.
    """
    trio = pytest.importorskip("trio")

    heard, stream = trio.run(left_open, way)

    assert heard.events[-1] == "on_chain_error"
    del stream


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


async def amain() -> None:
    """
    End behind sync code.
    """
    work()


@pytest.mark.rule(14, "sync")
def test_loop_that_runs_again() -> None:
    """
    A loop that is stopped and run again has each event served once.

    Order holds on one loop: an event whose handler was at work when the loop stopped
    ends when it runs again, and what is behind it was served elsewhere by then.
    """
    heard = Heard()
    loop = asyncio.new_event_loop()

    with callbacks(heard):
        loop.run_until_complete(amain())
        loop.run_until_complete(amain())
        work()
        loop.run_until_complete(amain())
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()

    assert sorted(heard.events) == sorted(WHOLE * 4)


@pytest.mark.rule(14, "sync")
def test_block_on_a_loop_that_stops() -> None:
    """
    A block that was opened on a loop is served though it is left when that loop stands.
    """
    heard = Heard()
    loop = asyncio.new_event_loop()
    block = callbacks(heard)

    async def opened() -> None:
        block.__enter__()
        work()

    loop.run_until_complete(opened())
    block.__exit__(None, None, None)
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()

    assert heard.events == WHOLE


@pytest.mark.rule(14, "sync")
def test_closed_loop() -> None:
    """
    What is queued for a loop that closes just then is served by the background loop.
    """
    served: list[str] = []

    async def serve() -> None:
        served.append("served")

    listener = as_listener(Heard())
    layer = Layer(Options((listener,)), "block")
    loop = asyncio.new_event_loop()
    loop.close()
    lane = _lanes.Lane(listener, layer, loop)
    layer.lanes = {listener.key: lane}

    lane.put(serve(), "on_text")
    _lanes.wait([layer])

    assert served == ["served"]


@both_backends
@pytest.mark.rule(14, "sync", "async")
async def test_cancelled_behind_a_queue() -> None:
    """
    A task that is cancelled while its event waits in the queue loses no event.
    """
    heard: list[str] = []
    gate = anyio.Event()

    class Gated(AsyncCallbackHandler):
        async def on_tool_start(self, *args: Any, **kwargs: Any) -> None:
            heard.append("waits")
            await gate.wait()

        async def on_chain_start(self, *args: Any, **kwargs: Any) -> None:
            heard.append("started")

    @traced
    async def request() -> None:
        await anyio.sleep_forever()

    async with callbacks(Gated()):
        traced.tool(lambda: None)()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(request)
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
            gate.set()

    assert heard == ["waits", "started"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.parametrize("kind", ["coroutine", "promise"])
@pytest.mark.rule(14, "sync")
def test_fork_with_a_queue(kind: str) -> None:
    """
    What was queued before a fork is served by the parent, not by the child too.
    """
    code = """if True:
        import asyncio, os, sys
        from instrument import callbacks, emit

        class promise:
            def __init__(self, name): self.name = name
            def __await__(self):
                print(self.name, os.getpid() == parent)
                yield from ()

        async def coroutine(name):
            print(name, os.getpid() == parent)

        async def main():
            block = callbacks(on_custom_event=globals()[sys.argv[1]])
            block.__enter__()
            emit("before")
            if os.fork() == 0:
                emit("child")
                block.__exit__(None, None, None)
                sys.stdout.flush()
                os._exit(0)
            os.wait()
            emit("after")
            await block.__aexit__(None, None, None)

        parent = os.getpid()
        asyncio.run(main())
    """
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, kind],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == ["child False", "before True", "after True"]


@pytest.mark.rule(14, "async")
def test_cancelled_without_anyio() -> None:
    """
    Where neither anyio nor trio is loaded, a cancelled run is served as well.
    """
    code = """if True:
        import asyncio, sys
        from instrument import AsyncCallbackHandler, callbacks, traced

        class Heard(AsyncCallbackHandler):
            async def on_chain_error(self, error, **kwargs):
                await asyncio.sleep(0)
                print(type(error).__name__)

        @traced
        async def forever():
            await asyncio.Event().wait()

        async def main():
            async with callbacks(Heard()):
                task = asyncio.create_task(forever())
                await asyncio.sleep(0)
                task.cancel()
                await asyncio.wait({task})
                print("anyio" in sys.modules)

        asyncio.run(main())
    """
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )

    assert (done.stdout, done.stderr) == ("CancelledError\nFalse\n", "")


@pytest.mark.rule(14, "sync")
def test_task_factory() -> None:
    """
    An application's task factory may wrap what serves handlers in a coroutine.
    """
    code = """if True:
        import asyncio
        from instrument import AsyncCallbackHandler, callbacks, traced

        class Heard(AsyncCallbackHandler):
            async def on_event(self, event, **kwargs):
                await asyncio.sleep(0)
                print(event.event)

        async def named(coroutine):
            return await coroutine

        def factory(loop, coroutine, **kwargs):
            return asyncio.Task(named(coroutine), loop=loop)

        async def main():
            asyncio.get_running_loop().set_task_factory(factory)
            async with callbacks(Heard()):
                traced(lambda: None)()

        asyncio.run(main())
    """
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        check=False,
        timeout=10,
    )

    assert done.stdout.split() == ["on_chain_start", "on_chain_end"]
