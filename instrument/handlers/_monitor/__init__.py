"""
`MonitorHandler`: execution time and memory by the name of the run.
"""

from dataclasses import asdict, dataclass
from operator import attrgetter
from threading import get_ident
from time import thread_time_ns
from weakref import WeakKeyDictionary

from instrument._forks import fork_lock
from instrument._text import cut
from instrument.handlers._monitor.memory import gauge
from instrument.handlers._monitor.quantiles import Quantiles
from instrument.handlers._shared.amounts import duration as written_duration
from instrument.handlers._shared.run_handler import RunHandler
from instrument.handlers._shared.table import Table, written_count

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from instrument._runs.run import Run
    from instrument.handlers._monitor.memory import Moment

MOST_NAMES = 1_000
"""How many names are told apart; the runs of further ones count as ``(other)``."""
LONGEST_NAME = 200


@dataclass(frozen=True, slots=True)
class RunStats:
    """
    What the ended runs of one name took.

    Attributes:
        errors: Those with status ``error``; cancelled and abandoned ones are none.
        p50_s, p95_s, p99_s: Half, 95 % and 99 % took no longer (s), within 1 %.
        cpu_s: Seconds of CPU of the thread that ran it, between start and end; in
            async code also what other tasks took there meanwhile. A run that ends in
            another thread than it started in is not in it.
        memory_bytes_max: The most by which resident memory rose above its start while
            one run lasted. It is that of the process: what runs beside it is in it.
        input_tokens, output_tokens: Sums of what is known; None where nothing is.
    """

    name: str
    count: int
    errors: int
    total_s: float
    mean_s: float
    p50_s: float
    p95_s: float
    p99_s: float
    max_s: float
    cpu_s: float
    memory_bytes_max: int | None
    input_tokens: int | None
    output_tokens: int | None


class MonitorHandler(RunHandler):
    """
    Measure execution time and memory of every run, by its name.

    Args:
        memory: False leaves out `memory_bytes_max`, and so saves reading the process's
            memory at each start and end (10 us, at most once a millisecond) and the
            thread that reads it every 10 ms while a run is open. A peak shorter than
            that may be missed.

    Quantiles come from 1,382 buckets a name, each 2 % wide: every run counts, and the
    error is at most 1 %. At most 1,000 names are kept, cut at 200 characters; the runs
    of further ones count as ``(other)``.
    """

    def __init__(self, memory: bool = True) -> None:
        if memory not in (True, False):
            message = f"MonitorHandler: memory is True or False, not {memory!r}."
            raise TypeError(message)
        self._memory = memory
        self._lock = fork_lock()
        self._tallies: dict[str, _Tally] = {}
        self._open: WeakKeyDictionary[Run, tuple[int, int, Moment | None]] = (
            WeakKeyDictionary()
        )
        if memory:
            gauge()

    def __repr__(self) -> str:
        count = sum(tally.count for tally in list(self._tallies.values()))
        return f"<MonitorHandler: {count} runs of {len(self._tallies)} names>"

    def _repr_html_(self) -> str:
        return self._table().html()

    def run_started(self, run: "Run") -> None:
        moment = gauge().begin() if self._memory else None
        self._open[run] = (get_ident(), thread_time_ns(), moment)

    def run_ended(self, run: "Run") -> None:
        thread, cpu_ns, moment = self._open.pop(run, (None, 0, None))
        cpu_ns = thread_time_ns() - cpu_ns if thread == get_ident() else 0
        growth = None if moment is None else gauge().growth_bytes(moment)
        with self._lock:
            self._tally(run.name).add(run, run.duration_s, cpu_ns, growth)

    @property
    def stats(self) -> dict[str, RunStats]:
        """
        What is known now, by name, busiest first.
        """
        with self._lock:  # a list, as a run may end, and be new, in between
            known = [tally.stats(name) for name, tally in list(self._tallies.items())]
        known.sort(key=attrgetter("total_s"), reverse=True)
        return {stats.name: stats for stats in known}

    def to_dicts(self) -> "list[dict[str, Any]]":
        """
        Give `stats` as plain dicts, for JSON or a data frame.
        """
        return [asdict(stats) for stats in self.stats.values()]

    def report(self, *columns: str) -> str:
        """
        Write `stats` as a table; columns of which nothing is known are left out.

        Args:
            columns: Some of count, errors, total, mean, p50, p95, p99, max, cpu,
                memory, input, output, in any order; by default all.

        Raises:
            ValueError: For another column.
        """
        for column in columns:
            if column not in _COLUMNS:
                known = ", ".join(_COLUMNS)
                message = f"report() has the columns {known}, not {column!r}."
                raise ValueError(message)
        return self._table(columns).text()

    def reset(self) -> None:
        """
        Begin anew; runs that are open count when they end.
        """
        with self._lock:
            self._tallies = {}

    def _tally(self, name: str) -> "_Tally":
        if len(name) > LONGEST_NAME:
            name = cut(name, LONGEST_NAME)
        tallies = self._tallies
        if name not in tallies:
            name = name if len(tallies) < MOST_NAMES else "(other)"
            tallies.setdefault(name, _Tally())
        return tallies[name]

    def _table(self, columns: "Iterable[str]" = ()) -> Table:
        shown = columns or _COLUMNS
        rows = (
            [stats.name, *(_COLUMNS[column](stats) for column in shown)]
            for stats in self.stats.values()
        )
        return Table(["run", *shown], rows)


class _Tally:
    """
    The runs of one name so far.

    Nothing is called between the reading and the writing of a sum: there a generator
    may be collected, whose run ends here too.
    """

    __slots__ = (
        "count",
        "cpu_ns",
        "errors",
        "input_tokens",
        "max_s",
        "memory_bytes_max",
        "output_tokens",
        "quantiles",
        "total_s",
    )

    def __init__(self) -> None:
        self.count = self.errors = self.cpu_ns = 0
        self.total_s = self.max_s = 0.0
        self.memory_bytes_max: int | None = None
        self.input_tokens: int | None = None
        self.output_tokens: int | None = None
        self.quantiles = Quantiles()

    def add(
        self, run: "Run", duration_s: float, cpu_ns: int, growth: int | None
    ) -> None:
        self.count += 1
        self.total_s += duration_s
        if duration_s > self.max_s:  # noqa: PLR1730 - max() would be a call
            self.max_s = duration_s
        if run.status == "error":
            self.errors += 1
        if cpu_ns > 0:  # a fork sets a thread's clock back
            self.cpu_ns += cpu_ns
        if growth is not None and growth >= (self.memory_bytes_max or 0):
            self.memory_bytes_max = growth
        usage = run.usage
        if usage.input_tokens is not None:
            self.input_tokens = (self.input_tokens or 0) + usage.input_tokens
        if usage.output_tokens is not None:
            self.output_tokens = (self.output_tokens or 0) + usage.output_tokens
        self.quantiles.add(duration_s)

    def stats(self, name: str) -> RunStats:
        p50, p95, p99 = self.quantiles.at(0.50, 0.95, 0.99)
        return RunStats(
            name,
            self.count,
            self.errors,
            self.total_s,
            self.total_s / self.count,
            min(p50, self.max_s),
            min(p95, self.max_s),
            min(p99, self.max_s),
            self.max_s,
            self.cpu_ns / 1e9,
            self.memory_bytes_max,
            self.input_tokens,
            self.output_tokens,
        )


def _seconds(name: str) -> "Callable[[RunStats], str]":
    return lambda stats: written_duration(getattr(stats, name))


def _count(name: str) -> "Callable[[RunStats], str]":
    return lambda stats: written_count(getattr(stats, name))


def _memory(stats: RunStats) -> str:
    growth = stats.memory_bytes_max
    return "" if growth is None else f"{growth / 1e6:,.1f} MB"


_COLUMNS: "dict[str, Callable[[RunStats], str]]" = {
    "count": _count("count"),
    "errors": _count("errors"),
    "total": _seconds("total_s"),
    "mean": _seconds("mean_s"),
    "p50": _seconds("p50_s"),
    "p95": _seconds("p95_s"),
    "p99": _seconds("p99_s"),
    "max": _seconds("max_s"),
    "cpu": _seconds("cpu_s"),
    "memory": _memory,
    "input": _count("input_tokens"),
    "output": _count("output_tokens"),
}
