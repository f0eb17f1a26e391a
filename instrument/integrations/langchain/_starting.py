"""
How LangChain's runs come about: who hears them, whose children they are, what is told.
"""

from asyncio import _get_running_loop

from instrument import _report
from instrument._audience.plan import FrameworkLayer
from instrument._payloads.kinds import CHAIN
from instrument._payloads.redact import redacted
from instrument._runs.opening import open_run
from instrument._runs.telling import CONTAINERS
from instrument.integrations.langchain import _open_runs
from instrument.integrations.langchain._given_handlers import given_here, has_been_asked
from instrument.integrations.langchain._kinds import recipe, shown
from instrument.integrations.langchain._methods import DONE, Method
from instrument.integrations.langchain._starts import begun, joined

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any
    from uuid import UUID

    from instrument._audience.listener import Listener
    from instrument._audience.plan import Layer
    from instrument._runs.run import Run

    Tags = list[str] | None
    Metadata = dict[str, Any] | None

ABSENT: "Any" = object()
"""Stands for what is not told by its place."""

_ENDS = ("outputs", "response", "output", "documents")
_STARTS = ("inputs", "prompts", "messages", "query")
_HIDDEN = "langsmith:hidden"
_STEPS = ("__start__", "_write", "_read", "ChannelWrite<", "ChannelRead<", "branch:")


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
        loop = _get_running_loop()
        handlers = given_here() if has_been_asked() else ()
        if run_id is None or (handlers and run_id in _open_runs.open_runs):
            return begun(joined(run_id, handlers), loop)
        try:
            parent = None if parent_run_id is None else _open_runs.find(parent_run_id)
            own = _own(handlers, parent) if handlers else ()
            made = recipe(run_type or self._kind, serialized, name, keywords)
            run = open_run(made, own, None, parent, run_id)
            if run is None or (
                not run._audience.hidden and _skipped(run, tags, metadata)
            ):
                return DONE
            run._entry = _open_runs.Told()
            if tags or metadata:
                _label(run, tags, metadata)
            run._inputs = inputs
            if (tells := made.tells) is not CHAIN:
                tells.keep(run, serialized, keywords, metadata)  # type: ignore[attr-defined]
            elif inputs.__class__ in CONTAINERS or not run._audience.shows_all:
                run._inputs = shown(run, inputs, "inputs")
            run = _open_runs.keep(run, own, loop)
        except Exception as exc:  # ours, or of a payload's own code
            _report.failed(self, self.__name__, exc)
            return DONE
        return begun(run, loop)


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


def _own(handlers: "tuple[Listener, ...]", parent: "Run | None") -> "tuple[Layer, ...]":
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
    if given and run._audience.redactors:
        given = redacted(given, run._audience.redactors, ("metadata",))
    if isinstance(given, dict):
        run._metadata = {**run.metadata, **given} if run._described else given
        run._described = True


def _skipped(run: "Run", tags: "Tags", metadata: "Metadata") -> bool:
    """
    Tell whether a run is none of the user's, and have its parent stand for it then.

    It is tagged so, or one of LangGraph's own steps, which its versions before 0.3 do
    not all tag.
    """
    of_graph = metadata is not None and "langgraph_step" in metadata
    if not (tags and _HIDDEN in tags) and not (
        of_graph and run.name.startswith(_STEPS)
    ):
        return False
    if run._parent is not None:
        _open_runs.stand_in(run.id, run._parent)
    return True
