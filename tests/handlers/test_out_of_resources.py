"""
Where no thread, descriptor or stack is left the call goes on, and that is said once.

Where a limit can be a real one, a test runs in a process of its own.
"""

import asyncio
import subprocess
import sys
from textwrap import dedent
from typing import Any

import pytest

from instrument import AsyncCallbackHandler, callbacks, traced

HANDLERS = """
    from instrument import AsyncCallbackHandler
    from instrument.handlers import MonitorHandler, TreeHandler, background, tail

    class Async(AsyncCallbackHandler):
        async def on_chain_start(self, *args, **kwargs): pass

    class Typed:
        def on_chain_start(self, serialized, inputs, **kwargs): pass

    class Flushed:
        def on_chain_end(self, outputs, **kwargs): pass
        async def aflush(self): pass

    class Wrong:
        def on_chain_start(self, serialized, inputs, no_such, **kwargs): pass

    class Mixed:
        async def on_chain_start(self, *args, **kwargs): pass
        def on_chain_end(self, *args, **kwargs): print("heard")
"""
SCRIPT = """
    import os, resource, sys, threading
    from instrument import callbacks, traced

    @traced
    def work(value): return value

    def descriptors(): return len(os.listdir("/proc/self/fd"))

    handler = {handler}
    before = descriptors()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    {limit}
    broken = 0
    for _ in range(20):
        try:
            with callbacks(handler):
                assert work(1) == 1
                {more}
        except Exception:
            broken += 1
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    print(broken, "broken,", descriptors() - before, "leaked")
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
"""
NO_THREAD = "threading.stack_size(2**46)  # no system has as much"
NO_DESCRIPTOR = "resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))"


def ran(handler: str, limit: str, more: str = "pass") -> "tuple[str, str]":
    script = SCRIPT.format(handler=handler, limit=limit, more=more)
    code = dedent(HANDLERS) + dedent(script)
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=120, check=False
    )
    return done.stdout.strip(), done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="counts in /proc/self/fd")
@pytest.mark.parametrize("limit", [NO_THREAD, NO_DESCRIPTOR], ids=["thread", "fd"])
@pytest.mark.parametrize(
    "handler, reports",
    [
        ("Async()", "Async failed at on_chain_start"),
        ("Flushed()", "Flushed failed at flush"),
        ("background(Typed())", ""),
        ("background(Async())", "Async failed at on_chain_start"),
        ("MonitorHandler()", ""),
        ("Wrong()", "Wrong failed at on_chain_start"),
        ("TreeHandler()", ""),
        ("lambda event: event.to_json()", ""),
    ],
)
def test_call_goes_on(handler: str, reports: str, limit: str) -> None:
    """
    The call goes on, nothing leaks, and the first failure is told with its traceback.
    """
    out, err = ran(handler, limit)

    assert out.splitlines()[-1] == "0 broken, 0 leaked"
    assert reports in err
    assert err.count(f"{reports};") <= 1 or not reports


def said(code: str) -> "tuple[str, str]":
    """
    Run *code* behind an async handler `Says`; give what was printed, and the reports.
    """
    done = subprocess.run(
        [sys.executable, "-c", dedent(SAYS) + dedent(code)],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return done.stdout, done.stderr


SAYS = """
    import asyncio, os, sys, threading
    from instrument import AsyncCallbackHandler, callbacks, traced

    class Says(AsyncCallbackHandler):
        async def on_chain_start(self, *args, **kwargs): print("start")
        async def on_chain_end(self, *args, **kwargs): raise ValueError("not said")

    @traced
    def work(): print("work")

    @traced
    async def awork(): print("work")
"""


def test_async_handler_where_no_thread_is_started_any_more() -> None:
    """
    While the interpreter exits it starts no thread: an async handler is served in place.
    """
    out, err = said("""
        def start(thread):
            raise RuntimeError("can't create new thread at interpreter shutdown")

        threading.Thread.start = start
        with callbacks(Says()):
            work()
    """)

    assert out == "start\nwork\n"
    assert "Says failed at on_chain_end" in err
    assert "ValueError: not said" in err


def test_async_handler_where_nothing_can_be_imported() -> None:
    """
    Where what serves an async handler cannot be imported, the call goes on without it.
    """
    out, err = said("""
        async def main():
            with callbacks(Says()):
                await awork()

        sys.modules["instrument._delivery.lanes"] = None
        asyncio.run(main())
    """)

    assert out == "work\n"
    assert "Says failed at on_chain_start" in err


def test_background_loop_whose_descriptor_is_gone() -> None:
    """
    Where the descriptor of the background loop was closed, another loop serves.
    """
    out, _ = said("""
        from instrument._delivery.loops import background

        with callbacks(Says()):
            work()
        loop = background._loop
        thread, = [it for it in threading.enumerate() if it.name == "instrument"]
        threading.excepthook = lambda told: print(told.exc_type.__name__)
        os.close(loop._selector.fileno())
        loop.call_soon_threadsafe(int)
        thread.join(10)
        with callbacks(Says()):
            work()
        assert background._loop is not loop
    """)

    counts = [out.count(word) for word in ("OSError", "start", "work")]
    assert counts == [1, 2, 2]


CARRIED = (
    "{'v': 1, 'traceparent': '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',"
    " 'return': {'kind': 'socket', 'port': 9, 'key': '00' * 32}}"
)


@pytest.mark.skipif(sys.platform != "linux", reason="counts in /proc/self/fd")
@pytest.mark.parametrize("limit", [NO_THREAD, NO_DESCRIPTOR], ids=["thread", "fd"])
@pytest.mark.parametrize(
    "more",
    [
        "carrier()",
        "inject({})",
        "pickle.dumps(bind(work))",
        f"with attach({CARRIED}): assert work(2) == 2",
        f"pickle.loads(pickle.dumps(arrived({CARRIED})))",
    ],
)
def test_way_to_another_process(more: str, limit: str) -> None:
    """
    What would go along to another process, or has come, is left out where there is
    nothing to carry it by.
    """
    limit = (
        "import json, pickle\n"
        "    from instrument.propagation import arrived, attach, bind, carrier, inject\n"
        f"    {limit}"
    )

    out, _ = ran("lambda event: None", limit, more)

    assert out.splitlines()[-1] == "0 broken, 0 leaked"


@pytest.mark.skipif(sys.platform != "linux", reason="counts in /proc/self/fd")
@pytest.mark.parametrize("limit", [NO_THREAD, NO_DESCRIPTOR], ids=["thread", "fd"])
def test_request_that_cannot_be_told(limit: str) -> None:
    """
    Of a request that `tail` has kept, and whose async handler cannot be served, sync
    methods hear the rest, and nothing is left that was never awaited.
    """
    out, err = ran("tail(Mixed(), keep=lambda runs: True)", limit)

    assert out.splitlines() == ["heard"] * 20 + ["0 broken, 0 leaked"]
    assert "never awaited" not in err


@pytest.mark.skipif(sys.platform != "linux", reason="a stack size that is refused")
def test_background_loop_comes_later() -> None:
    """
    When threads can be started again, an async handler in sync code hears.
    """
    code = """
        import threading
        from instrument import AsyncCallbackHandler, callbacks, traced

        class Async(AsyncCallbackHandler):
            heard = 0
            async def on_chain_start(self, *args, **kwargs): self.heard += 1

        @traced
        def work(): pass

        handler = Async()
        with callbacks(handler):
            threading.stack_size(2**46)
            work()
            threading.stack_size(0)
            work()
        print(handler.heard)
    """
    done = subprocess.run(
        [sys.executable, "-c", dedent(code)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.stdout.strip() == "1"


@pytest.mark.skipif(sys.platform != "linux", reason="a stack size that is refused")
def test_loop_that_is_gone() -> None:
    """
    What was queued on a loop that has gone, and finds no thread, is reported.
    """
    code = """
        import asyncio, threading
        from instrument import AsyncCallbackHandler, callbacks, traced

        class Async(AsyncCallbackHandler):
            async def on_chain_end(self, *args, **kwargs): pass

        @traced
        def work(): pass

        async def main(): work()

        with callbacks(Async()):
            loop = asyncio.new_event_loop()
            loop.run_until_complete(main())
            loop.close()
            threading.stack_size(2**46)
        threading.stack_size(0)
        print("goes on")
    """
    done = subprocess.run(
        [sys.executable, "-c", dedent(code)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.stdout.strip() == "goes on"
    assert done.stderr.count("Async failed at flush") == 1


@pytest.mark.parametrize("error", ["OSError(24, 'none is left')", "MemoryError()"])
@pytest.mark.parametrize(
    "module", ["difflib", "inspect", "traceback", "instrument._audience.slips"]
)
def test_module_that_cannot_be_loaded(module: str, error: str) -> None:
    """
    The call goes on where a module cannot be loaded that is needed in the middle of it.
    """
    code = f"""
        import sys
        from instrument import callbacks, traced

        class Finder:
            def find_spec(self, name, path=None, target=None):
                if name == {module!r}:
                    raise {error}

        class Wrong:
            def on_chain_start(self, inputs, no_such): pass

        class Misspelt:
            def on_token(self): pass
            def on_chain_end(self, outputs): print("heard")

        sys.meta_path.insert(0, Finder())
        with callbacks(Wrong()), callbacks(Misspelt()), traced("x", kind="chaim"):
            print("goes on")
    """
    done = subprocess.run(
        [sys.executable, "-c", dedent(code)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.stdout.splitlines()[0] == "goes on"
    assert done.returncode == 0, done.stderr


def test_what_a_handler_left_on_the_background_loop(reports: list[str]) -> None:
    """
    A task that ends the interpreter on its own loop ends not the one that serves.
    """
    ended, heard = [], []

    async def ends() -> None:
        ended.append(1)
        raise SystemExit

    class Leaves(AsyncCallbackHandler):
        async def on_chain_start(self, *args: Any, **kwargs: Any) -> None:
            tasks.append(asyncio.ensure_future(ends()))
            await asyncio.sleep(0)

        async def on_chain_end(self, *args: Any, **kwargs: Any) -> None:
            heard.append(1)

    @traced
    def work() -> None: ...

    tasks: list[Any] = []
    with callbacks(Leaves()):
        work()
        work()

    assert heard == ended == [1, 1]
    assert not any("waited" in it for it in reports)
    assert "Background failed at serve: SystemExit" in reports[0]
    assert all(isinstance(it.exception(), SystemExit) for it in tasks)
