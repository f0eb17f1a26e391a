"""
Every start has one end: failures, cancellation, interrupts, and what LangChain forgets.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("langchain_core")

from langchain_core.callbacks import BaseCallbackHandler as LangChainHandler
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langchain_core.runnables import Runnable, RunnableLambda, RunnableParallel
from langchain_core.tools import tool

from instrument import callbacks, traced
from instrument.integrations.langchain import _open_runs, _starting
from instrument.testing import Recorder

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("langchain")]


class Waiting:
    """
    Something to wait for, for ever.
    """

    def __init__(self) -> None:
        self.begun = asyncio.Event()

    async def __call__(self, _: Any) -> None:
        self.begun.set()
        await asyncio.Event().wait()


class WaitingModel(FakeListChatModel):
    """
    A model that streams one token and waits.
    """

    waiting: Any

    async def _astream(self, *args: Any, **kwargs: Any) -> Any:
        async for chunk in super()._astream(*args, **kwargs):
            yield chunk
            await self.waiting(None)


@pytest.mark.parametrize("what", ["lambda", "tool", "model", "parallel"])
async def test_cancelled(what: str, whole: Callable[..., None]) -> None:
    """
    What is cancelled ends as cancelled at each level, with the same exception, which
    reaches the caller.
    """
    waiting, recorder = Waiting(), Recorder()

    @tool
    async def waits(text: str) -> None:
        """
        Wait.
        """
        await waiting(text)

    inner: Any = {
        "lambda": RunnableLambda(waiting, name="waits"),
        "tool": waits,
        "model": RunnableLambda(
            WaitingModel(responses=["abc"], waiting=waiting).astream
        ),
        "parallel": RunnableParallel(
            a=RunnableLambda(waiting), b=RunnableLambda(waiting)
        ),
    }[what]

    @traced("request")
    async def request() -> None:
        app: Runnable[Any, Any] = RunnableLambda(str) | inner
        if what == "parallel":  # as a stream, LangChain leaves its tasks behind
            await app.ainvoke("q")
        async for _ in app.astream("q"):
            pass

    async with callbacks(recorder):
        task = asyncio.create_task(request())
        await waiting.begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await task
        for _ in range(100):  # turns of the loop
            await asyncio.sleep(0)

    whole(recorder)
    left = [run for run in recorder.runs if run.error is not None]
    assert {run.status for run in left} <= {"cancelled", "abandoned"}
    assert recorder.roots[0].status == "cancelled"
    assert type(recorder.roots[0].error) is type(caught.value)
    origins = [id(run.error) for run in left if run.error_origin]
    assert len(origins) == len(set(origins)) == len({id(run.error) for run in left})


async def test_time_out(whole: Callable[..., None]) -> None:
    """
    A time-out around a chain cancels what is inside it, and is an error outside it.
    """
    recorder = Recorder()
    waiting: Runnable[Any, Any] = RunnableLambda(Waiting(), name="waits")

    @traced("request")
    async def request() -> None:
        async with asyncio.timeout(0.01):
            await waiting.ainvoke(1)

    async with callbacks(recorder):
        with pytest.raises(TimeoutError):
            await request()

    whole(recorder)
    assert recorder.tree() == (
        "chain request: error TimeoutError\n  chain waits: cancelled"
    )


def test_exception_crosses_levels(whole: Callable[..., None]) -> None:
    """
    An exception is told at each level it crosses, as one object, at its origin once.
    """

    def fail(_: Any) -> None:
        raise LookupError("deep")

    recorder = Recorder()
    app = RunnableLambda(str) | RunnableParallel(a=RunnableLambda(fail, name="fails"))

    with callbacks(recorder), pytest.raises(LookupError) as caught:
        traced("request")(app.invoke)(1)

    whole(recorder)
    left = [run for run in recorder.runs if run.error is not None]
    assert {id(run.error) for run in left} == {id(caught.value)}
    assert [run.name for run in left if run.error_origin] == ["fails"]


def test_interrupted_from_the_keyboard(whole: Callable[..., None]) -> None:
    """
    Ctrl-C in a chain's body ends all that is open, as an error.
    """

    def interrupt(_: Any) -> None:
        raise KeyboardInterrupt

    recorder = Recorder()
    app = RunnableLambda(str) | RunnableLambda(interrupt)

    with callbacks(recorder), pytest.raises(KeyboardInterrupt):
        app.invoke(1)

    whole(recorder)
    assert [run.status for run in recorder.runs] == ["error", "ok", "error"]


def test_handler_interrupted_from_the_keyboard(whole: Callable[..., None]) -> None:
    """
    Ctrl-C while a handler is at work ends the run, in async code too.
    """

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    recorder, app = Recorder(), RunnableLambda(str)
    with callbacks(recorder, on_chain_start=interrupt):
        with pytest.raises(KeyboardInterrupt):
            asyncio.run(app.ainvoke(1))
        with pytest.raises(KeyboardInterrupt):
            app.invoke(1)

    whole(recorder, roots=2)
    assert [run.status for run in recorder.runs] == ["error", "error"]


def test_handler_interrupted_at_the_end() -> None:
    """
    Ctrl-C while a handler hears of an end reaches the caller; who comes behind hears of
    the end all the same.
    """

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    ended: list[Any] = []

    with (
        callbacks(on_chain_end=interrupt),
        callbacks(on_chain_end=ended.append),
        pytest.raises(KeyboardInterrupt),
    ):
        RunnableLambda(str).invoke(1)

    assert ended == ["1"]


@pytest.mark.parametrize("is_async", [False, True])
def test_handler_interrupted_at_an_error(
    is_async: bool, whole: Callable[..., None]
) -> None:
    """
    So where it hears of an error.
    """

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    def fail(_: Any) -> None:
        raise LookupError("not there")

    recorder, app = Recorder(), RunnableLambda(fail)

    with (
        callbacks(recorder, on_chain_error=interrupt),
        pytest.raises(KeyboardInterrupt),
    ):
        if is_async:
            asyncio.run(app.ainvoke(1))
        else:
            app.invoke(1)

    whole(recorder)
    assert [run.status for run in recorder.runs] == ["error"]


@pytest.mark.parametrize("event", ["on_chain_start", "on_chat_model_start"])
def test_async_start_interrupted_from_the_keyboard(event: str) -> None:
    """
    Ctrl-C while a handler hears of a start that async code tells reaches the caller.
    """

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    handler: Any = {event: interrupt}
    model = FakeListChatModel(responses=["a"])

    with callbacks(**handler), pytest.raises(KeyboardInterrupt):
        asyncio.run((RunnableLambda(str) | model).ainvoke(1))


def interrupted(*_: Any) -> Any:
    """
    Be what an interrupt comes in the midst of.
    """
    raise KeyboardInterrupt


def test_interrupted_as_it_is_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A run whose end is interrupted before it has begun ends all the same, and is forgotten.
    """
    recorder = Recorder()

    with monkeypatch.context() as patched:
        patched.setattr(_open_runs, "take", interrupted)
        with callbacks(recorder), pytest.raises(KeyboardInterrupt):
            RunnableLambda(str).invoke(1)

    assert len(recorder.runs) == 1
    assert recorder.runs[0].status == "error"
    assert not _open_runs.open_runs


def test_interrupted_as_it_is_to_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A run whose start is interrupted in async code is forgotten.
    """
    with monkeypatch.context() as patched:
        patched.setattr(_starting, "astart", interrupted)
        with callbacks(Recorder()), pytest.raises(KeyboardInterrupt):
            asyncio.run(RunnableLambda(str).ainvoke(1))

    assert not _open_runs.open_runs


def test_one_of_a_batch_fails(whole: Callable[..., None]) -> None:
    """
    Of a batch that gives its exceptions back, one fails and the others do not.
    """

    def halve(number: int) -> int:
        if number % 2:
            raise ValueError(number)
        return number // 2

    recorder = Recorder()

    with callbacks(recorder):
        RunnableLambda(halve).batch([1, 2, 4], return_exceptions=True)

    whole(recorder, roots=3)
    assert sorted(run.status for run in recorder.runs) == ["error", "ok", "ok"]


class Theirs(LangChainHandler):
    """
    A handler of LangChain's that raises at one event.
    """

    raise_error = True

    def __init__(self, event: str) -> None:
        self.event = event

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("on_") and name == self.event:
            raise PermissionError(name)
        return super().__getattribute__(name)


def test_start_refused_by_a_handler_of_langchains(whole: Callable[..., None]) -> None:
    """
    What a handler in LangChain's own callbacks stops before we hear of it is no run.
    """
    recorder = Recorder()

    with callbacks(recorder), pytest.raises(PermissionError):
        RunnableLambda(str).invoke(1, {"callbacks": [Theirs("on_chain_start")]})

    assert recorder.events == []


def test_end_refused_by_a_handler_of_langchains(whole: Callable[..., None]) -> None:
    """
    A run whose end such a handler kept from us ends with the run above it.
    """
    recorder = Recorder()
    app = RunnableLambda(FakeListChatModel(responses=["a"]).invoke, name="outer")

    with callbacks(recorder), traced("request"), pytest.raises(PermissionError):
        app.invoke("q", {"callbacks": [Theirs("on_llm_end")]})

    whole(recorder)
    (model,) = recorder.find(kind="chat_model")
    assert isinstance(model.error, PermissionError)


async def test_cancelled_tool_in_a_traced_function(whole: Callable[..., None]) -> None:
    """
    A tool of which LangChain does not tell that it was cancelled ends before the traced
    function that called it, which is cancelled too.
    """
    waiting, recorder = Waiting(), Recorder()

    @tool
    async def waits(text: str) -> None:
        """
        Wait.
        """
        await waiting(text)

    async with callbacks(recorder):
        task = asyncio.create_task(traced("request")(waits.ainvoke)("q"))
        await waiting.begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    whole(recorder)
    assert recorder.tree() == "chain request: cancelled\n  tool waits: cancelled"


async def test_background_task_goes_on(whole: Callable[..., None]) -> None:
    """
    A task that a chain started and did not wait for ends by itself, after the chain.
    """
    go, tasks, recorder = asyncio.Event(), list[Any](), Recorder()

    async def wait(_: Any) -> None:
        await go.wait()

    later: Runnable[Any, Any] = RunnableLambda(wait, name="later")

    async def body(_: Any) -> None:
        tasks.append(asyncio.create_task(later.ainvoke(1)))
        await asyncio.sleep(0)
        raise LookupError

    async with callbacks(recorder):
        with pytest.raises(LookupError):
            await RunnableLambda(body, name="outer").ainvoke(1)
        go.set()
        await tasks[0]

    assert [run.status for run in recorder.runs] == ["error", "ok"]


def test_runs_that_never_end_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Of runs that LangChain never ends so many are kept open; the oldest end before.
    """
    monkeypatch.setattr(_open_runs, "_MOST", 10)
    recorder = Recorder()

    with callbacks(recorder):
        for number in range(30):
            stream = FakeListChatModel(responses=["abc"]).stream("q")
            next(stream)
            kept.append(stream)
            assert len(_open_runs.open_runs) <= 10, number

    statuses = [run.status for run in recorder.runs]
    assert statuses == ["abandoned"] * 20 + ["running"] * 10
    del stream
    kept.clear()
    assert {run.status for run in recorder.runs} == {"abandoned"}


kept: list[Any] = []
