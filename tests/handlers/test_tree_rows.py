"""
The rows of trees as text in colour.
"""

from typing import Any

import pytest

from instrument import Usage

pytest.importorskip("rich")


def rows_of(
    garden: Any, width: int = 80, height: int = 24, **options: Any
) -> list[str]:
    """
    Write the trees of a garden that grow, as text.
    """
    from instrument.handlers._tree.rows import Rows

    rows = Rows(**options).live(list(garden.running), width, height)
    return [row.plain for row in rows]


@pytest.mark.parametrize("width", [1, 2, 5, 20, 79])
def test_width(plant: Any, width: int) -> None:
    """
    No row is wider than the terminal, however narrow that is, and deep the tree.
    """
    from rich.cells import cell_len

    garden = plant()
    garden.start(1)
    for run in range(2, 30):
        garden.start(run, run - 1)
    next(iter(garden.running)).top.name = "漢字" * 40

    rows = rows_of(garden, width, 100)

    assert len(rows) == 29
    assert max(cell_len(row) for row in rows) <= width
    assert all("llm" in row for row in rows[1:]) == (width >= 20)


def test_ascii(plant: Any) -> None:
    """
    A stream that knows no other characters gets plain ones.
    """
    garden = plant()
    garden.start(1)
    garden.start(2, 1)
    garden.start(3, 2)
    garden.start(4, 1)
    garden.end(3, 2)
    garden.end(4, status="error")

    rows = rows_of(garden, 14, ascii_only=True)

    assert "".join(rows).isascii()
    assert [row[:9] for row in rows[1:]] == [
        "|- + llm ",
        "|  `- + l",
        "`- x llm ",
    ]
    assert rows[2].endswith("~")


def test_many_requests(plant: Any) -> None:
    """
    Of more requests than there are rows the newest are seen; the others are counted.
    """
    garden = plant()
    for run in range(1, 1_501):
        garden.start(run, root=run)

    rows = rows_of(garden, height=4)

    assert rows[0] == "… 1,497 more requests"
    assert [row.split()[2] for row in rows[1:]] == ["1498", "1499", "1500"]


def test_fair_shares(plant: Any) -> None:
    """
    A small tree is seen whole beside a big one, which folds.
    """
    garden = plant()
    garden.start(1)
    garden.start(200, root=200)
    for run in range(2, 100):
        garden.start(run, 1)
        garden.end(run)

    rows = rows_of(garden, height=10)

    assert len(rows) == 10
    assert rows[1] == "├─ … 91 more: 91 ok"
    assert " 200 " in rows[-1]


def test_folded_runs_are_counted(plant: Any) -> None:
    """
    A row into which others are folded says how many runs it stands for.
    """
    garden = plant()
    garden.start(1)
    garden.start(2, 1)
    garden.start(3, 2)
    garden.end(3, 2)

    rows = rows_of(garden, height=2)

    assert rows[1] == "└─ ✓ llm 2  2 ns  2 runs  2 in"


@pytest.mark.parametrize(
    "usage, told",
    [
        (Usage(), "5 tokens  2 tokens/s"),
        (Usage(input_tokens=1_000), "1,000 in  2 tokens/s"),
        (Usage(output_tokens=7), "7 out  2 tokens/s"),
        (Usage(cost_usd=0.00012), "$0.0001  2 tokens/s"),
    ],
)
def test_tokens(plant: Any, usage: Usage, told: str) -> None:
    """
    What its provider told goes before what was counted; speed is of what was counted.
    """
    from instrument.handlers._tree.rows import Rows

    garden = plant()
    garden.start(1)
    for _ in range(5):
        garden.token(1)
    garden.end(1)
    top = garden.done[0].top
    top.usage, top.ended_ns, top.first_ns = usage, 3_000_000_000, 1_000_000_000

    (row,) = Rows().whole(garden.done[0], 80)

    assert row.plain == f"✓ llm 1  3.0 s  {told}"


def test_one_token_has_no_speed(plant: Any) -> None:
    """
    One token, or all of them in no time, is no speed.
    """
    from instrument.handlers._tree.rows import Rows

    garden = plant()
    garden.start(1)
    garden.start(2, 1)
    for run in (1, 2, 2):
        garden.token(run)
    garden.end(2, 1)
    for node in garden.done[0].ended:
        node.first_ns = node.ended_ns

    rows = Rows().whole(garden.done[0], 80)

    assert not any("/s" in row.plain for row in rows)
