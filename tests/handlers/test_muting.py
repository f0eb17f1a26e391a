"""
What a handler itself calls is heard by nobody, so that no handler can hear itself.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from contextvars import copy_context
from typing import Any

import anyio
import pytest

from instrument import (
    AsyncCallbackHandler,
    BaseCallbackHandler,
    bind,
    callbacks,
    current_run,
    emit,
    traced,
)
from instrument.testing import Recorder

Called = Callable[..., Awaitable[Any]]

pytestmark = pytest.mark.anyio
both_backends = pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
every_mode = ("sync", "async", "generator", "async generator")


@traced.tool
def lookup() -> str:
    """
    Be what a handler calls.
    """
    return "found"


@traced.llm
def stream() -> Iterator[str]:
    """
    Be a stream that a handler drains.
    """
    yield "a"


@traced
async def alookup() -> str:
    """
    Be what an async handler calls.
    """
    await anyio.lowlevel.checkpoint()
    return "found"


def use_block() -> None:
    """
    Open a block of its own, and call in it.
    """
    with callbacks(Recorder()):
        lookup()


def use_run() -> None:
    """
    Open a run of its own.
    """
    with traced("run") as run:
        run.text("said")
        run.outputs = lookup()


def use_call() -> None:
    """
    Give handlers to one call.
    """
    with_own: Any = traced(lookup)
    with_own(callbacks=[Recorder()])


USES: dict[str, Callable[[], object]] = {
    "call": lookup,
    "generator": lambda: list(stream()),
    "emit": lambda: emit("told"),
    "block": use_block,
    "run": use_run,
    "callbacks=": use_call,
    "bind": bind(lookup),
    "bind iterator": lambda: list(bind(iter([lookup()]))),
    "decorated": callbacks(Recorder())(lookup),
    "copied context": lambda: copy_context().run(lookup),
}


class Busy(BaseCallbackHandler):
    """
    Does something traced at each event.
    """

    def __init__(self, use: Callable[[], object]) -> None:
        self.use = use
        self.heard = 0

    def on_event(self, event: Any, **kwargs: Any) -> None:
        self.heard += 1
        assert self.heard < 100, "it hears itself"
        self.use()

    def flush(self) -> None:
        self.use()


class AsyncBusy(AsyncCallbackHandler):
    """
    Awaits something traced at each event, in tasks of its own too.
    """

    def __init__(self) -> None:
        self.heard = 0

    async def on_event(self, event: Any, **kwargs: Any) -> None:
        self.heard += 1
        assert self.heard < 100, "it hears itself"
        await alookup()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(alookup)
        lookup()

    async def aflush(self) -> None:
        await alookup()


def names(recorder: Recorder) -> list[str]:
    """
    Give the names of what it heard.
    """
    return [event.name for event in recorder.events]


@pytest.mark.parametrize("use", list(USES))
@pytest.mark.rule(17, *every_mode)
async def test_handler_is_muted(called: Called, use: str, reports: list[str]) -> None:
    """
    A call that a handler makes is no run, for it and for every other handler.
    """
    recorder, busy = Recorder(), Busy(USES[use])

    with callbacks(recorder, busy):
        await called(traced("outer"), lambda: None)

    assert names(recorder) == ["outer", "outer"]
    assert busy.heard == 2
    assert reports == []


@pytest.mark.parametrize("use", list(USES))
@pytest.mark.rule(17, *every_mode)
async def test_process_wide_handler_is_muted(
    called: Called, use: str, reports: list[str]
) -> None:
    """
    The same for handlers of the whole process, which everything else would reach.
    """
    recorder, busy = Recorder(), Busy(USES[use])

    with callbacks(recorder, busy).install():
        await called(traced("outer"), lambda: None)

    assert names(recorder) == ["outer", "outer"]
    assert reports == []


@both_backends
@pytest.mark.rule(17, *every_mode)
async def test_async_handler_is_muted(called: Called, reports: list[str]) -> None:
    """
    What an async handler awaits, and the tasks that it starts, are heard by nobody.
    """
    recorder, busy = Recorder(), AsyncBusy()

    async with callbacks(recorder, busy):
        await called(traced("outer"), lambda: None)

    assert names(recorder) == ["outer", "outer"]
    assert busy.heard == 2
    assert reports == []


@pytest.mark.rule(17, "sync", "generator")
def test_async_handler_on_the_background_loop_is_muted(reports: list[str]) -> None:
    """
    An async handler of sync code is muted on the background loop too.
    """
    recorder, busy = Recorder(), AsyncBusy()

    with callbacks(recorder, busy).install():
        traced("outer")(lambda: None)()
        list(stream())

    assert set(names(recorder)) == {"outer", "stream"}
    assert busy.heard == 5
    assert reports == []


@pytest.mark.rule(17, *every_mode)
async def test_muting_ends_with_the_handler(called: Called) -> None:
    """
    The body is heard, though a handler was muted just before.
    """
    recorder = Recorder()

    with callbacks(recorder, Busy(lookup)):
        await called(traced("outer"), lookup)

    assert names(recorder) == ["outer", "lookup", "lookup", "outer"]


@pytest.mark.rule(17, *every_mode)
async def test_muting_ends_with_a_failing_handler(called: Called) -> None:
    """
    A handler that raises leaves nothing muted, whatever it raises.
    """

    class Interrupt(BaseCallbackHandler):
        def on_chain_start(self, *args: Any, **kwargs: Any) -> None:
            raise KeyboardInterrupt

    recorder = Recorder()
    with callbacks(recorder):
        with callbacks(Interrupt()), contextlib.suppress(KeyboardInterrupt):
            await called(traced("outer"), lambda: None)
        lookup()

    assert names(recorder)[-2:] == ["lookup", "lookup"]


@pytest.mark.rule(17, "sync")
def test_current_run_in_a_handler() -> None:
    """
    In a handler there is no run in hand: what it does belongs to none.
    """
    seen: list[bool] = []

    with callbacks(
        on_chain_start=lambda run: seen.extend([bool(run), bool(current_run())])
    ):
        traced(lambda: None)()

    assert seen == [True, False]


@pytest.mark.parametrize("say", ["emit", "text", "token", "outputs"])
@pytest.mark.rule(17, "sync")
def test_redactor_is_muted(say: str) -> None:
    """
    A traced function that redacts is heard by nobody, wherever it is asked.
    """

    @traced("redactor")
    def redact(value: Any, path: object) -> Any:
        return value

    recorder = Recorder()
    with callbacks(recorder, redact=redact), traced("run", kind="llm") as run:
        if say == "outputs":
            run.outputs = "x"
        else:
            getattr(run, say)("x")

    assert set(names(recorder)) == {"run"}


@pytest.mark.rule(17, "generator")
def test_generator_that_a_handler_drops_is_heard() -> None:
    """
    A generator of the application that is collected while a handler works still ends.
    """
    recorder, held = Recorder(), list[Iterator[str]]()

    with callbacks(recorder, on_chain_start=held.clear):
        held.append(stream())
        next(held[0])
        traced("outer")(lambda: None)()

    assert recorder.find("stream")[0].status == "abandoned"


@pytest.mark.rule(17, "async", "async generator")
async def test_task_of_a_handler_stays_muted() -> None:
    """
    A task that a handler starts is muted for its whole life, also after the handler.
    """
    recorder, tasks = Recorder(), list[asyncio.Task[str]]()

    class Spawning(AsyncCallbackHandler):
        async def on_chain_start(self, *args: Any, **kwargs: Any) -> None:
            tasks.append(asyncio.create_task(alookup()))

    async with callbacks(recorder, Spawning()):
        with traced("outer"):
            pass
        async with traced("outer"):
            pass
        await asyncio.gather(*tasks)

    assert set(names(recorder)) == {"outer"}
