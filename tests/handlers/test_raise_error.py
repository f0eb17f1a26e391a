"""
``raise_error = True`` beyond starts and ends: tokens, sync code, flags, other words.
"""

import gc
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import anyio
import pytest

from instrument import (
    AsyncCallbackHandler,
    BaseCallbackHandler,
    bind,
    callbacks,
    emit,
    traced,
)
from instrument.testing import Recorder

pytestmark = pytest.mark.anyio
both_backends = pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])


class Budget(BaseCallbackHandler):
    """
    Stops a model at its second token.
    """

    raise_error = True

    def __init__(self) -> None:
        self.tokens: list[str] = []

    def on_llm_new_token(self, token: str, **kwargs: Any) -> Any:
        self.tokens.append(token)
        if len(self.tokens) > 1:
            raise OverflowError(token)


class AsyncBudget(AsyncCallbackHandler):
    """
    The same in a coroutine.
    """

    raise_error = True

    def __init__(self) -> None:
        self.tokens: list[str] = []

    async def on_llm_new_token(self, token: str, **kwargs: Any) -> None:
        await anyio.lowlevel.checkpoint()
        self.tokens.append(token)
        if len(self.tokens) > 1:
            raise OverflowError(token)


class AsyncStopper(AsyncCallbackHandler):
    """
    Refuses every chain.
    """

    raise_error = True

    async def on_chain_start(self, *args: Any, **kwargs: Any) -> None:
        raise PermissionError("refused")


@pytest.mark.rule(13, "generator")
def test_token_stops_a_generator() -> None:
    """
    What a handler raises at a token reaches the consumer, and the body is closed.
    """
    closed: list[BaseException] = []

    @traced.llm
    def model() -> Iterator[str]:
        try:
            yield from "abc"
        except GeneratorExit as exc:
            closed.append(exc)
            raise

    recorder, got = Recorder(), list[str]()
    with callbacks(Budget(), recorder), pytest.raises(OverflowError, match="b"):
        got.extend(iter(model()))

    assert len(closed) == 1
    assert [event.event for event in recorder.events] == [
        "on_llm_start",
        "on_llm_new_token",
        "on_llm_new_token",
        "on_llm_error",
    ]
    assert recorder.events[-1].data["text"] == "ab"


@both_backends
@pytest.mark.parametrize("handler", [Budget, AsyncBudget])
@pytest.mark.rule(13, "async generator")
async def test_token_stops_an_async_generator(handler: type[Budget]) -> None:
    """
    The same for an async generator, by sync and async handlers.
    """
    closed: list[BaseException] = []

    @traced.llm
    async def model() -> AsyncIterator[str]:
        try:
            for token in "abc":
                yield token
        except GeneratorExit as exc:
            closed.append(exc)
            raise

    recorder, got = Recorder(), list[str]()
    async with callbacks(handler(), recorder):
        with pytest.raises(OverflowError, match="b"):
            async for token in model():
                got.append(token)

    assert got == ["a"]
    assert len(closed) == 1
    assert recorder.runs[0].status == "error"


@pytest.mark.rule(13, "sync")
def test_token_is_raised_where_it_was_made() -> None:
    """
    What a handler raises at ``run.token()`` is raised there, and the body may handle it.
    """
    recorder = Recorder()

    with callbacks(Budget(), recorder), traced("model", kind="llm") as run:
        run.token("a")
        with pytest.raises(OverflowError):
            run.token("b")

    assert recorder.runs[0].status == "ok"


@pytest.mark.rule(13, "async")
async def test_token_is_raised_in_a_coroutine() -> None:
    """
    In a coroutine function ``run.token()`` raises what a sync handler raised.
    """

    @traced.llm
    async def model() -> str:
        run = traced_run()
        run.token("a")
        with pytest.raises(OverflowError):
            run.token("b")
        return "ab"

    async with callbacks(Budget()):
        assert await model() == "ab"


def traced_run() -> Any:
    """
    Give the run in hand.
    """
    from instrument import current_run

    return current_run()


@pytest.mark.parametrize("body", ["sync", "generator"])
@pytest.mark.rule(13, "sync", "generator")
def test_async_handler_stops_sync_code_without_a_loop(body: str) -> None:
    """
    With no loop anywhere an async handler is waited for, and can stop sync code.
    """
    ran: list[str] = []

    def function() -> None:
        ran.append("sync")

    def generator() -> Iterator[None]:
        ran.append("generator")
        yield

    recorder = Recorder()
    with callbacks(AsyncStopper(), recorder), pytest.raises(PermissionError):
        if body == "sync":
            traced(function)()
        else:
            list(traced(generator)())

    assert ran == []
    assert [event.event for event in recorder.events] == [
        "on_chain_start",
        "on_chain_error",
    ]


@pytest.mark.rule(13, "sync", "generator")
async def test_async_handler_cannot_stop_sync_code_on_a_loop(
    reports: list[str],
) -> None:
    """
    On a loop's thread an async handler cannot stop sync code, which is said once.
    """
    async with callbacks(AsyncStopper()):
        assert traced(lambda: "ran")() == "ran"
        assert traced(lambda: "ran")() == "ran"

    said = [line for line in reports if "cannot stop sync code" in line]
    assert len(said) == 1
    assert "AsyncStopper" in said[0]
    assert "make its method sync, or what it is to stop async" in said[0]


@pytest.mark.rule(13, "sync")
def test_first_error_is_raised() -> None:
    """
    Of several handlers that raise, the first one's error is raised, and all hear.
    """

    def stopper(name: str) -> Any:
        def hear(event: object, **kwargs: object) -> None:
            heard.append(name)
            raise LookupError(name)

        return SimpleNamespace(on_event=hear, raise_error=True)

    heard: list[str] = []
    with callbacks(stopper("first"), stopper("second")):
        with pytest.raises(LookupError, match="first"):
            emit("event")
        assert heard == ["first", "second"]


@pytest.mark.parametrize("flag", [1, "yes", SimpleNamespace(), None])
@pytest.mark.rule(13, "sync")
def test_raise_error_is_exactly_true(flag: object) -> None:
    """
    Only ``raise_error = True`` counts, so that a mock's attribute does not.
    """

    def fail(*args: object, **kwargs: object) -> None:
        raise LookupError

    with callbacks(SimpleNamespace(on_chain_start=fail, raise_error=flag)):
        assert traced(lambda: "ran")() == "ran"


@pytest.mark.parametrize("say", ["text", "retry", "emit", "token"])
@pytest.mark.rule(13, "sync")
def test_other_events_raise_where_they_are_told(say: str) -> None:
    """
    What a handler raises at a run's own word is raised there.
    """

    def fail(event: Any, **kwargs: object) -> None:
        if not event.event.endswith(("_start", "_end")):
            raise LookupError(event.event)

    handler = SimpleNamespace(on_event=fail, raise_error=True)
    with callbacks(handler), traced("run", kind="llm") as run:
        with pytest.raises(LookupError):
            getattr(run, say)("x")
        assert run.status == "running"


@pytest.mark.rule(13, "sync", "generator")
def test_keyboard_interrupt_of_a_handler_goes_through() -> None:
    """
    Ctrl-C while a handler is at work ends the run as an error and the program as usual.
    """

    def interrupt(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    recorder = Recorder()
    with callbacks(recorder):
        with callbacks(on_chain_start=interrupt), pytest.raises(KeyboardInterrupt):
            traced(lambda: None)()
        assert traced(lambda: "heard")() == "heard"

    assert [run.status for run in recorder.runs] == ["error", "ok"]


@pytest.mark.rule(13, "async", "async generator")
async def test_handler_that_raises_in_a_dropped_coroutine(reports: list[str]) -> None:
    """
    A handler that fails while a coroutine is closed is reported, and nothing escapes.
    """

    def fail(*args: object, **kwargs: object) -> None:
        raise LookupError("late")

    @traced
    async def waits() -> None:
        await anyio.lowlevel.checkpoint()

    with callbacks(on_chain_error=fail):
        waiting = waits()
        waiting.send(None)
        waiting.close()
        del waiting
        gc.collect()

    assert len([line for line in reports if "late" in line]) == 1


@pytest.mark.rule(13, "sync")
async def test_async_handler_stops_sync_code_in_a_thread() -> None:
    """
    In a thread without a loop an async handler of another thread's loop is waited for.
    """
    ran: list[str] = []

    async with callbacks(AsyncStopper()):
        with pytest.raises(PermissionError):
            await anyio.to_thread.run_sync(traced(lambda: ran.append("body")))

    assert ran == []


@pytest.mark.rule(13, "sync")
async def test_async_handler_of_a_loop_that_is_busy(
    reports: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    If that loop does not serve it in time, perhaps since it waits for the thread, the
    call goes on, which is said once; nobody waits for that loop again.
    """
    monkeypatch.setattr("instrument._delivery.lanes.FOREIGN_WAIT_S", 0.01)

    async with callbacks(AsyncStopper()):
        with ThreadPoolExecutor() as pool:  # whose exit blocks the loop's thread
            results = [
                pool.submit(bind(traced(lambda: "ran"))).result() for _ in range(2)
            ]

    assert results == ["ran", "ran"]
    assert len([line for line in reports if "cannot stop sync code" in line]) == 1
