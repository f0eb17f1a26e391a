"""
Bedrock's shapes: those of Converse, whole and as a stream.
"""

from instrument._payloads.answers.usage import counts_of
from instrument._payloads.messages import get, string

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from instrument._payloads.answers.answer import Answer, Place, Token

_FILES = ("image", "audio", "video", "document")


def take(answer: "Answer", value: object) -> "Sequence[Token]":
    """
    Read an answer, or an event of a stream.
    """
    stopped = get(value, "messageStop")
    reason = get(value if stopped is None else stopped, "stopReason")
    answer.told(finish_reason=reason, counts=counts_of(value))
    for name, told in (("contentBlockStart", "start"), ("contentBlockDelta", "delta")):
        event = get(value, name)
        if event is not None:
            index = get(event, "contentBlockIndex")
            at = (index,) if type(index) is int else ()
            return _block(answer, get(event, told), at)
    message = get(get(value, "output"), "message")
    answer.message = message
    tokens: list[Token] = []
    for number, block in enumerate(answer.some(get(message, "content"))):
        tokens += _block(answer, block, (number,))
    return tokens


def _block(answer: "Answer", block: object, at: "Place") -> "Sequence[Token]":
    """
    Read a block, its beginning or a piece of it: they look alike.
    """
    use = get(block, "toolUse")
    if use is not None:
        return answer.called(
            get(use, "toolUseId"),
            get(use, "name"),
            get(use, "input"),
            at,
            is_server=string(get(use, "type")) == "server_tool_use",
        )
    for kind in _FILES:
        file = get(block, kind)
        if file is not None:
            held = get(get(file, "source"), "bytes")
            return answer.has(f"{kind}/{string(get(file, 'format'))}", held, at or None)
    thought = get(block, "reasoningContent")
    text = string(get(thought, "text")) or get(get(thought, "reasoningText"), "text")
    tokens = [
        *answer.said(text, "reasoning", at),
        *answer.said(get(block, "text"), at=at),
    ]
    for cited in answer.some(get(get(block, "citationsContent"), "content")):
        tokens += answer.said(get(cited, "text"), at=at)
    return tokens
