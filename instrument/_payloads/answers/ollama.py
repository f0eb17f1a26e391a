"""
Ollama's shape: each chunk is an answer of its own.
"""

from instrument._payloads.answers.chat import take_message
from instrument._payloads.answers.usage import counts_of
from instrument._payloads.messages import get

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from instrument._payloads.answers.answer import Answer, Token


def take(answer: "Answer", value: object) -> "Sequence[Token]":
    """
    Read an answer or a chunk; the calls in it are whole.
    """
    answer.told(
        model=get(value, "model"),
        finish_reason=get(value, "done_reason"),
        counts=counts_of(value),
    )
    message = get(value, "message")
    if message is not None:
        return take_message(answer, message, is_whole=True)
    drawn = get(value, "image")
    if drawn is not None:
        answer.has("image", drawn)
    thought = answer.said(get(value, "thinking"), "reasoning")
    return (*thought, *answer.said(get(value, "response")))
