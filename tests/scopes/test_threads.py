"""
Into threads: what goes by itself, `bind`, and the executor.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextvars import Context, ContextVar
from typing import Any

import anyio
import anyio.to_thread
import pytest

from instrument import callbacks, current_run, traced
from instrument.propagation import ContextThreadPoolExecutor
from instrument.testing import Recorder

Called = Callable[..., Awaitable[Any]]

pytestmark = pytest.mark.anyio
both_backends = pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
every_mode = ("sync", "async", "generator", "async generator")

VARIABLE: ContextVar[str] = ContextVar("variable", default="unset")


def leaf() -> None:
    """
    Make a run.
    """
    traced("leaf")(lambda: None)()


def in_thread(function: Callable[[], object]) -> None:
    """
    Call a function in a thread of its own.
    """
    thread = threading.Thread(target=function)
    thread.start()
    thread.join()


def tree(recorder: Recorder) -> list[str]:
    """
    Give the runs as lines.
    """
    return recorder.tree().splitlines()


@pytest.mark.rule(10, "sync", "async")
async def test_to_thread_hears() -> None:
    """
    `asyncio.to_thread` is heard by itself, as a child of the run in hand.
    """
    recorder = Recorder()

    with callbacks(recorder), traced("request"):
        await asyncio.to_thread(leaf)

    assert tree(recorder) == ["chain request: ok", "  chain leaf: ok"]


@both_backends
@pytest.mark.rule(10, "sync", "async")
async def test_anyio_thread_hears() -> None:
    """
    A thread of anyio is heard by itself, and so is what it calls back.
    """
    recorder = Recorder()

    @traced("back")
    async def back() -> None:
        leaf()

    with callbacks(recorder), traced("request"):
        await anyio.to_thread.run_sync(anyio.from_thread.run, back)

    assert tree(recorder) == [
        "chain request: ok",
        "  chain back: ok",
        "    chain leaf: ok",
    ]


@pytest.mark.rule(10, "sync")
def test_plain_thread_is_deaf() -> None:
    """
    A plain thread starts with no scope: nobody hears it, and nothing breaks.
    """
    recorder = Recorder()

    with callbacks(recorder), traced("request"):
        in_thread(leaf)

    assert tree(recorder) == ["chain request: ok"]


@pytest.mark.rule(10, *every_mode)
def test_executor_copies_context(called: Called) -> None:
    """
    `ContextThreadPoolExecutor` runs each task in its submitter's whole context.
    """
    recorder = Recorder()
    seen: list[str] = []

    def body() -> None:
        seen.append(VARIABLE.get())
        VARIABLE.set("lost")
        seen.append(current_run().name)

    def submit(name: str) -> None:
        VARIABLE.set(name)
        with callbacks(recorder), traced(name):
            pool.submit(anyio.run, called, traced("task"), body).result()

    with ContextThreadPoolExecutor(1) as pool:
        for name in ("one", "two"):
            Context().run(submit, name)
        assert pool.submit(lambda: bool(current_run())).result() is False
        assert list(pool.map(abs, [-1, -2])) == [1, 2]

    assert seen == ["one", "task", "two", "task"]
    assert tree(recorder) == [
        "chain one: ok",
        "  chain task: ok",
        "chain two: ok",
        "  chain task: ok",
    ]


@pytest.mark.rule(2, "sync", "generator")
def test_threads_do_not_hear_each_other() -> None:
    """
    Requests in two threads that take turns never hear each other.
    """
    heard = [Recorder(), Recorder()]
    barrier = threading.Barrier(2, timeout=30)

    @traced("stream")
    def stream() -> Iterator[None]:
        for _ in range(10):
            barrier.wait()
            leaf()
            yield

    def request(recorder: Recorder) -> None:
        with callbacks(recorder):
            for _ in stream():
                barrier.wait()
                leaf()

    threads = [threading.Thread(target=request, args=[each]) for each in heard]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [len(each.runs) for each in heard] == [21, 21]
    assert [len(each.roots) for each in heard] == [11, 11]
