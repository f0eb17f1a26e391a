"""
`Event`, the one native record of what a run does, and `Usage`.

A file line, a database row, a WebSocket frame and a message from a worker process
are all an `Event` as JSON. Never pickle.
"""

from copy import copy
from uuid import UUID

from instrument import _text
from instrument._payloads.jsonable import NODE_LIMIT, encoded, jsonable
from instrument._payloads.names import NAME_TYPES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from instrument._payloads.jsonable import Memo
    from instrument._runs.run import Run

VERSION = 1
TOKEN = "on_llm_new_token"  # noqa: S105
_FIELDS = (
    "event",
    "seq",
    "time_ns",
    "trace_id",
    "run_id",
    "parent_run_id",
    "kind",
    "name",
    "tags",
    "metadata",
    "data",
)
_USAGE = (
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
    "cost_usd",
)
_MOST = 2**63  # what is beyond could be neither written nor made a float


class Usage:
    """
    What one model call consumed, as its provider told it. Immutable.

    Attributes:
        input_tokens: Tokens read, cached ones included.
        output_tokens: Tokens written, reasoning included.
        cache_read_tokens: Input tokens served from a cache.
        cache_write_tokens: Input tokens written to a cache.
        reasoning_tokens: Output tokens spent on reasoning.
        cost_usd: US dollars.

    None means not known; nothing is ever guessed. Adding two usages adds what is
    known of both. No number exceeds 2**63; a larger one is taken for that.
    """

    __slots__ = _USAGE
    input_tokens: int | None
    output_tokens: int | None
    cache_read_tokens: int | None
    cache_write_tokens: int | None
    reasoning_tokens: int | None
    cost_usd: float | None

    def __init__(
        self,
        input_tokens: int | None = None,
        output_tokens: int | None = None,
        cache_read_tokens: int | None = None,
        cache_write_tokens: int | None = None,
        reasoning_tokens: int | None = None,
        cost_usd: float | None = None,
    ) -> None:
        values = (
            input_tokens,
            output_tokens,
            cache_read_tokens,
            cache_write_tokens,
            reasoning_tokens,
            cost_usd,
        )
        for name, put, value in zip(_USAGE, _PUT, values, strict=True):
            put(self, value if value is None else _counted(name, value))

    def __add__(self, other: "Usage") -> "Usage":
        if not isinstance(other, Usage):
            return NotImplemented
        pairs = ((getattr(self, name), getattr(other, name)) for name in _USAGE)
        return Usage(*(a if b is None else b if a is None else a + b for a, b in pairs))

    def __bool__(self) -> bool:
        return bool(self.to_dict())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Usage) and self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        return hash(tuple(self.to_dict().items()))

    def __repr__(self) -> str:
        known = (f"{name}={value!r}" for name, value in self.to_dict().items())
        return f"Usage({', '.join(known)})"

    def __setattr__(self, name: str, value: object) -> None:
        message = f"Usage is immutable: cannot set {name!r}. Make a new one."
        raise AttributeError(message)

    def __reduce__(self) -> "tuple[Any, ...]":
        return Usage, tuple(getattr(self, name) for name in _USAGE)

    def to_dict(self) -> "dict[str, int | float]":
        """
        Give the fields that are known, by name.
        """
        return {
            name: value for name in _USAGE if (value := getattr(self, name)) is not None
        }


_PUT = [vars(Usage)[name].__set__ for name in _USAGE]
"""The slots' own setters: half the cost of ``object.__setattr__``."""


class Event:
    """
    One thing that one run did, at one time.

    ``to_json`` and ``from_json`` round-trip. ``data`` is what the event carries
    (its keys are in the guide ``examples/records``); ``run`` is the live run where
    the event was made, None where it was read from JSON. A token's has no ``tags`` and
    ``metadata``: those of its run's start hold.
    """

    __slots__ = (*_FIELDS, "_memo", "extra", "run", "v")

    def __init__(
        self,
        event: str,
        *,
        seq: int,
        time_ns: int,
        trace_id: UUID,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        kind: str = "chain",
        name: str = "",
        tags: "list[str] | None" = None,
        metadata: "dict[str, Any] | None" = None,
        data: "dict[str, Any] | None" = None,
        run: "Run | None" = None,
    ) -> None:
        self.v = VERSION
        self.event = event
        self.seq = seq
        self.time_ns = time_ns
        self.trace_id = trace_id
        self.run_id = run_id
        self.parent_run_id = parent_run_id
        self.kind = kind
        self.name = name
        self.tags = tags if tags is not None else []
        self.metadata = metadata if metadata is not None else {}
        self.data = data if data is not None else {}
        self.run = run
        self.extra: dict[str, Any] = {}
        self._memo: Memo | None = None

    def __repr__(self) -> str:
        return f"<Event {self.seq} {self.event} {self.kind} {self.name!r}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Event) and self.to_dict() == other.to_dict()

    __hash__ = None  # type: ignore[assignment]

    def to_dict(self) -> "dict[str, Any]":
        """
        Give the event as JSON types only: what `to_json` writes.

        Models, dataclasses and named tuples become objects of their fields, dates and
        paths text, other objects their ``repr``, which each is asked for once; what is
        cut at a size limit says how much was cut.
        """
        whole: dict[str, Any] = jsonable(self._fields(), memo=self._asked())
        return whole

    def to_json(self) -> str:
        """
        Give the event as one line of JSON, pure ASCII.
        """
        return encoded(self._fields(), self._asked())

    def settled(self) -> "Event":
        """
        Give the event as it is now: with what it tells as JSON types, where it holds
        objects, which may change before it is told.
        """
        data = {name: it for name, it in self.data.items() if type(it) is not Usage}
        if not has_objects(data):
            return self
        made = copy(self)
        made.data = {**self.data, **jsonable(data, memo=self._asked())}
        return made

    def _asked(self) -> "Memo":
        """
        Give what objects in it said of themselves, so that none is asked twice.
        """
        if self._memo is None:
            self._memo = {}
        return self._memo

    def _fields(self) -> "dict[str, Any]":
        data = self.data
        usage = data.get("usage")
        if type(usage) is Usage:
            data = {**data, "usage": usage.to_dict()}
        parent = self.parent_run_id
        described: dict[str, Any] = {"tags": self.tags, "metadata": self.metadata}
        if self.event == TOKEN and not (self.tags or self.metadata):
            described = {}
        return {
            "v": self.v,
            "event": self.event,
            "seq": self.seq,
            "time_ns": self.time_ns,
            "trace_id": str(self.trace_id),
            "run_id": str(self.run_id),
            "parent_run_id": None if parent is None else str(parent),
            "kind": self.kind,
            "name": self.name,
            **described,
            "data": data,
            **self.extra,
        }

    @classmethod
    def from_json(cls, line: "str | bytes") -> "Event":
        """
        Read what `to_json` wrote; a field that is not known is kept in ``extra``.

        Raises:
            EventFormatError: For half a line, another version, or a field missing or
                of the wrong type.
        """
        import json

        try:
            fields = json.loads(line)
        except (ValueError, RecursionError) as exc:
            message = f"not an event: {_text.safe_repr(line)} is no whole line of JSON"
            raise _refused(message) from exc
        if not isinstance(fields, dict):
            message = f"not an event: {_text.safe_repr(line)} is no JSON object"
            raise _refused(message)
        if fields.get("v") != VERSION or fields["v"] is True:
            message = (
                f"an event of version {fields.get('v')!r}; this release reads version"
                f" {VERSION}. Read it with the release that wrote it."
            )
            raise _refused(message)
        return cls._from_fields(fields)

    @classmethod
    def _from_fields(cls, fields: "dict[str, Any]") -> "Event":
        if fields.get("event") == TOKEN:
            fields = {"tags": [], "metadata": {}, **fields}
        known = {name: _checked(name, fields) for name in _FIELDS}
        made = cls(known.pop("event"), **known)
        made.extra = {
            name: value
            for name, value in fields.items()
            if name not in known and name not in ("v", "event")
        }
        return made


def _refused(message: str) -> Exception:
    from instrument.exceptions import EventFormatError  # which waits for the root first

    return EventFormatError(message)


_TYPES: "Mapping[str, tuple[type, ...]]" = {
    "event": (str,),
    "seq": (int,),
    "time_ns": (int,),
    "trace_id": (str,),
    "run_id": (str,),
    "parent_run_id": (str, type(None)),
    "kind": (str,),
    "name": (str,),
    "tags": (list,),
    "metadata": (dict,),
    "data": (dict,),
}


def _checked(name: str, fields: "dict[str, Any]") -> "Any":
    if name not in fields:
        message = f"not an event: the field {name!r} is missing"
        raise _refused(message)
    value = fields[name]
    if not isinstance(value, _TYPES[name]) or isinstance(value, bool):
        message = f"not an event: {name!r} cannot be {_text.safe_repr(value)}"
        raise _refused(message)
    if not name.endswith("_id") or value is None:
        return value
    try:
        return UUID(str(value))
    except ValueError as exc:
        message = f"not an event: {name!r} is no UUID: {_text.safe_repr(value)}"
        raise _refused(message) from exc


def _counted(name: str, value: "Any") -> "Any":
    allowed = (int, float) if name == "cost_usd" else (int,)
    kind = type(value)
    if not issubclass(kind, allowed) or kind is bool:
        shown = _text.safe_repr(value)
        message = f"Usage: {name} must be a number or None, not {shown}"
        raise TypeError(message)
    exact: Any = float if issubclass(kind, float) else int  # one may compare in its way
    value = value if kind is exact else exact.__pos__(value)
    if not value >= 0:
        message = f"Usage: {name} cannot be negative or nan: {value!r}"
        raise ValueError(message)
    return min(value, _MOST)


def has_objects(data: "dict[str, Any]") -> bool:
    """
    Tell whether there is more in it than Python's own containers, texts and numbers.
    """
    left: list[Any] = [data]
    for _ in range(NODE_LIMIT):
        if not left:
            return False
        it = left.pop()
        kind = type(it)
        if kind is dict:
            left += [key for key in it if type(key) is not str]
            left += it.values()
        elif kind is list or kind is tuple:
            left += it
        elif id(kind) not in NAME_TYPES:
            return True
    return True
