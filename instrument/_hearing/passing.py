"""
Read the events of a stream as its bytes pass by, where the caller reads these himself.

Nothing is kept but the event that has not ended yet.
"""

import json

from instrument._payloads.messages import is_dict
from instrument._text import class_has

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from instrument._hearing.calls import Call

_LONGEST = 8_000_000
"""What is longer than this is no event that anybody sends."""


class Events:
    """
    Server-sent events, of which each holds JSON.
    """

    __slots__ = ("_data", "_line")

    def __init__(self) -> None:
        self._line = b""
        self._data: list[bytes] = []

    def of(self, piece: object) -> "Iterator[dict[str, Any]]":
        """
        Give those that end in *piece*.
        """
        if type(piece) is not bytes or len(self._line) > _LONGEST:
            return
        *lines, self._line = (self._line + piece).replace(b"\r", b"\n").split(b"\n")
        for line in lines:
            if line.startswith(b"data:"):
                self._data.append(line[len(b"data:") :].strip())
            elif not line and self._data:
                event = _read(b"\n".join(self._data))
                self._data.clear()
                if event is not None:
                    yield event


def _read(data: bytes) -> "dict[str, Any] | None":
    try:
        event = json.loads(data)
    except (ValueError, RecursionError):  # the last one is no JSON
        return None
    return event if is_dict(event) else None


def is_events(http: "Any") -> bool:
    """
    Tell whether the body of an HTTP response is a stream of events.
    """
    return str(http.headers.get("content-type", "")).startswith("text/event-stream")


def is_response(value: object) -> bool:
    """
    Tell whether *value* is an HTTP response: some are asked for one.
    """
    kind = type(value)
    return class_has(kind, "iter_bytes") and class_has(kind, "aiter_bytes")


def end_read(call: "Call", http: "Any") -> bool:
    """
    End a call with the events of a response that has been read; False if it has none.
    """
    if not is_events(http):
        return False
    call.go_on(in_pieces=True)
    for event in Events().of(http.content + b"\n\n"):
        call.item(event)
    call.returned(None)
    return True
