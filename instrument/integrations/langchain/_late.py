"""
The handler that LangChain calls last, for those of ours that it asked after the bridge.

The bridge is handed down to inner runs, since LangGraph asks no hook for its nodes; so
it stands before what the constructors of inner models and tools were given.
"""

from langchain_core.callbacks.base import BaseCallbackHandler

from instrument.integrations.langchain._bridge import (
    on_chain_start,
    on_chat_model_start,
    on_llm_start,
    on_retriever_start,
    on_tool_start,
)
from instrument.integrations.langchain._event_method import EventMethod
from instrument.integrations.langchain._given import given_here, has_been_asked

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class _WhileNoneAsked:
    """
    The value of the flags of `Late`: true unless handlers were asked after the bridge.
    """

    def __get__(self, bridge: object, owner: type) -> bool:
        return not has_been_asked()


class Late(BaseCallbackHandler):
    """
    Has them join the run that the bridge has just started; deaf where there are none.
    """

    ignore_llm = _WhileNoneAsked()  # type: ignore[assignment]
    ignore_retry = _WhileNoneAsked()  # type: ignore[assignment]
    ignore_chain = _WhileNoneAsked()  # type: ignore[assignment]
    ignore_agent = _WhileNoneAsked()  # type: ignore[assignment]
    ignore_retriever = _WhileNoneAsked()  # type: ignore[assignment]
    ignore_chat_model = _WhileNoneAsked()  # type: ignore[assignment]
    ignore_custom_event = _WhileNoneAsked()  # type: ignore[assignment]

    run_inline = True
    raise_error = True

    on_chain_start = EventMethod(on_chain_start)
    on_llm_start = EventMethod(on_llm_start)
    on_chat_model_start = EventMethod(on_chat_model_start)
    on_tool_start = EventMethod(on_tool_start)
    on_retriever_start = EventMethod(on_retriever_start)

    def _forget(self, *args: "Any", **kwargs: "Any") -> None:
        given_here()  # they hear the run already

    on_chain_end = on_chain_error = on_llm_new_token = on_llm_end = _forget
    on_llm_error = on_tool_end = on_tool_error = on_custom_event = _forget
    on_retriever_end = on_retriever_error = on_text = on_retry = _forget


LATE = Late()
