"""
Bedrock's shapes: those of Converse, whole and as a stream.
"""

from instrument._payloads.answers.usage import usage_of
from instrument._payloads.messages import get, items, string

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from instrument._payloads.answers.answer import Answer, Token


def take(answer: "Answer", value: object) -> "Sequence[Token]":
    """
    Read an answer, or an event of a stream.
    """
    stopped = get(value, "messageStop")
    reason = get(value if stopped is None else stopped, "stopReason")
    answer.told(finish_reason=reason, usage=usage_of(value))
    begun = get(value, "contentBlockStart")
    if begun is not None:
        use = get(get(begun, "start"), "toolUse")
        return _use(answer, use, get(begun, "contentBlockIndex"))
    event = get(value, "contentBlockDelta")
    if event is not None:
        return _block(answer, get(event, "delta"), get(event, "contentBlockIndex"))
    message = get(get(value, "output"), "message")
    answer.message = message
    tokens: list[Token] = []
    for block in items(get(message, "content")):
        tokens += _block(answer, block, None)
    return tokens


def _block(answer: "Answer", block: object, at: object) -> "Sequence[Token]":
    use = get(block, "toolUse")
    if use is not None:
        return _use(answer, use, at)
    thought = get(block, "reasoningContent")
    text = string(get(thought, "text")) or get(get(thought, "reasoningText"), "text")
    return answer.said(get(block, "text")) or answer.said(text, "reasoning")


def _use(answer: "Answer", use: object, at: object) -> "Sequence[Token]":
    if use is None:
        return ()
    return answer.called(get(use, "toolUseId"), get(use, "name"), get(use, "input"), at)
