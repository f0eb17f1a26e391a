"""
`AsyncCallbackHandler`: the same events as coroutines.
"""

from instrument._audience.handler import BaseCallbackHandler

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any
    from uuid import UUID

    from instrument._payloads.event import Event


class AsyncCallbackHandler(BaseCallbackHandler):
    """
    A handler whose methods are coroutines.

    In async code they are awaited in place; in sync code they are queued to the loop
    on which their block was opened, or served by one background loop.
    """

    async def on_llm_start(
        self,
        serialized: "dict[str, Any]",
        prompts: list[str],
        *,
        run_id: "UUID",
        parent_run_id: "UUID | None" = None,
        **kwargs: "Any",
    ) -> None:
        """Hear that a text completion model, or a chat model as text, starts."""

    async def on_chat_model_start(
        self,
        serialized: "dict[str, Any]",
        messages: "list[list[Any]]",
        *,
        run_id: "UUID",
        parent_run_id: "UUID | None" = None,
        **kwargs: "Any",
    ) -> None:
        """Hear that a chat model starts; *messages* is a list in a list."""

    async def on_llm_new_token(
        self,
        token: str,
        *,
        run_id: "UUID",
        parent_run_id: "UUID | None" = None,
        **kwargs: "Any",
    ) -> None:
        """Hear a piece of an answer; `chunk` is the provider's object."""

    async def on_stream_event(
        self,
        event: "Any",
        *,
        run_id: "UUID",
        parent_run_id: "UUID | None" = None,
        **kwargs: "Any",
    ) -> None:
        """Hear a protocol event of LangChain's version 3 streams."""

    async def on_llm_end(
        self,
        response: "Any",
        *,
        run_id: "UUID",
        parent_run_id: "UUID | None" = None,
        **kwargs: "Any",
    ) -> None:
        """Hear a model's answer: `response.generations[i][j].text`."""

    async def on_llm_error(
        self,
        error: BaseException,
        *,
        run_id: "UUID",
        parent_run_id: "UUID | None" = None,
        **kwargs: "Any",
    ) -> None:
        """Hear that a model failed; `response` is what there was."""

    async def on_chain_start(
        self,
        serialized: "dict[str, Any]",
        inputs: "Any",
        *,
        run_id: "UUID",
        parent_run_id: "UUID | None" = None,
        **kwargs: "Any",
    ) -> None:
        """Hear that a chain, agent or run of another kind starts."""

    async def on_chain_end(
        self,
        outputs: "Any",
        *,
        run_id: "UUID",
        parent_run_id: "UUID | None" = None,
        **kwargs: "Any",
    ) -> None:
        """Hear what a chain returned."""

    async def on_chain_error(
        self,
        error: BaseException,
        *,
        run_id: "UUID",
        parent_run_id: "UUID | None" = None,
        **kwargs: "Any",
    ) -> None:
        """Hear that a chain failed, was cancelled or was left early."""

    async def on_tool_start(
        self,
        serialized: "dict[str, Any]",
        input_str: str,
        *,
        run_id: "UUID",
        parent_run_id: "UUID | None" = None,
        **kwargs: "Any",
    ) -> None:
        """Hear that a tool is called; `inputs` are its arguments by name."""

    async def on_tool_end(
        self,
        output: "Any",
        *,
        run_id: "UUID",
        parent_run_id: "UUID | None" = None,
        **kwargs: "Any",
    ) -> None:
        """Hear what a tool returned."""

    async def on_tool_error(
        self,
        error: BaseException,
        *,
        run_id: "UUID",
        parent_run_id: "UUID | None" = None,
        **kwargs: "Any",
    ) -> None:
        """Hear that a tool failed, was cancelled or was left early."""

    async def on_retriever_start(
        self,
        serialized: "dict[str, Any]",
        query: str,
        *,
        run_id: "UUID",
        parent_run_id: "UUID | None" = None,
        **kwargs: "Any",
    ) -> None:
        """Hear that a retriever is asked."""

    async def on_retriever_end(
        self,
        documents: "Any",
        *,
        run_id: "UUID",
        parent_run_id: "UUID | None" = None,
        **kwargs: "Any",
    ) -> None:
        """Hear what a retriever found."""

    async def on_retriever_error(
        self,
        error: BaseException,
        *,
        run_id: "UUID",
        parent_run_id: "UUID | None" = None,
        **kwargs: "Any",
    ) -> None:
        """Hear that a retriever failed, was cancelled or was left."""

    async def on_embedding_start(
        self,
        serialized: "dict[str, Any]",
        texts: list[str],
        *,
        run_id: "UUID",
        parent_run_id: "UUID | None" = None,
        **kwargs: "Any",
    ) -> None:
        """Hear that texts are to be embedded."""

    async def on_embedding_end(
        self,
        vectors: "Any",
        *,
        run_id: "UUID",
        parent_run_id: "UUID | None" = None,
        **kwargs: "Any",
    ) -> None:
        """Hear the vectors."""

    async def on_embedding_error(
        self,
        error: BaseException,
        *,
        run_id: "UUID",
        parent_run_id: "UUID | None" = None,
        **kwargs: "Any",
    ) -> None:
        """Hear that an embedding failed, was cancelled or was left."""

    async def on_agent_action(
        self,
        action: "Any",
        *,
        run_id: "UUID",
        parent_run_id: "UUID | None" = None,
        **kwargs: "Any",
    ) -> None:
        """Hear what an agent decides to do."""

    async def on_agent_finish(
        self,
        finish: "Any",
        *,
        run_id: "UUID",
        parent_run_id: "UUID | None" = None,
        **kwargs: "Any",
    ) -> None:
        """Hear the result of an agent."""

    async def on_text(
        self,
        text: str,
        *,
        run_id: "UUID",
        parent_run_id: "UUID | None" = None,
        **kwargs: "Any",
    ) -> None:
        """Hear what a run says by `run.text()`."""

    async def on_retry(
        self,
        retry_state: "Any",
        *,
        run_id: "UUID",
        parent_run_id: "UUID | None" = None,
        **kwargs: "Any",
    ) -> None:
        """Hear that a run tries again, told by `run.retry()`."""

    async def on_custom_event(
        self,
        name: str,
        data: "Any",
        *,
        run_id: "UUID",
        parent_run_id: "UUID | None" = None,
        **kwargs: "Any",
    ) -> None:
        """Hear what the application tells by `emit()`."""

    async def on_interrupt(
        self,
        event: "Any",
        *,
        run_id: "UUID",
        parent_run_id: "UUID | None" = None,
        **kwargs: "Any",
    ) -> None:
        """Hear that a graph pauses. LangGraph tells it to handlers of its own alone."""

    async def on_resume(
        self,
        event: "Any",
        *,
        run_id: "UUID",
        parent_run_id: "UUID | None" = None,
        **kwargs: "Any",
    ) -> None:
        """Hear that a graph goes on; the same."""

    async def on_event(self, event: "Event", **kwargs: "Any") -> None:
        """Hear everything, as the one native record, after the event's own method."""
