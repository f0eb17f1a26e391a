"""
``callbacks(plumbing=False)`` over LangGraph: an agent is its models and tools, and a
graph's nodes stay.
"""

import threading
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("langchain_core")
pytest.importorskip("langgraph")
pytest.importorskip("langchain.agents.middleware")  # from LangChain 1.0 on

from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware
from langchain_core.callbacks import dispatch_custom_event
from langchain_core.language_models.fake_chat_models import (
    FakeListChatModel,
    GenericFakeChatModel,
)
from langchain_core.messages import AIMessage
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, create_react_agent
from langgraph.types import Command, Send, interrupt

from instrument import BaseCallbackHandler, callbacks, traced
from instrument.testing import Recorder

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("langchain")]

ASK: Any = {"messages": [("human", "What is the weather?")]}
AGENT = """\
agent travel: ok
  chat_model Caller: ok
  tool weather: ok
  chat_model Caller: ok"""


class Caller(GenericFakeChatModel):
    """
    A model that calls a tool, once or twice at once, and then answers.
    """

    def bind_tools(self, *_: Any, **__: Any) -> "Any":
        return self


def caller(*cities: str, name: str = "weather") -> Caller:
    """
    Make one that asks for some cities.
    """
    calls: Any = [{"name": name, "args": {"city": it}, "id": it} for it in cities]
    return Caller(messages=iter([AIMessage("", tool_calls=calls), AIMessage("sunny")]))


@tool
def weather(city: str) -> str:
    """
    Tell the weather.
    """
    return f"{city}: sunny"


def travel(*cities: str, **options: Any) -> Any:
    """
    Make an agent.
    """
    model = caller(*(cities or ("Rome",)))
    return create_agent(model, [weather], name="travel", **options)


@pytest.mark.parametrize("way", ["invoke", "stream", "ainvoke", "astream"])
async def test_agent(way: str, whole: Callable[..., None]) -> None:
    """
    An agent of two model calls and a tool is four runs, called whole or streamed.
    """
    recorder = Recorder()
    agent = travel()

    async with callbacks(recorder, plumbing=False):
        if way == "invoke":
            agent.invoke(ASK)
        elif way == "stream":
            assert len(list(agent.stream(ASK))) == 3
        elif way == "ainvoke":
            await agent.ainvoke(ASK)
        else:
            assert len([part async for part in agent.astream(ASK)]) == 3

    whole(recorder)
    assert recorder.tree() == AGENT


def test_agent_streaming_tokens(whole: Callable[..., None]) -> None:
    """
    Its tokens are heard as its model's.
    """
    recorder = Recorder()
    model = Caller(messages=iter([AIMessage("sunny")]))

    with callbacks(recorder, plumbing=False):
        list(create_agent(model).stream(ASK, stream_mode="messages"))

    whole(recorder)
    assert [run.name for run in recorder.runs] == ["LangGraph", "Caller"]
    tokens = [it for it in recorder.events if it.event == "on_llm_new_token"]
    assert {it.name for it in tokens} == {"Caller"}
    assert "".join(it.data["token"] for it in tokens) == "sunny"


@pytest.mark.parametrize("is_async", [False, True])
async def test_parallel_tools(is_async: bool, whole: Callable[..., None]) -> None:
    """
    Tools that are called at once hang on the agent, side by side.
    """
    recorder = Recorder()
    agent = travel("Rome", "Paris")

    async with callbacks(recorder, plumbing=False):
        await agent.ainvoke(ASK) if is_async else agent.invoke(ASK)

    whole(recorder)
    assert [(run.depth, run.kind) for run in recorder.runs] == [
        (0, "agent"),
        (1, "chat_model"),
        (1, "tool"),
        (1, "tool"),
        (1, "chat_model"),
    ]


def test_traced_below(whole: Callable[..., None]) -> None:
    """
    A function of the user's is never left out, nor what it calls.
    """
    recorder = Recorder()

    @tool("weather")
    @traced("look_up")
    def looked_up(city: str) -> str:
        """
        Ask.
        """
        return str(RunnableLambda(lambda it: it, name="inner").invoke(city))

    agent = create_agent(caller("Rome"), [looked_up], name="travel")

    with callbacks(recorder, plumbing=False):
        agent.invoke(ASK)

    whole(recorder)
    assert recorder.tree() == AGENT.replace(
        "tool weather: ok\n",
        "tool weather: ok\n    chain look_up: ok\n      chain inner: ok\n",
    )


def test_graph_stays(whole: Callable[..., None]) -> None:
    """
    Nodes and what decides between them stay, whatever they are called; what LangGraph
    tags as hidden goes, and what is called there hangs on the graph.
    """
    recorder = Recorder()
    model = FakeListChatModel(responses=["tools"])

    def begin(_: MessagesState) -> str:
        model.invoke("where?")
        return "model"

    def decide(_: MessagesState) -> list[Send]:
        return [Send("leaf", ASK), Send("leaf", ASK)]

    graph = StateGraph(MessagesState)
    graph.add_node("model", lambda _: {"messages": [model.invoke("q")]})
    graph.add_node("tools", ToolNode([weather]))
    graph.add_node("leave", lambda _: Command(goto="fan"), destinations=("fan",))
    graph.add_node("fan", lambda _: {})
    graph.add_node("leaf", lambda _: {})
    graph.add_conditional_edges(START, begin, ["model"])
    graph.add_edge("model", "leave")
    graph.add_conditional_edges("fan", decide, ["leaf"])
    graph.add_edge("leaf", END)

    with callbacks(recorder, plumbing=False):
        graph.compile(name="mine").invoke(ASK)

    whole(recorder)
    assert recorder.tree() == (
        "chain mine: ok\n"
        "  chat_model FakeListChatModel: ok\n"
        "  chain model: ok\n"
        "    chat_model FakeListChatModel: ok\n"
        "  chain leave: ok\n"
        "  chain fan: ok\n"
        "    chain decide: ok\n"
        "  chain leaf: ok\n"
        "  chain leaf: ok"
    )


def test_subgraphs(whole: Callable[..., None]) -> None:
    """
    A graph in a graph keeps its nodes, an agent in one has none.
    """
    recorder = Recorder()
    inner = StateGraph(MessagesState)
    inner.add_node("model", lambda _: {})
    inner.add_edge(START, "model")
    outer = StateGraph(MessagesState)
    outer.add_node("graph", inner.compile(name="inner"))
    outer.add_node("agent", travel())
    outer.add_edge(START, "graph")
    outer.add_edge("graph", "agent")

    with callbacks(recorder, plumbing=False):
        outer.compile(name="outer").invoke(ASK)

    whole(recorder)
    assert recorder.tree() == (
        "chain outer: ok\n"
        "  chain graph: ok\n"
        "    chain inner: ok\n"
        "      chain model: ok\n"
        "  chain agent: ok\n" + "\n".join("    " + it for it in AGENT.splitlines())
    )


def test_graphs_below_an_agent(whole: Callable[..., None]) -> None:
    """
    A graph that an agent's tool calls keeps its nodes, an agent there has none: neither
    what it inherits nor what it is called decides.
    """
    recorder = Recorder()
    graph = StateGraph(MessagesState)
    graph.add_node("model", lambda _: {})
    graph.add_node("tools", ToolNode([weather]))
    graph.add_edge(START, "model")
    graph.add_conditional_edges("model", lambda _: "tools", ["tools"])
    mine = graph.compile()
    call: Any = {"name": "weather", "args": {"city": "Oslo"}, "id": "o"}

    @tool
    def ask(city: str) -> str:
        """
        Ask.
        """
        travel(city).invoke(ASK)
        mine.invoke({"messages": [AIMessage("", tool_calls=[call])]})
        return city

    agent = create_agent(caller("Rome", name="ask"), [ask])

    with callbacks(recorder, plumbing=False):
        agent.invoke(ASK)

    whole(recorder)
    below = recorder.tree().splitlines()[3:-1]
    assert "\n".join(below) == "\n".join("    " + it for it in AGENT.splitlines()) + (
        "\n    chain LangGraph: ok\n"
        "      chain model: ok\n"
        "        chain RunnableCallable: ok\n"
        "      chain tools: ok\n"
        "        tool weather: ok"
    )


def test_agent_that_is_resumed(whole: Callable[..., None]) -> None:
    """
    An agent that goes on where it was interrupted, in its tools, shows no node either.
    """
    recorder = Recorder()

    @tool("weather")
    def asks(city: str) -> str:
        """
        Ask.
        """
        return str(interrupt("may I?")) + city

    saver = InMemorySaver()
    agent = create_agent(caller("Rome"), [asks], name="travel", checkpointer=saver)
    config: Any = {"configurable": {"thread_id": "1"}}

    with callbacks(recorder, plumbing=False):
        agent.invoke(ASK, config)
        agent.invoke(Command(resume="yes"), config)

    whole(recorder, roots=2)
    assert [(run.depth, run.kind, run.status) for run in recorder.runs] == [
        (0, "agent", "ok"),
        (1, "chat_model", "ok"),
        (1, "tool", "abandoned"),
        (0, "agent", "ok"),
        (1, "tool", "ok"),
        (1, "chat_model", "ok"),
    ]


def test_middleware_stays(whole: Callable[..., None]) -> None:
    """
    What a middleware does between models is the user's; what it tells within a node
    that is left out is told of the agent.
    """
    recorder = Recorder()

    class Notes(AgentMiddleware):
        def before_model(self, state: Any, runtime: Any) -> None:
            pass

        def wrap_model_call(self, request: Any, handler: Any) -> Any:
            dispatch_custom_event("asked", len(request.messages))
            return handler(request)

    with callbacks(recorder, plumbing=False):
        travel(middleware=[Notes()]).invoke(ASK)

    whole(recorder)
    shown = [run.name for run in recorder.runs]
    assert shown == [
        "travel",
        "Notes.before_model",
        "Caller",
        "weather",
        "Notes.before_model",
        "Caller",
    ]
    told = [it for it in recorder.events if it.event == "on_custom_event"]
    assert [(it.name, it.data["data"]) for it in told] == [("travel", 1), ("travel", 3)]


def test_failure(whole: Callable[..., None]) -> None:
    """
    What a tool raises is the tool's, and passes the agent; the node says nothing.
    """
    recorder = Recorder()

    @tool("weather")
    def fails(city: str) -> str:
        """
        Fail.
        """
        raise ConnectionError(city)

    agent = create_agent(caller("Rome"), [fails], name="travel")

    with callbacks(recorder, plumbing=False), pytest.raises(ConnectionError):
        agent.invoke(ASK)

    whole(recorder)
    failed = [run for run in recorder.runs if run.status == "error"]
    assert [(run.name, run.error_origin) for run in failed] == [
        ("travel", False),
        ("weather", True),
    ]


def test_handlers_of_langchain() -> None:
    """
    LangChain's own handlers in the block hear what ours do, with the same parents.
    """
    from langchain_core.callbacks import BaseCallbackHandler as TheirHandler

    heard: list[tuple[str, object]] = []
    lock = threading.Lock()

    def hear(name: str, parent: object) -> None:
        with lock:
            heard.append((name, parent is None))

    class Theirs(TheirHandler):
        def on_chain_start(self, *_: Any, **told: Any) -> None:
            hear(told["name"], told["parent_run_id"])

        def on_tool_start(self, *_: Any, **told: Any) -> None:
            hear(told["name"], told["parent_run_id"])

    class Ours(BaseCallbackHandler):
        def on_chain_start(self, *_: Any, **told: Any) -> None:
            hear(told["name"], told["parent_run_id"])

    with callbacks(Theirs(), Ours(), plumbing=False):
        travel().invoke(ASK)

    assert heard == [("travel", True), ("travel", True), ("weather", False)]


def test_what_is_no_agent() -> None:
    """
    Metadata of others under the name by which LangChain notes its agents makes none.
    """
    recorder = Recorder()

    with callbacks(recorder):
        RunnableLambda(str).invoke(1, {"metadata": {"ls_integration": "mine"}})

    assert [run.kind for run in recorder.runs] == ["chain"]


@pytest.mark.filterwarnings("ignore:create_react_agent")
@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize("way", ["invoke", "stream", "ainvoke", "astream"])
async def test_prebuilt_agent(
    way: str, version: Any, whole: Callable[..., None]
) -> None:
    """
    So is one that LangGraph's own ``create_react_agent`` made.
    """
    recorder = Recorder()
    options: Any = {"version": version, "prompt": "Be brief.", "name": "travel"}
    agent = create_react_agent(caller("Rome"), [weather], **options)

    async with callbacks(recorder, plumbing=False):
        if way == "invoke":
            agent.invoke(ASK)
        elif way == "stream":
            list(agent.stream(ASK))
        elif way == "ainvoke":
            await agent.ainvoke(ASK)
        else:
            [_ async for _ in agent.astream(ASK)]

    assert recorder.tree() == AGENT.replace("agent travel", "chain travel")
    whole(recorder)


@pytest.mark.filterwarnings("ignore:create_react_agent")
def test_what_a_prebuilt_agent_is_given() -> None:
    """
    What the application gives to such an agent stays: its hooks, its prompt, its model.
    """
    recorder = Recorder()
    chosen = caller("Rome") | RunnableLambda(lambda answer: answer, name="checked")
    agent = create_react_agent(
        lambda state, runtime: chosen,
        [weather],
        pre_model_hook=RunnableLambda(lambda state: {}, name="hook"),
        prompt=ChatPromptTemplate.from_messages([MessagesPlaceholder("messages")]),
    )

    with callbacks(recorder, plumbing=False):
        agent.invoke(ASK)

    given = ["pre_model_hook", "hook", "RunnableSequence", "ChatPromptTemplate"]
    asked = [*given, "Caller", "checked"]
    assert [it.name for it in recorder.runs] == ["LangGraph", *asked, "weather", *asked]


def test_nodes_called_as_a_prebuilt_agents() -> None:
    """
    Nodes of a graph of the application's own stay, whatever they are called.
    """
    recorder = Recorder()
    model = caller("Rome")
    step = RunnableLambda(lambda state: state["messages"], name="call_model") | model

    def agent(state: Any) -> Any:
        return {"messages": [step.invoke(state)]}

    graph = StateGraph(MessagesState)
    graph.add_node("agent", agent)
    graph.add_node("tools", ToolNode([weather]))
    graph.add_edge(START, "agent")
    graph.add_edge("agent", "tools")
    graph.add_edge("tools", END)

    with callbacks(recorder, plumbing=False):
        graph.compile().invoke(ASK)

    assert (
        recorder.tree()
        == """\
chain LangGraph: ok
  chain agent: ok
    chain RunnableSequence: ok
      chain call_model: ok
      chat_model Caller: ok
  chain tools: ok
    tool weather: ok"""
    )
