"""
What is open on a stream costs the same for each run, however many there are.
"""

import io
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import Context, copy_context
from typing import Any

import pytest

from instrument import callbacks, traced
from instrument.handlers import StdOutCallbackHandler
from instrument.handlers._shared import open_runs

MANY = 200


@contextmanager
def lines_counted() -> "Iterator[list[int]]":
    """
    Count the lines that what keeps open runs executes.
    """
    count = [0]

    def step(frame: Any, event: str, arg: object) -> Any:
        count[0] += event == "line"
        return step

    def trace(frame: Any, event: str, arg: object) -> Any:
        return step if frame.f_code.co_filename == open_runs.__file__ else None

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield count
    finally:
        sys.settrace(before)


def opened_each(count: int, context: Callable[[], Context]) -> None:
    """
    Open *count* runs, each in a Context of its own, then end them.
    """
    blocks = [(context(), traced("one")) for _ in range(count)]
    for made, block in blocks:
        made.run(block.__enter__)
    for made, block in blocks:
        made.run(block.__exit__, None, None, None)


def siblings(count: int) -> None:
    """
    Have many runs open below one.
    """
    with traced("above"):
        opened_each(count, copy_context)


def requests(count: int) -> None:
    """
    Have many requests open at once.
    """
    opened_each(count, copy_context)


def nested(count: int) -> None:
    """
    Have many runs open, one in the other.
    """
    with ExitStack() as stack:
        for _ in range(count):
            stack.enter_context(traced("one"))


@pytest.mark.parametrize("work", [siblings, requests, nested])
def test_growth_is_linear(work: Callable[[int], None]) -> None:
    """
    Twice as many runs open at once take twice the work.
    """
    taken = []
    for count in (MANY, 2 * MANY):
        with callbacks(StdOutCallbackHandler(io.StringIO())), lines_counted() as lines:
            work(count)
        taken.append(lines[0])

    assert taken[1] < 2.2 * taken[0]


def test_numbers_are_the_first_free() -> None:
    """
    A run that starts takes the first number that is free among those beside it.
    """
    beside = open_runs.Siblings()

    given = [beside.enter() for _ in range(4)]
    for number in (3, 1, 1):
        beside.leave(number)

    assert given == [1, 2, 3, 4]
    assert [beside.enter() for _ in range(3)] == [1, 3, 5]


def test_errors_that_were_caught_are_forgotten() -> None:
    """
    A request that catches many errors keeps a bounded number of where they came from.
    """
    handler = StdOutCallbackHandler(io.StringIO())
    errors = [ValueError(number) for number in range(300)]

    def fail(error: ValueError) -> None:
        raise error

    with callbacks(handler), traced("request") as run:
        for error in errors:
            with pytest.raises(ValueError, match=str(error)):
                traced("inner")(fail)(error)
        entry = handler._terminal.open_runs.find(run)
        assert entry is not None
        kept = len(entry.request.origins)

    assert kept <= 100


def test_branch_far_above_is_told() -> None:
    """
    Far below one of several open runs a run still says in which it is.
    """
    out = io.StringIO()
    with callbacks(StdOutCallbackHandler(out)), traced("above"):
        beside = copy_context()
        other = traced("branch")
        beside.run(other.__enter__)
        with traced("branch"), ExitStack() as stack:
            for _ in range(150):
                stack.enter_context(traced("below"))
        beside.run(other.__exit__, None, None, None)

    told = [line for line in out.getvalue().splitlines() if "> chain below" in line]
    assert len(told) == 150
    assert all(line.endswith("below in branch #2") for line in told)
