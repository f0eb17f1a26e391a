"""
Leave with a worker process that multiprocessing or Celery forked: it goes without the
interpreter's exit.
"""

import sys
from contextlib import suppress

from instrument._delivery.flush import with_each
from instrument._forks import in_child

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from threading import Thread
    from typing import Any

_leaves: "list[Callable[[], object]]" = []
_unasked: "list[None]" = [None]
"""Taken out by the thread that asks multiprocessing to call them, once in a process: of
two that wait for all threads, each would wait for the other."""


def leave_with_process(
    leave: "Callable[[], object]", *, is_first: bool = False
) -> None:
    """
    Have *leave* called once as this process ends, if multiprocessing began it, and by
    `leave_now`.

    Args:
        is_first: Whether it is called before others, which serve what it hands over.
    """
    if leave not in _leaves:
        _leaves.insert(0 if is_first else len(_leaves), leave)
    process: Any = sys.modules.get("multiprocessing.process")
    if getattr(process, "parent_process", lambda: None)() is None:
        return
    try:
        _unasked.pop()
    except IndexError:
        return
    from multiprocessing import util

    if getattr(util, "_exiting", False):  # a thread goes on that has told nothing yet
        _behind_threads()
    else:
        util.Finalize(None, _behind_threads, exitpriority=0)


def _behind_threads() -> None:
    """
    Leave now, or when the threads have ended for which the process waits hereafter.

    Before Python 3.13 multiprocessing calls this first and waits for threads then.
    """
    from threading import Thread, current_thread, main_thread

    if current_thread() is not main_thread() or _others():
        with suppress(RuntimeError):  # none is to be had now
            Thread(target=_wait_and_leave, daemon=False).start()
            return
    leave_now()


def _wait_and_leave() -> None:
    while others := _others():
        for thread in others:
            thread.join()
    leave_now()


def leave_now() -> None:
    """
    Serve what waits in a process that ends here, without the interpreter's exit.
    """
    with_each([*_leaves], lambda leave: leave())


def _others() -> "list[Thread]":
    from threading import current_thread, enumerate, main_thread

    ours = main_thread(), current_thread()
    return [it for it in enumerate() if not it.daemon and it not in ours]


@in_child
def _begin_anew() -> None:
    _leaves.clear()
    _unasked[:] = [None]
