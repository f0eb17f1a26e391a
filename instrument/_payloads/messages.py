"""
Read messages: roles, text and tool calls, of objects or dicts of any provider.
"""

import json
from functools import partial

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

ROLES = {"human": "user", "ai": "assistant", "AIMessageChunk": "assistant"}


def get(value: object, name: str) -> "Any":
    """
    Read ``value.name`` or ``value["name"]``; None where there is none.
    """
    if isinstance(value, dict):
        return value.get(name)
    try:
        return getattr(value, name, None)
    except Exception:
        return None


def reader(value: object) -> "Callable[[str], Any]":
    """
    Give what reads the fields of *value* by name, as `get` does, a fifth as dear.
    """
    fields = plain(value)
    return fields.get if isinstance(fields, dict) else partial(get, value)


def is_pydantic(value: object) -> bool:
    """
    Tell whether it is a pydantic model.
    """
    return "__pydantic_fields__" in type(value).__dict__


def has(value: object, name: str) -> bool:
    """
    Tell whether *value* has that attribute; of a pydantic model, whether it is a field.
    """
    return name in vars(value) if is_pydantic(value) else hasattr(value, name)


def plain(value: object) -> object:
    """
    Give the fields of a pydantic model as a dict; anything else stays as it is.

    To ask a model for a field that it lacks costs 1 us, a dict 0.05.
    """
    if not is_pydantic(value):
        return value
    extra = value.__pydantic_extra__  # type: ignore[attr-defined]
    return {**value.__dict__, **extra} if extra else value.__dict__


def first(value: object) -> "Any":
    """
    Give the first item of a list or tuple, None of anything else.
    """
    return value[0] if isinstance(value, (list, tuple)) and value else None


def items(value: object) -> "Any":
    """
    Give a list or tuple, and an empty one for anything else.
    """
    return value if isinstance(value, (list, tuple)) else ()


def content_text(content: object) -> str:
    """
    Give the text of a message's content: a string, or blocks of which some are text.
    """
    if isinstance(content, str):
        return content
    if not isinstance(content, (list, tuple)):
        return ""
    texts = (b if isinstance(b, str) else get(b, "text") for b in content)
    return "".join(text for text in texts if isinstance(text, str))


def message_data(message: object) -> "dict[str, Any]":
    """
    Write one message as ``{role, content, tool_calls?, tool_call_id?}``.
    """
    if isinstance(message, str):
        return {"role": "user", "content": message}
    if isinstance(message, (list, tuple)) and len(message) == 2:  # noqa: PLR2004 - (role, content)
        return {"role": _role(message[0]), "content": message[1]}
    role = get(message, "role") or get(message, "type")
    if not isinstance(role, str):
        return {"role": "unknown", "content": message}
    data = {"role": _role(role), "content": get(message, "content")}
    calls, answered = get(message, "tool_calls"), get(message, "tool_call_id")
    if isinstance(calls, list) and calls:
        data["tool_calls"] = [call_data(call) for call in calls]
    if isinstance(answered, str):
        data["tool_call_id"] = answered
    return data


def call_data(call: object) -> "Any":
    """
    Write a tool call as ``{id, name, arguments}``; one of no known shape stays as it is.
    """
    for holder, told in ((get(call, "function"), "arguments"), (call, "args")):
        arguments = get(holder, told)
        if arguments is not None:
            return {
                "id": get(call, "id"),
                "name": get(holder, "name"),
                "arguments": read_arguments(arguments),
            }
    return call


def read_arguments(told: object) -> object:
    """
    Read the arguments of a tool call: JSON, pieces of JSON, or an object as it is.
    """
    text = "".join(told) if isinstance(told, list) else told
    try:
        return json.loads(text) if isinstance(text, str) else text
    except ValueError:
        return text


def document_data(document: object) -> object:
    """
    Write a retrieved document as ``{page_content, metadata}``; others stay as they are.
    """
    content = get(document, "page_content")
    if not isinstance(content, str) or isinstance(document, dict):
        return document
    return {"page_content": content, "metadata": get(document, "metadata")}


def written(messages: "list[Any]") -> str:
    """
    Write a conversation as text, a line a message, for handlers of text models.
    """
    lines = []
    for message in messages:
        data = message_data(message)
        text = content_text(data["content"])
        lines.append(f"{str(data['role']).capitalize()}: {text}")
    return "\n".join(lines)


def _role(role: object) -> str:
    return ROLES.get(str(role), str(role))
