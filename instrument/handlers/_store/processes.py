"""
Which process wrote a run, and whether it still is: what runs in one that has gone is lost.
"""

import os
import sys
from time import monotonic, time_ns

TYPE_CHECKING = False
if TYPE_CHECKING:
    import sqlite3

PROGRAM = "INSTRUMENT_RUN"
"""Names the program, to which all processes belong that ``run`` has heard for it."""
HEARTBEAT_S = 15.0
"""How often a process with open runs says that it is."""
_SILENT_NS = 90 * 10**9
"""How long another machine's process may say nothing."""
_LOOK_S = 1.0
_CLOCK_S = 2.0  # when a process began, is told by clocks that are set


def enter(connection: "sqlite3.Connection") -> int:
    """
    Write who this process is, unless that stands there, and give its key.
    """
    who = os.getpid(), host(), _created(os.getpid())
    known = connection.execute(
        "SELECT id FROM processes WHERE pid = ? AND host = ? AND created IS ?", who
    ).fetchone()
    if known is not None:
        return int(known[0])
    now, argv0 = time_ns(), (sys.argv or [""])[0]
    row = (*who, _plain(argv0), os.environ.get(PROGRAM), now, now)
    done = connection.execute(
        "INSERT INTO processes (pid, host, created, argv0, program, started_ns, seen_ns)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        row,
    )
    return int(done.lastrowid or 0)


def is_entered(connection: "sqlite3.Connection", key: int) -> bool:
    """
    Tell whether that is the key which this process was given.
    """
    known = connection.execute(
        "SELECT 1 FROM processes WHERE id = ? AND pid = ? AND host = ?",
        (key, os.getpid(), host()),
    ).fetchone()
    return known is not None


def enter_unknown(connection: "sqlite3.Connection") -> int:
    """
    Give the key of a process that is no more, and of which nothing else is known.
    """
    done = connection.execute(
        "INSERT INTO processes (pid, host, started_ns, seen_ns) VALUES (-1, '', 0, 0)"
    )
    return int(done.lastrowid or 0)


def host() -> str:
    """
    Give the name of this machine.
    """
    from platform import node

    return _plain(node())


def gone(connection: "sqlite3.Connection") -> "frozenset[int]":
    """
    Give the keys of the processes that have runs which run, and are not any more.
    """
    rows = connection.execute(
        "SELECT id, pid, host, created, seen_ns FROM processes WHERE id IN"
        " (SELECT process FROM runs WHERE status = 'running'"
        "  UNION SELECT process FROM traces WHERE status = 'running')"
    ).fetchall()
    here = host() if rows else ""
    return frozenset(row[0] for row in rows if not _is_alive(row, here))


class Gone:
    """
    The same, looked up at most once a second.
    """

    def __init__(self) -> None:
        self._known: frozenset[int] = frozenset()
        self._until = 0.0

    def of(self, connection: "sqlite3.Connection") -> "frozenset[int]":
        if monotonic() >= self._until:
            self._known = gone(connection)
            self._until = monotonic() + _LOOK_S
        return self._known


def _is_alive(row: "tuple[int, int, str, float | None, int]", here: str) -> bool:
    _, pid, where, created, seen_ns = row
    if where != here:
        return time_ns() - seen_ns < _SILENT_NS
    began = _created(pid)
    if began is None:
        return False
    return created is None or abs(began - created) < _CLOCK_S


def _created(pid: int) -> float | None:
    """
    Tell when that process began; None where there is none.
    """
    import psutil

    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        return float(process.create_time())
    except psutil.Error:
        return None


def _plain(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8").replace("\0", "\ufffd")
