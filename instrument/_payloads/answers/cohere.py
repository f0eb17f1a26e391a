"""
Cohere's shapes: an answer around a message, and the events of a stream.
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
    Read what holds a message; LangChain's chunk of a generation looks so, too.
    """
    message = get(value, "message")
    answer.message = message
    answer.told(
        model=get(value, "model"),
        response_id=get(value, "id"),
        finish_reason=get(value, "finish_reason"),
        usage=usage_of(value),
    )
    return take_message(answer, message)


def take_event(answer: "Answer", event: object) -> "Sequence[Token]":
    """
    Read an event of a stream.
    """
    delta, at = get(event, "delta"), get(event, "index")
    answer.told(
        response_id=get(event, "id"),
        finish_reason=get(delta, "finish_reason"),
        usage=usage_of(delta),
    )
    message = get(delta, "message")
    call = get(message, "tool_calls")
    function = get(call, "function")
    if function is not None:
        name, given = get(function, "name"), get(function, "arguments")
        return answer.called(get(call, "id"), name, given, at=at)
    content = get(message, "content")
    return answer.said(get(content, "text")) or answer.said(
        get(content, "thinking"), "reasoning"
    )
