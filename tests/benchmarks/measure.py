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
from statistics import median
from time import process_time

SLICES = 15
_SLICE_S = 0.015

Slice = Callable[[], float]
"""Does its work once and gives the CPU time of one unit of it, in microseconds."""


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


def in_turn(ours: Slice, floor: Slice, *, bar: float, slices: int = SLICES) -> Ratio:
    """
    Take slices of both alternately.
    """
    return Ratio([(ours(), floor()) for _ in range(slices)], bar)


def statement(code: str, **names: object) -> Slice:
    """
    Time *code*, repeated until a slice is long enough to be measured.
    """
    timer = timeit.Timer(code, timer=process_time, globals=names)
    number = max(1, int(_SLICE_S / _once(timer)))
    return lambda: timer.timeit(number) / number * 1e6


def awaited(function: Callable[[int, int], Awaitable[object]]) -> Slice:
    """
    Time ``await function(1, 2)`` on an asyncio loop, in the Context of each slice.
    """
    number = 5_000

    async def repeat() -> float:
        started = process_time()
        for _ in range(number):
            await function(1, 2)
        return process_time() - started

    return lambda: asyncio.run(repeat()) / number * 1e6


def cpu_us(work: Callable[[], object], units: int) -> float:
    """
    Time one call of *work*, which does so many *units*; gives the time of one unit.
    """
    started = process_time()
    work()
    return (process_time() - started) / units * 1e6


def _once(timer: timeit.Timer) -> float:
    number = 1
    while True:
        taken = timer.timeit(number)
        if taken > _SLICE_S / 10:
            return taken / number
        number *= 4
