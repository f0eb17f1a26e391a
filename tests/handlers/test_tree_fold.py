"""
Which runs of a tree get a row of their own, when there is not room for all.
"""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from instrument.handlers._tree.fold import Fold
from instrument.handlers._tree.forest import Tree


@pytest.fixture
def grown(plant: Any) -> Any:
    """
    Grow a tree: a run with two parts done and one at work, each with two runs below.
    """

    def grow(*, running: bool = True) -> Tree:
        garden = plant()
        garden.start(1)
        for part in (10, 20, 30):
            garden.start(part, 1)
            garden.start(part + 1, part)
            garden.start(part + 2, part)
        garden.end(11, 12, 10, 22, 21, 20, 31)
        if not running:
            garden.end(32, 30, 1)
        (tree,) = garden.running or garden.done
        return tree  # type: ignore[no-any-return]

    return grow


def shown(tree: Tree, height: int | None = None) -> list[str]:
    """
    Write the rows that a tree gets.
    """
    return [written(row) for row in Fold(tree).rows(height)]


def written(row: Any) -> str:
    """
    Write a row.
    """
    if row.node is not None:
        return f"{row.guide}{row.node.began.name} {row.runs}"
    if row.more is None:
        return f"{row.rows} rows"
    each = (f"{times} {status}" for (_, status), times in sorted(row.more.items()))
    return f"{row.more.total()} more: {', '.join(each)}"


def test_all_rows(grown: Any) -> None:
    """
    Where there is room each run has a row, below what called it.
    """
    rows = shown(grown(running=False))

    assert rows == shown(grown(), 10)
    assert rows == [
        "1 1",
        "├─ 10 1",
        "│  ├─ 11 1",
        "│  └─ 12 1",
        "├─ 20 1",
        "│  ├─ 21 1",
        "│  └─ 22 1",
        "└─ 30 1",
        "   ├─ 31 1",
        "   └─ 32 1",
    ]


def test_done_subtrees_fold_first(grown: Any) -> None:
    """
    Done subtrees fold to one row each, the oldest first, and no more than needed.
    """
    assert shown(grown(), 9)[:3] == ["1 1", "├─ 10 3", "├─ 20 1"]
    assert shown(grown(), 7)[:3] == ["1 1", "├─ 10 3", "├─ 20 3"]


def test_done_siblings_are_counted_then(grown: Any) -> None:
    """
    Done siblings are counted in one row then; what runs keeps its row.
    """
    assert shown(grown(), 5) == [
        "1 1",
        "6 more: 6 ok",
        "└─ 30 1",
        "   ├─ 31 1",
        "   └─ 32 1",
    ]


def test_what_runs_is_left_out_last(grown: Any) -> None:
    """
    Where not even what runs has room, the top and the newest are seen.
    """
    assert shown(grown(), 4) == ["1 1", "2 rows", "   ├─ 31 1", "   └─ 32 1"]
    assert shown(grown(), 3) == ["1 1", "3 rows", "   └─ 32 1"]
    assert shown(grown(), 2) == ["1 1", "6 more: 6 ok"]
    assert shown(grown(), 1) == shown(grown(), 0) == ["1 1"]


def test_done_tree_is_one_row_at_last(grown: Any) -> None:
    """
    A tree that is done may fold whole; its top is never counted only.
    """
    assert shown(grown(running=False), 1) == ["1 10"]


def test_what_failed_folds_later(plant: Any) -> None:
    """
    What failed keeps its row, and that of what is around it, until all that ended well
    is folded.
    """
    garden = plant()
    garden.start(1)
    for part in (10, 20):
        garden.start(part, 1)
        garden.start(part + 1, part)
    garden.end(11, status="error")
    garden.end(10, 21, 20)
    (tree,) = garden.running

    assert shown(tree, 4) == ["1 1", "├─ 10 1", "│  └─ 11 1", "└─ 20 2"]
    assert shown(tree, 3) == ["1 1", "├─ 10 2", "└─ 20 2"]
    assert shown(tree, 2) == ["1 1", "4 more: 1 error, 3 ok"]


def test_rows_for_errors(plant: Any) -> None:
    """
    Where there is room a run has more rows than its own; else they go first.
    """
    garden = plant()
    garden.start(1)
    garden.start(2, 1)
    garden.end(2)
    (tree,) = garden.running

    def fold() -> Fold:
        return Fold(tree, lambda node, depth: 2 * depth)

    assert fold().height == 4
    assert [row.is_whole for row in fold().rows(4)] == [True, True]
    assert [row.is_whole for row in fold().rows(3)] == [False, False]


def test_what_is_not_kept_has_a_row(grown: Any) -> None:
    """
    Runs that are counted only stay counted where siblings are folded into their row.
    """
    tree = grown()
    tree.top.more.update({("llm", "ok"): 5, ("llm", "error"): 2})

    assert "7 more: 2 error, 5 ok" in shown(tree)
    assert "13 more: 2 error, 11 ok" in shown(tree, 5)
    assert tree.top.more.total() == 7


@given(
    parents=some.lists(some.integers(0, 40), max_size=40),
    ended=some.lists(some.integers(2, 41)),
    height=some.integers(1, 45),
)
def test_height_is_kept(
    plant: Any, parents: list[int], ended: list[int], height: int
) -> None:
    """
    Whatever the tree, it has at most the rows there is room for, and tells of each run
    once; the rows that `Fold` counts are those it gives.
    """
    garden = plant()
    garden.start(1)
    for run, parent in enumerate(parents, 2):
        garden.start(run, 1 + parent % (run - 1))
    garden.end(*(run for run in dict.fromkeys(ended) if run < len(parents) + 2))
    (tree,) = garden.running

    fold = Fold(tree)
    before = fold.height
    assert before == len(fold.rows()) == len(parents) + 1
    rows = fold.rows(height)

    assert len(rows) <= height
    assert rows[0].node is tree.top
    if not any(row.rows for row in rows) and len(rows) == fold.height:
        counted = sum(
            row.runs if row.more is None else row.more.total() for row in rows
        )
        assert counted == len(parents) + 1


def test_deep_trees(plant: Any) -> None:
    """
    A tree may be deeper than the interpreter can recurse.
    """
    garden = plant()
    garden.start(1)
    for run in range(2, 1_500):
        garden.start(run, run - 1)

    rows = shown(next(iter(garden.running)))

    assert len(rows) == 1_499
