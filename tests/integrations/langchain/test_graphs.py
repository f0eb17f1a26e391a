"""
LangGraph is heard: agents, graphs of one's own, their nodes, tools and pauses.
"""

import operator
import warnings
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Annotated, Any, TypedDict

import pytest

pytest.importorskip("langchain_core")
pytest.importorskip("langgraph")

from langchain_core.language_models.fake_chat_models import (
    FakeListChatModel,
    FakeMessagesListChatModel,
)
from langchain_core.messages import AIMessage
from langchain_core.runnables import Runnable, RunnableLambda
from langchain_core.tools import tool

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of old versions, of each other
    from langgraph.checkpoint.memory import InMemorySaver
    from langgraph.graph import END, START, StateGraph
    from langgraph.types import Command, Send, interrupt

    try:
        from langchain.agents import create_agent
    except ImportError:
        from langgraph.prebuilt import create_react_agent as create_agent  # type: ignore[no-redef]

from instrument import BaseCallbackHandler, callbacks, current_run, traced
from instrument.testing import Recorder

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("langchain")]

Graph = Any
ASK = {"messages": [("human", "What is the weather?")]}


class Caller(FakeMessagesListChatModel):
    """
    A model that calls the tool twice at once, and then answers.
    """

    responses: Any = (
        AIMessage(
            "",
            tool_calls=[
                {"name": "weather", "args": {"city": city}, "id": city}
                for city in ("Paris", "Rome")
            ],
        ),
        AIMessage("sunny"),
    )

    def bind_tools(self, *_: Any, **__: Any) -> "Runnable[Any, Any]":
        return self


INNER = FakeListChatModel(responses=["sun"])


@tool
def weather(city: str) -> str:
    """
    Ask another model.
    """
    assert current_run().name == "weather"
    return own(city)


@tool("weather")
async def aweather(city: str) -> str:
    """
    Ask another model.
    """
    assert current_run().name == "weather"
    return own(str((await INNER.ainvoke(city)).content))


@traced
def own(city: str) -> str:
    """
    Call a model from a traced function.
    """
    assert current_run().name == "own"
    return str(INNER.invoke(city).content)


def agent(*, is_async: bool = False) -> Graph:
    """
    Make an agent with one tool.
    """
    return create_agent(Caller(), [aweather if is_async else weather])


async def drained(stream: AsyncIterator[Any]) -> None:
    """
    Read a stream to its end.
    """
    async for _ in stream:
        pass


SYNC: dict[str, Callable[[Graph], Any]] = {
    "invoke": lambda graph: graph.invoke(ASK),
    "stream": lambda graph: list(graph.stream(ASK)),
    "stream messages": lambda graph: list(graph.stream(ASK, stream_mode="messages")),
    "stream several": lambda graph: list(
        graph.stream(ASK, stream_mode=["updates", "values", "debug"])
    ),
    "batch": lambda graph: graph.batch([ASK]),
    "in a lambda": lambda graph: RunnableLambda(graph.invoke, name="x").invoke(ASK),
}
ASYNC: dict[str, Callable[[Graph], Awaitable[Any]]] = {
    "ainvoke": lambda graph: graph.ainvoke(ASK),
    "astream": lambda graph: drained(graph.astream(ASK)),
    "astream messages": lambda graph: drained(
        graph.astream(ASK, stream_mode="messages")
    ),
    "astream_events": lambda graph: drained(graph.astream_events(ASK, version="v2")),
    "abatch": lambda graph: graph.abatch([ASK]),
}


def check(recorder: Recorder, models: int) -> None:
    """
    Check the parents of what an agent with two parallel tools runs.
    """
    parents: dict[Any, Any] = {run.id: run for run in recorder.runs}
    found = Counter(run.name for run in recorder.runs)
    assert found["LangGraph"] == 1
    assert found["Caller"] == found["weather"] == found["own"] == 2
    assert found["FakeListChatModel"] == models
    assert {parents[run.parent_id].name for run in recorder.find("own")} == {"weather"}
    tools = [parents[run.parent_id] for run in recorder.find("weather")]
    assert {run.name for run in tools} == {"tools"}
    (graph,) = recorder.find("LangGraph")
    assert {run.parent_id for run in tools} == {graph.id}
    assert {tag for run in tools for tag in run.tags} == {"graph:step:2"}
    assert {run.metadata["langgraph_node"] for run in tools} == {"tools"}
    assert {run.status for run in recorder.runs} == {"ok"}


@pytest.mark.parametrize("path", SYNC)
def test_agent(path: str, whole: Callable[..., None]) -> None:
    """
    An agent is one tree: its nodes, its models, its tools side by side, what they call.
    """
    recorder = Recorder()

    with callbacks(recorder):
        SYNC[path](agent())

    whole(recorder)
    check(recorder, models=2)


@pytest.mark.parametrize("path", ASYNC)
@pytest.mark.parametrize("is_async", [True, False])
async def test_async_agent(
    path: str, is_async: bool, whole: Callable[..., None]
) -> None:
    """
    The same in async code, with sync and with async tools.
    """
    recorder = Recorder()

    async with callbacks(recorder):
        await ASYNC[path](agent(is_async=is_async))

    whole(recorder)
    check(recorder, models=4 if is_async else 2)


@pytest.mark.filterwarnings("ignore:The v3 streaming protocol")
async def test_version_3(whole: Callable[..., None]) -> None:
    """
    The protocol of version 3 is heard where LangGraph has it.
    """
    recorder = Recorder()

    async with callbacks(recorder):
        try:
            stream = await agent().astream_events(ASK, version="v3")
        except TypeError:
            pytest.skip("this LangGraph has no version 3")
        await drained(stream)

    whole(recorder)
    check(recorder, models=2)


async def test_agent_in_a_run(whole: Callable[..., None]) -> None:
    """
    An agent called in a traced function hangs on that.
    """
    recorder = Recorder()

    async with callbacks(recorder):
        await traced("request")(lambda: agent(is_async=True).ainvoke(ASK))()

    whole(recorder)
    assert [run.name for run in recorder.children(recorder.roots[0])] == ["LangGraph"]


class State(TypedDict):
    """
    What the graphs below carry.
    """

    items: Annotated[list[Any], operator.add]


def passing(name: str) -> "Runnable[Any, Any]":
    """
    Make a chain that does nothing.
    """
    return RunnableLambda(lambda given: given, name=name)


def plan(state: State) -> State:
    """
    Begin.
    """
    assert current_run().name == "plan"
    return {"items": ["planned"]}


def fan_out(state: State) -> list[Send]:
    """
    Have two be worked on at once.
    """
    return [Send("work", {"items": [number]}) for number in (1, 2)]


def work(state: State) -> State:
    """
    Call a chain from a traced function.
    """
    assert current_run().name == "work"
    traced("own")(passing("deep").invoke)(state)
    return state


async def awork(state: State) -> State:
    """
    Do the same, awaited.
    """
    assert current_run().name == "work"
    await traced("own")(passing("deep").ainvoke)(state)
    return state


def leaf(state: State) -> State:
    """
    Be the only node of the inner graph.
    """
    passing("bottom").invoke(state)
    return {"items": []}


def graph(worker: Callable[..., Any]) -> Graph:
    """
    Make a graph with a router, two parallel nodes and a graph inside.
    """
    inner: Any = StateGraph(State)
    inner.add_node("leaf", leaf)
    inner.add_edge(START, "leaf")
    outer: Any = StateGraph(State)
    outer.add_node("plan", plan)
    outer.add_node("work", worker)
    outer.add_node("inner", inner.compile())
    outer.add_edge(START, "plan")
    outer.add_conditional_edges("plan", fan_out, ["work"])
    outer.add_edge("work", "inner")
    outer.add_edge("inner", END)
    return outer.compile()


TREE = """\
chain LangGraph: ok
  chain plan: ok
    chain fan_out: ok
  chain work: ok
    chain own: ok
      chain deep: ok
  chain work: ok
    chain own: ok
      chain deep: ok
  chain inner: ok
    chain LangGraph: ok
      chain leaf: ok
        chain bottom: ok"""


def test_graph(whole: Callable[..., None]) -> None:
    """
    A graph is a tree: nodes, routers, what is sent in parallel, graphs inside.
    """
    recorder = Recorder()

    with callbacks(recorder):
        graph(work).invoke({"items": []})

    whole(recorder)
    assert recorder.tree() == TREE


@pytest.mark.parametrize("worker", [work, awork])
async def test_async_graph(
    worker: Callable[..., Any], whole: Callable[..., None]
) -> None:
    """
    The same in async code, with sync and with async nodes.
    """
    recorder = Recorder()

    async with callbacks(recorder):
        await graph(worker).ainvoke({"items": []})

    whole(recorder)
    assert recorder.tree() == TREE


def asking() -> Graph:
    """
    Make a graph that asks a human, in a traced function.
    """

    def ask(state: State) -> State:
        return {"items": [traced("human")(interrupt)("?")]}

    made: Any = StateGraph(State)
    made.add_node("ask", ask)
    made.add_edge(START, "ask")
    return made.compile(checkpointer=InMemorySaver())


def test_interrupt_and_resume(whole: Callable[..., None]) -> None:
    """
    What waits for a human is abandoned, not an error; resumed, it is run anew.
    """
    paused, resumed = Recorder(), Recorder()
    config = {"configurable": {"thread_id": "1"}}
    app = asking()

    with callbacks(paused):
        app.invoke({"items": []}, config)
    with callbacks(resumed):
        result = app.invoke(Command(resume="yes"), config)

    assert result == {"items": ["yes"]}
    whole(paused)
    whole(resumed)
    assert paused.tree() == (
        "chain LangGraph: ok\n  chain ask: abandoned\n    chain human: abandoned"
    )
    assert resumed.tree() == "chain LangGraph: ok\n  chain ask: ok\n    chain human: ok"


async def test_async_interrupt_and_resume(whole: Callable[..., None]) -> None:
    """
    The same in async code.
    """
    recorder = Recorder()
    config = {"configurable": {"thread_id": "1"}}
    app = asking()

    async with callbacks(recorder):
        await app.ainvoke({"items": []}, config)
        await app.ainvoke(Command(resume="yes"), config)

    whole(recorder, roots=2)
    assert [run.status for run in recorder.find("ask")] == ["abandoned", "ok"]


def test_hand_over_to_the_outer_graph(whole: Callable[..., None]) -> None:
    """
    A node that hands over to the graph above it has not failed.
    """
    inner: Any = StateGraph(State)
    inner.add_node("hand", lambda _: Command(goto="next", graph=Command.PARENT))
    inner.add_edge(START, "hand")
    outer: Any = StateGraph(State)
    outer.add_node("inner", inner.compile())
    outer.add_node("next", leaf)
    outer.add_edge(START, "inner")
    recorder = Recorder()

    with callbacks(recorder):
        outer.compile().invoke({"items": []})

    whole(recorder)
    assert {run.status for run in recorder.runs} == {"ok", "abandoned"}
    assert recorder.find("next")[0].status == "ok"


def test_failing_node(whole: Callable[..., None]) -> None:
    """
    What a node raises is seen at each level, and once at its origin.
    """

    def fail(_: State) -> State:
        raise LookupError("node")

    made: Any = StateGraph(State)
    made.add_node("fail", fail)
    made.add_edge(START, "fail")
    recorder = Recorder()

    with callbacks(recorder), pytest.raises(LookupError) as caught:
        made.compile().invoke({"items": []})

    whole(recorder)
    assert [run.error for run in recorder.runs] == [caught.value] * 2
    assert [run.error_origin for run in recorder.runs] == [False, True]


class Guard(BaseCallbackHandler):
    """
    Stops an agent when its model has answered.
    """

    raise_error = True

    def on_llm_end(self, response: Any, **_: Any) -> None:
        raise PermissionError


@pytest.mark.parametrize("is_async", [True, False])
async def test_handler_stops_an_agent(
    is_async: bool, whole: Callable[..., None]
) -> None:
    """
    A handler with ``raise_error`` stops an agent.
    """
    recorder = Recorder()

    async with callbacks(recorder, Guard()):
        with pytest.raises(PermissionError):
            if is_async:
                await agent(is_async=True).ainvoke(ASK)
            else:
                agent().invoke(ASK)

    whole(recorder)
    assert recorder.find("weather") == []
    (graph_run,) = recorder.find("LangGraph")
    assert isinstance(graph_run.error, PermissionError)


def test_recursion_limit(whole: Callable[..., None]) -> None:
    """
    A graph that goes round too often fails; who catches that goes on.
    """
    made: Any = StateGraph(State)
    made.add_node("round", leaf)
    made.add_edge(START, "round")
    made.add_edge("round", "round")
    recorder = Recorder()

    with callbacks(recorder), traced("request"):
        with pytest.raises(RecursionError):
            made.compile().invoke({"items": []}, {"recursion_limit": 2})
        leaf({"items": []})

    whole(recorder)
    request, run = recorder.runs[:2]
    assert (request.status, run.status) == ("ok", "error")


def test_graph_left_early(whole: Callable[..., None]) -> None:
    """
    A graph whose stream is closed ends what it had begun.
    """
    recorder = Recorder()

    with callbacks(recorder):
        stream = agent().stream(ASK)
        next(stream)
        stream.close()

    whole(recorder)
    assert recorder.roots[0].status == "abandoned"


async def test_async_graph_left_early(whole: Callable[..., None]) -> None:
    """
    The same in async code.
    """
    recorder = Recorder()

    async with callbacks(recorder):
        stream = agent().astream(ASK)
        await anext(stream)
        with suppress(GeneratorExit):
            await stream.aclose()

    whole(recorder)
    assert recorder.roots[0].status == "abandoned"
