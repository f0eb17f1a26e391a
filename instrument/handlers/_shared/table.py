"""
Tables of what a handler has counted: as text, and as HTML for notebooks.
"""

from html import escape

from instrument._text import cut, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_WIDEST = 40


class Table:
    """
    Rows under a head: the first *names* columns are names, the others numbers.

    Args:
        head: What stands over each column.
        rows: The cells. Names are untrusted: they are made printable and cut. A
            column whose cells are all empty is left out.
        names: How many columns stand on the left.
    """

    def __init__(
        self, head: "list[str]", rows: "Iterable[list[str]]", names: int = 1
    ) -> None:
        shown = [[cut(printable(cell), _WIDEST) for cell in row] for row in rows]
        columns = [
            (i < names, [title, *(row[i] for row in shown)])
            for i, title in enumerate(head)
            if i < names or any(row[i] for row in shown)
        ]
        self._on_left = [on_left for on_left, _ in columns]
        self._rows = list(zip(*(cells for _, cells in columns), strict=True))
        self._widths = [max(map(len, cells)) for _, cells in columns]

    def text(self) -> str:
        """
        Write it aligned, a line a row, without an end of line.
        """
        return "\n".join(map(self._line, self._rows))

    def html(self) -> str:
        """
        Write it as one ``<table>`` without colours, so that it fits any theme.
        """
        head, *rows = self._rows
        body = "".join(self._html_row("td", row) for row in rows)
        return (
            f"<table><thead>{self._html_row('th', head)}</thead>"
            f"<tbody>{body}</tbody></table>"
        )

    def _line(self, row: "tuple[str, ...]") -> str:
        cells = zip(row, self._widths, self._on_left, strict=True)
        aligned = (c.ljust(w) if on_left else c.rjust(w) for c, w, on_left in cells)
        return "  ".join(aligned).rstrip()

    def _html_row(self, tag: str, row: "tuple[str, ...]") -> str:
        cells = (
            f'<{tag} style="text-align:{"left" if on_left else "right"}">'
            f"{escape(cell)}</{tag}>"
            for cell, on_left in zip(row, self._on_left, strict=True)
        )
        return f"<tr>{''.join(cells)}</tr>"


def written_count(value: int | None) -> str:
    """
    Write a number with its thousands apart; None as nothing.
    """
    return "" if value is None else f"{value:,}"
