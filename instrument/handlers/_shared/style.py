"""
What a stream can show: how wide text is in cells, in which characters, in which colours.

A line is made of segments, each a text and the name of a style. Our own marks and what is
foreign are put into characters that the stream knows *before* widths are measured.
"""

import os
from codecs import lookup
from itertools import accumulate
from unicodedata import category, east_asian_width

from instrument._interrupts import pass_on
from instrument._text import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import TypeAlias

    Segment: TypeAlias = tuple[str, str]

LEAST = 8
"""With fewer cells left than these a payload goes."""
NAME = 40
"""The cells in which a name ends."""
WIDE = 110
"""The cells from which on there is room for more than the most important."""
_SGR = {
    "dim": "2",
    "bold": "1",
    "red": "31",
    "green": "32",
    "yellow": "33",
    "magenta": "35",
    "cyan": "36",
    "bold red": "1;31",
    "bold magenta": "1;35",
}
_CANNOT_DRAW = ("dumb", "unknown")
_NO_WIDTH = frozenset(("Mn", "Me", "Cf"))
_JOINED = range(0x1160, 0x1200)
"""The later parts of Hangul syllables, which join the first."""
_MODELS = frozenset(("llm", "chat_model", "embedding"))


_MOST_IN_A_CELL = 20
"""The characters that may stand above and below one another; others have no end."""


class Marks:
    """
    The characters that a stream knows.

    Args:
        encoding: The stream's; None for one that takes all.
    """

    def __init__(self, encoding: object = None) -> None:
        self._encoding = _known(encoding) if isinstance(encoding, str) else "utf-8"
        self.is_ascii = not self._encoding.startswith("utf")
        self.ellipsis = "..." if self.is_ascii else "…"
        self.arrow = "->" if self.is_ascii else "→"

    def known(self, text: str) -> str:
        """
        Write as escapes what the stream cannot.
        """
        if not self.is_ascii or text.isascii():
            return text
        shown = text.encode(self._encoding, "backslashreplace")
        return shown.decode(self._encoding)

    def shown(self, text: str) -> str:
        """
        Give a foreign text as it may be written: no control characters, none unknown.
        """
        return self.known(printable(text))

    def cropped(self, pieces: "str | Iterable[str]", most: int) -> str:
        """
        Give the first *most* cells of a text, or of the pieces of which it is made; of
        these no more are asked for. A wide character is never halved.
        """
        text, taken, left = "", 0, _MOST_IN_A_CELL * (most + 1)
        for piece in (pieces,) if isinstance(pieces, str) else pieces:
            text += (some := piece[:left])
            taken += cells(some)
            left -= len(piece)
            if taken > most or left < 0:
                break
        else:
            return text
        room = most - len(self.ellipsis)
        return "" if room < 0 else _first(text, room) + self.ellipsis

    def cropped_left(self, text: str, most: int) -> str:
        """
        Give the last *most* cells of a text.
        """
        if cells(text) <= most:
            return text
        room = most - len(self.ellipsis)
        return "" if room < 0 else self.ellipsis + _first(text[::-1], room)[::-1]

    def passed(self, given: str, came: str, room: int) -> str:
        """
        Give what went in and what came out in so many cells; what went in gets two
        fifths of them where both do not fit.
        """
        if not (came and given):
            return self.cropped((came and f"{self.arrow} {came}") or given, room)
        between = f" {self.arrow} "
        left = room - cells(came) - len(between)
        if cells(given) > left:
            given = self.cropped(given, max(left, room * 2 // 5))
        left = room - cells(given) - len(between)
        return f"{given}{between}" + self.cropped(came, left)

    def name(self, text: str) -> str:
        """
        Give the name of a run, of a kind, of a model.
        """
        return self.cropped(self.shown(text[: 4 * NAME]), NAME)

    def fitted(self, segments: "Iterable[Segment]", width: int) -> "list[Segment]":
        """
        Crop a line to *width* cells.
        """
        fitting = []
        for text, style in segments:
            taken = cells(text)
            if taken > width:
                fitting.append((self.cropped(text, width), style))
                break
            fitting.append((text, style))
            width -= taken
        return fitting


def kind_style(kind: str) -> str:
    """
    Tell how the kind of a run looks: what costs has a colour.
    """
    return "magenta" if kind in _MODELS else "dim"


def cells(text: str) -> int:
    """
    Measure text that can be printed; joined emoji count as their parts.
    """
    return len(text) if text.isascii() else sum(map(_width, text))


def width_of(segments: "Iterable[Segment]") -> int:
    """
    Measure a line.
    """
    return sum(cells(text) for text, _ in segments)


def plain(segments: "Iterable[Segment]") -> str:
    """
    Write a line without colours.
    """
    return "".join(text for text, _ in segments)


def painted(segments: "Iterable[Segment]") -> str:
    """
    Write a line with colours by name, so that the terminal's theme decides their shade.
    """
    return "".join(_painted(segments))


def has_colour(file: object) -> bool:
    """
    Tell whether to write colours to a stream: where it is a terminal.

    ``NO_COLOR`` (not empty) turns them off everywhere, ``FORCE_COLOR`` on.

    Source: https://no-color.org, https://force-color.org
    """
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or is_terminal(file)


def is_terminal(file: object) -> bool:
    """
    Tell whether a stream is a terminal that can draw: a pipe and ``TERM=dumb`` are none.
    """
    isatty = getattr(file, "isatty", None)
    return bool(isatty and isatty()) and os.environ.get("TERM") not in _CANNOT_DRAW


def terminal_width(file: object) -> int | None:
    """
    Give the width of a terminal in cells, None where there is none.
    """
    if not is_terminal(file):
        return None
    told = os.environ.get("COLUMNS", "")
    if told.isdecimal() and int(told) > 0:
        return int(told)
    try:
        return os.get_terminal_size(file.fileno()).columns or None  # type: ignore[attr-defined]
    except (AttributeError, OSError, ValueError) as exc:  # it only looks like one
        pass_on(exc)
        return None


def _painted(segments: "Iterable[Segment]") -> "Iterator[str]":
    for text, style in segments:
        yield f"\x1b[{_SGR[style]}m{text}\x1b[m" if style and text else text


def _first(text: str, room: int) -> str:
    if text.isascii():
        return text[:room]
    ends = accumulate(map(_width, text))
    return "".join(char for char, end in zip(text, ends, strict=True) if end <= room)


def _width(char: str) -> int:
    if category(char) in _NO_WIDTH or ord(char) in _JOINED:
        return 0
    return 2 if east_asian_width(char) in "WF" else 1


def _known(encoding: str) -> str:
    try:
        return lookup(encoding).name
    except LookupError:
        return "ascii"
