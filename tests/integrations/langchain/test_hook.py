"""
When LangChain's managers are given the bridge, and when the handler that comes last.
"""

from typing import Any, cast
from uuid import uuid4

import pytest

pytest.importorskip("langchain_core")

from langchain_core.callbacks import CallbackManager
from langchain_core.messages import HumanMessage
from langchain_core.outputs import LLMResult
from langchain_core.runnables import RunnableLambda

from instrument import BaseCallbackHandler, callbacks
from instrument.integrations.langchain import _given_handlers as _given
from instrument.integrations.langchain import _hook, _kinds
from instrument.integrations.langchain._bridge import BRIDGE

pytestmark = pytest.mark.usefixtures("langchain")


class Ours(BaseCallbackHandler):
    """
    Notes the names of runs.
    """

    def __init__(self) -> None:
        self.names: list[str] = []

    def on_chain_start(self, *args: Any, **kwargs: Any) -> None:
        self.names.append(kwargs["name"])


@pytest.fixture(autouse=True)
def nobody_behind() -> None:
    """
    Begin with no handler known to come behind the bridge.
    """
    _given.behind.clear()


def given(*handlers: Any, local: Any = None) -> list[str]:
    """
    Name the classes of what a manager made of *handlers* has.
    """
    manager = CallbackManager.configure(list(handlers) or None, local)
    return [type(handler).__name__ for handler in manager.handlers]


def test_handler_alive_elsewhere() -> None:
    """
    A handler that was given to nobody costs LangChain nothing: it has no handler more.
    """
    ours = Ours()

    assert given() == []

    with callbacks(Ours()):
        assert given() == ["Bridge"]
    assert ours.names == []


def test_handler_in_config() -> None:
    """
    A handler in LangChain's config has the bridge follow it, and nothing else.
    """
    assert given(Ours()) == ["Ours", "Bridge"]
    assert not _given.behind


def test_handler_behind_the_bridge() -> None:
    """
    One that is added behind the bridge is known, and followed by what tells it.
    """
    ours = Ours()

    with callbacks(Ours()):
        outer = CallbackManager.configure()
        own: Any = [ours]
        handlers = CallbackManager.configure(outer, own).handlers

    assert [type(it).__name__ for it in handlers] == ["Bridge", "Ours", "Late"]
    assert list(_given.behind) == [id(ours)]

    del ours, own, handlers
    assert not _given.behind


def test_list_with_the_bridge_before_it() -> None:
    """
    In a list of one's own behind the bridge, it hears from the second call at the latest.
    """
    ours = Ours()
    step = RunnableLambda(str, name="step")

    with callbacks(Ours()):
        config: Any = {"callbacks": [*CallbackManager.configure().handlers, ours]}
        step.invoke(1, config)
        first = list(ours.names)
        step.invoke(2, config)

    assert first == []
    assert ours.names == ["step"]


def test_asked_from_elsewhere() -> None:
    """
    Who asks the hook and is no manager gets the bridge where a handler is alive.
    """
    ours = Ours()

    assert _hook.BridgeHook().get() is BRIDGE
    del ours


def test_names_without_end() -> None:
    """
    What is kept of runs by name does not grow for ever, and all are heard.
    """
    ours = Ours()

    with callbacks(ours):
        for number in range(1_100):
            RunnableLambda(str, name=f"step {number}").invoke(number)

    assert len(ours.names) == 1_100
    assert len(_kinds._known) <= 1_000


def test_told_twice() -> None:
    """
    A start that is told twice of one id is one run.
    """
    ours, id = Ours(), uuid4()

    with callbacks(ours):
        manager = CallbackManager.configure()
        manager.on_chain_start(None, {}, run_id=id, name="step")
        manager.on_chain_start(None, {}, run_id=id, name="step").on_chain_end({})

    assert ours.names == ["step"]


def test_model_without_parameters() -> None:
    """
    A model's start that tells no parameters is told as one of our own.
    """
    heard: list[Any] = []

    with callbacks(
        on_chat_model_start=lambda serialized, messages, invocation_params: (
            heard.extend((serialized, messages, invocation_params))
        )
    ):
        manager = CallbackManager.configure()
        message = HumanMessage("a")
        (run,) = manager.on_chat_model_start({"name": "m"}, [[message]])
        run.on_llm_end(LLMResult(generations=[]))

    assert heard == [{"name": "m"}, [[message]], {}]


def test_model_named_in_metadata() -> None:
    """
    A model that its parameters do not name is the one that LangChain's metadata name.
    """
    heard: list[Any] = []
    named = {"ls_model_name": "m-1", "ls_provider": "p"}

    with callbacks(on_llm_end=lambda run: heard.append((run.model, run.provider))):
        manager = CallbackManager.configure(inheritable_metadata=named)
        (run,) = manager.on_chat_model_start({"name": "m"}, [[HumanMessage("a")]])
        run.on_llm_end(LLMResult(generations=[]))

    assert heard == [("m-1", "p")]


def test_what_cannot_be_told(reports: list[str]) -> None:
    """
    An event that the bridge fails at is reported, and LangChain goes on.
    """
    id, no_id = uuid4(), cast("Any", [])

    with callbacks(Ours()):
        told = [
            BRIDGE.on_chain_start(None, "a", run_id=id, name="a"),
            BRIDGE.on_text("a", run_id=no_id),
            BRIDGE.on_retriever_start(None, "a", run_id=no_id, name="a"),
            BRIDGE.on_chain_end("a", run_id=no_id),
            BRIDGE.on_chain_end("a", run_id=id),
        ]

    assert len(set(told)) == 1
    assert len(reports) == 3
