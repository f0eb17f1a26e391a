"""
Cohere's shapes: an answer around a message, and the events of a stream.
"""

from instrument._payloads.answers.chat import calls_of, content_of, take_message
from instrument._payloads.answers.usage import counts_of
from instrument._payloads.messages import get, items, string

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from instrument._payloads.answers.answer import Answer, Place, Token


def take(answer: "Answer", value: object) -> "Sequence[Token]":
    """
    Read what holds a message; LangChain's chunk of a generation looks so, too.
    """
    message = get(value, "message")
    answer.message = message
    _facts(answer, value, value)
    answer.told(model=get(value, "model"))
    if string(get(message, "type")) is not None:
        return take_message(answer, message)
    tokens = [*answer.part(get(message, "tool_plan"), "reasoning")]
    if not items(get(message, "content")):
        return [*tokens, *take_message(answer, message)]
    for number, block in enumerate(answer.some(get(message, "content"))):
        tokens += _block(answer, block, (number,))
    return [*tokens, *calls_of(answer, get(message, "tool_calls"), is_whole=True)]


def take_event(answer: "Answer", event: object) -> "Sequence[Token]":
    """
    Read an event of a stream.
    """
    delta, index = get(event, "delta"), get(event, "index")
    _facts(answer, event, delta)
    message = get(delta, "message")
    at = (index,) if type(index) is int else ()
    begins = (string(get(event, "type")) or "").endswith("-start")
    planned = answer.said(get(message, "tool_plan"), "reasoning")
    call = get(message, "tool_calls")
    function = get(call, "function")
    if function is not None:
        id, name = get(call, "id"), get(function, "name")
        return answer.called(id, name, get(function, "arguments"), at, is_whole=begins)
    content = get(message, "content")
    if begins:
        return _block(answer, content, at) if not items(content) else ()
    return [*planned, *content_of(answer, content, at)]


def _block(answer: "Answer", block: object, at: "Place") -> "Sequence[Token]":
    thought = answer.part(get(block, "thinking"), "reasoning", at)
    return thought or answer.part(get(block, "text"), "text", at)


def _facts(answer: "Answer", holder: object, told: object) -> None:
    """
    Take them, where *told* says how it ended.
    """
    reason = get(told, "finish_reason")
    answer.told(
        response_id=get(holder, "id"), finish_reason=reason, counts=counts_of(told)
    )
    error = string(get(told, "error"))
    if error is not None:
        answer.failed(None, error, string(reason) or "error")
