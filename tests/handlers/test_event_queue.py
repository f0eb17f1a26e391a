"""
`EventQueue`: the thread of a background handler comes and goes with it, and with the
process.
"""

import asyncio
import gc
import os
import subprocess
import sys
import threading
from typing import Any

import pytest

from instrument import AsyncCallbackHandler, callbacks, emit, traced
from instrument._report import Exit
from instrument.handlers import background
from instrument.testing import Recorder

HEAD = """
import os, sys, threading
from instrument import callbacks, emit, traced
from instrument.handlers import background, _background
never = threading.Event()
def stuck(event):
    never.wait()
def show(event):
    print(event.event, event.name, flush=True)
"""


def run(code: str, warnings: str = "error") -> subprocess.CompletedProcess[str]:
    """
    Run *code* in a process of its own, to its exit.
    """
    command = [sys.executable, "-W", warnings, "-c", HEAD + code]
    return subprocess.run(
        command, capture_output=True, encoding="utf-8", timeout=25, check=False
    )


def servers() -> list[threading.Thread]:
    """
    List the threads that serve a handler in background.
    """
    return [it for it in threading.enumerate() if it.name == "instrument background"]


def test_no_thread_before_the_first_event() -> None:
    """
    A handler that has heard nothing has no thread.
    """
    before = servers()

    with callbacks(background(Recorder())):
        pass

    assert servers() == before


def test_threads_end(nothing_kept: None) -> None:
    """
    A thousand wrappers that were used and dropped leave no thread behind.
    """
    gc.collect()
    for thread in servers():
        thread.join(0.01)
    before = set(servers())

    for _ in range(1_000):
        with callbacks(background(lambda event: None)):
            emit("told")
    gc.collect()
    for thread in set(servers()) - before:
        thread.join(20)

    assert set(servers()) <= before


def test_thread_that_cannot_be_started(
    monkeypatch: pytest.MonkeyPatch, reports: list[str]
) -> None:
    """
    Where no thread can be started the event is lost, which is reported; the next event
    tries again.
    """
    recorder = Recorder()
    with callbacks(background(recorder)):
        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", _no_thread)
            emit("lost")
        emit("heard")

    assert [event.data["name"] for event in recorder.events] == ["heard"]
    assert len(reports) == 1
    assert "Recorder failed at on_custom_event" in reports[0]


def _no_thread(thread: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


def test_two_threads_start_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Two events that come first at the same time start one thread between them.
    """
    recorder = Recorder()
    handler = background(recorder)
    start, before = threading.Thread.start, set(servers())

    def start_late(thread: threading.Thread) -> None:
        if thread.name == "instrument background":
            monkeypatch.undo()
            handler._queue._start()
        start(thread)

    with callbacks(handler):
        monkeypatch.setattr(threading.Thread, "start", start_late)
        emit("told")
        assert len(set(servers()) - before) == 1

    assert len(recorder.events) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_fork() -> None:
    """
    A forked child begins with an empty queue and a thread of its own; what was queued
    is heard in the parent, once.
    """
    done = run(
        """
may_go_on = threading.Event()
def hear(event):
    may_go_on.wait()
    print(os.getpid() == parent, event.data["name"], flush=True)
parent = os.getpid()
handler = background(hear, maxsize=2)
with callbacks(handler):
    for name in ("first", "second", "third", "fourth", "fifth"):
        emit(name)
    dropped = handler.dropped
    child = os.fork()
    if child == 0:
        assert handler.dropped == 0
        may_go_on.set()
        emit("child")
    else:
        os.waitpid(child, 0)
        may_go_on.set()
if child == 0:
    os._exit(0)
print(dropped in (2, 3), handler.dropped == dropped)
""",
        warnings="ignore",
    )  # newer Pythons warn of forks where threads run

    lines = done.stdout.splitlines()
    assert lines[0] == "False child"
    assert lines[1:3] == ["True first", "True second"]
    assert lines[-1] == "True True"
    assert "child" not in " ".join(lines[1:])


def test_exit_empties_it() -> None:
    """
    What is queued when the interpreter exits is heard, though no block is left then.
    """
    done = run("""
with callbacks(background(show)) as scope:
    stream = traced("stream")(lambda: (yield 1))()
    next(stream)
""")

    assert done.stdout.splitlines() == [
        "on_chain_start stream",
        "on_chain_error stream",
    ]
    assert done.stderr == ""


def test_first_event_at_exit() -> None:
    """
    An event that comes first at exit, when no thread can be started, is heard.
    """
    done = run("""
class Ends:
    def on_chain_error(self, error, *, run):
        print("ended", run.name)
with callbacks(background(Ends())):
    stream = traced("stream")(lambda: (yield 1))()
    next(stream)
""")

    assert done.stdout == "ended stream\n"
    assert done.stderr == ""


def test_flush_without_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    At exit, where no thread can be started, who flushes serves what is queued, as long
    as there is time.
    """
    recorder = Recorder()
    handler = background(recorder)

    with monkeypatch.context() as patched, callbacks(handler):
        patched.setattr(Exit, "has_begun", True)
        patched.setattr(threading.Thread, "start", _no_thread)
        emit("told")
        assert not handler.flush(timeout=0)
        assert recorder.events == []
        assert handler.flush()
        assert len(recorder.events) == 1


def test_exit_is_bounded() -> None:
    """
    A handler that is stuck holds up the exit for so long and no longer, and what it has
    not heard is said on standard error.
    """
    done = run("""
_background.EXIT_WAIT_S = 0.05
handlers = [background(stuck, maxsize=2) for _ in range(3)]
installed = callbacks(*handlers).install()
for _ in range(6):
    emit("told")
print([it.dropped in (3, 4) for it in handlers])
""")

    assert done.returncode == 0
    assert done.stdout == "[True, True, True]\n"
    told = [line for line in done.stderr.splitlines() if "lost" in line]
    assert len(told) == 3
    assert told[0].startswith("background(stuck) lost ")
    assert told[0].endswith("2 were not served in time at exit")


def test_exit_says_what_was_dropped() -> None:
    """
    What was dropped in the life of the process is said again at its end.
    """
    done = run("""
may_go_on = threading.Event()
handler = background(lambda event: may_go_on.wait(), maxsize=1)
with callbacks(handler):
    for _ in range(10):
        emit("told")
    may_go_on.set()
assert handler.dropped in (8, 9)
""")

    last = done.stderr.splitlines()[-1]
    assert last.startswith("background(<lambda>) lost ")
    assert last.endswith(" found its queue full, 0 were not served in time at exit")


def test_process_that_never_heard() -> None:
    """
    A wrapper that heard nothing says nothing at exit.
    """
    done = run("handler = background(show)")

    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)


def test_items_do_not_keep_runs() -> None:
    """
    The thread that waits for the next event holds none of the last one's objects.
    """
    import weakref

    class Payload: ...

    seen: list[Any] = []

    def hear(event: Any) -> None:
        if event.data.get("inputs"):
            seen.append(weakref.ref(event.data["inputs"]["value"]))

    handler = background(hear)
    with callbacks(handler):
        traced(lambda value: None)(Payload())
    gc.collect()

    assert [ref() for ref in seen] == [None]


def test_async_handler_where_no_loop_can_be_made(
    monkeypatch: pytest.MonkeyPatch, reports: list[str]
) -> None:
    """
    Where no loop is to be had for an async handler, that is reported, and Python warns of
    nothing that was never awaited.
    """

    class Hears(AsyncCallbackHandler):
        async def on_chain_start(self, *args: Any, **kwargs: Any) -> None: ...

    def run(runner: asyncio.Runner, coroutine: Any) -> None:
        raise OSError("no descriptor is left")

    monkeypatch.setattr(asyncio.Runner, "run", run)
    handler = background(Hears())
    with callbacks(handler):
        traced("x")(lambda: None)()

    assert handler.flush(10)
    assert "no descriptor is left" in reports[0]


def test_interrupted_as_an_event_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    An event at which an interrupt comes before it was kept is kept all the same.
    """
    recorder = Recorder()
    handler = background(recorder)
    put, interrupted = handler._queue.put, list[object]()

    def interrupt(*given: Any) -> None:
        if not interrupted:
            interrupted.append(given)
            raise KeyboardInterrupt
        put(*given)

    monkeypatch.setattr(handler._queue, "put", interrupt)
    with callbacks(handler), pytest.raises(KeyboardInterrupt):
        traced("x")(lambda: None)()

    assert handler.flush(10)
    events = [it.event for it in recorder.events]
    assert events == ["on_chain_start", "on_chain_error"]
