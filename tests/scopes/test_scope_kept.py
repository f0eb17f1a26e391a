"""
How long who hears: a run keeps its handlers, a generator its scope.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import copy_context
from typing import Any

import pytest

from instrument import callbacks, current_run, traced
from instrument.testing import Recorder

Called = Callable[..., Awaitable[Any]]

pytestmark = pytest.mark.anyio
both_backends = pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
every_mode = ("sync", "async", "generator", "async generator")


def names(recorder: Recorder) -> list[str]:
    """
    Give the names of the runs that it heard.
    """
    return [run.name for run in recorder.runs]


def generator_of_leaf() -> Any:
    """
    Make a run at its one step.
    """
    leaf()
    yield None


def leaf() -> None:
    """
    Make a run called leaf.
    """
    traced("leaf")(lambda: None)()


@both_backends
@pytest.mark.rule(4, *every_mode)
async def test_run_keeps_its_handlers(called: Called) -> None:
    """
    A run ends for those for whom it started, though others came and some went.
    """
    late, gone = Recorder(), Recorder()
    process = callbacks(gone)
    process.install()
    newcomer = callbacks(late)

    def change() -> None:
        process.uninstall()
        newcomer.install()
        leaf()

    await called(traced("x"), change)
    newcomer.uninstall()

    assert [(e.name, e.event) for e in gone.events] == [
        ("x", "on_chain_start"),
        ("x", "on_chain_end"),
    ]
    assert names(late) == ["leaf"]


@pytest.mark.rule(4, "sync")
def test_run_keeps_closed_block() -> None:
    """
    A run whose block was closed from elsewhere still ends for that block's handlers.
    """
    recorder = Recorder()
    block = callbacks(recorder, tags=["a"], metadata={"user": "u"})
    context = copy_context()
    context.run(block.__enter__)
    run = traced("x")
    context.run(run.__enter__)

    block.__exit__(None, None, None)
    context.run(leaf)
    context.run(run.__exit__, None, None, None)

    assert [event.event for event in recorder.events] == [
        "on_chain_start",
        "on_chain_end",
    ]
    assert recorder.events[-1].tags == ["a"]
    assert recorder.events[-1].metadata == {"user": "u"}


@both_backends
@pytest.mark.rule(4, "async")
async def test_coroutine_takes_scope_at_first_step() -> None:
    """
    A coroutine made in one block and awaited in another is heard by the second.
    """
    made_in, awaited_in = Recorder(), Recorder()

    @traced("x")
    async def function() -> None: ...

    with callbacks(made_in):
        coroutine = function()
    with callbacks(awaited_in):
        await coroutine

    assert (names(made_in), names(awaited_in)) == ([], ["x"])


@both_backends
@pytest.mark.rule(4, "generator", "async generator", "sync")
async def test_generator_takes_scope_at_call(mode: str) -> None:
    """
    A generator made in one block and consumed in another is heard by the first.
    """
    made_in, consumed_in = Recorder(), Recorder()

    @traced("x")
    def generator() -> Any:
        leaf()
        yield None

    @traced("x")
    async def async_generator() -> Any:
        leaf()
        yield None

    @traced("x")
    def function() -> Any:
        return generator_of_leaf()

    with callbacks(made_in):
        made: Any = {
            "generator": generator,
            "async generator": async_generator,
            "sync": function,
        }[mode]()
    with callbacks(consumed_in):
        items = [it async for it in made] if mode == "async generator" else list(made)

    assert items == [None]
    assert names(made_in) == ["x", "leaf"]
    assert names(consumed_in) == []


@pytest.mark.rule(2, "async")
async def test_handler_of_finished_request_is_deaf() -> None:
    """
    A task started after a request, by the task that served it, is not heard.
    """
    recorder = Recorder()

    async with callbacks(recorder):
        leaf()
    await asyncio.create_task(traced("after")(_nothing)())

    assert names(recorder) == ["leaf"]
    assert not current_run()


async def _nothing() -> None: ...
