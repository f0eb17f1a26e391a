"""
Blocks and runs leave nothing behind, however they end.
"""

import asyncio
import gc
import subprocess
import sys
import tracemalloc
import weakref
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from contextvars import Context
from functools import partial
from typing import Any

import pytest

from instrument import (
    AsyncCallbackHandler,
    BaseCallbackHandler,
    callbacks,
    traced,
)
from instrument._state import Frame, get_state
from instrument.handlers import filtered, tail
from instrument.testing import Recorder

Called = Callable[..., Awaitable[Any]]

pytestmark = pytest.mark.anyio
WRAPPERS = (lambda it: it, tail, partial(filtered, kinds="chain"))
every_mode = ("sync", "async", "generator", "async generator")


def depth() -> int:
    """
    Count the frames and layers of this Context.
    """
    number, frame = 0, get_state()
    plan = getattr(frame, "_plan", None)
    while isinstance(frame, Frame):
        number, frame = number + 1, frame._outer
    while plan is not None:
        number, plan = number + 1, plan.outer
    return number


@pytest.mark.rule(6, *every_mode)
@pytest.mark.usefixtures("nothing_kept")
async def test_many_blocks_leave_nothing(called: Called) -> None:
    """
    Blocks, with a run each, leave no memory behind.
    """

    async def blocks(number: int) -> None:
        for _ in range(number):
            with callbacks(on_text=print, tags=["t"]):
                await called(traced("x"))

    await blocks(100)
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        await blocks(2_000)
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()

    assert grown < 50_000


def abandoned(mode: str, decorate: Callable[[Any], Any]) -> object:
    """
    Make a run that is left when what this returns is dropped.
    """

    def function() -> object:
        return (number for number in (1, 2))

    async def coroutine() -> None:
        await _once()

    def generator() -> Iterator[int]:
        yield from (1, 2)

    async def async_generator() -> Any:
        yield 1

    made: Any
    if mode == "sync":
        return decorate(function)()
    if mode == "async":
        made = decorate(coroutine)()
        made.send(None)
    elif mode == "generator":
        made = decorate(generator)()
        next(made)
    else:
        made = decorate(async_generator)()
        with pytest.raises(StopIteration):
            anext(made).send(None)
    return made


class _once:  # noqa: N801 - reads as what it does: await _once()
    def __await__(self) -> Any:
        yield


@pytest.mark.rule(6, *every_mode)
@pytest.mark.usefixtures("nothing_kept")
def test_many_abandoned_runs_leave_nothing(mode: str) -> None:
    """
    Runs that are dropped half-way end as abandoned, and nothing is kept.
    """
    ended: list[str] = []

    def hear(event: Any) -> None:
        if event.event == "on_chain_error":
            ended.append(event.data["status"])

    decorate = traced("x", tags=["t"])
    for _ in range(2_000):
        Context().run(_abandon, mode, decorate, hear)

    assert ended == ["abandoned"] * 2_000


def _abandon(mode: str, decorate: Any, hear: Any) -> None:
    with callbacks(hear):
        abandoned(mode, decorate)


@pytest.mark.rule(6, "sync", "generator")
@pytest.mark.usefixtures("nothing_kept")
@pytest.mark.parametrize("make", [callbacks, partial(traced, "x", tags=["t"])])
def test_left_elsewhere_does_not_pile_up(make: Callable[[], Any]) -> None:
    """
    Blocks that others leave do not pile up in the Context that entered them.
    """
    recorder = Recorder()

    def stream() -> Any:
        with make():
            yield

    def many() -> int:
        with callbacks(recorder):
            for _ in range(1_000):
                generator = stream()
                next(generator)
                Context().run(generator.close)
            return depth()

    assert Context().run(many) < 10


@pytest.mark.rule(6, "async")
async def test_successors_do_not_pile_up() -> None:
    """
    Tasks that each start the next do not inherit a chain that grows.
    """
    depths: list[int] = []
    done = asyncio.Event()
    tasks: set[Any] = set()

    @traced("poll", tags=["poll"])
    async def poll(left: int) -> None:
        depths.append(depth())
        if left:
            tasks.add(asyncio.create_task(poll(left - 1)))
        else:
            done.set()

    with callbacks(Recorder()):
        await poll(200)
        await done.wait()

    assert depths[-1] < 20


@pytest.mark.rule(6, *every_mode)
async def test_handler_is_freed_with_its_block(called: Called) -> None:
    """
    A handler goes with its block, without waiting for the cycle collector.
    """

    class Hears:
        def on_chain_start(self, *args: object, **kwargs: object) -> None: ...

    handler = Hears()
    freed = weakref.ref(handler)

    gc.collect()
    gc.disable()
    try:
        with callbacks(handler):
            await called(traced("x"))
        del handler
        assert freed() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("base", [object, BaseCallbackHandler, AsyncCallbackHandler])
@pytest.mark.parametrize("wrap", WRAPPERS, ids=["itself", "tail", "filtered"])
async def test_class_of_a_handler_is_freed(base: type, wrap: Any) -> None:
    """
    A handler's class that is made for a request goes, and what its methods hold with it.
    """
    freed: list[weakref.ref[Any]] = []

    async def request() -> None:
        told: list[Any] = []

        class Collecting(base):  # type: ignore[misc]
            async def on_chain_end(self, outputs: Any, **kwargs: Any) -> None:
                told.append(outputs)

            def flush(self) -> None: ...

        @traced
        def answer() -> Any:
            return type("Answer", (), {})()

        async with callbacks(wrap(Collecting())):
            freed.append(weakref.ref(answer()))
        freed.append(weakref.ref(Collecting))

    for _ in range(3):
        await asyncio.create_task(request())
    gc.collect()

    assert [it() for it in freed] == [None] * 6


@pytest.mark.rule(6, *every_mode)
async def test_arguments_of_failed_call_are_freed(called: Called) -> None:
    """
    The arguments of a call that failed are freed as soon as undecorated ones are.
    """

    class Big: ...

    def fail(_: object) -> None:
        raise ZeroDivisionError

    big = Big()
    freed = weakref.ref(big)

    gc.collect()
    gc.disable()
    try:
        with callbacks(on_chain_start=lambda **_: None), suppress(ZeroDivisionError):
            await called(traced("x"), fail, big)
        del big
        assert freed() is None
    finally:
        gc.enable()


def test_open_run_is_small() -> None:
    """
    An open run without payload weighs less than 1,000 bytes: its attributes are not
    more than the interpreter keeps in a layout that all runs share.
    """
    code = """if True:
        import tracemalloc
        from contextlib import ExitStack
        from instrument import callbacks, traced

        @traced.chat_model(model="m")
        def other(messages: list[str]) -> str:
            return "a run of another shape"

        with ExitStack() as leaving, callbacks(on_chain_end=id):
            other(["hi"])
            blocks = [traced("open") for _ in range(300)]
            for block in blocks:
                leaving.push(block)  # left in any case; entered below
            for number, block in enumerate(blocks):
                if number == 100:
                    tracemalloc.start()
                block.__enter__()
            print(tracemalloc.get_traced_memory()[0] / 200)
    """
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )

    assert float(done.stdout) < 1_000
