"""
The one handler that LangChain is given: it makes our runs of what LangChain tells.

The scope that holds at a run's start holds for all that LangChain tells of that run.
Nothing is made current here: LangChain tells ends in other Contexts than starts.
"""

from langchain_core.callbacks.base import BaseCallbackHandler

from instrument import _report
from instrument._layer import Layer, Options
from instrument._lifecycle import afail, afinish, astart, fail, finish, start
from instrument._messages import content_text
from instrument._open import open_run
from instrument._redact import redacted
from instrument._shapes import Answer, answer_of
from instrument._state import get_state
from instrument._telling import contained
from instrument.integrations.langchain import _heard
from instrument.integrations.langchain._event_method import EventMethod
from instrument.integrations.langchain._given import has_been_asked
from instrument.integrations.langchain._kinds import recipe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any
    from uuid import UUID

    from instrument._run import Run
    from instrument.integrations.langchain._event_method import Act

_HIDDEN = "langsmith:hidden"
_ALREADY_TOLD = ("name", "tags", "metadata", "run_id", "parent_run_id")


def on_chain_start(
    serialized: "Any", inputs: "Any", *, run_type: str | None = None, **told: "Any"
) -> "Act | None":
    return _begin(run_type or "chain", serialized, inputs, told)


def on_llm_start(serialized: "Any", prompts: list[str], **told: "Any") -> "Act | None":
    return _begin("llm", serialized, list(prompts), told)


def on_chat_model_start(
    serialized: "Any", messages: "list[list[Any]]", **told: "Any"
) -> "Act | None":
    return _begin("chat_model", serialized, list(messages[0]) if messages else [], told)


def on_retriever_start(serialized: "Any", query: str, **told: "Any") -> "Act | None":
    return _begin("retriever", serialized, query, told)


def on_tool_start(
    serialized: "Any",
    input_str: str,
    *,
    inputs: "dict[str, Any] | None" = None,
    **told: "Any",
) -> "Act | None":
    named = inputs if isinstance(inputs, dict) else {"input": input_str}
    act = _begin("tool", serialized, named, told)
    if act is not None:
        act[2].__dict__["_input_str"] = input_str
    return act


def on_llm_new_token(
    token: "Any", *, chunk: object = None, run_id: "UUID", **told: "Any"
) -> "Act | None":
    run = _heard.open_runs.get(run_id)
    text = content_text(token)
    if run is None or not text:
        return None
    run.__dict__["_texts"].append(text)
    return run.token, run.atoken, text, chunk


def on_end(outputs: "Any", *, run_id: "UUID", **told: "Any") -> "Act | None":
    run = _heard.take(run_id)
    if run is None:
        return None
    if "inputs" in told:  # a stream, whose inputs are known when it has been read
        run._inputs = _shown(run, told["inputs"], "inputs")
        if run.__dict__[
            "_open_children"
        ]:  # LangChain tells one that was left as a success
            run.outputs = outputs
            left = GeneratorExit()
            _abandon_below(run, left)
            return fail, afail, run, left
    return finish, afinish, run, outputs


def on_error(
    error: BaseException, *, run_id: "UUID", response: "Any" = None, **told: "Any"
) -> "Act | None":
    run = _heard.take(run_id)
    if run is None:
        return None
    if response is not None:
        run._answer = answer_of(response)
        run.outputs = run._answer.text or None
    return fail, afail, run, error


def on_text(text: str, *, run_id: "UUID", **told: "Any") -> "Act | None":
    run = _heard.open_runs.get(run_id)
    return None if run is None else (run.text, None, text)


def on_retry(state: object, *, run_id: "UUID", **told: "Any") -> "Act | None":
    run = _heard.open_runs.get(run_id)
    return None if run is None else (run.retry, None, state)


def on_custom_event(
    name: str, data: object, *, run_id: "UUID", **told: "Any"
) -> "Act | None":
    run = _heard.open_runs.get(run_id)
    return None if run is None else (run.emit, None, name, data)


def _begin(
    kind: str, serialized: "Any", inputs: "Any", told: "dict[str, Any]"
) -> "Act | None":
    """
    Make a run; None where nobody listens, or it is plumbing that nobody wants to see.
    """
    id = told["run_id"]
    if id in _heard.open_runs:
        return None
    parent = _heard.find(told.get("parent_run_id")) or _heard.in_hand()
    handlers = told.pop("handlers")
    own = (Layer(Options(handlers), "call"),) if handlers else ()
    run = open_run(recipe(kind, serialized, told), own, None, parent, id)
    if run is None:
        return None
    tags = tuple(told.get("tags") or ())
    if _HIDDEN in tags and not run._heard.hidden:
        if run._parent is not None:
            _heard.stand_in(id, run._parent)
        return None
    run._extra = own + (run._parent._extra if run._parent is not None else ())
    if tags:
        run._added, run._tagged = tags, True
    if told.get("metadata"):
        shown = _shown(run, told["metadata"], "metadata")
        run._metadata = {**run.metadata, **(shown if isinstance(shown, dict) else {})}
        run._described = True
    run._inputs = _shown(run, inputs, "inputs")
    keywords = {k: v for k, v in told.items() if k not in _ALREADY_TOLD}
    run.__dict__["_langchain"] = (serialized, keywords)
    run.__dict__["_texts"] = []
    run._yields_tokens = True
    lost = _heard.keep(id, run)
    if lost is not None:
        fail(lost, GeneratorExit())
    return start, astart, run


def _abandon_below(run: "Run", exc: BaseException) -> None:
    """
    End what is still open below *run*, inner before outer.
    """
    for below in _heard.open_below(run):
        if below._tells.is_model:
            below._answer = Answer("".join(below.__dict__["_texts"]))
            below.outputs = below._answer.text
        fail(below, exc)


def _shown(run: "Run", value: "Any", name: str) -> "Any":
    """
    Give a payload as handlers may have it: LangChain's own objects, where all is shown.
    """
    heard = run._heard
    if not heard.capture:
        return run._tells.recorded({}) if name == "inputs" else None
    if heard.redactors:
        value = redacted(value, heard.redactors, (name,))
    return contained(value)


class _WhileIdle:
    """
    The value of the bridge's flags: true while nobody would hear what it is told.
    """

    def __get__(self, bridge: object, owner: type) -> bool:
        return not (get_state() or has_been_asked() or _heard.open_runs)


class Bridge(BaseCallbackHandler):
    """
    What LangChain calls; sync where it calls, awaited where it awaits.
    """

    ignore_llm = _WhileIdle()  # type: ignore[assignment]
    ignore_retry = _WhileIdle()  # type: ignore[assignment]
    ignore_chain = _WhileIdle()  # type: ignore[assignment]
    ignore_agent = _WhileIdle()  # type: ignore[assignment]
    ignore_retriever = _WhileIdle()  # type: ignore[assignment]
    ignore_chat_model = _WhileIdle()  # type: ignore[assignment]
    ignore_custom_event = _WhileIdle()  # type: ignore[assignment]

    run_inline = True
    raise_error = True  # what gets as far as LangChain is meant to stop the call

    on_chain_start = EventMethod(on_chain_start)
    on_chain_end = EventMethod(on_end)
    on_chain_error = EventMethod(on_error)
    on_llm_start = EventMethod(on_llm_start)
    on_chat_model_start = EventMethod(on_chat_model_start)
    on_llm_new_token = EventMethod(on_llm_new_token)
    on_llm_end = EventMethod(on_end)
    on_llm_error = EventMethod(on_error)
    on_tool_start = EventMethod(on_tool_start)
    on_tool_end = EventMethod(on_end)
    on_tool_error = EventMethod(on_error)
    on_retriever_start = EventMethod(on_retriever_start)
    on_retriever_end = EventMethod(on_end)
    on_retriever_error = EventMethod(on_error)
    on_text = EventMethod(on_text)
    on_retry = EventMethod(on_retry)
    on_custom_event = EventMethod(on_custom_event)

    def __copy__(self) -> "Bridge":
        return self

    def __deepcopy__(self, memo: object) -> "Bridge":
        return self


class Tokens(BaseCallbackHandler):
    """
    What has LangChain's models stream though they were only invoked; it hears nothing.
    """

    ignore_llm = True  # type: ignore[assignment]
    ignore_retry = True  # type: ignore[assignment]
    ignore_chain = True  # type: ignore[assignment]
    ignore_agent = True  # type: ignore[assignment]
    ignore_retriever = True  # type: ignore[assignment]
    ignore_chat_model = True  # type: ignore[assignment]
    ignore_custom_event = True  # type: ignore[assignment]
    run_inline = True

    def tap_output_iter(self, run_id: "UUID", output: "Any") -> "Any":
        return output

    def tap_output_aiter(self, run_id: "UUID", output: "Any") -> "Any":
        return output


BRIDGE = Bridge()
TOKENS = Tokens()
