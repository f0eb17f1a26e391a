"""
What LangChain's own managers tell, and handlers that join a run late: a constructor's.
"""

import asyncio
import copy
import sys
from collections.abc import Callable
from contextvars import Context
from threading import Event
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest

pytest.importorskip("langchain_core")

from langchain_core.callbacks import AsyncCallbackManager, CallbackManager
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langchain_core.outputs import LLMResult
from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda

from instrument import (
    AsyncCallbackHandler,
    BaseCallbackHandler,
    bind,
    callbacks,
)
from instrument.integrations.langchain import _given_handlers as _given
from instrument.integrations.langchain import _open_runs
from instrument.integrations.langchain._bridge import BRIDGE
from instrument.testing import Recorder

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("langchain")]


def test_what_old_chains_tell(whole: Callable[..., None]) -> None:
    """
    Text and retries, as old chains tell them, and a name where there is only a path.
    """
    recorder = Recorder()

    with callbacks(recorder):
        run = CallbackManager.configure().on_chain_start({"id": ["a", "Chain"]}, {})
        run.on_text("said")
        run.on_retry(SimpleNamespace(attempt_number=2))  # type: ignore[arg-type]
        run.on_chain_end({})

    whole(recorder)
    assert [event.event for event in recorder.events] == [
        "on_chain_start",
        "on_text",
        "on_retry",
        "on_chain_end",
    ]
    assert recorder.runs[0].name == "Chain"


def test_input_with_code_of_its_own(recorder: Recorder, reports: list[str]) -> None:
    """
    What a class does with a tool's input is not asked.
    """

    class Hostile(dict[str, Any]):
        def values(self) -> Any:
            raise OSError("no values")

    told: list[Any] = []

    def tell(serialized: Any, input_str: Any) -> None:
        told.append((serialized, input_str))

    with callbacks(recorder, on_tool_start=tell):
        run = CallbackManager.configure().on_tool_start(
            {"name": "pay"}, "1", inputs=Hostile(card=1), name="pay"
        )
        run.on_tool_end("paid")

    assert told == [({"name": "pay"}, "1")]
    assert recorder.tree() == "tool pay: ok"
    assert not reports


async def test_what_old_chains_tell_in_async_code(whole: Callable[..., None]) -> None:
    """
    The same in async code, and of what has no name at all.
    """
    recorder = Recorder()

    async with callbacks(recorder):
        run = await AsyncCallbackManager.configure().on_chain_start({}, {})
        await run.on_text("said")
        await run.on_chain_end({})
        await run.on_text("late")

    whole(recorder)
    assert [event.event for event in recorder.events] == [
        "on_chain_start",
        "on_text",
        "on_chain_end",
    ]
    assert recorder.runs[0].name == "chain"


@pytest.mark.parametrize(
    "kind, given, result",
    [
        ("chain", {"inputs": {"x": 1}}, {"inputs": {"x": 1}, "outputs": {"y": 2}}),
        ("llm", {"prompts": ["hi"]}, {"response": LLMResult(generations=[])}),
        ("tool", {"input_str": "x"}, {"output": "y"}),
        ("retriever", {"query": "x"}, {"documents": []}),
        ("retriever", {"query": "x"}, {}),
        ("chat_model", {"messages": [[]]}, {"response": LLMResult(generations=[])}),
    ],
)
def test_all_told_by_keyword(
    kind: str,
    given: dict[str, Any],
    result: dict[str, Any],
    whole: Callable[..., None],
    reports: list[str],
) -> None:
    """
    A start and an end are heard of who names each argument, as LangServe's client does.
    """
    recorder, id = Recorder(), uuid4()
    end = "llm" if kind == "chat_model" else kind
    called = {"serialized": {"name": "its"}, **given}

    with callbacks(recorder):
        getattr(BRIDGE, f"on_{kind}_start")(**called, run_id=id)
        BRIDGE.on_retry(retry_state=SimpleNamespace(attempt_number=2), run_id=id)
        getattr(BRIDGE, f"on_{end}_end")(**result, run_id=id)

    whole(recorder)
    assert [event.event for event in recorder.events] == [
        f"on_{kind}_start",
        "on_retry",
        f"on_{end}_end",
    ]
    assert recorder.runs[0].name == "its"
    assert not reports


@pytest.mark.parametrize("event", ["on_chain_start", "on_chain_end", "on_tool_start"])
@pytest.mark.parametrize("given", [(), ({}, "x"), ({}, "x", "more")])
def test_what_a_manager_tells_wrongly(
    recorder: Recorder, event: str, given: tuple[Any, ...]
) -> None:
    """
    One who tells of no run in particular, or too much, hears nothing of ours.
    """
    with callbacks(recorder):
        getattr(BRIDGE, event)(*given)

    assert recorder.events == []


@pytest.mark.parametrize(
    "event, count", [("on_chain_start", 1), ("on_chain_end", 0), ("on_text", 0)]
)
def test_who_was_asked_is_no_handler(
    event: str, count: int, reports: list[str]
) -> None:
    """
    What breaks us in a handler that LangChain was given does not break the call, and is
    reported where a run starts, which it would hear.
    """
    with callbacks(Recorder()):
        _given._asked.set((object(),))
        run = uuid4()
        getattr(BRIDGE, event)("x", run_id=run)
        BRIDGE.on_chain_end({}, run_id=run)

    assert len([line for line in reports if "object" in line]) == count


def test_results_that_hold_nothing(whole: Callable[..., None]) -> None:
    """
    A model that gives no generation, and a chain of which nothing is said, are runs.
    """
    recorder = Recorder()

    with callbacks(recorder):
        manager = CallbackManager.configure()
        manager.on_llm_start({}, ["q"])[0].on_llm_end(LLMResult(generations=[]))
        manager.on_chain_start(None, {}).on_chain_end({})

    whole(recorder, roots=2)
    assert [run.name for run in recorder.runs] == ["llm", "chain"]
    assert recorder.runs[0].outputs.generations == []


def test_before_any_runnable_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Where LangChain's runnables have not been imported, it has no run in hand.
    """
    monkeypatch.setattr(_open_runs, "_config", None)
    monkeypatch.setitem(sys.modules, "langchain_core.runnables.config", None)

    assert _open_runs.in_hand() is None


def test_unknown_runs_are_ignored() -> None:
    """
    What is told of a run that began before anybody listened is heard by nobody.
    """
    recorder = Recorder()
    run = CallbackManager.configure().on_chain_start({}, {})

    with callbacks(recorder):
        run.on_text("said")
        run.on_retry(1)  # type: ignore[arg-type]
        run.on_chain_error(ValueError())

    assert recorder.events == []


def test_name_that_cannot_be_written(reports: list[str]) -> None:
    """
    What breaks us in what LangChain tells is reported, and the call goes on.
    """

    class Name(str):
        __slots__ = ()

        def __str__(self) -> str:
            raise ValueError("no name")

    recorder, app = Recorder(), RunnableLambda(str)

    with callbacks(recorder):
        assert app.invoke(1, {"run_name": Name("name")}) == "1"
        assert asyncio.run(app.ainvoke(1, {"run_name": Name("name")})) == "1"

    assert recorder.events == []
    assert len([line for line in reports if "no name" in line]) == 1


def test_bridge_is_one() -> None:
    """
    A copy of the bridge is the bridge.
    """
    assert copy.copy(BRIDGE) is copy.deepcopy(BRIDGE) is BRIDGE


class Awaited(AsyncCallbackHandler):
    """
    Keeps the names of events.
    """

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.is_done = Event()

    async def on_event(self, event: Any, **_: Any) -> None:
        self.heard.append(event.event)
        if event.event == "on_llm_end":
            self.is_done.set()


@pytest.mark.parametrize("is_async", [True, False])
@pytest.mark.parametrize("is_alone", [True, False])
def test_handler_of_an_inner_constructor(
    is_async: bool, is_alone: bool, whole: Callable[..., None]
) -> None:
    """
    A handler given to a model's constructor hears that model inside a chain, whether or
    not others listen, and is not heard of by the chain's other runs.
    """
    outer = Recorder()
    own: Any = Recorder()
    awaited: Any = Awaited()
    model = FakeListChatModel(responses=["a"], callbacks=[own, awaited])
    app: Runnable[Any, Any] = RunnableLambda(str) | model | RunnableLambda(str)

    with callbacks(*([] if is_alone else [outer])):
        asyncio.run(app.ainvoke(1)) if is_async else app.invoke(1)

    if is_alone:
        whole(own)
    assert [run.kind for run in own.runs] == ["chat_model"]
    assert awaited.is_done.wait(10)  # served on the background loop
    assert awaited.heard == ["on_chat_model_start", "on_llm_end"]
    assert len(outer.runs) == (0 if is_alone else 4)


def test_handler_given_in_a_block_and_a_constructor(whole: Callable[..., None]) -> None:
    """
    One that hears already does not join again.
    """
    recorder: Any = Recorder()
    model = FakeListChatModel(responses=["a"], callbacks=[recorder])

    with callbacks(recorder):
        (RunnableLambda(str) | model).invoke(1)

    whole(recorder)
    assert len(recorder.runs) == 3


class Stops(BaseCallbackHandler):
    """
    Stops models.
    """

    raise_error = True

    def on_chat_model_start(self, *_: Any, **__: Any) -> None:
        raise PermissionError


@pytest.mark.parametrize("is_async", [True, False])
def test_late_handler_stops(is_async: bool, whole: Callable[..., None]) -> None:
    """
    One that joins late may stop the run, which ends for those who heard it start.
    """
    recorder = Recorder()
    given: Any = [Stops()]
    model = FakeListChatModel(responses=["a"], callbacks=given)
    app: Runnable[Any, Any] = RunnableLambda(str) | model

    with callbacks(recorder), pytest.raises(PermissionError):
        asyncio.run(app.ainvoke(1)) if is_async else app.invoke(1)

    whole(recorder)
    assert recorder.find(kind="chat_model")[0].status == "error"


def test_configuration_carried_by_hand(whole: Callable[..., None]) -> None:
    """
    Where only LangChain's configuration was carried, what runs below hears by that, and
    `bind` there carries it on.
    """
    recorder = Recorder()
    leaf: Runnable[Any, Any] = RunnableLambda(str, name="leaf")

    def inner(_: Any) -> None:
        Context().run(bind(leaf.invoke), 1)

    def outer(_: Any, config: RunnableConfig) -> None:
        chain: Runnable[Any, Any] = RunnableLambda(inner, name="inner")
        Context().run(chain.invoke, 1, config)

    with callbacks(recorder):
        RunnableLambda(outer, name="outer").invoke(1)

    whole(recorder)
    assert recorder.tree() == ("chain outer: ok\n  chain inner: ok\n    chain leaf: ok")
