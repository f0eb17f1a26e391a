"""
Handlers that may stop a call, where it is cancelled or closed; and cancelled twice.
"""

import asyncio
from collections.abc import Generator
from typing import Any

import pytest

from instrument import AsyncCallbackHandler, BaseCallbackHandler, callbacks, traced
from instrument.testing import Recorder

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.usefixtures("no_coroutine_is_left"),
]


class Broken(BaseCallbackHandler):
    """
    Raises when a run fails.
    """

    raise_error = True

    def on_chain_error(self, error: BaseException, **kwargs: Any) -> None:
        raise ValueError("from the handler")


class Slow(AsyncCallbackHandler):
    """
    Hears of a failure when it may.
    """

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.began = asyncio.Event()
        self.may = asyncio.Event()

    async def on_event(self, event: Any, **kwargs: Any) -> None:
        if event.event == "on_chain_error":
            self.heard.append("begins")
            self.began.set()
            await self.may.wait()
        self.heard.append(event.event)


class Never:
    """
    Suspends whoever awaits it.
    """

    def __await__(self) -> Generator[Any, Any, None]:
        yield


def leaf(name: str) -> None:
    """
    Make a run.
    """
    traced(name)(lambda: None)()


@pytest.mark.rule(13, "async")
def test_raised_when_closed() -> None:
    """
    A handler that may stop calls raises out of ``close``, on a run that was abandoned.
    """
    recorder = Recorder()

    @traced
    async def waits() -> None:
        await Never()

    with callbacks(Broken(), recorder):
        waiting = waits()
        waiting.send(None)
        with pytest.raises(ValueError, match="from the handler") as caught:
            waiting.close()

    assert isinstance(caught.value.__context__, GeneratorExit)
    assert [run.status for run in recorder.runs] == ["abandoned"]
    assert len(recorder.events) == 2


@pytest.mark.rule(13, "async")
async def test_raised_when_cancelled() -> None:
    """
    A handler that may stop calls raises in place of the cancellation.
    """
    recorder = Recorder()

    @traced
    async def waits() -> None:
        await asyncio.sleep(60)

    async with callbacks(Broken(), recorder):
        task = asyncio.ensure_future(waits())
        await asyncio.sleep(0)
        task.cancel()
        (result,) = await asyncio.gather(task, return_exceptions=True)

    assert [run.status for run in recorder.runs] == ["cancelled"]
    assert len(recorder.events) == 2
    assert isinstance(result, ValueError)
    assert isinstance(result.__context__, asyncio.CancelledError)


@pytest.mark.rule(14, "async")
async def test_cancelled_twice() -> None:
    """
    A task cancelled again while its handler works ends; the handler hears to the end.
    """
    slow = Slow()

    @traced
    async def waits() -> None:
        await asyncio.sleep(60)

    async with callbacks(slow):
        task = asyncio.ensure_future(waits())
        await asyncio.sleep(0)
        task.cancel()
        await slow.began.wait()
        task.cancel()
        await asyncio.wait({task})
        slow.may.set()

    assert task.cancelled()
    assert slow.heard == ["on_chain_start", "begins", "on_chain_error"]


@pytest.mark.rule(14, "async")
async def test_closed_inside_a_block() -> None:
    """
    A coroutine that is closed inside an async block leaves it, and waits for nothing.
    """
    recorder, outer = Recorder(), Recorder()

    async def request() -> None:
        async with callbacks(recorder):
            leaf("inside")
            await Never()

    with callbacks(outer):
        waiting = request()
        waiting.send(None)
        waiting.close()
        leaf("outside")

    assert [run.name for run in recorder.runs] == ["inside"]
    assert [run.name for run in outer.runs] == ["inside", "outside"]
