"""
A run entered in one task and left in another: frameworks' start and end hooks do that.
"""

from typing import Any

import anyio
import pytest

from instrument import callbacks, current_run, traced
from instrument.testing import Recorder

pytestmark = pytest.mark.anyio
both_backends = pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])


@both_backends
@pytest.mark.parametrize("error", [None, ValueError("failed")])
@pytest.mark.rule(3, "async")
async def test_async_block_left_by_another_task(error: ValueError | None) -> None:
    """
    It ends once, with what it was left with; its own task goes on in what surrounds it.
    """
    recorder = Recorder()
    entered, left = anyio.Event(), anyio.Event()
    block = traced("x")

    async def enter() -> None:
        await block.__aenter__()
        entered.set()
        await left.wait()
        assert current_run().name == "root"
        traced("after")(lambda: None)()

    with callbacks(recorder), traced("root") as root:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(enter)
            await entered.wait()
            kind: Any = error and type(error)
            await block.__aexit__(kind, error, None)
            left.set()

    (run,), (after,) = recorder.find("x"), recorder.find("after")
    assert (run.status, repr(run.error)) == ("error" if error else "ok", repr(error))
    assert (run.parent_id, after.parent_id) == (root.id, root.id)
    assert len(recorder.events) == 2 * len(recorder.runs)
