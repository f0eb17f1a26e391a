"""
How LangChain's runs come about: who hears them, whose children they are, what is told.
"""

from instrument._layer import Layer, Options
from instrument._open import open_run
from instrument._payload import CHAIN
from instrument._redact import redacted
from instrument._telling import contained
from instrument.integrations.langchain import _heard
from instrument.integrations.langchain._kinds import describe_model, recipe
from instrument.integrations.langchain._starts import abegin, begin, joined

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any
    from uuid import UUID

    from instrument._listener import Listener
    from instrument._run import Run
    from instrument.integrations.langchain._event_method import Act

    Tags = list[str] | None
    Metadata = dict[str, Any] | None

_HIDDEN = "langsmith:hidden"
_STEPS = ("__start__", "_write", "_read", "ChannelWrite<", "ChannelRead<", "branch:")


def opened(
    kind: str,
    serialized: "Any",
    inputs: "Any",
    /,
    *,
    run_id: "UUID",
    handlers: "tuple[Listener, ...]" = (),
    parent_run_id: "UUID | None" = None,
    name: str | None = None,
    tags: "Tags" = None,
    metadata: "Metadata" = None,
    run_type: str | None = None,
    **keywords: "Any",
) -> "Act | None":
    """
    Make a run; None where nobody listens, or it is plumbing that nobody wants to see.

    Args:
        kind: What LangChain calls it, unless it tells a type of run.
        inputs: What is told at the start, as LangChain has it.
        handlers: Whom LangChain was given itself.
    """
    if handlers and run_id in _heard.open_runs:
        return joined(_heard.open_runs[run_id], handlers)
    parent = None if parent_run_id is None else _heard.find(parent_run_id)
    own = _own(handlers, parent) if handlers else ()
    is_bare = serialized is None and not keywords
    made = recipe(run_type or kind, serialized, name, is_bare=is_bare)
    run = open_run(made, own, None, parent, run_id)
    if run is None:
        return None
    if not run._heard.hidden and _is_plumbing(run, tags, metadata):
        return None
    run._entry = _heard.Told()
    if own or (run._parent is not None and run._parent._extra):
        _inherit(run, own)
    if tags:
        run._added, run._tagged = tuple(tags), True
    if metadata:
        _describe(run, metadata)
    if run._tells is not CHAIN:
        inputs = _keep_original(run, serialized, inputs, metadata, keywords)
    run._inputs = shown(run, inputs, "inputs")
    return (begin, abegin, run) if _heard.keep(run) else None


def shown(run: "Run", value: "Any", name: str) -> "Any":
    """
    Give a payload as handlers may have it: LangChain's own objects, where all is shown.
    """
    heard = run._heard
    if heard.shows_all:
        return contained(value)
    if not heard.capture:
        return run._tells.recorded({}) if name == "inputs" else None
    return contained(redacted(value, heard.redactors, (name,)))


def _own(handlers: "tuple[Listener, ...]", parent: "Run | None") -> "tuple[Layer, ...]":
    """
    Give the layer of those of *handlers* that do not hear the parent already.
    """
    if parent is not None:
        known = {listener.key for listener, _ in parent._heard.listeners}
        handlers = tuple([it for it in handlers if it.key not in known])
    return (Layer(Options(handlers), "call"),) if handlers else ()


def _inherit(run: "Run", own: "tuple[Layer, ...]") -> None:
    """
    Have the runs below be heard by whom *run* and those above it were given.
    """
    parent = run._parent
    if parent is None:
        run._extra = own
    elif own:
        run._extra = own + parent._extra
    else:
        run._extra, run._below = parent._extra, parent._below


def _describe(run: "Run", metadata: "dict[str, Any]") -> None:
    given: Any = metadata.copy()
    if run._heard.redactors:
        given = redacted(given, run._heard.redactors, ("metadata",))
    if isinstance(given, dict):
        run._metadata = {**run.metadata, **given} if run._described else given
        run._described = True


def _keep_original(
    run: "Run",
    serialized: "Any",
    inputs: "Any",
    metadata: "Metadata",
    keywords: "dict[str, Any]",
) -> "Any":
    """
    Keep what only LangChain knows, for handlers written for it; give the inputs.
    """
    if run._tells.is_model:
        describe_model(run, metadata or {}, keywords)
        run._entry.texts = []
    if run._heard.shows_all:
        run._entry.original = serialized, keywords
    elif run._params:
        params = shown(run, run._params, "params")
        run._params = params if isinstance(params, dict) else None
    return run._tells.taken(inputs)  # type: ignore[attr-defined]


def _is_plumbing(run: "Run", tags: "Tags", metadata: "Metadata") -> bool:
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
        _heard.stand_in(run.id, run._parent)
    return True
