"""
The shapes of chat completions, which half the providers speak, and of completions.
"""

from instrument._payloads.answers.usage import counts_of
from instrument._payloads.messages import (
    extra_of,
    fields_of,
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

    from instrument._payloads.answers.answer import Answer, Place, Token

_REFUSED, _SPOKEN = (1,), (2,)
"""Where a refusal and the transcript of sound stand among the text."""
_FILES = ("image_url", "input_audio", "file", "document_url", "image", "audio")


def take_chat(answer: "Answer", value: object) -> "Sequence[Token]":
    """
    Read a chat completion or a completion, or a chunk of one.

    Returns:
        The tokens of the first choice.
    """
    text = only_text(answer, value)
    if text is not None:
        return answer.said(text)
    read = reader(value)
    model, response_id = string(read("model")), string(read("id"))
    counts = counts_of(value)
    if model != answer.model or response_id != answer.response_id or counts is not None:
        answer.told(model=model, response_id=response_id, counts=counts)
    tokens: list[Token] = []
    for position, choice in enumerate(answer.some(read("choices"))):
        read_choice = reader(choice)
        message, index = read_choice("message"), read_choice("index")
        is_whole = message is not None
        one = answer.other(position if index is None and is_whole else index)
        one.room = answer.room
        one.told(finish_reason=read_choice("finish_reason"))
        take_error(one, read_choice("error"))
        if is_whole:
            one.message = message
        else:
            message = read_choice("delta")
        said = choice if message is None else message
        told = take_message(one, said, is_whole=is_whole)
        tokens += told if one is answer else ()
        answer.room = one.room
    take_error(answer, read("error"))
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
        if extra_of(chunk) or extra_of(choice) or extra_of(delta):
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


def take_message(
    answer: "Answer", message: object, *, is_whole: bool = False
) -> "Sequence[Token]":
    """
    Read a message, or the delta of one.
    """
    read = reader(message)
    content = read("content")
    tokens = [
        *_reasoning(answer, read),
        *content_of(answer, read("text") if content is None else content),
        *answer.said(read("refusal"), at=_REFUSED),
    ]
    sound = read("audio")
    if sound is not None:
        tokens += answer.said(get(sound, "transcript"), at=_SPOKEN)
        answer.has("audio", get(sound, "data"), "audio")
    for image in answer.some(read("images")):
        _file(answer, image)
    tokens += calls_of(answer, read("tool_calls"), is_whole=is_whole)
    legacy = read("function_call")
    if legacy is not None:
        tokens += _call(answer, None, legacy, "function_call")
    for call in answer.some(read("executed_tools")):  # by Groq itself
        name = get(call, "name")
        name = get(call, "type") if name is None else name
        at = answer.place_of(f"executed {get(call, 'index')}", None, name)
        given = get(call, "arguments")
        tokens += answer.called(None, name, given, at, is_whole=True, is_server=True)
    return tokens


def take_bare_message(answer: "Answer", message: object) -> "Sequence[Token]":
    """
    Read a message, or anything with a text, with the facts that stand beside it.
    """
    answer.told(
        model=get(message, "model"),
        finish_reason=get(message, "finish_reason"),
        counts=counts_of(message),
    )
    take_error(answer, get(message, "error"))
    return take_message(answer, message)


def take_error(answer: "Answer", error: object) -> "Sequence[Token]":
    """
    Read what a provider tells instead of an answer, or of the rest of one.
    """
    held = reader(error)("error")
    error = error if held is None else held
    said = string(get(error, "message"))
    if said is not None:
        code = get(error, "code")
        answer.failed(get(error, "type") if code is None else code, said)
    return ()


def content_of(
    answer: "Answer", content: object, at: "Place" = ()
) -> "Sequence[Token]":
    """
    Read the content of a message, or a piece of it: text, a block, or a list of them.
    """
    if content is None or issubclass(type(content), str):
        return answer.said(content, at=at)
    tokens: list[Token] = []
    for block in answer.some(content) or (content,):
        if string(get(block, "type")) in _FILES:
            _file(answer, block)
            continue
        thinking = get(block, "thinking")
        for part in answer.some(thinking) if is_listed(thinking) else (thinking,):
            text = part if issubclass(type(part), str) else get(part, "text")
            tokens += answer.said(text, "reasoning", at)
        text = block if issubclass(type(block), str) else get(block, "text")
        tokens += answer.said(text, at=at) if thinking is None else ()
        tokens += answer.said(get(block, "refusal"), at=at)
    return tokens


def calls_of(answer: "Answer", calls: object, *, is_whole: bool) -> "Sequence[Token]":
    """
    Read the calls of a message, or pieces of them.
    """
    tokens: list[Token] = []
    for call in answer.some(calls):
        read = reader(call)
        index, id = read("index"), string(read("id"))
        if id == "null":  # so does Mistral's SDK call what has none
            id = None
        for name in ("function", "custom"):
            function = read(name)
            if function is not None:
                at = None if is_whole else index
                tokens += _call(answer, id, function, at, is_whole=is_whole)
                break
    return tokens


def _call(
    answer: "Answer",
    id: str | None,
    function: object,
    index: object,
    *,
    is_whole: bool = False,
) -> "Sequence[Token]":
    name, text = get(function, "name"), get(function, "input")
    at = answer.after() if is_whole else answer.place_of(index, id, name)
    given = get(function, "arguments") if text is None else text
    return answer.called(id, name, given, at, is_text=text is not None)


def _reasoning(answer: "Answer", read: "Callable[[str], object]") -> "Sequence[Token]":
    for name in ("reasoning_content", "reasoning", "thinking"):
        text = read(name)
        if text is not None:
            tokens = answer.said(text, "reasoning")
            if tokens:
                return tokens
    told: list[Token] = []
    for part in answer.some(read("reasoning_details")):  # OpenRouter's
        told += answer.said(get(part, "text"), "reasoning") or answer.said(
            get(part, "summary"), "reasoning"
        )
    return told


def _file(answer: "Answer", block: object) -> None:
    """
    Note a block that is no text, whose data may be in its URL.
    """
    kind = string(get(block, "type")) or "file"
    held = get(block, kind)
    url = string(get(held, "url")) or string(held)
    answer.has(kind.removesuffix("_url"), get(held, "data") if url is None else url)
