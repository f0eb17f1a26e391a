"""
The shapes of OpenAI's Responses, whole and as the events of a stream.
"""

from instrument._payloads.answers.answer import Answer
from instrument._payloads.answers.usage import counts_of
from instrument._payloads.messages import get, string

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from instrument._payloads.answers.answer import Place, Token

_DELTAS = {
    "response.output_text.delta": ("text", "content_index", 0),
    "response.refusal.delta": ("text", "content_index", 0),
    "response.audio.transcript.delta": ("text", "content_index", 0),
    "response.reasoning_summary_text.delta": ("reasoning", "summary_index", 0),
    "response.reasoning_text.delta": ("reasoning", "content_index", 1),
}
"""Which piece of text each tells; where it stands in its item."""

_CALL_DELTAS = {
    "response.function_call_arguments.delta",
    "response.mcp_call_arguments.delta",
    "response.custom_tool_call_input.delta",
    "response.code_interpreter_call_code.delta",
}
_DONE = {
    "response.function_call_arguments.done": "arguments",
    "response.mcp_call_arguments.done": "arguments",
    "response.custom_tool_call_input.done": "input",
    "response.code_interpreter_call_code.done": "code",
    "response.output_text.done": "text",
    "response.refusal.done": "refusal",
    "response.reasoning_summary_text.done": "text",
    "response.reasoning_text.done": "text",
}
"""What ends a part: the field in which it is told as a whole."""

_WHOLE = ("response.completed", "response.incomplete", "response.failed")
_ITEMS = ("response.output_item.added", "response.output_item.done")
_PARTS = {
    "response.content_part.added": ("content_index", 0),
    "response.content_part.done": ("content_index", 0),
    "response.reasoning_summary_part.added": ("summary_index", 0),
    "response.reasoning_summary_part.done": ("summary_index", 0),
}

_CALLS = {
    "function_call": "arguments",
    "custom_tool_call": "input",
    "computer_call": "action",
    "local_shell_call": "action",
    "shell_call": "action",
    "apply_patch_call": "operation",
    "tool_search_call": "arguments",
    "mcp_call": "arguments",
    "web_search_call": "action",
    "file_search_call": "queries",
    "code_interpreter_call": "code",
    "image_generation_call": "prompt",
}
"""The items that call a tool: the field with its input."""
_SERVER = (
    "mcp_call",
    "web_search_call",
    "file_search_call",
    "code_interpreter_call",
    "image_generation_call",
)
"""Those that OpenAI runs itself."""
_TEXTS = ("custom_tool_call", "code_interpreter_call")
"""Those whose input is a text."""


def take_response(answer: Answer, response: object) -> "Sequence[Token]":
    """
    Read a whole response.
    """
    _facts(answer, response)
    tokens: list[Token] = []
    for number, item in enumerate(answer.some(get(response, "output"))):
        tokens += _item(answer, item, number)
    return tokens


def take_event(answer: Answer, event: object) -> "Sequence[Token]":
    """
    Read an event of a streamed response.
    """
    kind, number = string(get(event, "type")) or "", get(event, "output_index")
    number = number if type(number) is int else 0
    if kind in _DELTAS:
        channel, name, row = _DELTAS[kind]
        at = _place(number, row, get(event, name))
        return answer.said(get(event, "delta"), channel, at)
    if kind in _CALL_DELTAS:
        return answer.called(arguments=get(event, "delta"), at=(number,))
    if kind in _DONE:
        return _done(answer, event, kind, number)
    if kind in _ITEMS:
        return _item(answer, get(event, "item"), number)
    if kind in _PARTS:
        name, row = _PARTS[kind]
        part, at = get(event, "part"), _place(number, row, get(event, name))
        if string(get(part, "type")) == "reasoning_text":
            return _thought(answer, part, _place(number, 1, at[-1]))
        read = _part if name == "content_index" else _thought
        return read(answer, part, at)
    if kind in _WHOLE:
        whole = Answer()
        take_response(whole, get(event, "response"))
        _facts(answer, get(event, "response"))
        return answer.settle(whole)
    if kind == "response.created":
        return take_response(answer, get(event, "response"))
    if kind == "response.audio.delta":
        return answer.has("audio", get(event, "delta"), "audio")
    return ()


def _done(answer: Answer, event: object, kind: str, number: int) -> "Sequence[Token]":
    told = get(event, _DONE[kind])
    delta = kind.replace(".done", ".delta")
    if delta in _CALL_DELTAS:
        return answer.called(arguments=told, at=(number,), is_whole=True)
    channel, name, row = _DELTAS[delta]
    return answer.part(told, channel, _place(number, row, get(event, name)))


def _item(answer: Answer, item: object, number: int) -> "Sequence[Token]":
    """
    Read an item of the output, as far as it is there when it begins.
    """
    kind = string(get(item, "type")) or ""
    if kind in _CALLS:
        return _call(answer, item, kind, number)
    tokens: list[Token] = []
    if kind in ("message", "reasoning"):
        for index, part in enumerate(answer.some(get(item, "summary"))):
            tokens += _thought(answer, part, (number, 0, index))
        read, row = (_part, 0) if kind == "message" else (_thought, 1)
        for index, part in enumerate(answer.some(get(item, "content"))):
            tokens += read(answer, part, (number, row, index))
    return tokens


def _thought(answer: Answer, part: object, at: "Place") -> "Sequence[Token]":
    return answer.part(get(part, "text"), "reasoning", at)


def _part(answer: Answer, part: object, at: "Place") -> "Sequence[Token]":
    kind = string(get(part, "type"))
    if kind == "output_audio":
        answer.has("audio", get(part, "data"), "audio", is_whole=True)
        return answer.part(get(part, "transcript"), at=at)
    refusal = get(part, "refusal")
    return answer.part(get(part, "text") if refusal is None else refusal, at=at)


def _place(number: int, row: int, index: object) -> "Place":
    return (number, row, index if type(index) is int else 0)


def _call(answer: Answer, item: object, kind: str, number: int) -> "Sequence[Token]":
    id, name = string(get(item, "call_id")), string(get(item, "name"))
    drawn = string(get(item, "result"))
    if kind == "image_generation_call" and drawn:
        form = string(get(item, "output_format")) or "png"
        answer.has(f"image/{form}", drawn, f"item {number}", is_whole=True)
    return answer.called(
        id or get(item, "id"),
        name or kind.removesuffix("_call"),
        get(item, _CALLS[kind]),
        (number,),
        is_whole=True,
        is_text=kind in _TEXTS,
        is_server=kind in _SERVER or string(get(item, "execution")) == "server",
    )


def _facts(answer: Answer, response: object) -> None:
    status = string(get(response, "status"))
    reason = string(get(get(response, "incomplete_details"), "reason"))
    ended = None if status in ("in_progress", "queued") else status
    answer.told(
        model=get(response, "model"),
        response_id=get(response, "id"),
        finish_reason=reason or ended,
        counts=counts_of(response),
    )
    error = get(response, "error")
    if error is not None:
        answer.failed(get(error, "code"), get(error, "message"), ended or "failed")
