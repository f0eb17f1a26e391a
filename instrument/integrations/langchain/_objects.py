"""
What handlers written for LangChain are told of runs that are not LangChain's: its own
messages, results and documents. What is LangChain's already stays as it is.
"""

from inspect import iscoroutine

from langchain_core.documents import Document
from langchain_core.messages import BaseMessage
from langchain_core.messages.utils import get_buffer_string
from langchain_core.outputs import (
    ChatGeneration,
    ChatGenerationChunk,
    Generation,
    GenerationChunk,
    LLMResult,
)
from langchain_core.tracers.stdout import FunctionCallbackHandler

from instrument._payloads.answers import LLMResult as OwnResult
from instrument._payloads.jsonable import text_of
from instrument._payloads.messages import content_text, get, is_listed, items
from instrument.integrations.langchain._messages import (
    MOST_TEXT,
    answer_of,
    chunk_of,
    messages_of,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from instrument._runs.run import Run

    Method = Callable[..., Any]


def translated(event: str, method: "Method") -> "Method":
    """
    Make *method* of a LangChain handler take what our dispatcher gives.

    It is not given ``run``, which LangChain does not know, and would store.
    """
    translate = _TRANSLATED.get(event)
    handler = getattr(method, "__self__", None)
    if event == "on_chat_model_start":
        method = _or_as_text(method, handler)
    if event == "on_tool_start" and isinstance(handler, FunctionCallbackHandler):
        method = _without_inputs(method)

    def call(*args: "Any", run: "Run | None" = None, **kwargs: "Any") -> "Any":
        if translate is not None and run is not None:
            args, kwargs = translate(run, args, kwargs)
        return method(*args, **kwargs)

    return call


def written(messages: "list[Any]") -> str:
    """
    Write a conversation as LangChain does for handlers of text models.
    """
    return get_buffer_string(_conversation(messages))


def _conversation(messages: "list[Any]") -> "list[BaseMessage]":
    return [message for each in messages for message in messages_of(each)]


def _or_as_text(method: "Method", handler: "Any") -> "Method":
    """
    Tell a handler that refuses chat models of a text model, as LangChain does.
    """

    def start(serialized: "Any", messages: "Any", **kwargs: "Any") -> "Any":
        def as_text() -> "Any":
            texts = [get_buffer_string(each) for each in messages]
            return handler.on_llm_start(serialized, texts, **kwargs)

        try:
            told = method(serialized, messages, **kwargs)
        except NotImplementedError:
            return as_text()
        return _told_or_as_text(told, as_text) if iscoroutine(told) else told

    return start


async def _told_or_as_text(told: "Any", as_text: "Callable[[], Any]") -> None:
    try:
        await told
    except NotImplementedError:
        await as_text()


def _without_inputs(method: "Method") -> "Method":
    """
    Spare LangChain's console handler a tool's inputs by name: it fails at most of them.
    """

    def start(*args: "Any", inputs: object = None, **kwargs: "Any") -> "Any":
        return method(*args, **kwargs)

    return start


def _chat_start(run: "Run", args: "Any", kwargs: "Any") -> "Any":
    serialized, messages = args
    return (serialized, [_conversation(messages[0])]), kwargs


def _token(run: "Run", args: "Any", kwargs: "Any") -> "Any":
    channel = kwargs.pop("channel")
    chunk = kwargs.get("chunk")
    if issubclass(type(chunk), ChatGenerationChunk):  # of all that it says at once
        return (content_text(chunk.message.content),), kwargs
    if issubclass(type(chunk), GenerationChunk):
        return args, kwargs
    text = args[0] if channel == "text" else ""
    if run.kind != "chat_model":
        made: Any = GenerationChunk(text=text)
    elif channel == "tool_call" and not run._audience.shows_all:
        made = None
    else:
        told = run._read_answer()
        calls = [] if told is None else told.tool_calls
        made = ChatGenerationChunk(message=chunk_of(args[0], channel, calls))
    return (text,), {**kwargs, "chunk": made}


def _llm_end(run: "Run", args: "Any", kwargs: "Any") -> "Any":
    return (_result(run, args[0]),), kwargs


def _llm_error(run: "Run", args: "Any", kwargs: "Any") -> "Any":
    return args, {**kwargs, "response": _result(run, kwargs.get("response"))}


def _retriever_end(run: "Run", args: "Any", kwargs: "Any") -> "Any":
    found = args[0]
    if is_listed(found):
        found = [_document(each) for each in items(found)]
    return (found,), kwargs


_TRANSLATED: "dict[str, Callable[..., Any]]" = {
    "on_chat_model_start": _chat_start,
    "on_llm_new_token": _token,
    "on_llm_end": _llm_end,
    "on_llm_error": _llm_error,
    "on_retriever_end": _retriever_end,
}


def _result(run: "Run", given: "Any") -> "Any":
    if not issubclass(type(given), OwnResult):
        return given
    generations = [
        [_generation(run, each, is_first=not (i or j)) for j, each in enumerate(row)]
        for i, row in enumerate(given.generations)
    ]
    return LLMResult(generations=generations, llm_output=_llm_output(run, given))


def _llm_output(run: "Run", given: OwnResult) -> "dict[str, Any]":
    """
    Count tokens in the words that LangChain has for text models.
    """
    used = _usage(run)
    if used is None:
        return given.llm_output
    counts = {
        "prompt_tokens": used["input_tokens"],
        "completion_tokens": used["output_tokens"],
        "total_tokens": used["total_tokens"],
    }
    return {**given.llm_output, "token_usage": counts}


def _generation(run: "Run", given: "Any", *, is_first: bool) -> Generation:
    """
    Make LangChain's of one answer; what is known besides is of the first.
    """
    info = given.generation_info
    if issubclass(type(given.message), BaseMessage):
        return ChatGeneration(message=given.message, generation_info=info)
    if run.kind != "chat_model":
        return Generation(text=given.text, generation_info=info)
    told = {"model_name": run.model, "model_provider": run.provider, **(info or {})}
    data = run._kind.end_data(run) if is_first else {}
    calls = [*data.get("tool_calls", ()), *data.get("server_tool_calls", ())]
    message = answer_of(
        {**data, "tool_calls": calls, "content": given.text},
        id=data.get("response_id"),
        usage_metadata=_usage(run) if is_first else None,
        response_metadata={name: value for name, value in told.items() if value},
    )
    return ChatGeneration(message=message, generation_info=info)


def _usage(run: "Run") -> "Any":
    usage = run.usage
    if usage.input_tokens is None or usage.output_tokens is None:
        return None
    read = {
        "cache_read": usage.cache_read_tokens,
        "cache_creation": usage.cache_write_tokens,
    }
    written = {"reasoning": usage.reasoning_tokens}
    return {
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "input_token_details": _known(read),
        "output_token_details": _known(written),
    }


def _known(counts: "dict[str, int | None]") -> "dict[str, int]":
    return {name: count for name, count in counts.items() if count is not None}


def _document(given: object) -> "Any":
    if issubclass(type(given), Document):
        return given
    content = get(given, "page_content")
    if content is None:
        content = given
    is_text = issubclass(type(content), str)
    metadata = get(given, "metadata")
    return Document(
        str.__str__(content) if is_text else text_of(content, MOST_TEXT),
        metadata=metadata if type(metadata) is dict else {},
    )
