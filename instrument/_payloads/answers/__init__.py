"""
Read the answers of models, whole or in chunks, of any provider, as objects or dicts.

Nothing is imported and nothing is guessed: what has no known shape gives nothing. A
whole answer is read as a stream of one chunk would be.
"""

from instrument._payloads.answers import anthropic as _anthropic
from instrument._payloads.answers import google as _google
from instrument._payloads.answers import langchain as _langchain
from instrument._payloads.answers import openai as _openai
from instrument._payloads.answers import others as _others
from instrument._payloads.answers.answer import (
    PLAIN,
    Answer,
    Generation,
    LLMResult,
    Unread,
    UnreadResult,
)
from instrument._payloads.answers.usage import usage_of
from instrument._payloads.answers.vectors import vectors_of
from instrument._payloads.messages import get, plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from instrument._payloads.answers.answer import Token

    Take = Callable[[Answer, object], Sequence[Token]]

__all__ = [
    "Answer",
    "Generation",
    "LLMResult",
    "Unread",
    "UnreadResult",
    "answer_of",
    "only_text",
    "take",
    "usage_of",
    "vectors_of",
]

_MOST_TYPES = 500
_known: "dict[type, Take]" = {}
"""How values of a type are read, where the type alone decides it."""

only_text: "dict[type, Callable[[Answer, object], str | None]]" = {}
"""What gives the text of a chunk of a type, where that may be all that it tells."""


def answer_of(result: object) -> Answer:
    """
    Read a model's whole result; of a string, the text is all there is.
    """
    answer = Answer()
    take(answer, result)
    if answer.message is None and get(plain(result), "content") is not None:
        answer.message = result
    return answer


def take(answer: Answer, chunk: object) -> "Sequence[Token]":
    """
    Add to *answer* what a chunk of it tells.

    Returns:
        Its pieces of text, each with its channel (``text``, ``reasoning``,
        ``tool_call``); none for a chunk of no known shape or without text.
    """
    cls = type(chunk)
    read = _known.get(cls)
    if read is None:
        if isinstance(chunk, str):
            return answer.said(chunk)
        if isinstance(chunk, PLAIN):
            return ()
        read = _shape_of(chunk)
        if hasattr(cls, "model_fields") and len(_known) < _MOST_TYPES:
            _known[cls] = read
            if read is _openai.take_chat:
                only_text[cls] = _openai.only_text
    return read(answer, chunk)


def _shape_of(value: object) -> "Take":
    kind = get(value, "type")
    if isinstance(kind, str):
        for prefix, read in _BY_TYPE.items():
            if kind.startswith(prefix):
                return read
    for name, read in _BY_FIELD.items():
        if _has(value, name):
            return read
    return _openai.take_bare_message


def _has(value: object, name: str) -> bool:
    """
    Tell whether this is a field of *value*; of a model it counts while it is empty, too.
    """
    fields = getattr(type(value), "model_fields", None)
    return name in fields if fields else get(value, name) is not None


def _unwrapped(answer: Answer, event: object) -> "Sequence[Token]":
    chunk = get(event, "data")
    return _openai.take_chat(answer, chunk) if _has(chunk, "choices") else ()


def _nothing(answer: Answer, event: object) -> "Sequence[Token]":
    return ()


_BY_TYPE: "dict[str, Take]" = {
    "response.": _openai.take_event,
    "message-": _others.take_cohere,
    "content-": _others.take_cohere,
    "tool-": _others.take_cohere,
    "message_": _anthropic.take_event,
    "content_block_": _anthropic.take_event,
    "content.": _nothing,  # OpenAI's SDK says these beside the chunks
    "ai": _langchain.take_message,
    "AIMessage": _langchain.take_message,
}
"""From how a type begins to what reads it."""

_BY_FIELD: "dict[str, Take]" = {
    "choices": _openai.take_chat,
    "generations": _langchain.take_result,
    "candidates": _google.take,
    "stop_reason": _anthropic.take_message,
    "snapshot": _nothing,  # Anthropic's SDK says these beside the deltas
    "stopReason": _others.take_converse,
    "output": _openai.take_response,
    **dict.fromkeys(_others.CONVERSE_EVENTS, _others.take_converse),
    "done": _others.take_ollama,
    "data": _unwrapped,  # Mistral's events hold chunks of OpenAI's shape
    "message": _others.take_around_message,
}
"""From a field that only one shape has to what reads it; the first counts."""
