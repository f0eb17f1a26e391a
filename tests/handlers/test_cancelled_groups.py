"""
A handler whose own tasks fail while the call is cancelled changes nothing of that.
"""

import asyncio
from contextlib import suppress
from typing import Any

import pytest
import trio

from instrument import BaseCallbackHandler, callbacks, traced


@traced.tool
def tool() -> str:
    return "result"


@traced.tool
async def atool() -> str:
    return "result"


@pytest.mark.parametrize("event", ["on_tool_start", "on_tool_error", "aflush"])
@pytest.mark.parametrize("others", [[], [ValueError("bad")]])
@pytest.mark.anyio
async def test_a_timeout_meets_a_group(
    event: str, others: list[BaseException], reports: list[str]
) -> None:
    """
    What a handler's own tasks raise together as the call is cancelled hides that from
    no timeout: the cancellation goes on alone, their failures are the handler's, and so
    are cancellations where none has come while it was served.
    """

    async def gathers(*_: Any, **kwargs: Any) -> None:
        if event == "on_tool_start":
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(0)  # where the cancellation comes
        cancelled = BaseExceptionGroup("inner", [asyncio.CancelledError()])
        raise BaseExceptionGroup("several", [cancelled, *others])

    def refuses(*args: Any, **kwargs: Any) -> None:
        gathers(*args).send(None)

    given = refuses if event == "on_tool_error" else gathers
    handler = type("Several", (BaseCallbackHandler,), {event: given})()

    @traced.tool
    async def waits() -> None:
        await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            async with callbacks(handler):
                await waits()

    assert asyncio.current_task().cancelling() == 0  # type: ignore[union-attr]
    is_told = bool(others) or event != "on_tool_start"
    assert ["Several failed" in it for it in reports] == [True] * is_told


@pytest.mark.anyio
async def test_the_first_cancellation_goes_on() -> None:
    """
    What a handler raises of its own as the call is cancelled does not take its place.
    """

    class OwnError(asyncio.CancelledError):
        pass

    class Refuses:
        def on_tool_error(self, *args: Any, **kwargs: Any) -> None:
            raise OwnError

        def flush(self) -> None:
            raise OwnError

    @traced.tool
    async def waits() -> None:
        await asyncio.Event().wait()

    async def call() -> None:
        async with callbacks(Refuses()):
            await waits()

    task = asyncio.create_task(call())
    await asyncio.sleep(0)
    task.cancel("why")

    with pytest.raises(asyncio.CancelledError, match="why"):
        await task


def test_a_nursery_of_a_handler_is_cancelled(reports: list[str]) -> None:
    """
    On trio the scope catches all that comes of its end; what fails in a handler's
    nursery meanwhile does not reach the call.
    """

    async def part() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise ValueError("bad")

    class Several:
        async def on_tool_start(self, *args: Any, **kwargs: Any) -> None:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(part)
                nursery.start_soon(trio.sleep_forever)
                await trio.lowlevel.checkpoint()
                scope.cancel()

    async def main() -> None:
        with scope:
            async with callbacks(Several()):
                await atool()

    scope = trio.CancelScope()
    trio.run(main)

    assert scope.cancelled_caught
    assert len(reports) == 1
    assert "ValueError: bad" in reports[0]


def test_cancellation_of_trio_where_none_runs(reports: list[str]) -> None:
    """
    What trio has raised elsewhere cancels nothing where trio does not run.
    """
    kept: list[BaseException] = []

    async def cancelled() -> None:
        with trio.CancelScope() as scope:
            scope.cancel()
            try:
                await trio.sleep_forever()
            except trio.Cancelled as exc:
                kept.append(exc)
                raise

    class Keeps:
        def on_tool_start(self, *args: Any, **kwargs: Any) -> None:
            raise kept[0]

    trio.run(cancelled)

    async def main() -> str:
        with callbacks(Keeps()):
            return await atool()

    with callbacks(Keeps()):
        assert tool() == "result"
    assert asyncio.run(main()) == "result"
    assert "Keeps failed at on_tool_start" in reports[0]
