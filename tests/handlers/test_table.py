"""
`Table`: aligned text, escaped HTML.
"""

from instrument.handlers._shared.table import Table, written_count


def test_text_is_aligned() -> None:
    """
    Names stand on the left, numbers on the right.
    """
    table = Table(["run", "count"], [["answer", "1,000"], ["f", "2"]])

    assert table.text() == "run     count\nanswer  1,000\nf           2"


def test_empty_columns_are_left_out() -> None:
    """
    A column of numbers whose cells are all empty is left out, one of names is kept.
    """
    rows = [["", "", "1"], ["", "", ""]]

    assert Table(["name", "none", "some"], rows).text().split("\n")[0] == "name  some"


def test_no_rows() -> None:
    """
    Without rows the names' heads are left.
    """
    assert Table(["run", "count"], []).text() == "run"
    assert Table(["run"], []).html().count("<tr>") == 1


def test_hostile_text() -> None:
    """
    Cells are printable, cut, and escaped in HTML.
    """
    name = "<script>\x1b[2J\r\n{}<red>\ud800" + "x" * 10_000_000
    table = Table(["run"], [[name]])

    text, html = table.text(), table.html()

    assert text.count("\n") == 1
    assert text.replace("\n", "").isprintable()
    assert len(text) < 200
    assert "<script>" not in html
    assert "&lt;script&gt;\\x1b[2J" in html
    html.encode("utf-8")


def test_html_needs_nothing_from_outside() -> None:
    """
    The HTML has no colours and loads nothing: it fits any theme.
    """
    html = Table(["run", "count"], [["f", "2"]]).html()

    assert html.startswith("<table>")
    assert not any(word in html for word in ("color", "http", "src=", "<style"))


def test_written_count() -> None:
    """
    Thousands stand apart; what is not known is nothing.
    """
    assert [written_count(n) for n in (None, 0, 1_234_567)] == ["", "0", "1,234,567"]
