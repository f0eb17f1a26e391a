"""
What a row says of a run in one line: what was asked, what came out, how much.
"""

import json
from contextlib import suppress

from instrument._payloads.event import Usage
from instrument._payloads.names import MASK
from instrument.handlers._shared.usual_names import USUAL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

LINE = 300
"""How many characters of what was asked or answered stand in a row."""
_LOOKED = 4_000
"""How many are looked at for that, and can be searched for."""
_MESSAGE = 500
_ASKED = ("messages", "prompts", "texts", "query", "inputs")
_QUESTIONS = ("question", "query", "prompt", "input", "message", "text", "q")
"""By which names a request's own words mostly go, beside what else it was given."""
_ANSWERED = ("text", "outputs", "output", "documents", "vectors")


def asked_in(data: "dict[str, Any]") -> str:
    """
    Give what was asked, as text, of the data of a start event.
    """
    for name in _ASKED:
        if name in data:
            return _said(data[name])
    return ""


def answered_in(data: "dict[str, Any]") -> str:
    """
    Give what was answered, as text, of the data of an end event.
    """
    if data.get("tool_calls") and not data.get("text"):
        return _cut(", ".join(map(_call, _listed(data["tool_calls"]))))
    for name in _ANSWERED:
        if data.get(name) is not None:
            value = data[name]
            return "" if name in ("documents", "vectors") else _said(value)
    return ""


def hint_in(data: "dict[str, Any]") -> str | None:
    """
    Tell in a few words how much came out: ``4 documents``.
    """
    found = data.get("documents")
    if type(found) is list:
        return _counted(len(found), "document")
    vectors = data.get("vectors")
    if type(vectors) is dict and type(vectors.get("count")) is int:
        size = vectors.get("size")
        told = _counted(vectors["count"], "vector")
        return f"{told} of {size}" if type(size) is int and size else told
    calls = data.get("tool_calls")
    if type(calls) is list and calls:
        return _counted(len(calls), "tool call")
    return None


def tags_in(described: "dict[str, Any]") -> "list[str]":
    """
    Give the tags, of what a start event says of itself.
    """
    return [it for it in described.get("tags", ()) if type(it) is str]


def usage_in(data: "dict[str, Any]") -> Usage:
    """
    Tell what was used. What is no count, as others may write it, is not known.
    """
    told: Any = data.get("usage")
    told = told if type(told) is dict else {}
    known = {name: told[name] for name in Usage.__slots__ if name in told}
    with suppress(TypeError, ValueError):
        return Usage(**known)
    used = Usage()
    for name, count in known.items():
        with suppress(TypeError, ValueError):
            used += Usage(**{name: count})
    return used


def line(text: str, most: int = LINE) -> str | None:
    """
    Give the beginning of *text* in one line that any database takes; None of nothing.
    """
    head = " ".join(text[: most * 4].split())
    if len(head) > most:
        head = head[: most - 1].rstrip() + "…"
    elif len(text) > most * 4:
        head += "…"
    return plain(head) or None


def message(text: str) -> str:
    """
    Give the beginning of an error's message, its lines kept.
    """
    return plain(text if len(text) <= _MESSAGE else text[: _MESSAGE - 1] + "…")


def plain(text: str) -> str:
    """
    Give *text* as SQLite takes it, and as its functions read it to the end.
    """
    if text.isascii() and "\0" not in text:
        return text
    return text.encode("utf-8", "replace").decode("utf-8").replace("\0", "\ufffd")


def _said(value: "Any") -> str:
    kind = type(value)
    if kind is str:
        return _cut(value)
    if kind is list and value:
        last = _last_asked(value)
        if last is not None:
            return _message(last)
        return _said(value[0]) if len(value) == 1 else _written(value)
    if kind is dict and value:
        if type(value.get("messages")) is list and value["messages"]:
            return _said(value["messages"])
        if "role" in value and "content" in value:
            return _message(value)
        if len(value) == 1:
            [(name, held)] = value.items()
            return MASK if USUAL.masks(name) else _said(held)
        words = (value.get(name) for name in _QUESTIONS)
        question = next((it for it in words if type(it) is str and it), None)
        if question is not None:
            return _cut(question)
        return _cut(", ".join(f"{key}={_written(it)}" for key, it in value.items()))
    return "" if value is None or kind in (list, dict) else _written(value)


def _last_asked(messages: "list[Any]") -> "dict[str, Any] | None":
    """
    Give the last message of a user, else the last; None where these are no messages.
    """
    if type(messages[-1]) is not dict or "role" not in messages[-1]:
        return None
    told = [it for it in messages if type(it) is dict]
    users = [it for it in told if it.get("role") == "user"]
    return users[-1] if users else told[-1]


def _message(told: "dict[str, Any]") -> str:
    content = told.get("content")
    if type(content) is list:
        parts = [it.get("text") if type(it) is dict else it for it in content]
        return _cut(" ".join(it for it in parts if type(it) is str))
    if not content and told.get("tool_calls"):
        return _cut(", ".join(map(_call, _listed(told["tool_calls"]))))
    return _said(content)


def _call(told: "Any") -> str:
    if type(told) is not dict:
        return _written(told)
    given = told.get("arguments")
    if type(given) is dict:
        given = ", ".join(f"{key}={_written(it)}" for key, it in given.items())
    return f"{told.get('name')}({'' if given is None else given})"


def _listed(value: "Any") -> "list[Any]":
    return value if type(value) is list else [value]


def _written(value: "Any") -> str:
    """
    Write a value; text in the quotes that it has in a terminal.
    """
    if type(value) is str and "'" not in value and "\\" not in value:
        return _cut(f"'{value}'")
    return _cut(json.dumps(value, ensure_ascii=False))


def _cut(text: str) -> str:
    return text[:_LOOKED]


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'s'[: count != 1]}"
