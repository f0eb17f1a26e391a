"""
What a person reads of messages and documents: who said the last, from where a text is.
"""

from collections import namedtuple

from instrument._payloads.fields import name_of
from instrument._payloads.messages import (
    ROLES,
    get,
    is_dict,
    is_listed,
    items,
    string,
)
from instrument._payloads.turns import turns_in
from instrument.handlers._shared.amounts import size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

Said = namedtuple("Said", "role text parts calls")  # noqa: PYI024 - its values are any
"""One message: its text or None, what it holds besides by name, the tools it calls."""
Found = namedtuple("Found", "source is_named")  # noqa: PYI024
"""A document: where it is from, else what it begins with."""

_ROLES = frozenset(
    (
        *ROLES,
        *ROLES.values(),
        "system",
        "tool",
        "function",
        "developer",
        "model",
        "chat",
    )
)
_CHUNK = "MessageChunk"
_UNSAID = frozenset(("thinking", "reasoning", "redacted_thinking"))
_CALLS = frozenset(("tool_use", "tool_call", "function_call", "server_tool_use"))
_HOLDERS = ("image_url", "source", "input_audio", "inline_data", "file", "image")
_HOLDS = ("data", "base64", "url", "file_data", "bytes")
_NAMED_BY = ("source", "title", "id")
_TEXTS = ("page_content", "text", "content")
_LONGEST_WORDS = 200
_MOST_PARTS = 1_000


def messages_of(value: "Any") -> "Any":
    """
    Give a conversation: a list of messages, what holds one as ``messages``, or a single
    one. Of anything else an empty list.
    """
    listed = items(value)
    if not listed and not _is_message(value):
        listed = items(get(value, "messages"))
    if listed:
        both = listed[0], listed[-1]
        return listed if all(_is_message(it) or _is_pair(it) for it in both) else []
    return [value] if _is_message(value) else []


def read_message(message: "Any") -> Said:
    """
    Read one message.
    """
    data = turns_in(message)[-1]
    content = get(message, "parts") if data["content"] is None else data["content"]
    parts: list[str] = []
    calls = [call for call in data.get("tool_calls", ()) if is_dict(call)]
    text = string(content)
    if text is None and content is not None and not issubclass(type(content), str):
        text, parts, told = _read_parts(content)
        calls = calls or told
    if not text:
        text = None if parts or calls else ""
    return Said(str(data["role"]), text, parts, calls)


def answer_in(value: "Any") -> Said | None:
    """
    Read what comes out as an answer: a message, or the last of a state that holds some.
    """
    messages = messages_of(value)
    if not messages or is_listed(value):
        return None
    said = read_message(messages[-1])
    is_single = _is_message(value)
    return said if is_single or is_answered(said) else None


def is_answered(message: Said) -> bool:
    """
    Tell whether a model said it.
    """
    return message.role in ("assistant", "model")


def documents_of(value: "Any") -> "Any":
    """
    Give a list of documents; of anything else an empty list.
    """
    listed = items(value)
    is_some = listed and is_document(listed[0]) and is_document(listed[-1])
    return listed if is_some else []


def is_document(value: "Any") -> bool:
    """
    Tell whether it is a retrieved document, as LangChain has them.
    """
    return string(get(value, "page_content")) is not None


def found(document: "Any") -> Found:
    """
    Tell where a document is from: its source, title or id; else its first words.
    """
    for holder in (get(document, "metadata"), document):
        for name in _NAMED_BY:
            told = string(get(holder, name))
            if told is not None:
                return Found(told.rstrip("/").rpartition("/")[2] or told, True)
    texts = (string(get(document, name)) for name in _TEXTS)
    text = string(document) or next(filter(None, texts), None)
    return Found((text or name_of(document))[:_LONGEST_WORDS], False)


def _is_message(value: "Any") -> bool:
    role = string(get(value, "role")) or string(get(value, "type"))
    if role is None or not (role in _ROLES or role.endswith(_CHUNK)):
        return False
    told = (get(value, name) for name in ("content", "tool_calls", "parts"))
    return any(it is not None for it in told)


def _is_pair(value: object) -> bool:
    pair = items(value)
    return len(pair) == 2 and string(pair[0]) in _ROLES  # noqa: PLR2004 - (role, content)


def _read_parts(content: "Any") -> "tuple[str, list[str], list[dict[str, Any]]]":
    """
    Give the text of a content's parts, by name what is no text, and what it calls.
    """
    texts, parts, calls = [], [], []
    listed = items(content) if is_listed(content) else [content]
    for part in listed[:_MOST_PARTS]:
        kind = string(get(part, "type")) or ""
        text = string(part) or string(get(part, "text"))
        if text is not None:
            texts.append(text)
        elif kind in _CALLS:
            given = get(part, "input")
            given = get(part, "args") if given is None else given
            calls.append({"name": get(part, "name"), "arguments": given})
        elif kind not in _UNSAID:
            parts.append(_written_part(part, kind))
    if len(listed) > _MOST_PARTS:
        parts.append(f"<{len(listed) - _MOST_PARTS:,} more parts>")
    return "".join(texts), parts, calls


def _written_part(part: "Any", kind: str) -> str:
    """
    Write what is no text: ``<image, 48 kB>``.
    """
    held = [get(part, name) for name in _HOLDERS]
    mime = next(filter(None, (string(get(it, "mime_type")) for it in held)), "")
    kind = kind.removeprefix("input_").partition("_")[0] or mime.partition("/")[0]
    known = (_size_of(holder) for holder in (part, *held) if holder is not None)
    count = next((it for it in known if it is not None), None)
    told = "" if count is None else f", {size(count)}"
    return f"<{kind or name_of(part)}{told}>"


def _size_of(holder: "Any") -> int | None:
    """
    Tell how many bytes it holds, in base64 or as they are; None of a mere address.
    """
    for name in (None, *_HOLDS):
        held = holder if name is None else get(holder, name)
        if type(held) is bytes:
            return len(held)
        text = string(held)
        if text is None:
            continue
        is_url = name in (None, "url")
        if text.startswith("data:"):
            text, is_url = text.partition(",")[2], False
        if not is_url:
            return len(text) * 3 // 4
    return None
