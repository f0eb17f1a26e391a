"""
Tables of what a handler has counted: as text, and as HTML for notebooks.
"""

import sys
from collections.abc import Mapping
from html import escape

from instrument._text import safe_repr
from instrument.handlers._shared.style import Marks, cells, terminal_width

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

_WIDEST = 40
_APART = 2
_ELSE = 140
"""The width where no terminal tells one."""


class Table:
    """
    Rows under a head: the first *names* columns are names, the others numbers.

    Args:
        head: What stands over each column.
        rows: The cells. Names are untrusted: they are made printable and cut. A
            column whose cells are all empty is left out.
        names: How many columns stand on the left.
        hint: A line below.
    """

    def __init__(
        self,
        head: "Sequence[str]",
        rows: "Iterable[Sequence[str]]",
        names: int = 1,
        hint: str = "",
    ) -> None:
        marks = Marks()
        shown = [
            [marks.cropped(marks.shown(it), _WIDEST) for it in row] for row in rows
        ]
        columns = [
            (i < names, [title, *(row[i] for row in shown)])
            for i, title in enumerate(head)
            if i < names or any(row[i] for row in shown)
        ]
        self._hint = hint
        self._on_left = [on_left for on_left, _ in columns]
        self._rows = list(zip(*(told for _, told in columns), strict=True))
        self._widths = [max(map(cells, told)) for _, told in columns]

    @property
    def head(self) -> tuple[str, ...]:
        """
        What stands over the columns that are there.
        """
        return self._rows[0]

    @property
    def widths(self) -> list[int]:
        """
        How wide these are.
        """
        return self._widths

    def text(self) -> str:
        """
        Write it aligned, a line a row, without an end of line.
        """
        return "\n".join([*map(self._line, self._rows), *filter(None, [self._hint])])

    def html(self) -> str:
        """
        Write it as one ``<table>`` without colours, so that it fits any theme.
        """
        head, *rows = self._rows
        body = "".join(self._html_row("td", row) for row in rows)
        hint = f"<div>{escape(self._hint)}</div>" if self._hint else ""
        return (
            f"<table><thead>{self._html_row('th', head)}</thead>"
            f"<tbody>{body}</tbody></table>{hint}"
        )

    def _line(self, row: tuple[str, ...]) -> str:
        told = zip(row, self._widths, self._on_left, strict=True)
        aligned = (_aligned(cell, width, on_left) for cell, width, on_left in told)
        return (" " * _APART).join(aligned).rstrip()

    def _html_row(self, tag: str, row: tuple[str, ...]) -> str:
        told = (
            f'<{tag} style="text-align:{"left" if on_left else "right"}">'
            f"{escape(cell)}</{tag}>"
            for cell, on_left in zip(row, self._on_left, strict=True)
        )
        return f"<tr>{''.join(told)}</tr>"


def fitting(table: Table, names: int, order: "Sequence[str]", width: int) -> list[str]:
    """
    Tell which columns of numbers there is room for, taken in that order.
    """
    sizes = dict(zip(table.head, table.widths, strict=True))
    room = width + _APART - sum(table.widths[:names]) - _APART * names
    taken: list[str] = []
    for column in order:
        room -= sizes[column] + _APART
        if room < 0 and taken:
            break
        taken.append(column)
    return taken


def width_of_tables() -> int:
    """
    Tell how wide a table may be: as standard output is.
    """
    return terminal_width(sys.stdout) or _ELSE


def written_count(value: int | None) -> str:
    """
    Write a number with its thousands apart; None as nothing.
    """
    return "" if value is None else f"{value:,}"


def listed(rows: "Any", handler: str) -> "list[Any]":
    """
    Give the rows that a handler is to add.

    Raises:
        TypeError: If they are none.
    """
    if isinstance(rows, Mapping) or not hasattr(type(rows), "__iter__"):
        message = (
            f"merge() takes a {handler}, or what to_dicts() gives, not"
            f" {safe_repr(rows)}."
        )
        raise TypeError(message)
    return list(rows)


def _aligned(cell: str, width: int, on_left: bool) -> str:
    blanks = " " * (width - cells(cell))
    return cell + blanks if on_left else blanks + cell
