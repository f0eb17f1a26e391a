"""
What a stream can show: widths in cells, characters, colours.
"""

import io
import os
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instrument.handlers._shared.style import (
    Marks,
    cells,
    has_colour,
    is_terminal,
    kind_style,
    painted,
    plain,
    terminal_width,
    width_of,
)

UTF8 = Marks("utf-8")
ASCII = Marks("ascii")
both_marks = pytest.mark.parametrize("marks", [UTF8, ASCII])
any_text = st.text(max_size=80)


class Tty(io.StringIO):
    """
    A stream that says that it is a terminal.
    """

    def isatty(self) -> bool:
        """
        Say so.
        """
        return True


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Have no environment decide on colours and widths.
    """
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")


@both_marks
@given(text=any_text, most=st.integers(0, 60))
def test_cropped(marks: Marks, text: str, most: int) -> None:
    """
    Cropped text is never wider than told, from either end; what fits is whole.
    """
    shown = marks.shown(text)
    for cropped in (marks.cropped(shown, most), marks.cropped_left(shown, most)):
        assert cells(cropped) <= most
        is_long = cells(shown) > most or len(shown) > 20 * most
        assert cropped == shown or is_long


@both_marks
@given(text=any_text)
def test_shown(marks: Marks, text: str) -> None:
    """
    What is shown can be printed, but for the joiners of emoji, and encoded.
    """
    shown = marks.shown(text)

    assert shown.replace("\u200c", "").replace("\u200d", "").isprintable()
    shown.encode("ascii" if marks is ASCII else "utf-8")


def test_wide() -> None:
    """
    A wide character is two cells and never halved; a joined emoji counts as its parts.
    """
    assert cells("天気") == 4
    assert cells("e\u0301") == 1
    assert cells("\u1112\u1161\u11ab") == 2
    assert cells("👩\u200d👩\u200d👧") == 6
    assert UTF8.cropped("天気です", 6) == "天気…"
    assert UTF8.cropped_left("天気です", 6) == "…です"


def test_cells_as_rich_has_them() -> None:
    """
    No character is narrower than rich takes it for, but those that are newer than
    this Python's table.
    """
    rich_cells = pytest.importorskip("rich.cells")
    newer = {*range(0x2630, 0x2638), *range(0x268A, 0x2690), *range(0x4DC0, 0x4E00)}
    newer |= {*range(0x1D300, 0x1D380)}
    narrower = {
        code
        for code in range(0x20, 0x30000)
        if chr(code).isprintable()
        and cells(chr(code)) < rich_cells.get_character_cell_size(chr(code))
    }

    assert narrower <= newer


def test_cropped_as_made() -> None:
    """
    Of pieces no more are asked for than fit.
    """
    asked = []

    def pieces() -> object:
        for number in range(1_000_000):
            asked.append(number)
            yield "abc"

    assert UTF8.cropped(pieces(), 10) == "abcabcabc…"  # type: ignore[arg-type]
    assert len(asked) == 4


def test_cropped_without_cells() -> None:
    """
    Accents that take no cell are cropped too, where they are without end.
    """
    accents = "\u0301" * 10_000

    assert UTF8.cropped(f"a{accents}", 10) == f"a{accents[:219]}…"
    assert UTF8.cropped(iter(("a", accents, accents)), 10) == f"a{accents[:219]}…"
    assert UTF8.cropped(f"a{accents[:19]}", 10) == f"a{accents[:19]}"


def test_ascii() -> None:
    """
    Where a stream knows no Unicode our marks are ASCII, and foreign characters that it
    lacks escapes, before widths are measured.
    """
    assert ASCII.cropped(ASCII.shown("24 °C in Rome"), 9) == "24 \\xb..."
    assert ASCII.cropped("abcdef", 2) == UTF8.cropped("abcdef", 0) == ""
    assert (ASCII.arrow, UTF8.arrow) == ("->", "→")
    assert Marks("latin-1").shown("24 °C …") == "24 °C \\u2026"
    assert Marks("no such").shown("°") == "\\xb0"
    assert Marks(None).shown("°") == "°"


def test_name() -> None:
    """
    A name ends at forty cells, and holds no control character.
    """
    assert UTF8.name("a\x1b[2J") == "a\\x1b[2J"
    assert UTF8.name("x" * 99) == "x" * 39 + "…"


def test_fitted() -> None:
    """
    A line is cropped where it ends.
    """
    line = [("12345  ", ""), ("ValueError", "bold red"), (": bad luck", "")]

    assert width_of(line) == 27
    assert plain(UTF8.fitted(line, 40)) == "12345  ValueError: bad luck"
    assert UTF8.fitted(line, 20) == [
        ("12345  ", ""),
        ("ValueError", "bold red"),
        (": …", ""),
    ]


def test_painted() -> None:
    """
    Colours are those of the terminal, by name.
    """
    line = [("! ", "bold red"), ("x", ""), ("", "dim"), (" y", kind_style("llm"))]

    assert painted(line) == "\x1b[1;31m! \x1b[mx\x1b[35m y\x1b[m"
    assert kind_style("tool") == "dim"


@pytest.mark.parametrize(
    "variables, terminal, pipe",
    [
        ({}, True, False),
        ({"NO_COLOR": "1"}, False, False),
        ({"NO_COLOR": "", "FORCE_COLOR": "1"}, True, True),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, False, False),
        ({"TERM": "dumb"}, False, False),
    ],
)
def test_has_colour(
    variables: dict[str, str],
    terminal: bool,
    pipe: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """
    Terminals have colour, unless the environment says otherwise.
    """
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    assert has_colour(Tty()) is terminal
    assert has_colour(io.StringIO()) is pipe
    assert not is_terminal(object())


def test_terminal_width(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A terminal's width is asked of it, or told by COLUMNS; a pipe has none.
    """
    assert terminal_width(io.StringIO()) is None
    assert terminal_width(Tty()) is None
    monkeypatch.setenv("COLUMNS", "0")
    assert terminal_width(Tty()) is None
    monkeypatch.setenv("COLUMNS", "91")
    assert terminal_width(Tty()) == 91


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals")
def test_terminal_width_of_a_terminal() -> None:
    """
    A real terminal says how wide it is.
    """
    import fcntl
    import pty
    import struct
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 77, 0, 0))
    with os.fdopen(theirs, "w") as terminal:
        assert terminal_width(terminal) == 77
    os.close(ours)
