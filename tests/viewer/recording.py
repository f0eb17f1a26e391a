"""
How a request is recorded for the tests of its view, and the server that answers with it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.viewer.canned_page import Answer, Canned
else:
    Answer = import_module("canned_page").Answer
    Canned = import_module("canned_page").Canned

DATA: Any = import_module("canned_data")
Row = dict[str, Any]
SKELETON = {
    *("run_id", "parent_run_id", "seq", "kind", "name", "status", "start_ms"),
    *("duration_ms", "first_token_ms", "model", "provider", "input_tokens"),
    *("cached_tokens", "output_tokens", "reasoning_tokens", "cost_usd", "error_type"),
    *("error_message", "origin", "passed_on", "retries", "marks", "hint", "finish"),
}
Request = tuple[Row, list[Row]]


class Recording:
    """
    One request in the making: `add` its runs, then `done`.
    """

    def __init__(self, trace_id: str, ago_ms: float = 42_000) -> None:
        self.trace_id = trace_id
        self.started_ms = DATA.NOW_MS - ago_ms
        self.runs: list[Row] = []

    def add(
        self,
        parent: Row | None,
        kind: str,
        name: str,
        at: float,
        to: float | None,
        **more: Any,
    ) -> Row:
        """
        Add a run from *at* to *to* ms after the start; None: it still runs.
        """
        run: Row = DATA.known(
            run_id=f"{self.trace_id}-{len(self.runs)}",
            parent_run_id=parent["run_id"] if parent else None,
            seq=len(self.runs),
            kind=kind,
            name=name,
            status="running" if to is None else "ok",
            start_ms=at,
            duration_ms=None if to is None else to - at,
        )
        run |= {"tags": [], "metadata": {}, "started_ms": self.started_ms + at}
        run |= more
        self.runs.append(run)
        return run

    def fail(
        self, run: Row, kind: str, message: str, *, traceback: str | None = None
    ) -> None:
        """
        Have a run fail: with a traceback where the error began, else where it passed.
        """
        origin = traceback is not None
        run |= {"status": "error", "error_type": kind, "error_message": message}
        run["origin" if origin else "passed_on"] = True
        run["error"] = {"type": kind, "message": message, "origin": origin}
        run.pop("outputs", None)
        if traceback:
            run["error"]["traceback"] = traceback

    def done(self, **more: Any) -> Request:
        """
        Give the row of the list and all runs.
        """
        root = self.runs[0]
        for run in self.runs:
            run["events"] = events_of(run)

        def added(key: str) -> float | None:
            values = [run[key] for run in self.runs if key in run]
            return sum(values) if values else None

        summary: Row = DATA.known(
            key=1,
            trace_id=self.trace_id,
            hex=self.trace_id.replace("-", ""),
            run_id=root["run_id"],
            kind=root["kind"],
            name=root["name"],
            status=root["status"],
            started_ms=self.started_ms,
            duration_ms=root.get("duration_ms"),
            input_tokens=added("input_tokens"),
            output_tokens=added("output_tokens"),
            cost_usd=added("cost_usd"),
            runs=len(self.runs),
            errors=sum(bool(run.get("origin")) for run in self.runs),
            model_calls=sum(run["kind"] == "chat_model" for run in self.runs),
        )
        return summary | more, self.runs


def events_of(run: Row) -> list[Row]:
    """
    Make the records of a run as the store tells them.
    """
    start = {"chat_model": "on_chat_model_start", "agent": "on_chain_start"}.get(
        run["kind"]
    )
    start = start or f"on_{run['kind']}_start"
    told = [
        {
            "at_ms": 0.0,
            "event": start,
            "data": {"inputs": run.get("inputs")},
        }
    ]
    if run.get("text"):
        data = {"token": run["text"][:40], "channel": "text", "count": 91}
        at = run.get("first_token_ms", 0)
        told.append({"at_ms": at, "event": "on_llm_new_token", "data": data})
    for mark in run.get("marks", []):
        name = "on_retry" if mark["kind"] == "retry" else "on_custom_event"
        told.append(
            {"at_ms": mark["at_ms"], "event": name, "data": mark.get("event", {})}
        )
    if "duration_ms" in run:
        end = start.replace("_start", "_error" if run["status"] == "error" else "_end")
        data = run.get("error") or {
            "outputs": run.get("outputs"),
            "status": run["status"],
        }
        told.append({"at_ms": run["duration_ms"], "event": end, "data": data})
    return told


def used(tokens_in: int, cached: int, out: int, reasoning: int, usd: float) -> Row:
    """
    Give what a model has used.
    """
    values = {"input_tokens": tokens_in, "output_tokens": out, "cost_usd": usd}
    kinds = {"cached_tokens": cached or None, "reasoning_tokens": reasoning or None}
    known: Row = DATA.known(**values, **kinds)
    return known


class Recorded(Canned):
    """
    The canned server, with recorded requests by their trace ids.
    """

    def __init__(self, *requests: Request, port: int = 0) -> None:
        super().__init__(rows=[], port=port)
        self.requests: dict[str, Request] = {}
        self.runs: dict[str, Row] = {}
        self.cursor = 10
        self.RequestHandlerClass = RecordedAnswer
        for request in requests:
            self.take(request)

    def take(self, request: Request) -> None:
        """
        Have one more request in the store.
        """
        row, runs = request
        self.rows.append(row)
        self.requests[row["trace_id"]] = request
        self.runs |= {run["run_id"]: run for run in runs}


class RecordedAnswer(Answer):
    """
    One question about a recorded request.
    """

    server: Recorded

    def answer(self, path: str, asked: dict[str, str]) -> Row:
        """
        Give what one path answers.
        """
        what, _, which = path.partition("/")
        if what == "request":
            request, runs = self.server.requests[which]
            return {
                "request": request,
                "runs": skeletons(runs),
                "cursor": self.server.cursor,
            }
        if what == "run":
            return self.server.runs[which]
        return super().answer(path, asked)


def skeletons(runs: list[Row]) -> list[Row]:
    """
    Give of every run what the tree needs.
    """
    return [{key: run[key] for key in SKELETON if key in run} for run in runs]
