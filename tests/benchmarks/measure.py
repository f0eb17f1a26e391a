"""
Compare what something costs with what it could cost, on a machine that is not quiet.

The two are timed in turn, in short slices of CPU time, and the median of the ratios of
neighbours counts: what disturbs the one disturbs the other. (The ratio of the two best
slices, tried too, moves five times as much where the clock of the processor does.)
"""

import asyncio
import gc
import timeit
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
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

Judge = Callable[[float, float], float]
"""Makes of what ours costs, and what it is held against, the figure that has a bar."""


def times(ours: float, floor: float) -> float:
    """
    Tell how many times the floor ours costs.
    """
    return ours / floor


def more(ours: float, floor: float) -> float:
    """
    Tell what ours adds.
    """
    return ours - floor


def alone(ours: float, _floor: float) -> float:
    """
    Take ours as it is.
    """
    return ours


@dataclass(frozen=True, slots=True)
class Figures:
    """
    What was measured: what ours cost and what it is held against, pair by pair.
    """

    pairs: Sequence[tuple[float, float]]

    @property
    def ours(self) -> float:
        return median(ours for ours, _ in self.pairs)

    @property
    def floor(self) -> float:
        return median(floor for _, floor in self.pairs)

    def judged(self, judge: Judge) -> float:
        """
        Give the figure that has a bar.
        """
        return median(judge(ours, floor) for ours, floor in self.pairs)


@dataclass(frozen=True, slots=True)
class Side:
    """
    One of the two ways to do a thing.

    Args:
        work: Does it.
        few: How often, at least, to tell the price of one from that of beginning.
        many: How often at most.
        is_one: It is timed at `many`, for the price depends on how many there are.
    """

    work: Work
    few: int = 200
    many: int = 600
    is_one: bool = False


@dataclass(frozen=True, slots=True)
class Pair:
    """
    Two ways to do one thing: the library's, and the least that does it.
    """

    ours: Side
    floor: Side

    def cpu(self) -> Figures:
        """
        Compare their CPU time.
        """
        return in_turn(_slice(self.ours), _slice(self.floor))


def in_turn(ours: Slice, floor: Slice, *, slices: int = SLICES) -> Figures:
    """
    Take slices of both alternately.
    """
    return Figures([(ours(), floor()) for _ in range(slices)])


@dataclass(frozen=True, slots=True)
class Row:
    """
    One thing whose cost has a bar; it is counted as a `pair`, or measured.

    Args:
        bar: The most that it may be, in *unit*; None where there is none.
        judge: What is made of the two figures.
        needs: The module without which it cannot be measured.
        since: The first Python on which it can be.
    """

    bar: float | None
    unit: str = "x"
    judge: Judge = times
    pair: Callable[[], AbstractContextManager[Pair]] | None = None
    measure: Callable[[], Figures] | None = None
    needs: str = ""
    since: tuple[int, int] = (3, 11)

    def shown(self, value: float) -> str:
        """
        Write *value* in the unit of the bar.
        """
        return f"{value:,.{self._digits}f} {self.unit}"

    def is_met(self, value: float) -> bool:
        """
        Tell whether the bar is held, by what is shown.
        """
        return self.bar is None or round(value, self._digits) <= self.bar

    @property
    def _digits(self) -> int:
        return {"x": 2, "ms": 1}.get(self.unit, 0)


def statement(code: str, **names: object) -> Side:
    """
    Make a side of *code*.
    """
    return Side(timeit.Timer(code, globals=names).timeit)


def awaited(function: Callable[..., Awaitable[object]], *, whole: bool = False) -> Side:
    """
    Make a side of ``await function(1, 2)``, on an asyncio loop.

    Args:
        whole: One ``await function(number)`` does it all.
    """

    async def repeat(number: int) -> None:
        if whole:
            await function(number)
            return
        for _ in range(number):
            await function(1, 2)

    return Side(lambda number: asyncio.run(repeat(number)))


@contextmanager
def collecting_by_itself() -> Iterator[None]:
    """
    Collect no garbage but where the work says so: else it falls to one call in some,
    which moves the price of one by thousands of instructions.
    """
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()


def cpu_us(work: Callable[[], object], units: int) -> float:
    """
    Time one call of *work*, which does so many *units*; gives the time of one unit.
    """
    started = process_time()
    work()
    return (process_time() - started) / units * 1e6


def _slice(side: Side) -> Slice:
    """
    Repeat the work until a slice is long enough to be measured.
    """
    work, number = side.work, side.many if side.is_one else _number(side.work)

    def one() -> float:
        work(1)  # what the other side switched has the interpreter look anew
        return cpu_us(partial(work, number), number)

    return one


def _number(work: Work) -> int:
    number = 1
    while (taken_s := cpu_us(partial(work, number), 1) / 1e6) <= _SLICE_S / 10:
        number *= 4
    return max(1, int(_SLICE_S / taken_s * number))
