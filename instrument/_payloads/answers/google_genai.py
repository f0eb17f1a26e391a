"""
Gemini's shape: each chunk is an answer of its own.
"""

from instrument._payloads.answers.usage import usage_of
from instrument._payloads.messages import first, get, items

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from instrument._payloads.answers.answer import Answer, Token


def take(answer: "Answer", value: object) -> "Sequence[Token]":
    """
    Read an answer or a chunk; the first candidate counts.
    """
    candidate = first(get(value, "candidates"))
    answer.told(
        model=get(value, "model_version"),
        response_id=get(value, "response_id"),
        finish_reason=get(candidate, "finish_reason"),
        usage=usage_of(value),
    )
    tokens: list[Token] = []
    for part in items(get(get(candidate, "content"), "parts")):
        call = get(part, "function_call")
        if call is not None:
            tokens += answer.called(
                get(call, "id"), get(call, "name"), get(call, "args")
            )
        channel = "reasoning" if get(part, "thought") is True else "text"
        tokens += answer.said(get(part, "text"), channel)
    return tokens
