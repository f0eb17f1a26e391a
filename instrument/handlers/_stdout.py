"""
`StdOutCallbackHandler`: the runs of a request as lines, while they happen.
"""

from instrument._handler import BaseCallbackHandler
from instrument._text import cut, printable
from instrument.handlers._terminal import Terminal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TextIO

    from instrument._event import Event

_MESSAGE = 200
_COLOURS = {"ok": "green", "error": "red"}


class StdOutCallbackHandler(BaseCallbackHandler):
    """
    Print one line per start and end, indented by depth: kind, name, duration, status.

    Args:
        file: A text stream; by default what ``sys.stdout`` is at the time.

    Names and messages are untrusted: no control character of them is written.
    """

    def __init__(self, file: "TextIO | None" = None) -> None:
        self._terminal = Terminal(file)

    def on_event(self, event: "Event", **kwargs: "Any") -> None:
        if event.event.endswith("_start"):
            self._terminal.line(f"{self._head(event, '>')}")
        elif event.event.endswith(("_end", "_error")):
            self._terminal.line(f"{self._head(event, '<')}  {self._tail(event)}")

    def _head(self, event: "Event", sign: str) -> str:
        depth = event.run.depth if event.run is not None else 0
        kind = self._terminal.coloured(printable(event.kind), "blue")
        return f"{'  ' * depth}{sign} {kind} {printable(event.name)}"

    def _tail(self, event: "Event") -> str:
        data = event.data
        status = str(data["status"])
        told = status
        if "type" in data and status == "error":
            message = cut(printable(str(data["message"] or "")), _MESSAGE)
            told = f"error {printable(data['type'])}" + (message and f": {message}")
        duration = self._terminal.coloured(written_duration(data["duration_s"]), "dim")
        return f"{duration}  {self._terminal.coloured(told, _COLOURS.get(status, 'yellow'))}"


def written_duration(duration_s: float) -> str:
    """
    Write a duration for a person: ``850 us``, ``12.3 ms``, ``1.25 s``.
    """
    if duration_s < 0.001:  # noqa: PLR2004 - a millisecond
        return f"{duration_s * 1e6:.0f} us"
    if duration_s < 1:
        return f"{duration_s * 1e3:.1f} ms"
    return f"{duration_s:.2f} s"
