"""
Compare what something costs with what it could cost, on a machine that is not quiet.

The two are timed in turn, in short slices of CPU time, and the median of the ratios of
neighbours counts: what disturbs the one disturbs the other. (The ratio of the two best
slices, tried too, moves five times as much where the clock of the processor does.)
"""

import asyncio
import timeit
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median
from time import process_time

SLICES = 15
_SLICE_S = 0.015

Slice = Callable[[], float]
"""Does its work once and gives the CPU time of one unit of it, in microseconds."""

Work = Callable[[int], object]
"""Does its work so many times."""


@dataclass(frozen=True, slots=True)
class Ratio:
    """
    One measured row.

    Args:
        pairs: What the library cost and what it is held against, pair by pair.
        bar: The most that the ratio of the two may be.
        unit: What both are counted in.
    """

    pairs: Sequence[tuple[float, float]]
    bar: float
    unit: str = "us"

    @property
    def ours(self) -> float:
        return median(ours for ours, _ in self.pairs)

    @property
    def floor(self) -> float:
        return median(floor for _, floor in self.pairs)

    @property
    def value(self) -> float:
        """
        How many times the floor.
        """
        return median(ours / floor for ours, floor in self.pairs)

    @property
    def is_ok(self) -> bool:
        """
        Whether the bar is held.
        """
        return self.value <= self.bar


@dataclass(frozen=True, slots=True)
class Pair:
    """
    Two ways to do one thing: the library's, and the least that does it.

    Args:
        ours: The library's.
        floor: What it is held against.
        bar: How many times the floor it may cost.
    """

    ours: Work
    floor: Work
    bar: float

    def cpu(self) -> Ratio:
        """
        Compare their CPU time.
        """
        return in_turn(_slice(self.ours), _slice(self.floor), bar=self.bar)


def in_turn(ours: Slice, floor: Slice, *, bar: float, slices: int = SLICES) -> Ratio:
    """
    Take slices of both alternately.
    """
    return Ratio([(ours(), floor()) for _ in range(slices)], bar)


def statement(code: str, **names: object) -> Work:
    """
    Make a work of *code*.
    """
    return timeit.Timer(code, globals=names).timeit


def awaited(function: Callable[..., Awaitable[object]], *, whole: bool = False) -> Work:
    """
    Make a work of ``await function(1, 2)``, on an asyncio loop.

    Args:
        whole: One ``await function(number)`` does it all.
    """

    async def repeat(number: int) -> None:
        if whole:
            await function(number)
            return
        for _ in range(number):
            await function(1, 2)

    return lambda number: asyncio.run(repeat(number))


def cpu_us(work: Callable[[], object], units: int) -> float:
    """
    Time one call of *work*, which does so many *units*; gives the time of one unit.
    """
    started = process_time()
    work()
    return (process_time() - started) / units * 1e6


def _slice(work: Work) -> Slice:
    """
    Repeat *work* until a slice is long enough to be measured.
    """
    number = 1
    while (taken_s := cpu_us(partial(work, number), 1) / 1e6) <= _SLICE_S / 10:
        number *= 4
    number = max(1, int(_SLICE_S / taken_s * number))
    return partial(cpu_us, partial(work, number), number)
