"""
The rows of trees as segments.
"""

import re
from typing import Any

import pytest

from instrument import Usage
from instrument.handlers._shared.style import Marks, cells, plain
from instrument.handlers._tree.rows import Rows

FAILED = {"status": "error", "error": ("E", ["no"]), "is_origin": True}


def rows_of(
    garden: Any, width: int = 80, height: int = 24, encoding: str = "utf-8"
) -> list[str]:
    """
    Write the trees of a garden that grow, as text without durations.
    """
    rows = Rows(Marks(encoding))
    written = rows.live(list(garden.running), width, height)
    return [plain(line)[9:].rstrip() for _, lines in written for line in lines]


def whole(garden: Any, width: int = 80) -> list[str]:
    """
    Write the tree that is done.
    """
    (tree,) = garden.done
    return [plain(line)[9:].rstrip() for line in Rows(Marks()).whole(tree, width)]


@pytest.mark.parametrize("width", [1, 2, 5, 20, 79, 109, 110, 300])
def test_width(plant: Any, width: int) -> None:
    """
    No row is wider than the terminal, however narrow that is, and deep the tree.
    """
    garden = plant()
    garden.start(1, name="漢字" * 20)
    for run in range(2, 30):
        garden.start(run, run - 1)
    for run in range(30, 40):
        garden.start(run, run - 1, is_model=False, kind="tool", given="漢" * 60)
        garden.end(run, came="字" * 60)

    written = Rows(Marks()).live(list(garden.running), width, 100)

    lines = [plain(line) for _, lines in written for line in lines]
    assert len(lines) == 39
    assert max(map(cells, lines)) <= width


def test_indent_has_an_end(plant: Any) -> None:
    """
    The lines that lead to a row take a third of the width at most.
    """
    garden = plant()
    garden.start(1)
    for run in range(2, 30):
        garden.start(run, run - 1)

    rows = rows_of(garden, 60, 40)

    assert all("llm" in row for row in rows)
    assert re.match(r"… {16}└─ . llm 29", rows[-1])


def test_ascii(plant: Any) -> None:
    """
    A stream that knows no other characters gets plain ones.
    """
    garden = plant()
    garden.start(1)
    garden.start(2, 1)
    garden.start(3, 2)
    garden.start(4, 1)
    garden.start(5, 1)
    garden.end(3, 2)
    garden.end(4, status="error")
    garden.end(5, status="cancelled", usage=Usage())

    rows = rows_of(garden, 40, encoding="ascii")

    assert "".join(rows).isascii()
    assert [row[:9] for row in rows[1:]] == [
        "|- + llm ",
        "|  `- + l",
        "|- x llm ",
        "`- ~ llm ",
    ]
    assert rows[0][0] in "|/-\\"


def test_no_room_for_what_runs(plant: Any) -> None:
    """
    Where not even what runs has room, it is said how many rows are left out.
    """
    garden = plant()
    garden.start(1)
    for run in range(2, 10):
        garden.start(run, 1)

    assert rows_of(garden, height=4)[1] == "   … 6 rows"


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
    assert rows[1] == "├─ … 91 more: 91 llm, all ok"
    assert " 200 " in rows[-1]


def test_folded_runs_are_counted(plant: Any) -> None:
    """
    A row into which others are folded says how many runs it stands for, how many of them
    failed, and what they consumed.
    """
    garden = plant()
    garden.start(1)
    garden.start(2, 1)
    for run in (3, 4):
        garden.start(run, 2)
    garden.end(3)
    garden.end(4, **FAILED)
    garden.end(2)

    assert rows_of(garden, height=2)[1] == "└─ ✓ llm 2  3 runs, 1 failed, 9 in"


def test_what_ended_badly_is_counted_last(plant: Any) -> None:
    """
    Where even what failed has no row, the count says what is in it.
    """
    garden = plant()
    garden.start(1)
    for run in range(2, 8):
        garden.start(run, 1)
    garden.end(2, 3)
    garden.end(4, **FAILED)
    garden.end(5, status="cancelled")

    assert rows_of(garden, height=6)[1:3] == [
        "├─ … 2 more: 2 llm, all ok",
        "├─ ✗ llm 4  E: no  4 in",
    ]
    assert rows_of(garden, height=4)[1] == "├─ … 4 more: 4 llm, 1 cancelled, 1 failed"


@pytest.mark.parametrize(
    "usage, cost_usd, told",
    [
        (Usage(), None, "5 tokens, 4 tok/s"),
        (Usage(input_tokens=1_000), None, "1,000 in, 4 tok/s"),
        (Usage(output_tokens=7), 0.00012, "7 out, $0.00012, 4 tok/s"),
    ],
)
def test_tokens(plant: Any, usage: Usage, cost_usd: float | None, told: str) -> None:
    """
    What its provider told goes before what was counted; speed is of what was counted.
    """
    garden = plant()
    garden.start(1)
    for quarter in range(5):
        garden.token(1, first_ns=0, last_ns=quarter * 10**9 // 4)
    garden.end(1, usage=usage, cost_usd=cost_usd)

    assert whole(garden) == [f"✓ llm 1  {told}"]


def test_one_token_has_no_speed(plant: Any) -> None:
    """
    One token, or all of them in no time, is no speed.
    """
    garden = plant()
    garden.start(1)
    garden.start(2, 1)
    garden.token(1)
    garden.end(2, 1)

    assert not any("/s" in row for row in whole(garden))


def test_what_a_model_does(plant: Any) -> None:
    """
    A model that runs says whether it is waited for, thinks, calls or answers, and its
    newest words; of half a call nothing is shown.
    """
    garden = plant()
    garden.start(1)
    for run in range(2, 6):
        garden.start(run, 1)
    garden.start(6, 1, kind="embedding")
    garden.token(3, "so the\nfigure", "reasoning")
    garden.token(4, "so", "reasoning", first_ns=0, last_ns=0)
    garden.token(4, "It is", first_ns=0, last_ns=10**9)
    garden.token(5, '{"password": "', "tool_call")

    assert [row[3:].partition("  ")[2] for row in rows_of(garden)] == [
        "waiting for the first token",
        "waiting for the first token",
        "thinking, 1 out  so the figure",
        "2 out, 1 tok/s  It is",
        "calling, 1 out",
        "",
    ]


def test_what_is_told_meanwhile(plant: Any) -> None:
    """
    A retry is said in the row of its run, an event of the application while it runs.
    """
    garden = plant()
    garden.start(1, kind="tool", is_model=False, given="city='Rome'")
    garden.retry(1, "1 of 3")
    garden.tell(1, "progress 0.5")

    row = rows_of(garden)[0][2:]
    assert row == "tool 1  retry 1 of 3  progress 0.5  city='Rome'"
    garden.end(1)
    assert whole(garden) == ["✓ tool 1  retry 1 of 3  city='Rome'"]


def test_in_and_out(plant: Any) -> None:
    """
    What went in takes two fifths of the room at most, where both do not fit.
    """
    garden = plant()
    garden.start(1, kind="tool", is_model=False, given="i" * 100)
    garden.end(1, came="o" * 100)

    (row,) = whole(garden)

    assert row == "✓ tool 1  " + "i" * 23 + "… → " + "o" * 33 + "…"


def test_one_of_both(plant: Any) -> None:
    """
    What came out of what took nothing stands behind an arrow.
    """
    garden = plant()
    garden.start(1, kind="tool", is_model=False)
    garden.end(1, came="7")

    assert whole(garden) == ["✓ tool 1  → 7"]


@pytest.mark.parametrize(
    "asked, answered, told",
    [
        ("1", "1-2026-01-01", ""),
        ("gpt", "gpt-2026-01-01", "gpt, "),
        ("gpt", "other", "other, "),
        ("", "other", "other, "),
    ],
)
def test_models(plant: Any, asked: str, answered: str, told: str) -> None:
    """
    A model is said where the name is not its own: the one that answered, if it is
    another than was asked by more than a date.
    """
    garden = plant()
    garden.start(1, model=asked)
    garden.end(1, model=answered)

    assert whole(garden) == [f"✓ llm 1  {told}1 in"]


def test_errors(plant: Any) -> None:
    """
    An error stands whole below its row, line for line and broken within no word; one
    without a message stands in the row.
    """
    garden = plant()
    garden.start(1, is_model=False, kind="chain")
    garden.start(2, 1)
    garden.start(3, 2)
    garden.start(4, 1)
    address = "https://" + "x" * 80
    garden.end(3)
    garden.end(2, error=("E", [f"see {address}", "  there"]), error_id=1, **BAD)
    garden.end(4, error=("Empty", []), error_id=2, **BAD)
    garden.end(1, status="error", error=("E", []), error_id=1)

    assert whole(garden) == [
        "✗ chain 1  E from llm 2",
        "├─ ✗ llm 2  2 in",
        "│  │ E: see",
        f"│  │ {address}",
        "│  │   there",
        "│  └─ ✓ llm 3  3 in",
        "└─ ✗ llm 4  Empty  4 in",
        "4 runs, 2 failed, 3 model calls, 9 in  id 000001",
    ]


BAD = {"status": "error", "is_origin": True}


def test_error_from_what_is_not_heard(plant: Any) -> None:
    """
    Of an error whose origin is not heard that is said.
    """
    garden = plant()
    garden.start(1, is_model=False)
    garden.end(1, status="error", error=("E", []), error_id=1)

    assert whole(garden) == ["✗ llm 1  E from within", "1 run, 1 failed  id 000001"]


def test_error_that_nobody_told(plant: Any) -> None:
    """
    A run that ended as error without an exception says so.
    """
    garden = plant()
    garden.start(1, is_model=False)
    garden.end(1, status="error")

    assert whole(garden)[0] == "✗ llm 1  error"


def test_left_early(plant: Any) -> None:
    """
    Of a stream that was left it is told after how many pieces.
    """
    garden = plant()
    garden.start(1)
    garden.token(1)
    garden.end(1, status="abandoned", usage=Usage(), came="'It'")

    assert whole(garden) == ["■ llm 1  abandoned after 1 token  → 'It'"]


def test_footer_keeps_the_id(plant: Any) -> None:
    """
    Where there is little room the sums are cropped, not the id.
    """
    garden = plant()
    garden.start(1)
    garden.start(2, 1)
    garden.end(2, 1)

    assert whole(garden, 40)[-1] == "2 runs, 2 model cal…  id 000001"


def test_model_calls_that_told_nothing(plant: Any) -> None:
    """
    They are counted all the same.
    """
    garden = plant()
    garden.start(1)
    garden.start(2, 1)
    garden.end(2, 1, usage=Usage())

    assert whole(garden)[-1] == "2 runs, 2 model calls  id 000001"
