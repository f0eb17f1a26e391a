"""
The end of a process, and its forks: what is queued is served, handlers are flushed.
"""

import os
import subprocess
import sys

import pytest

DEFINED = """
import asyncio, sys, warnings
from instrument import AsyncCallbackHandler, BaseCallbackHandler, callbacks, emit, traced

class Sync(BaseCallbackHandler):
    def on_event(self, event, **kwargs): print(event.event)
    def flush(self): print("flush")

class Async(AsyncCallbackHandler):
    async def on_event(self, event, **kwargs): print(event.event)
    async def aflush(self):
        await asyncio.sleep(0)
        print("flush")

class Plain(AsyncCallbackHandler):
    async def on_event(self, event, **kwargs): print(event.event)

def work(): return "done"
"""


@pytest.mark.parametrize("handler", ["Sync", "Async"])
@pytest.mark.parametrize(
    "use",
    [
        "callbacks({}()).install(); traced(work)()",
        "answer = traced(callbacks=[{}()])(work); answer()",
        "callbacks({}()).install(); asyncio.run(traced(main)())",
    ],
    ids=["process-wide", "constructor", "process-wide on a loop"],
)
@pytest.mark.rule(14, "sync", "async")
def test_flush_at_exit(handler: str, use: str) -> None:
    """
    Handlers that no block flushes are flushed when the interpreter exits.
    """
    out = run(f"async def main(): work()\n{use.format(handler)}")

    assert out.split() == ["on_chain_start", "on_chain_end", "flush"]


@pytest.mark.parametrize("installed", ["outside", "inside"])
@pytest.mark.rule(14, "sync")
def test_exit_behind_a_loop(installed: str) -> None:
    """
    What sync code queued last on a loop is served before the interpreter exits.
    """
    install = "callbacks(Plain()).install()"
    code = f"""
async def main():
    {install if installed == "inside" else "pass"}
    traced(work)()
{install if installed == "outside" else "pass"}
asyncio.run(main())
"""

    assert run(code).split() == ["on_chain_start", "on_chain_end"]


@pytest.mark.rule(14, "generator")
def test_exit_with_a_suspended_generator() -> None:
    """
    A generator that is suspended at exit ends, is heard, and then handlers are flushed.
    """
    code = """
callbacks(Sync()).install()
@traced
def stream():
    yield 1
held = stream()
next(held)
"""

    assert run(code).split() == ["on_chain_start", "on_chain_error", "flush"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.parametrize("opened", ["sync", "loop"])
@pytest.mark.parametrize("child", ["traced(work)()", "asyncio.run(traced(awork)())"])
@pytest.mark.rule(14, "sync", "async")
def test_fork(opened: str, child: str) -> None:
    """
    A forked child has its async handlers served, though the parent's loop stayed there.
    """
    code = f"""
import os
async def awork(): pass
def parent():
    if os.fork() == 0:
        with callbacks():
            {child}
        block.__exit__(None, None, None)
        sys.stdout.flush()
        os._exit(0)
    os.wait()
async def main():
    block.__enter__()
    parent()
block = callbacks(Plain())
if {opened!r} == "loop":
    asyncio.run(main())
else:
    with block:
        parent()
"""

    assert run(code).split() == ["on_chain_start", "on_chain_end"]


def run(code: str) -> str:
    """
    Run *code* in a process of its own, in which nothing may warn.
    """
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", DEFINED + code],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout
