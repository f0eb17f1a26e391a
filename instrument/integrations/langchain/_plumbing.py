"""
Which of LangChain's runs are steps of the framework's own, and none of the user's.

A model, a tool or a retriever never is: whoever counts tokens must hear them all.
"""

import sys
from weakref import WeakSet

from instrument._payloads.fields import name_of
from instrument._payloads.messages import string
from instrument.integrations.langchain._open_runs import leave_out, left_out, open_runs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any
    from uuid import UUID

    from instrument._runs.run import Run

HIDDEN = "langsmith:hidden"
_STEPS = ("__start__", "_write", "_read", "ChannelWrite<", "ChannelRead<", "branch:")
"""What LangGraph calls its own; its versions before 0.3 do not tag all of that."""

_AGENTS = "langchain.agents.factory"
_AGENTS_NODES = ("model", "tools")

_PREBUILT = "langgraph.prebuilt.chat_agent_executor"
_STRUCTURED = "generate_structured_response"
_PREBUILT_NODES = ("agent", _STRUCTURED)
_PREBUILT_STEPS = (
    "call_model",
    "should_continue",
    "route_tool_responses",
    "post_model_hook_router",
    "RunnableSequence",
    "Prompt",
    _STRUCTURED,
)
_STEP = "RunnableCallable"
_prebuilt: "WeakSet[Run]" = WeakSet()
"""What ``create_react_agent`` made: the runs whose node of the model was left out."""


def skip(
    run: "Run",
    parent_id: "UUID | None",
    tags: "list[str] | None",
    metadata: "dict[str, Any] | None",
) -> bool:
    """
    Tell whether to skip *run*, which is plumbing; what is above stands for it then.

    Args:
        run: What has been made of a start.
        parent_id: The id of the run that called it.
        tags: What LangChain tells at its start, what is handed down included.
        metadata: Likewise.
    """
    if not _is_plumbing(run, parent_id, tags, metadata):
        return False
    leave_out(run, is_tagged=HIDDEN in (tags or ()))
    return True


def _is_plumbing(
    run: "Run",
    parent_id: "UUID | None",
    tags: "list[str] | None",
    metadata: "dict[str, Any] | None",
) -> bool:
    if run.kind != "chain":
        return False
    if tags and HIDDEN in tags and not _is_handed_down(parent_id, tags):
        return True
    if metadata is None or "langgraph_step" not in metadata:
        return False
    if run.name.startswith(_STEPS):
        return True
    if run.name != string(metadata.get("langgraph_node")) or not _has_tag(
        tags, "graph:step:"
    ):
        return run.name in _PREBUILT_STEPS and _is_made_by(_PREBUILT)
    if run.name in _AGENTS_NODES and _is_made_by(_AGENTS):
        return True
    return _is_a_prebuilt_node(run, parent_id)


def _is_a_prebuilt_node(run: "Run", parent_id: "UUID | None") -> bool:
    """
    Tell whether it is a node that ``create_react_agent`` made.

    Nothing of its node of tools says so: it is known by that of the model before it.
    """
    graph = run if parent_id is None else open_runs.get(parent_id.int, run)
    if run.name == "tools":
        return graph in _prebuilt
    if run.name not in _PREBUILT_NODES or not _is_made_by(_PREBUILT):
        return False
    _prebuilt.add(graph)
    return True


def _is_handed_down(parent_id: "UUID | None", tags: "list[str]") -> bool:
    """
    Tell whether the tag that hides a run is there only since the one above has it.

    The steps of a sequence that is left out are left out with it.
    """
    if parent_id is None:
        return False
    parent = open_runs.get(parent_id.int)
    if parent is not None:
        return HIDDEN in parent.tags
    above = left_out.get(parent_id.int)
    return above is not None and above[-1] and not _has_tag(tags, "seq:step:")


def _has_tag(tags: "list[str] | None", start: str) -> bool:
    return any(tag.startswith(start) for tag in tags or ())


def _is_made_by(module: str) -> bool:
    """
    Tell whether the node that starts here, or a step in it, is one that *module* made.

    Nothing that LangGraph tells says so: a graph of the user's that an agent's tool
    calls inherits the agent's metadata, and older versions have none. What the node
    does, or how it goes on, is a function of that module's.
    """
    frame: Any = sys._getframe(1)
    while frame is not None:
        it = frame.f_locals.get("self")
        steps = getattr(it, "steps", None)
        if isinstance(steps, list):
            return any(_module(step) == module for step in steps)
        if name_of(it) == _STEP:  # in a task of its own
            return _module(it) == module
        frame = frame.f_back
    return False


def _module(step: object) -> object:
    """
    Tell where the function of one step of a node is from; of a branch, what decides.
    """
    function = getattr(step, "func", None) or getattr(step, "afunc", None)
    branch = getattr(getattr(function, "__self__", None), "path", None)
    return getattr(function if branch is None else branch.func, "__module__", None)
