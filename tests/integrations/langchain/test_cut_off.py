"""
What LangChain never ends, since its task was cancelled at the wrong moment, is ended
with its task; what may go on in another task is left alone.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import uuid4

import pytest

pytest.importorskip("langchain_core")

from langchain_core.callbacks import AsyncCallbackHandler, AsyncCallbackManager
from langchain_core.language_models import FakeListChatModel
from langchain_core.language_models.fake import FakeStreamingListLLM
from langchain_core.runnables import (
    RunnableLambda,
    RunnableParallel,
    RunnablePassthrough,
)

from instrument import AsyncCallbackHandler as OurAsyncHandler
from instrument import BaseCallbackHandler, callbacks, traced
from instrument.integrations.langchain import _open_runs
from instrument.integrations.langchain._bridge import BRIDGE
from instrument.testing import Recorder

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("langchain")]


class Slow(AsyncCallbackHandler):
    """
    LangChain's own, that takes a turn of the loop at each start and end.
    """

    async def on_chain_start(self, *args: Any, **kwargs: Any) -> None:
        await asyncio.sleep(0)

    async def on_chain_end(self, *args: Any, **kwargs: Any) -> None:
        await asyncio.sleep(0)


class Stuck(AsyncCallbackHandler):
    """
    LangChain's own, that never comes back from a start.
    """

    async def on_chain_start(self, *args: Any, **kwargs: Any) -> None:
        await asyncio.Event().wait()


async def turns(count: int) -> None:
    """
    Let others have *count* turns of the loop.
    """
    for _ in range(count):
        await asyncio.sleep(0)


def graph() -> Any:
    """
    Make a graph of one node, in which a step of LangChain's is called.
    """
    made = pytest.importorskip("langgraph.graph")

    async def inner(text: str) -> str:
        await asyncio.sleep(0)
        return text

    async def node(state: dict[str, str]) -> dict[str, str]:
        return {"text": await RunnableLambda(inner).ainvoke(state["text"])}

    builder = made.StateGraph(dict).add_node("node", node)
    return builder.add_edge(made.START, "node").compile()


@pytest.mark.parametrize("theirs", [(), (Slow,)], ids=["alone", "with theirs"])
def test_graph_cancelled_in_any_turn(theirs: Any) -> None:
    """
    In whatever turn of the loop the task of a graph is cancelled, and however soon the
    loop ends after that, each run has ended then.
    """
    app = graph()

    async def main(number: int, after: int) -> None:
        config = {"callbacks": [cls() for cls in theirs]}
        task = asyncio.create_task(app.ainvoke({"text": "a"}, config))
        await turns(number)
        task.cancel()
        await turns(after)

    statuses = set[str]()
    for number in range(50):
        for after in (0, 1, 40):
            recorder = Recorder()
            with callbacks(recorder):
                asyncio.run(main(number, after))
            statuses.update(run.status for run in recorder.runs)
            assert not _open_runs.open_runs, (number, after)

    assert statuses == {"ok", "cancelled"}


async def test_cancelled_at_a_start(whole: Callable[..., None]) -> None:
    """
    A chain that is cancelled while another handler is told of its start is cancelled.
    """
    recorder, heard = Recorder(), list[str]()

    class Later(OurAsyncHandler):
        async def on_chain_error(self, error: BaseException, **_: Any) -> None:
            heard.append(type(error).__name__)

    async with callbacks(recorder, Later()):
        call = RunnableLambda(len).ainvoke("q", {"callbacks": [Stuck()]})
        task = asyncio.create_task(call)
        await turns(5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await turns(5)

    whole(recorder)
    assert recorder.tree() == "chain len: cancelled"
    assert heard == ["CancelledError"]


async def test_batch_cancelled_at_a_start(whole: Callable[..., None]) -> None:
    """
    So is a batch, whose starts LangChain tells in tasks of their own.
    """
    recorder = Recorder()
    steps = RunnableLambda(len) | RunnableLambda(str)

    async with callbacks(recorder):
        call = steps.abatch(["q", "r"], {"callbacks": [Stuck()]})
        task = asyncio.create_task(call)
        await turns(5)
        assert {run._entry.task() for run in recorder.runs} == {task}
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await turns(5)

    whole(recorder, roots=2)
    assert [run.status for run in recorder.runs] == ["cancelled"] * 2


async def test_below_what_lives_on() -> None:
    """
    So is one below a function that goes on.
    """
    recorder = Recorder()

    @traced
    async def worker() -> list[str]:
        call = RunnableLambda(len).ainvoke("q", {"callbacks": [Stuck()]})
        task = asyncio.create_task(call)
        await turns(5)
        task.cancel()
        await turns(5)
        return [run.status for run in recorder.runs]

    async with callbacks(recorder):
        assert await worker() == ["running", "cancelled"]


async def test_caught_in_its_task(whole: Callable[..., None]) -> None:
    """
    Where the task catches that, and goes on, the chain ends with it, as abandoned.
    """
    recorder = Recorder()

    async def job() -> str:
        try:
            await RunnableLambda(len).ainvoke("q", {"callbacks": [Stuck()]})
        except asyncio.CancelledError:
            assert recorder.runs[0].status == "running"
        return "went on"

    async with callbacks(recorder):
        task = asyncio.create_task(job())
        await turns(5)
        task.cancel()
        assert await task == "went on"
        await turns(1)

    whole(recorder)
    assert recorder.tree() == "chain len: abandoned"


async def by_hand() -> AsyncIterator[str]:
    """
    Stream what is told by hand.
    """
    manager = AsyncCallbackManager.configure()
    run = await manager.on_chain_start({"name": "by hand"}, "q")
    for letter in "abc":
        yield letter
    await run.on_chain_end("abc")


async def to_the_bridge() -> AsyncIterator[str]:
    """
    Tell the bridge itself, as LangServe's client tells handlers.
    """
    id = uuid4()
    await BRIDGE.on_chain_start({"name": "bridge"}, "q", run_id=id)
    for letter in "abc":
        yield letter
    await BRIDGE.on_chain_end("abc", run_id=id)


STREAMS: dict[str, Callable[[], Any]] = {
    "chain": lambda: (
        RunnableLambda(lambda said: said) | FakeListChatModel(responses=["abc"])
    ).astream("q"),
    "chat model": lambda: FakeListChatModel(responses=["abc"]).astream("q"),
    "completion model": lambda: FakeStreamingListLLM(responses=["abc"]).astream("q"),
    "told in tasks": lambda: FakeStreamingListLLM(responses=["abc"]).astream(
        "q", {"callbacks": [Slow()]}
    ),
    "graph": lambda: graph().astream({"text": "q"}, stream_mode=["values", "updates"]),
    "in parallel": lambda: RunnableParallel(
        a=FakeListChatModel(responses=["abc"]), b=FakeListChatModel(responses=["abc"])
    ).astream("q"),
    "assigned": lambda: RunnablePassthrough.assign(
        a=RunnableLambda(str) | FakeListChatModel(responses=["abc"])
    ).astream({"q": "q"}),
    "by hand": by_hand,
    "bridge": to_the_bridge,
}


@pytest.mark.parametrize("name", STREAMS)
async def test_stream_of_which_each_step_has_a_task(
    name: str, whole: Callable[..., None]
) -> None:
    """
    A stream goes on after the task of its first step, as any whose steps are awaited
    with a time-out do, and those that LangChain reads side by side.
    """
    recorder = Recorder()

    async with callbacks(recorder):
        stream = STREAMS[name]().__aiter__()

        async def step() -> Any:
            return await anext(stream, None)

        count = 0
        while await asyncio.create_task(step()) is not None:
            await turns(2)
            count += 1

    whole(recorder)
    assert count > 1
    assert {run.status for run in recorder.runs} == {"ok"}


async def test_handler_that_would_stop_it(reports: list[str]) -> None:
    """
    A handler that raises then, to stop the call, is reported: there is no call any more.
    What else the task left open ends all the same.
    """
    recorder = Recorder()

    class Stops(BaseCallbackHandler):
        raise_error = True

        def on_chain_error(self, *args: Any, **kwargs: Any) -> None:
            raise LookupError

    async def job() -> None:
        for _ in range(2):
            try:
                await RunnableLambda(len).ainvoke("q", {"callbacks": [Stuck()]})
            except asyncio.CancelledError:
                assert {run.status for run in recorder.runs} == {"running"}

    async with callbacks(recorder, Stops()):
        task = asyncio.create_task(job())
        for _ in range(2):
            await turns(5)
            task.cancel()
        await task
        await turns(1)

    assert [run.status for run in recorder.runs] == ["abandoned"] * 2
    assert sum("LookupError" in report for report in reports) == 1


async def test_task_of_many() -> None:
    """
    A task that calls chains for ever keeps nothing of those that have ended.
    """
    async with callbacks(Recorder()):
        for _ in range(50):
            await RunnableLambda(len).ainvoke("q")

        task = asyncio.current_task()
        assert task is not None
        assert _open_runs._outermost[task] == {}
