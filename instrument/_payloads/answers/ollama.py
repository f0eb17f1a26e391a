"""
Ollama's shape: each chunk is an answer of its own.
"""

from instrument._payloads.answers.openai import take_message
from instrument._payloads.answers.usage import usage_of
from instrument._payloads.messages import get

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from instrument._payloads.answers.answer import Answer, Token


def take(answer: "Answer", value: object) -> "Sequence[Token]":
    """
    Read an answer or a chunk.
    """
    answer.told(
        model=get(value, "model"),
        finish_reason=get(value, "done_reason"),
        usage=usage_of(value),
    )
    message = get(value, "message")
    if message is not None:
        return take_message(answer, message)
    thought = answer.said(get(value, "thinking"), "reasoning")
    return (*thought, *answer.said(get(value, "response")))
