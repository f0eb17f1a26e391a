"""
`background`: a handler with a queue and a thread of its own.
"""

import asyncio
import gc
import os
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from instrument import bind, callbacks, emit, traced
from instrument._delivery import loops as _loops
from instrument.handlers import background
from instrument.testing import Recorder


@traced
def work(value: object = None) -> object:
    """
    Be a run.
    """
    return value


class Slow(Recorder):
    """
    A recorder that hears nothing until it is let.
    """

    def __init__(self) -> None:
        super().__init__()
        self.has_begun = threading.Event()
        self.may_go_on = threading.Event()
        self.threads: set[threading.Thread] = set()

    def on_event(self, event: Any, **kwargs: Any) -> None:
        self.threads.add(threading.current_thread())
        self.has_begun.set()
        assert self.may_go_on.wait(20)
        super().on_event(event)


@pytest.fixture
def slow() -> Iterator[Slow]:
    """
    Give a slow handler, and let it go at the end.
    """
    made = Slow()
    yield made
    made.may_go_on.set()
    made.clear()


def test_call_does_not_wait(slow: Slow) -> None:
    """
    The call goes on while the handler is at work; leaving the block waits for it.
    """
    with callbacks(background(slow)):
        work()
        assert slow.has_begun.wait(20)
        work()
        assert slow.events == []
        slow.may_go_on.set()

    assert [event.seq for event in slow.events] == [1, 2, 1, 2]


def test_thread_of_its_own() -> None:
    """
    The handler hears in one thread that is not the caller's, and is a daemon.
    """
    threads: list[threading.Thread] = []

    with callbacks(
        background(lambda event: threads.append(threading.current_thread()))
    ):
        work()
        work()

    assert len(set(threads)) == 1
    assert threads[0] is not threading.current_thread()
    assert threads[0].daemon


def test_handler_is_muted() -> None:
    """
    What the handler calls itself is not heard.
    """
    recorder = Recorder()

    def busy(event: Any) -> None:
        work()
        emit("told")

    with callbacks(background(busy), recorder):
        work()

    assert len(recorder.events) == 2


def test_full_queue(slow: Slow, reports: list[str]) -> None:
    """
    What a full queue cannot take is dropped, counted, and reported at the first time.
    """
    handler = background(slow, maxsize=3)

    with callbacks(handler):
        emit("0")
        assert slow.has_begun.wait(20)
        for number in range(1, 11):
            emit(str(number))
        dropped = handler.dropped
        slow.may_go_on.set()

    assert dropped == 7
    assert [event.data["name"] for event in slow.events] == ["0", "1", "2", "3"]
    assert len(reports) == 1
    assert "background(Slow) drops events: its queue of 3 is full" in reports[0]


def test_room_again(slow: Slow) -> None:
    """
    Once the handler has caught up, it hears again.
    """
    handler = background(slow, maxsize=1)

    with callbacks(handler):
        for _ in range(5):
            emit("lost")
        slow.may_go_on.set()
        assert handler.flush()
        emit("heard")

    assert slow.events[-1].data["name"] == "heard"


def test_flush() -> None:
    """
    `flush` tells whether what was queued has been heard in time.
    """
    recorder = Recorder()
    handler = background(recorder)
    assert handler.flush()

    with callbacks(handler):
        work()
        assert handler.flush(timeout=20)
        assert len(recorder.events) == 2


def test_flush_that_takes_too_long(slow: Slow) -> None:
    """
    `flush` gives up after its time, and can be called again.
    """
    handler = background(slow)

    with callbacks(handler):
        work()
        assert not handler.flush(timeout=0.01)
        slow.may_go_on.set()
        assert handler.flush()


@pytest.mark.anyio
@pytest.mark.parametrize("is_async", [True, False])
async def test_leaving_takes_too_long(
    slow: Slow, is_async: bool, reports: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A block that has waited long enough for its handler is left, with a report.
    """
    monkeypatch.setattr(_loops, "WAIT_S", 0.01)

    if is_async:
        async with callbacks(background(slow)):
            work()
    else:
        with callbacks(background(slow)):
            work()

    assert len(reports) == 1
    assert "Slow failed at flush in background (waited 0 s)" in reports[0]


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_leaving_in_async_code(slow: Slow) -> None:
    """
    An async block waits for the handler, and does not hold up its loop meanwhile.
    """
    from anyio import create_task_group
    from anyio.lowlevel import checkpoint

    handler = background(slow)

    async def let_go() -> None:
        await checkpoint()
        slow.may_go_on.set()

    async with create_task_group() as tasks:
        async with callbacks(handler):
            work()
            tasks.start_soon(let_go)
        assert len(slow.events) == 2
    assert await background(Recorder()).aflush()


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_aflush_that_takes_too_long(slow: Slow) -> None:
    """
    `aflush` gives up after its time too.
    """
    handler = background(slow)

    with callbacks(handler):
        work()
        assert not await handler.aflush(timeout=0.01)
        slow.may_go_on.set()


def test_flush_by_the_handler() -> None:
    """
    A handler that flushes its own wrapper does not wait for itself.
    """
    answers: list[bool] = []

    async def impatient(event: Any) -> None:
        answers.append(handler.flush())
        answers.append(await handler.aflush())

    handler = background(impatient)
    with callbacks(handler):
        emit("told")

    assert answers == [False, False]


def test_live_run_has_gone_on(slow: Slow) -> None:
    """
    An event is as it was, while its run may have ended when the handler hears of it.
    """
    with callbacks(background(slow)):
        work("result")
        slow.may_go_on.set()

    start = slow.events[0]
    assert start.event == "on_chain_start"
    assert start.data == {"inputs": {"value": "result"}}
    assert slow.runs[0].status == "ok"


@pytest.mark.parametrize(
    "failure", [OSError("full"), SystemExit(1), KeyboardInterrupt()]
)
def test_handler_that_raises(failure: BaseException, reports: list[str]) -> None:
    """
    Whatever the handler raises, it is reported, and the thread serves on.
    """
    recorder = Recorder()

    def fail(event: Any) -> None:
        recorder.on_event(event)
        raise failure

    with callbacks(background(fail)):
        work()

    assert len(recorder.events) == 2
    assert len(reports) == 1


def test_handler_that_may_stop_the_call() -> None:
    """
    A handler that is to stop calls cannot do so from the background: it is refused.
    """

    class Strict(Recorder):
        raise_error = True

    with pytest.raises(TypeError, match=r"cannot take .*Strict, whose raise_error"):
        background(Strict())


@pytest.mark.parametrize(
    "maxsize, error",
    [
        (0, ValueError),
        (-1, ValueError),
        (True, TypeError),
        (1.5, TypeError),
        ("9", TypeError),
    ],
)
def test_bad_size(maxsize: Any, error: type[Exception]) -> None:
    """
    A size that is no number of events is refused, with the value.
    """
    with pytest.raises(error, match=rf"background\(maxsize=...\) .* not {maxsize!r}"):
        background(Recorder(), maxsize=maxsize)


@pytest.mark.parametrize(
    "text",
    ["\x1b[2J", "{} {0} %s", "<red>", "a\r\nb", "\ud800", "x" * 10_000_000],
    ids=["escape", "braces", "markup", "lines", "surrogate", "long"],
)
def test_hostile_payload(text: str) -> None:
    """
    Payloads pass through the queue untouched.
    """
    cyclic: list[Any] = [text]
    cyclic.append(cyclic)

    class Angry:
        def __repr__(self) -> str:
            raise ValueError

    angry = Angry()
    heard: list[Any] = []

    with callbacks(background(heard.append)):
        traced(lambda *args: None)(text, cyclic, angry)

    args = heard[0].data["inputs"]["args"]
    assert args[0] == text
    assert args[1] is cyclic
    assert args[2] is angry


@pytest.mark.anyio
async def test_many_at_once() -> None:
    """
    Ten thousand runs on 50 threads and 500 tasks: all are heard, or counted as dropped.
    """
    ended = 0
    lock, is_over = threading.Lock(), threading.Event()

    class Counting:
        def on_chain_end(self, *args: Any, **kwargs: Any) -> None:
            nonlocal ended
            with lock:
                ended += 1

    class Waiting(Counting):
        def on_chain_end(self, *args: Any, **kwargs: Any) -> None:
            assert is_over.wait(20)
            super().on_chain_end()

    def in_thread() -> None:
        for _ in range(100):
            work()

    async def in_task() -> None:
        for _ in range(10):
            work()
            await asyncio.sleep(0)

    all_heard, some_heard = background(Counting()), background(Waiting(), maxsize=10)
    async with callbacks(all_heard, some_heard):
        threads = [threading.Thread(target=bind(in_thread)) for _ in range(50)]
        for thread in threads:
            thread.start()
        await asyncio.gather(*(in_task() for _ in range(500)))
        for thread in threads:
            thread.join()
        is_over.set()

    assert all_heard.dropped == 0
    assert some_heard.dropped > 0
    assert ended == 20_000 - some_heard.dropped


def test_stream_collected_by_the_thread() -> None:
    """
    A stream that the handler's thread drops last ends there, and is heard.
    """
    heard: list[Any] = []

    @traced("stream")
    def stream() -> Any:
        yield 1

    def drop(event: Any) -> None:
        heard.append((event.event, event.name))
        held.clear()

    held: list[Any] = []
    handler = background(drop)
    with callbacks(handler):
        held.append(stream())
        next(held[0])
        assert handler.flush()
        assert handler.flush()

    assert heard == [("on_chain_start", "stream"), ("on_chain_error", "stream")]


def test_thread_goes_with_its_handler() -> None:
    """
    A wrapper that nobody has any more is collected with what its handler keeps, runs that
    know the wrapper among it; its thread ends.
    """
    threads: list[threading.Thread] = []

    class Keeps(Recorder):
        def on_event(self, event: Any, **kwargs: Any) -> None:
            threads.append(threading.current_thread())
            super().on_event(event)

    def request() -> "weakref.ref[object]":
        kept = Keeps()
        with callbacks(background(kept)):
            work()
        assert kept.runs[0].status == "ok"
        return weakref.ref(kept)

    gone = request()
    for _ in range(100):
        gc.collect()
        threads[0].join(0.1)
        if gone() is None:
            break

    assert gone() is None
    assert not threads[0].is_alive()


_WORKER = """
import multiprocessing, sys, threading, time, warnings
from concurrent.futures import ThreadPoolExecutor
warnings.simplefilter("ignore")
from instrument import callbacks, traced
from instrument.handlers import FileCallbackHandler, StoreHandler, background
from instrument.handlers._store.reader import Reader

@traced
def work():
    time.sleep(0.2)  # its thread is at work yet where the process comes to its end

def begin():
    if sys.argv[1] == "call": work()
    elif sys.argv[1] == "thread": threading.Thread(target=work).start()
    else:
        global pool
        pool = ThreadPoolExecutor()
        pool.submit(work)

handlers = background(FileCallbackHandler(sys.argv[2])), StoreHandler(sys.argv[3])
callbacks(*handlers).install()
worker = multiprocessing.get_context("fork").Process(target=begin)
worker.start(); worker.join()
assert worker.exitcode == 0
with open(sys.argv[2]) as file: assert len(file.readlines()) == 2
assert [it["status"] for it in Reader(sys.argv[3]).requests()] == ["ok"]
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.parametrize("way", ["call", "thread", "pool"])
def test_forked_worker_serves_what_waits(way: str, tmp_path: Path) -> None:
    """
    A worker that was forked by multiprocessing has served all when it has ended, also
    what its threads did last.
    """
    files = [str(tmp_path / "lines.jsonl"), str(tmp_path / "traces.db")]

    done = subprocess.run(
        [sys.executable, "-c", _WORKER, way, *files],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert (done.returncode, done.stderr) == (0, "")
