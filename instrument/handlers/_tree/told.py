"""
What a tree keeps of a run, written where the run is: its payload may change, and goes.
"""

from instrument._payloads.redact import asked_for, error_of
from instrument._text import type_of
from instrument.handlers._shared.open_runs import ID, MODELS, shown_name
from instrument.handlers._shared.prices import shared_prices
from instrument.handlers._shared.values import came_out, counted_error, input_of, value
from instrument.handlers._tree.forest import Ended, Started

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from instrument._runs.run import Run
    from instrument.handlers._shared.style import Marks

_ERROR = 10_000
_EVENT = 40


class Teller:
    """
    Write runs for a tree.

    Args:
        marks: The characters that the stream knows.
        payload: The cells that what went in and what came out may take.
    """

    def __init__(self, marks: "Marks", payload: int) -> None:
        self._marks = marks
        self._payload = payload
        self._prices = shared_prices()

    def started(self, run: "Run") -> Started:
        """
        Tell a run that starts.
        """
        given = ""
        if self._payload:
            given = self._marks.cropped(input_of(run, self._marks), self._payload)
        is_model = run.kind in MODELS
        if is_model:
            self._prices.asked(run)
        return Started(
            self._marks.name(run.kind),
            self._marks.name(shown_name(run)),
            run.trace_hex[:ID],
            is_model,
            run.model if is_model and isinstance(run.model, str) else "",
            given,
            run._started_ns,
        )

    def ended(self, run: "Run") -> Ended:
        """
        Tell how a run has ended.
        """
        ended_ns: Any = run._ended_ns
        model, cost_usd, came = "", None, ""
        if run.kind in MODELS:
            model = run.model if isinstance(run.model, str) else ""
            cost_usd = self._prices.cost_usd(run) if run.usage else None
        if self._payload and run._audience.capture and run.status != "error":
            memo = asked_for(run._audience.redactors)
            pieces = came_out(run._kind.end_data(run), self._marks, memo=memo)
            came = self._marks.cropped(pieces, self._payload)
            if came == "''" and run.status != "ok":  # it was left before it said any
                came = ""
        exc = run.error if run.status == "error" else None
        error = None if exc is None else self._error(run, exc)
        return Ended(
            run.status,
            ended_ns,
            model,
            run.usage,
            cost_usd,
            came,
            error,
            id(exc),
            error is not None and run.error_origin,
        )

    def event(self, name: str, data: object, run: "Run") -> str:
        """
        Tell an event of the application's own.
        """
        told = self._marks.name(str(name))
        if data is None or not self._payload:
            return told
        return f"{told} {self._marks.cropped(value(data, self._marks, run), _EVENT)}"

    def _error(self, run: "Run", exc: BaseException) -> tuple[str, list[str]]:
        kind = self._marks.name(type_of(exc))
        message = (error_of(run) or "") if run.error_origin else ""
        shown = counted_error(message, _ERROR) if message else ""
        return kind, [self._marks.shown(line) for line in shown.splitlines()]
