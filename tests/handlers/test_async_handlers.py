"""
Async handlers: where they are awaited, and in what order they hear.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from inspect import iscoroutinefunction, signature
from typing import Any

import anyio
import anyio.to_thread
import pytest

from instrument import (
    AsyncCallbackHandler,
    BaseCallbackHandler,
    bind,
    callbacks,
    emit,
    traced,
)
from instrument._delivery import lanes as _lanes
from instrument.testing import Recorder

Called = Callable[..., Awaitable[Any]]


pytestmark = [
    pytest.mark.anyio,
    pytest.mark.usefixtures("no_coroutine_is_left"),
]


both_backends = pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])


every_mode = ("sync", "async", "generator", "async generator")


WHOLE = ["on_chain_start", "on_custom_event", "on_chain_end"]


class Heard(AsyncCallbackHandler):
    """
    Keeps what it hears, and in which thread, after it has waited a little.
    """

    def __init__(self, log: list[str] | None = None, name: str = "") -> None:
        self.events: list[str] = []
        self.threads: set[int] = set()
        self.log = log if log is not None else []
        self.name = name

    async def on_event(self, event: Any, **kwargs: Any) -> None:
        await anyio.lowlevel.checkpoint()
        self.events.append(event.event)
        self.threads.add(threading.get_ident())
        self.log.append(f"{self.name} {event.event}")


class Told(Recorder):
    """
    A sync handler that writes to the same log.
    """

    def __init__(self, log: list[str], name: str) -> None:
        super().__init__()
        self.log = log
        self.name = name

    def on_event(self, event: Any, **kwargs: Any) -> None:
        self.log.append(f"{self.name} {event.event}")


def tell() -> None:
    """
    Be a body that tells something.
    """
    emit("told")


@pytest.mark.parametrize(
    "event", [name for name in dir(BaseCallbackHandler) if name.startswith("on_")]
)
async def test_methods_of_the_base_class(event: str) -> None:
    """
    Each event has a coroutine function that does nothing, with the signature and the
    docstring of the sync one.
    """
    sync, hear = (
        getattr(BaseCallbackHandler, event),
        getattr(AsyncCallbackHandler, event),
    )

    assert iscoroutinefunction(hear)
    assert signature(hear).parameters == signature(sync).parameters
    assert (hear.__doc__, hear.__name__) == (sync.__doc__, event)
    assert await hear(AsyncCallbackHandler()) is None


@both_backends
@pytest.mark.rule(14, *every_mode)
async def test_async_block_serves_all(called: Called) -> None:
    """
    An async handler has heard everything, in order, when its async block is left.
    """
    heard = Heard()

    async with callbacks(heard):
        await called(traced, tell)

    assert heard.events == WHOLE


@both_backends
@pytest.mark.rule(14, "async")
async def test_async_block_of_a_run() -> None:
    """
    An async traced block awaits its handlers at both ends, also after an exception.
    """
    heard = Heard()

    async with callbacks(heard):
        async with traced("block"):
            assert heard.events == ["on_chain_start"]
        assert heard.events == ["on_chain_start", "on_chain_end"]
        with pytest.raises(KeyError):
            async with traced("block"):
                raise KeyError
        assert heard.events[-1] == "on_chain_error"


@both_backends
@pytest.mark.rule(14, "async", "async generator")
async def test_awaited_in_place_in_the_order_given(called: Called) -> None:
    """
    In async code async handlers are awaited before the body goes on, in the order given.
    """
    log: list[str] = []
    first, second, third = Heard(log, "1"), Told(log, "2"), Heard(log, "3")

    async with callbacks(first, second, third):
        await called(traced, lambda: log.append("body"))

    assert log == [
        "1 on_chain_start",
        "2 on_chain_start",
        "3 on_chain_start",
        "body",
        "1 on_chain_end",
        "2 on_chain_end",
        "3 on_chain_end",
    ]


@both_backends
@pytest.mark.rule(14, "sync", "generator")
async def test_sync_handlers_do_not_wait_for_async_ones(called: Called) -> None:
    """
    In sync code on a loop's thread sync handlers hear at once, async ones in order later.
    """
    log: list[str] = []

    async with callbacks(Heard(log, "async"), Told(log, "sync")):
        await called(traced, lambda: log.append("body"))

    assert log == [
        "sync on_chain_start",
        "body",
        "sync on_chain_end",
        "async on_chain_start",
        "async on_chain_end",
    ]


@both_backends
@pytest.mark.rule(14, "sync", "async", "generator", "async generator")
async def test_order_across_sync_and_async_code(called: Called) -> None:
    """
    What sync code queued is served before async code has its next event awaited.
    """
    heard = Heard()

    @traced.tool
    async def inner() -> None:
        assert heard.events[-1] == "on_tool_start"

    async with callbacks(heard):
        await called(traced, tell)
        await inner()

    assert heard.events == [*WHOLE, "on_tool_start", "on_tool_end"]


@pytest.mark.rule(14, "sync", "generator")
@pytest.mark.parametrize("body", ["sync", "generator"])
def test_no_loop_anywhere(body: str) -> None:
    """
    With no loop anywhere one background loop serves; leaving the block waits for it.
    """
    heard = Heard()

    def generator() -> Iterator[None]:
        tell()
        yield

    with callbacks(heard):
        if body == "sync":
            traced(tell)()
        else:
            list(traced(generator)())

    assert heard.events == WHOLE
    assert threading.get_ident() not in heard.threads


@pytest.mark.parametrize("given", ["process", "constructor", "call"])
@pytest.mark.rule(14, "sync")
def test_outermost_run_waits_without_a_block(given: str) -> None:
    """
    Without a block the outermost run waits until its async handlers have heard.
    """
    heard = Heard()
    if given == "process":
        with callbacks(heard).install():
            traced(tell)()
            assert heard.events == WHOLE
    elif given == "constructor":
        traced(callbacks=[heard])(tell)()
    else:
        traced(tell)(callbacks=[heard])  # type: ignore[call-arg]

    assert heard.events == WHOLE


@pytest.mark.rule(14, "sync", "generator")
async def test_other_thread_goes_to_the_loop_of_the_scope(called: Called) -> None:
    """
    Sync code in another thread has async handlers served on their scope's loop.
    """
    heard = Heard()

    async with callbacks(heard):
        await anyio.to_thread.run_sync(traced(tell))
        await anyio.to_thread.run_sync(lambda: list(traced(told_generator)()))

    assert heard.events == [*WHOLE, *WHOLE]
    assert heard.threads == {threading.get_ident()}


def told_generator() -> Iterator[None]:
    """
    Be a generator that tells something.
    """
    tell()
    yield


@pytest.mark.rule(14, "async", "async generator")
async def test_other_loop_awaits_the_loop_of_the_scope() -> None:
    """
    Async code on a second loop has handlers served on their scope's loop, and waits.
    """
    heard = Heard()
    before_body: list[list[str]] = []

    @traced
    async def work() -> None:
        before_body.append(list(heard.events))

    @traced
    async def stream() -> Any:
        before_body.append(list(heard.events))
        yield 1

    async def drain() -> None:
        await work()
        _ = [item async for item in stream()]

    async with callbacks(heard):
        await anyio.to_thread.run_sync(lambda: asyncio.run(drain()))

    start, end = "on_chain_start", "on_chain_end"
    assert before_body == [[start], [start, end, start]]
    assert heard.events == [start, end, start, end]
    assert heard.threads == {threading.get_ident()}


@pytest.mark.rule(14, "async")
async def test_other_loop_while_the_scope_is_blocked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """
    A second loop does not wait for ever for a blocked one; its events come in order.
    """
    monkeypatch.setattr(_lanes, "FOREIGN_WAIT_S", 0.01)
    heard, done = Heard(), list[str]()

    @traced
    async def work() -> None:
        tell()
        done.append("ran")

    async with callbacks(heard):
        thread = threading.Thread(target=bind(lambda: asyncio.run(work())))
        thread.start()
        thread.join(10)
        assert done == ["ran"]
        assert heard.events == []

    assert heard.events == WHOLE


@pytest.mark.rule(14, "async")
def test_block_of_sync_code_around_a_loop() -> None:
    """
    A block opened before any loop has its async handlers awaited on the loop that runs.
    """
    heard = Heard()
    seen: list[list[str]] = []

    @traced
    async def work() -> None:
        seen.append(list(heard.events))

    with callbacks(heard):
        asyncio.run(work())
        asyncio.run(work())

    assert seen == [
        ["on_chain_start"],
        ["on_chain_start", "on_chain_end", "on_chain_start"],
    ]
    assert heard.threads == {threading.get_ident()}


def test_coroutine_driven_by_hand() -> None:
    """
    Where no loop runs, what sync code queued is served by the background loop before a
    coroutine that is driven by hand has its next event awaited in this thread.
    """
    log: list[str] = []
    outer_is_heard, inner_is_heard = threading.Event(), threading.Event()

    class Slow(AsyncCallbackHandler):
        async def on_chain_start(self, *_: object, **told: Any) -> None:
            if told["name"] == "outer":
                outer_is_heard.set()
                inner_is_heard.wait(0.2)
            inner_is_heard.set()
            log.append(told["name"])

    @traced("inner")
    async def inner() -> None:
        pass

    with callbacks(Slow()), traced("outer"):
        outer_is_heard.wait(10)
        with pytest.raises(StopIteration):
            inner().send(None)

    assert log == ["outer", "inner"]
