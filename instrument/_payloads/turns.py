"""
Write the messages of any provider, and of LangChain, in one shape: a turn.

A turn is ``{role, content, tool_calls?, tool_call_id?, name?, reasoning?, is_error?}``.
The role is ``system``, ``developer``, ``user``, ``assistant`` or ``tool``; the content is
text where it is nothing but text, else the provider's own blocks; a call of a tool is
``{id, name, arguments}``; the result of one has the role ``tool``.
"""

from itertools import islice

from instrument._payloads.field_names import Aliased, as_left
from instrument._payloads.messages import (
    MOST_TOLD,
    ROLES,
    call_data,
    content_text,
    get,
    is_listed,
    items,
    model_fields,
    package_of,
    read_arguments,
    string,
)
from instrument._payloads.sayings import MASK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    Turn = dict[str, Any]

_UNKNOWN = "unknown"
_THOUGHTS = ("reasoning_content", "reasoning", "thinking", "tool_plan")
_IN_TURN = ("content", "parts", "tool_calls", "invalid_tool_calls", "function_call")
_BESIDE = ("role", "type", "name", "tool_name", "refusal", *_THOUGHTS)
_SDKS = frozenset(
    (
        "anthropic",
        "cohere",
        "google",
        "groq",
        "mistralai",
        "ollama",
        "openai",
        "together",
    )
)
_PLAIN = 2  # fields: a role and a content
_MOST_PARTS = 10_000
"""The most parts of a message, or of a conversation, that are written in one shape."""
_NO_MESSAGES = frozenset(map(id, (int, float, bool, type(None))))
"""By id, as a metaclass may have a hash of its own."""
_OWN = ("system", "developer", "user", "assistant", "tool")
_ROLES = {
    **{role: role for role in _OWN},
    **ROLES,
    "model": "assistant",  # Google's word
    "function": "tool",  # an old one
    "HumanMessageChunk": "user",
    "SystemMessageChunk": "system",
    "ToolMessageChunk": "tool",
}
_LISTED = ("content", "parts", "tool_calls", "invalid_tool_calls")
_LISTED_IN_PARTS = ("content", "thinking", "reasoning", "summary")
_FAILED = frozenset((("is_error", True), ("isError", True), ("status", "error")))
_TEXTS = ("text", "input_text", "output_text", None)

_CALLS = {  # where a block holds a call, and how its fields are named there
    "toolUse": ("toolUseId", "name", "input"),
    "function_call": ("id", "name", "args"),
    "functionCall": ("id", "name", "args"),
}
_RESULTS = {
    "toolResult": ("toolUseId", "content"),
    "function_response": ("id", "response"),
    "functionResponse": ("id", "response"),
}
_CALL_ITEMS = {  # of Responses: these the caller runs, the others the provider
    "function_call": ("call_id", "name", "arguments"),
    "custom_tool_call": ("call_id", "name", "input"),
}


def turns_of(given: object, system: object = None) -> "list[Turn]":
    """
    Write a conversation: text, one message, or a list of them, under a system prompt.
    """
    said = None if system is None else _content(system)
    is_said = said is not None and not (type(said) is str and not said)
    turns = [{"role": "system", "content": said}] if is_said else []
    if type(given) is not list:
        given = items(given) if is_listed(given) else [given]
    room = _MOST_PARTS
    for message in islice(given, MOST_TOLD):
        if type(message) is dict and len(message) == _PLAIN:
            role, content = get(message, "role"), get(message, "content")
            if type(role) is type(content) is str:  # as most are
                turns.append({"role": _ROLES.get(role, role), "content": content})
                continue
        if id(type(message)) in _NO_MESSAGES:
            turns.append({"role": _UNKNOWN, "content": message})
            continue
        room -= _parts_of(message, room)
        turns += turns_in(message) if room >= 0 else [_as_it_is(message)]
    if len(given) > MOST_TOLD:
        more = f"… {len(given) - MOST_TOLD:,} more messages"
        turns.append({"role": _UNKNOWN, "content": more})
    return turns


def turns_in(message: object) -> "list[Turn]":
    """
    Write one message; with the results of tools it holds more than one turn.
    """
    if issubclass(type(message), str):
        return [{"role": "user", "content": message}]
    if _parts_of(message, _MOST_PARTS) > _MOST_PARTS:
        return [_as_it_is(message)]
    pair = items(message)
    if len(pair) == _PLAIN and (role := string(pair[0])):
        return [{"role": _ROLES.get(role, role), "content": pair[1]}]
    role = string(get(message, "role"))
    if role == _UNKNOWN:
        return [{"role": role, "content": get(message, "content")}]
    if role is not None:
        return _turns(message, role)
    kind = string(get(message, "type"))
    if kind is not None and kind in _ROLES:
        return _turns(message, kind)
    return [_item(message, kind)] if kind is not None else _part(message)


def _parts_of(message: object, room: int) -> int:
    """
    Count what is looked at of a message, and of each part of it; no further than *room*.
    """
    count = 0
    for name in _LISTED:
        parts = items(get(message, name))
        count += len(parts)
        if count > room:
            break
        for part in parts:
            count += sum(len(items(get(part, inner))) for inner in _LISTED_IN_PARTS)
            if count > room:
                break
    return count


def _as_it_is(message: object) -> "Turn":
    """
    Give what has too many parts in its own: a record cuts them.
    """
    role = string(get(message, "role")) or string(get(message, "type"))
    return {"role": _ROLES.get(role or "", role or _UNKNOWN), "content": message}


def as_turn(
    message: object, held: "list[tuple[Any, Any]]"
) -> "tuple[list[tuple[Any, Any]], list[tuple[Any, Any]]]":
    """
    Give a message's turn, and what it holds that may not be told by that.
    """
    fields = {name: item for name, item in held if type(name) is str}
    kind = string(fields.get("type")) or _UNKNOWN
    turns = _turns(message, string(fields.get("role")) or kind)
    turn = turns[0]
    if len(turns) > 1:  # with the results of tools
        turn = {"role": "user", "content": fields.get("content")}
    more: tuple[str, ...] = ("artifact",) if kind != "remove" else ("id",)
    if is_sdks_message(type(message)):  # what else it tells is told too
        more = tuple(name for name in fields if name not in (*_IN_TURN, *_BESIDE))
    for name in more:
        if fields.get(name) is not None:
            turn[name] = fields[name]
    # what blocks hold besides their text is looked into as well
    told = frozenset(id(fields[name]) for name in more if name in fields)
    return list(turn.items()), [it for it in held if id(it[1]) not in told]


def is_failed(pairs: "Iterable[tuple[Any, Any]]") -> bool:
    """
    Tell whether those are the fields of the result of a tool that failed, as providers,
    MCP and LangChain tell it.
    """
    for name, item in pairs:
        is_mark = item is True or (type(item) is str and item == "error")
        is_name = type(name) is str or type(name) is Aliased  # `in` asks a metaclass
        if is_mark and is_name and (name, item) in _FAILED:
            return True
    return False


def retold(
    told: "list[tuple[Any, Any]]", shown: object, left: "dict[Any, Any] | None" = None
) -> "list[tuple[Any, Any]]":
    """
    Give what a message tells, anew of its fields as they may be seen: of texts that are
    told as one, a part alone may be JSON.

    Args:
        shown: These fields, where something in them is masked.
        left: What another redactor has left of what it tells: a text in which both have
            changed something is masked.
    """
    if type(shown) is not dict:
        return told  # pragma: no cover - more fields than are looked through
    turn = dict(as_turn(shown, [*shown.items()])[0])
    if left is None:
        return [(name, turn.get(name, item)) for name, item in told]
    before = dict(told)
    return [
        (name, _left_by_both(before.get(name), turn.get(name), item))
        for name, item in as_left(told, left)
    ]


def _left_by_both(before: object, one: object, other: object) -> object:
    if not type(before) is type(other) is str:
        return other  # looked through part by part
    if other == before:
        return one
    return other if type(one) is str and one == before else MASK


def is_sdks_message(kind: type) -> bool:
    """
    Tell whether values of that class are the messages of a provider's SDK.
    """
    fields = model_fields(kind)
    if fields is None or "role" not in fields:
        return False
    is_said = "content" in fields or "parts" in fields
    return is_said and package_of(kind) in _SDKS


def written(messages: "list[Any]") -> str:
    """
    Write a conversation as text, a line a message, for handlers of text models.
    """
    return "\n".join(
        f"{turn['role'].capitalize()}: {content_text(turn['content'])}"
        for turn in turns_of(messages)
    )


def _item(item: object, kind: str) -> "Turn":
    """
    Write an item of Responses that has no role.
    """
    named = _CALL_ITEMS.get(kind)
    if named is not None:
        call = _call(item, named, is_text=kind == "custom_tool_call")
        return {"role": "assistant", "content": None, "tool_calls": [call]}
    if kind.endswith("call_output"):
        return _result(item, ("call_id", "output"))
    if kind == "reasoning" and (thought := _thought(item)):
        return {"role": "assistant", "content": None, "reasoning": thought}
    if kind == "reasoning" or kind.endswith("_call"):  # of the provider's own tools
        return {"role": "assistant", "content": [item]}
    if get(item, "text") is not None:
        return {"role": "user", "content": get(item, "text")}
    return {"role": kind, "content": [item]}


def _part(part: object) -> "list[Turn]":
    """
    Write a part of Gemini's that stands where a message would.
    """
    results, calls, _, _ = _sorted([part])
    if results:
        return results
    if calls:
        return [{"role": "assistant", "content": None, "tool_calls": calls}]
    text = get(part, "text")
    return [
        {"role": _UNKNOWN, "content": part}
        if text is None
        else {"role": "user", "content": text}
    ]


def _turns(message: object, role: str) -> "list[Turn]":
    parts = get(message, "content")
    parts = get(message, "parts") if parts is None else parts
    results, calls, thoughts, rest = _sorted(parts)
    calls = _with_those_beside(message, calls)
    if results and not (calls or thoughts or rest):
        return results
    role = _ROLES.get(role, role)
    content = _content(rest)
    if content is None:
        content = string(get(message, "refusal"))
    turn: Turn = {"role": role, "content": content}
    if calls:
        turn["tool_calls"] = calls
    if role == "assistant":
        thought = "".join(thoughts) or _thought_beside(message)
        if thought:
            turn["reasoning"] = thought
    told = string(get(message, "tool_call_id"))
    if told is not None:
        turn["tool_call_id"] = told
    return [*results, turn if role != "tool" else _about(turn, message)]


def _with_those_beside(message: object, calls: "list[Any]") -> "list[Any]":
    """
    Add the calls that stand beside the content, each of which may be in it as well.
    """
    known = {string(get(call, "id")) for call in calls}
    for call in items(get(message, "tool_calls")):
        told = call_data(call)
        id = string(get(told, "id"))
        if id is None or id not in known:
            calls.append(told)
    for call in items(get(message, "invalid_tool_calls")):  # LangChain's
        calls.append(_call(call, ("id", "name", "args"), is_text=True))
    old = get(message, "function_call")
    if old is not None:
        calls.append(_call(old, ("id", "name", "arguments")))
    return calls


def _thought_beside(message: object) -> str | None:
    for holder in (message, get(message, "additional_kwargs")):
        for name in _THOUGHTS:
            text = string(get(holder, name))
            if text is not None:
                return text
    return None


def _sorted(parts: object) -> "tuple[list[Turn], list[Turn], list[str], Any]":
    """
    Part the results of tools, the calls of some, and thoughts from the rest.
    """
    if not is_listed(parts):
        return [], [], [], parts
    results, calls, thoughts, rest = [], [], [], []
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
        elif thought := _thought(part):
            thoughts.append(thought)
        else:
            rest.append(part)
    return results, calls, thoughts, rest


def _thought(part: object) -> str | None:
    """
    Give what a part tells of reasoning; None of any other.
    """
    if get(part, "thought") is True:
        return string(get(part, "text")) or ""
    kind = string(get(part, "type"))
    held = get(get(part, "reasoningContent"), "reasoningText")
    if held is None and kind in ("thinking", "reasoning"):
        names = ("thinking", "reasoning", "summary", "content")
        found = (get(part, name) for name in names)
        held = next((it for it in found if string(it) or items(it)), "")
    if held is None or issubclass(type(held), str):
        return held  # type: ignore[no-any-return]
    pieces = items(held) if is_listed(held) else [held]
    return "".join(string(get(piece, "text")) or "" for piece in pieces)


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
    kind = string(get(block, "type"))
    text = get(block, "refusal" if kind == "refusal" else "text")
    is_text = kind in (*_TEXTS, "refusal") and issubclass(type(text), str)
    return str.__str__(text) if is_text else None


def _call(
    call: object, names: "tuple[str, str, str]", *, is_text: bool = False
) -> "Turn":
    id, name, arguments = (get(call, each) for each in names)
    arguments = arguments if is_text else read_arguments(arguments)
    return {"id": id, "name": name, "arguments": arguments}


def _result(result: object, names: "tuple[str, str]") -> "Turn":
    id, content = (get(result, each) for each in names)
    turn = {"role": "tool", "content": _content(content), "tool_call_id": id}
    return _about(turn, result)


def _about(turn: "Turn", result: object) -> "Turn":
    """
    Add to the result of a tool its name, and whether it failed, where that is told.
    """
    name = string(get(result, "name")) or string(get(result, "tool_name"))
    if name is not None:
        turn["name"] = name
    if get(result, "is_error") is True or string(get(result, "status")) == "error":
        turn["is_error"] = True
    return turn
