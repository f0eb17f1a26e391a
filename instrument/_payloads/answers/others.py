"""
The shapes of Cohere, Ollama and Bedrock.
"""

from instrument._payloads.answers.openai import take_message
from instrument._payloads.answers.usage import usage_of
from instrument._payloads.messages import get, items

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from instrument._payloads.answers.answer import Answer, Token

CONVERSE_EVENTS = (
    "messageStart",
    "contentBlockStart",
    "contentBlockDelta",
    "contentBlockStop",
    "messageStop",
    "metadata",
)


def take_around_message(answer: "Answer", value: object) -> "Sequence[Token]":
    """
    Read what holds a message: Cohere's answer, LangChain's chunk of a generation.
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


def take_cohere(answer: "Answer", event: object) -> "Sequence[Token]":
    """
    Read an event of Cohere's stream.
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


def take_ollama(answer: "Answer", value: object) -> "Sequence[Token]":
    """
    Read an answer of Ollama, or a chunk of one.
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


def take_converse(answer: "Answer", value: object) -> "Sequence[Token]":
    """
    Read an answer of Bedrock, or an event of its stream.
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
    text = get(thought, "text") or get(get(thought, "reasoningText"), "text")
    return answer.said(get(block, "text")) or answer.said(text, "reasoning")


def _use(answer: "Answer", use: object, at: object) -> "Sequence[Token]":
    if use is None:
        return ()
    return answer.called(get(use, "toolUseId"), get(use, "name"), get(use, "input"), at)
