"""
A handler's own ``CancelledError`` is its failure; the task's cancellation is not.
"""

import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from threading import get_ident
from typing import Any

import anyio
import pytest
import trio

from instrument import AsyncCallbackHandler, BaseCallbackHandler, callbacks, traced
from instrument.handlers import background, filtered, tail
from instrument.testing import Recorder


async def cancelled_future() -> None:
    future = asyncio.get_running_loop().create_future()
    future.cancel()
    await future


class Awaits(AsyncCallbackHandler):
    """
    Waits at each event for what has been cancelled.
    """

    async def on_event(self, event: Any, **kwargs: Any) -> None:
        await cancelled_future()

    async def aflush(self) -> None:
        await cancelled_future()


class Raises(BaseCallbackHandler):
    """
    Raises it itself, in sync code.
    """

    def on_event(self, event: Any, **kwargs: Any) -> None:
        raise asyncio.CancelledError

    def flush(self) -> None:
        raise asyncio.CancelledError


@traced.tool
def tool() -> str:
    return "result"


@traced.tool
async def atool() -> str:
    return "result"


@traced.llm
async def amodel(prompt: str) -> AsyncIterator[str]:
    yield "a"


@traced
async def abroken() -> None:
    raise LookupError


def made() -> "Iterator[Any]":
    yield Awaits()
    yield Raises()
    yield filtered(Awaits(), kinds=["tool", "llm", "chain"])
    yield background(Awaits())
    yield background(Raises())


EACH = pytest.mark.parametrize("number", range(5))


def handler(number: int) -> Any:
    return list(made())[number]


@EACH
@pytest.mark.anyio
async def test_own_cancellation_in_async_code(number: int, reports: list[str]) -> None:
    """
    In async code the call goes on at starts, tokens, ends, errors and flushes.
    """
    recorder = Recorder()

    async with callbacks(handler(number), recorder):
        result = await atool()
        tokens = [token async for token in amodel("p")]
        with pytest.raises(LookupError):
            await abroken()

    assert (result, tokens) == ("result", ["a"])
    assert [run.status for run in recorder.runs] == ["ok", "ok", "error"]
    assert all(
        "CancelledError" in report for report in reports if "failed at" in report
    )
    assert reports


@EACH
@pytest.mark.anyio
async def test_own_cancellation_in_sync_code_on_a_loop(
    number: int, reports: list[str]
) -> None:
    """
    In sync code on a loop's thread it is the handler's, and reported.
    """
    async with callbacks(handler(number)):
        with callbacks(handler(number)):
            assert tool() == "result"

    assert reports


@EACH
def test_own_cancellation_without_a_loop(number: int, reports: list[str]) -> None:
    """
    In sync code with no loop, so that the background loop serves, likewise.
    """
    with callbacks(handler(number)):
        assert tool() == "result"

    assert reports


@pytest.mark.parametrize("kind", [Awaits, Raises])
@pytest.mark.anyio
async def test_own_cancellation_can_stop(
    kind: Callable[[], Any], reports: list[str]
) -> None:
    """
    With ``raise_error`` it is raised, as any failure is.
    """
    stops = kind()
    stops.raise_error = True

    with pytest.raises(asyncio.CancelledError), callbacks(stops):
        await atool()

    assert asyncio.current_task().cancelling() == 0  # type: ignore[union-attr]
    assert reports


async def caught() -> None:
    """
    Be cancelled, and go on: that stays counted.
    """
    asyncio.current_task().cancel()  # type: ignore[union-attr]
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.sleep(0)
    assert asyncio.current_task().cancelling() == 1  # type: ignore[union-attr]


async def failed_in_a_group() -> None:
    """
    Leave a group in which a task fails: up to Python 3.12 that stays counted.
    """

    async def fail() -> None:
        await asyncio.sleep(0)
        raise LookupError

    with pytest.raises(ExceptionGroup):
        async with asyncio.TaskGroup() as group:
            group.create_task(fail())


BEFORE = pytest.mark.parametrize("before", [caught, failed_in_a_group])


@EACH
@BEFORE
@pytest.mark.anyio
async def test_own_cancellation_behind_one_of_the_task(
    number: int, before: Callable[[], Any], reports: list[str]
) -> None:
    """
    It is the handler's also where the task has been cancelled before, and goes on.
    """
    await before()

    async with callbacks(handler(number)):
        assert await atool() == "result"
        assert [token async for token in amodel("p")] == ["a"]

    assert reports


@BEFORE
@pytest.mark.anyio
async def test_cancelled_once_more(before: Callable[[], Any]) -> None:
    """
    A task that has been cancelled before is cancelled by what comes later: while a
    handler is waited for, or just before that, by itself.
    """
    served = asyncio.Event()

    class Waits(AsyncCallbackHandler):
        async def on_tool_start(self, *args: Any, **kwargs: Any) -> None:
            served.set()
            await asyncio.sleep(60)

    async def request(*, by_itself: bool) -> None:
        await before()
        with callbacks(Waits()):
            if by_itself:
                asyncio.current_task().cancel()  # type: ignore[union-attr]
            await atool()

    task = asyncio.create_task(request(by_itself=False))
    await served.wait()
    task.cancel()
    for it in (task, asyncio.create_task(request(by_itself=True))):
        await asyncio.wait([it])
        assert it.cancelled()


class RaisesAtOnce(AsyncCallbackHandler):
    """
    Raises it before it waits for anything.
    """

    async def on_event(self, event: Any, **kwargs: Any) -> None:
        raise asyncio.CancelledError

    async def aflush(self) -> None:
        raise asyncio.CancelledError


@pytest.mark.parametrize("kind", [Raises, RaisesAtOnce])
@pytest.mark.anyio
async def test_own_cancellation_before_that_of_the_task(
    kind: Callable[[], Any], reports: list[str]
) -> None:
    """
    It is the handler's also where the task has been asked to stop, by its own body, and
    meets that only when it next waits.
    """
    done: list[str] = []

    @traced.tool
    async def cancelling() -> str:
        asyncio.current_task().cancel()  # type: ignore[union-attr]
        return "result"

    async def request() -> None:
        with callbacks(kind()):
            done.append(await cancelling())
            done.append(await cancelling())
            await asyncio.sleep(0)

    task = asyncio.create_task(request())
    await asyncio.wait([task])

    assert (done, task.cancelled()) == (["result", "result"], True)
    assert any("failed at on_tool_end" in report for report in reports)


@BEFORE
@pytest.mark.anyio
async def test_own_cancellation_of_what_else_is_asked(
    before: Callable[[], Any], reports: list[str]
) -> None:
    """
    What else of an application's own is asked, as a rule of `tail`, fails likewise.
    """
    await before()

    def keep(runs: object) -> bool:
        raise asyncio.CancelledError

    with callbacks(tail(recorder := Recorder(), keep)):
        assert await atool() == "result"

    assert [run.status for run in recorder.runs] == ["ok"]
    assert "failed at tail(keep=...)" in reports[0]


@pytest.mark.parametrize("others", [[], [ValueError("bad")]])
@pytest.mark.anyio
async def test_own_cancellation_in_a_group(
    others: list[BaseException], reports: list[str]
) -> None:
    """
    It is the handler's also in a group, of which nothing is for the call.
    """
    group = BaseExceptionGroup("several", [asyncio.CancelledError(), *others])

    class Gathers(AsyncCallbackHandler):
        async def on_tool_start(self, *args: Any, **kwargs: Any) -> None:
            raise group

    async with callbacks(Gathers()):
        assert await atool() == "result"

    assert "Gathers failed at on_tool_start" in reports[0]


@pytest.mark.anyio
async def test_cancellation_of_the_task(reports: list[str]) -> None:
    """
    The task's own reaches it while an async handler is awaited.
    """
    begun = asyncio.Event()

    class Waits(AsyncCallbackHandler):
        async def on_tool_start(self, *args: Any, **kwargs: Any) -> None:
            begun.set()
            await asyncio.Event().wait()

    async def call() -> str:
        with callbacks(Waits()):
            return await atool()

    task = asyncio.create_task(call())
    await begun.wait()
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert task.cancelled()
    assert reports == []


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
@pytest.mark.anyio
async def test_cancellation_raised_again(anyio_backend: str) -> None:
    """
    A sync handler that raises the cancellation that it is told keeps it from no other
    handler, and not from the call.
    """
    recorder = Recorder()

    class Raises(BaseCallbackHandler):
        def on_chain_error(self, error: BaseException, **kwargs: Any) -> None:
            raise error

    @traced
    async def work() -> None:
        await anyio.sleep_forever()

    with anyio.move_on_after(0) as scope, callbacks(Raises(), recorder):
        await work()

    assert scope.cancelled_caught
    assert recorder.events[-1].data["status"] == "cancelled"


@pytest.mark.anyio
async def test_start_that_fills_the_stack() -> None:
    """
    A start in which an async handler has filled the stack itself is told it only once.
    """
    starts: list[str] = []

    class Fills(AsyncCallbackHandler):
        async def on_tool_start(self, *args: Any, **kwargs: Any) -> None:
            starts.append(kwargs["name"])
            await self.on_tool_start(*args, **kwargs) if len(starts) < 9 else full()

        async def on_tool_end(self, *args: Any, **kwargs: Any) -> None:
            starts.append("end")

    def full() -> None:
        raise RecursionError

    async with callbacks(Fills()):
        assert await atool() == "result"

    assert starts == ["atool"] * 9 + ["end"]


@pytest.mark.parametrize("anyio_backend", ["trio"])
@pytest.mark.anyio
async def test_cancellation_of_a_scope_of_trio(
    anyio_backend: str, reports: list[str]
) -> None:
    """
    On trio what counts is whether the scope is cancelled.
    """
    import trio

    class Waits(AsyncCallbackHandler):
        async def on_tool_start(self, *args: Any, **kwargs: Any) -> None:
            scope.cancel()
            await trio.sleep_forever()

    kept: list[BaseException] = []

    class Keeps(AsyncCallbackHandler):
        async def on_tool_start(self, *args: Any, **kwargs: Any) -> None:
            raise kept[0]

    with trio.CancelScope() as scope:
        try:
            with callbacks(Waits()):
                await atool()
        except trio.Cancelled as exc:
            kept.append(exc)
            raise
    assert scope.cancelled_caught
    assert reports == []

    with callbacks(Keeps()):
        assert await atool() == "result"
    assert "Cancelled" in reports[0]


class JobTimeout(Exception):  # noqa: N818 - as those of job queues are called
    """
    What a job's time limit raises.
    """


class Times:
    """
    Signal handlers of each form.
    """

    def method(self, *_: object) -> None:
        raise JobTimeout

    __call__ = method

    @staticmethod
    def function(*_: object) -> None:
        raise JobTimeout


@pytest.fixture
def alarm() -> "Iterator[Callable[[Any], Any]]":
    """
    Give what sets the signal's handler; it is put back.
    """
    before = signal.getsignal(signal.SIGALRM)
    yield partial(signal.signal, signal.SIGALRM)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("form", [Times().method, Times(), Times.function])
@pytest.mark.parametrize("is_async", [False, True])
def test_timeout_in_a_handler(
    form: Any, is_async: bool, alarm: Any, reports: list[str]
) -> None:
    """
    What a signal handler raises while a handler is served reaches the caller.
    """
    alarm(form)
    recorder = Recorder()

    class Slow:
        def on_tool_start(self, *args: Any, **kwargs: Any) -> None:
            signal.raise_signal(signal.SIGALRM)

    class AsyncSlow(AsyncCallbackHandler):
        async def on_tool_start(self, *args: Any, **kwargs: Any) -> None:
            signal.raise_signal(signal.SIGALRM)

    async def main() -> None:
        with callbacks(AsyncSlow(), recorder):
            await atool()

    with pytest.raises(JobTimeout):
        if is_async:
            asyncio.run(main())
        else:
            with callbacks(Slow(), recorder):
                tool()

    assert [run.status for run in recorder.runs] == ["error"]
    assert reports == []


@pytest.mark.parametrize("in_background", [False, True])
def test_timeout_while_a_handler_is_waited_for(
    in_background: bool, alarm: Any, reports: list[str]
) -> None:
    """
    A time limit that comes while a block waits for its handlers reaches the caller.
    """

    def over(*_: object) -> None:
        raise TimeoutError

    alarm(over)
    main = get_ident()

    def alarm_once_waited_for() -> None:
        while sys._current_frames()[main].f_code.co_name != "wait":
            pass
        signal.pthread_kill(main, signal.SIGALRM)

    class Slow(AsyncCallbackHandler):
        async def on_tool_start(self, *args: Any, **kwargs: Any) -> None:
            alarm_once_waited_for()

    with (
        pytest.raises(TimeoutError),
        callbacks(background(Slow()) if in_background else Slow()),
    ):
        tool()

    assert reports == []


def test_timeout_of_a_partial(alarm: Any) -> None:
    """
    A signal handler may be a partial.
    """
    alarm(partial(Times.function, "given"))

    class Slow:
        def on_tool_start(self, *args: Any, **kwargs: Any) -> None:
            signal.raise_signal(signal.SIGALRM)

    with pytest.raises(JobTimeout), callbacks(Slow()):
        tool()


def test_timeout_in_a_task_of_a_handler(alarm: Any, reports: list[str]) -> None:
    """
    What comes out of a task group of an async handler, and holds what a signal handler
    raised, reaches the caller.
    """
    alarm(Times.function)

    async def part() -> None:
        signal.raise_signal(signal.SIGALRM)

    class Several(AsyncCallbackHandler):
        async def on_tool_start(self, *args: Any, **kwargs: Any) -> None:
            async with asyncio.TaskGroup() as group:
                group.create_task(part())

    async def main() -> None:
        async with callbacks(Several()):
            await atool()

    with pytest.raises(ExceptionGroup) as caught:
        asyncio.run(main())

    assert [type(it) for it in caught.value.exceptions] == [JobTimeout]
    assert reports == []


def test_cancelled_in_a_thread_of_trio() -> None:
    """
    In a worker thread of trio, its cancellation goes through a handler to the call.
    """
    done = []

    class Asks:
        def on_tool_start(self, *args: Any, **kwargs: Any) -> None:
            trio.from_thread.run_sync(scope.cancel)
            trio.from_thread.check_cancelled()

    def work() -> None:
        with callbacks(Asks()):
            tool()
        done.append("worked")

    async def main() -> None:
        with scope:
            await trio.to_thread.run_sync(work)
            done.append("not cancelled")

    scope = trio.CancelScope()
    trio.run(main)

    assert scope.cancelled_caught
    assert done == []


def keeps(event: str, *, by_raising: bool) -> Any:
    """
    Make a handler that answers the cancellation of the call with a failure of its own, or
    goes on.
    """

    async def hear(*args: Any, **kwargs: Any) -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            if by_raising:
                raise ValueError("not sent") from None

    return type("Keeps", (AsyncCallbackHandler,), {event: hear})()


whole_counts = pytest.mark.skipif(
    sys.version_info < (3, 13), reason="a group of tasks may leave a count behind"
)


@pytest.mark.parametrize("by_raising", [True, pytest.param(False, marks=whole_counts)])
@pytest.mark.parametrize(
    "event", ["on_tool_start", "on_tool_end", "on_llm_new_token", "aflush"]
)
@pytest.mark.parametrize("limit", [asyncio.timeout, anyio.fail_after])
@pytest.mark.anyio
async def test_handler_that_keeps_the_cancellation(
    limit: Any, event: str, by_raising: bool, reports: list[str]
) -> None:
    """
    It reaches the call all the same: a time limit around that is met.
    """
    with pytest.raises(TimeoutError):
        async with contextlib.AsyncExitStack() as stack:
            scope = limit(0.01)
            if limit is asyncio.timeout:
                await stack.enter_async_context(scope)
            else:
                stack.enter_context(scope)
            async with callbacks(keeps(event, by_raising=by_raising)):
                await atool()
                assert [token async for token in amodel("p")] == ["a"]
            await asyncio.sleep(60)

    assert asyncio.current_task().cancelling() == 0  # type: ignore[union-attr]
    assert ["ValueError: not sent" in report for report in reports] == [
        True
    ] * by_raising


@pytest.mark.parametrize("caught", [False, True])
@pytest.mark.anyio
async def test_group_of_a_handler_cancels_nothing(caught: bool) -> None:
    """
    What fails in a task group of a handler cancels no call: up to Python 3.12 a count of
    it stays.
    """

    async def part() -> None:
        await asyncio.sleep(0)
        raise ValueError

    class Several(AsyncCallbackHandler):
        async def on_tool_start(self, *args: Any, **kwargs: Any) -> None:
            with contextlib.suppress(*[ExceptionGroup] * caught):
                async with asyncio.TaskGroup() as group:
                    group.create_task(part())

    async with callbacks(Several()):
        assert await atool() == "result"
