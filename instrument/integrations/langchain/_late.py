"""
The handler that LangChain calls last, for those of ours that it asked after the bridge,
and for what stops a call.

The bridge is handed down to inner runs, since LangGraph asks no hook for its nodes; so
it stands before what the constructors of inner models and tools were given.
"""

from langchain_core.callbacks.base import BaseCallbackHandler

from instrument.integrations.langchain._bridge import Inline, ToolStartMethod
from instrument.integrations.langchain._given_handlers import has_been_asked, pass_over
from instrument.integrations.langchain._starting import StartMethod, is_stopped, stopped

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any
    from uuid import UUID


class LastStartMethod(StartMethod):
    """
    Raises what is to stop a chat model, or has handlers join its run.
    """

    def __call__(  # type: ignore[override]
        self, serialized: "Any", messages: "Any", *, run_id: "UUID", **told: "Any"
    ) -> "Any":
        exc = stopped(run_id)
        if exc is not None:
            pass_over()
            raise exc
        return super().__call__(serialized, messages, run_id=run_id, **told)


class _WhileNothingToDo:
    """
    The value of the flags of `Late`.
    """

    def __get__(self, bridge: object, owner: type) -> bool:
        return not (has_been_asked() or is_stopped())


class Late(BaseCallbackHandler):
    """
    Has them join the run that the bridge has just started; deaf where there are none.
    """

    ignore_llm = _WhileNothingToDo()
    ignore_retry = _WhileNothingToDo()
    ignore_chain = _WhileNothingToDo()
    ignore_agent = _WhileNothingToDo()
    ignore_retriever = _WhileNothingToDo()
    ignore_chat_model = _WhileNothingToDo()
    ignore_custom_event = _WhileNothingToDo()

    run_inline = Inline()
    raise_error = True
    is_last = True

    on_chain_start: "Any" = StartMethod("chain")
    on_llm_start: "Any" = StartMethod("llm")
    on_chat_model_start: "Any" = LastStartMethod("chat_model")
    on_tool_start: "Any" = ToolStartMethod("tool")
    on_retriever_start: "Any" = StartMethod("retriever")

    def _forget(self, *args: "Any", **kwargs: "Any") -> None:
        pass_over()

    on_chain_end = on_chain_error = on_llm_new_token = on_llm_end = _forget
    on_llm_error = on_tool_end = on_tool_error = on_custom_event = _forget
    on_retriever_end = on_retriever_error = on_text = on_retry = _forget


LATE = Late()
