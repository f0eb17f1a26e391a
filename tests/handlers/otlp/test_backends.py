"""
Real backends on loopback: what they make of what `OTLPHandler` sends, as they tell it.

Not run by default: ``-m slow`` does, where one of them is installed.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pytest

from instrument import callbacks, current_run, traced
from instrument.handlers import OTLPHandler

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

COST_USD = 0.0035
"""What 200 plain, 800 cached and 200 written tokens of gpt-4o cost."""


@traced.retriever
def search(query: str) -> list[dict[str, Any]]:
    """
    Find something.
    """
    return [{"page_content": "Paris is the capital", "metadata": {"page": 1}}]


@traced.tool
def broken(number: int) -> None:
    """
    Fail.
    """
    raise ValueError("no such city")


@traced.chat_model(model="gpt-4o", provider="openai")
def model(messages: list[dict[str, str]]) -> Iterator[str]:
    """
    Answer in pieces.
    """
    yield from ("Par", "is")
    current_run().record_usage(
        input_tokens=1000, output_tokens=200, cache_read_tokens=800
    )


@traced.agent
def agent(question: str) -> str:
    """
    Look around, and ask the model.
    """
    search(question)
    with pytest.raises(ValueError, match="city"):
        broken(1)
    return "".join(model([{"role": "user", "content": question}]))


@traced
def answer(question: str) -> str:
    """
    Be the root.
    """
    return agent(question)


TREE = {
    "answer": None,
    "agent": "answer",
    "search": "agent",
    "broken": "agent",
    "model": "agent",
}


def send(url: str, dialect: str, **options: Any) -> None:
    """
    Send one request.
    """
    handler = OTLPHandler(url, dialect=dialect, service="shop", **options)
    metadata = {"user_id": "u1", "session_id": "s1"}
    with callbacks(handler, tags=["t1"], metadata=metadata):
        answer("capital?")
    assert handler.drain(60)
    assert (handler.sent, handler.dropped) == (5, 0)


def asked(url: str, body: Any = None) -> Any:
    """
    Ask a backend for JSON.
    """
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=20) as response:
        return json.load(response)


def until(holds: Callable[[], Any], seconds: float = 60) -> Any:
    """
    Ask again and again, as a backend answers before it has looked at all.
    """
    end = time.monotonic() + seconds
    while True:
        try:
            found = holds()
        except OSError:
            found = None
        if found or time.monotonic() > end:
            return found
        time.sleep(0.5)


@contextmanager
def served(command: list[str], port: int, path: str, **environment: str) -> Any:
    """
    Have a backend run, and give its address.
    """
    url = f"http://127.0.0.1:{port}"
    given = {**os.environ, **environment}
    with subprocess.Popen(command, env=given, start_new_session=True) as process:
        try:
            assert until(lambda: asked(f"{url}{path}") is not None, 600)
            yield url
        finally:
            os.killpg(process.pid, signal.SIGKILL)  # with all that it has started


def skip_without(distribution: str) -> None:
    """
    Skip the test where a backend is not installed; to import one warns of much.
    """
    try:
        version(distribution)
    except PackageNotFoundError:
        pytest.skip(f"needs {distribution}")


def free_port() -> int:
    """
    Give a port of loopback that nobody listens on.
    """
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@pytest.fixture(scope="module")
def phoenix(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """
    Give the address of a Phoenix of our own.
    """
    skip_without("arize-phoenix")
    port = free_port()
    command = [sys.executable, "-m", "phoenix.server.main", "serve"]
    environment = {
        "PHOENIX_HOST": "127.0.0.1",
        "PHOENIX_PORT": f"{port}",
        "PHOENIX_GRPC_PORT": f"{free_port()}",
        "PHOENIX_WORKING_DIR": str(tmp_path_factory.mktemp("phoenix")),
        "PHOENIX_TELEMETRY_ENABLED": "false",
        "PHOENIX_ALLOW_EXTERNAL_RESOURCES": "false",
    }
    with served(command, port, "/v1/projects", **environment) as url:
        yield url


@pytest.mark.parametrize("dialect", ["both", "openinference", "gen_ai"])
def test_phoenix(phoenix: str, dialect: str) -> None:
    """
    Phoenix has the tree, the error, the tokens and the cost in each dialect; kinds,
    inputs and outputs of all runs in `both` and `openinference`.
    """
    send(phoenix, dialect, resource={"openinference.project.name": dialect})

    def five() -> Any:
        found = asked(f"{phoenix}/v1/projects/{dialect}/spans?limit=50")["data"]
        return found if len(found) == 5 else None

    spans = until(five)
    by_name = {span["name"].split()[-1]: span for span in spans}
    if dialect == "gen_ai":  # there a model's span is named by the model
        by_name["model"] = by_name.pop("gpt-4o")
    names = {span["context"]["span_id"]: name for name, span in by_name.items()}
    tree = {name: names.get(span["parent_id"]) for name, span in by_name.items()}
    assert tree == TREE
    assert by_name["broken"]["status_code"] == "ERROR"
    assert by_name["broken"]["status_message"] == "no such city"
    known = by_name["model"]["attributes"]
    assert known["llm.token_count.prompt"] == 1000
    assert known["llm.token_count.completion"] == 200
    assert known["llm.token_count.prompt_details.cache_read"] == 800
    query = "{projects{edges{node{name tokenCountTotal costSummary{total{cost}}}}}}"

    def costs() -> Any:
        edges = asked(f"{phoenix}/graphql", {"query": query})["data"]["projects"]
        nodes = {edge["node"]["name"]: edge["node"] for edge in edges["edges"]}
        node = nodes[dialect]
        return node if node["costSummary"]["total"]["cost"] else None

    told = until(costs)
    assert told["tokenCountTotal"] == 1200
    assert told["costSummary"]["total"]["cost"] == pytest.approx(COST_USD)
    if dialect == "gen_ai":
        return
    kinds = {name: span["span_kind"] for name, span in by_name.items()}
    assert kinds == {
        "answer": "CHAIN",
        "agent": "AGENT",
        "search": "RETRIEVER",
        "broken": "TOOL",
        "model": "LLM",
    }
    root = by_name["answer"]["attributes"]
    assert (root["input.value"], root["output.value"]) == ("capital?", "Paris")


@pytest.fixture(scope="module")
def mlflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """
    Give the address of an MLflow of our own.
    """
    skip_without("mlflow")
    folder: Path = tmp_path_factory.mktemp("mlflow")
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1"]
    command += ["--port", f"{port}", "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db"]
    command += ["--default-artifact-root", str(folder)]
    path = "/api/2.0/mlflow/experiments/get?experiment_id=0"
    environment = {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    with served(command, port, path, **environment) as url:
        yield url


@pytest.mark.parametrize("dialect", ["both", "openinference", "gen_ai"])
def test_mlflow(mlflow: str, dialect: str) -> None:
    """
    MLflow has the tree, the error, the tokens and the cost in each dialect; types of all
    runs in `both` and `openinference`.
    """
    import mlflow as client

    client.set_tracking_uri(mlflow)
    experiment = client.create_experiment(f"shop {dialect}")
    send(mlflow, dialect, headers={"x-mlflow-experiment-id": experiment})

    def found() -> Any:
        traces = client.search_traces(
            locations=[experiment], return_type="list", include_spans=True
        )
        return traces[0] if traces and len(traces[0].data.spans) == 5 else None

    trace = until(found)
    by_name = {span.name.split()[-1]: span for span in trace.data.spans}
    if dialect == "gen_ai":
        by_name["model"] = by_name.pop("gpt-4o")
    names = {span.span_id: name for name, span in by_name.items()}
    assert {name: names.get(it.parent_id) for name, it in by_name.items()} == TREE
    assert "ERROR" in str(by_name["broken"].status.status_code)
    assert by_name["broken"].status.description == "no such city"
    usage = trace.info.token_usage
    assert usage["input_tokens"] == 1000
    assert usage["output_tokens"] == 200
    assert trace.info.cost["total_cost"] == pytest.approx(COST_USD)
    if dialect == "gen_ai":
        return
    types = {name: span.span_type for name, span in by_name.items()}
    assert types == {
        "answer": "CHAIN",
        "agent": "AGENT",
        "search": "RETRIEVER",
        "broken": "TOOL",
        "model": "LLM",
    }
