"""
`Told`: what is told of a run to those who know spans, taken where it happens.

What a run was called with and what came out is written as JSON at once: it may be changed
the moment after. Who reads it may be in another thread, and reads it when it has the time.
"""

import json

from instrument import _ids
from instrument._payloads.jsonable import encoded, jsonable
from instrument._payloads.redact import asked_for, error_of, traceback_text
from instrument._text import cut, safe_repr, type_of
from instrument.handlers._shared.checks import checked_size
from instrument.handlers._shared.values import asked_by

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from instrument._audience.sampling import Incoming
    from instrument._payloads.jsonable import Memo
    from instrument._runs.run import Run

LIMIT = 32_000
"""How many characters one field of a payload has at most, if nothing else is said."""

_FIELDS = 8  # how many of them all that went in, or came out, may fill
_LONGEST_NAME = 1_000
_MOST_TAGS = 100
_MOST_EVENTS = 128
_UNPAID = ("model", "provider", "finish_reason", "response_id", "vectors")
"""What is no payload of what a model is asked and answers."""
_SMALLER = ((10_000, 4), (1_000, 16), (200, 64), (20, 64))
"""Ever fewer values, and an ever smaller share of the whole for one text."""
_module_of: "Any" = type.__dict__["__module__"].__get__


class Failure:
    """
    An exception that a run ended with.

    Attributes:
        type: With its module, but for Python's own.
        message: As it may be seen; empty where it may not.
        stack: The traceback, without local values; None where it only passed through.
    """

    __slots__ = ("message", "stack", "type")

    def __init__(self, run: "Run", exc: BaseException) -> None:
        module = _module_of(type(exc))
        name = type_of(exc)
        self.type = name if module == "builtins" else f"{module}.{name}"
        self.message = cut(error_of(run) or "", LIMIT)
        self.stack = traceback_text(run)


class Told:
    """
    A run, as those are told of it who know spans.

    Args:
        run: A run that starts.
        limit: How many characters of a field are kept; 0 for no payload at all.
        parent: The run above it that was told as well.

    Attributes:
        parent_hex: The id of the span above it, here or where the trace came from.
        is_remote: Whether that is in another process.
        unheard_parent: The id of the run above it that was not told.
        asked, answered: What went in, and came out, as records have it.
        request_model, model: The model that was asked for, and that has answered.
        ended_ns: None while it runs.
        lost_events: How many found no place.
    """

    __slots__ = (
        "_answered",
        "_asked",
        "_came",
        "_id",
        "_metadata",
        "_parent_id",
        "_redactors",
        "_root_id",
        "_seen",
        "_usage",
        "description",
        "ended_ns",
        "events",
        "failure",
        "first_token_s",
        "is_remote",
        "kind",
        "limit",
        "lost_events",
        "model",
        "name",
        "provider",
        "request_model",
        "started_ns",
        "status",
        "tags",
        "unheard_parent",
    )

    def __init__(self, run: "Run", limit: int, parent: "Run | None") -> None:
        self.limit = limit
        self.kind: str = _short(run.kind)
        self.name: str = _short(run.name)
        root = run._root_run()
        self._id, self._root_id = run.id, root.id
        self._came = root._audience.incoming
        self._parent_id = None if parent is None else parent.id
        self.is_remote = parent is None and _is_above(self._came, run)
        self.unheard_parent: str | None = None
        if parent is None and run.parent_id is not None and not self.is_remote:
            self.unheard_parent = str(run.parent_id)
        self.started_ns = run.started_at
        self.ended_ns: int | None = None
        self.status = "running"
        self.failure: Failure | None = None
        self.tags: list[str] = []
        self._usage = run._usage
        self.first_token_s: float | None = None
        self.events: list[tuple[str, int, str]] = []
        self.lost_events = 0
        self._redactors = run._audience.redactors
        self._asked = _captured(_asked_of(run, limit), limit, asked_by(run))
        self._seen = id(run._inputs)  # itself it may hold what keeps the run alive
        self._answered = self._metadata = "{}"
        self.request_model = self.model = _short(run.model)
        self.provider = _short(run.provider)
        self.description = _short(run._description, LIMIT)

    def ends(self, run: "Run") -> None:
        """
        Take how it ended, and what came out.
        """
        exc = run.error
        self.ended_ns = self.started_ns + max(round(run.duration_s * 1e9), 0)
        self.status = run.status
        self.name, self.tags = _short(run.name), _tags_of(run)
        self.model, self.provider = _short(run.model), _short(run.provider)
        self._usage = run.usage
        self.first_token_s = run.time_to_first_token_s
        self.description = _short(run._description, LIMIT)
        memo = asked_for(self._redactors)
        if self._seen != id(run._inputs):  # told anew, as of a stream of LangChain's
            self._asked = _captured(_asked_of(run, self.limit), self.limit, memo)
        if exc is not None and run.status == "error":
            self.failure = Failure(run, exc)
        if exc is None or run.outputs is not None or run._answer is not None:
            self._answered = _captured(_answered_of(run, self.limit), self.limit, memo)
        if run._described:
            self._metadata = _captured(run.metadata.copy(), self.limit, memo)

    def happens(self, name: str, data: "dict[str, Any]") -> None:
        """
        Note an event of a run that goes on.
        """
        if len(self.events) >= _MOST_EVENTS:
            self.lost_events += 1
            return
        memo = asked_for(self._redactors)
        text = _captured(data if self.limit else {}, self.limit, memo)
        self.events.append((_short(name), _ids.wall_ns(), text))

    # what is asked for in another thread is made there

    @property
    def run_id(self) -> str:
        return str(self._id)

    @property
    def span_hex(self) -> str:
        return _ids.span_hex_of(self._id)

    @property
    def trace_hex(self) -> str:
        came = None if self._came is None else self._came.trace_hex
        return came or _ids.trace_hex_of(self._root_id)

    @property
    def parent_hex(self) -> str | None:
        if self._parent_id is not None:
            return _ids.span_hex_of(self._parent_id)
        return self._came.span_hex if self.is_remote and self._came else None

    @property
    def usage(self) -> "dict[str, int | float]":
        return self._usage.to_dict()

    @property
    def size(self) -> int:
        """
        How many characters it has, but for what all have.
        """
        texts = (self._asked, self._answered, self._metadata)
        return sum(map(len, texts)) + sum(len(text) for _, _, text in self.events)

    @property
    def asked(self) -> "dict[str, Any]":
        return json.loads(self._asked)  # type: ignore[no-any-return]

    @property
    def answered(self) -> "dict[str, Any]":
        return json.loads(self._answered)  # type: ignore[no-any-return]

    @property
    def metadata(self) -> "dict[str, Any]":
        return json.loads(self._metadata)  # type: ignore[no-any-return]

    def without_events(self) -> None:
        """
        Leave out what happened meanwhile: there is no place for it.
        """
        self.lost_events += len(self.events)
        self.events = []

    def without_payload(self) -> None:
        """
        Leave out what went in and came out, but for what is told without any.
        """
        self._asked, self._answered = (
            encoded({name: told[name] for name in _UNPAID if name in told})
            for told in (self.asked, self.answered)
        )
        self.without_events()


def _is_above(came: "Incoming | None", run: "Run") -> bool:
    """
    Tell whether what *came* in is the span above *run*: a root's, or that of the run
    whose child it is by a carrier.
    """
    if came is None or came.span_hex is None:
        return False
    return run.parent_id is None or _ids.span_hex_of(run.parent_id) == came.span_hex


def _short(text: "Any", most: int = _LONGEST_NAME) -> "Any":
    return cut(text, most) if issubclass(type(text), str) else None


def _tags_of(run: "Run") -> "list[str]":
    tags = run.tags
    told = [_short(it) for it in tags[:_MOST_TAGS]]
    more = len(tags) - _MOST_TAGS
    return told if more <= 0 else [*told, f"… {more:,} more tags"]


def within(value: "Any", limit: int) -> str:
    """
    Write *value*, of JSON types, as JSON of about that many characters at most, which
    is valid still; a text as it is.
    """
    if type(value) is str:
        return value if len(value) <= limit else _cut(value, limit)
    text = _json(value)
    for nodes, share in _SMALLER:
        if len(text) <= limit:
            return text
        text = _json(jsonable(value, nodes=nodes, text=limit // share))
    return text if len(text) <= limit else _json(_cut(text, limit // 2))


def _captured(data: "dict[str, Any]", limit: int, memo: "Memo | None" = None) -> str:
    """
    Write *data* as JSON at once, with some fields' worth of text at most.
    """
    text = encoded(data, memo)
    most = (limit or LIMIT) * _FIELDS
    if len(text) <= most:
        return text
    text = within(json.loads(text), most)
    return text if text.endswith("}") else encoded({"…": text})


def _asked_of(run: "Run", limit: int) -> "dict[str, Any]":
    if limit:
        return run._kind.start_data(run)
    if not run._kind.is_model:
        return {}
    params = {
        name: value for name, value in run.params.items() if name not in _PAYLOAD_PARAMS
    }
    return {"params": params}


_PAYLOAD_PARAMS = ("tools", "functions", "instructions", "system", "response_format")


def _answered_of(run: "Run", limit: int) -> "dict[str, Any]":
    told = run._kind.end_data(run)
    return told if limit else {name: told[name] for name in _UNPAID if name in told}


def _json(value: "Any") -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _cut(text: str, limit: int) -> str:
    return cut(text, max(limit - len("… [1,000,000 more characters]"), 0))


def checked_limit(what: str, payload: object) -> int:
    """
    Give how many characters of a field are told: 0 for none of it.

    Raises:
        TypeError: If *payload* is neither a bool nor an int.
        ValueError: If it is less than 1.
    """
    if isinstance(payload, bool):
        return LIMIT if payload else 0
    if not isinstance(payload, int):
        message = (
            f"{what} is True, False or a number of characters, not"
            f" {safe_repr(payload)}."
        )
        raise TypeError(message)
    return checked_size(what, payload)
