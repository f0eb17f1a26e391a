"""
OpenAI's shapes: chat completions, which half the providers speak, completions and
Responses.
"""

from instrument._payloads.answers.usage import usage_of
from instrument._payloads.messages import (
    extra_of,
    fields_of,
    first,
    get,
    is_listed,
    items,
    reader,
    string,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from instrument._payloads.answers.answer import Answer, Token

_DELTAS = {
    "response.output_text.delta": "text",
    "response.refusal.delta": "text",
    "response.reasoning_text.delta": "reasoning",
    "response.reasoning_summary_text.delta": "reasoning",
}
_WHOLE = ("response.completed", "response.incomplete", "response.failed")


def take_chat(answer: "Answer", value: object) -> "Sequence[Token]":
    """
    Read a chat completion or a completion, or a chunk of one; the first choice counts.
    """
    text = only_text(answer, value)
    if text is not None:
        return answer.said(text)
    read = reader(value)
    model, response_id = string(read("model")), string(read("id"))
    usage = usage_of(value)
    if model != answer.model or response_id != answer.response_id or usage is not None:
        answer.told(model=model, response_id=response_id, usage=usage)
    tokens: list[Token] = []
    for choice in items(read("choices")):
        read = reader(choice)
        index = read("index")
        if type(index) is int and index:
            continue
        reason = read("finish_reason")
        if reason is not None:
            answer.told(finish_reason=reason)
        message = read("message")
        if message is not None:
            answer.message = message
        else:
            message = read("delta")
        tokens += take_message(answer, choice if message is None else message)
    return tokens


def only_text(answer: "Answer", chunk: "Any") -> str | None:
    """
    Give the text of a chunk that tells no more than that, as most do; None of any other.

    To look for all that could be told takes ten times as long.
    """
    try:
        fields = fields_of(chunk)
        (choice,) = items(fields["choices"])
        chosen = fields_of(choice)
        delta = chosen["delta"]
        if extra_of(chunk) or extra_of(delta):
            return None
        response_id = fields["id"]
        is_same = type(response_id) is str and response_id == answer.response_id
        if fields["usage"] is not None or not is_same:
            return None
        is_first = type(chosen["index"]) is int and chosen["index"] == 0
        if not is_first or chosen["finish_reason"] is not None:
            return None
        said = fields_of(delta)
        content = said["content"]
    except (KeyError, ValueError):
        return None
    told = [value for value in said.values() if value is not None]
    return content if len(told) == 1 and type(content) is str else None


def take_message(answer: "Answer", message: object) -> "Sequence[Token]":
    """
    Read a message, or the delta of one.
    """
    read = reader(message)
    content, calls = read("content"), read("tool_calls")
    text = read("text") if content is None else content
    return (
        *_reasoning(answer, read),
        *_content(answer, text),
        *answer.said(read("refusal")),
        *_calls(answer, calls),
    )


def take_bare_message(answer: "Answer", message: object) -> "Sequence[Token]":
    """
    Read a message, or anything with a text, with the facts that stand beside it.
    """
    answer.told(
        model=get(message, "model"),
        finish_reason=get(message, "finish_reason"),
        usage=usage_of(message),
    )
    return take_message(answer, message)


def take_response(answer: "Answer", response: object) -> "Sequence[Token]":
    """
    Read a whole response.
    """
    _facts(answer, response)
    tokens: list[Token] = []
    for item in items(get(response, "output")):
        kind = string(get(item, "type"))
        if kind == "message":
            tokens += _content(answer, get(item, "content"))
        elif kind == "reasoning":
            for part in items(get(item, "summary")) or items(get(item, "content")):
                tokens += answer.said(get(part, "text"), "reasoning")
        elif kind == "function_call":
            tokens += answer.called(
                get(item, "call_id"), get(item, "name"), get(item, "arguments")
            )
    return tokens


def take_event(answer: "Answer", event: object) -> "Sequence[Token]":
    """
    Read an event of a streamed response.
    """
    kind = string(get(event, "type")) or ""
    channel = _DELTAS.get(kind)
    if channel is not None:
        return answer.said(get(event, "delta"), channel)
    at = get(event, "output_index")
    if kind == "response.function_call_arguments.delta":
        return answer.called(arguments=get(event, "delta"), at=at)
    item = get(event, "item")
    is_call = string(get(item, "type")) == "function_call"
    if kind == "response.output_item.added" and is_call:
        return answer.called(get(item, "call_id"), get(item, "name"), at=at)
    if kind in _WHOLE or kind == "response.created":
        _facts(answer, get(event, "response"))
    return ()


def _facts(answer: "Answer", response: object) -> None:
    status = string(get(response, "status"))
    reason = string(get(get(response, "incomplete_details"), "reason"))
    answer.told(
        model=get(response, "model"),
        response_id=get(response, "id"),
        finish_reason=reason or (status if status != "in_progress" else None),
        usage=usage_of(response),
    )


def _reasoning(answer: "Answer", read: "Callable[[str], object]") -> "Sequence[Token]":
    for name in ("reasoning_content", "reasoning", "thinking"):
        text = read(name)
        if text is not None:
            tokens = answer.said(text, "reasoning")
            if tokens:
                return tokens
    return ()


def _content(answer: "Answer", content: object) -> "Sequence[Token]":
    if content is None or issubclass(type(content), str):
        return answer.said(content)
    tokens: list[Token] = []
    for block in items(content) or (content,):
        thinking = get(block, "thinking")
        if is_listed(thinking):  # in blocks of its own
            thinking = get(first(thinking), "text")
        text = block if issubclass(type(block), str) else get(block, "text")
        tokens += answer.said(thinking, "reasoning") or answer.said(text)
        tokens += answer.said(get(block, "refusal"))
    return tokens


def _calls(answer: "Answer", calls: object) -> "Sequence[Token]":
    tokens: list[Token] = []
    for call in items(calls):
        function = get(call, "function")
        if function is not None:
            given = get(function, "arguments")
            tokens += answer.called(
                get(call, "id"), get(function, "name"), given, at=get(call, "index")
            )
    return tokens
