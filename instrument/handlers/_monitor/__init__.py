"""
`MonitorHandler`: execution time, memory, tokens and cost by the name of the run.
"""

from dataclasses import asdict
from operator import attrgetter
from threading import get_ident
from time import thread_time_ns
from weakref import WeakKeyDictionary

from instrument._forks import fork_lock
from instrument._interrupts import Taking
from instrument._text import cut, safe_repr
from instrument.handlers._monitor.memory import gauge
from instrument.handlers._monitor.prometheus import exposition
from instrument.handlers._monitor.tally import RunStats, Tally
from instrument.handlers._shared import amounts
from instrument.handlers._shared.groups import checked_group_by, group_of
from instrument.handlers._shared.open_runs import MODELS, shown_name
from instrument.handlers._shared.prices import Prices, shared_prices
from instrument.handlers._shared.run_handler import RunHandler
from instrument.handlers._shared.table import (
    Table,
    fitting,
    listed,
    width_of_tables,
    written_count,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import Any, TypeAlias

    from instrument._runs.run import Run
    from instrument.handlers._monitor.memory import Moment
    from instrument.handlers._shared.prices import PriceTable

    Key: TypeAlias = tuple[str | None, str]
    Open: TypeAlias = tuple[str, int, int, Moment | None]

MOST_NAMES = 1_000
"""How many names are told apart; the runs of further ones count as ``(other)``."""
LONGEST_NAME = 200
_MOST_COLUMNS = 12
_MOST_HINTED = 4
_OTHER = "(other)"


class MonitorHandler(RunHandler):
    """
    Measure execution time and memory of every run, by its name; of models also the time
    to the first token, tokens a second, tokens and cost.

    Args:
        memory: False leaves out `memory_bytes_max`, and so saves reading the process's
            memory at each start and end (10 us, at most once a millisecond) and the
            thread that reads it every 10 ms while a run is open. A peak shorter than
            that may be missed.
        prices: US dollars per million tokens by model, as for `UsageHandler`.
        group_by: A key of the runs' metadata, ``"user_id"``: each value is counted
            apart, ``-`` where there is none. The keys of `stats` are then pairs of value
            and name.

    A model's run that the application has not named counts under the model it was asked
    for. Quantiles come from 1,382 buckets a name, each 2 % wide: every run counts, and
    the error is at most 1 %. At most 1,000 names are kept, cut at 200 characters; the
    runs of further ones count as ``(other)``.
    """

    def __init__(
        self,
        memory: bool = True,
        *,
        prices: "PriceTable | None" = None,
        group_by: str | None = None,
    ) -> None:
        if memory not in (True, False):
            message = f"MonitorHandler: memory is True or False, not {memory!r}."
            raise TypeError(message)
        self._memory = memory
        self._prices = shared_prices() if prices is None else Prices(prices)
        self._group_by = checked_group_by("MonitorHandler", group_by)
        self._lock = fork_lock()
        self._tallies: dict[Key, Tally] = {}
        self._open: WeakKeyDictionary[Run, Open] = WeakKeyDictionary()
        if memory:
            gauge()

    def __repr__(self) -> str:
        count = sum(tally.count for tally in list(self._tallies.values()))
        return f"<MonitorHandler: {count} runs of {len(self._tallies)} names>"

    def _repr_html_(self) -> str:
        return self._table().html()

    def run_started(self, run: "Run") -> None:
        self._prices.asked(run)
        name = shown_name(run)
        if hasattr(run, "lasted_ns"):  # its body is in another process
            self._open[run] = (name, 0, 0, None)
            return
        moment = gauge().begin() if self._memory else None
        self._open[run] = (name, get_ident(), thread_time_ns(), moment)

    def run_ended(self, run: "Run") -> None:
        taking = Taking()
        begun = self._open.get(run, (run.name, None, 0, None))
        name, thread, cpu_ns, moment = begun
        cpu_ns = thread_time_ns() - cpu_ns if thread == get_ident() else 0
        growth = None if moment is None else gauge().growth_bytes(moment)
        is_model = run.kind in MODELS and bool(run.usage)
        cost_usd = self._prices.cost_usd(run) if is_model else None
        key = group_of(run, self._group_by), name
        with self._lock:
            self._tally(key).add(run, cpu_ns, growth, cost_usd, taking)
        self._open.pop(run, None)

    @property
    def stats(self) -> "dict[Any, RunStats]":
        """
        What is known now, by name, busiest first.
        """
        known = (stats for stats, _ in self._known())
        is_grouped = self._group_by is not None
        return {(it.group, it.name) if is_grouped else it.name: it for it in known}

    def to_dicts(self) -> "list[dict[str, Any]]":
        """
        Give `stats` as plain dicts, for JSON or a data frame.

        They also hold what `merge` needs: ``durations`` and ``first_tokens``, how many
        values fell into each bucket, ``streamed_tokens`` and ``streamed_s``.
        """
        return [{**asdict(stats), **counts} for stats, counts in self._known()]

    def merge(self, other: "MonitorHandler | Iterable[Mapping[str, Any]]") -> None:
        """
        Add what another one has counted, as in another process.

        Args:
            other: A `MonitorHandler`, or what its `to_dicts` gave, also through JSON.

        Raises:
            TypeError: For anything else. Nothing is added then.
        """
        told = other.to_dicts() if isinstance(other, MonitorHandler) else other
        rows = [_checked_row(row) for row in listed(told, "MonitorHandler")]
        with self._lock:
            for key, row in rows:
                self._tally(key).merge(row)

    def to_prometheus(self) -> str:
        """
        Write `stats` as text that Prometheus reads, for a page ``/metrics``.
        """
        return exposition((stats for stats, _ in self._known()), self._group_by)

    def report(self, *columns: str) -> str:
        """
        Write `stats` as a table; columns of which nothing is known are left out.

        Args:
            columns: Some of calls, errors, p50, p95, p99, max, total, mean, ttft p50,
                ttft p95, tok/s, in, out, cost, cpu, memory, in any order; by default as
                many as standard output has room for, the most telling first.

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

    def _known(self) -> "list[tuple[RunStats, dict[str, Any]]]":
        with self._lock:  # a list, as a run may end, and be new, in between
            known = [
                (tally.stats(name, group), tally.counts())
                for (group, name), tally in list(self._tallies.items())
                if tally.count
            ]
        known.sort(key=lambda it: it[0].total_s, reverse=True)
        return known

    def _tally(self, key: "Key") -> Tally:
        group, name = key
        if len(name) > LONGEST_NAME:
            key = group, cut(name, LONGEST_NAME)
        tallies = self._tallies
        if key not in tallies:
            if len(tallies) >= MOST_NAMES:
                key = None if group is None else _OTHER, _OTHER
            tallies.setdefault(key, Tally())
        return tallies[key]

    def _table(self, columns: "Sequence[str]" = ()) -> Table:
        known = [stats for stats, _ in self._known()]
        if columns:
            return self._written(known, columns)
        names = 1 if self._group_by is None else 2
        whole = self._written(known, tuple(_COLUMNS))
        there = [column for column in _ORDER if column in whole.head][:_MOST_COLUMNS]
        taken = fitting(whole, names, there, width_of_tables())
        left = [
            column for column in _COLUMNS if column in there and column not in taken
        ]
        hint = _hint(left) if left else ""
        shown = [column for column in _COLUMNS if column in taken]
        return self._written(known, shown, hint)

    def _written(
        self, known: "list[RunStats]", columns: "Sequence[str]", hint: str = ""
    ) -> Table:
        grouped = [] if self._group_by is None else [self._group_by]
        rows = (
            [
                *([stats.group or ""] if grouped else []),
                stats.name,
                *(_COLUMNS[column](stats) for column in columns),
            ]
            for stats in known
        )
        return Table([*grouped, "run", *columns], rows, 1 + len(grouped), hint)


def _hint(left: list[str]) -> str:
    named = ", ".join(f'"{column}"' for column in left[:_MOST_HINTED])
    return f"{amounts.counted(len(left), 'more column')}: report({named}, ...)"


def _checked_row(row: "Any") -> "tuple[Key, Mapping[str, Any]]":
    try:
        Tally().merge(row)
        group, name = row["group"], row["name"]
        if isinstance(name, str) and isinstance(group, str | None):
            return (group, name), row
    except (AttributeError, KeyError, TypeError, ValueError):
        pass
    message = f"merge(): this is no row of to_dicts(): {safe_repr(row)}."
    raise TypeError(message)


def _seconds(name: str) -> "Callable[[RunStats], str]":
    def written(stats: RunStats) -> str:
        value = getattr(stats, name)
        return "" if value is None else amounts.duration(value)

    return written


def _count(name: str) -> "Callable[[RunStats], str]":
    known = attrgetter(name)
    return lambda stats: written_count(known(stats))


def _rate(stats: RunStats) -> str:
    return "" if stats.tokens_per_s is None else f"{stats.tokens_per_s:,.0f}"


def _cost(stats: RunStats) -> str:
    return "" if stats.cost_usd is None else amounts.money(stats.cost_usd)


def _memory(stats: RunStats) -> str:
    growth = stats.memory_bytes_max
    return "" if growth is None else amounts.size(growth)


_COLUMNS: "dict[str, Callable[[RunStats], str]]" = {
    "calls": _count("count"),
    "errors": _count("errors"),
    "p50": _seconds("p50_s"),
    "p95": _seconds("p95_s"),
    "p99": _seconds("p99_s"),
    "max": _seconds("max_s"),
    "total": _seconds("total_s"),
    "mean": _seconds("mean_s"),
    "ttft p50": _seconds("first_token_p50_s"),
    "ttft p95": _seconds("first_token_p95_s"),
    "tok/s": _rate,
    "in": _count("input_tokens"),
    "out": _count("output_tokens"),
    "cost": _cost,
    "cpu": _seconds("cpu_s"),
    "memory": _memory,
}
_ORDER = (
    *("calls", "errors", "p50", "p95", "total", "cost", "ttft p50", "tok/s", "in"),
    *("out", "max", "ttft p95", "mean", "p99", "cpu", "memory"),
)
"""Which columns are shown first, where there is not room for all."""
