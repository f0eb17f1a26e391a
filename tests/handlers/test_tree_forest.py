"""
The trees that are shown, as runs start and end.
"""

from collections import Counter
from typing import Any

from instrument.handlers._tree.forest import KEPT, Node


def outline(node: Node) -> object:
    """
    Write a node and what is below it.
    """
    return {node.began.name: [outline(child) for child in node.children.values()]}


def test_tree_of_a_request(plant: Any) -> None:
    """
    A run is below its parent; when the last one has ended the tree is done.
    """
    garden = plant()

    garden.start(1)
    garden.start(2, 1)
    garden.start(3, 2)
    garden.start(4, 1)
    garden.end(3, 2, 4)
    assert len(garden.running) == 1
    garden.end(1)

    (tree,) = garden.done
    assert garden.running == {}
    assert outline(tree.top) == {"1": [{"2": [{"3": []}]}, {"4": []}]}
    assert (tree.runs, tree.totals.written()) == (4, "4 model calls, 10 in")


def test_parent_that_is_not_heard(plant: Any) -> None:
    """
    A run whose parent and root are not heard is the top of a tree.
    """
    garden = plant()

    garden.start(7, parent=6, root=5)
    garden.end(7)

    assert outline(garden.done[0].top) == {"7": []}


def test_parent_that_has_ended(plant: Any) -> None:
    """
    A run whose parent has ended is below it all the same, while the tree grows.
    """
    garden = plant()

    garden.start(1)
    garden.start(2, 1)
    garden.end(2)
    garden.start(3, 2)
    garden.end(3, 1)

    assert outline(garden.done[0].top) == {"1": [{"2": [{"3": []}]}]}


def test_runs_that_are_not_known(plant: Any) -> None:
    """
    What is told of a run whose start was not heard is passed over.
    """
    garden = plant()

    garden.token(1)
    garden.tell(1, "half")
    garden.retry(1, "2")
    garden.end(1)

    assert garden.done == []


def test_many_runs(plant: Any) -> None:
    """
    Of many runs those that ended first are counted, by status, and kept no longer.
    """
    garden = plant()
    garden.start(1)

    for run in range(2, 20_002):
        garden.start(run, 1)
        garden.end(run, status="error" if run % 10 == 0 else "ok")

    (tree,) = garden.running
    assert tree.runs == 20_001
    assert tree.kept == KEPT == 1 + len(tree.top.children)
    counted = Counter({("llm", "ok"): 16_201, ("llm", "error"): 1_800})
    assert tree.top.more == counted
    assert tree.top.spent.consumed() == "162.0M in"
    assert len(tree.ended) == KEPT - 1
    assert len(garden._forest._nodes) == KEPT


def test_many_subtrees(plant: Any) -> None:
    """
    A subtree is counted from within; what was counted below goes with it.
    """
    garden = plant()
    garden.start(1)

    for run in range(2, 10_002, 4):
        garden.start(run, 1)
        for below in (run + 1, run + 2, run + 3):
            garden.start(below, run)
            garden.end(below)
        garden.end(run)

    (tree,) = garden.running
    kept = [tree.top]
    for node in kept:
        kept.extend(node.children.values())
    assert len(kept) == tree.kept == KEPT
    assert len(kept) + sum(node.more.total() for node in kept) == tree.runs == 10_001


def test_what_runs_is_kept(plant: Any) -> None:
    """
    What runs is never counted only, nor what stands above it.
    """
    garden = plant()
    garden.start(1)
    garden.start(2, 1)
    garden.end(1)

    for run in range(3, 3 + 2 * KEPT):
        garden.start(run, 2)

    (tree,) = garden.running
    assert tree.kept == tree.runs == 2 + 2 * KEPT
    assert tree.top.more.total() == 0


def test_many_kinds(plant: Any) -> None:
    """
    Of those that are counted only so many kinds are told apart.
    """
    garden = plant()
    garden.start(1)

    for run in range(2, 2_302):
        garden.start(run, 1, kind=f"kind {run}")
        garden.end(run)

    (tree,) = garden.running
    assert len(tree.top.more) == 51
    assert tree.top.more["(other)", "ok"] == tree.top.more.total() - 50


def test_many_failures(plant: Any) -> None:
    """
    Of many failures the places of the newest are known.
    """
    garden = plant()
    garden.start(1)

    for run in range(2, 2_500):
        garden.start(run, 1)
        told = {"error": ("E", []), "error_id": run, "is_origin": True}
        garden.end(run, status="error", **told)

    (tree,) = garden.running
    assert len(tree.origins) == KEPT
    assert tree.origins[2_499] == "llm 2499"


def test_newest_words(plant: Any) -> None:
    """
    The newest words of a stream are kept; when it has ended, none.
    """
    garden = plant()
    garden.start(1)
    for _ in range(1_000):
        garden.token(1, "so ")
    node = next(iter(garden.running)).top

    assert len(node.said) == 500
    garden.end(1)
    assert node.said == ""


def test_run_heard_twice(plant: Any) -> None:
    """
    A run that two filters let pass to one handler left nothing of its tree to see.
    """
    garden = plant()

    for _ in range(2):
        garden.start(1)
        garden.start(2, 1)
    for id in (2, 2, 1, 1):
        garden.end(id)

    (tree,) = garden.done
    assert (garden.running, tree.runs) == ({}, 2)
    assert outline(tree.top) == {"1": [{"2": []}]}
