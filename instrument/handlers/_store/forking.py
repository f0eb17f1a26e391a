"""
What becomes of connections at a fork: SQLite has them closed before it.

Its locks are not a child's, which would believe to have them, in whatever connection it
opened to the same file: who closes the file elsewhere, as the last with a lock, takes the
log away to which the child writes on.
"""

import os
import sqlite3
from contextlib import suppress
from threading import Lock
from time import monotonic
from weakref import WeakSet

from instrument._forks import fork_lock
from instrument.exceptions import StoreError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any, Protocol

    class Connected(Protocol):
        path: Path
        in_sqlite: Any

        def rest(self) -> None: ...


_WAIT_S = 5.0
"""How long a fork waits for those who are inside SQLite."""
_all: "WeakSet[Connected]" = WeakSet()
_lock = fork_lock()
"""Held by who adds to them, and by a thread that forks until it has: one at a time."""
_resting: "list[Connected]" = []
_came_along: "dict[Path, list[Any]]" = {}
"""In a child: of which files it has connections of its parent's, that are never closed."""


def rests_at_forks(connected: "Connected") -> None:
    """
    Have *connected* called to rest before each fork, while its `in_sqlite` is held.
    """
    with _lock:
        _all.add(connected)


def check_own(path: "Path") -> None:
    """
    Look whether this process may open the file at *path*.

    Raises:
        StoreError: If it was forked while its parent was at work there.
    """
    if path in _came_along:
        message = (
            f"this process was forked while its parent was busy with {str(path)!r},"
            " and SQLite's locks on it are not to be had here"
        )
        raise StoreError(message)


def came_along(path: "Path", held: object) -> None:
    """
    Keep *held*, and with it a connection of the parent's: it is not the child's to close.
    """
    _came_along.setdefault(path, []).append(held)


def _before() -> None:
    until = monotonic() + _WAIT_S
    _lock.acquire()
    for each in [*_all]:
        if each.in_sqlite.acquire(timeout=max(until - monotonic(), 0.0)):
            _resting.append(each)
            with suppress(sqlite3.Error):  # it closes the file all the same
                each.rest()


def _after_in_parent() -> None:
    _go_on()
    with suppress(RuntimeError):  # an interrupt came before it was taken
        _lock.release()


def _go_on() -> None:
    while _resting:
        _resting.pop().in_sqlite.release()


def _after_in_child() -> None:
    for each in [*_all]:
        if each not in _resting:
            each.in_sqlite = Lock()  # who had the other is not here
            _came_along.setdefault(each.path, [])
    _go_on()  # the lock is free here


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(
        before=_before, after_in_parent=_after_in_parent, after_in_child=_after_in_child
    )
