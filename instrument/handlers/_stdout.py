"""
`StdOutCallbackHandler`: the runs of a request as lines, while they happen.
"""

import sys

from instrument._interrupts import Taking
from instrument._payloads.jsonable import text_of
from instrument._payloads.kinds import failure_of
from instrument._payloads.messages import get
from instrument._payloads.names import MASK
from instrument._payloads.redact import asked_for, error_of, said_by
from instrument._text import type_of
from instrument.handlers._shared import amounts
from instrument.handlers._shared.checks import checked_payload
from instrument.handlers._shared.prices import shared_prices
from instrument.handlers._shared.run_handler import RunHandler
from instrument.handlers._shared.style import (
    LEAST,
    NAME,
    WIDE,
    kind_style,
    width_of,
)
from instrument.handlers._shared.terminal import Terminal, lock
from instrument.handlers._shared.usual_names import USUAL
from instrument.handlers._shared.values import (
    counted_error,
    input_of,
    output_of,
    value,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any, TextIO

    from instrument._payloads.walk import Redactor
    from instrument._runs.run import Run
    from instrument.handlers._shared.open_runs import Entry
    from instrument.handlers._shared.prices import Prices
    from instrument.handlers._shared.style import Marks, Segment

PAYLOAD = 120
_ATTEMPT = 50  # characters
ERROR = 10_000
"""The characters of an error's message from which on the rest is counted."""
_SIGNS = {"ok": ("<", "green"), "error": ("!", "bold red")}
_STOPPED = ("~", "yellow")
_TOLD = ("*", "cyan")
_NO_WIDTH = 120
"""The cells of which a third are the deepest indent, where there is no width."""


class StdOutCallbackHandler(RunHandler):
    """
    Print one line per start and end, indented by depth: kind, name, duration, what went
    wrong, tokens and cost, then what went in or came out.

    Success says nothing. A run that failed has the sign ``!``, one that was cancelled or
    left ``~``; an error is told whole where it was raised, and by its type above. Of
    requests that are open at once on a stream each line begins with the id, six digits
    of `Run.trace_hex`; of runs that are open at once below one, each has a number.

    On a terminal lines are cropped to its width, all but errors. What is usually secret
    is masked in what is printed (``password``, ``api_key``, ``authorization`` ...).

    Args:
        file: A text stream; by default what ``sys.stdout`` is at the time.
        payload: The cells that what went in and what came out may take; 0 for none.

    Names, messages and payloads are untrusted: no control character of them is written.
    """

    def __init__(self, file: "TextIO | None" = None, *, payload: int = PAYLOAD) -> None:
        self._terminal = Terminal(file)
        self._payload = checked_payload("StdOutCallbackHandler", payload)
        self._prices = shared_prices()

    def run_started(self, run: "Run") -> None:
        taking = Taking()
        self._prices.asked(run)
        with lock:
            entry = self._terminal.open_runs.start(run, self)
        line = _Line(self._terminal, run, entry, self._payload)
        line.head(">", "cyan", "bold")
        line.payload(lambda marks: input_of(run, marks))
        line.write(taking)

    def on_llm_new_token(
        self, token: str, channel: str = "text", **kwargs: "Any"
    ) -> None:
        entry = self._terminal.open_runs.of(kwargs["run"], self)
        taking = Taking()
        if entry.owner is self:
            entry.token(taking)

    def run_ended(self, run: "Run") -> None:
        open_runs, taking = self._terminal.open_runs, Taking()
        with lock:
            entry = open_runs.ending(run, self)
        line = _Line(self._terminal, run, entry, self._payload)
        line.head(*_SIGNS.get(run.status, _STOPPED), "")
        line.add(f"  {amounts.duration(run.duration_s)}")
        line.ending(self._prices)
        try:
            line.write(taking)
        finally:
            if taking.is_taken:
                with lock:
                    open_runs.end(run, entry)

    def on_retry(self, retry_state: "Any", **kwargs: "Any") -> None:
        run = kwargs["run"]
        told = attempt(retry_state, run._audience.redactors)
        exc = failure_of(retry_state)
        said = "" if exc is None else _error(run, exc)
        waits = get(get(retry_state, "next_action"), "sleep")
        if issubclass(type(waits), (int, float)):
            said += f"{', ' if said else ''}again in {amounts.duration(waits)}"
        self._tell(run, "retry", told, lambda marks: iter((marks.shown(said),)))

    def on_custom_event(self, name: str, data: "Any", **kwargs: "Any") -> None:
        run = kwargs["run"]
        is_told = data is not None and run._audience.capture
        data = MASK if USUAL.masks(name) else data

        def written(marks: "Marks") -> "Iterator[str]":
            return value(data, marks, kwargs["run"]) if is_told else iter(())

        self._tell(run, "event", str(name), written)

    def _tell(
        self,
        run: "Run",
        kind: str,
        name: str,
        written: "Callable[[Marks], Iterator[str]]",
    ) -> None:
        taking = Taking()
        with lock:
            entry = self._terminal.open_runs.of(run, self)
        line = _Line(self._terminal, run, entry, self._payload)
        line.told(kind, name)
        line.payload(written)
        line.write(taking)


class _Line:
    """
    One line as it is made; what may not be lost is on the left.
    """

    def __init__(
        self, terminal: Terminal, run: "Run", entry: "Entry", payload: int
    ) -> None:
        self._terminal = terminal
        self._marks = terminal.marks
        self._width = terminal.width
        self._run = run
        self._entry = entry
        self._payload = payload
        self._is_whole = False
        self._segments: list[Segment] = []
        request = entry.request
        if request.is_told:
            self.add(f"{request.hex}  ", "bold magenta" if request.is_odd else "")
        deepest = (self._width or _NO_WIDTH) // 3
        self.add(" " * min(2 * run.depth, deepest))

    def add(self, text: str, style: str = "") -> None:
        """
        Add to the line.
        """
        self._segments.append((text, style))

    def head(self, sign: str, colour: str, style: str) -> None:
        """
        Say of which run it is, and in which branch.
        """
        entry, kind = self._entry, self._run.kind
        self._begin(sign, colour, kind, kind_style(kind))
        self.add(self._marks.name(entry.name), style)
        if entry.branch is not None:
            self.add(f" #{entry.branch}")
        self._inside(entry.inside)

    def told(self, kind: str, name: str) -> None:
        """
        Say what a run tells meanwhile.
        """
        entry = self._entry
        self._begin(*_TOLD, kind, "dim")
        self.add(self._marks.name(name))
        is_branch = entry.is_branch
        self._inside((entry.name, entry.number) if is_branch else entry.inside)

    def ending(self, prices: "Prices") -> None:
        """
        Say what went wrong, what was consumed, and what came out.
        """
        run, entry = self._run, self._entry
        if run.status == "error":
            self._failure()
        wide = self._width is None or self._width >= WIDE
        consumed = entry.consumed(run, prices, self._marks, wide=wide)
        self.add(f"  {consumed}" if consumed else "")
        if run.status in ("cancelled", "abandoned"):
            after = f" after {amounts.counted(entry.tokens, 'token')}"
            self.add(f"  {run.status}{after if entry.tokens else ''}", "bold")
        if entry.is_streamed:
            self._rate()
        elif run.status == "ok" or (entry.tokens and run._answer is not None):
            self.payload(lambda marks: output_of(run, marks))

    def payload(self, written: "Callable[[Marks], Iterator[str]]") -> None:
        """
        Add what went in or came out, as far as there is room.
        """
        room = min(self._payload, self._room())
        if room >= LEAST:
            text = self._marks.cropped(written(self._marks), room)
            self.add(f"  {text}" if text else "", "dim")

    def write(self, taking: Taking) -> None:
        """
        Write it, cropped to the terminal's width unless it tells an error.
        """
        line = self._segments
        if self._width is not None and not self._is_whole:
            line = self._marks.fitted(line, self._width)
        self._terminal.line(line, taking)

    def _begin(self, sign: str, colour: str, kind: str, style: str) -> None:
        self.add(sign, colour)
        self.add(" ")
        self.add(f"{self._marks.name(kind)} ", style)

    def _inside(self, branch: "tuple[str, int] | None") -> None:
        if branch is not None:
            name, number = branch
            self.add(" in ", "dim")
            self.add(self._marks.name(name), "dim")
            self.add(f" #{number}")

    def _failure(self) -> None:
        run, marks = self._run, self._marks
        error: Any = run.error
        self.add(f"  {marks.shown(type_of(error))}", "bold red")
        where = self._entry.from_where(run)
        if where:
            self.add(f" from {marks.cropped(marks.shown(where), 2 * NAME)}")
        else:
            said = counted_error(error_of(run) or "", ERROR)
            self.add(f": {marks.shown(said)}" if said else "")
            self._is_whole = True

    def _rate(self) -> None:
        """
        Add how quickly tokens came, in place of the text that stands above.
        """
        run, entry = self._run, self._entry
        first_s = run.time_to_first_token_s or 0.0
        streamed_s = (entry.last_ns - run._started_ns) / 1e9 - first_s
        count = run.usage.output_tokens or entry.tokens
        told = amounts.rate(count, streamed_s)
        first = f"first after {amounts.duration(first_s)}"
        both = f"{told}, {first}" if told else first
        fitting = [it for it in (both, told) if len(it) <= self._room()]
        self.add(f"  {fitting[0]}" if fitting and fitting[0] else "", "dim")

    def _room(self) -> int:
        if self._width is None:
            return sys.maxsize
        return self._width - width_of(self._segments) - 2


def attempt(state: "Any", redactors: "tuple[Redactor, ...]" = ()) -> str:
    """
    Say which attempt comes, and of how many where that is known.
    """
    number = state if type(state) is int else get(state, "attempt_number")
    most = get(get(get(state, "retry_object"), "stop"), "max_attempt_number")
    told = text_of(number, _ATTEMPT, asked_for(redactors))
    return f"{told} of {text_of(most, _ATTEMPT)}" if type(most) is int else told


def _error(run: "Run", exc: BaseException) -> str:
    message = said_by(exc, run._audience)
    shown = counted_error(message, ERROR) if message else ""
    return type_of(exc) + (f": {shown}" if shown else "")
