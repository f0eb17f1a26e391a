"""
The foot of a terminal, and what scrolls by above it.
"""

import io
from typing import Any

import pytest

pytest.importorskip("rich")


@pytest.fixture
def drawn(screen: Any) -> Any:
    """
    Draw two rows at the foot of a terminal; give what writes above them.
    """
    from instrument.handlers._tree.screen import Screen

    made: Any = Screen(screen.file)
    made.draw(["one", "two"], [])
    made.wrote = lambda text: made.write(screen.file.write, text)
    return made


def test_rows_above(screen: Any, drawn: Any) -> None:
    """
    Rows above stay and scroll by; those of the foot are drawn in their place.
    """
    drawn.draw(["three"], ["stays"])

    assert screen.text() == "stays\nthree"


def test_nothing_new(screen: Any, drawn: Any) -> None:
    """
    A foot that is as it was is not written again.
    """
    before = len(screen.read())

    drawn.draw(["one", "two"], [])
    drawn.wrote("")

    assert len(screen.read()) - before < 20  # the mark of `read` itself


def test_lines(screen: Any, drawn: Any) -> None:
    """
    Whole lines go above the foot; one that has not ended is its first row.
    """
    drawn.wrote("a\nb\nc")
    assert screen.text() == "a\nb\nc\none\ntwo"

    drawn.wrote("d\n")
    assert screen.text() == "a\nb\ncd\none\ntwo"


def test_colours_of_others(screen: Any, drawn: Any) -> None:
    """
    What others write keeps its colours, also in a line that has not ended.
    """
    drawn.wrote("\x1b[31mred")
    assert b"\x1b[31mred\x1b[0m\r\none" in screen.read()

    drawn.wrote("\x1b[0m\n")
    assert b"\x1b[31mred\x1b[0m\r\n\x1b[?25l" in screen.read()


def test_progress_bars(screen: Any, drawn: Any) -> None:
    """
    Of a line that begins anew, as progress bars do, only what is seen is kept.
    """
    for percent in range(101):
        drawn.wrote(f"\r{percent} %")

    assert screen.text() == "100 %\none\ntwo"
    assert drawn._line == "100 %"

    drawn.wrote("\r")
    drawn.wrote("\ndone\n")
    assert screen.text() == "100 %\ndone\none\ntwo"


@pytest.mark.parametrize("sign", ["x", "漢"])
def test_long_lines(screen: Any, drawn: Any, sign: str) -> None:
    """
    A line that is longer than the terminal is wide goes on in the next row.
    """
    for _ in range(10):
        drawn.wrote(sign * 20)

    wide = 200 if sign == "x" else 400
    assert screen.rows()[: wide // 80] == [sign * (80 * 200 // wide)] * (wide // 80)
    assert screen.text().endswith("one\ntwo")


def test_text_without_an_end(screen: Any, drawn: Any) -> None:
    """
    Text that goes on and on is not kept: the line is ended for it.
    """
    drawn.wrote("\x1b[1m" + "x" * 10_000)

    assert drawn._line == ""
    assert screen.text().endswith("xxx\none\ntwo")


def test_leaving(screen: Any, drawn: Any) -> None:
    """
    When there is no foot any longer, a line that has not ended is as it was written.
    """
    drawn.wrote("a\nb")
    drawn.draw([], [])
    drawn.leave()
    screen.file.write("c\n")
    screen.file.flush()

    assert screen.text() == "a\nbc"
    assert screen.is_as_before


def test_smaller_terminal(screen: Any, drawn: Any) -> None:
    """
    On a terminal that is made smaller, what is drawn fits at once.
    """
    drawn.draw([f"row {n}" for n in range(20)], [])
    screen.resize(40, 10)

    drawn.wrote("said\n")

    assert drawn.size == (40, 8)
    assert screen.rows()[-10:] == ["said", *(f"row {n}" for n in range(8)), ""]


def test_stream_that_cannot_encode(screen: Any) -> None:
    """
    Characters that a stream's encoding lacks are written as escapes.
    """
    from instrument.handlers._tree.screen import Screen

    with screen.opened(encoding="ascii") as file:
        made = Screen(file)
        made.draw(["müde"], [])

    assert made.marks.is_ascii
    assert screen.text() == "m\\xfcde"


def test_unknown_size() -> None:
    """
    A terminal whose size is not known is taken for one of 80 by 24.
    """
    from instrument.handlers._tree.screen import Screen

    assert Screen(io.StringIO()).size == (80, 22)


def test_size_of_nothing(screen: Any, drawn: Any) -> None:
    """
    So is one that says that it has none.
    """
    screen.resize(0, 0)

    assert drawn.size == (80, 22)


def test_stream_that_was_closed(screen: Any, drawn: Any) -> None:
    """
    Where the terminal has been closed, what others write goes its own way.
    """
    wrote: list[str] = []
    screen.file.close()

    drawn.write(wrote.append, "a\n")

    assert wrote == ["a\n"]
