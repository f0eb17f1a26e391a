"""
Queues of async handlers when their loop stops, closes, forks, or its waiter is cancelled.
"""

import asyncio
import gc
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import anyio
import pytest

from instrument import AsyncCallbackHandler, callbacks, emit, traced
from instrument._audience.listener import as_listener
from instrument._audience.plan import Layer, Options
from instrument._delivery import lanes as _lanes

pytestmark = pytest.mark.anyio
both_backends = pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])

WHOLE = ["on_chain_start", "on_custom_event", "on_chain_end"]


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
