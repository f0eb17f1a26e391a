"""
Draw the table of `peers` as SVG: what a call costs, off and on, on a scale of powers of
ten.

Its colours are read on a light and on a dark page alike, and nothing is behind it.
"""

import math
import re
from html import escape

WIDTH = 860
_LEFT, _RIGHT, _TOP, _ROW = 270, 180, 92, 34
_BOTTOM = 56
_RADIUS = 6
_OFF_COLUMN, _ON_COLUMN = WIDTH - 92, WIDTH - 16
_TEXT, _GRID, _THEIRS, _OURS = "#7d8590", "#8c959f", "#8c959f", "#d9730d"
_FONT = "ui-sans-serif, system-ui, -apple-system, 'Segoe UI', sans-serif"


def drawn(rows: list[list[str]]) -> str:
    """
    Draw the rows of a table, its head first; others' cells are multiples of the first
    row's, which are microseconds.
    """
    ours, *theirs = rows[1:]
    off_us, on_us = _number(ours[1]), _number(ours[2])
    costs = [(ours[0], off_us, on_us)]
    for name, off, on, *_ in theirs:
        costs.append((name, off_us * _number(off), on_us * _number(on)))
    costs = [costs[0], *sorted(costs[1:], key=lambda cost: cost[2])]

    scale = _Scale(
        math.floor(math.log10(min(off for _, off, _ in costs))),
        math.ceil(math.log10(max(on for _, _, on in costs))),
    )
    height = _TOP + len(costs) * _ROW + _BOTTOM
    parts = [*_head(), *_grid(scale, height)]
    for at, cost in enumerate(costs):
        parts += _row(scale, _TOP + at * _ROW + _ROW / 2, *cost, is_ours=at == 0)
    return "\n".join([_opening(height), *parts, "</svg>", ""])


class _Scale:
    """
    Where a number of microseconds is, between two powers of ten.
    """

    def __init__(self, low: int, high: int) -> None:
        self.low, self.high = low, high

    def x(self, us: float) -> float:
        share = (math.log10(us) - self.low) / (self.high - self.low)
        return round(_LEFT + share * (WIDTH - _LEFT - _RIGHT), 1)


def _opening(height: float) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height:.0f}"'
        f' viewBox="0 0 {WIDTH} {height:.0f}" role="img" font-family="{_FONT}"'
        f' font-size="13" fill="{_TEXT}">\n'
        "<title>What a traced call costs, switched off and on, on a logarithmic"
        " scale</title>"
    )


def _head() -> list[str]:
    y = 56
    return [
        _label(16, 24, "What one traced call costs", size=16, weight="600"),
        _dot(22, y, _THEIRS, is_full=False),
        _label(36, y + 4, "switched off"),
        _dot(136, y, _THEIRS, is_full=True),
        _label(150, y + 4, "on, its cheapest sink"),
        _label(_OFF_COLUMN, _TOP - 12, "off", anchor="end"),
        _label(_ON_COLUMN, _TOP - 12, "on", anchor="end"),
    ]


def _grid(scale: _Scale, height: float) -> list[str]:
    parts = []
    bottom = height - _BOTTOM
    for power in range(scale.low, scale.high + 1):
        x = scale.x(10.0**power)
        parts.append(
            f'<line x1="{x}" y1="{_TOP}" x2="{x}" y2="{bottom:.0f}" stroke="{_GRID}"'
            ' stroke-opacity="0.35"/>'
        )
        name = f"{10**power:,}" if power >= 0 else f"{10.0**power:g}"
        parts.append(_label(x, bottom + 20, name, anchor="middle"))
    middle = (_LEFT + WIDTH - _RIGHT) / 2
    about = "microseconds of CPU time, each step ten times the last"
    return [*parts, _label(middle, bottom + 42, about, anchor="middle")]


def _row(
    scale: _Scale, y: float, name: str, off_us: float, on_us: float, *, is_ours: bool
) -> list[str]:
    colour, weight = (_OURS, "600") if is_ours else (_THEIRS, "400")
    text = _OURS if is_ours else _TEXT
    off, on = scale.x(off_us), scale.x(on_us)
    line = (
        f'<line x1="{off + _RADIUS}" y1="{y}" x2="{on - _RADIUS}" y2="{y}"'
        f' stroke="{colour}" stroke-width="2"/>'
    )
    return [
        _label(16, y + 4, name, weight=weight, colour=text),
        line,
        _dot(off, y, colour, is_full=False),
        _dot(on, y, colour, is_full=True),
        _label(_OFF_COLUMN, y + 4, _us(off_us), anchor="end", colour=text),
        _label(_ON_COLUMN, y + 4, _us(on_us), anchor="end", colour=text),
    ]


def _dot(x: float, y: float, colour: str, *, is_full: bool) -> str:
    fill = colour if is_full else "none"
    return (
        f'<circle cx="{x}" cy="{y}" r="{_RADIUS}" fill="{fill}" stroke="{colour}"'
        ' stroke-width="2"/>'
    )


def _label(
    x: float,
    y: float,
    text: str,
    *,
    anchor: str = "start",
    size: int = 13,
    weight: str = "400",
    colour: str = _TEXT,
) -> str:
    return (
        f'<text x="{x}" y="{y}" text-anchor="{anchor}" font-size="{size}"'
        f' font-weight="{weight}" fill="{colour}">{escape(text)}</text>'
    )


def _us(us: float) -> str:
    digits = 0 if us >= 10 else 1 if us >= 1 else 2
    return f"{us:.{digits}f} us"


def _number(cell: str) -> float:
    found = re.match(r"[\d.]+", cell)
    assert found is not None, cell
    return float(found[0])
