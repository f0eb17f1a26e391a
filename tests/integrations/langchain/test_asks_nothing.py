"""
What a model of the application tells of itself, and its metadata, is asked nothing.
"""

import sys
from typing import Any

import pytest

pytest.importorskip("langchain_core")

from langchain_core.language_models.llms import LLM
from langchain_core.runnables import RunnableLambda

from instrument import auto, callbacks
from instrument.testing import Recorder


class Odd:
    """
    What raises when it is asked for its class, or compared.
    """

    asked = 0

    def _ask(self, *args: object) -> Any:
        if sys._getframe(1).f_globals["__name__"].startswith("instrument."):
            Odd.asked += 1
            raise SystemError("asked")
        return False

    def _class(self) -> Any:
        if sys._getframe(1).f_globals["__name__"].startswith("instrument."):
            Odd.asked += 1
        return Odd

    __class__ = property(_class, lambda self, value: None)
    __eq__ = __ne__ = __bool__ = _ask
    __hash__ = object.__hash__


class Model(LLM):
    """
    Tells an object as the model's name.
    """

    held: Any = None

    @property
    def _llm_type(self) -> str:
        return "own"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"model": self.held}

    def _call(self, prompt: str, *args: Any, **kwargs: Any) -> str:
        return "Hello"


@pytest.mark.parametrize("name", ["ls_provider", "ls_model_name", "langgraph_node"])
@pytest.mark.rule(13, "sync")
def test_what_a_model_tells(name: str) -> None:
    """
    What is no text under the name of a model, a provider or a node is none of these.
    """
    auto.install()
    Odd.asked, heard = 0, Recorder()
    metadata = {"langgraph_step": 1, name: Odd()}
    try:
        with callbacks(heard, plumbing=False):
            assert Model(held=Odd()).invoke("Hi", {"metadata": metadata}) == "Hello"
            step: Any = RunnableLambda(lambda given: 1, name="agent")
            assert step.invoke(1, {"metadata": metadata}) == 1
    finally:
        auto.uninstall()

    assert Odd.asked == 0
    assert [run.status for run in heard.runs] == ["ok", "ok"]
    assert heard.runs[0].model is None
