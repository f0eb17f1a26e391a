"""
`StdOutCallbackHandler`: the runs of a request as lines, while they happen.
"""

from instrument._audience.handler import BaseCallbackHandler
from instrument._text import cut, printable, safe_str
from instrument.handlers._shared.terminal import Terminal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TextIO

    from instrument._payloads.event import Event

_MESSAGE = _NAME = 200
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
        depth = event.run.depth if event.run is not None else 0
        if event.event.endswith("_start"):
            self.started(event.kind, event.name, depth)
        elif event.event.endswith(("_end", "_error")):
            self.ended(event.kind, event.name, depth, event.data)

    def started(self, kind: str, name: str, depth: int) -> None:
        """
        Write that a run starts.
        """
        self._terminal.line(self._head(">", kind, name, depth))

    def ended(self, kind: str, name: str, depth: int, data: "dict[str, Any]") -> None:
        """
        Write how a run ended, as the ``data`` of its last event has it.
        """
        self._terminal.line(f"{self._head('<', kind, name, depth)}  {self._tail(data)}")

    def _head(self, sign: str, kind: str, name: str, depth: int) -> str:
        kind = self._terminal.coloured(printable(kind), "magenta")
        return f"{'  ' * depth}{sign} {kind} {printable(cut(name, _NAME))}"

    def _tail(self, data: "dict[str, Any]") -> str:
        status = str(data["status"])
        told = status
        if "type" in data and status == "error":
            message = cut(printable(_text(data["message"])), _MESSAGE)
            told = f"error {printable(data['type'])}" + (message and f": {message}")
        duration = self._terminal.coloured(written_duration(data["duration_s"]), "dim")
        return f"{duration}  {self._terminal.coloured(told, _COLOURS.get(status, 'yellow'))}"


def _text(message: object) -> str:
    return "" if message is None else safe_str(message)


def written_duration(duration_s: float) -> str:
    """
    Write a duration for a person: ``850 us``, ``12.3 ms``, ``1.25 s``.
    """
    if duration_s < 0.001:  # noqa: PLR2004 - a millisecond
        return f"{duration_s * 1e6:.0f} us"
    if duration_s < 1:
        return f"{duration_s * 1e3:.1f} ms"
    return f"{duration_s:.2f} s"
