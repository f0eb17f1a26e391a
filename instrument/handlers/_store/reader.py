"""
`Reader`: what stands in a store, for the page and the command line. It writes nothing.
"""

import re
import sqlite3
import zlib
from contextlib import contextmanager
from json import JSONDecodeError
from pathlib import Path
from threading import local

from instrument._forks import fork_lock
from instrument.exceptions import StoreError
from instrument.handlers._store import overview
from instrument.handlers._store.filters import Condition, condition
from instrument.handlers._store.opened import Opened
from instrument.handlers._store.place import checked_path
from instrument.handlers._store.processes import Gone
from instrument.handlers._store.records import Records, whole_run
from instrument.handlers._store.shapes import SKELETON, SUMMARY, skeleton, summary
from instrument.handlers._store.tables import has_texts

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    from collections.abc import Iterator
    from typing import Any

_SUMMARY = ", ".join(f"traces.{name}" for name in SUMMARY)
_SKELETON = ", ".join(f"runs.{name}" for name in SKELETON)
_LISTED = 5
_SHORTEST = 4
_OF_RUNS = (
    "FROM runs JOIN traces ON traces.id = runs.trace"
    " WHERE runs.run_id >= ? AND runs.run_id < ?"
)
_DAMAGED = (AttributeError, KeyError, RecursionError, TypeError, zlib.error)
"""What is raised of a text or a row in it that is no more what was written."""
_HEX = re.compile(r"[0-9a-f-]+\Z")


class Reader:
    """
    Reads a store that others may write to meanwhile. May be used by several threads.

    Args:
        path: The file.
        shown: What it is called where something is wrong, if that is another name.

    Raises:
        StoreError: If it cannot be read: names the file, and what to do.

    Attributes:
        path: Where it is.
        shown: What it is called.
    """

    def __init__(
        self, path: "str | os.PathLike[str] | None" = None, *, shown: Path | None = None
    ) -> None:
        self.path: Path = checked_path(path)
        self.shown = shown or self.path
        if not self.path.exists():
            raise StoreError(_no_file(self.path))
        self._file = _file_at(self.path)
        self._local = local()
        self._lock = fork_lock()
        self._open: list[Opened] = []
        self._is_closed = False
        self._gone = Gone()
        self._processes: dict[int, dict[str, Any]] = {}
        with self._reading() as connection:
            self._has_texts = has_texts(connection)

    def requests(
        self,
        filter: str = "",
        *,
        limit: int = 200,
        before: int | None = None,
        after: int | None = None,
    ) -> "list[dict[str, Any]]":
        """
        Give requests that match, the newest first.

        Args:
            before, after: The key of one; those that began before, or after it.

        Raises:
            FilterError: If a word of the filter cannot be.
        """
        with self._reading() as connection:
            asked = self._condition(connection, filter)
            if before is not None:
                asked.asks("traces.id < ?", before, is_not=False)
            if after is not None:
                asked.asks("traces.id > ?", after, is_not=False)
            return self._summaries(connection, asked, limit)

    def changed(
        self, filter: str = "", *, after: int, limit: int = 200
    ) -> "tuple[list[dict[str, Any]], int]":
        """
        Give requests that match and have changed behind a cursor, and the new cursor.
        """
        with self._reading() as connection:
            cursor = _cursor(connection)
            asked = self._condition(connection, filter)
            asked.asks("traces.changed > ?", after, is_not=False)
            return self._summaries(connection, asked, limit), cursor

    def summary(self, filter: str = "") -> "dict[str, Any]":
        """
        Tell of all requests that match how many, how long, how dear, and when.
        """
        with self._reading() as connection:
            asked = self._condition(connection, filter)
            return overview.summary(connection, asked, self._status(connection))

    def names(self, filter: str = "") -> "list[dict[str, Any]]":
        """
        Tell of the runs in requests that match, by kind, name and model.
        """
        with self._reading() as connection:
            asked = self._condition(connection, filter)
            return overview.names(connection, asked)

    def program(self, name: str) -> "dict[str, Any]":
        """
        Tell of all requests of one program that ``run`` has heard how many there were,
        what they consumed, and the id of the last that failed.
        """
        with self._reading() as connection:
            return overview.program(connection, name)

    def find(self, word: str) -> str:
        """
        Give the trace id of one request.

        Args:
            word: ``LAST``, or how its id, or that of one of its runs, begins.

        Raises:
            LookupError: If there is none, or several; says what there is.
        """
        asked = word.strip()
        with self._reading() as connection:
            newest = connection.execute(
                "SELECT trace_id, trace_hex, name FROM traces ORDER BY id DESC LIMIT ?",
                (_LISTED,),
            ).fetchall()
            if asked.upper() == "LAST" and newest:
                return str(newest[0][0])
            found = _found(connection, asked.lower())
        if len({row[1] for row in found}) == 1:  # of one trace, the first
            return str(found[0][0])
        raise LookupError(_not_one(word, found, newest, self.shown))

    def request(self, trace_id: str) -> "dict[str, Any]":
        """
        Give one request.

        Raises:
            LookupError: If there is none.
        """
        with self._reading() as connection:
            asked = self._condition(connection, "")
            asked.asks("traces.trace_id = ?", str(trace_id), is_not=False)
            found = self._summaries(connection, asked, 1)
            if not found:
                raise LookupError(_not_one(str(trace_id), [], [], self.shown))
            (run_id,) = connection.execute(
                "SELECT error_run_id FROM traces WHERE trace_id = ?", (str(trace_id),)
            ).fetchone()
            if run_id is not None and found[0]["status"] == "error":
                found[0]["traceback_of"] = run_id
            return found[0]

    def skeleton(
        self, trace_id: str, *, after: int = 0
    ) -> "tuple[list[dict[str, Any]], int]":
        """
        Give all runs of a request that have changed behind a cursor, in the order of
        their starts, and the new cursor.
        """
        with self._reading() as connection:
            cursor = _cursor(connection)
            key, began_ns = _trace(connection, trace_id, self.shown)
            where, values = "runs.trace = ?", [key]
            if after:
                where += " AND runs.id IN (SELECT run FROM events WHERE id > ?)"
                values.append(after)
            status = self._status(connection, "runs")
            rows = connection.execute(
                f"SELECT {_SKELETON}, {status} FROM runs WHERE {where} ORDER BY runs.id",  # noqa: S608
                values,
            ).fetchall()
            known = _known(connection, rows, key) if after else {row[1] for row in rows}
            first = self._first_seq(connection, key, rows) if after else None
            return [
                skeleton(
                    row, index if first is None else first[row[0]], began_ns, known
                )
                for index, row in enumerate(rows)
            ], cursor

    def run(self, run_id: str, seq: int | None = None) -> "dict[str, Any]":
        """
        Give all that is known of one run; *seq*, where its skeleton told it, saves a count.

        Raises:
            LookupError: If there is none.
        """
        with self._reading() as connection:
            status = self._status(connection, "runs")
            row = connection.execute(
                f"SELECT {_SKELETON}, {status} FROM runs WHERE run_id = ?",  # noqa: S608
                (str(run_id),),
            ).fetchone()
            if row is None:
                message = f"no run {run_id!r} in {str(self.shown)!r}"
                raise LookupError(message)
            (key,) = connection.execute(
                "SELECT trace FROM runs WHERE id = ?", (row[0],)
            ).fetchone()
            (began_ns,) = connection.execute(
                "SELECT started_ns FROM traces WHERE id = ?", (key,)
            ).fetchone()
            if seq is None:
                seq = self._first_seq(connection, key, [row])[row[0]]
            bone = skeleton(row, seq, began_ns, _known(connection, [row], key))
            return whole_run(
                connection, row[0], bone, row[SKELETON.index("started_ns")]
            )

    def events(
        self, trace_id: str, *, after: int = 0, limit: int = 10_000
    ) -> "list[tuple[int, dict[str, Any]]]":
        """
        Give the records of a request, in order, each behind its cursor. The tokens of a
        model stand together, as they were written.
        """
        with self._reading() as connection:
            key, _ = _trace(connection, trace_id, self.shown)
            return Records(connection, str(trace_id), key).read(after, limit)

    def cursor(self) -> int:
        """
        Give the id of the newest event.
        """
        with self._reading() as connection:
            return _cursor(connection)

    def is_there(self) -> bool:
        """
        Tell whether what is read is still what is at the path.
        """
        return _file_at(self.path) == self._file

    def about(self) -> "dict[str, Any]":
        """
        Tell how much there is.
        """
        with self._reading() as connection:
            requests, runs, events = connection.execute(
                "SELECT (SELECT count(*) FROM traces), (SELECT count(*) FROM runs),"
                " (SELECT count(*) FROM events)"
            ).fetchone()
            names = [self.path, *(Path(f"{self.path}{it}") for it in ("-wal", "-shm"))]
            size = sum(it.stat().st_size for it in names if it.exists())
            told = {"path": str(self.path), "bytes": size, "requests": requests}
            return told | {"runs": runs, "events": events}

    def __del__(self) -> None:
        if hasattr(self, "_lock"):
            self.close()

    def close(self) -> None:
        """
        Close it; what is asked then raises.
        """
        with self._lock:
            self._is_closed = True
            opened, self._open = self._open, []
        for each in opened:
            each.close()

    def _condition(self, connection: sqlite3.Connection, filter: str) -> Condition:
        status = self._status(connection)
        return condition(filter, status=status, has_texts=self._has_texts)

    def _status(self, connection: sqlite3.Connection, table: str = "traces") -> str:
        """
        Give the SQL of a status: what runs in a process that is gone is lost.
        """
        gone = ", ".join(map(str, sorted(self._gone.of(connection))))
        if not gone:
            return f"{table}.status"
        is_lost = f"{table}.status = 'running' AND {table}.process IN ({gone})"
        return f"CASE WHEN {is_lost} THEN 'lost' ELSE {table}.status END"

    def _summaries(
        self, connection: sqlite3.Connection, asked: Condition, limit: int
    ) -> "list[dict[str, Any]]":
        status = self._status(connection)
        rows = connection.execute(
            f"SELECT {_SUMMARY}, {status} FROM traces WHERE {asked.sql}"  # noqa: S608
            " ORDER BY traces.id DESC LIMIT ?",
            (*asked.values, limit),
        ).fetchall()
        at = SUMMARY.index("process")
        return [summary(row, self._process(connection, row[at])) for row in rows]

    def _process(
        self, connection: sqlite3.Connection, key: int | None
    ) -> "dict[str, Any] | None":
        if key is not None and key not in self._processes:
            row = connection.execute(
                "SELECT pid, argv0 FROM processes WHERE id = ?", (key,)
            ).fetchone()
            if row is not None:
                self._processes[key] = {"pid": row[0], "argv0": row[1]}
        return self._processes.get(key) if key is not None else None

    @staticmethod
    def _first_seq(
        connection: sqlite3.Connection, key: int, rows: "list[Any]"
    ) -> "dict[int, int]":
        """
        Give the order of starts of some runs.
        """
        counted = "SELECT count(*) FROM runs WHERE trace = ? AND id < ?"
        return {
            row[0]: connection.execute(counted, (key, row[0])).fetchone()[0]
            for row in rows
        }

    @contextmanager
    def at_one_state(self) -> "Iterator[None]":
        """
        Answer all that this thread asks meanwhile from one state of the store, whatever
        is written.
        """
        with self._reading():
            yield

    @contextmanager
    def _reading(self) -> "Iterator[sqlite3.Connection]":
        """
        Give this thread's connection, at one state of the store.
        """
        try:
            opened = self._opened()
            if opened.now is not None:
                yield opened.now
                return
            with opened.at_one_state() as connection:
                yield connection
        except (sqlite3.Error, UnicodeDecodeError, JSONDecodeError, *_DAMAGED) as exc:
            said = str(exc).partition(" with text ")[0]  # of what was told nothing
            why = said if isinstance(exc, sqlite3.Error) else type(exc).__name__
            message = f"the store {str(self.shown)!r} cannot be read: {why}"
            raise StoreError(message) from exc

    def _opened(self) -> Opened:
        if self._is_closed:
            message = f"this reader of {str(self.path)!r} is closed: make another"
            raise StoreError(message)
        known: Opened | None = getattr(self._local, "opened", None)
        if known is None:
            self._local.opened = known = Opened(self.path)
            with self._lock:
                self._open.append(known)
        return known


def _file_at(path: Path) -> "tuple[int, int] | None":
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _cursor(connection: sqlite3.Connection) -> int:
    (newest,) = connection.execute("SELECT max(id) FROM events").fetchone()
    return newest or 0


def _trace(
    connection: sqlite3.Connection, trace_id: str, path: Path
) -> "tuple[int, int]":
    found = connection.execute(
        "SELECT id, started_ns FROM traces WHERE trace_id = ?", (str(trace_id),)
    ).fetchone()
    if found is None:
        raise LookupError(_not_one(str(trace_id), [], [], path))
    return found  # type: ignore[no-any-return]


def _known(
    connection: sqlite3.Connection, rows: "list[Any]", key: int
) -> "frozenset[str]":
    """
    Give those parents of some runs that are in the request.
    """
    at = SKELETON.index("parent_run_id")
    known = set()
    for parent in {row[at] for row in rows} - {None}:
        found = connection.execute(
            "SELECT 1 FROM runs WHERE run_id = ? AND trace = ?", (parent, key)
        ).fetchone()
        if found is not None:
            known.add(parent)
    return frozenset(known)


def _found(connection: sqlite3.Connection, word: str) -> "list[tuple[str, str, str]]":
    """
    Find requests whose id, or that of one of whose runs, begins so.
    """
    if len(word) < _SHORTEST or not _HEX.match(word):
        return []
    columns = "traces.trace_id, traces.trace_hex, traces.name"
    bounds = word, word + "g"
    wheres = (
        "FROM traces WHERE trace_hex >= ? AND trace_hex < ?",
        "FROM traces WHERE trace_id >= ? AND trace_id < ?",
        _OF_RUNS,
    )
    for where in wheres:
        found = connection.execute(
            f"SELECT DISTINCT {columns} {where} ORDER BY +traces.id LIMIT ?",
            (*bounds, _LISTED + 1),
        ).fetchall()
        if found:
            return found
    return []


def _not_one(word: str, found: "list[Any]", newest: "list[Any]", path: Path) -> str:
    if found:
        told = f"{word!r} begins the ids of several requests: {_listed(found)}."
        return f"{told} Give more of it."
    told = f"no request {word!r} in {str(path)!r}."
    if not newest:
        return f"{told} Nothing is in it yet." if word.upper() == "LAST" else told
    return f"{told} The newest are {_listed(newest)}."


def _listed(rows: "list[Any]") -> str:
    told = [f"{row[1][:8]} ({row[2]})" for row in rows[:_LISTED]]
    return ", ".join(told) + (" ..." if len(rows) > _LISTED else "")


def _no_file(path: Path) -> str:
    return (
        f"there is no store {str(path)!r} yet. One is made by"
        " `python -m instrument run app.py`, or by StoreHandler() in a program."
    )
