"""
What a handler gives back: any awaitable is awaited, whoever made it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any
from unittest.mock import AsyncMock

import anyio
import anyio.to_thread
import pytest

from instrument import AsyncCallbackHandler, callbacks, emit, traced

Called = Callable[..., Awaitable[Any]]


pytestmark = [
    pytest.mark.anyio,
    pytest.mark.usefixtures("no_coroutine_is_left"),
]


both_backends = pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])


every_mode = ("sync", "async", "generator", "async generator")


def tell() -> None:
    """
    Be a body that tells something.
    """
    emit("told")


@both_backends
@pytest.mark.rule(14, "async")
async def test_many_tasks_at_once() -> None:
    """
    A hundred tasks share an async handler, and each run is heard in order.
    """
    by_run: dict[object, list[str]] = {}

    class ByRun(AsyncCallbackHandler):
        async def on_event(self, event: Any, **kwargs: Any) -> None:
            await anyio.lowlevel.checkpoint()
            by_run.setdefault(event.run_id, []).append(event.event)

    @traced
    async def work() -> None:
        tell()
        await anyio.lowlevel.checkpoint()
        tell()

    async with callbacks(ByRun()), anyio.create_task_group() as tasks:
        for _ in range(100):
            tasks.start_soon(work)

    expected = ["on_chain_start", "on_custom_event", "on_custom_event", "on_chain_end"]
    assert list(by_run.values()) == [expected] * 100


class Promise:
    """
    An awaitable of somebody's own.
    """

    def __init__(self, kept: list[str]) -> None:
        self.kept = kept

    def __await__(self) -> Iterator[None]:
        self.kept.append("kept")
        yield from ()


def future(kept: list[str]) -> Any:
    """
    Give a future that has a result already.
    """
    made = asyncio.get_running_loop().create_future()
    made.set_result(None)
    kept.append("kept")
    return made


async def coroutine(kept: list[str]) -> None:
    """
    Be a coroutine function.
    """
    kept.append("kept")


@pytest.mark.parametrize("make", [Promise, future, coroutine])
@pytest.mark.rule(14, *every_mode)
async def test_plain_function_that_gives_an_awaitable(
    called: Called, make: Any
) -> None:
    """
    What counts is the result: an awaitable of a plain function is awaited too.
    """
    kept: list[str] = []

    async with callbacks(on_chain_start=lambda: make(kept)):
        await called(traced, tell)

    assert kept == ["kept"]


@both_backends
@pytest.mark.rule(14, *every_mode)
async def test_async_mock_is_awaited(called: Called) -> None:
    """
    An `AsyncMock` given as a function for one event is awaited.
    """
    mock = AsyncMock()

    async with callbacks(on_chain_end=mock):
        await called(traced, tell)

    assert mock.await_count == 1
