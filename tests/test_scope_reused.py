"""
One object in many places at once, one Context for many tasks.
"""

import asyncio
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


@pytest.mark.xfail(
    strict=True,
    reason="a with statement does not tell its object which entry it leaves",
)
@pytest.mark.rule(3, "sync", "generator")
def test_reused_object_leaves_its_own() -> None:
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
    elsewhere.run(next, generator)
    with block:
        generator.close()
        leaf("here")
        elsewhere.run(leaf, "there")

    assert names(recorder) == ["here"]


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
