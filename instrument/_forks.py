"""
What a forked child begins anew: the parent's threads are not in it, nor who held a lock.
"""

import os
from _thread import RLock  # `threading` costs 3 ms and is seldom needed
from weakref import WeakSet

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_locks: "WeakSet[Any]" = WeakSet()


def in_child(begin: "Callable[[], object]") -> None:
    """
    Have *begin* called in each forked child, behind all that was given before it.
    """
    if hasattr(os, "register_at_fork"):  # not on Windows
        os.register_at_fork(after_in_child=begin)


def before_fork(act: "Callable[[], object]") -> None:
    """
    Have *act* called in the parent before each fork.
    """
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=act)


def fork_lock() -> "Any":
    """
    Make a re-entrant lock that a forked child finds free.

    The thread that held it in the parent is not in the child, and would never let go.
    """
    lock = RLock()
    _locks.add(lock)
    return lock


def _free() -> None:
    for lock in _locks:
        lock._at_fork_reinit()  # what logging does with its own


in_child(_free)  # the first: what others begin anew may take one of them
