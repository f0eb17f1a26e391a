"""
Write the messages of any provider's request in one shape.

A message is ``{role, content, tool_calls?, tool_call_id?}``: the role is ``system``,
``developer``, ``user``, ``assistant`` or ``tool``; the content is text where it is
nothing but text, else the provider's own blocks; a tool call is
``{id, name, arguments}``; the result of one has the role ``tool``.
"""

from instrument._payloads.messages import (
    ROLES,
    call_data,
    get,
    is_listed,
    items,
    read_arguments,
    string,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Message = dict[str, Any]

_PLAIN = 2  # fields: a role and a content
_ROLES = {**ROLES, "model": "assistant"}  # Google's word
_TEXTS = ("text", "input_text", "output_text", None)

_CALLS = {  # where a block holds a call, and how its fields are named there
    "toolUse": ("toolUseId", "name", "input"),
    "function_call": ("id", "name", "args"),
}
_RESULTS = {
    "toolResult": ("toolUseId", "content"),
    "function_response": ("id", "response"),
}


def messages_of(given: object, system: object = None) -> "list[Message]":
    """
    Write a conversation: text, one message, or a list of them, under a system prompt.
    """
    said = _content(system)
    is_said = said is not None and not (type(said) is str and not said)
    turns = [{"role": "system", "content": said}] if is_said else []
    for message in items(given) if is_listed(given) else [given]:
        if type(message) is dict and len(message) == _PLAIN:
            role, content = message.get("role"), message.get("content")
            if type(role) is type(content) is str:  # as most are
                turns.append({"role": _ROLES.get(role, role), "content": content})
                continue
        turns += _turns(message)
    return turns


def _turns(message: object) -> "list[Message]":
    """
    Write one message; with the results of tools it holds more than one turn.
    """
    if issubclass(type(message), str):
        return [{"role": "user", "content": message}]
    kind = string(get(message, "type"))
    if kind == "function_call":
        call = _call(message, ("call_id", "name", "arguments"))
        return [{"role": "assistant", "content": None, "tool_calls": [call]}]
    if kind == "function_call_output":
        return [_result(message, ("call_id", "output"))]
    role = get(message, "role")
    if role is None:
        if get(message, "text") is None:
            return [{"role": kind or "unknown", "content": message}]
        return [{"role": "user", "content": get(message, "text")}]
    parts = get(message, "content")
    parts = get(message, "parts") if parts is None else parts
    results, calls, rest = _sorted(parts)
    calls += [call_data(call) for call in items(get(message, "tool_calls"))]
    if results and not (calls or rest):
        return results
    role = string(role) or "unknown"
    turn = {"role": _ROLES.get(role, role), "content": _content(rest)}
    if calls:
        turn["tool_calls"] = calls
    told = string(get(message, "tool_call_id"))
    if told is not None:
        turn["tool_call_id"] = told
    return [*results, turn]


def _sorted(parts: object) -> "tuple[list[Message], list[Message], Any]":
    """
    Part the results of tools, and the calls of some, from the rest of the content.
    """
    if not is_listed(parts):
        return [], [], parts
    results, calls, rest = [], [], []
    for part in items(parts):
        kind = string(get(part, "type"))
        call = next((name for name in _CALLS if get(part, name) is not None), None)
        result = next((name for name in _RESULTS if get(part, name) is not None), None)
        if kind == "tool_use":
            calls.append(_call(part, ("id", "name", "input")))
        elif kind == "tool_result":
            results.append(_result(part, ("tool_use_id", "content")))
        elif call is not None:
            calls.append(_call(get(part, call), _CALLS[call]))
        elif result is not None:
            results.append(_result(get(part, result), _RESULTS[result]))
        else:
            rest.append(part)
    return results, calls, rest


def _content(content: object) -> object:
    """
    Give text where the content is nothing else.
    """
    if content is None or issubclass(type(content), str):
        return content
    parts = items(get(content, "parts"))
    is_list = issubclass(type(content), list)
    blocks = parts or (items(content) if is_list else [content])
    texts = [_text(block) for block in blocks]
    return blocks if None in texts else "".join(texts) or None  # type: ignore[arg-type]


def _text(block: object) -> str | None:
    if issubclass(type(block), str):
        return str.__str__(block)
    text = get(block, "text")
    is_text = string(get(block, "type")) in _TEXTS and issubclass(type(text), str)
    return str.__str__(text) if is_text else None


def _call(call: object, names: "tuple[str, str, str]") -> "Message":
    id, name, arguments = (get(call, each) for each in names)
    return {"id": id, "name": name, "arguments": read_arguments(arguments)}


def _result(result: object, names: "tuple[str, str]") -> "Message":
    id, content = (get(result, each) for each in names)
    return {"role": "tool", "content": _content(content), "tool_call_id": id}
