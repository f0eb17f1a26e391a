"""
Runs: each start has one end, whatever happens, and each run its parent.
"""

import asyncio
import gc
import warnings
from collections.abc import Awaitable, Callable
from contextvars import copy_context
from typing import Any

import anyio
import pytest

from instrument import BaseCallbackHandler, callbacks, current_run, traced
from instrument._state import get_state
from instrument.testing import Recorder

Called = Callable[..., Awaitable[Any]]

pytestmark = pytest.mark.anyio
both_backends = pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
every_mode = ("sync", "async", "generator", "async generator")


def story(recorder: Recorder) -> list[tuple[str, str]]:
    """
    Give each event's run and what happened to it.
    """
    told = []
    for event in recorder.events:
        word = event.event.removeprefix("on_chain_")
        told.append((event.name, event.data.get("status", word)))
    return told


def leaf() -> None:
    """
    Make a run.
    """
    traced("leaf")(lambda: None)()


def following(function: Any) -> Any:
    """
    Make a plain function that returns what *function*, a coroutine's, gives.
    """

    def call() -> Any:
        return function()

    return call


@both_backends
@pytest.mark.rule(7, *every_mode)
async def test_return_ends_once(called: Called) -> None:
    """
    A run that returns has one end, after those it called.
    """
    recorder = Recorder()

    with callbacks(recorder):
        await called(traced("outer"), traced("inner")(leaf))

    assert story(recorder) == [
        ("outer", "start"),
        ("inner", "start"),
        ("leaf", "start"),
        ("leaf", "ok"),
        ("inner", "ok"),
        ("outer", "ok"),
    ]


@pytest.mark.rule(7, *every_mode)
@pytest.mark.parametrize(
    "raised, status",
    [
        (ValueError, "error"),
        (KeyboardInterrupt, "error"),
        (SystemExit, "error"),
        (StopAsyncIteration, "error"),
        (asyncio.CancelledError, "cancelled"),
        (GeneratorExit, "abandoned"),
    ],
)
async def test_raising_ends_once(
    called: Called, raised: type[BaseException], status: str
) -> None:
    """
    Whatever is raised ends each run it crosses once, and the state is as before.
    """
    recorder = Recorder()

    def fail() -> None:
        raise raised

    with callbacks(recorder):
        before = get_state()
        with pytest.raises((raised, RuntimeError)):
            await called(traced("outer"), traced("inner")(fail))
        assert get_state() is before

    inner, outer = recorder.events[2:]
    assert [event.event for event in (inner, outer)] == ["on_chain_error"] * 2
    assert [event.name for event in (inner, outer)] == ["inner", "outer"]
    assert inner.data["status"] == status
    assert not current_run()


@pytest.mark.rule(7, *every_mode)
@pytest.mark.parametrize("at", ["start", "end"])
async def test_handler_interrupted(called: Called, at: str) -> None:
    """
    A KeyboardInterrupt in a handler reaches the caller; the run ends once all the same.
    """
    recorder = Recorder()

    class Interrupting(BaseCallbackHandler):
        def on_chain_start(self, *_: object, **__: object) -> None:
            if at == "start":
                raise KeyboardInterrupt

        def on_chain_end(self, *_: object, **__: object) -> None:
            raise KeyboardInterrupt

    with callbacks(recorder, Interrupting()):
        before = get_state()
        with pytest.raises(KeyboardInterrupt):
            await called(traced("x"))
        assert get_state() is before

    assert [run.status for run in recorder.runs] == ["error" if at == "start" else "ok"]
    assert len(recorder.events) == 2


@both_backends
@pytest.mark.rule(7, "async", "async generator")
async def test_cancelled_run_ends_once(mode: str) -> None:
    """
    A run that is cancelled ends as cancelled at each level, the inner first.
    """
    recorder = Recorder()

    @traced("inner")
    async def inner() -> None:
        scope.cancel()
        await anyio.sleep_forever()

    @traced("outer")
    async def outer() -> None:
        await inner()

    @traced("outer")
    async def stream() -> Any:
        await inner()
        yield

    with callbacks(recorder):
        before = get_state()
        with anyio.CancelScope() as scope:
            if mode == "async":
                await outer()
            async for _ in stream():
                pass
        assert get_state() is before

    assert scope.cancelled_caught
    assert story(recorder)[2:] == [("inner", "cancelled"), ("outer", "cancelled")]


@pytest.mark.rule(7, "async")
async def test_timeout() -> None:
    """
    What `asyncio.timeout` stops is cancelled, what gets its TimeoutError failed.
    """
    recorder = Recorder()

    @traced("inner")
    async def inner() -> None:
        await asyncio.Event().wait()

    @traced("outer")
    async def outer() -> None:
        async with asyncio.timeout(0):
            await inner()

    with callbacks(recorder), pytest.raises(TimeoutError):
        await outer()

    assert story(recorder)[2:] == [("inner", "cancelled"), ("outer", "error")]
    assert [run.error_origin for run in recorder.runs] == [True, True]


@pytest.mark.rule(7, "async")
async def test_task_group() -> None:
    """
    Of a task group the failing child fails, its siblings are cancelled, all end once.
    """
    recorder = Recorder()
    waiting = asyncio.Event()

    @traced("fails")
    async def fails() -> None:
        await waiting.wait()
        raise ValueError

    @traced("waits")
    async def waits() -> None:
        waiting.set()
        await asyncio.Event().wait()

    @traced("group")
    async def group() -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(fails())
            tasks.create_task(waits())

    with callbacks(recorder), pytest.raises(ExceptionGroup):
        await group()

    assert story(recorder)[3:] == [
        ("fails", "error"),
        ("waits", "cancelled"),
        ("group", "error"),
    ]
    assert {run.parent_id for run in recorder.runs[1:]} == {recorder.runs[0].id}


@pytest.mark.rule(7, "async")
@pytest.mark.parametrize("how", ["close", "collect"])
def test_dropped_coroutine(how: str) -> None:
    """
    A coroutine that is closed or collected half-way ends as abandoned.
    """
    recorder = Recorder()
    ready: asyncio.Future[None] = asyncio.Future(loop=asyncio.new_event_loop())

    @traced("x")
    async def function() -> None:
        await ready

    with callbacks(recorder):
        coroutine = copy_context().run(_stepped, function())
        if how == "close":
            coroutine.close()
    del coroutine
    gc.collect()
    ready.get_loop().close()

    assert story(recorder) == [("x", "start"), ("x", "abandoned")]


def _stepped(coroutine: Any) -> Any:
    coroutine.send(None)
    return coroutine


@pytest.mark.rule(7, "async", "sync")
@pytest.mark.parametrize("how", ["close", "collect"])
def test_never_awaited_coroutine(mode: str, how: str) -> None:
    """
    A coroutine that is never awaited warns once, as undecorated, and no run stays open.
    """
    recorder = Recorder()

    async def function() -> None: ...

    plain = traced("x")(following(function))
    with callbacks(recorder), warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        coroutine: Any = traced("x")(function)() if mode == "async" else plain()
        if how == "close":
            coroutine.close()
        del coroutine
        texts = [str(each.message) for each in warned]
        warned.clear()  # a warning holds what it is about
        gc.collect()

    assert "running" not in {run.status for run in recorder.runs}
    expected = "coroutine 'test_never_awaited_coroutine.<locals>.function' was never"
    assert [text.startswith(expected) for text in texts] == [True] * (how == "collect")


@pytest.mark.rule(7, "sync")
def test_recursion_without_end() -> None:
    """
    A recursion that hits Python's limit, wherever in our code, leaves no run open.
    """

    @traced("x")
    def function() -> None:
        function()

    def deeper(levels: int) -> None:
        deeper(levels - 1) if levels else function()

    def attempt(levels: int) -> None:
        recorder = Recorder()
        with callbacks(recorder):
            before = get_state()
            with pytest.raises(RecursionError):
                deeper(levels)
            assert get_state() is before
        assert {run.status for run in recorder.runs} == {"error"}

    for levels in range(30):
        copy_context().run(attempt, levels)
