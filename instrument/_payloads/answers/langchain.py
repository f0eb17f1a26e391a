"""
LangChain's shapes: messages and their chunks, and results.
"""

from instrument._payloads.answers.openai import take_message as take_text
from instrument._payloads.answers.usage import usage_of
from instrument._payloads.messages import first, get, items, string

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from instrument._payloads.answers.answer import Answer, Token


def take_message(answer: "Answer", message: object) -> "Sequence[Token]":
    """
    Read a message or a chunk of one.
    """
    told = get(message, "response_metadata")
    answer.told(
        model=string(get(told, "model_name")) or get(told, "model"),
        finish_reason=string(get(told, "finish_reason")) or get(told, "stop_reason"),
        response_id=get(told, "id"),
        usage=usage_of(message),
    )
    tokens = list(take_text(answer, {"content": get(message, "content")}))
    pieces = items(get(message, "tool_call_chunks"))
    for call in pieces or items(get(message, "tool_calls")):
        given = get(call, "args")
        at = get(call, "index") if pieces else None
        tokens += answer.called(get(call, "id"), get(call, "name"), given, at=at)
    return tokens


def take_result(answer: "Answer", result: object) -> "Sequence[Token]":
    """
    Read the first answer of a result.
    """
    generation = first(first(get(result, "generations")))
    message = get(generation, "message")
    if message is None:
        return answer.said(get(generation, "text"))
    answer.message = message
    return take_message(answer, message) or answer.said(get(generation, "text"))
