"""
The records of a store, as they were told, and all that they say of one run.
"""

from instrument._payloads.event import TOKEN, VERSION
from instrument.handlers._store.facts import tags_in
from instrument.handlers._store.shapes import cuts_in
from instrument.handlers._store.tables import loaded, payload

TYPE_CHECKING = False
if TYPE_CHECKING:
    import sqlite3
    from typing import Any

_MOST_EVENTS = 2_000
_START = (*("inputs", "messages", "prompts", "query", "texts", "params"),)
_END = (
    *("text", "reasoning", "tool_calls", "documents", "vectors", "finish_reason"),
    *("response_id", "usage", "files", "server_tool_calls"),
)


class Records:
    """
    Reads the records of one request.
    """

    def __init__(
        self, connection: "sqlite3.Connection", trace_id: str, key: int
    ) -> None:
        self._connection, self._trace_id, self._key = connection, trace_id, key

    def read(self, after: int, limit: int) -> "list[tuple[int, dict[str, Any]]]":
        """
        Give those behind a cursor.
        """
        rows = self._connection.execute(
            "SELECT events.id, event, time_ns, seq, data, described, runs.run_id,"
            " runs.parent_run_id, runs.kind, runs.name, runs.id"
            " FROM events JOIN runs ON runs.id = events.run"
            " WHERE runs.trace = ? AND events.id > ? ORDER BY events.id LIMIT ?",
            (self._key, after, limit),
        ).fetchall()
        described: dict[int, str | None] = {}
        return [(row[0], self._record(row, described)) for row in rows]

    def _record(
        self, row: "tuple[Any, ...]", known: "dict[int, str | None]"
    ) -> "dict[str, Any]":
        _, event, time_ns, seq, data, described, run_id, parent, kind, name, run = row
        made = {"v": VERSION, "event": event, "seq": seq, "time_ns": time_ns}
        made |= {"trace_id": self._trace_id, "run_id": run_id, "parent_run_id": parent}
        made |= {"kind": kind, "name": name}
        if event != TOKEN:
            if described is None and not event.endswith("_start"):
                if run not in known:
                    known[run] = _first_described(self._connection, run)
                described = known[run]
            elif event.endswith("_start"):
                known[run] = described
            told = loaded(described) if described else {}
            made["tags"] = told.get("tags", [])
            made["metadata"] = told.get("metadata", {})
            made |= told.get("extra", {})
        made["data"] = loaded(payload(data) or "{}")
        return made


def whole_run(
    connection: "sqlite3.Connection", key: int, bone: "dict[str, Any]", began_ns: int
) -> "dict[str, Any]":
    """
    Give all that is known of one run.

    Args:
        bone: What the tree says of it.
        began_ns: When it started.
    """
    made = _Whole(bone, began_ns)
    rows = connection.execute(
        "SELECT id, event, time_ns, data, described FROM events WHERE run = ?"
        " ORDER BY id",
        (key,),
    )
    for cursor, event, time_ns, data, described in rows:
        made.hears(cursor, event, time_ns, loaded(payload(data) or "{}"))
        if described is not None:
            made.is_described(loaded(described or "{}"))
    return made.told()


class _Whole:
    """
    All of one run, while its events are read.
    """

    def __init__(self, bone: "dict[str, Any]", began_ns: int) -> None:
        self._made = bone | {"tags": [], "metadata": {}, "started_ms": began_ns / 1e6}
        self._began_ns = began_ns
        self._events: list[dict[str, Any]] = []
        self._more = self._cursor = 0
        self._pieces: dict[str, list[str]] = {"text": [], "reasoning": []}
        self._cuts: list[dict[str, Any]] = []

    def hears(
        self, cursor: int, event: str, time_ns: int, data: "dict[str, Any]"
    ) -> None:
        self._cursor = cursor
        if len(self._events) < _MOST_EVENTS:
            at_ms = max(time_ns - self._began_ns, 0) / 1e6
            self._events.append({"at_ms": at_ms, "event": event, "data": data})
        else:
            self._more += 1
        if event == TOKEN:
            self._pieces.get(data.get("channel") or "text", []).append(
                str(data.get("token") or "")
            )
        elif event.endswith("_start"):
            self._takes(data, _START)
        elif event.endswith(("_end", "_error")):
            self._takes(data, _END)
            self._ends(data, failed=event.endswith("_error"))

    def is_described(self, told: "dict[str, Any]") -> None:
        self._made |= {
            "tags": tags_in(told),
            "metadata": told.get("metadata", {}),
        }

    def told(self) -> "dict[str, Any]":
        made = self._made
        for name, pieces in self._pieces.items():
            if pieces and name not in made:
                made[name] = "".join(pieces)
        made["events"] = self._events + ([{"more": self._more}] if self._more else [])
        made["cursor"] = self._cursor
        if self._cuts:
            made["cut"] = self._cuts
        return made

    def _takes(self, data: "dict[str, Any]", names: "tuple[str, ...]") -> None:
        for name in names:
            if data.get(name) not in (None, {}, []):
                self._made[name] = data[name]
        self._cuts += cuts_in({name: data[name] for name in names if name in data})

    def _ends(self, data: "dict[str, Any]", *, failed: bool) -> None:
        for name in ("outputs", "output"):
            if data.get(name) is not None:
                self._made["outputs"] = data[name]
                self._cuts += cuts_in(data[name], "outputs")
        if not failed:
            return
        error = {"type": data.get("type"), "message": data.get("message") or ""}
        if type(data.get("traceback")) is str:
            error["traceback"] = data["traceback"]
        self._made["error"] = error | {"origin": bool(data.get("origin"))}


def _first_described(connection: "sqlite3.Connection", run: int) -> str | None:
    found = connection.execute(
        "SELECT described FROM events WHERE run = ? ORDER BY id LIMIT 1", (run,)
    ).fetchone()
    return None if found is None else found[0]
