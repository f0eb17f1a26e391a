"""
What LangChain tells as a chain and says to be a model's, a tool's or a retriever's: we
hear what it is, and LangChain's handlers hear a chain, as from LangChain itself.
"""

from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("langchain_core")

from langchain_core.callbacks import BaseCallbackHandler as LangChainHandler
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.runnables import Runnable, RunnableLambda
from langchain_core.tracers.run_collector import RunCollectorCallbackHandler

from instrument import BaseCallbackHandler, callbacks
from instrument.testing import Recorder

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("langchain")]

TYPES = ["llm", "chat_model", "tool", "retriever"]


class Typed(Runnable[Any, Any]):
    """
    Something of any type, that answers with what it is made of.
    """

    def __init__(self, run_type: str, answer: Any) -> None:
        self.run_type, self.answer = run_type, answer

    def _answered(self, _: Any) -> Any:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    async def _aanswered(self, _: Any) -> Any:
        return self._answered(_)

    def _pieces(self, given: Iterator[Any]) -> Iterator[Any]:
        list(given)
        yield from self.answer

    def invoke(self, input: Any, config: Any = None, **kwargs: Any) -> Any:
        return self._call_with_config(
            self._answered, input, config, run_type=self.run_type
        )

    async def ainvoke(self, input: Any, config: Any = None, **kwargs: Any) -> Any:
        return await self._acall_with_config(
            self._aanswered, input, config, run_type=self.run_type
        )

    def stream(self, input: Any, config: Any = None, **kwargs: Any) -> Iterator[Any]:
        yield from self._transform_stream_with_config(
            iter([input]), self._pieces, config, run_type=self.run_type
        )


class Theirs(LangChainHandler):
    """
    Notes all that LangChain's handlers can be told.
    """

    def __init__(self) -> None:
        self.told: list[Any] = []

    def __getattribute__(self, name: str) -> Any:
        if not name.startswith("on_") or name == "on_event":  # which is none of theirs
            return super().__getattribute__(name)

        def hear(*args: Any, **kwargs: Any) -> None:
            payload = args[1] if name.endswith("_start") else args[0]
            self.told.append((name, payload, kwargs.get("run_type"), kwargs["tags"]))

        return hear


class Ours(BaseCallbackHandler):
    """
    Notes by which methods it is told, and of which result.
    """

    def __init__(self) -> None:
        self.told: list[str] = []
        self.result: Any = None

    def on_event(self, event: Any, **kwargs: Any) -> None:
        self.told.append(event.event)

    def on_llm_end(self, response: Any, **kwargs: Any) -> None:
        self.result = response


@pytest.mark.parametrize("how", ["invoke", "ainvoke"])
@pytest.mark.parametrize("answer", ["yes", {"a": 1}, ValueError("no")], ids=repr)
@pytest.mark.parametrize("run_type", TYPES)
async def test_of_each_type(
    run_type: str, answer: Any, how: str, reports: list[str]
) -> None:
    """
    Ours hears its kind; LangChain's, in a block, what it hears from LangChain.
    """
    typed, ours, theirs, alone = Typed(run_type, answer), Ours(), Theirs(), Theirs()

    async def call(*handlers: Any) -> None:
        config: Any = {"callbacks": list(handlers), "tags": ["a"]}
        try:
            if how == "invoke":
                typed.invoke({"q": "x"}, config)
            else:
                await typed.ainvoke({"q": "x"}, config)
        except ValueError:
            pass

    recorder = Recorder()
    with callbacks(ours, theirs, recorder):
        await call()
    await call(alone)

    end = "error" if isinstance(answer, Exception) else "end"
    assert ours.told == [f"on_{run_type}_start", f"on_{_ends(run_type)}_{end}"]
    assert theirs.told == alone.told
    assert [each[0] for each in theirs.told] == ["on_chain_start", f"on_chain_{end}"]
    assert recorder.runs[0].kind == run_type
    assert reports == []


def _ends(run_type: str) -> str:
    return "llm" if run_type == "chat_model" else run_type


def test_inputs() -> None:
    """
    A text model's inputs are a list of text, a chat model's of messages, a tool's are
    told as text too, and a retriever's are its query.
    """
    recorder, said = Recorder(), list[str]()
    message = HumanMessage("x")

    with callbacks(recorder, on_tool_start=lambda _, text: said.append(text)):
        Typed("llm", "yes").invoke("x")
        Typed("llm", "yes").invoke({"q": "é"})
        Typed("chat_model", AIMessage("yes")).invoke([message])
        Typed("tool", "yes").invoke({"q": "x"})
        Typed("retriever", []).invoke("x")

    inputs = [run.inputs for run in recorder.runs]
    assert inputs == [["x"], ['{"q": "é"}'], [message], {"q": "x"}, "x"]
    assert said == ["x"]


def test_stream() -> None:
    """
    A stream's inputs are known when it has been read, and are text then too.
    """
    recorder, theirs = Recorder(), Theirs()

    with callbacks(recorder, theirs):
        assert list(Typed("llm", "abc").stream({"q": "x"})) == ["a", "b", "c"]
        assert list(Typed("tool", "abc").stream({"q": "x"})) == ["a", "b", "c"]

    model, tool = recorder.runs
    assert (model.inputs, model.outputs) == (['{"q": "x"}'], "abc")
    assert (tool.inputs, tool.outputs) == ({"q": "x"}, "abc")
    assert [name for name, *_ in theirs.told] == ["on_chain_start", "on_chain_end"] * 2


@pytest.mark.parametrize("run_type", TYPES)
def test_redacted(run_type: str, everything: Any) -> None:
    """
    What is masked by name is in no text that is made of it; nothing is, where nothing
    is to be captured.
    """
    secret, theirs, muted = {"password": "hunter2"}, Theirs(), Theirs()

    with callbacks(everything, theirs, redact=["password"]):
        Typed(run_type, {"answers": secret}).invoke(secret)
    with callbacks(everything, muted, capture=False):
        Typed(run_type, {"answers": secret}).invoke(secret)

    assert "[redacted]" in everything.text
    assert "hunter2" not in everything.text + str(theirs.told) + str(muted.told)
    assert [name for name, *_ in muted.told] == ["on_chain_start", "on_chain_end"]


def test_without_theirs_and_with_other_events() -> None:
    """
    What else such a run tells, LangChain's handlers hear as ever.
    """
    theirs = Theirs()

    def emits(_: Any) -> str:
        from instrument import emit

        emit("step", 1)
        return "yes"

    typed = Typed("llm", "yes")
    typed._answered = emits  # type: ignore[method-assign]
    with callbacks(theirs):
        typed.invoke("x")

    told = [name for name, *_ in theirs.told]
    assert told == ["on_chain_start", "on_custom_event", "on_chain_end"]


def test_joined_late() -> None:
    """
    A handler of ours that LangChain asks after the bridge hears it as well, and changes
    nothing for LangChain's.
    """
    ours, theirs = Ours(), Theirs()
    typed = Typed("llm", "yes").with_config(callbacks=[ours])
    chain = RunnableLambda(typed.invoke, name="chain")

    with callbacks(theirs):
        for _ in range(3):
            chain.invoke("x")

    assert ours.told == ["on_llm_start", "on_llm_end"] * 3
    told = [name for name, *_ in theirs.told]
    assert told == (["on_chain_start"] * 2 + ["on_chain_end"] * 2) * 3


def test_model_of_the_same_name() -> None:
    """
    A model that is told as one, and has the name of one that is told as a chain, is told
    LangChain's handlers as a model.
    """
    theirs = Theirs()

    with callbacks(theirs):
        Typed("chat_model", "yes").invoke("x", {"run_name": "oracle"})
        FakeListChatModel(responses=["a"]).invoke("x", {"run_name": "oracle"})

    starts = [name for name, *_ in theirs.told if name.endswith("_start")]
    assert starts == ["on_chain_start", "on_chat_model_start"]


@pytest.mark.parametrize("how", ["invoke", "ainvoke"])
async def test_decision_model(how: str, reports: list[str]) -> None:
    """
    A decision model's questions are text, its answers and usage are told, and a tracer
    of LangChain's, in a block, keeps the same run as in LangChain's own config.
    """
    made = pytest.importorskip("langchain_core.decisions")

    class Decides(made.BaseDecisionModel):  # type: ignore[misc,name-defined]
        model: str = "m1"

        @property
        def _provider(self) -> str:
            return "p"

        def _classify(self, state: Any, questions: Any) -> Any:
            answers = {"urgent": {"type": "noul", "noul": 0.9}}
            counts = {"input_tokens": 3, "output_tokens": 1, "total_tokens": 4}
            return made.ClassifierResponse(model="m2", answers=answers, usage=counts)

    recorder, ours = Recorder(), Ours()
    block, config = RunCollectorCallbackHandler(), RunCollectorCallbackHandler()
    asked = {
        "state": "down!",
        "questions": {"urgent": made.Noul(instructions="Is it?")},
    }
    with callbacks(recorder, ours, block):
        if how == "invoke":
            Decides().invoke(asked, {"callbacks": [config]})
        else:
            await Decides().ainvoke(asked, {"callbacks": [config]})

    (run,) = recorder.runs
    (prompt,) = run.inputs
    assert "down!" in prompt
    assert "Is it?" in prompt
    assert (run.kind, run.provider, run.model) == ("llm", "p", "m2")
    assert (run.usage.input_tokens, run.usage.output_tokens) == (3, 1)
    assert "0.9" in ours.result.generations[0][0].text
    assert "0.9" in recorder.events[-1].data["text"]
    (theirs,), (own,) = block.traced_runs, config.traced_runs
    assert (theirs.run_type, theirs.name) == (own.run_type, own.name)
    assert (theirs.inputs, theirs.outputs) == (own.inputs, own.outputs)
    assert reports == []
