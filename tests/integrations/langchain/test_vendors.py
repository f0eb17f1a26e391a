"""
Handlers that others wrote for LangChain, in our scope, sending nowhere: Langfuse, MLflow.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("langchain_core")
from langchain_core.runnables import Runnable, RunnableLambda

from instrument import callbacks, current_run, traced

pytestmark = [
    pytest.mark.usefixtures("langchain"),
    pytest.mark.filterwarnings("ignore"),  # theirs
]


@traced.retriever
def find(query: str) -> list[str]:
    """
    Find something.
    """
    return ["cats"]


@traced.tool
def add(x: int, y: int) -> int:
    """
    Add.
    """
    return x + y


@traced.chat_model(model="fake-1", provider="nobody")
def chat(messages: list[dict[str, str]]) -> str:
    """
    Answer.
    """
    current_run().record_usage(input_tokens=3, output_tokens=2)
    return "Paris."


@traced.llm(model="fake-2")
def complete(prompt: str) -> Iterator[str]:
    """
    Stream.
    """
    yield from ("of ", "course")


@traced("answer", kind="agent")
def answer(question: str) -> str:
    """
    Do all of that.
    """
    find(question)
    add(1, 2)
    return chat([{"role": "user", "content": question}]) + "".join(complete(question))


@traced
def through_langchain(question: str) -> Any:
    """
    Call LangChain, which calls us.
    """
    step: Runnable[str, str] = RunnableLambda(answer, name="step")
    return step.invoke(question)


NAMES = ["through_langchain", "step", "answer", "find", "add", "chat", "complete"]


def test_langfuse() -> None:
    """
    Langfuse's handler makes one trace of our runs and LangChain's, with model and usage.
    """
    langfuse = pytest.importorskip("langfuse")
    theirs = pytest.importorskip("langfuse.langchain")
    memory = "opentelemetry.sdk.trace.export.in_memory_span_exporter"
    kept = pytest.importorskip(memory).InMemorySpanExporter()
    client = langfuse.Langfuse(
        public_key="pk-lf-none",
        secret_key="sk-lf-none",
        base_url="http://localhost:9",
        span_exporter=kept,
    )

    with callbacks(theirs.CallbackHandler()):
        through_langchain("Where?")
    client.flush()
    client.shutdown()

    spans: dict[str, Any] = {span.name: span for span in kept.get_finished_spans()}
    parents = {
        name: next((p for p, it in spans.items() if it.context == span.parent), None)
        for name, span in spans.items()
    }
    assert sorted(spans) == sorted(NAMES)
    assert parents["through_langchain"] is None
    assert (parents["step"], parents["answer"]) == ("through_langchain", "step")
    assert {parents[name] for name in NAMES[3:]} == {"answer"}
    told = dict(spans["chat"].attributes)
    assert told["langfuse.observation.type"] == "generation"
    assert told["langfuse.observation.model.name"] == "fake-1"
    assert told["langfuse.observation.usage_details"] == (
        '{"input": 3, "output": 2, "total": 5}'
    )


def test_mlflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    MLflow's tracer makes one trace of them, each of its own type.
    """
    mlflow = pytest.importorskip("mlflow")
    module = pytest.importorskip("mlflow.langchain.langchain_tracer")
    monkeypatch.setenv("MLFLOW_ENABLE_ASYNC_TRACE_LOGGING", "false")
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/mlflow.db")

    with callbacks(module.MlflowLangchainTracer()):
        through_langchain("Where?")

    trace = mlflow.get_trace(mlflow.get_last_active_trace_id())
    spans = {span.name: span for span in trace.data.spans}
    names = {span.span_id: span.name for span in trace.data.spans}
    assert list(spans) == NAMES
    assert [names.get(span.parent_id) for span in spans.values()] == [
        None,
        "through_langchain",
        "step",
        *["answer"] * 4,
    ]
    assert [span.span_type for span in spans.values()][3:] == [
        "RETRIEVER",
        "TOOL",
        "CHAT_MODEL",
        "LLM",
    ]
    assert all(span.status.status_code.value == "OK" for span in spans.values())
