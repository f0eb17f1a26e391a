"""
The one handler that LangChain is given: it makes our runs of what LangChain tells.

The scope that holds at a run's start holds for all that LangChain tells of that run.
Nothing is made current here: LangChain tells ends in other Contexts than starts.
"""

import sys
from functools import partial

from langchain_core.callbacks.base import BaseCallbackHandler

from instrument import _seen
from instrument._lifecycle import afail, afinish, fail, finish
from instrument._messages import content_text
from instrument._state import get_state
from instrument.integrations.langchain import _heard
from instrument.integrations.langchain._endings import (
    end_below,
    finish_stream,
    take_partial,
)
from instrument.integrations.langchain._event_method import EventMethod
from instrument.integrations.langchain._given import found_behind, has_been_asked
from instrument.integrations.langchain._opening import opened, shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any
    from uuid import UUID

    from instrument.integrations.langchain._event_method import Act


on_chain_start = partial(opened, "chain")
on_llm_start = partial(opened, "llm")
on_chat_model_start = partial(opened, "chat_model")
on_retriever_start = partial(opened, "retriever")


def on_tool_start(
    serialized: "Any",
    input_str: str,
    *,
    inputs: "dict[str, Any] | None" = None,
    **told: "Any",
) -> "Act | None":
    """
    Begin a tool; old versions tell its input as text only.
    """
    named = inputs if isinstance(inputs, dict) else {"input": input_str}
    act = opened("tool", serialized, named, **told)
    if act is not None and act[2]._heard.shows_all:
        _heard.told(act[2]).input_str = input_str
    return act


def on_llm_new_token(
    token: "Any", *, chunk: object = None, run_id: "UUID", **told: "Any"
) -> "Act | None":
    """
    Tell a token; a content block without text is none.
    """
    run = _heard.open_runs.get(run_id)
    text = content_text(token)
    if run is None or not text:
        return None
    if run._heard.shows_all:
        _heard.told(run).texts.append(text)
    return run.token, run.atoken, text, chunk


def on_end(outputs: "Any", *, run_id: "UUID", **told: "Any") -> "Act | None":
    """
    End a run of any kind.
    """
    run = _heard.take(run_id)
    if run is None:
        return None
    if "inputs" in told:  # a stream, whose inputs are known when it has been read
        run._inputs = shown(run, told["inputs"], "inputs")
        return finish_stream, afinish, run, outputs
    return finish, afinish, run, outputs


def on_error(
    error: BaseException, *, run_id: "UUID", response: "Any" = None, **told: "Any"
) -> "Act | None":
    """
    End a run of any kind with what was raised in it.
    """
    run = _heard.take(run_id)
    if run is None:
        return None
    if isinstance(error, GeneratorExit) and run._open_children:
        # of an async stream, told after its outer one
        end_below(run, error, left=False)
    if run._tells.is_model:
        take_partial(run, response)
    return fail, afail, run, error


def on_text(text: str, *, run_id: "UUID", **told: "Any") -> "Act | None":
    """
    Tell what a chain says.
    """
    run = _heard.open_runs.get(run_id)
    return None if run is None else (run.text, None, text)


def on_retry(state: object, *, run_id: "UUID", **told: "Any") -> "Act | None":
    """
    Tell that a model tries again.
    """
    run = _heard.open_runs.get(run_id)
    return None if run is None else (run.retry, None, state)


def on_custom_event(
    name: str, data: object, *, run_id: "UUID", **told: "Any"
) -> "Act | None":
    """
    Tell what the application dispatched.
    """
    run = _heard.open_runs.get(run_id)
    return None if run is None else (run.emit, None, name, data)


class _WhileIdle:
    """
    True while nobody would hear what the bridge is told.
    """

    def __get__(self, bridge: object, owner: type) -> bool:
        return not (get_state() or has_been_asked() or _heard.open_runs)


class Inline:
    """
    The value of a flag: true but where that would deafen other handlers, for nothing.

    LangChain does not tell handlers that are not inline of a completion model that
    starts, if others are: https://github.com/langchain-ai/langchain/issues/39633
    """

    def __get__(self, bridge: "Any", owner: type) -> bool:
        if not bridge.is_idle:
            return True
        asks: Any = sys._getframe(1)
        if asks.f_code.co_name == "<listcomp>":  # a frame of its own up to Python 3.11
            asks = asks.f_back
        return asks.f_code.co_name != "on_llm_start"  # type: ignore[no-any-return]


class Bridge(BaseCallbackHandler):
    """
    What LangChain calls; sync where it calls, awaited where it awaits.
    """

    is_idle = _WhileIdle()
    run_inline = Inline()
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

    def __eq__(self, other: object) -> bool:
        """
        Meet *other*: LangChain compares what it adds with each handler before it.
        """
        if id(other) in _seen.alive:
            added = sys._getframe(1).f_locals.get("handler")
            if added is not self:  # which is compared with what it is put behind
                found_behind(other)
        return self is other

    __hash__ = BaseCallbackHandler.__hash__

    def __copy__(self) -> "Bridge":
        return self

    def __deepcopy__(self, memo: object) -> "Bridge":
        return self


BRIDGE = Bridge()
