"""
`Opened`: a store that one thread has open to read.
"""

import sqlite3
from contextlib import contextmanager
from threading import Lock

from instrument.exceptions import StoreError
from instrument.handlers._store.forking import rests_at_forks
from instrument.handlers._store.tables import (
    check_version,
    is_older,
    payload,
    writing,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_BUSY_S = 10.0


class Opened:
    """
    A thread's connection, made when something is asked and not there: a fork closes it.

    Attributes:
        in_sqlite: Held while something is asked.
        now: The connection, while something is.
    """

    def __init__(self, path: "Path") -> None:
        self.path = path
        self.in_sqlite = Lock()
        self.now: sqlite3.Connection | None = None
        self._connection: sqlite3.Connection | None = None
        rests_at_forks(self)

    @contextmanager
    def at_one_state(self) -> "Iterator[sqlite3.Connection]":
        """
        Give the connection, at one state of the store.

        Raises:
            StoreError: If there is none to be had.
        """
        with self.in_sqlite:
            if self._connection is None:
                self._connection = _reading(self.path)
            connection = self._connection
            connection.execute("BEGIN")
            try:
                self.now = connection
                yield connection
            finally:
                self.now = None
                connection.rollback()

    def rest(self) -> None:
        """
        Let go of the file, until something is asked again.
        """
        self.close()

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def _reading(path: "Path") -> sqlite3.Connection:
    """
    Open a store to read; one of an older version is made one of this first.

    Raises:
        StoreError: If it cannot be.
    """
    made = sqlite3.connect(
        f"{path.as_uri()}?mode=ro",
        uri=True,
        timeout=_BUSY_S,
        isolation_level=None,
        check_same_thread=False,
    )
    try:
        if is_older(check_version(made, path)):
            writing(path).close()
    except (sqlite3.Error, OSError) as exc:
        made.close()
        message = f"the store {str(path)!r} cannot be read: {exc}"
        raise StoreError(message) from exc
    except StoreError:
        made.close()
        raise
    made.create_function("payload", 1, payload, deterministic=True)
    return made
