"""
The wire format: OTLP's messages as protobuf, by hand.

Only what is sent is known here: spans, histograms, and of an answer what was refused.

Source: https://github.com/open-telemetry/opentelemetry-proto/tree/v1.9.0
"""

import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

INTERNAL, CLIENT = 1, 3
"""Kinds of span."""
UNSET, OK, ERROR = 0, 1, 2
"""Codes of a status."""

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_SAMPLED, _KNOWS_REMOTE, _IS_REMOTE = 0x01, 0x100, 0x200
_CUMULATIVE = 2
_MORE = 0x80
"""The bit of a byte behind which a number goes on."""


def request(
    resource: "Mapping[str, Any]", version: str, items: "Iterable[bytes]"
) -> bytes:
    """
    Give an ``ExportTraceServiceRequest`` of spans, or an ``ExportMetricsServiceRequest``
    of metrics: their fields are alike.
    """
    scope = _text(1, "instrument") + _text(2, version)
    held = _blob(1, scope) + b"".join(_blob(2, item) for item in items)
    return _blob(1, _blob(1, _attributes(1, resource)) + _blob(2, held))


def span(
    *,
    trace_hex: str,
    span_hex: str,
    parent_hex: str | None,
    is_remote: bool,
    name: str,
    kind: int,
    started_ns: int,
    ended_ns: int,
    attributes: "Mapping[str, Any]",
    events: "Iterable[tuple[str, int, Mapping[str, Any]]]",
    lost_events: int,
    status: int,
    message: str,
) -> bytes:
    """
    Give a ``Span``.

    Args:
        is_remote: Whether the parent is in another process.
        lost_events: How many events are left out.
        message: What a status of `ERROR` says.
    """
    flags = _SAMPLED | _KNOWS_REMOTE | (_IS_REMOTE if is_remote else 0)
    pieces = [
        _blob(1, bytes.fromhex(trace_hex)),
        _blob(2, bytes.fromhex(span_hex)),
        b"" if parent_hex is None else _blob(4, bytes.fromhex(parent_hex)),
        _text(5, name),
        _number(6, kind),
        _fixed64(7, started_ns),
        _fixed64(8, ended_ns),
        _attributes(9, attributes),
        *(_blob(11, _event(*event)) for event in events),
        _number(12, lost_events),
        _blob(15, (_text(2, message) if message else b"") + _number(3, status)),
        _tag(16, _FIXED32) + struct.pack("<I", flags),
    ]
    return b"".join(pieces)


def histogram(
    name: str, unit: str, description: str, points: "Iterable[bytes]"
) -> bytes:
    """
    Give a ``Metric`` that is a histogram, of what was measured since the beginning.
    """
    held = b"".join(_blob(1, point) for point in points) + _number(2, _CUMULATIVE)
    return _text(1, name) + _text(2, description) + _text(3, unit) + _blob(9, held)


def point(
    attributes: "Mapping[str, Any]",
    started_ns: int,
    time_ns: int,
    bounds: "tuple[float, ...]",
    counts: "list[int]",
    total: float,
    least: float,
    most: float,
) -> bytes:
    """
    Give a ``HistogramDataPoint``.

    Args:
        counts: One more than *bounds*; the last is of what is beyond them.
        total: The sum of all values.
    """
    pieces = [
        _fixed64(2, started_ns),
        _fixed64(3, time_ns),
        _fixed64(4, sum(counts)),
        _double(5, total),
        _blob(6, struct.pack(f"<{len(counts)}Q", *counts)),
        _blob(7, struct.pack(f"<{len(bounds)}d", *bounds)),
        _attributes(9, attributes),
        _double(11, least),
        _double(12, most),
    ]
    return b"".join(pieces)


def refused(answer: bytes) -> "tuple[int, str]":
    """
    Read from a receiver's answer how many items it has refused, and why.

    What is no such answer refuses nothing.
    """
    try:
        partial = _fields(answer).get(1, b"")
        fields = _fields(partial if type(partial) is bytes else b"")
    except (IndexError, struct.error):
        return 0, ""
    count, why = fields.get(1, 0), fields.get(2, b"")
    return (
        count if type(count) is int else 0,
        why.decode("utf-8", "replace") if type(why) is bytes else "",
    )


def _event(name: str, time_ns: int, attributes: "Mapping[str, Any]") -> bytes:
    return _fixed64(1, time_ns) + _text(2, name) + _attributes(3, attributes)


def _attributes(field: int, attributes: "Mapping[str, Any]") -> bytes:
    return b"".join(
        _blob(field, _text(1, name) + _blob(2, _value(value)))
        for name, value in attributes.items()
    )


def _value(value: "Any") -> bytes:
    kind = type(value)
    if kind is bool:
        return _tag(2, _VARINT) + _varint(value)
    if kind is int and -(1 << 63) <= value < 1 << 63:
        return _tag(3, _VARINT) + _varint(value)
    if kind is float:
        return _double(4, value)
    if kind is list:
        return _blob(5, b"".join(_blob(1, _value(item)) for item in value))
    return _text(1, value if kind is str else str(value))


def _text(field: int, text: str) -> bytes:
    return _blob(field, text.encode("utf-8", "replace"))  # a lone surrogate is no UTF-8


def _blob(field: int, content: bytes) -> bytes:
    return _tag(field, _BYTES) + _varint(len(content)) + content


def _number(field: int, number: int) -> bytes:
    return _tag(field, _VARINT) + _varint(number) if number else b""


def _fixed64(field: int, number: int) -> bytes:
    return _tag(field, _FIXED64) + struct.pack("<Q", number)


def _double(field: int, number: float) -> bytes:
    return _tag(field, _FIXED64) + struct.pack("<d", number)


def _tag(field: int, wire: int) -> bytes:
    return _varint(field << 3 | wire)


def _varint(number: int) -> bytes:
    number &= (1 << 64) - 1  # a negative one has its two's complement
    made = bytearray()
    while number >= _MORE:
        made.append(number & 0x7F | _MORE)
        number >>= 7
    made.append(number)
    return bytes(made)


def _fields(message: bytes) -> "dict[int, int | bytes]":
    """
    Read the fields of a message, numbers and what has a length; others are passed over.

    Raises:
        IndexError, struct.error: If it is no message.
    """
    found: dict[int, int | bytes] = {}
    at = 0
    while at < len(message):
        key, at = _read_varint(message, at)
        wire = key & 7
        if wire == _VARINT:
            found[key >> 3], at = _read_varint(message, at)
        elif wire == _BYTES:
            length, at = _read_varint(message, at)
            found[key >> 3], at = message[at : at + length], at + length
        elif wire in (_FIXED64, _FIXED32):
            at += 8 if wire == _FIXED64 else 4
        else:
            raise IndexError
    return found


def _read_varint(message: bytes, at: int) -> "tuple[int, int]":
    number = shift = 0
    while True:
        byte = message[at]
        number |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < _MORE:
            return number, at
