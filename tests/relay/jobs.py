"""
What worker processes are asked to do in tests.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any

from instrument import callbacks, current_run, traced
from instrument.testing import Recorder


def ids() -> dict[str, Any]:
    """
    Make a run, and tell of which trace and run it is.
    """
    with callbacks(Recorder()), traced("below") as run:
        return {
            "trace": str(run.trace_id),
            "trace_hex": run.trace_hex,
            "parent": str(run.parent_id),
            "depth": run.depth,
        }


def ids_of(_: object) -> dict[str, Any]:
    """
    Do the same for one item of a map.
    """
    return ids()


def steps(count: int) -> Iterator[dict[str, Any]]:
    """
    Do the same at each step.
    """
    for _ in range(count):
        yield ids()


async def ids_later() -> dict[str, Any]:
    """
    Do the same in async code.
    """
    return ids()


class Job:
    """
    Has a method that does it, and is called to do it.
    """

    def ids(self) -> dict[str, Any]:
        return ids()

    def __call__(self) -> dict[str, Any]:
        return ids()


def first_of(items: Iterator[Any]) -> Any:
    """
    Give the first.
    """
    return next(items)


one_step = partial(steps, 1)


def caller_id() -> str:
    """
    Tell what is in hand.
    """
    return str(current_run().id)


@traced
def leaf() -> None:
    """
    Be a run.
    """
