"""
``callbacks(sample=...)``: a share of the requests, each heard whole or not at all.
"""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from instrument import callbacks, current_run, emit, traced
from instrument.testing import Recorder, predictable

Called = Callable[..., Awaitable[Any]]

pytestmark = pytest.mark.anyio


@traced
def leaf() -> None:
    """
    Be the lowest level.
    """
    emit("told")


@traced
def root() -> bool:
    """
    Call it twice.
    """
    leaf()
    leaf()
    return bool(current_run())


def test_sample_hears_roots_whole() -> None:
    """
    Each root run that is heard is heard with all below it.
    """
    recorder = Recorder()

    for _ in range(200):
        with callbacks(recorder, sample=0.5):
            root()

    assert {run.name for run in recorder.roots} == {"root"}
    assert 50 < len(recorder.roots) < 150
    assert len(recorder.runs) == 3 * len(recorder.roots)
    assert len(recorder.events) == 8 * len(recorder.roots)


def test_sample_of_predictable_ids() -> None:
    """
    Ids that count from one are sampled as evenly as random ones.
    """
    recorder = Recorder()

    with predictable():
        for _ in range(1_000):
            with callbacks(recorder, sample=0.1):
                leaf()

    assert 50 < len(recorder.runs) < 200


@pytest.mark.parametrize("sample, heard", [(0, 0), (0.0, 0), (1, 3), (1.0, 3)])
def test_sample_of_none_and_all(sample: float, heard: int) -> None:
    """
    Zero hears nothing, one everything.
    """
    recorder = Recorder()

    with callbacks(recorder, sample=sample):
        root()

    assert len(recorder.runs) == heard


def test_sample_of_nothing_hears_no_emit() -> None:
    """
    An event outside any run is drawn like a root run: with zero it is not heard.
    """
    recorder = Recorder()

    with callbacks(recorder, sample=0):
        emit("told")

    assert recorder.events == []


def test_sample_leaves_other_handlers_alone() -> None:
    """
    Handlers of blocks without a sample hear everything.
    """
    every, some = Recorder(), Recorder()

    with callbacks(every), callbacks(some, sample=0):
        root()

    assert len(every.runs) == 3
    assert some.runs == []


def test_block_is_heard_whole() -> None:
    """
    All root runs and events of one block are heard, or none.
    """
    counts = set()
    for _ in range(50):
        recorder = Recorder()
        with callbacks(recorder, sample=0.5):
            root()
            emit("told")
            root()
        counts.add((len(recorder.runs), len(recorder.events)))

    assert counts == {(0, 0), (6, 17)}


@pytest.mark.parametrize("outer", [0.1, 1.0])
def test_inner_block_uses_what_the_outermost_drew(outer: float) -> None:
    """
    What one in ten hears five in ten hear too, whether the outer block has a sample.
    """
    few, many, again = Recorder(), Recorder(), Recorder()
    for _ in range(300):
        with callbacks(few, sample=outer):
            with callbacks(many, sample=0.5):
                leaf()
            with traced("between"), callbacks(again, sample=0.5):
                leaf()

    heard = {run.id for run in many.runs}
    assert 90 < len(heard) < 210
    assert len(again.runs) == len(heard)
    assert heard <= {run.id for run in few.runs} or outer < 1


def test_larger_sample_holds_the_smaller() -> None:
    """
    What one in ten hears is heard by five in ten too.
    """
    few, many = Recorder(), Recorder()

    for _ in range(200):
        with callbacks(few, sample=0.1), callbacks(many, sample=0.5):
            root()

    assert {run.id for run in few.runs} < {run.id for run in many.runs}


def test_unsampled_run_is_a_run() -> None:
    """
    A root run that was not drawn is a run all the same: nothing below draws anew.
    """
    recorder = Recorder()

    with callbacks(recorder, sample=0.0).install():
        assert root() is True
        with traced("block") as run:
            assert run.id.version == 7
            assert current_run() is run

    assert recorder.runs == []


def test_block_that_was_not_drawn_makes_no_runs() -> None:
    """
    Where a block was not drawn, and nobody else listens, there is no run.
    """
    with callbacks(Recorder(), sample=0.0):
        assert root() is False


def test_a_function_of_its_own_draws_at_each_call() -> None:
    """
    ``@callbacks(handler, sample=...)`` draws anew for each call.
    """
    recorder = Recorder()
    sampled = callbacks(recorder, sample=0.5)(root)

    for _ in range(100):
        sampled()

    assert 20 < len(recorder.roots) < 80


def test_block_inside_a_run_draws_its_trace() -> None:
    """
    A sampled block opened inside a run hears all of its runs or none.
    """
    counts = set()
    for _ in range(50):
        recorder = Recorder()
        with callbacks(Recorder()), traced("request"):
            with callbacks(recorder, sample=0.5):
                root()
                leaf()
            counts.add(len(recorder.runs))

    assert counts == {0, 4}


def test_sample_of_process_wide_handlers() -> None:
    """
    Process-wide handlers are sampled in the same way.
    """
    recorder = Recorder()

    with callbacks(recorder, sample=0.5).install():
        for _ in range(200):
            root()

    assert 50 < len(recorder.roots) < 150
    assert len(recorder.runs) == 3 * len(recorder.roots)


@pytest.mark.rule(4, "sync", "async", "generator", "async generator")
async def test_sample_in_every_mode(called: Called) -> None:
    """
    The one draw holds from start to end, in each kind of function.
    """
    recorder = Recorder()

    for _ in range(40):
        with callbacks(recorder, sample=0.5):
            await called(traced("outer"), leaf)

    outer = [run for run in recorder.runs if run.name == "outer"]
    assert 0 < len(outer) < 40
    assert len(recorder.events) == 5 * len(outer)


@pytest.mark.parametrize("sample", [-0.1, 1.1, float("nan"), float("inf"), 10])
def test_sample_outside_zero_to_one(sample: float) -> None:
    """
    A number that is no share is refused, with the value and an example.
    """
    with pytest.raises(ValueError, match="from 0 to 1") as caught:
        callbacks(Recorder(), sample=sample)

    assert repr(sample) in str(caught.value)


@pytest.mark.parametrize("sample", ["0.1", None, True, [0.1]])
def test_sample_that_is_no_number(sample: Any) -> None:
    """
    Anything but a number is refused.
    """
    with pytest.raises(TypeError, match="number from 0 to 1"):
        callbacks(Recorder(), sample=sample)


def test_events_outside_any_run() -> None:
    """
    An event that comes outside any run is drawn for itself.
    """
    recorder = Recorder()

    with callbacks(recorder, sample=0.5).install():
        for _ in range(60):
            emit("told")

    assert 0 < len(recorder.events) < 60
