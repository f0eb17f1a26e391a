"""
How LangChain's runs start, and how handlers join one that has started already.
"""

import sys
from contextvars import ContextVar
from copy import copy

from langchain_core.callbacks import BaseCallbackManager

from instrument._audience.audience import Audience
from instrument._audience.plan import Layer, Options, linked
from instrument._runs.ending import astart, start
from instrument._state import get_state
from instrument.integrations.langchain import _open_runs
from instrument.integrations.langchain._methods import DONE, to_wait_for, waits

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any
    from uuid import UUID

    from instrument._audience.listener import Listener
    from instrument._runs.ending import Pending
    from instrument._runs.run import Run


def joined(id: "UUID | None", handlers: "tuple[Listener, ...]") -> "Run | None":
    """
    Have a run that has started be heard by handlers that were asked since.

    Returns:
        The run, to be begun for them; None where they hear it already, or where none
        is told of.
    """
    run = _open_runs.open_runs.get(id)  # type: ignore[arg-type]
    if run is None:
        return None
    known = {listener.key for listener, _ in run._audience.listeners}
    late = tuple(it for it in handlers if it.key not in known)
    if not late:
        return None
    layer = Layer(Options(late), "framework")
    run._extra = (layer, *run._extra)
    run._plan = linked(run._plan, (layer,))
    run._audience = run._plan.settle()
    run._voices = copy(run._audience.voices(run._tells))
    run._voices.start = Audience([layer], ()).receivers(run._tells.start)
    return run


def begun(run: "Run | None", loop: object) -> "Any":
    """
    Start *run* for a method of the bridge, and forget it where a handler has stopped it.

    Args:
        run: What has been made, if anything.
        loop: The event loop that runs here.

    Returns:
        What the method gives to its caller.
    """
    if run is None:
        return DONE
    if loop is not None and waits():
        return to_wait_for(_abegin, run)
    try:
        start(run, get_state())
    except BaseException as exc:
        raise _stop(run, exc)  # noqa: B904 - mostly itself
    return DONE


def _abegin(run: "Run") -> "Pending | None":
    try:
        pending = astart(run)
    except BaseException as exc:
        raise _stop(run, exc)  # noqa: B904 - mostly itself
    return None if pending is None else _begin_later(run, pending)


async def _begin_later(run: "Run", pending: "Pending") -> None:
    try:
        await pending
    except BaseException as exc:
        _raise_last(run, _stop(run, exc))


def _stop(run: "Run", exc: BaseException) -> BaseException:
    """
    Forget *run*, and give what to raise: LangChain takes one type for a missing method.
    """
    _open_runs.take(run.id)
    if not isinstance(exc, NotImplementedError):
        return exc
    stopped = RuntimeError(f"a handler raised {exc!r}")
    stopped.__cause__ = exc
    return stopped


def _raise_last(run: "Run", exc: BaseException) -> None:
    """
    Raise *exc*, for a chat model when LangChain has told all its other handlers.

    It makes a coroutine for each of them, and would leave the rest un-awaited.
    """
    is_told_last = run._tells.start == "on_chat_model_start" and _has_last()
    if not is_told_last or not isinstance(exc, Exception):
        raise exc
    _stopped.set((run.id, exc))


def _has_last() -> bool:
    """
    Tell whether the manager that calls has `Late`, which raises what is left for it.
    """
    frame: Any = sys._getframe(1)
    while frame and not isinstance(frame.f_locals.get("self"), BaseCallbackManager):
        frame = frame.f_back
    handlers = frame.f_locals["self"].handlers if frame else ()
    return any(getattr(type(it), "is_last", False) for it in handlers)


def is_stopped() -> bool:
    """
    Tell whether there is something to raise.
    """
    return _stopped.get() is not None


def stopped(id: "UUID") -> Exception | None:
    """
    Take what was to be raised of the run *id*.
    """
    told, exc = _stopped.get() or (None, None)
    _stopped.set(None)
    return exc if told == id else None


_stopped: "ContextVar[tuple[UUID, Exception] | None]" = ContextVar("s", default=None)
