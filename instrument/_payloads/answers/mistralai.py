"""
Mistral's shape: events of a stream that hold chunks of OpenAI's.
"""

from instrument._payloads.answers.chat import take_chat
from instrument._payloads.messages import get

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from instrument._payloads.answers.answer import Answer, Token


def take_event(answer: "Answer", event: object) -> "Sequence[Token]":
    """
    Read an event of a stream.
    """
    chunk = get(event, "data")
    return () if get(chunk, "choices") is None else take_chat(answer, chunk)
