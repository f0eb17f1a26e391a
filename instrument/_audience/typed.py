"""
What type checkers take for a handler, and as functions for events; nothing of it is
imported when a program runs.
"""

from collections.abc import Callable
from typing import Any, Protocol, TypeAlias, TypedDict

from instrument._audience.listener import Listener
from instrument._payloads.event import Event


class Functions(TypedDict, total=False):
    """
    The functions that `callbacks` takes by keyword, each for one event.
    """

    on_llm_start: Callable[..., object]
    on_chat_model_start: Callable[..., object]
    on_llm_new_token: Callable[..., object]
    on_stream_event: Callable[..., object]
    on_llm_end: Callable[..., object]
    on_llm_error: Callable[..., object]
    on_chain_start: Callable[..., object]
    on_chain_end: Callable[..., object]
    on_chain_error: Callable[..., object]
    on_tool_start: Callable[..., object]
    on_tool_end: Callable[..., object]
    on_tool_error: Callable[..., object]
    on_retriever_start: Callable[..., object]
    on_retriever_end: Callable[..., object]
    on_retriever_error: Callable[..., object]
    on_embedding_start: Callable[..., object]
    on_embedding_end: Callable[..., object]
    on_embedding_error: Callable[..., object]
    on_agent_action: Callable[..., object]
    on_agent_finish: Callable[..., object]
    on_text: Callable[..., object]
    on_retry: Callable[..., object]
    on_custom_event: Callable[..., object]
    on_interrupt: Callable[..., object]
    on_resume: Callable[..., object]
    on_event: Callable[..., object]


class HearsLlmStart(Protocol):
    def on_llm_start(self, *args: Any, **kwargs: Any) -> Any: ...


class HearsChatModelStart(Protocol):
    def on_chat_model_start(self, *args: Any, **kwargs: Any) -> Any: ...


class HearsLlmNewToken(Protocol):
    def on_llm_new_token(self, *args: Any, **kwargs: Any) -> Any: ...


class HearsStreamEvent(Protocol):
    def on_stream_event(self, *args: Any, **kwargs: Any) -> Any: ...


class HearsLlmEnd(Protocol):
    def on_llm_end(self, *args: Any, **kwargs: Any) -> Any: ...


class HearsLlmError(Protocol):
    def on_llm_error(self, *args: Any, **kwargs: Any) -> Any: ...


class HearsChainStart(Protocol):
    def on_chain_start(self, *args: Any, **kwargs: Any) -> Any: ...


class HearsChainEnd(Protocol):
    def on_chain_end(self, *args: Any, **kwargs: Any) -> Any: ...


class HearsChainError(Protocol):
    def on_chain_error(self, *args: Any, **kwargs: Any) -> Any: ...


class HearsToolStart(Protocol):
    def on_tool_start(self, *args: Any, **kwargs: Any) -> Any: ...


class HearsToolEnd(Protocol):
    def on_tool_end(self, *args: Any, **kwargs: Any) -> Any: ...


class HearsToolError(Protocol):
    def on_tool_error(self, *args: Any, **kwargs: Any) -> Any: ...


class HearsRetrieverStart(Protocol):
    def on_retriever_start(self, *args: Any, **kwargs: Any) -> Any: ...


class HearsRetrieverEnd(Protocol):
    def on_retriever_end(self, *args: Any, **kwargs: Any) -> Any: ...


class HearsRetrieverError(Protocol):
    def on_retriever_error(self, *args: Any, **kwargs: Any) -> Any: ...


class HearsEmbeddingStart(Protocol):
    def on_embedding_start(self, *args: Any, **kwargs: Any) -> Any: ...


class HearsEmbeddingEnd(Protocol):
    def on_embedding_end(self, *args: Any, **kwargs: Any) -> Any: ...


class HearsEmbeddingError(Protocol):
    def on_embedding_error(self, *args: Any, **kwargs: Any) -> Any: ...


class HearsAgentAction(Protocol):
    def on_agent_action(self, *args: Any, **kwargs: Any) -> Any: ...


class HearsAgentFinish(Protocol):
    def on_agent_finish(self, *args: Any, **kwargs: Any) -> Any: ...


class HearsText(Protocol):
    def on_text(self, *args: Any, **kwargs: Any) -> Any: ...


class HearsRetry(Protocol):
    def on_retry(self, *args: Any, **kwargs: Any) -> Any: ...


class HearsCustomEvent(Protocol):
    def on_custom_event(self, *args: Any, **kwargs: Any) -> Any: ...


class HearsInterrupt(Protocol):
    def on_interrupt(self, *args: Any, **kwargs: Any) -> Any: ...


class HearsResume(Protocol):
    def on_resume(self, *args: Any, **kwargs: Any) -> Any: ...


class HearsEvent(Protocol):
    def on_event(self, *args: Any, **kwargs: Any) -> Any: ...


Handler: TypeAlias = (
    Callable[[Event], object]
    | Listener
    | HearsLlmStart
    | HearsChatModelStart
    | HearsLlmNewToken
    | HearsStreamEvent
    | HearsLlmEnd
    | HearsLlmError
    | HearsChainStart
    | HearsChainEnd
    | HearsChainError
    | HearsToolStart
    | HearsToolEnd
    | HearsToolError
    | HearsRetrieverStart
    | HearsRetrieverEnd
    | HearsRetrieverError
    | HearsEmbeddingStart
    | HearsEmbeddingEnd
    | HearsEmbeddingError
    | HearsAgentAction
    | HearsAgentFinish
    | HearsText
    | HearsRetry
    | HearsCustomEvent
    | HearsInterrupt
    | HearsResume
    | HearsEvent
)
"""
An object with some of the ``on_*`` methods, or a callable that takes every `Event`.
"""
