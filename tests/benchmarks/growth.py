"""
What must not grow: the memory of a run, of a long scope, and the price of the next
run, level, task, handler or entry when there are ten times as many.
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
from tests.benchmarks.measure import Figures, Pair, Row, Side, alone

OPEN_RUN_BYTES = 1_000
MANY_RUNS = 1_000_000
KEPT_BYTES = 1.0
"""The most that a run may leave in its scope: a megabyte in a million."""

LINEAR_BAR = 1.2
"""Ten times as many: linear gives 1, square 10."""

_OPEN = 1_000
_WARM_UP = 20_000
_CALLS = 20


@traced
def nothing() -> None: ...


@traced
def descend(levels: int) -> None:
    if levels > 1:
        descend(levels - 1)


@traced
async def wait(gate: asyncio.Event) -> None:
    await gate.wait()


def open_run() -> Figures:
    """
    Weigh all that entering a block with ``traced("open")`` leaves, while it is open.

    In a process that has made other runs before, of another shape: see
    `rows.heard_function_in_run`.
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
    return Figures([((after - before) / _OPEN, 0)])


def many_runs() -> Figures:
    """
    Tell what the process has grown by, per run.
    """
    with callbacks(floor.Handler()):
        _call(_WARM_UP)
        before = _resident_bytes()
        _call(MANY_RUNS)
        grown = _resident_bytes() - before
    return Figures([(max(0, grown) / MANY_RUNS, 0)])


@contextmanager
def runs() -> Iterator[Pair]:
    with callbacks(floor.Handler()):
        yield _grown(_call, 400)


@contextmanager
def depth() -> Iterator[Pair]:
    with callbacks(floor.Handler()), deep_stack(10_000):
        yield _grown(descend, 100)


@contextmanager
def tasks() -> Iterator[Pair]:
    with callbacks(floor.Handler()):
        yield _grown(lambda number: asyncio.run(_at_once(number)), 200)


@contextmanager
def handlers() -> Iterator[Pair]:
    def hear(number: int) -> None:
        with callbacks(*[floor.Handler() for _ in range(number)]):
            _call(_CALLS)

    yield _grown(hear, 20)


@contextmanager
def entries() -> Iterator[Pair]:
    """
    Enter one object so often, each inside the last, and leave it as often.
    """

    def enter(number: int) -> None:
        block = callbacks(floor.HANDLER)
        with ExitStack() as entered:
            for _ in range(number):
                entered.enter_context(block)
            nothing()

    yield _grown(enter, 100)


GROWTH: dict[str, Row] = {
    "an open run without payload": Row(
        OPEN_RUN_BYTES, "B", judge=alone, measure=open_run
    ),
    "1,000,000 runs in one scope, kept of each": Row(
        KEPT_BYTES, "B", judge=alone, measure=many_runs
    ),
    "a run: 4,000 against 400": Row(LINEAR_BAR, pair=runs),
    "a level: 1,000 deep against 100": Row(LINEAR_BAR, pair=depth),
    "a task: 2,000 at once against 200": Row(LINEAR_BAR, pair=tasks),
    "a handler of a run: 200 against 20": Row(LINEAR_BAR, pair=handlers),
    "an entry of one object: 1,000 at once against 100": Row(LINEAR_BAR, pair=entries),
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


def _grown(work: Callable[[int], object], number: int) -> Pair:
    """
    Set what the next costs near ten times *number* against what it does near *number*.
    """
    return Pair(
        Side(work, few=5 * number, many=10 * number, is_one=True),
        Side(work, few=number // 2, many=number, is_one=True),
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
