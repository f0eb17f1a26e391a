"""
Streams: the scope and the run of a generator go with its body, wherever it is stepped.
"""

import asyncio
import threading
from contextvars import Context, ContextVar
from typing import Any

import anyio
import pytest

from instrument import callbacks, current_run, traced
from instrument._state import get_state
from instrument.testing import Recorder

pytestmark = pytest.mark.anyio
both_backends = pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
generators = ("generator", "async generator")

VARIABLE: ContextVar[int] = ContextVar("variable", default=0)


def leaf() -> None:
    """
    Make a run.
    """
    traced("leaf")(lambda: None)()


def following(function: Any) -> Any:
    """
    Make a plain function that returns what *function*, a generator's, gives.
    """

    def call() -> Any:
        return function()

    return call


@both_backends
@pytest.mark.rule(9, *generators, "sync")
async def test_current_in_body_only(mode: str) -> None:
    """
    The run is current in the body at each step, and never in the consumer.
    """
    seen: list[str] = []

    def stream() -> Any:
        for _ in range(2):
            seen.append(current_run().name)
            with traced("inner"), callbacks(tags=["body"]):
                yield
            seen.append(current_run().name)

    async def astream() -> Any:
        for _ in range(2):
            await anyio.lowlevel.checkpoint()
            seen.append(current_run().name)
            with traced("inner"), callbacks(tags=["body"]):
                yield
            seen.append(current_run().name)

    with callbacks(Recorder()), traced("consumer"):
        state = get_state()
        if mode == "async generator":
            async for _ in traced("x")(astream)():
                assert get_state() is state
        else:
            function = stream if mode == "generator" else following(stream)
            for _ in traced("x")(function)():
                assert get_state() is state
        assert get_state() is state

    assert seen == ["x"] * 4


@both_backends
@pytest.mark.rule(9, *generators)
async def test_app_variables_are_as_undecorated(mode: str) -> None:
    """
    What the body sets is seen by the consumer, and the other way round.
    """
    seen: list[int] = []

    def stream() -> Any:
        for number in (1, 2):
            VARIABLE.set(number)
            yield
            seen.append(VARIABLE.get())

    async def astream() -> Any:
        for _ in stream():
            yield

    with callbacks(Recorder()):
        if mode == "generator":
            for _ in traced("x")(stream)():
                seen.append(VARIABLE.get())
                VARIABLE.set(10 + VARIABLE.get())
        else:
            async for _ in traced("x")(astream)():
                seen.append(VARIABLE.get())
                VARIABLE.set(10 + VARIABLE.get())

    assert seen == [1, 11, 2, 12]


@pytest.mark.rule(9, "generator")
def test_steps_in_several_places() -> None:
    """
    Each step may be made in another Context and thread: its run goes along.
    """
    recorder, other = Recorder(), Recorder()

    @traced("stream")
    def stream() -> Any:
        while True:
            leaf()
            yield threading.get_ident()

    with callbacks(recorder):
        made = stream()
    idents = []
    with callbacks(other):
        idents.append(next(made))
        idents.append(Context().run(next, made))
    for step in (lambda: idents.append(next(made)), made.close):
        thread = threading.Thread(target=step)
        thread.start()
        thread.join()

    assert len(set(idents)) == 2
    assert recorder.tree() == "chain stream: abandoned" + "\n  chain leaf: ok" * 3
    assert other.runs == []


@both_backends
@pytest.mark.rule(9, "async generator")
async def test_async_steps_in_several_tasks() -> None:
    """
    An async generator may be stepped by one task and closed by another, at once.
    """
    recorder = Recorder()
    closed: list[object] = []

    @traced("stream")
    async def stream() -> Any:
        try:
            while True:
                leaf()
                yield anyio.get_current_task().id
        finally:
            closed.append(current_run().name)

    with callbacks(recorder):
        made = stream()
    tasks = []

    async def step() -> None:
        tasks.append(await anext(made))

    async with anyio.create_task_group() as group:
        group.start_soon(step)
    await step()
    async with anyio.create_task_group() as group:
        group.start_soon(made.aclose)

    assert len(set(tasks)) == 2
    assert closed == ["stream"]
    assert recorder.tree() == "chain stream: abandoned" + "\n  chain leaf: ok" * 2


@pytest.mark.rule(9, "async generator")
async def test_body_runs_in_consumers_task() -> None:
    """
    `asyncio.timeout` in the consumer and in the body work across steps.
    """

    @traced("x")
    async def stream() -> Any:
        async with asyncio.timeout(60):
            yield asyncio.current_task()
            yield asyncio.current_task()

    with callbacks(Recorder()):
        async with asyncio.timeout(60):
            tasks = [task async for task in stream()]

    assert tasks == [asyncio.current_task()] * 2


@both_backends
@pytest.mark.rule(9, *generators, "sync")
async def test_body_leaves_blocks_open(mode: str) -> None:
    """
    What a body has entered and not left does not become the consumer's at its end.
    """
    recorder = Recorder()

    def stream() -> Any:
        callbacks(Recorder()).__enter__()
        traced("open").__enter__()
        yield

    async def astream() -> Any:
        for _ in stream():
            yield

    with callbacks(recorder):
        before = get_state()
        if mode == "async generator":
            async for _ in traced("x")(astream)():
                assert get_state() is before
        else:
            function = stream if mode == "generator" else following(stream)
            for _ in traced("x")(function)():
                assert get_state() is before
        assert get_state() is before
        leaf()

    assert recorder.find("leaf")[0].parent_id is None


@pytest.mark.rule(9, "async")
def test_followed_coroutine() -> None:
    """
    A coroutine that a plain function returned has its run in its body only, too.
    """
    seen: list[str] = []

    class Once:
        def __await__(self) -> Any:
            yield

    async def coroutine() -> int:
        await Once()
        seen.append(current_run().name)
        return 1

    with callbacks(Recorder()):
        before = get_state()
        made = traced("x")(following(coroutine))()
        assert made.send(None) is None
        assert get_state() is before
        with pytest.raises(StopIteration) as stop:
            made.send(None)
        assert get_state() is before

    assert (seen, stop.value.value) == (["x"], 1)
