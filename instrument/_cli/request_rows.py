"""
Stored requests as rows, one a request, in the grammar of the lines and trees.
"""

from instrument._cli.stored_trees import PAYLOAD, name_of
from instrument.handlers._shared import amounts
from instrument.handlers._shared.open_runs import ID
from instrument.handlers._shared.style import (
    LEAST,
    WIDE,
    Marks,
    kind_style,
    width_of,
)
from instrument.handlers._shared.usual_names import USUAL
from instrument.handlers._shared.values import counted_error, value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from instrument.handlers._shared.style import Segment

    Line = list[Segment]
    Request = dict[str, Any]

_APART = "  "
_HEADS = ("when", "took", "runs", "out", "cost")
_ONLY_WIDE = ("runs", "out")
_LEAST_WIDTHS = {"when": 8, "took": 6}
_ERROR = 1_000
_SIGNS = {
    "ok": ("✓", "+", "green"),
    "error": ("✗", "x", "bold red"),
    "running": (">", ">", "cyan"),
}
_STOPPED = ("■", "~", "yellow")


class RequestRows:
    """
    Writes requests as rows of columns, as wide as those of the first ones need.

    Args:
        marks: The characters that the stream knows.
        width: The cells of a terminal; None where there is none: no row is cropped then.
        now_ms: Tells the time.
    """

    def __init__(
        self,
        requests: "list[Request]",
        marks: Marks,
        width: int | None,
        now_ms: "Callable[[], float]",
    ) -> None:
        self._marks = marks
        self._width = width
        self._now_ms = now_ms
        is_wide = width is None or width >= WIDE
        told = [self._cells(it) for it in requests]
        self._widths = {
            head: max(
                len(head), _LEAST_WIDTHS.get(head, 0), *(len(it[head]) for it in told)
            )
            for head in _HEADS
            if (is_wide or head not in _ONLY_WIDE) and any(it[head] for it in told)
        }

    def head(self) -> "Line":
        """
        Write what stands over the columns.
        """
        words = [
            f"  {'id':<{ID}}",
            *self._aligned({head: head for head in _HEADS}),
            "request",
        ]
        return self._fitted([(_APART.join(words), "dim")])

    def row(self, request: "Request") -> "Line":
        """
        Write one request.
        """
        status = request["status"]
        sign, plain, style = _SIGNS.get(status, _STOPPED)
        known = [request["hex"][:ID], *self._aligned(self._cells(request))]
        kind = self._marks.name(request["kind"])
        model, name = request.get("model"), request["name"]
        named = self._marks.name(name_of(kind, name, model))
        line: Line = [
            (f"{plain if self._marks.is_ascii else sign} ", style),
            (_APART.join(known) + _APART, ""),
            (f"{kind} ", kind_style(kind)),
            (named, "bold" if status == "running" else ""),
        ]
        if status == "error":
            line += self._error(request)
            return self._fitted(line)
        if status not in ("ok", "running"):
            line.append((f"{_APART}{status}", "bold"))
        room = PAYLOAD
        if self._width is not None:
            room = min(room, self._width - width_of(line) - len(_APART))
        if room >= LEAST:
            given, came = (self._said(request, it) for it in ("said", "answered"))
            words = self._marks.passed(given, came, room)
            line.append((f"{_APART}{words}" if words else "", "dim"))
        return self._fitted(line)

    def _cells(self, request: "Request") -> "dict[str, str]":
        took_ms, out = request.get("duration_ms"), request.get("output_tokens")
        if took_ms is None and request["status"] == "running":
            took_ms = self._now_ms() - request["started_ms"]
        cost_usd = request.get("cost_usd")
        return {
            "when": amounts.moment(int(request["started_ms"] * 1e6)),
            "took": "" if took_ms is None else amounts.duration(took_ms / 1e3),
            "runs": f"{request['runs']:,}",
            "out": "" if out is None else f"{out:,}",
            "cost": "" if cost_usd is None else amounts.money(cost_usd),
        }

    def _aligned(self, told: "dict[str, str]") -> "list[str]":
        return [
            f"{told[head]:{'<' if head == 'when' else '>'}{width}}"
            for head, width in self._widths.items()
        ]

    def _error(self, request: "Request") -> "Line":
        kind = self._marks.name(request.get("error_type") or "error")
        message = counted_error(request.get("error_message") or "", _ERROR)
        shown = " ".join(map(self._marks.shown, message.split("\n")))
        return [(f"{_APART}{kind}", "bold red"), (f": {shown}" if shown else "", "")]

    def _said(self, request: "Request", name: str) -> str:
        text = request.get(name)
        if not text:
            return ""
        shown = value(USUAL.masked_text(text), self._marks)
        return self._marks.cropped(shown, PAYLOAD)

    def _fitted(self, line: "Line") -> "Line":
        return line if self._width is None else self._marks.fitted(line, self._width)
