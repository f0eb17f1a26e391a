"""
Write to a terminal that several handlers share: lines stay whole, colour only there.
"""

import sys
import weakref

from instrument._forks import fork_lock
from instrument._interrupts import Taking
from instrument._text import printable
from instrument.handlers._shared.open_runs import OpenRuns
from instrument.handlers._shared.style import (
    Marks,
    has_colour,
    painted,
    plain,
    terminal_width,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TextIO

    from instrument._runs.run import Run
    from instrument.handlers._shared.style import Segment

lock = fork_lock()  # re-entrant: a collected generator may be told of within
mid_line: "weakref.WeakSet[TextIO]" = weakref.WeakSet()
_open_on: "weakref.WeakKeyDictionary[TextIO, OpenRuns]" = weakref.WeakKeyDictionary()


class Terminal:
    """
    A text stream, made safe for text of unknown origin.

    Args:
        file: Where to write; by default what ``sys.stdout`` is at each write.
    """

    def __init__(self, file: "TextIO | None" = None) -> None:
        if file is not None and not callable(getattr(file, "write", None)):
            message = f"file must be a text stream with write(), not {file!r}."
            raise TypeError(message)
        self._file = file

    @property
    def file(self) -> "TextIO":
        """
        The stream of now.
        """
        return sys.stdout if self._file is None else self._file

    @property
    def marks(self) -> Marks:
        """
        The characters that the stream knows.
        """
        return Marks(getattr(self.file, "encoding", None))

    @property
    def width(self) -> int | None:
        """
        The cells of a terminal; None of what has no width.
        """
        return terminal_width(self.file)

    @property
    def open_runs(self) -> OpenRuns:
        """
        What is open on the stream, whichever handlers write there; under `lock`.
        """
        known = _open_on.get(self.file)
        return _open_on.setdefault(self.file, OpenRuns()) if known is None else known

    def line(self, segments: "list[Segment]", taking: Taking | None = None) -> None:
        """
        Write one whole line; what was left in mid-line is ended first.
        """
        self.lines([segments], taking)

    def lines(self, lines: "list[list[Segment]]", taking: Taking | None = None) -> None:
        """
        Write lines that stay together, and tell that to *taking*.
        """
        taking = taking or Taking()
        file = self.file
        write = painted if has_colour(file) else plain
        text = "\n".join(write(segments).rstrip() for segments in lines)
        with lock:
            start = "\n" if file in mid_line else ""
            shown = self._encodable(f"{start}{text}\n")
            mid_line.discard(file)
            write_to = file.write
            taking.is_taken = True
            write_to(shown)
        _flush(file)

    def piece(self, text: str, run: "Run | None", taking: Taking) -> None:
        """
        Write part of a line, at once visible: what *run* tells.
        """
        file = self.file
        shown = self._encodable(printable(text, also="\n\t"))
        with lock:
            entry = None if run is None or not shown else self.open_runs.find(run)
            if entry is not None:
                entry.is_streamed = True
            taking.is_taken = True
            file.write(shown)
            if shown:
                (mid_line.discard if shown.endswith("\n") else mid_line.add)(file)
        _flush(file)

    def _encodable(self, text: str) -> str:
        encoding = getattr(self.file, "encoding", None)
        if not isinstance(encoding, str):
            return text
        return text.encode(encoding, "backslashreplace").decode(encoding)


def _flush(file: "TextIO") -> None:
    flush = getattr(file, "flush", None)
    if flush is not None:
        flush()
