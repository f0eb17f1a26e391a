"""
Handlers of ours that LangChain is given again and again: each call looks at them anew.
"""

import gc
from typing import Any
from weakref import ref

import pytest

pytest.importorskip("langchain_core")
from langchain_core.language_models import FakeListChatModel
from langchain_core.runnables import RunnableLambda

from instrument import BaseCallbackHandler, callbacks
from instrument.integrations.langchain import _hook
from instrument.integrations.langchain._bridge import BRIDGE

pytestmark = pytest.mark.usefixtures("langchain")

STEP = RunnableLambda(str.upper, name="step")


def given(*handlers: BaseCallbackHandler) -> Any:
    """
    Make LangChain's own configuration of *handlers*.
    """
    return {"callbacks": list(handlers)}


class Ours(BaseCallbackHandler):
    """
    Notes what starts, and with what.
    """

    def __init__(self) -> None:
        self.told: list[Any] = []

    def on_chain_start(self, serialized: Any, inputs: Any, **kwargs: Any) -> None:
        self.told.append(inputs)


class Tokens(BaseCallbackHandler):
    """
    Has models stream that were only invoked.
    """

    wants_tokens = True

    def __init__(self) -> None:
        self.told: list[str] = []

    def on_llm_new_token(self, token: str, **kwargs: Any) -> None:
        self.told.append(token)


def test_flag_that_changes() -> None:
    """
    A flag that is set between two calls counts from then on.
    """
    ours = Ours()

    for is_ignored in (False, True, False):
        ours.ignore_chain = is_ignored
        STEP.invoke(f"{is_ignored}", given(ours))

    assert ours.told == ["False", "False"]


def test_method_that_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    So does a method, of the handler or of its class.
    """
    ours, told = Ours(), []

    def start(self: Any, serialized: Any, inputs: Any, *, name: str) -> None:
        told.append(f"{inputs} of {name}")

    STEP.invoke("as it was", given(ours))
    monkeypatch.setattr(Ours, "on_chain_start", start)
    STEP.invoke("of the class", given(ours))
    ours.on_chain_start = lambda *args, **_: told.append(args[1])  # type: ignore[method-assign]
    STEP.invoke("its own", given(ours))

    assert ours.told == ["as it was"]
    assert told == ["of the class of step", "its own"]


def test_process_wide_too() -> None:
    """
    One that hears the process hears each call once, and as that is redacted.
    """
    ours, other = Ours(), Ours()

    with callbacks(ours, redact=lambda value, path: "*").install():
        STEP.invoke("secret", given(ours, other))

    assert [ours.told, other.told] == [["*"], ["*"]]


def test_in_a_block() -> None:
    """
    In a block it hears with the tags and metadata of that.
    """
    runs: list[Any] = []
    ours = Ours()
    ours.on_chain_end = lambda *args, run, **_: runs.append(run)  # type: ignore[method-assign]

    with callbacks(Ours(), tags=["a"], metadata={"b": 1}):
        STEP.invoke("x", given(ours))

    assert [(run.tags, run.metadata) for run in runs] == [(("a",), {"b": 1})]


def test_tokens_wanted() -> None:
    """
    One that wants tokens hears what its run itself streams.
    """
    model = FakeListChatModel(responses=["abc"])
    tokens = Tokens()

    list(model.stream("x", given(tokens)))

    assert "".join(tokens.told) == "abc"


def test_let_go() -> None:
    """
    Nothing keeps a handler, not even till the next collection of garbage.
    """
    ours = Ours()
    STEP.invoke("x", given(ours))
    gone = ref(ours)
    gc.disable()
    try:
        del ours

        assert gone() is None
    finally:
        gc.enable()


def test_asked_twice_by_one_manager() -> None:
    """
    A manager asks twice; the second time it is taken at its word, and only then.
    """
    ours = Ours()
    hook = _hook.BridgeHook()

    def asked(first: list[Any], then: list[Any]) -> list[Any]:
        callback_manager: Any = type("Manager", (), {"handlers": first})
        answer = hook.get()
        callback_manager.handlers = then
        return [answer, hook.get(), hook.get()]

    assert asked([ours], []) == [BRIDGE, BRIDGE, None]
    assert asked([], []) == [None, None, None]
