"""
Write to a terminal that several handlers share: lines stay whole, colour only there.
"""

import os
import sys
import weakref

from instrument._forks import fork_lock
from instrument._text import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TextIO

_COLOURS = {"dim": "2", "red": "31", "green": "32", "yellow": "33", "magenta": "35"}
_lock = fork_lock()  # re-entrant: a collected generator may be told of within
mid_line: "weakref.WeakSet[TextIO]" = weakref.WeakSet()


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

    def line(self, text: str) -> None:
        """
        Write one whole line; what was left in mid-line is ended first.
        """
        file = self.file
        with _lock:
            start = "\n" if file in mid_line else ""
            mid_line.discard(file)
            file.write(self._encodable(f"{start}{text}\n"))
        _flush(file)

    def piece(self, text: str) -> None:
        """
        Write part of a line, at once visible.
        """
        file = self.file
        shown = printable(text, also="\n\t")
        with _lock:
            file.write(self._encodable(shown))
            if shown:
                (mid_line.discard if shown.endswith("\n") else mid_line.add)(file)
        _flush(file)

    def coloured(self, text: str, colour: str) -> str:
        """
        Colour *text* if the stream is a terminal.

        ``NO_COLOR`` (not empty) turns it off everywhere, ``FORCE_COLOR`` on.

        Source: https://no-color.org, https://force-color.org
        """
        if not self._has_colour():
            return text
        return f"\x1b[{_COLOURS[colour]}m{text}\x1b[0m"

    def _has_colour(self) -> bool:
        if os.environ.get("NO_COLOR"):
            return False
        if os.environ.get("FORCE_COLOR"):
            return True
        isatty = getattr(self.file, "isatty", None)
        return bool(isatty and isatty()) and os.environ.get("TERM") != "dumb"

    def _encodable(self, text: str) -> str:
        encoding = getattr(self.file, "encoding", None)
        if not isinstance(encoding, str):
            return text
        return text.encode(encoding, "backslashreplace").decode(encoding)


def _flush(file: "TextIO") -> None:
    flush = getattr(file, "flush", None)
    if flush is not None:
        flush()
