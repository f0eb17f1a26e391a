"""
What a server sees: a call after other code has run, which left nothing of ours in the
processor's caches.

Between two calls a source is compiled, JSON written and read, and a text wrapped: some
2 ms of code and data that are not ours. Each call is timed by itself; the clock's own
price, cold too, is that of an undecorated call, and is taken off.
"""

import json
import textwrap
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import thread_time_ns

from tests.benchmarks.measure import Figures

_ROUNDS = 9
_CALLS = 30
_SOURCE = Path(textwrap.__file__).read_text("utf-8")
_DOCUMENT = {"items": [{"number": number} for number in range(200)]}
_TEXT = "word " * 200

Call = Callable[[int, int], object]


def cold(ours: Call, floor: Call, bare: Call) -> Figures:
    """
    Compare the CPU time of two calls, each after other code, in microseconds.
    """
    return Figures([_round(ours, floor, bare) for _ in range(_ROUNDS)])


def _round(*calls: Call) -> tuple[float, float]:
    taken: list[list[int]] = [[] for _ in calls]
    for _ in range(_CALLS):
        for call, times in zip(calls, taken, strict=True):
            _other_code()
            started = thread_time_ns()
            call(1, 2)
            times.append(thread_time_ns() - started)
    ours, floor, clock = (median(times) / 1e3 for times in taken)
    return ours - clock, floor - clock


def _other_code() -> None:
    compile(_SOURCE, "other", "exec")
    json.loads(json.dumps(_DOCUMENT))
    textwrap.fill(_TEXT)
