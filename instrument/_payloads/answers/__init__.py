"""
Read the answers of models, whole or in chunks, of any provider, as objects or dicts.

No SDK is imported and nothing is guessed: what has no known shape gives nothing. A
whole answer is read as a stream of one chunk would be.
"""

from importlib import import_module

from instrument._payloads.answers import chat as _chat
from instrument._payloads.answers.answer import (
    MOST_PARTS,
    PLAIN,
    Answer,
    Generation,
    LLMResult,
    UnreadResult,
)
from instrument._payloads.answers.usage import usage_of
from instrument._payloads.messages import get, model_fields, plain, string

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from instrument._payloads.answers.answer import Token

    Take = Callable[[Answer, object], Sequence[Token]]

__all__ = [
    "Answer",
    "Generation",
    "LLMResult",
    "UnreadResult",
    "answer_of",
    "only_text",
    "take",
    "usage_of",
]

_MOST_TYPES = 500
_known: "dict[int, tuple[type, Take]]" = {}
"""
How values of a type are read, where the type alone decides it. By its id, as it may
have a hash of its own.
"""

only_text: "dict[int, Callable[[Answer, object], str | None]]" = {}
"""
What gives the text of a chunk of a type, where that may be all that it tells; by the id
of a type that is known.
"""


def answer_of(result: object) -> Answer:
    """
    Read a model's whole result; of a string, the text is all there is.
    """
    answer = Answer()
    take(answer, result)
    answer.is_whole = True
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
    known = _known.get(id(cls))
    if known is not None:
        answer.room = MOST_PARTS
        return known[1](answer, chunk)
    if issubclass(cls, str):
        return answer.said(chunk)
    answer.room = MOST_PARTS
    if issubclass(cls, PLAIN):
        return ()
    read = _shape_of(chunk)
    is_kept = read is not _chat.take_error and model_fields(cls) is not None
    if is_kept and len(_known) < _MOST_TYPES:
        _known[id(cls)] = cls, read
        if read is _chat.take_chat:
            only_text[id(cls)] = _chat.only_text
    return read(answer, chunk)


def _shape_of(value: object) -> "Take":
    kind = string(get(value, "type"))
    if kind == "error":
        return _chat.take_error
    if kind is not None:
        for prefix, read in _BY_TYPE.items():
            if kind.startswith(prefix):
                return read if callable(read) else _loaded(_BY_TYPE, prefix)
    for name, read in _BY_FIELD.items():
        if _has(value, name):
            return read if callable(read) else _loaded(_BY_FIELD, name)
    return _chat.take_bare_message


def _loaded(shapes: "dict[str, Take | str]", key: str) -> "Any":
    """
    Load what reads a shape when the first of its values comes.
    """
    module, _, name = str(shapes[key]).partition(".")
    read = shapes[key] = getattr(import_module(f"{__name__}.{module}"), name)
    return read


def _has(value: object, name: str) -> bool:
    """
    Tell whether this is a field of *value*; of a model it counts while it is empty, too.
    """
    fields = model_fields(type(value))
    return name in fields if fields else get(value, name) is not None


def _nothing(answer: Answer, event: object) -> "Sequence[Token]":
    return ()


_BY_TYPE: "dict[str, Take | str]" = {
    "response.": "openai.take_event",
    "message-": "cohere.take_event",
    "content-": "cohere.take_event",
    "tool-": "cohere.take_event",
    "message_": "anthropic.take_event",
    "content_block_": "anthropic.take_event",
    "content.": _nothing,  # OpenAI's SDK says these beside the chunks
    "ai": "langchain.take_message",
    "AIMessage": "langchain.take_message",
}
"""From how a type begins to what reads it; by name what most programs never need."""

_BY_FIELD: "dict[str, Take | str]" = {
    "choices": _chat.take_chat,
    "generations": "langchain.take_result",
    "candidates": "google_genai.take",
    "prompt_feedback": "google_genai.take",
    "stop_reason": "anthropic.take_message",
    "snapshot": _nothing,  # Anthropic's SDK says these beside the deltas
    "stopReason": "botocore.take",
    "output": "openai.take_response",
    "messageStart": "botocore.take",
    "contentBlockStart": "botocore.take",
    "contentBlockDelta": "botocore.take",
    "contentBlockStop": "botocore.take",
    "messageStop": "botocore.take",
    "metadata": "botocore.take",
    "done": "ollama.take",
    "data": "mistralai.take_event",
    "message": "cohere.take",
}
"""From a field that only one shape has to what reads it; the first counts."""
