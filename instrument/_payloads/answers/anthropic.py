"""
Anthropic's shapes: messages, and the events of a stream.
"""

from instrument._payloads.answers.usage import usage_of
from instrument._payloads.messages import get, items, string

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from instrument._payloads.answers.answer import Answer, Token


def take_message(answer: "Answer", message: object) -> "Sequence[Token]":
    """
    Read a whole message.
    """
    _facts(answer, message)
    tokens: list[Token] = []
    for block in items(get(message, "content")):
        if string(get(block, "type")) == "tool_use":
            tokens += answer.called(
                get(block, "id"), get(block, "name"), get(block, "input")
            )
        else:
            tokens += answer.said(get(block, "thinking"), "reasoning")
            tokens += answer.said(get(block, "text"))
    return tokens


def take_event(answer: "Answer", event: object) -> "Sequence[Token]":
    """
    Read an event of a stream.
    """
    kind, at = string(get(event, "type")), get(event, "index")
    if kind == "content_block_delta":
        return _delta(answer, get(event, "delta"), at)
    if kind == "content_block_start":
        block = get(event, "content_block")
        if string(get(block, "type")) == "tool_use":
            return answer.called(get(block, "id"), get(block, "name"), at=at)
    elif kind == "message_start":
        _facts(answer, get(event, "message"))
    elif kind == "message_delta":
        reason = get(get(event, "delta"), "stop_reason")
        answer.told(finish_reason=reason, usage=usage_of(event))
    return ()


def _delta(answer: "Answer", delta: object, at: object) -> "Sequence[Token]":
    part = get(delta, "partial_json")
    if part is not None:
        return answer.called(arguments=part, at=at)
    return answer.said(get(delta, "text")) or answer.said(
        get(delta, "thinking"), "reasoning"
    )


def _facts(answer: "Answer", message: object) -> None:
    answer.told(
        model=get(message, "model"),
        response_id=get(message, "id"),
        finish_reason=get(message, "stop_reason"),
        usage=usage_of(message),
    )
