"""
`fork_lock`: the lock of a handler that may be forked while another thread holds it.
"""

import os
from threading import RLock
from weakref import WeakSet

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_locks: "WeakSet[Any]" = WeakSet()


def fork_lock() -> "Any":
    """
    Make a re-entrant lock that a forked child finds free.

    The thread that held it in the parent is not in the child, and would never let go.
    """
    lock = RLock()
    _locks.add(lock)
    return lock


def _forked() -> None:
    for lock in _locks:
        lock._at_fork_reinit()  # what logging does with its own


_at_fork = getattr(os, "register_at_fork", lambda **_: None)  # not on Windows
_at_fork(after_in_child=_forked)
