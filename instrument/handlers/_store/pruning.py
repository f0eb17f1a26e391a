"""
Keep a store within its bounds: the oldest requests that have ended go first, whole.
"""

import sqlite3
from time import monotonic, time_ns

from instrument.handlers._store.tables import has_texts

_DAY_NS = 86_400 * 10**9
_AT_ONCE = 200
"""How many requests one transaction deletes, so that no writer waits long."""
_MERGE = "INSERT INTO texts (texts, rank) VALUES ('merge', -500)"
_ENDED = (
    "status != 'running' AND NOT EXISTS (SELECT 1 FROM runs WHERE runs.trace ="
    " traces.id AND runs.status = 'running')"
)


class Bounds:
    """
    What a store may keep; None for all of it.
    """

    def __init__(self) -> None:
        self.keep_days: float | None = None
        self.keep_bytes: int | None = None

    def tighten(self, keep_days: float | None, keep_bytes: int | None) -> None:
        """
        Take what one more handler says: the least of what all say holds.
        """
        days = [it for it in (self.keep_days, keep_days) if it is not None]
        sizes = [it for it in (self.keep_bytes, keep_bytes) if it is not None]
        self.keep_days, self.keep_bytes = (
            min(days, default=None),
            min(sizes, default=None),
        )

    def __bool__(self) -> bool:
        return self.keep_days is not None or self.keep_bytes is not None


def prune(connection: sqlite3.Connection, bounds: Bounds, until: float) -> bool:
    """
    Delete what is too old, and then what is too much.

    Args:
        until: When to leave the rest for another time.

    Returns:
        Whether nothing is left to delete.
    """
    while _is_over(connection, bounds):
        if monotonic() > until:
            return False
    return True


def _is_over(connection: sqlite3.Connection, bounds: Bounds) -> bool:
    """
    Delete some requests if the store is beyond its bounds, and tell whether that was so.
    """
    count = 0
    if bounds.keep_days is not None:
        before = time_ns() - round(bounds.keep_days * _DAY_NS)
        count = _delete(connection, "started_ns < ?", before)
    most = bounds.keep_bytes
    if not count and most is not None and _bytes(connection) > most:
        count = _delete(connection, "id > ?", 0)
    if count:
        connection.executescript("PRAGMA incremental_vacuum")  # `execute` frees a page
    return bool(count)


def _delete(connection: sqlite3.Connection, where: str, value: int) -> int:
    """
    Delete some of the oldest requests that have ended.
    """
    found = connection.execute(
        f"SELECT id FROM traces WHERE {where} AND {_ENDED} ORDER BY id LIMIT ?",  # noqa: S608
        (value, _AT_ONCE),
    ).fetchall()
    if not found:
        return 0
    marks = ",".join("?" * len(found))
    keys = [key for (key,) in found]
    runs = f"SELECT id FROM runs WHERE trace IN ({marks})"  # noqa: S608
    connection.execute("BEGIN IMMEDIATE")
    try:
        if has_texts(connection):
            events = f"SELECT id FROM events WHERE run IN ({runs})"  # noqa: S608
            connection.execute(f"DELETE FROM texts WHERE rowid IN ({events})", keys)  # noqa: S608
            connection.execute(_MERGE)  # else the index only grows
        connection.execute(f"DELETE FROM events WHERE run IN ({runs})", keys)  # noqa: S608
        connection.execute(f"DELETE FROM runs WHERE trace IN ({marks})", keys)  # noqa: S608
        connection.execute(f"DELETE FROM traces WHERE id IN ({marks})", keys)  # noqa: S608
        connection.execute("COMMIT")
    except BaseException:
        connection.rollback()
        raise
    return len(found)


def _bytes(connection: sqlite3.Connection) -> int:
    """
    Tell how much is in use, without pages that are free.
    """
    (count,) = connection.execute("PRAGMA page_count").fetchone()
    (free,) = connection.execute("PRAGMA freelist_count").fetchone()
    (size,) = connection.execute("PRAGMA page_size").fetchone()
    return int((count - free) * size)
