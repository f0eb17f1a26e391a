"""
Many requests at once: nobody hears another, in threads and in tasks, with exact counts.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

pytest.importorskip("langchain_core")

from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langchain_core.runnables import Runnable, RunnableLambda, RunnableParallel

from instrument import AsyncCallbackHandler, callbacks, current_run, traced
from instrument.testing import Recorder

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.usefixtures("langchain"),
    # versions before 1 silence it themselves, which threads undo for each other
    pytest.mark.filterwarnings("ignore:Importing (debug|verbose|llm_cache)"),
]

MODEL = FakeListChatModel(responses=["an answer"])


async def step(number: Any) -> Any:
    """
    Give others a turn, twice, and call a model.
    """
    await asyncio.sleep(0)
    await MODEL.ainvoke(str(number))
    await asyncio.sleep(0)
    return number


def same(number: Any) -> Any:
    """
    Stand for the step in sync code.
    """
    return number


FIRST: "Runnable[Any, Any]" = RunnableLambda(same, step, name="first")
APP = FIRST | RunnableParallel(a=FIRST, b=RunnableLambda(str))


class Awaited(AsyncCallbackHandler):
    """
    Keeps what it hears, and the loop on which.
    """

    def __init__(self) -> None:
        self.heard: list[tuple[str, Any]] = []
        self.loops: set[Any] = set()

    async def on_event(self, event: Any, **_: Any) -> None:
        self.loops.add(asyncio.get_running_loop())
        self.heard.append((event.event, event.run_id))


async def test_concurrent_requests(whole: Callable[..., None]) -> None:
    """
    Two hundred requests at once, each with a handler: each hears its own, in order.
    """

    async def request(number: int) -> Recorder:
        recorder, awaited = Recorder(), Awaited()
        async with callbacks(recorder, awaited, metadata={"number": number}):
            await APP.ainvoke(number)
        assert awaited.heard == [(e.event, e.run_id) for e in recorder.events]
        assert awaited.loops == {asyncio.get_running_loop()}
        return recorder

    recorders = await asyncio.gather(*map(request, range(200)))

    ids: set[Any] = set()
    for number, recorder in enumerate(recorders):
        whole(recorder)
        assert len(recorder.runs) == 7
        assert {run.metadata["number"] for run in recorder.runs} == {number}
        assert recorder.roots[0].inputs == number
        assert ids.isdisjoint({run.id for run in recorder.runs})
        ids |= {run.id for run in recorder.runs}


def test_concurrent_threads(whole: Callable[..., None]) -> None:
    """
    The same in fifty threads, with a handler that all share besides.
    """
    shared: Counter[str] = Counter()

    def count(event: Any) -> None:
        shared[event.event] += 1

    app: Runnable[Any, Any] = RunnableLambda(
        lambda n: MODEL.invoke(str(n)), name="request"
    )

    def request(number: int) -> Recorder:
        recorder = Recorder()
        with callbacks(recorder):
            app.invoke(number)
        return recorder

    with callbacks(count).install(), ThreadPoolExecutor(50) as pool:
        recorders = list(pool.map(request, range(1000)))

    for number, recorder in enumerate(recorders):
        whole(recorder)
        assert [run.inputs for run in recorder.runs][:1] == [number]
        assert len(recorder.runs) == 2
    assert sum(shared.values()) == 4000
    assert set(shared.values()) == {1000}


async def test_nested_blocks(whole: Callable[..., None]) -> None:
    """
    A block inside a chain is heard below it by its handlers and those around it.
    """
    outer, inner = Recorder(), Recorder()

    async def body(_: Any) -> None:
        async with callbacks(inner):
            await MODEL.ainvoke("q")
        await MODEL.ainvoke("q")

    async with callbacks(outer):
        await RunnableLambda(body, name="body").ainvoke(1)

    whole(outer)
    assert len(outer.find(kind="chat_model")) == 2
    assert [run.kind for run in inner.runs] == ["chat_model"]
    assert inner.runs[0] is outer.runs[1]


async def test_handlers_are_awaited_in_place() -> None:
    """
    In async code of LangChain an async handler has been served when the body goes on,
    on the loop's own thread; in sync code it is queued there.
    """
    awaited = Awaited()

    async def body(_: Any) -> None:
        assert awaited.heard == [("on_chain_start", current_run().id)]
        RunnableLambda(same).invoke(1)
        assert len(awaited.heard) == 1

    async with callbacks(awaited):
        await RunnableLambda(body).ainvoke(1)

    assert [event for event, _ in awaited.heard] == [
        "on_chain_start",
        "on_chain_start",
        "on_chain_end",
        "on_chain_end",
    ]
    assert awaited.loops == {asyncio.get_running_loop()}


async def test_handlers_keep_the_order_they_were_given_in() -> None:
    """
    Handlers hear in the order given, sync and async ones, slow and fast ones.
    """
    heard: list[str] = []

    class Slow(AsyncCallbackHandler):
        async def on_chain_start(self, *_: Any, **__: Any) -> None:
            await asyncio.sleep(0.01)
            heard.append("slow")

    class Plain:
        def on_chain_start(self, *_: Any, **__: Any) -> None:
            heard.append("plain")

    async with callbacks(Slow(), Plain()):
        await RunnableLambda(str).ainvoke(1)

    assert heard == ["slow", "plain"]


async def test_what_a_handler_calls_is_muted(whole: Callable[..., None]) -> None:
    """
    LangChain called by a handler is not heard, so that none can recurse into itself.
    """
    recorder = Recorder()

    class Judge(AsyncCallbackHandler):
        async def on_llm_end(self, *_: Any, **__: Any) -> None:
            await MODEL.ainvoke("is that so?")
            traced("own")(MODEL.invoke)("is it?")

    async with callbacks(Judge(), recorder):
        await MODEL.ainvoke("q")
        MODEL.invoke("q")

    whole(recorder, roots=2)
