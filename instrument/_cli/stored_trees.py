"""
A stored request as the tree that `TreeHandler` shows: its records are told to the same
forest, and written by the same rows.
"""

from contextlib import suppress
from uuid import UUID

from instrument import _ids
from instrument._payloads.event import TOKEN
from instrument._payloads.messages import string
from instrument.exceptions import StoreError
from instrument.handlers._shared.open_runs import ID, MODELS
from instrument.handlers._shared.values import came_out, counted_error, value, went_in
from instrument.handlers._store.facts import usage_in
from instrument.handlers._tree.forest import Ended, Started, Trees

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Protocol

    from instrument.handlers._shared.style import Marks
    from instrument.handlers._store.reader import Reader
    from instrument.handlers._tree.forest import Forest, Tree

    class Shows(Protocol):
        def __call__(self, change: "Callable[..., None]", *facts: Any) -> None: ...


PAYLOAD = 120
_ERROR = 10_000
_EVENT = 40
_PAGE = 10_000
_MS = 1_000_000
_ODD = (AttributeError, LookupError, OverflowError, TypeError, ValueError)


def stored_tree(
    reader: "Reader",
    request: "dict[str, Any]",
    marks: "Marks",
    read: "Callable[[dict[str, Any]], dict[str, Any]] | None" = None,
) -> "Tree":
    """
    Give the tree of a request as it is now.

    Args:
        request: Its row, as the reader gives it.
        read: Gives of a record what of it may be told.

    Raises:
        StoreError: If there is no record of it that can be read.
    """
    trees = Trees()
    replay = Replay(reader, request, marks, trees.plant(PAYLOAD), read=read)
    replay.tell_more()
    found = [*trees.done, *trees.running]
    if not found:
        message = f"of request {request['hex'][:ID]} there is nothing that can be read"
        raise StoreError(message)
    return found[0]


class Replay:
    """
    Tells the records of a request to a forest.

    Args:
        shows: Calls what it is given with what follows: a display notes it instead.
        read: Gives of a record what of it may be told.
    """

    def __init__(
        self,
        reader: "Reader",
        request: "dict[str, Any]",
        marks: "Marks",
        forest: "Forest",
        shows: "Shows | None" = None,
        read: "Callable[[dict[str, Any]], dict[str, Any]] | None" = None,
    ) -> None:
        self._reader = reader
        self._trace_id: str = request["trace_id"]
        self._hex = request["hex"][:ID]
        self._root_id = UUID(request["run_id"])
        self._marks = marks
        self._forest = forest
        self._shows = shows or _call
        self._read = read or _as_it_is
        self._cursor = 0
        self._rows: dict[str, dict[str, Any]] = {}
        self._changed = 0
        self._firsts: dict[str, int] = {}
        self._began: dict[str, int] = {}
        self._last_ns = 0
        # what is told has the clock of the wall, and what runs is measured by another
        self._off_ns = _ids.clock_ns() - _ids.wall_ns()

    def tell_more(self) -> None:
        """
        Tell what has been stored since the last time.
        """
        with self._reader.at_one_state():  # an end has its row, and the row its end
            self._tell_stored()

    def _tell_stored(self) -> None:
        changed, self._changed = self._reader.skeleton(
            self._trace_id, after=self._changed
        )
        self._rows |= {row["run_id"]: row for row in changed}
        while True:
            found = self._reader.events(self._trace_id, after=self._cursor, limit=_PAGE)
            for self._cursor, record in found:
                with suppress(*_ODD):  # of a file that others wrote
                    self._tell(self._read(record))
            if len(found) < _PAGE:
                break
        for row in changed:
            # lost, or an event of no run: no end of it will be told
            if row["status"] != "running" and "duration_ms" not in row:
                run_id, end = UUID(row["run_id"]), Ended(row["status"], self._last_ns)
                self._shows(self._forest.end, run_id, end)

    def _tell(self, record: "dict[str, Any]") -> None:
        event, data, run_id = record["event"], record["data"], UUID(record["run_id"])
        now_ns = record["time_ns"] + self._off_ns
        self._last_ns = now_ns
        forest = self._forest
        is_start = event.endswith("_start")
        if is_start or record["run_id"] not in self._began:  # or of which it is gone
            self._tell_start(record, now_ns)
        if event == TOKEN:
            first_ns = self._firsts.setdefault(record["run_id"], now_ns)
            text = string(data.get("token")) or ""
            channel, count = string(data.get("channel")) or "text", data.get("count")
            count = count if type(count) is int else 1
            facts = first_ns, now_ns, text, channel, count
            self._shows(forest.token, run_id, *facts)
        elif event.endswith(("_end", "_error")):
            self._shows(forest.end, run_id, self._ended(record, now_ns))
        elif event == "on_retry":
            self._shows(forest.retry, run_id, str(data.get("attempt")))
        elif event == "on_custom_event":
            self._shows(forest.tell, run_id, self._event(data))

    def _tell_start(self, record: "dict[str, Any]", now_ns: int) -> None:
        self._began[record["run_id"]] = now_ns
        parent = record["parent_run_id"]
        ids = UUID(record["run_id"]), parent and UUID(parent), self._root_id
        self._shows(self._forest.start, *ids, self._started(record, now_ns))

    def _started(self, record: "dict[str, Any]", now_ns: int) -> Started:
        kind, data = record["kind"], record["data"]
        model = string(data.get("model")) if kind in MODELS else None
        name = name_of(kind, record["name"], model, data.get("provider"))
        given = self._marks.cropped(went_in(data, self._marks), PAYLOAD)
        return Started(
            self._marks.name(kind),
            self._marks.name(name),
            self._hex,
            kind in MODELS,
            model or "",
            given,
            now_ns,
        )

    def _ended(self, record: "dict[str, Any]", now_ns: int) -> Ended:
        data, row = record["data"], self._rows.get(record["run_id"], {})
        status = string(data.get("status")) or "ok"
        error, came = None, ""
        if status == "error":
            kind, message = str(data.get("type")), str(data.get("message") or "")
            shown = counted_error(message, _ERROR) if data.get("origin") else ""
            lines = [self._marks.shown(line) for line in shown.splitlines()]
            error = self._marks.name(kind), lines
        else:
            came = self._marks.cropped(came_out(data, self._marks), PAYLOAD)
            if came == "''" and status != "ok":  # it was left before it said any
                came = ""
        if "duration_ms" in row:
            took_ns = int(row["duration_ms"] * _MS)
            now_ns = self._began[record["run_id"]] + took_ns
        return Ended(
            status,
            now_ns,
            row.get("model") or "",
            usage_in(data),
            row.get("cost_usd"),
            came,
            error,
            hash((str(data.get("type")), str(data.get("message")))),
            error is not None and bool(data.get("origin")),
        )

    def _event(self, data: "dict[str, Any]") -> str:
        told = self._marks.name(str(data.get("name")))
        if data.get("data") is None:
            return told
        shown = self._marks.cropped(value(data["data"], self._marks), _EVENT)
        return f"{told} {shown}"


def name_of(kind: str, name: str, model: object, provider: object = None) -> str:
    """
    Name a run of which no more is known than what was recorded: a model's by the model
    that it was asked for, where its name is only a framework's class or operation.
    """
    if kind not in MODELS or not isinstance(model, str) or not model:
        return name
    is_class = name.isidentifier() and name[:1].isupper()
    is_operation = name.partition(".")[0] == provider
    return model if is_class or is_operation else name


def _call(change: "Callable[..., None]", *facts: "Any") -> None:
    change(*facts)


def _as_it_is(record: "dict[str, Any]") -> "dict[str, Any]":
    return record
