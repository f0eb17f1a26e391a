"""
LangChain is heard on each of its own paths, sync and async, as one right tree.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

pytest.importorskip("langchain_core")

from langchain_core.callbacks import adispatch_custom_event, dispatch_custom_event
from langchain_core.documents import Document
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import Runnable, RunnableLambda, RunnableParallel
from langchain_core.tools import tool

from instrument import AsyncCallbackHandler, callbacks, current_run, traced
from instrument.testing import Recorder

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.usefixtures("langchain"),
    pytest.mark.filterwarnings("ignore:astream_log is deprecated"),
]

App = Runnable[Any, Any]


class Documents(BaseRetriever):
    """
    Finds the query.
    """

    def _get_relevant_documents(self, query: str, **_: Any) -> list[Document]:
        return [Document(query)]


@tool
def shout(text: str) -> str:
    """
    Write in capitals.
    """
    return own(text)


@traced
def own(text: str) -> str:
    """
    Call LangChain from a function of our own that LangChain called.
    """
    assert current_run().name == "own"
    nested: App = RunnableLambda(str.upper).with_config(run_name="nested")
    return str(nested.invoke(text))


def work(text: str) -> str:
    """
    Call a tool and a retriever, and tell an event.
    """
    assert current_run().name == "work"
    dispatch_custom_event("told", {"text": text})
    Documents().invoke(text)
    return str(shout.invoke(text))


async def awork(text: str) -> str:
    """
    Do the same, awaited.
    """
    assert current_run().name == "work"
    await adispatch_custom_event("told", {"text": text})
    await Documents().ainvoke(text)
    return str(await shout.ainvoke(text))


def application() -> App:
    """
    Make a chain that has one of everything.
    """
    prompt = ChatPromptTemplate.from_messages([("human", "{text}")])
    model = FakeListChatModel(responses=["an answer"])
    last: App = RunnableLambda(work, awork, name="work")
    return prompt | model | StrOutputParser() | last


EACH = Counter(
    {
        ("prompt", "ChatPromptTemplate"): 1,
        ("chat_model", "FakeListChatModel"): 1,
        ("parser", "StrOutputParser"): 1,
        ("chain", "work"): 1,
        ("retriever", "Documents"): 1,
        ("tool", "shout"): 1,
        ("chain", "own"): 1,
        ("chain", "nested"): 1,
    }
)
ASK = {"text": "q"}


def fail(_: object) -> None:
    """
    Fail as a first attempt.
    """
    raise ValueError


SYNC: dict[str, tuple[int, int, Callable[[App], Any]]] = {
    # path: (how many times the chain runs, in how many calls, the call)
    "invoke": (1, 1, lambda app: app.invoke(ASK)),
    "pipe": (1, 1, lambda app: (app | str).invoke(ASK)),
    "with_retry": (1, 1, lambda app: app.with_retry().invoke(ASK)),
    "with_config": (1, 1, lambda app: app.with_config(tags=["t"]).invoke(ASK)),
    "with_fallbacks": (
        1,
        1,
        lambda app: RunnableLambda(fail).with_fallbacks([app]).invoke(ASK),
    ),
    "stream": (1, 1, lambda app: list(app.stream(ASK))),
    "parallel": (2, 1, lambda app: RunnableParallel(a=app, b=app).invoke(ASK)),
    "parallel stream": (
        2,
        1,
        lambda app: list(RunnableParallel(a=app, b=app).stream(ASK)),
    ),
    "map": (3, 1, lambda app: app.map().invoke([ASK] * 3)),
    "batch": (3, 3, lambda app: app.batch([ASK] * 3)),
    "batch with retry": (2, 2, lambda app: app.with_retry().batch([ASK] * 2)),
    "batch_as_completed": (3, 3, lambda app: list(app.batch_as_completed([ASK] * 3))),
    "a lambda that returns it": (
        1,
        1,
        lambda app: RunnableLambda(lambda _: app).invoke(ASK),
    ),
    "transform": (1, 1, lambda app: list(app.transform(iter([ASK])))),
}


async def drained(stream: AsyncIterator[Any]) -> None:
    """
    Read a stream to its end.
    """
    async for _ in stream:
        pass


async def gathered(app: App) -> None:
    """
    Run it in two tasks.
    """
    await asyncio.gather(app.ainvoke(ASK), asyncio.create_task(app.ainvoke(ASK)))


async def in_sync_code(app: App) -> None:
    """
    Call it sync on the loop's own thread.
    """
    app.invoke(ASK)


ASYNC: dict[str, tuple[int, int, Callable[[App], Awaitable[Any]]]] = {
    "ainvoke": (1, 1, lambda app: app.ainvoke(ASK)),
    "pipe": (1, 1, lambda app: (app | str).ainvoke(ASK)),
    "with_retry": (1, 1, lambda app: app.with_retry().ainvoke(ASK)),
    "with_fallbacks": (
        1,
        1,
        lambda app: RunnableLambda(fail).with_fallbacks([app]).ainvoke(ASK),
    ),
    "astream": (1, 1, lambda app: drained(app.astream(ASK))),
    "astream_events": (
        1,
        1,
        lambda app: drained(app.astream_events(ASK, version="v2")),
    ),
    "astream_log": (1, 1, lambda app: drained(app.astream_log(ASK))),
    "parallel": (2, 1, lambda app: RunnableParallel(a=app, b=app).ainvoke(ASK)),
    "parallel astream": (
        2,
        1,
        lambda app: drained(RunnableParallel(a=app, b=app).astream(ASK)),
    ),
    "map": (3, 1, lambda app: app.map().ainvoke([ASK] * 3)),
    "abatch": (3, 3, lambda app: app.abatch([ASK] * 3)),
    "abatch_as_completed": (
        3,
        3,
        lambda app: drained(app.abatch_as_completed([ASK] * 3)),
    ),
    "gather and create_task": (2, 2, gathered),
    "to_thread": (1, 1, lambda app: asyncio.to_thread(app.invoke, ASK)),
    "sync inside a loop": (1, 1, in_sync_code),
}


def check(
    recorder: Recorder, times: int, calls: int, whole: Callable[..., None]
) -> None:
    """
    Check that all of it was heard that many times, in that many trees.
    """
    whole(recorder, roots=calls)
    found = Counter((run.kind, run.name) for run in recorder.runs)
    assert {key: found[key] for key in EACH} == dict.fromkeys(EACH, times)
    told = [event for event in recorder.events if event.event == "on_custom_event"]
    assert [event.name for event in told] == ["work"] * times
    assert {event.data["name"] for event in told} == {"told"}
    assert {run.status for run in recorder.runs if run.error is None} == {"ok"}
    for name, inside in ("own", "shout"), ("nested", "own"), ("shout", "work"):
        parents = {run.id for run in recorder.find(inside)}
        assert {run.parent_id for run in recorder.find(name)} == parents


@pytest.mark.parametrize("path", SYNC)
def test_sync_path(path: str, whole: Callable[..., None]) -> None:
    """
    On each sync path every chain, model, tool, retriever and event is heard in a tree.
    """
    times, calls, call = SYNC[path]
    recorder = Recorder()

    with callbacks(recorder):
        call(application())

    check(recorder, times, calls, whole)


@pytest.mark.parametrize("path", ASYNC)
async def test_async_path(path: str, whole: Callable[..., None]) -> None:
    """
    On each async path likewise.
    """
    times, calls, call = ASYNC[path]
    recorder = Recorder()

    async with callbacks(recorder):
        await call(application())

    check(recorder, times, calls, whole)


@pytest.mark.parametrize("path", SYNC)
def test_sync_path_in_a_run(path: str, whole: Callable[..., None]) -> None:
    """
    In a traced function all of it hangs on that function's run.
    """
    times, calls, call = SYNC[path]
    recorder = Recorder()

    with callbacks(recorder):
        traced("request")(call)(application())

    check(recorder, times, 1, whole)
    assert len(recorder.children(recorder.roots[0])) == calls
    assert {run.trace_id for run in recorder.runs} == {recorder.roots[0].id}


@pytest.mark.parametrize("path", ASYNC)
async def test_async_path_in_a_run(path: str, whole: Callable[..., None]) -> None:
    """
    In a traced coroutine likewise.
    """
    times, calls, call = ASYNC[path]
    recorder = Recorder()

    @traced
    async def request() -> None:
        await call(application())

    async with callbacks(recorder):
        await request()

    check(recorder, times, 1, whole)
    assert len(recorder.children(recorder.roots[0])) == calls
    assert {run.trace_id for run in recorder.runs} == {recorder.roots[0].id}


class Awaited(AsyncCallbackHandler):
    """
    An async handler that keeps the events of each run.
    """

    def __init__(self) -> None:
        self.heard: list[tuple[Any, str]] = []

    async def on_event(self, event: Any, **_: Any) -> None:
        self.heard.append((event.run_id, event.event))


@pytest.mark.parametrize("path", ["invoke", "stream", "a lambda that returns it"])
def test_async_handler_in_sync_code(path: str) -> None:
    """
    An async handler hears sync code of LangChain in the order in which it happens.
    """
    _, _, call = SYNC[path]
    awaited, recorder = Awaited(), Recorder()

    with callbacks(awaited, recorder):
        call(application())

    assert awaited.heard == [(event.run_id, event.event) for event in recorder.events]


async def test_model_alone(whole: Callable[..., None]) -> None:
    """
    A model that streams by itself is a run with its tokens.
    """
    model = FakeListChatModel(responses=["abc"])
    recorder = Recorder()

    with callbacks(recorder):
        list(model.stream("q"))
        await drained(model.astream("q"))

    whole(recorder, roots=2)
    tokens = [e.data["token"] for e in recorder.events if e.event == "on_llm_new_token"]
    assert tokens == list("abcabc")
    assert [run.outputs for run in recorder.runs] != [None, None]
