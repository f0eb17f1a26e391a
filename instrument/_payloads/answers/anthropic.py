"""
Anthropic's shapes: messages, and the events of a stream.
"""

from instrument._payloads.answers.chat import take_error
from instrument._payloads.answers.usage import counts_of
from instrument._payloads.messages import get, reader, string

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from instrument._payloads.answers.answer import Answer, Place, Token

_CALLS = {"tool_use": False, "server_tool_use": True, "mcp_tool_use": True}
"""The blocks that call a tool: whether the provider runs it."""


def take_message(answer: "Answer", message: object) -> "Sequence[Token]":
    """
    Read a whole message.
    """
    _facts(answer, message)
    take_error(answer, reader(message)("error"))
    tokens: list[Token] = []
    for at, block in enumerate(answer.some(get(message, "content"))):
        tokens += _block(answer, block, (at,))
    return tokens


def take_event(answer: "Answer", event: object) -> "Sequence[Token]":
    """
    Read an event of a stream.
    """
    kind, index = string(get(event, "type")), get(event, "index")
    at = (index,) if type(index) is int else ()
    if kind == "content_block_delta":
        return _delta(answer, get(event, "delta"), at)
    if kind == "content_block_start":
        return _block(answer, get(event, "content_block"), at)
    if kind == "message_start":
        return take_message(answer, get(event, "message"))
    if kind == "message_delta":
        reason = get(get(event, "delta"), "stop_reason")
        answer.told(finish_reason=reason, counts=counts_of(event))
    return ()


def _block(answer: "Answer", block: object, at: "Place") -> "Sequence[Token]":
    """
    Read a block, as far as it is there when it begins.
    """
    kind = string(get(block, "type"))
    if kind in _CALLS:
        return answer.called(
            get(block, "id"),
            get(block, "name"),
            get(block, "input"),
            at,
            is_whole=True,
            is_server=_CALLS[kind],
        )
    if kind == "container_upload":
        return answer.has("file", None)
    thought = answer.part(get(block, "thinking"), "reasoning", at)
    return thought or answer.part(get(block, "text"), "text", at)


def _delta(answer: "Answer", delta: object, at: "Place") -> "Sequence[Token]":
    part = get(delta, "partial_json")
    if part is not None:
        return answer.called(arguments=part, at=at)
    return answer.said(get(delta, "text"), "text", at) or answer.said(
        get(delta, "thinking"), "reasoning", at
    )


def _facts(answer: "Answer", message: object) -> None:
    answer.told(
        model=get(message, "model"),
        response_id=get(message, "id"),
        finish_reason=get(message, "stop_reason"),
        counts=counts_of(message),
    )
