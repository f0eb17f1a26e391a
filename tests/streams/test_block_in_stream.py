"""
A generator that is traced above ``@callbacks``.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator

from instrument import callbacks, current_run, traced
from instrument.testing import Recorder


@traced.tool
def inner() -> int:
    return 1


@traced
@callbacks(tags=["inside"])
def stream() -> Iterator[str]:
    inner()
    current_run().outputs = "set"
    yield "a"


@traced
@callbacks(tags=["inside"])
async def astream() -> AsyncIterator[str]:
    inner()
    current_run().outputs = "set"
    yield "a"


def test_the_block_of_a_generator_is_in_its_run() -> None:
    """
    Its body is in the run: what it calls is below, and what it sets is of that.
    """

    async def main() -> list[str]:
        return [item async for item in astream()]

    recorder = Recorder()

    with callbacks(recorder):
        assert list(stream()) == asyncio.run(main()) == ["a"]

    runs = recorder.runs
    assert [run.name for run in runs] == ["stream", "inner", "astream", "inner"]
    assert [runs[at].outputs for at in (0, 2)] == ["set", "set"]
    assert [runs[at].parent_id for at in (1, 3)] == [runs[0].id, runs[2].id]
    assert not current_run()
