"""
A scope that goes along, into threads and elsewhere: what goes by itself, `bind`, and the
executor.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context, ContextVar, copy_context
from functools import partial
from typing import Any

import anyio
import anyio.to_thread
import pytest

from instrument import bind, callbacks, current_run, traced
from instrument._state import get_state
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


@pytest.mark.rule(10, *every_mode)
def test_bind_carries_scope(called: Called) -> None:
    """
    What is bound runs in the scope of where it was bound, in any thread, and later.
    """
    recorder, other = Recorder(), Recorder()
    request = copy_context()
    block, run = callbacks(recorder), traced("request")
    request.run(block.__enter__)
    request.run(run.__enter__)

    async def work() -> None:
        with callbacks(other):
            before = get_state()
            await called(lambda it: request.run(bind, it), leaf)
            assert get_state() is before

    in_thread(partial(anyio.run, work))
    request.run(run.__exit__, None, None, None)
    request.run(block.__exit__, None, None, None)

    assert tree(recorder) == ["chain request: ok", "  chain leaf: ok"]
    assert other.runs == []


@pytest.mark.rule(10, "generator")
@pytest.mark.parametrize("kind", ["generator", "iterator"])
def test_bound_iterator(kind: str) -> None:
    """
    A bound iterator makes each step in the captured scope, and gives the consumer his.
    """
    recorder, other = Recorder(), Recorder()

    class Counting:
        left = 2

        def __iter__(self) -> Iterator[int]:
            return self

        def __next__(self) -> int:
            leaf()
            self.left -= 1
            if self.left < 0:
                raise StopIteration
            return self.left

    def generator() -> Iterator[int]:
        leaf()
        yield 1
        leaf()
        yield 0
        leaf()

    with callbacks(recorder), traced("request"):
        bound = bind(generator() if kind == "generator" else Counting())

    def consume() -> None:
        with callbacks(other):
            before = get_state()
            for _ in bound:
                assert get_state() is before
                leaf()
            assert get_state() is before

    in_thread(consume)

    assert [run.name for run in recorder.runs] == ["request", "leaf", "leaf", "leaf"]
    assert [run.name for run in other.runs] == ["leaf", "leaf"]


@both_backends
@pytest.mark.rule(10, "async generator")
@pytest.mark.parametrize("kind", ["generator", "iterator"])
async def test_bound_async_iterator(kind: str) -> None:
    """
    A bound async iterator makes each step in the captured scope.
    """
    recorder, other = Recorder(), Recorder()

    class Counting:
        left = 2

        def __aiter__(self) -> AsyncIterator[int]:
            return self

        async def __anext__(self) -> int:
            await anyio.lowlevel.checkpoint()
            leaf()
            self.left -= 1
            if self.left < 0:
                raise StopAsyncIteration
            return self.left

    async def generator() -> AsyncIterator[int]:
        for number in (1, 0):
            leaf()
            await anyio.lowlevel.checkpoint()
            yield number
        leaf()

    with callbacks(recorder):
        bound = bind(generator() if kind == "generator" else Counting())
    with callbacks(other):
        before = get_state()
        numbers = []
        async for number in bound:
            assert get_state() is before
            numbers.append(number)

    assert numbers == [1, 0]
    assert len(recorder.runs) == 3
    assert other.runs == []


@pytest.mark.rule(10, "sync")
def test_bind_keeps_variables_of_thread() -> None:
    """
    `bind` carries our scope only: the application's variables are the thread's own.
    """
    seen: list[str] = []
    VARIABLE.set("outer")

    with callbacks(Recorder()):
        bound = bind(lambda: seen.append(VARIABLE.get()))
    Context().run(bound)

    assert seen == ["unset"]


@pytest.mark.rule(10, "sync", "async")
async def test_bind_in_executor_and_many_threads() -> None:
    """
    One bound function may run in many threads at once, each a child of the same run.
    """
    recorder = Recorder()
    loop = asyncio.get_running_loop()

    with callbacks(recorder), traced("request") as request:
        bound = bind(leaf)
        with ThreadPoolExecutor(4) as pool:
            await asyncio.gather(
                *[loop.run_in_executor(pool, bound) for _ in range(20)]
            )

    assert len(recorder.children(request)) == 20
    assert {run.status for run in recorder.runs} == {"ok"}


@pytest.mark.rule(10, "sync")
def test_bind_of_ended_run() -> None:
    """
    Bound in a run that has ended, it is still heard, as a root of its own.
    """
    recorder = Recorder()

    with callbacks(recorder), traced("request"):
        bound = bind(leaf)
    bound()

    assert tree(recorder) == ["chain request: ok", "chain leaf: ok"]


@pytest.mark.rule(10, "sync")
def test_bind_refuses() -> None:
    """
    What can neither be called nor iterated is refused.
    """
    with pytest.raises(TypeError, match="bind takes"):
        bind(1)


@pytest.mark.rule(10, "sync")
def test_bind_of_bind_is_the_outer() -> None:
    """
    Bound twice, it runs where it was bound last.
    """
    one, other = Recorder(), Recorder()

    def both() -> None:
        leaf()
        bound()

    with callbacks(one):
        bound = bind(leaf)
    with callbacks(other):
        again = bind(both)
    again()

    assert len(other.runs) == 1
    assert len(one.runs) == 1


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
