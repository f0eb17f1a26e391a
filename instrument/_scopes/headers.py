"""
W3C trace context and baggage, as headers have them: read, checked and written.

Source: https://www.w3.org/TR/trace-context/, https://www.w3.org/TR/baggage/
"""

import re
from contextlib import suppress

from instrument._audience.plan import NOBODY
from instrument._audience.sampling import Incoming
from instrument._payloads.messages import is_dict
from instrument._payloads.redact import redacted
from instrument._runs.opening import current_run
from instrument._state import Frame, get_state
from instrument._text import safe_repr, safe_str

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import MutableMapping
    from typing import Any

_TRACEPARENT = re.compile(
    r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})"
    r"(-.*)?"
)
_MOST = 8_192  # characters of a header; a longer one is not looked at
_MEMBER = re.compile(
    r"(?:[a-z][a-z0-9_\-*/]{0,255}|[a-z0-9][a-z0-9_\-*/]{0,240}@[a-z][a-z0-9_\-*/]{0,13})"
    r"=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]"
)
_MOST_MEMBERS, _MOST_STATE, _MOST_MEMBERS_OF_BAGGAGE = 32, 512, 64
_SAFE = "!#$&'()*+/:<=>?@[]^`{|}"  # in `baggage`, besides letters, digits and _.-~
TAG = re.compile(r"[^,]+")
KEY = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
TAGS = "instrument.tags"  # the name in `baggage` of tags, parted by commas


def incoming_in(found: "dict[str, Any]") -> Incoming | None:
    """
    Read what came in.
    """
    given: Any = found.get("draw")
    is_number = type(given) is int or type(given) is float
    is_drawn = is_number and 0 <= given <= 1
    parent = parsed(text_of(found.get("traceparent")))
    if parent is not None:
        trace_hex, span_hex, flags = parent
        number = given if is_drawn else 1 - int(flags, 16) % 2
        state = tracestate_of(text_of(found.get("tracestate", "")))
        return Incoming(trace_hex, span_hex, float(number), state)
    return Incoming(None, None, float(given)) if is_drawn else None


def parsed(traceparent: str) -> "tuple[str, str, str] | None":
    """
    Give the ids and the flags of a ``traceparent``; None where it is none.
    """
    found = _TRACEPARENT.fullmatch(traceparent)
    if found is None:
        return None
    version, trace_hex, span_hex, flags, more = found.groups()
    return None if version == "00" and more else (trace_hex, span_hex, flags)


def described(found: "dict[str, Any]") -> "tuple[dict[str, str], list[str]]":
    """
    Give the metadata and the tags that `extract` let in; nothing of another shape.
    """
    metadata, tags = found.get("metadata"), found.get("tags")
    told = metadata if type(metadata) is dict else {}
    known = tags if type(tags) is list else []
    return (
        {k: v for k, v in told.items() if type(k) is str and type(v) is str},
        [tag for tag in known if type(tag) is str],
    )


def found_in(headers: "Any") -> "dict[str, list[str]]":
    """
    Give the headers that are looked at, each with all values that it has.
    """
    found: dict[str, list[str]] = {"traceparent": [], "tracestate": [], "baggage": []}
    with suppress(TypeError, ValueError):  # no headers at all
        for name, value in headers.items() if hasattr(headers, "items") else headers:
            values = found.get(text_of(name).lower())
            if values is not None:
                values.append(text_of(value))
    return found


def tracestate_of(text: str) -> str | None:
    """
    Give a ``tracestate`` as it may go on; None where it is none.
    """
    members = [member for it in text.split(",") if (member := it.strip(" \t"))]
    if not 0 < len(members) <= _MOST_MEMBERS or len(text) > _MOST_STATE:
        return None
    return ",".join(members) if all(map(_MEMBER.fullmatch, members)) else None


def baggage_of(text: str) -> "dict[str, str]":
    """
    Read a ``baggage``; what is no member of it is passed over.
    """
    from urllib.parse import unquote

    read = {}
    for member in text.split(",")[:_MOST_MEMBERS_OF_BAGGAGE]:
        name, _, value = member.partition(";")[0].partition("=")
        read[name.strip(" \t")] = unquote(value.strip(" \t"), errors="replace")
    return read


def add_baggage(
    headers: "MutableMapping[str, Any]", keys: "list[str]", allowed: "list[str]"
) -> None:
    """
    Add to ``baggage`` what may go along of what is set here, while there is room.
    """
    from urllib.parse import quote

    metadata, tags = _described_here()
    told = {key: written for key in keys if (written := _written(metadata.get(key)))}
    known = [tag for tag in allowed if tag in tags]
    if known:
        told[TAGS] = ",".join(known)
    there = text_of(headers.get("baggage", ""))
    members = [it for it in there.split(",") if it and _key_of(it) not in told]
    for name, value in told.items():
        member = f"{name}={quote(value, safe=_SAFE, errors='replace')}"
        size = sum(len(it) + 1 for it in members) + len(member)
        if size <= _MOST and len(members) < _MOST_MEMBERS_OF_BAGGAGE:
            members.append(member)
    if members:
        headers["baggage"] = ",".join(members)


def _key_of(member: str) -> str:
    return member.partition("=")[0].strip(" \t")


def _described_here() -> "tuple[dict[str, Any], tuple[str, ...]]":
    """
    Give the metadata and the tags of the run in hand, else of the blocks around.
    """
    run, state = current_run(), get_state()
    audience = (state._plan if isinstance(state, Frame) else NOBODY).settle()
    if run:
        return run._metadata_for(audience), run.tags
    metadata = audience.metadata
    if audience.redactors:
        metadata = redacted(metadata, audience.redactors, ("metadata",))
    return metadata if is_dict(metadata) else {}, audience.tags


def _written(value: object) -> str:
    """
    Write a value of metadata; nothing for what is no text, number or truth.
    """
    if type(value) is bool:
        return "true" if value else "false"
    is_said = type(value) is str or type(value) is int or type(value) is float
    return safe_str(value)[:_MOST] if is_said else ""


def checked_names(what: str, given: "Any", form: "re.Pattern[str]") -> "list[str]":
    listed: list[Any] = [None] if isinstance(given, (str, bytes)) else [*given]
    if not all(isinstance(it, str) for it in listed):
        message = f"{what} is a list of names, not {safe_repr(given)}."
        raise TypeError(message)
    for name in listed:
        if not form.fullmatch(name):
            message = f"{what}: {name!r} cannot stand in baggage."
            raise ValueError(message)
    return listed


def text_of(value: object) -> str:
    """
    Give a header as text; nothing where it is none, or too long.
    """
    if issubclass(type(value), bytes):
        begins: Any = bytes.__getitem__(value, slice(_MOST + 1))  # type: ignore[call-overload]
        value = begins.decode("latin-1")
    text = str.__str__(value) if issubclass(type(value), str) else ""
    return "" if len(text) > _MOST else text.strip(" \t")
