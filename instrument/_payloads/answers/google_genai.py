"""
Gemini's shape: each chunk is an answer of its own.
"""

import re

from instrument._payloads.answers.usage import counts_of
from instrument._payloads.messages import get, string

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from instrument._payloads.answers.answer import Answer, Token

_STEP = re.compile(r"\.(\w+)|\[(\d+)\]|\['([^']*)'\]")
"""One step of a path into the arguments of a call."""
_MOST_ITEMS = 1_000
"""How far a list is filled up by such a path."""
_LONGEST_PATH = 1_000  # characters
_VALUES = ("string_value", "number_value", "bool_value")


def take(answer: "Answer", value: object) -> "Sequence[Token]":
    """
    Read an answer or a chunk.

    Returns:
        The tokens of the first candidate.
    """
    candidates = answer.some(get(value, "candidates"))
    id = string(get(value, "response_id"))
    has_ended = answer.finish_reason is not None and bool(candidates)
    is_told = id is not None and answer.response_id is not None
    if id != answer.response_id if is_told else has_ended:
        answer.next_request()  # of a call that runs tools, and asks again
    answer.told(
        model=get(value, "model_version"), response_id=id, counts=counts_of(value)
    )
    blocked = get(value, "prompt_feedback")
    reason = string(get(blocked, "block_reason"))
    if reason is not None:
        answer.failed(reason, get(blocked, "block_reason_message"), reason)
    tokens: list[Token] = []
    for candidate in candidates:
        one = answer.other(get(candidate, "index"))
        one.room = answer.room
        told = _candidate(one, candidate)
        tokens += told if one is answer else ()
        answer.room = one.room
    return tokens


def _candidate(answer: "Answer", candidate: object) -> "Sequence[Token]":
    reason = get(candidate, "finish_reason")
    answer.told(finish_reason=reason)
    explained = string(get(candidate, "finish_message"))
    if explained is not None:
        answer.failed(reason, explained, string(reason) or "error")
    tokens: list[Token] = []
    for part in answer.some(get(get(candidate, "content"), "parts")):
        tokens += _part(answer, part)
    return tokens


def _part(answer: "Answer", part: object) -> "Sequence[Token]":
    call, used, code = (
        get(part, name) for name in ("function_call", "tool_call", "executable_code")
    )
    if call is not None:
        return _call(answer, call)
    if used is not None:
        kind = string(get(used, "tool_type")) or "tool"
        return answer.called(get(used, "id"), kind, get(used, "args"), is_server=True)
    if code is not None:
        given, id = get(code, "code"), get(code, "id")
        name = "code_execution"
        return answer.called(id, name, given, is_text=True, is_server=True)
    for name, held in (("inline_data", "data"), ("file_data", "file_uri")):
        file = get(part, name)
        if file is not None:
            answer.has(string(get(file, "mime_type")) or "file", get(file, held))
    spoken = answer.said(get(get(part, "audio_transcription"), "text"))
    channel = "reasoning" if get(part, "thought") is True else "text"
    return [*spoken, *answer.said(get(part, "text"), channel)]


def _call(answer: "Answer", call: object) -> "Sequence[Token]":
    """
    Read a call, or a piece of the one before, whose arguments may come one by one.
    """
    id, name, parts = (get(call, it) for it in ("id", "name", "partial_args"))
    if parts is None and name is not None:
        return answer.called(id, name, get(call, "args"))
    at = answer.place_of(None, id, name)
    given = answer.given(at)
    for part in answer.some(parts):
        told = [get(part, each) for each in _VALUES]
        value = next((it for it in told if it is not None), None)
        _put(given, string(get(part, "json_path")) or "", value)
    return answer.called(id, name, given, at)


def _put(given: "dict[str, Any]", path: str, value: object) -> None:
    """
    Put a value where *path* says, or add it to the text that is there.
    """
    if len(path) > _LONGEST_PATH:
        return
    steps = [a or c or int(b) for a, b, c in _STEP.findall(path)]
    held: Any = {"": given}
    key: Any = ""
    for step in steps:
        kind = list if type(step) is int else dict
        if type(held[key]) is not kind:
            held[key] = kind()
        held, key = held[key], step
        if kind is list:
            if step >= _MOST_ITEMS:
                return
            held.extend([None] * (step + 1 - len(held)))
        else:
            held.setdefault(key, None)
    if steps:
        before = held[key]
        if type(before) is str and type(value) is str:
            held[key] = None  # or Python would copy all that is there, at each piece
            before += value
            value = before
        held[key] = value
