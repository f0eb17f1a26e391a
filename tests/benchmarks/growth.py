"""
What must not grow: the memory of a run, of a long scope, and the price of the next
run, level, task or handler when there are ten times as many.
"""

import asyncio
import gc
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import psutil

from instrument import callbacks, traced
from tests.benchmarks import floor
from tests.benchmarks.measure import Ratio, cpu_us, in_turn

OPEN_RUN_BYTES = 1_000
MANY_RUNS = 1_000_000

LINEAR_BAR = 2.0
"""Ten times as many: linear gives 1, caches and the collector add some; square is 10."""

_SLICES = 5
_OPEN = 1_000
_WARM_UP = 20_000
_CALLS = 200


@traced
def nothing() -> None: ...


@traced
def descend(levels: int) -> None:
    if levels > 1:
        descend(levels - 1)


@traced
async def wait(gate: asyncio.Event) -> None:
    await gate.wait()


def open_run() -> Ratio:
    """
    Weigh all that entering a block with ``traced("open")`` leaves, while it is open.

    In a process that has made other runs before, of another shape: see
    `ratios.heard_function_in_run`.
    """
    with callbacks(floor.Handler()):
        _call(_WARM_UP)
    blocks = [traced("open") for _ in range(_OPEN)]
    with callbacks(floor.Handler()), traced("warm up"), ExitStack() as leaving:
        for block in blocks:
            leaving.push(block)  # left in any case; entered below
        tracemalloc.start()
        before, _ = tracemalloc.get_traced_memory()
        for block in blocks:
            block.__enter__()
        after, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    return Ratio([((after - before) / _OPEN, OPEN_RUN_BYTES)], 1, "B")


def many_runs() -> Ratio:
    """
    Hold what the process has grown by against one byte a run.
    """
    with callbacks(floor.Handler()):
        _call(_WARM_UP)
        before = _resident_bytes()
        _call(MANY_RUNS)
        grown = _resident_bytes() - before
    return Ratio([(max(0, grown) / MANY_RUNS, 1)], 1, "B")


def runs() -> Ratio:
    with callbacks(floor.Handler()):
        return _grown(_call, 10_000)


def depth() -> Ratio:
    with callbacks(floor.Handler()), deep_stack(10_000):
        return _grown(descend, 100)


def tasks() -> Ratio:
    with callbacks(floor.Handler()):
        return _grown(lambda number: asyncio.run(_at_once(number)), 1_000)


def handlers() -> Ratio:
    def hear(number: int) -> None:
        with callbacks(*[floor.Handler() for _ in range(number)]):
            _call(_CALLS)

    return _grown(hear, 10, each=_CALLS)


GROWTH: dict[str, Callable[[], Ratio]] = {
    "an open run without payload, of 1 kB": open_run,
    "1,000,000 runs in one scope: kept a run, of 1 byte": many_runs,
    "a run: 100,000 against 10,000": runs,
    "a level: 1,000 deep against 100": depth,
    "a task: 10,000 at once against 1,000": tasks,
    "a handler of a run: 100 against 10": handlers,
}


@contextmanager
def deep_stack(levels: int) -> Iterator[None]:
    """
    Allow calls so deep.
    """
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(levels)
    try:
        yield
    finally:
        sys.setrecursionlimit(before)


def _grown(work: Callable[[int], object], number: int, *, each: int = 1) -> Ratio:
    """
    Compare the time of one unit among ten times *number* with that among *number*.

    Args:
        each: How often *work* does it for each of them.
    """
    work(number)
    return in_turn(
        lambda: cpu_us(lambda: work(10 * number), 10 * number * each),
        lambda: cpu_us(lambda: work(number), number * each),
        bar=LINEAR_BAR,
        slices=_SLICES,
    )


def _call(number: int) -> None:
    for _ in range(number):
        nothing()


async def _at_once(number: int) -> None:
    gate = asyncio.Event()
    waiting = [asyncio.create_task(wait(gate)) for _ in range(number)]
    await asyncio.sleep(0)
    gate.set()
    await asyncio.gather(*waiting)


def _resident_bytes() -> int:
    gc.collect()
    return int(psutil.Process().memory_info().rss)
