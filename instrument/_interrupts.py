"""
Tell what is for the call from what is a failure of foreign code that was run meanwhile: an
interrupt, what a signal handler raised, and the cancellation of the task or scope are.
"""

import sys
from operator import attrgetter

from instrument._tasks import awaits_by_greenlet, met_by, task_here
from instrument._text import (
    RAISED_FROM,
    cancellations,
    codes_of_signals,
    each_in,
    is_of_signal,
    traceback_of,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType
    from typing import Any

AT_ONCE: "Any" = None
"""
Stands for what `met_cancellations` gives where nothing has been awaited: a task's own
cancellation comes where it awaits, so that what comes at once is none, but in a greenlet.
"""
OURS = "instrument._"
"""How the modules begin that make what a handler is told, before it is called."""
_HANDLERS = ("instrument.handlers.", "instrument.testing")
_WRAPPERS = tuple(
    f"instrument.handlers._{it}" for it in ("filtered", "tail", "background")
)
"""Those that another handler is told by: that may be anybody's."""
_BEFORE = (
    OURS,
    "instrument.integrations.langchain.",  # which tells ends itself
    *_HANDLERS,
)
_ROOM = 100
_COUNTS_ARE_WHOLE = sys.version_info >= (3, 13)
"""Whether a group whose task fails leaves no count behind: see `met_cancellations`."""
_module_of_class: "Any" = type.__dict__["__module__"].__get__
SETTLED: "Any" = type(None)
"""What stands where a method was that is owed no more: it takes nothing, and gives None."""
UNTOLD: "Any" = type("Untold", (), {"__slots__": ()})()
"""Stands for what a handler answers until it has been called."""


class Taking:
    """
    Whether a handler of ours has taken what it is told, where one call takes it: a frame
    of the handler's has this as *taking*.

    Attributes:
        is_taken: Set before that call, and nothing is called in between: no signal is
            looked for there.
    """

    is_taken = False

    def fails(self, exc: BaseException) -> None:
        """
        Note that *exc* came before: a failure is not told once more.
        """
        self.is_taken = self.is_taken or not is_of_call(exc)


def when_dropped(method: str) -> "Any":
    """
    Give a class's ``__del__``, which calls the *method* of that name.

    What a signal handler raises in a ``__del__`` Python gives to nobody, and one written
    in Python has it come there. None is looked for where an object has `SETTLED` in place
    of the method, as each has that came to a usual end: nothing of this is Python then.
    """
    return property(attrgetter(method))


def is_of_call(exc: BaseException, met: int = AT_ONCE) -> bool:
    """
    Tell whether *exc*, which came of something foreign, or a member is for the call.

    Args:
        met: What `met_cancellations` has given before that was awaited.
    """
    kind = type(exc)
    if issubclass(kind, BaseExceptionGroup):
        return parted(exc, met)[0] is not None
    if issubclass(kind, (Exception, SystemExit)):
        return is_of_signal(exc)
    known = sys.modules.get("asyncio.exceptions")
    if issubclass(kind, getattr(known, "CancelledError", ())):
        return _is_task_cancelled(met)
    if issubclass(kind, getattr(trio := sys.modules.get("trio"), "Cancelled", ())):
        return _is_scope_cancelled(trio)
    return True


def parted(
    exc: BaseException, met: int = AT_ONCE
) -> "tuple[BaseException | None, BaseException | None]":
    """
    Give what of *exc* is to reach the call, and what is a failure.

    Of a group with interrupts it is the group; of one with a mere cancellation that.
    """
    if not issubclass(type(exc), BaseExceptionGroup):
        return (exc, None) if is_of_call(exc, met) else (None, exc)
    groups, others = each_in(exc)
    found = [it for it in others if is_of_call(it, met)]
    parts = [*found, *filter(is_of_signal, groups)]
    if parts and all(issubclass(type(it), cancellations()) for it in parts):
        return parts[0], None if len(found) == len(others) else exc
    return (exc, None) if parts else (None, exc)


def pass_on(exc: BaseException) -> None:
    """
    Raise *exc* again where it is to reach the call.
    """
    if is_of_call(exc):
        raise exc


def met_cancellations() -> int:
    """
    Count how often the task of here has been asked to stop and has met that, so that
    what comes later is told from it: it may have caught it and go on, and up to Python
    3.12 one stays counted where a child fails while its TaskGroup is waited for.
    """
    task = task_here()
    if task is None or not hasattr(task, "_must_cancel"):
        return 0
    return met_by(task)


def kept_back(met: int, exc: BaseException | None = None) -> BaseException | None:
    """
    Give the cancellation that the task of here has met since, where what was awaited kept
    it to itself: it went on, or raised *exc* in its place. Trio, and the scopes of anyio,
    raise it once more by themselves.

    Up to Python 3.12 the count may be that of a group (see `met_cancellations`), so that
    there only what was raised in its place tells.
    """
    if met is AT_ONCE or not _is_task_cancelled(met):
        return None
    if not _COUNTS_ARE_WHOLE and not _came_of_cancellation(exc):
        return None
    deadline = getattr(sys.modules.get("anyio"), "current_effective_deadline", None)
    if deadline is not None and deadline() == float("-inf"):
        return None
    return sys.modules["asyncio.exceptions"].CancelledError()  # type: ignore[no-any-return]


def pass_on_kept(met: int) -> None:
    """
    Raise the cancellation that what was awaited kept to itself, if it went on.
    """
    if not _COUNTS_ARE_WHOLE or met_cancellations() <= met:  # in nearly all calls
        return
    if (kept := kept_back(met)) is not None:
        raise kept


def _came_of_cancellation(exc: BaseException | None) -> bool:
    """
    Tell whether *exc* was raised from a cancellation, or while one was handled.
    """
    seen: set[int] = set()
    around = [exc]
    while around:
        if (it := around.pop()) is None or id(it) in seen:
            continue
        if issubclass(type(it), cancellations()):
            return True
        seen.add(id(it))
        around += [of(it) for of in RAISED_FROM]
    return False


def _is_task_cancelled(met: int) -> bool:
    """
    Tell whether the task of here was asked to stop since; outside any, nobody can be.
    """
    if met is AT_ONCE:
        if not awaits_by_greenlet():
            return False
        met = 0  # nobody has counted before
    task = task_here()
    return task is not None and met_by(task) > met


def _is_scope_cancelled(trio: "Any") -> bool:
    """
    Tell whether the scope of here is cancelled; a worker thread is told by trio alone.
    """
    if trio.lowlevel.in_trio_run():
        return trio.current_effective_deadline() == float("-inf")  # type: ignore[no-any-return]
    try:
        trio.from_thread.check_cancelled()
    except RuntimeError:  # it is none of trio's
        return False
    except trio.Cancelled:
        pass
    return True


def has_room(levels: int = _ROOM) -> bool:
    """
    Tell whether the stack has room for what a handler may call.
    """
    try:
        return levels == 0 or has_room(levels - 1)
    except RecursionError:
        return False


def is_heard(exc: BaseException, answer: object, *, is_again: bool = False) -> bool:
    """
    Tell whether who was being served when *exc* came has been called. One of ours has
    not, until it has taken what it is told; where it takes that by no single call, it
    may be told once more at any time, but for one of a class of the application's: that
    has, where code that is not ours was run by it.

    Args:
        answer: What it has answered; else `UNTOLD`.
        is_again: Whether it was told once more already.
    """
    if answer is not UNTOLD:
        return True
    signals = codes_of_signals()
    is_ours, is_theirs, traceback = False, False, traceback_of(exc)
    while traceback is not None:
        frame = traceback.tb_frame
        module = module_of(frame)
        if not module.startswith(_BEFORE):
            break
        if module.startswith(_HANDLERS):
            is_ours = is_ours or not module.startswith(_WRAPPERS)
            is_theirs = is_theirs or _is_derived(frame.f_locals.get("self"))
            if (taking := frame.f_locals.get("taking")) is not None:
                return is_again or getattr(taking, "is_taken", False)
        traceback = traceback.tb_next
    if is_ours:  # also in what it asks of a payload, or of the standard library
        return is_again or (is_theirs and traceback is not None)
    return traceback is not None and traceback.tb_frame.f_code not in signals


def _is_derived(handler: object) -> bool:
    """
    Tell whether the class of *handler*, of which a method of ours was called, is not ours.
    """
    module = str(_module_of_class(type(handler)))
    return handler is not None and not module.startswith((OURS, *_HANDLERS))


def module_of(frame: "FrameType") -> str:
    return str(frame.f_globals.get("__name__"))
