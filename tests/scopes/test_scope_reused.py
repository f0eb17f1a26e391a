"""
One object in many places at once, one Context for many tasks.
"""

import _thread
import asyncio
import os
import sys
import threading
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from contextvars import Context, copy_context
from typing import Any

import pytest

from instrument import callbacks, traced
from instrument._state import get_state
from instrument.testing import Recorder

Called = Callable[..., Awaitable[Any]]

pytestmark = pytest.mark.anyio
both_backends = pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
every_mode = ("sync", "async", "generator", "async generator")


def names(recorder: Recorder) -> list[str]:
    """
    Give the names of the runs that it heard.
    """
    return [run.name for run in recorder.runs]


def leaf(name: str = "leaf") -> None:
    """
    Make a run.
    """
    traced(name)(lambda: None)()


def leave(block: Any, exc: BaseException | None = None) -> None:
    """
    Leave a block as ``with`` does.
    """
    block.__exit__(exc and type(exc), exc, None)


@pytest.mark.rule(3, "sync")
def test_reused_object_nests() -> None:
    """
    One object entered again inside itself is left as often as it was entered.
    """
    recorder = Recorder()
    before = get_state()
    block = callbacks(recorder, tags=["t"])

    with block, ExitStack() as stack:
        stack.enter_context(block)
        leaf("1")
        stack.close()
        leaf("2")
    leaf("3")

    assert names(recorder) == ["1", "2"]
    assert get_state() is before


@pytest.mark.rule(3, "sync", "generator")
@pytest.mark.parametrize("is_first", [True, False])
def test_reused_object_leaves_its_own(*, is_first: bool) -> None:
    """
    A generator that leaves an object entered in two Contexts leaves its own entry.
    """
    recorder = Recorder()
    block = callbacks(recorder)

    def stream() -> Any:
        with block:
            yield

    generator = stream()
    elsewhere = Context()
    if is_first:
        elsewhere.run(next, generator)
    with block:
        if not is_first:
            elsewhere.run(next, generator)
        generator.close()
        leaf("here")
        elsewhere.run(leaf, "there")
    leaf("after")

    assert names(recorder) == ["here"]


@pytest.mark.rule(7, "sync", "generator")
def test_reused_run_ends_its_own() -> None:
    """
    A generator that ends a traced block entered in two Contexts ends its own run.
    """
    recorder = Recorder()
    block = traced("block")

    def stream() -> Any:
        with block as run:
            yield run

    with callbacks(recorder):
        generator = stream()
        run = copy_context().run(next, generator)
        with block as other:
            generator.close()
            assert (run.status, other.status) == ("abandoned", "running")

    assert [each.status for each in recorder.runs] == ["abandoned", "ok"]


@pytest.mark.rule(3, "async", "async generator")
async def test_reused_object_leaves_its_own_async() -> None:
    """
    So does an async generator that another task closes.
    """
    recorder = Recorder()
    block = callbacks(recorder)

    async def stream() -> Any:
        async with block:
            yield

    generator = stream()
    elsewhere = Context()
    loop = asyncio.get_running_loop()
    await loop.create_task(anext(generator), context=elsewhere)
    async with block:
        await generator.aclose()
        leaf("here")
        elsewhere.run(leaf, "there")

    assert names(recorder) == ["here"]


@pytest.mark.rule(3, "sync")
def test_block_entered_by_the_interpreter() -> None:
    """
    A block may be entered where no Python function stands above, as a thread's body.
    """
    block = callbacks(Recorder())

    _thread.start_new_thread(block.__enter__, ())
    while not block._open:
        os.sched_yield()
    leave(block)

    assert not block._open


@pytest.mark.rule(3, "sync")
@pytest.mark.parametrize("make", [callbacks, lambda: traced("x")])
def test_one_object_in_many_threads(make: Callable[[], Any]) -> None:
    """
    One object may be entered and left by many threads at once, and keeps no entry.
    """
    shared = make()
    errors: list[BaseException] = []

    def work() -> None:
        try:
            with callbacks(on_text=lambda text: None):
                for _ in range(1_000):
                    with shared:
                        pass
        except BaseException as exc:
            errors.append(exc)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)

    assert errors == []
    kept = [getattr(shared, name, None) for name in ("_open", "_runs")]
    assert [each for each in kept if isinstance(each, (list, dict)) and each] == []


@pytest.mark.rule(3, "async")
async def test_shared_context_of_tasks() -> None:
    """
    Two tasks that share one Context leave it as they found it.
    """
    recorder = Recorder()
    shared = copy_context()
    before = shared.run(get_state)
    steps = [asyncio.Event(), asyncio.Event()]

    @traced("x")
    async def work(mine: int, other: int) -> None:
        async with callbacks(recorder):
            steps[mine].set()
            await steps[other].wait()
            leaf()

    loop = asyncio.get_running_loop()
    tasks = [
        loop.create_task(work(0, 1), context=shared),
        loop.create_task(work(1, 0), context=shared),
    ]
    await asyncio.gather(*tasks)

    assert shared.run(get_state) is before
    assert names(recorder).count("leaf") == 2
    assert {run.status for run in recorder.runs} == {"ok"}


@pytest.mark.rule(1, "sync")
def test_block_given_to_a_block() -> None:
    """
    A ``callbacks`` object is no handler: it is refused with the cure, nothing silent.
    """
    block: Any = callbacks(Recorder())

    with pytest.raises(TypeError, match=r"not another callbacks.*with outer, inner"):
        callbacks(block)


def test_decorator_without_handlers() -> None:
    """
    ``@callbacks`` without its parentheses is refused at the first call, with the cure.
    """

    @callbacks
    def answer(*args: Any) -> None: ...

    given: list[tuple[Any, ...]] = [(), ("question",)]
    for args in given:
        with pytest.raises(TypeError, match=r"Write @callbacks\(handler\)"):
            answer(*args)
