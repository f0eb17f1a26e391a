"""
Whose an exception is: of the handler that was served, or of the call it came into.

A handler's own failure is caught and reported. What only passed through it is not its:
an interrupt, what a signal handler raised, and the cancellation of the task or scope.
"""

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType, FrameType, TracebackType
    from typing import Any

traceback_of: "Callable[[BaseException], TracebackType | None]" = (
    BaseException.__dict__["__traceback__"].__get__
)
"""Give an exception's traceback, without asking the exception."""


def is_of_call(exc: BaseException) -> bool:
    """
    Tell whether *exc*, raised while something foreign was served, is to reach the call.
    """
    kind = type(exc)
    if issubclass(kind, (Exception, SystemExit)):
        return is_of_signal(exc)
    asyncio = sys.modules.get("asyncio.exceptions")
    if asyncio is not None and issubclass(kind, asyncio.CancelledError):
        return _is_task_cancelled()
    trio = sys.modules.get("trio")
    if trio is not None and issubclass(kind, trio.Cancelled):
        return _is_scope_cancelled(trio)
    return True


def _is_task_cancelled() -> bool:
    """
    Tell whether the task of here was asked to stop; outside any, nobody can be.
    """
    if sys.modules["asyncio.events"]._get_running_loop() is None:
        return False
    task = sys.modules["asyncio.tasks"].current_task()
    return task is not None and task.cancelling() > 0


def _is_scope_cancelled(trio: "Any") -> bool:
    """
    Tell whether the scope of here is cancelled; a worker thread is told by trio alone.
    """
    if not trio.lowlevel.in_trio_run():
        return True
    return trio.current_effective_deadline() == float("-inf")  # type: ignore[no-any-return]


def is_of_signal(exc: BaseException) -> bool:
    """
    Tell whether a signal handler raised *exc*: its frame is in the traceback.
    """
    known = _codes_of_signals()
    traceback = traceback_of(exc) if known else None
    while traceback is not None:
        if traceback.tb_frame.f_code in known:
            return True
        traceback = traceback.tb_next
    return False


def _codes_of_signals() -> "set[CodeType]":
    signal = sys.modules.get("_signal")
    if signal is None:  # nobody can have set a handler
        return set()
    handlers = map(signal.getsignal, range(1, signal.NSIG))
    return {code for it in handlers if callable(it) and (code := _code_of(it))}


def _code_of(handler: "Any") -> "CodeType | None":
    """
    Give the code that runs first when *handler* is called; None of what is in C.
    """
    while type(handler).__name__ == "partial" and hasattr(handler, "func"):
        handler = handler.func
    function = getattr(handler, "__func__", handler)
    if not hasattr(function, "__code__"):
        function = getattr(type(handler), "__call__", None)  # noqa: B004 - not asked whether
    return getattr(function, "__code__", None)


UNTOLD: "Any" = type("Untold", (), {"__slots__": ()})()
"""Stands for what a handler answers until it has been called."""

_OURS = "instrument._"
"""How the modules begin that make what a handler is told, before it is called."""


def is_heard(exc: BaseException, answer: object) -> bool:
    """
    Tell whether who was being served when *exc* came has been called.

    Args:
        answer: What it has answered; else `UNTOLD`.
    """
    if answer is not UNTOLD:
        return True
    signals = _codes_of_signals()
    traceback = traceback_of(exc)
    while traceback is not None and _is_ours(traceback.tb_frame):
        traceback = traceback.tb_next
    return traceback is not None and traceback.tb_frame.f_code not in signals


def _is_ours(frame: "FrameType") -> bool:
    return str(frame.f_globals.get("__name__")).startswith(_OURS)
