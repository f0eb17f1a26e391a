"""
The task of here, and whether what comes in plain calls is its cancellation.
"""

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def task_here() -> "Any":
    """
    Give the task of asyncio that runs here, or None.
    """
    events = sys.modules.get("asyncio.events")  # another thread may be importing it
    if getattr(events, "_get_running_loop", lambda: None)() is None:
        return None
    return sys.modules["asyncio.tasks"].current_task()


def met_by(task: "Any") -> int:
    """
    Tell how often *task* was asked to stop, but for the one that it meets only at its
    next await, as it was running when that was asked.
    """
    return int(task.cancelling() - getattr(task, "_must_cancel", False))


def awaits_by_greenlet() -> bool:
    """
    Tell whether plain calls may await here: in a greenlet, as those in which SQLAlchemy
    and greenback run sync code of a task.
    """
    current = getattr(sys.modules.get("greenlet"), "getcurrent", None)
    return current is not None and current().parent is not None


def is_of_greenlet(exc: BaseException) -> bool:
    """
    Tell whether *exc*, which came in a plain call, is the end of the greenlet of here, or
    the cancellation of its task. Of what a task meets while it calls, that is not told
    from one that the task has caught before.
    """
    if not awaits_by_greenlet():
        return False
    ended = getattr(sys.modules["greenlet"], "GreenletExit", ())
    cancelled = getattr(sys.modules.get("asyncio.exceptions"), "CancelledError", ())
    if not issubclass(type(exc), cancelled):
        return issubclass(type(exc), ended)
    task = task_here()
    return task is not None and met_by(task) > 0
