"""
Handlers cannot break or change the call; ``raise_error = True`` turns this round.
"""

import re
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from instrument import (
    AsyncCallbackHandler,
    BaseCallbackHandler,
    Event,
    callbacks,
    traced,
)
from instrument.testing import Recorder

Called = Callable[..., Awaitable[Any]]


pytestmark = pytest.mark.anyio


both_backends = pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])


every_mode = ("sync", "async", "generator", "async generator")


async_modes = ("async", "async generator")


class Failing(BaseCallbackHandler):
    """
    Raises at the start and end of every chain.
    """

    def __init__(self, failure: BaseException | None = None) -> None:
        self.failure = failure or ValueError("the handler is broken")

    def on_chain_start(self, *args: Any, **kwargs: Any) -> None:
        raise self.failure

    def on_chain_end(self, *args: Any, **kwargs: Any) -> None:
        raise self.failure

    def on_chain_error(self, *args: Any, **kwargs: Any) -> None:
        raise self.failure


class AsyncFailing(AsyncCallbackHandler):
    """
    The same in coroutines.
    """

    def __init__(self, failure: BaseException | None = None) -> None:
        self.failure = failure or ValueError("the handler is broken")

    async def on_chain_start(self, *args: Any, **kwargs: Any) -> None:
        raise self.failure

    async def on_chain_end(self, *args: Any, **kwargs: Any) -> None:
        raise self.failure

    async def on_chain_error(self, *args: Any, **kwargs: Any) -> None:
        raise self.failure


class Lazy(BaseCallbackHandler):
    """
    A handler whose method cannot even be looked up.
    """

    @property
    def on_chain_end(self) -> Any:
        message = "no connection"
        raise OSError(message)


def names(recorder: Recorder) -> list[str]:
    """
    Give the events that it heard.
    """
    return [event.event for event in recorder.events]


def fails() -> None:
    """
    Be a body that fails.
    """
    raise KeyError("the body")


@both_backends
@pytest.mark.parametrize("failure", [ValueError("broken"), SystemExit(3)])
@pytest.mark.parametrize("handler", [Failing, AsyncFailing])
@pytest.mark.rule(13, *every_mode)
async def test_failing_handler_does_not_break_the_call(
    called: Called, handler: Callable[[Any], Any], failure: BaseException
) -> None:
    """
    A handler that raises does not stop the call, nor the next handler.
    """
    recorder = Recorder()

    async with callbacks(handler(failure), recorder):
        result = await called(traced, lambda: "done")

    assert result in ("done", ["done"])
    assert names(recorder) == ["on_chain_start", "on_chain_end"]


@both_backends
@pytest.mark.parametrize("handler", [Failing, AsyncFailing])
@pytest.mark.rule(13, *every_mode)
async def test_failing_handler_at_error(
    called: Called, handler: Callable[[], Any]
) -> None:
    """
    A handler that raises at an error changes nothing of what the caller gets.
    """
    recorder = Recorder()

    async with callbacks(handler(), recorder):
        with pytest.raises(KeyError, match="the body") as caught:
            await called(traced, fails)

    assert caught.value.__context__ is None
    assert names(recorder) == ["on_chain_start", "on_chain_error"]


@pytest.mark.rule(13, *every_mode)
async def test_failing_method_lookup(called: Called) -> None:
    """
    A handler whose method is a property that raises does not break the call.
    """
    recorder = Recorder()

    with callbacks(Lazy(), recorder):
        result = await called(traced, lambda: "done")

    assert result in ("done", ["done"])
    assert names(recorder) == ["on_chain_start", "on_chain_end"]


@pytest.mark.rule(13, *every_mode)
async def test_report_once_then_counted(called: Called, reports: list[str]) -> None:
    """
    A handler's failure is told once with its traceback, per event, and then counted.
    """
    handler = Failing()

    with callbacks(handler):
        for _ in range(10):
            await called(traced, lambda: None)

    by = "ValueError: the handler is broken"
    told = [re.sub(r" of chain .*, request \w{6}", "", it) for it in reports]
    assert [line.splitlines()[0] for line in told] == [
        f"Failing failed at on_chain_start: {by}; the call goes on without it",
        f"Failing failed at on_chain_end: {by}; the call goes on without it",
        f"Failing has failed 10 times at on_chain_start, last by {by}",
        f"Failing has failed 10 times at on_chain_end, last by {by}",
    ]
    assert "Traceback (most recent call last)" in reports[0]
    assert "ValueError: the handler is broken" in reports[0]


@pytest.mark.parametrize("handler", [Failing, AsyncFailing])
@pytest.mark.rule(13, *every_mode)
async def test_raise_error_at_start(
    called: Called, handler: Callable[[], Any], mode: str
) -> None:
    """
    With ``raise_error`` the body does not run, all hear, and the run ends as an error.
    """
    if handler is AsyncFailing and mode in ("sync", "generator"):
        pytest.skip("an async handler cannot stop sync code on a loop's thread")
    stopper, recorder, bodies = handler(), Recorder(), list[str]()
    stopper.raise_error = True
    stopper.on_chain_error = None

    async with callbacks(stopper, recorder):
        with pytest.raises(ValueError, match="the handler is broken"):
            await called(traced, lambda: bodies.append("ran"))

    assert bodies == []
    assert names(recorder) == ["on_chain_start", "on_chain_error"]
    assert recorder.runs[0].status == "error"
    assert repr(recorder.runs[0].error) == repr(stopper.failure)


@pytest.mark.parametrize("handler", [Failing, AsyncFailing])
@pytest.mark.rule(13, *every_mode)
async def test_raise_error_at_end(
    called: Called, handler: Callable[[], Any], mode: str
) -> None:
    """
    With ``raise_error`` at the end the result is discarded, after all have heard.
    """
    if handler is AsyncFailing and mode in ("sync", "generator"):
        pytest.skip("an async handler cannot stop sync code on a loop's thread")
    stopper, recorder = handler(), Recorder()
    stopper.raise_error = True
    stopper.on_chain_start = None

    async with callbacks(stopper, recorder):
        with pytest.raises(ValueError, match="the handler is broken"):
            await called(traced, lambda: "result")

    assert names(recorder) == ["on_chain_start", "on_chain_end"]


@pytest.mark.parametrize("handler", [Failing, AsyncFailing])
@pytest.mark.rule(13, *every_mode)
async def test_raise_error_at_error(
    called: Called, handler: Callable[[], Any], mode: str
) -> None:
    """
    With ``raise_error`` at an error the original is the context of what is raised.
    """
    if handler is AsyncFailing and mode in ("sync", "generator"):
        pytest.skip("an async handler cannot stop sync code on a loop's thread")
    stopper, recorder = handler(), Recorder()
    stopper.raise_error = True
    stopper.on_chain_start = None

    async with callbacks(stopper, recorder):
        with pytest.raises(ValueError, match="the handler is broken") as caught:
            await called(traced, fails)

    assert isinstance(caught.value.__context__, KeyError)
    assert names(recorder) == ["on_chain_start", "on_chain_error"]


class Takes:
    """
    Takes records, and answers or fails as it is told.
    """

    def __init__(self, then: str) -> None:
        self.then = then
        self.records: list[Event] = []

    def on_event(self, event: Event) -> object:
        self.records.append(event)
        if self.then == "fails":
            raise ValueError(event.event)
        return self.served() if self.then == "is async" else None

    async def served(self) -> None: ...


@pytest.mark.rule
@pytest.mark.parametrize("then", ["answers", "fails", "is async"])
def test_one_record_for_all(then: str, reports: list[str]) -> None:
    """
    All who take records get the same one of each event, whatever one of them does with
    it; those beside them who take arguments hear in their turn.
    """
    handlers = Takes("answers"), Takes(then), Takes("answers")
    order: list[str] = []

    def ended(outputs: int, name: str) -> None:
        order.append(f"{name} {outputs} {len(handlers[1].records)}")

    with callbacks(handlers[0], on_chain_end=ended), callbacks(*handlers[1:]):
        for number in range(2):
            traced("work")(lambda number=number: number)()

    first, *others = [handler.records for handler in handlers]
    assert [event.seq for event in first] == [1, 2, 1, 2]
    for records in others:
        assert all(a is b for a, b in zip(first, records, strict=True))
    assert order == ["work 0 1", "work 1 3"]
    assert len(reports) == (2 if then == "fails" else 0)


class Endless:
    """
    Takes records, and never comes to an end.
    """

    def on_event(self, event: Event) -> object:
        return self.on_event(event)


@pytest.mark.rule
def test_handler_of_records_that_is_endless(reports: list[str]) -> None:
    """
    A handler of records that fills the stack by itself is reported; the call and the
    others know nothing of it.
    """
    recorder = Recorder()

    with callbacks(Endless(), recorder):
        results = [traced("work")(lambda: 1)() for _ in range(2)]

    assert results == [1, 1]
    assert recorder.tree() == "chain work: ok\nchain work: ok"
    assert any("Endless" in report for report in reports)
