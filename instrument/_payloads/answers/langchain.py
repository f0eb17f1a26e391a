"""
LangChain's shapes: messages and their chunks, and results.
"""

from instrument._payloads.answers.chat import content_of
from instrument._payloads.answers.usage import usage_of
from instrument._payloads.messages import first, get, is_listed, string

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
    )
    used = usage_of(message)
    if used is not None:  # of chunks, each tells its own
        answer.usage = used if answer.usage is None else answer.usage + used
    tokens: list[Token] = []
    content = get(message, "content")
    for block in answer.some(content) if is_listed(content) else (content,):
        index = get(block, "index")
        at = () if index is None else answer.place_of_block(index)
        tokens += content_of(answer, block, at)
        for part in (block, *answer.some(get(block, "summary"))):
            name = "reasoning" if part is block else "text"
            tokens += answer.said(get(part, name), "reasoning", at)
    thought = get(get(message, "additional_kwargs"), "reasoning_content")
    tokens += answer.said(thought, "reasoning")
    pieces = answer.some(get(message, "tool_call_chunks"))
    for call in pieces or answer.some(get(message, "tool_calls")):
        id, name = get(call, "id"), get(call, "name")
        at_call = answer.place_of(get(call, "index"), id, name) if pieces else None
        tokens += answer.called(id, name, get(call, "args"), at_call)
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
