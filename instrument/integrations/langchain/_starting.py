"""
How LangChain's runs come about: who hears them, whose children they are, what is told;
and how handlers join one that has started already.
"""

import sys
from asyncio import _get_running_loop
from contextvars import ContextVar
from copy import copy

from langchain_core.callbacks import BaseCallbackManager

from instrument._audience.audience import Audience
from instrument._audience.plan import FrameworkLayer, Layer, Options, linked
from instrument._payloads.kinds import CHAIN
from instrument._runs.opening import open_run
from instrument._runs.results import CONTAINERS
from instrument._runs.starting import astart, start
from instrument._state import get_state
from instrument.integrations.langchain import _open_runs
from instrument.integrations.langchain._bridge_methods import (
    DONE,
    Method,
    to_wait_for,
    waits,
)
from instrument.integrations.langchain._given_handlers import (
    been_asked,
    given_here,
    has_been_asked,
)
from instrument.integrations.langchain._kinds import ToldAsChain, recipe, shown
from instrument.integrations.langchain._plumbing import skip
from instrument.integrations.langchain._told_as_chains import tell_as_chain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any
    from uuid import UUID

    from instrument._audience.listener import Listener
    from instrument._runs.ending import Pending
    from instrument._runs.run import Run

    Tags = list[str] | None
    Metadata = dict[str, Any] | None

ABSENT: "Any" = object()
"""Stands for what is not told by its place."""

_ENDS = ("outputs", "response", "output", "documents")
_STARTS = ("inputs", "prompts", "messages", "query")


class StartMethod(Method):
    """
    Makes a run of a start, unless nobody listens, or it is plumbing that nobody wants
    to see.

    Args:
        kind: What LangChain calls such a run, where it tells no type of run.
    """

    def __init__(self, kind: str) -> None:
        super().__init__()
        self._kind = kind

    # one function from LangChain's call to ours: each more on the way costs 0.3 us
    def __call__(
        self,
        serialized: "Any" = None,
        inputs: "Any" = ABSENT,
        /,
        *_: object,
        run_id: "UUID | None" = None,
        parent_run_id: "UUID | None" = None,
        name: str | None = None,
        tags: "Tags" = None,
        metadata: "Metadata" = None,
        run_type: str | None = None,
        **keywords: "Any",
    ) -> "Any":
        if inputs is ABSENT:
            serialized, inputs = by_name(keywords, serialized)
        handlers = given_here() if been_asked and has_been_asked() else ()
        if run_id is None or (handlers and run_id.int in _open_runs.open_runs):
            return begun(joined(run_id, handlers))
        run = known = None
        try:
            parent = None if parent_run_id is None else _open_runs.find(parent_run_id)
            own = _layers_of(handlers, parent) if handlers else ()
            made = recipe(self._kind, serialized, name, keywords, run_type, metadata)
            run = open_run(made, own, None, parent, run_id)
            if run is None:
                return DONE
            if not run._audience.plumbing and skip(run, parent_run_id, tags, metadata):
                return DONE
            run._entry = _open_runs.Entry()
            run._inputs = inputs
            _note(run, serialized, keywords, tags, metadata)
            known = _open_runs.remember(run, own, _get_running_loop())
            return begun(known)
        except BaseException as exc:  # ours, or of a payload's own code
            _open_runs.drop(run)  # its end has been told, or nobody was told of it
            if known is not None:
                raise
            return self.unread(exc)


def _note(
    run: "Run",
    serialized: "Any",
    keywords: "dict[str, Any]",
    tags: "Tags",
    metadata: "Metadata",
) -> None:
    """
    Note what LangChain tells of *run* and what it is given.
    """
    if tags or metadata:
        _label(run, tags, metadata)
    if (kind := run._kind) is not CHAIN:
        kind.note(run, serialized, keywords, metadata)  # type: ignore[attr-defined]
    elif id(type(run._inputs)) in CONTAINERS or not run._audience.shows_all:
        run._inputs = shown(run, run._inputs, "inputs")


def by_name(told: "dict[str, Any]", serialized: "Any" = None) -> "tuple[Any, Any]":
    """
    Take what a handler is told by its place, of one who names it.

    LangChain names none of it, LangServe's client all.

    Returns:
        How the object is described, and what went in or came out; None for what is
        missing.
    """
    names = [name for name in _ENDS + _STARTS if name in told]
    value = told.pop(names[0]) if names else None  # an end may name its inputs too
    return told.pop("serialized", serialized), value


def _layers_of(
    handlers: "tuple[Listener, ...]", parent: "Run | None"
) -> "tuple[Layer, ...]":
    """
    Give the layer of those of *handlers* that do not hear the parent already.
    """
    if parent is not None:
        known = {listener.key for listener, _ in parent._audience.listeners}
        handlers = tuple([it for it in handlers if it.key not in known])
    return (FrameworkLayer(handlers),) if handlers else ()


def _label(run: "Run", tags: "Tags", metadata: "Metadata") -> None:
    """
    Note the tags and metadata that LangChain tells.
    """
    if tags:
        run._added, run._tagged = tuple(tags), True
    given: Any = metadata.copy() if metadata else None
    if type(given) is not dict:
        return
    if run._described or run._audience.redactors:
        run.metadata.update(given)
    else:
        run._metadata = given
    run._described = True


def joined(id: "UUID | None", handlers: "tuple[Listener, ...]") -> "Run | None":
    """
    Have a run that has started be heard by handlers that were asked since.

    Returns:
        The run, to be begun for them; None where they hear it already, or where none
        is told of.
    """
    run = None if id is None else _open_runs.open_runs.get(id.int)
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
    if isinstance(run._kind, ToldAsChain):
        tell_as_chain(run)
    run._voices = copy(run._audience.voices(run._kind))
    run._voices.start = Audience([layer], ()).receivers(run._kind.start)
    return run


def begun(run: "Run | None") -> "Any":
    """
    Start *run* for a method of the bridge, and forget it where a handler has stopped it.

    Args:
        run: What has been made, if anything.

    Returns:
        What the method gives to its caller.
    """
    if run is None:
        return DONE
    if _get_running_loop() is not None and waits():
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
    _open_runs.take(run.id.int)
    if not issubclass(type(exc), NotImplementedError):
        return exc
    stopped = RuntimeError(f"a handler raised {exc!r}")
    stopped.__cause__ = exc
    return stopped


def _raise_last(run: "Run", exc: BaseException) -> None:
    """
    Raise *exc*, for a chat model when LangChain has told all its other handlers.

    It makes a coroutine for each of them, and would leave the rest un-awaited.
    """
    is_told_last = run._kind.start == "on_chat_model_start" and _has_last()
    if not is_told_last or not issubclass(type(exc), Exception):
        raise exc
    _stopped.set((run.id, exc))  # type: ignore[arg-type]


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
