"""
`BaseCallbackHandler`: every event, with LangChain's names, argument order and flags.

Each method is called in the thread or task that does the thing, before it goes on; an
`AsyncCallbackHandler` is awaited there. Besides what the signatures show, every
method gets ``run`` (the live `Run`) and ``tags``, all but ``on_llm_new_token`` also
``metadata``, and all but that and ``on_custom_event`` the run's ``name``; a method
without ``**kwargs`` gets those it names.
"""

from types import FunctionType

from instrument._audience import seen_by_langchain as _seen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any, ParamSpec
    from uuid import UUID

    from instrument._payloads.event import Event

    Arguments = ParamSpec("Arguments")
    Awaited = Callable[Arguments, Coroutine[Any, Any, None]]


class BaseCallbackHandler(_seen.Seen):
    """
    A handler that hears nothing yet: override the events you want.

    Attributes:
        raise_error: True lets an exception of this handler stop the call that it was
            told about. Otherwise it is reported once, and the call goes on.
        run_inline: Kept for LangChain, whose manager reads it.
        remote: Where it works when a request goes on in another process: ``forward``,
            here, and it is told what happens there; ``local``, there, as it is
            installed there too (given by a block it works here); ``drop``, nowhere.
        ignore_llm: True silences every ``on_llm_*`` event; likewise the others.
            ``ignore_agent`` silences tools too, ``ignore_chat_model`` the starts of
            chat models.
    """

    raise_error: bool = False
    remote: str = "forward"
    ignore_embedding: bool = False

    def on_llm_start(
        self,
        serialized: "dict[str, Any]",
        prompts: list[str],
        *,
        run_id: "UUID",
        parent_run_id: "UUID | None" = None,
        **kwargs: "Any",
    ) -> "Any":
        """Hear that a text completion model, or a chat model as text, starts."""

    def on_chat_model_start(
        self,
        serialized: "dict[str, Any]",
        messages: "list[list[Any]]",
        *,
        run_id: "UUID",
        parent_run_id: "UUID | None" = None,
        **kwargs: "Any",
    ) -> "Any":
        """Hear that a chat model starts; *messages* is a list in a list."""

    def on_llm_new_token(
        self,
        token: str,
        *,
        run_id: "UUID",
        parent_run_id: "UUID | None" = None,
        **kwargs: "Any",
    ) -> "Any":
        """
        Hear a piece of an answer's text; `chunk` is the provider's object.

        Name a parameter ``channel`` to hear the others too, and which it is: ``text``,
        ``reasoning`` or ``tool_call``. Give it a default, for type checkers.
        """

    def on_stream_event(
        self,
        event: "Any",
        *,
        run_id: "UUID",
        parent_run_id: "UUID | None" = None,
        **kwargs: "Any",
    ) -> "Any":
        """Hear a protocol event of LangChain's version 3 streams."""

    def on_llm_end(
        self,
        response: "Any",
        *,
        run_id: "UUID",
        parent_run_id: "UUID | None" = None,
        **kwargs: "Any",
    ) -> "Any":
        """Hear a model's answer: `response.generations[i][j].text`."""

    def on_llm_error(
        self,
        error: BaseException,
        *,
        run_id: "UUID",
        parent_run_id: "UUID | None" = None,
        **kwargs: "Any",
    ) -> "Any":
        """Hear that a model failed; `response` is what there was."""

    def on_chain_start(
        self,
        serialized: "dict[str, Any]",
        inputs: "Any",
        *,
        run_id: "UUID",
        parent_run_id: "UUID | None" = None,
        **kwargs: "Any",
    ) -> "Any":
        """Hear that a chain, agent or run of another kind starts."""

    def on_chain_end(
        self,
        outputs: "Any",
        *,
        run_id: "UUID",
        parent_run_id: "UUID | None" = None,
        **kwargs: "Any",
    ) -> "Any":
        """Hear what a chain returned."""

    def on_chain_error(
        self,
        error: BaseException,
        *,
        run_id: "UUID",
        parent_run_id: "UUID | None" = None,
        **kwargs: "Any",
    ) -> "Any":
        """Hear that a chain failed, was cancelled or was left early."""

    def on_tool_start(
        self,
        serialized: "dict[str, Any]",
        input_str: str,
        *,
        run_id: "UUID",
        parent_run_id: "UUID | None" = None,
        **kwargs: "Any",
    ) -> "Any":
        """Hear that a tool is called; `inputs` are its arguments by name."""

    def on_tool_end(
        self,
        output: "Any",
        *,
        run_id: "UUID",
        parent_run_id: "UUID | None" = None,
        **kwargs: "Any",
    ) -> "Any":
        """Hear what a tool returned."""

    def on_tool_error(
        self,
        error: BaseException,
        *,
        run_id: "UUID",
        parent_run_id: "UUID | None" = None,
        **kwargs: "Any",
    ) -> "Any":
        """Hear that a tool failed, was cancelled or was left early."""

    def on_retriever_start(
        self,
        serialized: "dict[str, Any]",
        query: str,
        *,
        run_id: "UUID",
        parent_run_id: "UUID | None" = None,
        **kwargs: "Any",
    ) -> "Any":
        """Hear that a retriever is asked."""

    def on_retriever_end(
        self,
        documents: "Any",
        *,
        run_id: "UUID",
        parent_run_id: "UUID | None" = None,
        **kwargs: "Any",
    ) -> "Any":
        """Hear what a retriever found."""

    def on_retriever_error(
        self,
        error: BaseException,
        *,
        run_id: "UUID",
        parent_run_id: "UUID | None" = None,
        **kwargs: "Any",
    ) -> "Any":
        """Hear that a retriever failed, was cancelled or was left."""

    def on_embedding_start(
        self,
        serialized: "dict[str, Any]",
        texts: list[str],
        *,
        run_id: "UUID",
        parent_run_id: "UUID | None" = None,
        **kwargs: "Any",
    ) -> "Any":
        """Hear that texts are to be embedded."""

    def on_embedding_end(
        self,
        vectors: "Any",
        *,
        run_id: "UUID",
        parent_run_id: "UUID | None" = None,
        **kwargs: "Any",
    ) -> "Any":
        """Hear the vectors."""

    def on_embedding_error(
        self,
        error: BaseException,
        *,
        run_id: "UUID",
        parent_run_id: "UUID | None" = None,
        **kwargs: "Any",
    ) -> "Any":
        """Hear that an embedding failed, was cancelled or was left."""

    def on_agent_action(
        self,
        action: "Any",
        *,
        run_id: "UUID",
        parent_run_id: "UUID | None" = None,
        **kwargs: "Any",
    ) -> "Any":
        """Hear what an agent decides to do."""

    def on_agent_finish(
        self,
        finish: "Any",
        *,
        run_id: "UUID",
        parent_run_id: "UUID | None" = None,
        **kwargs: "Any",
    ) -> "Any":
        """Hear the result of an agent."""

    def on_text(
        self,
        text: str,
        *,
        run_id: "UUID",
        parent_run_id: "UUID | None" = None,
        **kwargs: "Any",
    ) -> "Any":
        """Hear what a run says by `run.text()`."""

    def on_retry(
        self,
        retry_state: "Any",
        *,
        run_id: "UUID",
        parent_run_id: "UUID | None" = None,
        **kwargs: "Any",
    ) -> "Any":
        """Hear that a run tries again, told by `run.retry()`."""

    def on_custom_event(
        self,
        name: str,
        data: "Any",
        *,
        run_id: "UUID",
        parent_run_id: "UUID | None" = None,
        **kwargs: "Any",
    ) -> "Any":
        """Hear what the application tells by `emit()`."""

    def on_interrupt(
        self,
        event: "Any",
        *,
        run_id: "UUID",
        parent_run_id: "UUID | None" = None,
        **kwargs: "Any",
    ) -> "Any":
        """Hear that a graph pauses. LangGraph tells it to handlers of its own alone."""

    def on_resume(
        self,
        event: "Any",
        *,
        run_id: "UUID",
        parent_run_id: "UUID | None" = None,
        **kwargs: "Any",
    ) -> "Any":
        """Hear that a graph goes on; the same."""

    def on_event(self, event: "Event", **kwargs: "Any") -> "Any":
        """Hear everything, as the one native record, after the event's own method."""


def _awaited(
    method: "Callable[Arguments, Any]",
) -> "Callable[[Awaited[...]], Awaited[Arguments]]":
    """
    Give a coroutine function the signature and the docstring of *method*.

    Type checkers see it too, and refuse a plain ``def`` that overrides it.
    """
    of: Any = method
    shown = FunctionType(of.__code__, {}, of.__name__)  # never called
    shown.__kwdefaults__ = of.__kwdefaults__
    shown.__annotations__ = {**of.__annotations__, "return": None}

    def made(hear: "Any") -> "Any":
        hear.__doc__ = method.__doc__
        hear.__wrapped__ = shown
        return hear

    return made


class AsyncCallbackHandler(BaseCallbackHandler):
    """
    A handler whose methods are coroutines.

    In async code they are awaited in place; in sync code they are queued to the loop
    on which their block was opened, or served by one background loop.
    """

    @_awaited(BaseCallbackHandler.on_llm_start)
    async def on_llm_start(self, *args: "Any", **kwargs: "Any") -> None: ...

    @_awaited(BaseCallbackHandler.on_chat_model_start)
    async def on_chat_model_start(self, *args: "Any", **kwargs: "Any") -> None: ...

    @_awaited(BaseCallbackHandler.on_llm_new_token)
    async def on_llm_new_token(self, *args: "Any", **kwargs: "Any") -> None: ...

    @_awaited(BaseCallbackHandler.on_stream_event)
    async def on_stream_event(self, *args: "Any", **kwargs: "Any") -> None: ...

    @_awaited(BaseCallbackHandler.on_llm_end)
    async def on_llm_end(self, *args: "Any", **kwargs: "Any") -> None: ...

    @_awaited(BaseCallbackHandler.on_llm_error)
    async def on_llm_error(self, *args: "Any", **kwargs: "Any") -> None: ...

    @_awaited(BaseCallbackHandler.on_chain_start)
    async def on_chain_start(self, *args: "Any", **kwargs: "Any") -> None: ...

    @_awaited(BaseCallbackHandler.on_chain_end)
    async def on_chain_end(self, *args: "Any", **kwargs: "Any") -> None: ...

    @_awaited(BaseCallbackHandler.on_chain_error)
    async def on_chain_error(self, *args: "Any", **kwargs: "Any") -> None: ...

    @_awaited(BaseCallbackHandler.on_tool_start)
    async def on_tool_start(self, *args: "Any", **kwargs: "Any") -> None: ...

    @_awaited(BaseCallbackHandler.on_tool_end)
    async def on_tool_end(self, *args: "Any", **kwargs: "Any") -> None: ...

    @_awaited(BaseCallbackHandler.on_tool_error)
    async def on_tool_error(self, *args: "Any", **kwargs: "Any") -> None: ...

    @_awaited(BaseCallbackHandler.on_retriever_start)
    async def on_retriever_start(self, *args: "Any", **kwargs: "Any") -> None: ...

    @_awaited(BaseCallbackHandler.on_retriever_end)
    async def on_retriever_end(self, *args: "Any", **kwargs: "Any") -> None: ...

    @_awaited(BaseCallbackHandler.on_retriever_error)
    async def on_retriever_error(self, *args: "Any", **kwargs: "Any") -> None: ...

    @_awaited(BaseCallbackHandler.on_embedding_start)
    async def on_embedding_start(self, *args: "Any", **kwargs: "Any") -> None: ...

    @_awaited(BaseCallbackHandler.on_embedding_end)
    async def on_embedding_end(self, *args: "Any", **kwargs: "Any") -> None: ...

    @_awaited(BaseCallbackHandler.on_embedding_error)
    async def on_embedding_error(self, *args: "Any", **kwargs: "Any") -> None: ...

    @_awaited(BaseCallbackHandler.on_agent_action)
    async def on_agent_action(self, *args: "Any", **kwargs: "Any") -> None: ...

    @_awaited(BaseCallbackHandler.on_agent_finish)
    async def on_agent_finish(self, *args: "Any", **kwargs: "Any") -> None: ...

    @_awaited(BaseCallbackHandler.on_text)
    async def on_text(self, *args: "Any", **kwargs: "Any") -> None: ...

    @_awaited(BaseCallbackHandler.on_retry)
    async def on_retry(self, *args: "Any", **kwargs: "Any") -> None: ...

    @_awaited(BaseCallbackHandler.on_custom_event)
    async def on_custom_event(self, *args: "Any", **kwargs: "Any") -> None: ...

    @_awaited(BaseCallbackHandler.on_interrupt)
    async def on_interrupt(self, *args: "Any", **kwargs: "Any") -> None: ...

    @_awaited(BaseCallbackHandler.on_resume)
    async def on_resume(self, *args: "Any", **kwargs: "Any") -> None: ...

    @_awaited(BaseCallbackHandler.on_event)
    async def on_event(self, *args: "Any", **kwargs: "Any") -> None: ...
