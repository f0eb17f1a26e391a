"""
`Told`: an event as it is taken where it happens, to be written by another thread.

What it carries is written as JSON at once: it may be changed the moment after.
"""

import json

from instrument._payloads.event import TOKEN, Usage
from instrument._payloads.jsonable import TEXT_LIMIT, encoded
from instrument._text import cut

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any
    from uuid import UUID

    from instrument._payloads.event import Event
    from instrument._runs.run import Run


class Told:
    """
    An event.

    Attributes:
        text, channel, length: Of a token, which has no `data`: a piece of an answer, or
            how long one is that may not be seen.
        data: As JSON.
        described: Tags and metadata as JSON; empty where there are none.
        came_hex: The id of the trace, where it has come in from elsewhere.
    """

    __slots__ = (
        "came_hex",
        "channel",
        "data",
        "described",
        "event",
        "kind",
        "length",
        "name",
        "parent_run_id",
        "run_id",
        "seq",
        "started_ns",
        "text",
        "time_ns",
        "trace_id",
    )

    def __init__(self, event: "Event", run: "Run | None" = None) -> None:
        self.event = name = event.event
        self.seq, self.time_ns = bounded(event.seq), bounded(event.time_ns)
        self.run_id, self.trace_id = event.run_id, event.trace_id
        self.parent_run_id: UUID | None = event.parent_run_id
        self.kind, self.name = event.kind, event.name
        self.data = self.described = self.text = self.channel = ""
        self.length = None
        self.came_hex: str | None = None
        self.started_ns = self.time_ns
        if run is not None:
            came = run._root_run()._audience.incoming
            self.came_hex = None if came is None else came.trace_hex
            self.started_ns = run.started_at
        data = event.data
        if name == TOKEN and data.keys() <= _OF_TOKENS:
            self.text = _text(data.get("token"))
            self.channel = _text(data.get("channel")) or "text"
            length = data.get("length")
            self.length = length if type(length) is int else None
            return
        self.data = event_data(event)
        if event.tags or event.metadata or event.extra:
            told: dict[str, Any] = {"tags": event.tags, "metadata": event.metadata}
            if event.extra:
                told["extra"] = event.extra
            self.described = encoded(told, event._asked())

    @property
    def size(self) -> int:
        """
        How many characters it has, but for what all have.
        """
        return len(self.data) + len(self.text) + len(self.described)

    def without_payload(self) -> None:
        """
        Leave out what went in and came out: there is no place for it.
        """
        if not self.data:
            return
        data = json.loads(self.data)
        kept = {name: data[name] for name in _UNPAID if name in data}
        self.data = encoded(kept | {"left_out": len(self.data)})


_UNPAID = (
    *("model", "provider", "usage", "status", "duration_s", "time_to_first_token_s"),
    *("finish_reason", "response_id", "vectors", "type", "origin", "attempt"),
)
_OF_TOKENS = frozenset(("token", "channel", "length"))


LARGEST = 2**63 - 1
"""The largest whole number that SQLite has."""


def bounded(number: float) -> float:
    """
    Give a number as SQLite has it.
    """
    return number if -LARGEST <= number <= LARGEST else LARGEST


def event_data(event: "Event") -> str:
    """
    Give the event's ``data`` as one line of JSON.
    """
    data = event.data
    usage = data.get("usage")
    if type(usage) is Usage:
        data = {**data, "usage": usage.to_dict()}
    return encoded(data, event._asked())


def _text(value: object) -> str:
    return cut(value, TEXT_LIMIT) if type(value) is str else ""
