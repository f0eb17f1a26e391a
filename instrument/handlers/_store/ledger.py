"""
`Ledger`: writes what was told into the tables, a batch in one transaction.

SQLite lets go of Python's lock at each step, and where eight threads compute, each step
then waits for its turn: a batch is few statements with many rows.
"""

import json
import os
import sqlite3
import zlib
from time import time_ns

from instrument import _ids, _report
from instrument._payloads.event import TOKEN
from instrument.handlers._store import processes
from instrument.handlers._store.facts import plain
from instrument.handlers._store.pricing import Pricing
from instrument.handlers._store.rows import SUMS, RunRow, TraceRow
from instrument.handlers._store.tables import EVENTS, RUNS, TRACES, has_texts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any
    from uuid import UUID

    from instrument.handlers._store.told import Told

_COMPRESSED = 4_096
"""The length from which on what an event carries is compressed."""
_LEVEL = 3
_MOST_OPEN = 100_000
"""How many runs, and requests, are at hand; others are read from the tables."""
_ROWS = (100, 10, 1)
"""How many rows one statement has: of few sizes, as each is prepared once."""
_LONGEST_TEXT = 4_000
_NO_VERSION = -1
"""Of no connection: each numbers what others write in its own way."""
_SMALL_SUMS = SUMS[:5]


class Ledger:
    """
    Writes to one store by one connection; of one thread at a time.

    Args:
        connection: To a store, to write.
        process: The key of the process whose runs it writes; None for this one.
    """

    def __init__(
        self, connection: sqlite3.Connection, process: int | None = None
    ) -> None:
        self.connection = connection
        self.is_resting = False
        self.process = processes.enter(connection) if process is None else process
        self._has_texts = has_texts(connection)
        self.pricing = Pricing()
        self._runs: dict[UUID, RunRow] = {}
        self._traces: dict[UUID, TraceRow] = {}
        self._is_careful = False
        self._repeated: dict[UUID, int] = {}
        self.skipped = 0
        (_, _, path) = connection.execute("PRAGMA database_list").fetchone()
        found = os.stat(path)  # noqa: PTH116
        self._file = found.st_dev, found.st_ino
        self._begin()

    @property
    def has_open_work(self) -> bool:
        """
        Whether runs are open, or a cost is to be looked up.
        """
        return bool(self._runs or self.pricing)

    def is_in(self, found: os.stat_result) -> bool:
        """
        Tell whether that is the file which it writes to.
        """
        return (found.st_dev, found.st_ino) == self._file

    def close(self) -> None:
        self.connection.close()

    def rest(self) -> None:
        """
        Let go of the file, and keep what is known of it.
        """
        self.is_resting = True
        self.connection.close()

    def go_on(self, connection: sqlite3.Connection) -> None:
        """
        Write to it again, by another connection.
        """
        self.connection, self.is_resting = connection, False
        for trace in self._traces.values():
            trace.version = _NO_VERSION

    def write(self, batch: "Sequence[Told]") -> None:
        """
        Write *batch*, whole or not at all.

        Raises:
            sqlite3.Error: If that cannot be. It may be tried again.
        """
        try:
            self._write(batch)
        except sqlite3.IntegrityError:  # a run is there already: a file read again
            self._is_careful = True
            try:
                self._write(batch)
            finally:
                self._is_careful = False

    def beat(self) -> None:
        """
        Say that this process is there still.
        """
        self.connection.execute(
            "UPDATE processes SET seen_ns = ? WHERE id = ?", (time_ns(), self.process)
        )

    def mark_lost(self) -> None:
        """
        Write of what ran in processes that are gone that it is lost.
        """
        gone = processes.gone(self.connection)
        for table in ("runs", "traces") if gone else ():
            marks = ",".join("?" * len(gone))
            self.connection.execute(
                f"UPDATE {table} SET status = 'lost'"  # noqa: S608 - no value in it
                f" WHERE status = 'running' AND process IN ({marks})",
                [*gone],
            )

    def _begin(self) -> None:
        self._events: list[tuple[Any, ...]] = []
        self._texts: list[tuple[int, str]] = []
        self._dirty_runs: dict[UUID, RunRow] = {}
        self._dirty_traces: dict[int, TraceRow] = {}
        self._piece: tuple[RunRow, Told] | None = None
        self._pieces: list[str] = []
        self.pricing.begins()

    def _write(self, batch: "Sequence[Told]") -> None:
        execute = self.connection.execute
        self._begin()
        self.skipped = 0
        try:
            execute("BEGIN IMMEDIATE")
            self._next_ids()
            self._refresh()
            self._find_traces(batch)
            for told in batch:
                self._take_guarded(told)
            self._end_piece()
            self._put(RUNS, "runs", [it.values() for it in self._dirty_runs.values()])
            self._put(EVENTS, "events", self._events)
            self._put(("rowid", "text"), "texts", self._texts)
            self._put_traces()
            execute("COMMIT")
            self._forget()
            self.pricing.is_written()
        except BaseException:
            self._runs.clear()  # they are ahead of the tables: read anew
            self._traces.clear()
            self.connection.rollback()
            raise
        self._begin()

    def _next_ids(self) -> None:
        """
        Learn which keys are free: nobody else writes until the end.
        """
        row = self.connection.execute(
            "SELECT (SELECT seq FROM sqlite_sequence WHERE name = 'traces'),"
            " (SELECT seq FROM sqlite_sequence WHERE name = 'runs'),"
            " (SELECT seq FROM sqlite_sequence WHERE name = 'events')"
        ).fetchone()
        self._trace_key, self._run_key, self._event_key = (it or 0 for it in row)

    def _refresh(self) -> None:
        """
        Look whether others have written, which changes what is known of requests.
        """
        (version,) = self.connection.execute("PRAGMA data_version").fetchone()
        self._data_version = version

    def _forget(self) -> None:
        """
        Let go of requests of which nothing is open.
        """
        for trace in self._dirty_traces.values():
            if trace.open_runs <= 0:
                self._traces.pop(trace.uuid, None)

    def _find_traces(self, batch: "Sequence[Told]") -> None:
        """
        Have the rows of all requests at hand, and make those that are new.
        """
        first = {told.trace_id: told for told in reversed(batch)}
        for id in first:
            known = self._traces.get(id)
            if known is not None and known.version != self._data_version:
                self._read_again(known)
        unknown = [it for id, it in first.items() if id not in self._traces]
        if not unknown:
            return
        made = []
        for told in reversed(unknown):
            self._trace_key += 1
            trace_hex = told.came_hex or _ids.trace_hex_of(told.trace_id)
            made.append(TraceRow(told, self._trace_key, trace_hex))
        rows = [(it.id, it.trace_id, it.trace_hex, it.started_ns) for it in made]
        columns = (*TRACES[:3], "started_ns")
        before = self.connection.total_changes
        self._put(columns, "traces", rows, "ON CONFLICT (trace_id) DO NOTHING")
        if self.connection.total_changes - before < len(made):
            self._read_traces(made)
        for told, trace in zip(reversed(unknown), made, strict=True):
            trace.uuid, trace.version = told.trace_id, self._data_version
            _keep(self._traces, told.trace_id, trace)

    def _read_again(self, trace: TraceRow) -> None:
        found = self.connection.execute(
            f"SELECT {', '.join(TRACES)} FROM traces WHERE id = ?",  # noqa: S608
            (trace.id,),
        ).fetchone()
        if found is None:  # it was deleted meanwhile
            del self._traces[trace.uuid]
            known = self._runs.items()
            self._runs = {id: run for id, run in known if run.in_trace is not trace}
            return
        trace.take(found)
        trace.version = self._data_version

    def _read_traces(self, made: "list[TraceRow]") -> None:
        """
        Read those that another process, or this one before, has made.
        """
        for trace in made:
            found = self.connection.execute(
                f"SELECT {', '.join(TRACES)} FROM traces WHERE trace_id = ?",  # noqa: S608
                (trace.trace_id,),
            ).fetchone()
            if found[0] != trace.id:
                trace.take(found)

    def _take_guarded(self, told: "Told") -> None:
        """
        Take an event; one that cannot be read, as of a file, is left out.
        """
        try:
            self._take(told)
        except sqlite3.Error:
            raise
        except Exception as exc:
            self.skipped += 1
            _report.failed_apart(self, "write", exc)

    def _take(self, told: "Told") -> None:
        trace = self._traces[told.trace_id]
        is_start = told.event.endswith("_start")
        run = self._runs.get(told.run_id)
        if run is None:
            run = self._found(told, trace, is_start=is_start)
        if told.run_id in self._repeated and self._has_been_told(told):
            return
        self._dirty_runs[told.run_id] = run
        self._dirty_traces[trace.id] = trace
        if told.event == TOKEN and not told.data:
            self._take_piece(run, told)
            return
        self._end_piece()
        self._event_key += 1
        data = json.loads(told.data)
        if is_start:
            self._starts(run, trace, told, data)
        elif told.event.endswith(("_end", "_error")):
            self._ends(run, trace, told, data)
        elif told.event in ("on_retry", "on_custom_event"):
            kind = told.event[3:].removesuffix("_event")
            run.is_marked(told, data, kind)
            trace.news["retries"] += kind == "retry"
        self._put_event(run, told, told.data)

    def _found(self, told: "Told", trace: TraceRow, *, is_start: bool) -> RunRow:
        """
        Give the row of a run that is not at hand: it starts, or was told of before.
        """
        if not is_start or self._is_careful or told.run_id in self._dirty_runs:
            run = self._dirty_runs.get(told.run_id) or self._read_run(told, trace)
            if run is not None:
                _keep(self._runs, told.run_id, run)
                if is_start:
                    self._repeated[told.run_id] = self._last_seq(run)
                return run
        self._run_key += 1
        run = RunRow(told, self._run_key, trace, self.process)
        # of no run, or of one that began before anybody heard: no end will come
        is_alone = told.event == "on_custom_event"
        if is_alone:
            run.status = "ok"
        trace.starts(run)
        if is_alone:
            trace.open_runs -= 1
        else:
            _keep(self._runs, told.run_id, run)
        return run

    def _read_run(self, told: "Told", trace: TraceRow) -> RunRow | None:
        found = self.connection.execute(
            f"SELECT {', '.join(RUNS)} FROM runs WHERE run_id = ?",  # noqa: S608
            (str(told.run_id),),
        ).fetchone()
        return None if found is None else RunRow.read(found, trace)

    def _last_seq(self, run: RunRow) -> int:
        """
        Give the number of the last event that was told of a run.
        """
        (last,) = self.connection.execute(
            "SELECT max(seq) FROM events WHERE run = ?", (run.id,)
        ).fetchone()
        told = [row[4] for row in self._events if row[1] == run.id]
        return int(max([last or 0, *told]))

    def _has_been_told(self, told: "Told") -> bool:
        """
        Tell whether an event of a run that is told of again is there already.
        """
        is_known = told.seq <= self._repeated[told.run_id]
        if is_known:
            self._runs.pop(told.run_id, None)
        else:
            del self._repeated[told.run_id]
        return is_known

    def _starts(
        self, run: RunRow, trace: TraceRow, told: "Told", data: "dict[str, Any]"
    ) -> None:
        run.described = told.described
        run.is_described(told.described)
        self._can_be_found(trace, run.starts(data))
        if run.is_counted:
            self.pricing.starts(run)
        trace.hears_of(run)
        trace.goes_on(run)

    def _ends(
        self, run: RunRow, trace: TraceRow, told: "Told", data: "dict[str, Any]"
    ) -> None:
        if told.described != run.described:
            run.is_described(told.described)
        run.name = plain(told.name) or run.name
        failed = told.event.endswith("_error")
        self._can_be_found(trace, run.ends(data, failed=failed))
        if run.is_counted:
            self.pricing.ends(run, data)
        trace.ends(run)
        self._runs.pop(told.run_id, None)

    def _take_piece(self, run: RunRow, told: "Told") -> None:
        """
        Take a token; what is told of one run and channel one after the other is one row.
        """
        if run.first_token_ms is None:
            run.first_token_ms = max(told.time_ns - run.started_ns, 0) / 1e6
            run.in_trace.tells(run)
        if self._piece is not None:
            before, first = self._piece
            is_next = before is run and first.channel == told.channel
            if not is_next or told.length is not None or first.length is not None:
                self._end_piece()
        if self._piece is None:
            self._piece = run, told
        self._pieces.append(told.text)

    def _end_piece(self) -> None:
        if self._piece is None:
            return
        run, told = self._piece
        data: dict[str, Any] = {"token": "".join(self._pieces), "channel": told.channel}
        if told.length is not None:
            data["length"] = told.length
        if len(self._pieces) > 1:
            data["count"] = len(self._pieces)
        self._piece, self._pieces = None, []
        self._event_key += 1
        self._put_event(run, told, json.dumps(data, separators=(",", ":")))

    def _put_event(self, run: RunRow, told: "Told", data: str) -> None:
        described: str | None = told.described
        if told.event == TOKEN or (
            not told.event.endswith("_start") and described == run.described
        ):
            described = None
        self._events.append(
            (
                self._event_key,
                run.id,
                plain(told.event),
                told.time_ns,
                told.seq,
                _compressed(data),
                described,
            )
        )
        run.in_trace.changed = self._event_key

    def _can_be_found(self, trace: TraceRow, text: str) -> None:
        text = plain(text[:_LONGEST_TEXT].strip())
        if text and self._has_texts and trace.is_news(text):
            self._texts.append((self._event_key, text))

    def _put_traces(self) -> None:
        names = [it for it in TRACES if it not in ("id", "trace_id", "trace_hex")]
        facts = [it for it in names if it not in SUMS]
        added = ", ".join(f"{name} = excluded.{name}" for name in facts)
        summed = ", ".join(_summed(name) for name in SUMS)
        rows = []
        for trace in self._dirty_traces.values():
            news = trace.taken()
            rows.append(
                tuple(
                    [
                        news[name] if name in news else getattr(trace, name)
                        for name in TRACES
                    ]
                )
            )
        self._put(
            TRACES, "traces", rows, f"ON CONFLICT (id) DO UPDATE SET {added}, {summed}"
        )

    def _put(
        self,
        columns: "tuple[str, ...]",
        table: str,
        rows: "Sequence[tuple[Any, ...]]",
        conflict: str = "",
    ) -> None:
        """
        Put *rows* into a table, many by one statement.
        """
        if table == "runs":
            conflict = _REPLACED
        one = f"({','.join('?' * len(columns))})"
        at = 0
        while at < len(rows):
            count = next(it for it in _ROWS if it <= len(rows) - at)
            some = rows[at : at + count]
            statement = (
                f"INSERT INTO {table} ({', '.join(columns)}) VALUES"  # noqa: S608
                f" {','.join([one] * count)} {conflict}"
            )
            self.connection.execute(statement, _flat(some))
            at += count


_REPLACED = "ON CONFLICT (id) DO UPDATE SET " + ", ".join(
    f"{name} = excluded.{name}" for name in RUNS if name != "id"
)


def _compressed(data: str) -> "str | bytes":
    if len(data) < _COMPRESSED:
        return data
    return zlib.compress(data.encode("ascii"), _LEVEL)


def _summed(name: str) -> str:
    if name in _SMALL_SUMS:
        return f"{name} = {name} + excluded.{name}"
    both = f"coalesce({name}, 0) + excluded.{name}"
    return f"{name} = CASE WHEN excluded.{name} IS NULL THEN {name} ELSE {both} END"


def _keep(known: "dict[Any, Any]", key: object, value: object) -> None:
    known[key] = value
    if len(known) > _MOST_OPEN:
        del known[next(iter(known))]


def _flat(rows: "Iterable[tuple[Any, ...]]") -> "list[Any]":
    return [value for row in rows for value in row]
