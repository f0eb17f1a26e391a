"""
What ``python -m instrument status`` prints: what is heard of what is installed.
"""

import platform
import sys

import instrument
from instrument import auto
from instrument._hearing.sys_monitoring import is_possible
from instrument.handlers._shared.style import (
    Marks,
    cells,
    has_colour,
    painted,
    plain,
    terminal_width,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from instrument.handlers._shared.style import Segment

_WIDTH = 140
"""Where there is no terminal."""

_LEAST = 24
_APART = 3


def show() -> None:
    """
    Import each framework that is installed, and print what is heard of it.
    """
    write = painted if has_colour(sys.stdout) else plain
    width = terminal_width(sys.stdout) or _WIDTH
    marks = Marks(getattr(sys.stdout, "encoding", None))
    for line in lines(auto.status(importing=True), marks, width):
        print(write(line).rstrip())


def lines(
    found: list[auto.Status], marks: Marks, width: int
) -> "Iterator[list[Segment]]":
    """
    Give what is printed.
    """
    ways = "hooks and sys.monitoring" if is_possible() else "hooks"
    version = f"instrument {instrument.__version__}, Python {platform.python_version()}"
    yield [(f"{version}, hearing by {ways}", "")]
    yield []
    here = [it for it in found if _is_here(it)]
    names = [(marks.shown(it.package), marks.shown(it.version or "")) for it in here]
    most = [max(map(cells, column)) for column in zip(*names, strict=True)]
    for status, named in zip(here, names, strict=True):
        padded = "".join(
            text + " " * (room - cells(text) + _APART)
            for text, room in zip(named, most, strict=True)
        )
        yield from _told(status, padded, marks, width)
    absent = sorted(marks.shown(it.package) for it in found if not _is_here(it))
    if absent:
        yield []
        for part in _wrapped(f"not installed: {', '.join(absent)}", width):
            yield [(part, "dim")]


def _is_here(status: auto.Status) -> bool:
    return bool(status.version or status.hears or ":" in status.package)


def _told(
    status: auto.Status, padded: str, marks: Marks, width: int
) -> "Iterator[list[Segment]]":
    if status.hears:
        sign: Segment = ("+ " if marks.is_ascii else "✓ ", "green")
    else:
        sign = ("x " if marks.is_ascii else "✗ ", "bold red")
    head: list[Segment] = [sign, (padded, "bold")]
    indent: list[Segment] = [("  " + " " * cells(padded), "")]
    room = max(_LEAST, width - cells(padded) - 2)
    for text, style in _said(status):
        for part in _wrapped(marks.shown(text), room):
            yield [*head, (part, style)]
            head = indent


def _said(status: auto.Status) -> "Iterator[Segment]":
    tested = " to ".join(
        ".".join(version.split(".")[:2]) for version in status.tested or ()
    )
    if not status.hears:
        untested = f"; {status.package} {tested} is heard" if status.untested else ""
        yield f"{status.why_not}{untested}", ""
        return
    yield ", ".join(status.hears), ""
    if status.why_not:
        yield f"not all of it: {status.why_not}", "dim"
    if status.untested:
        same = "" if status.why_not else "; heard all the same"
        yield f"{status.untested} than what was tested ({tested}){same}", "dim"
    if status.unheard:
        yield f"not heard: {', '.join(status.unheard)}", "dim"


def _wrapped(text: str, width: int) -> list[str]:
    from textwrap import wrap

    return wrap(text, width, break_long_words=False, break_on_hyphens=False)
