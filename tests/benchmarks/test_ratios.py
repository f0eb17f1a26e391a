"""
The limits of section 7 of the design, and that the guide tells them.

What counts instructions is not run by default: ``-m benchmark`` does.
"""

import platform
import re

import pytest

from tests.benchmarks import guide, instructions
from tests.benchmarks.measure import Figures, more
from tests.benchmarks.ratios import PART, Measured, can_measure, table
from tests.benchmarks.rows import ROWS

MARGIN = 1.05
"""A count moves by one in a hundred."""

NOISE = 0.003
"""Of a call of others, of five million instructions: what we add to it moves by this."""

HEAD, *TOLD = guide.rows(PART)
COLUMN = platform.python_version().rpartition(".")[0]
HELD = [
    name
    for name, row in ROWS.items()
    if row.unit == "B" or (row.pair and can_measure(row))
]
"""What is counted, in instructions or bytes: times move."""


def told(name: str) -> str:
    """
    Give what the guide says of a row on this Python.
    """
    cells = next(cells for cells in TOLD if cells[0] == name)
    return dict(zip(HEAD, cells, strict=True)).get(COLUMN, "-")


def test_guide_has_every_row() -> None:
    """
    The guide's table has the rows of the command, in its order, with their bars.
    """
    _, _, *lines = table(list(ROWS), [Measured(platform.python_version())])

    printed = [guide.cells(line)[:2] for line in lines]
    assert [cells[:2] for cells in TOLD] == printed


def test_guide_tells_what_is_missed() -> None:
    """
    A figure of the guide is said to be met exactly where it is within its bar.
    """
    wrong = [
        (cells[0], cell)
        for cells in TOLD
        for cell in cells[2:]
        if (found := re.fullmatch(r"(?:\*\*)?(.+?), (met|missed)(?:\*\*)?", cell))
        and ROWS[cells[0]].is_met(figure(found[1])) != (found[2] == "met")
    ]

    assert wrong == []


def figure(cell: str) -> float:
    """
    Read the figure of a cell.
    """
    found = re.search(r"-?[\d,.]+", cell)
    assert found is not None, cell
    return float(found[0].replace(",", ""))


@pytest.fixture(scope="module")
def counted(request: pytest.FixtureRequest) -> dict[str, Figures]:
    """
    Count what is asked for in one process: under callgrind each takes seconds to start.
    """
    tests = (it for it in request.session.items if isinstance(it, pytest.Function))
    rows = (it for it in tests if it.originalname == "test_row")
    asked = [str(it.callspec.params["name"]) for it in rows]
    return instructions.counted([name for name in asked if ROWS[name].pair])


@pytest.mark.benchmark
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("name", HELD)
def test_row(name: str, counted: dict[str, Figures]) -> None:
    """
    What meets its bar in the guide stays within it, what misses it gets no dearer.
    """
    row, cell = ROWS[name], told(name)
    if cell == "-":
        pytest.skip("the guide says nothing of it on this Python")
    if row.pair and not instructions.is_possible():
        pytest.skip("valgrind is not installed")
    most = figure(cell) if row.bar is None or cell.startswith("**") else row.bar

    found = row.measure() if row.measure is not None else counted[name]

    noise = NOISE * found.floor if row.judge is more else 0
    assert found.judged(row.judge) <= most * MARGIN + noise
