"""
What adapters of frameworks open: runs whose parent the framework names.
"""

from collections.abc import Callable
from contextvars import Context
from typing import Any

import pytest

from instrument import Run, callbacks, traced
from instrument._runs.ending import finish
from instrument._runs.opening import Recipe, open_run
from instrument._runs.starting import start
from instrument.testing import Recorder


def framework(parent: Run | None, inside: Callable[[], object] = str) -> Run | None:
    """
    Call *inside* in a run of a framework's, as a child of *parent*.
    """
    run = open_run(Recipe("framework", "tool"), parent=parent)
    if run is not None:
        start(run)
        inside()
        finish(run, None)
    return run


def leaf() -> None:
    """
    Make a run.
    """
    traced("leaf")(lambda: None)()


@pytest.mark.rule(4, "sync")
def test_inherits_handlers_of_its_parent() -> None:
    """
    A framework's child that sees no scope is heard by whom its parent is heard by.
    """
    recorder, other = Recorder(), Recorder()

    with callbacks(recorder, tags=["t"]), traced("root") as root:
        Context().run(framework, root, leaf)
    with callbacks(other), traced("other"):
        pass

    assert recorder.tree() == (
        "chain root: ok\n  tool framework: ok\n    chain leaf: ok"
    )
    assert {run.tags for run in recorder.runs} == {("t",)}
    assert [run.name for run in other.runs] == ["other"]


@pytest.mark.rule(4, "sync")
def test_scope_counts_more_than_its_parents() -> None:
    """
    A framework's child that sees a scope is heard there, and belongs to its parent.
    """
    of_parent, of_scope = Recorder(), Recorder()

    def request() -> Run | None:
        with callbacks(of_scope):
            return framework(root)

    with callbacks(of_parent), traced("root") as root:
        run = Context().run(request)

    assert run is not None
    assert run.parent_id == root.id
    assert of_scope.runs == [run]
    assert of_parent.runs == [root]


@pytest.mark.rule(11, "sync")
def test_nearer_of_two_parents() -> None:
    """
    Of the framework's parent and the run in hand, the one below the other is the parent.
    """
    recorder = Recorder()

    with callbacks(recorder), traced("upper") as upper, traced("lower") as lower:
        in_lower = framework(upper)
        in_upper = Context().run(_in_hand, upper, lambda: framework(lower))
        same = framework(lower)

    made = [run for run in (in_lower, in_upper, same) if run is not None]
    assert [run.parent_id for run in made] == [lower.id] * 3
    assert {run.trace_id for run in made} == {upper.id}


@pytest.mark.rule(11, "sync")
def test_unrelated_parents() -> None:
    """
    Where neither parent is below the other, the framework knows what it calls.
    """
    recorder = Recorder()

    with callbacks(recorder), traced("root") as root, traced("theirs") as theirs:
        run = Context().run(_in_hand, None, lambda: _beside(theirs))

    assert run is not None
    assert (run.parent_id, run.trace_id) == (theirs.id, root.id)


@pytest.mark.rule(11, "sync")
@pytest.mark.parametrize("open_above", [True, False])
def test_ended_parent(open_above: bool) -> None:
    """
    A framework's parent that has ended is skipped upward, else the run in hand counts.
    """
    recorder = Recorder()

    with callbacks(recorder):
        with traced("root") as root:
            with traced("ended") as ended:
                pass
            inside = framework(ended) if open_above else None
        with traced("in hand") as in_hand:
            run = inside or framework(ended)

    assert run is not None
    assert run.parent_id == (root.id if open_above else in_hand.id)


@pytest.mark.rule(11, "sync")
def test_ended_parent_and_no_run() -> None:
    """
    Where the framework's parent has ended and no run is in hand, a new trace begins.
    """
    recorder = Recorder()

    with callbacks(recorder):
        with traced("ended") as ended:
            pass
        run = framework(ended)

    assert run is not None
    assert (run.parent_id, run.trace_id) == (None, run.id)


@pytest.mark.rule(4, "sync")
def test_parent_that_nobody_hears() -> None:
    """
    Where neither a scope nor the parent has handlers, a framework's call is no run.
    """
    assert framework(None) is None


def _in_hand(run: Run | None, call: Callable[[], Any]) -> Any:
    """
    Call with the given run in hand, or none.
    """
    from instrument._state import set_state

    if run is not None:
        set_state(run)
    return call()


def _beside(theirs: Run) -> Run | None:
    with callbacks(Recorder()), traced("beside"):
        return framework(theirs)


def test_left_open_below_what_is_interrupted() -> None:
    """
    A block that nobody has left ends with the run above it that an interrupt ends.
    """
    recorder = Recorder()

    @traced("outer")
    def outer() -> None:
        traced("left open").__enter__()
        raise KeyboardInterrupt

    with callbacks(recorder):
        with pytest.raises(KeyboardInterrupt):
            outer()
        leaf()

    told = [(event.event, event.name) for event in recorder.events]
    assert told == [
        ("on_chain_start", "outer"),
        ("on_chain_start", "left open"),
        ("on_chain_error", "left open"),
        ("on_chain_error", "outer"),
        ("on_chain_start", "leaf"),
        ("on_chain_end", "leaf"),
    ]
