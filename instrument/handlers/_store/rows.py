"""
The rows of runs and requests, as events change them.
"""

import json
from operator import attrgetter

from instrument.handlers._store.facts import (
    answered_in,
    asked_in,
    hint_in,
    line,
    message,
    plain,
    tags_in,
    usage_in,
)
from instrument.handlers._store.tables import RUNS, TRACES
from instrument.handlers._store.told import LARGEST, bounded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from instrument.handlers._store.told import Told

_MODELS = ("llm", "chat_model")
_COUNTED = (*_MODELS, "embedding")
_MOST_NAMES = 200
"""How many names and models of one request are told apart in its row."""
_MOST_MARKS = 50
_MOST_TEXTS = 2_000
_LONGEST_NAME = 1_000
_USAGE = {
    "input_tokens": "input_tokens",
    "cached_tokens": "cache_read_tokens",
    "output_tokens": "output_tokens",
    "reasoning_tokens": "reasoning_tokens",
    "cost_usd": "cost_usd",
}
SUMS = (
    *("runs", "errors", "retries", "model_calls", "unpriced"),
    *("input_tokens", "output_tokens", "cost_usd"),
)


class RunRow:
    """
    One run's row; its attributes are the columns.

    Attributes:
        described: What its start said of tags and metadata.
        in_trace: The row of its request.
    """

    if TYPE_CHECKING:  # its columns
        first_token_ms: Any
        marks: Any
        retries: Any

        def __getattr__(self, name: str) -> Any: ...

        def __setattr__(self, name: str, value: Any) -> None: ...

    def __init__(self, told: "Told", key: int, trace: "TraceRow", process: int) -> None:
        self.id, self.trace, self.process = key, trace.id, process
        self.in_trace = trace
        self.run_id = str(told.run_id)
        above = told.parent_run_id
        self.parent_run_id = None if above is None else str(above)
        self.kind, self.name = short(told.kind), short(told.name)
        self.status = "running"
        self.started_ns = told.started_ns
        self.asked_model: str | None = None
        self.described = ""

    @classmethod
    def read(cls, values: "tuple[Any, ...]", trace: "TraceRow") -> "RunRow":
        """
        Make one of what the table has.
        """
        made = object.__new__(cls)
        for name, value in zip(RUNS, values, strict=True):
            setattr(made, name, value)
        made.described, made.in_trace = "", trace
        made.asked_model = made.model
        return made

    def values(self) -> "tuple[Any, ...]":
        return _values_of_run(self)  # type: ignore[no-any-return]

    def is_described(self, described: str) -> None:
        """
        Take tags and metadata.
        """
        told = json.loads(described) if described else {}
        tags, metadata = tags_in(told), told.get("metadata")
        self.tags = _json(tags) if tags else None
        self.metadata = _json(metadata) if metadata else None

    def starts(self, data: "dict[str, Any]") -> str:
        """
        Take what it was called with, and give that as text.
        """
        self.model = self.asked_model = _name(data.get("model"))
        self.provider = _name(data.get("provider"))
        text = asked_in(data)
        self.said = line(text)
        return text

    def ends(self, data: "dict[str, Any]", *, failed: bool) -> str:
        """
        Take how it ended, and give what came out as text.
        """
        self.status = plain(str(data.get("status") or ("error" if failed else "ok")))
        self.duration_ms = _ms(data.get("duration_s"))
        first = _ms(data.get("time_to_first_token_s"))
        self.first_token_ms = self.first_token_ms if first is None else first
        self.model = _name(data.get("model")) or self.model
        self.finish = _name(data.get("finish_reason"))
        usage = usage_in(data)
        for column, field in _USAGE.items():
            count = getattr(usage, field)
            setattr(self, column, count if count is None else bounded(count))
        self.hint = hint_in(data)
        text = answered_in(data)
        self.answered = line(text)
        if failed and self.status == "error":
            self.is_origin = int(bool(data.get("origin")))
            self.error_type = short(str(data.get("type") or "Exception"))
            self.error_message = message(str(data.get("message") or ""))
            text = f"{text}\n{self.error_type}: {data.get('message') or ''}"
        return text

    def is_marked(self, told: "Told", data: "dict[str, Any]", kind: str) -> None:
        """
        Note that it is tried again, or what the application told.
        """
        if kind == "retry":
            self.retries = (self.retries or 0) + 1
        marks = json.loads(self.marks) if self.marks else []
        if len(marks) < _MOST_MARKS:
            at_ms = max(told.time_ns - self.started_ns, 0) / 1e6
            name = {"name": short(str(data.get("name")))} if kind == "custom" else {}
            self.marks = _json([*marks, {"at_ms": at_ms, "kind": kind, **name}])

    @property
    def is_model(self) -> bool:
        return self.kind in _MODELS

    @property
    def is_counted(self) -> bool:
        """
        Whether it consumes tokens.
        """
        return self.kind in _COUNTED


class TraceRow:
    """
    One request's row: what its root says, and the sums, of which only what is new is held.
    """

    if TYPE_CHECKING:  # its columns
        error_type: Any
        first_token_ms: Any
        root: Any

        def __getattr__(self, name: str) -> Any: ...

        def __setattr__(self, name: str, value: Any) -> None: ...

    def __init__(self, told: "Told", key: int, trace_hex: str) -> None:
        self.id, self.trace_id, self.trace_hex = key, str(told.trace_id), trace_hex
        self.status, self.started_ns = "running", told.started_ns
        self.names, self.models = "[]", "[]"
        self.open_runs = self.version = self.changed = 0
        self.uuid = told.trace_id
        self._texts: set[int] = set()
        self._begin()

    def take(self, values: "tuple[Any, ...]") -> None:
        """
        Take what the table has.
        """
        for name, value in zip(TRACES, values, strict=True):
            setattr(self, name, value)
        self._begin()

    def _begin(self) -> None:
        self.news: dict[str, Any] = _nothing_new()
        self._names: dict[str, None] = dict.fromkeys(json.loads(self.names))
        self._models: dict[str | None, None] = dict.fromkeys(json.loads(self.models))

    def starts(self, run: RunRow) -> None:
        """
        Hear that a run of it starts.
        """
        self.news["runs"] += 1
        self.open_runs += 1
        self.news["model_calls"] += run.is_model
        if self.root is None or run.run_id == self.trace_id:
            self._is_rooted(run)
        self.hears_of(run)

    def goes_on(self, run: RunRow) -> None:
        """
        Hear that a run of it has changed.
        """
        if run.id == self.root:
            self._is_rooted(run)

    def ends(self, run: RunRow) -> None:
        """
        Hear that a run of it has ended.
        """
        self.open_runs -= 1
        if run.model != run.asked_model:  # the one that has answered counts
            self._models.pop(run.asked_model, None)
        self.hears_of(run)
        if run.is_origin:
            self.news["errors"] += 1
            self.error_type, self.error_message = run.error_type, run.error_message
            self.error_name, self.error_run_id = run.name, run.run_id
        elif run.id == self.root and run.status == "error" and not self.error_type:
            self.error_type, self.error_message = run.error_type, run.error_message
        if run.is_counted:
            for name in SUMS[-3:]:
                self.adds(name, getattr(run, name))
            self.news["unpriced"] += run.is_priced == 0
        self.goes_on(run)

    def adds(self, name: str, value: "Any") -> None:
        """
        Add to a sum what is known.
        """
        if value is not None:
            self.news[name] = (self.news[name] or 0) + value

    def tells(self, run: RunRow) -> None:
        """
        Hear of the first token of a run.
        """
        if self.first_token_ms is None:
            began_ms = (run.started_ns - self.started_ns) / 1e6
            self.first_token_ms = max(began_ms + run.first_token_ms, 0)

    def is_news(self, text: str) -> bool:
        """
        Tell whether a text is said in it for the first time.
        """
        mark = hash(text)
        if mark in self._texts or len(self._texts) >= _MOST_TEXTS:
            return mark not in self._texts
        self._texts.add(mark)
        return True

    def taken(self) -> "dict[str, Any]":
        """
        Give the sums of what is new, as SQLite has them, and begin anew with them.
        """
        news, self.news = self.news, _nothing_new()
        return {name: it if it is None else bounded(it) for name, it in news.items()}

    def _is_rooted(self, run: RunRow) -> None:
        self.root, self.run_id, self.process = run.id, run.run_id, run.process
        self.kind, self.name, self.status = run.kind, run.name, run.status
        self.started_ns, self.duration_ms = run.started_ns, run.duration_ms
        self.said, self.answered = run.said, run.answered
        self.tags = run.tags
        metadata = json.loads(run.metadata) if run.metadata else {}
        user = metadata.get("user_id", metadata.get("user"))
        self.user = None if user is None else short(str(user))

    def hears_of(self, run: RunRow) -> None:
        """
        Take its name and its model to those that it knows.
        """
        if run.name not in self._names and len(self._names) < _MOST_NAMES:
            self._names[run.name] = None
            self.names = _json([*self._names])
        model = run.model if run.is_counted else None
        if model and model not in self._models and len(self._models) < _MOST_NAMES:
            self._models[model] = None
            self.models = _json([*self._models])


def _nothing_new() -> "dict[str, Any]":
    return dict.fromkeys(SUMS[:-3], 0) | dict.fromkeys(SUMS[-3:])


for _row, _columns in ((RunRow, RUNS), (TraceRow, TRACES)):
    for _name_of_column in _columns:  # to set all for each would take as long again
        setattr(_row, _name_of_column, None)
_values_of_run: "Any" = attrgetter(*RUNS)


def short(text: str) -> str:
    """
    Give a name as a column has it.
    """
    return plain(text[:_LONGEST_NAME])


def _name(value: object) -> str | None:
    return short(value) if type(value) is str and value else None


def _ms(seconds: "Any") -> float | None:
    if type(seconds) not in (int, float) or not 0 <= seconds <= LARGEST:
        return None  # others write what is none
    return float(seconds * 1e3)


def _json(value: object) -> str:
    return plain(json.dumps(value, ensure_ascii=False, separators=(",", ":")))
