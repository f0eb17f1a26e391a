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


@pytest.mark.parametrize("then", ["", "1 / 0"])
@pytest.mark.parametrize("raises", [False, True])
@pytest.mark.rule(14, "sync")
def test_first_heard_at_exit(then: str, *, raises: bool) -> None:
    """
    An async handler that hears its first call as the interpreter exits is served, also
    where no thread can be started any more (3.12).
    """
    code = f"""
import atexit
class Late:
    raise_error = {raises}
    async def on_event(self, event, run):
        print(event.event)
        {then}
def late():
    with callbacks(Late()):
        traced(work)()
atexit.register(late)
"""
    done = process(code)

    told = done.stdout.split()
    assert told[0] == "on_chain_start"
    assert told[1] == ("on_chain_error" if then and raises else "on_chain_end")
    assert ("division by zero" in done.stderr) == bool(then)
    assert "thread" not in done.stderr


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


@pytest.mark.rule(14, "sync")
def test_exit_behind_a_stopped_loop() -> None:
    """
    What was queued on a loop that has just been stopped is served before exit.
    """
    code = """
async def main():
    traced(work)()
callbacks(Plain()).install()
asyncio.new_event_loop().run_until_complete(main())
"""

    assert run(code, "default").split() == ["on_chain_start", "on_chain_end"]


@pytest.mark.parametrize(
    "flush", ["def flush", "async def flush", "def aflush", "async def aflush"]
)
@pytest.mark.rule(14, "sync")
def test_any_flush_at_exit(flush: str) -> None:
    """
    A handler is flushed at exit whatever of its two methods is async.
    """
    code = f"""
class Flushing(BaseCallbackHandler):
    {flush}(self): print("flush")
callbacks(Flushing()).install()
"""

    assert run(code).split() == ["flush"]


INTERRUPTED = """
import signal

def interrupt(number, frame): raise KeyboardInterrupt
signal.signal(signal.SIGUSR1, interrupt)

class Interrupted(Sync):
    def flush(self):
        print("interrupted")
        signal.raise_signal(signal.SIGUSR1)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no such signal")
@pytest.mark.parametrize(
    "use, flushes",
    [
        ("callbacks(Interrupted(), Sync(), Async()).install()", 2),
        ("callbacks(Interrupted()).install(); callbacks(Sync()).install()", 1),
        ("a, b = [traced(callbacks=[it()])(work) for it in (Interrupted, Sync)]", 1),
    ],
    ids=["of one", "of two", "constructors"],
)
def test_interrupt_at_exit(use: str, flushes: int) -> None:
    """
    An interrupt as one handler is flushed at exit keeps none of the others from it.
    """
    code = f"{INTERRUPTED}{use}\ncallbacks(Sync()).install()"

    out = process(code).stdout

    assert out.split().count("flush") == flushes + 1


@pytest.mark.parametrize("imported", ["", "import loguru"])
@pytest.mark.rule(13, "sync")
def test_flush_that_cannot_be_read(imported: str) -> None:
    """
    A handler whose ``flush`` cannot even be read is reported; the next is flushed.
    """
    code = f"""
{imported}
class Broken(BaseCallbackHandler):
    @property
    def flush(self): raise ValueError("unreadable")
callbacks(Broken()).install()
callbacks(Sync()).install()
"""

    done = process(code)

    assert (done.returncode, done.stdout) == (0, "flush\n")
    assert "ValueError: unreadable" in done.stderr


@pytest.mark.rule(7, "generator")
def test_streams_that_hold_each_other_at_exit() -> None:
    """
    A suspended generator that a handler drops at exit ends once, like all others.
    """
    code = """
class Dropping(Sync):
    def on_chain_error(self, error, **kwargs): held.clear()
callbacks(Dropping()).install()
@traced
def stream():
    yield 1
held = [stream(), stream()]
for each in held:
    next(each)
del each
"""

    out = run(code).split()

    assert out == ["on_chain_start"] * 2 + ["on_chain_error"] * 2 + ["flush"]


@pytest.mark.parametrize(
    "stream, rest",
    [
        ("def stream(): yield from 'ab'", "list(held)"),
        ("def stream():\n yield 'a'\n raise KeyError", "list(held)"),
        ("async def stream():\n yield 'a'\n yield 'b'", "asyncio.run(drain())"),
        ("async def stream():\n yield 'a'\n raise KeyError", "asyncio.run(drain())"),
    ],
    ids=["generator", "generator raises", "async generator", "async generator raises"],
)
@pytest.mark.rule(7, "generator", "async generator")
def test_stream_read_on_at_exit(stream: str, rest: str) -> None:
    """
    A stream that the application reads on at exit, after its run ended, ends once.
    """
    before = "import atexit; atexit.register(lambda: at_exit())"
    code = f"""
callbacks(Sync()).install()
@traced
{stream}
async def start():
    async for _ in held: break
async def drain():
    async for item in held: print("read", item)
def at_exit():
    try:
        print("read", {rest})
    except KeyError:
        print("raised")
held = stream()
asyncio.new_event_loop().run_until_complete(start()) if {"async" in stream} else next(held)
"""

    out = run(code, before=before).split("\n")

    events = [line for line in out if line.startswith("on_")]
    assert events == ["on_chain_start", "on_chain_error"]
    assert out[-2].startswith("raised" if "raise" in stream else "read")


def run(code: str, warnings: str = "error", *, before: str = "") -> str:
    """
    Run *code* in a process of its own, in which nothing may warn.
    """
    done = process(code, warnings, before=before)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def process(
    code: str, warnings: str = "error", *, before: str = ""
) -> "subprocess.CompletedProcess[str]":
    """
    Run *code* in a process of its own, behind the definitions above.
    """
    return subprocess.run(
        [sys.executable, "-W", warnings, "-c", f"{before}\n{DEFINED}{code}"],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


def test_what_is_forgotten_at_exit() -> None:
    """
    A block that goes unused when exit has begun goes without a word.
    """
    before = "import atexit; atexit.register(lambda: made.clear())"

    assert run("made = [callbacks(Sync()), traced('x')]", before=before) == ""


def test_bound_where_nobody_has_listened() -> None:
    """
    `bind` works in a process in which nobody has listened yet.
    """
    out = run("from instrument import bind\nprint(bind(work)())")

    assert out == "done\n"


OPEN = {
    "block": "block = callbacks(Sync()); block.__enter__(); traced(work)()",
    "block of an async handler": "block = callbacks(Plain()); block.__enter__()",
    "traced block": """
block = callbacks(Sync()); block.__enter__()
inside = traced("x"); inside.__enter__()""",
    "block in a generator": """
def held():
    with callbacks(Sync()), traced("x"): yield
made = held(); next(made)""",
    "block in a coroutine": """
class Waits:
    def __await__(self): yield
async def held():
    async with callbacks(Plain()), traced("x"): await Waits()
made = held(); made.send(None)""",
    "suspended coroutine": """
class Waits:
    def __await__(self): yield
@traced
async def held(): await Waits()
with callbacks(Sync()): made = held(); made.send(None)""",
}


@pytest.mark.parametrize("code", OPEN.values(), ids=OPEN)
def test_exit_with_what_is_open(code: str) -> None:
    """
    Blocks that are open at exit, and what Python itself does not close, do no harm.
    """
    run(code, "always")


@pytest.mark.parametrize(
    "handler",
    [
        "Waits()",
        "AsyncWaits()",
        "lambda event: here.set()",
        "Quick()",
        "background(lambda event: here.set())",
    ],
)
def test_exit_with_daemon_threads(handler: str) -> None:
    """
    Daemon threads that are in a handler at exit, or call one all the time, do no harm.
    """
    code = f"""
import threading
from instrument.handlers import background
here = threading.Event()
class Waits(BaseCallbackHandler):
    def on_chain_start(self, *args, **kwargs):
        here.set()
        threading.Event().wait()
class AsyncWaits(AsyncCallbackHandler):
    async def on_chain_start(self, *args, **kwargs):
        here.set()
        await asyncio.Event().wait()
class Quick(AsyncCallbackHandler):
    async def on_chain_start(self, *args, **kwargs): here.set()
def there():
    while True:
        with callbacks({handler}): traced(work)()
for _ in range(3): threading.Thread(target=there, daemon=True).start()
here.wait()
"""

    run(code, "always")


@pytest.mark.parametrize(
    "body", ["sys.exit(0)", "raise SystemExit"], ids=["exit", "SystemExit"]
)
@pytest.mark.rule(7, "sync")
def test_exit_from_within(body: str) -> None:
    """
    What a program leaves by ends all that is open, inner before outer.
    """
    code = f"""
class Names(BaseCallbackHandler):
    def on_event(self, event, **kwargs): print(event.event, event.name)
@traced("inner")
def leave(): {body}
with callbacks(Names()), traced("outer"): leave()
"""

    assert run(code).splitlines() == [
        "on_chain_start outer",
        "on_chain_start inner",
        "on_chain_error inner",
        "on_chain_error outer",
    ]
