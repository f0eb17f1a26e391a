"""
Read messages: roles, text and tool calls, of objects or dicts of any provider.

No code of a payload runs: what it is, ``type`` says, and its fields are read where its
type keeps them.
"""

import json
import re
from collections import namedtuple
from functools import partial
from types import GetSetDescriptorType, MemberDescriptorType

from instrument._text import bases_of, is_callers, names_in

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    Reads = Callable[[object], Any]

ROLES = {"human": "user", "ai": "assistant", "AIMessageChunk": "assistant"}
_Named = namedtuple("_Named", "field")  # noqa: PYI024 - its fields' reader is wanted
_SLOTS = (MemberDescriptorType, type(vars(_Named)["field"]))
MOST_TOLD = 33_000
"""The most messages and documents that are looked at: a record has no room for more."""
_MOST_TYPES = 500
PIECES = frozenset(("arguments", "args", "input", "partial_json", "delta"))
"""What texts of tool calls, and pieces of them, stand under."""
_CALLS = frozenset(
    ("function", "function_call", "tool_calls", "tool_call_chunks", "toolUse")
)
_HALF = re.compile(r"""[\s"\\\ufeff]*(?:\{[\s\\]*(?:"|\Z)|\[[\s\\]*(?:[\[{"]|\Z))""")
_places: "dict[int, tuple[type, Reads | None, Reads | None]]" = {}
"""
Of a type by its id, what reads an object's dictionary, and what a pydantic model keeps
beside it. By id, as a type may have a hash of its own; it is held, so that it keeps it.
"""


def get(value: object, name: str) -> "Any":
    """
    Read ``value.name`` or ``value["name"]``; None where there is none.

    Read are the items of a dict, the instance dictionary, slots, and what the class
    holds: no property is asked, and no ``__getattr__``, which may do anything. Where it
    has keys that compare in a way of their own, and fail, there is none.
    """
    try:
        kind = type(value)
        if issubclass(kind, dict):
            return dict.get(value, name)  # type: ignore[call-overload]
        place = _in_class(kind, name)
        how = type(place)
        if place is not None and issubclass(how, _SLOTS):
            return _held(value, place.__get__)
        computes = place is not None and _in_class(how, "__get__") is not None
        if not (computes and _in_class(how, "__set__") is not None):
            found = dict.get(fields_of(value), name)
            if found is not None:
                return found
    except BaseException as exc:
        if is_callers(exc):
            raise
        return None
    return None if computes else place


def fields_of(value: object) -> "dict[str, Any]":
    """
    Give the instance dictionary of *value*; an empty one where it has none.
    """
    kind = type(value)
    read = (_places.get(id(kind)) or _places_of(kind))[1]
    try:
        fields: Any = None if read is None else read(value)
    except BaseException as exc:  # a proxy asks another, which may have none
        if is_callers(exc):
            raise
        return {}
    if type(fields) is dict:
        return fields
    return fields if issubclass(type(fields), dict) else {}  # a class has another


def without_subclass(value: "Any") -> "Any":
    """
    Give a text, dict or list of a subclass as one of the builtin types.
    """
    kind = type(value)
    if issubclass(kind, str):
        return str.__str__(value)
    if issubclass(kind, dict) and kind is not dict:
        return dict(dict.items(value))
    return list.copy(value) if issubclass(kind, list) else value


def reader(value: object) -> "Callable[[str], Any]":
    """
    Give what reads the fields of *value* by name, as `get` does, a fifth as dear.
    """
    fields = plain(value)
    return fields.get if type(fields) is dict else partial(get, value)


def is_pydantic(value: object) -> bool:
    """
    Tell whether it is a pydantic model.
    """
    return "__pydantic_fields__" in names_in(type(value))


def has(value: object, name: str) -> bool:
    """
    Tell whether *value* has that attribute; of a pydantic model, whether it is a field.
    """
    if name in fields_of(value):
        return True
    return not is_pydantic(value) and _in_class(type(value), name) is not None


def plain(value: object) -> object:
    """
    Give the fields of a pydantic model as a dict; anything else stays as it is.

    To ask a model for a field that it lacks costs 1 us, a dict 0.05.
    """
    if not is_pydantic(value):
        return value
    fields, extra = fields_of(value), extra_of(value)
    return {**fields, **extra} if extra else fields


def extra_of(value: object) -> "dict[str, Any] | None":
    """
    Give what a pydantic model holds that is no field of it.
    """
    kind = type(value)
    read = (_places.get(id(kind)) or _places_of(kind))[2]
    extra = _held(value, read) if read else get(value, "__pydantic_extra__")
    return extra if type(extra) is dict else None


def model_fields(kind: type) -> "dict[str, Any] | None":
    """
    Give the fields of a pydantic model's class by name; None of any other class.
    """
    names = names_in(kind)
    for name in ("__pydantic_fields__", "model_fields"):  # newer and older ones
        fields = names.get(name)
        if type(fields) is dict:
            return fields
    return None


def package_of(kind: type) -> str:
    """
    Give the outermost package that a class is of.
    """
    return (string(names_in(kind).get("__module__")) or "").partition(".")[0]


def string(value: object) -> str | None:
    """
    Give a text that says something; None for all else. Of an enum, its value.
    """
    if type(value) is not str:
        if not issubclass(type(value), str):
            return None
        value = str.__str__(value)
    return value or None


def first(value: object) -> "Any":
    """
    Give the first item of a list or tuple, None of anything else.
    """
    return next(iter(items(value)), None)


def items(value: "Any") -> "Any":
    """
    Give a list or tuple, and an empty one for anything else.
    """
    kind = type(value)
    if kind is list or kind is tuple:
        return value
    for plain_kind in (list, tuple):
        if issubclass(kind, plain_kind):  # which may iterate in a way of its own
            return [*plain_kind.__iter__(value)]
    return ()


def is_listed(value: object) -> bool:
    """
    Tell whether it is a list or tuple.
    """
    return issubclass(type(value), (list, tuple))


def is_dict(value: object) -> bool:
    """
    Tell whether it is a dict.
    """
    return issubclass(type(value), dict)


def content_text(content: object) -> str:
    """
    Give the text of a message's content: a string, or blocks of which some are text.
    """
    text = string(content)
    if text is not None:
        return text
    return "".join(string(it) or string(get(it, "text")) or "" for it in items(content))


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
    custom = get(call, "custom")  # a tool whose input is text
    if custom is None:
        return call
    said = get(custom, "input")
    return {"id": get(call, "id"), "name": get(custom, "name"), "arguments": said}


def read_arguments(told: object) -> object:
    """
    Read the arguments of a tool call: JSON, pieces of JSON, or an object as it is.
    """
    pieces = [string(it) or "" for it in told] if type(told) is list else [string(told)]
    if None in pieces:
        return told
    text = "".join(pieces)  # type: ignore[arg-type]
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def is_piece(
    key: str, text: str, pairs: "Iterable[tuple[Any, Any]]", above: object
) -> bool:
    """
    Tell whether a text that stands under one of `PIECES` is a piece of a tool call's
    arguments, of which nobody can tell by what name it goes on.

    Args:
        pairs: All that stands beside it.
        above: The name under which that stands.
    """
    about = {
        name: it
        for name, it in pairs
        if type(name) is str and type(it) is str and name in ("name", "type")
    }
    kind = about.get("type", "")
    if key == "delta":
        is_of_call = "arguments" in kind or "input" in kind
        return kind.endswith(".delta") and is_of_call and bool(text)
    is_call = key == "partial_json" or above in _CALLS or kind == "tool_call_chunk"
    if not is_call or about.get("name"):
        return False
    whole = text.strip()
    return bool(whole) and not (whole[0] == "{" and whole[-1] == "}")


def is_half(text: str) -> bool:
    """
    Tell whether a text that is no JSON begins as an object or a list of JSON does.
    """
    return _HALF.match(text) is not None


def document_data(document: object) -> object:
    """
    Write a retrieved document as ``{page_content, metadata}``; others stay as they are.
    """
    content = get(document, "page_content")
    if not issubclass(type(content), str) or issubclass(type(document), dict):
        return document
    return {"page_content": content, "metadata": get(document, "metadata")}


def _in_class(kind: type, name: str) -> "Any":
    for base in bases_of(kind):
        found = names_in(base).get(name)
        if found is not None:
            return found
    return None


def _held(value: object, read: "Reads") -> "Any":
    """
    Read a slot; None where nothing was put there.
    """
    try:
        return read(value)
    except AttributeError:
        return None


def _places_of(kind: type) -> "tuple[type, Reads | None, Reads | None]":
    holds = (GetSetDescriptorType, MemberDescriptorType)
    found: list[Any] = [names_in(base).get("__dict__") for base in bases_of(kind)]
    read = next((it.__get__ for it in found if issubclass(type(it), holds)), None)
    extra = _in_class(kind, "__pydantic_extra__")
    read_extra = extra.__get__ if issubclass(type(extra), _SLOTS) else None
    if len(_places) >= _MOST_TYPES:
        _places.clear()
    made = _places[id(kind)] = kind, read, read_extra
    return made
