"""
What a page is told: `WebSocketHandler` with ``payload="tokens"``, as it is unless told
otherwise.
"""

import json
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from instrument import callbacks, current_run, emit, traced
from instrument.handlers import WebSocketHandler

KEPT = "tiger"
"""Stands in all that is no page's business."""
HELD = {"v", "event", "seq", "time_ns", "trace_id", "run_id", "parent_run_id"}


def sent_by(call: Any, *given: Any, **options: Any) -> list[dict[str, Any]]:
    """
    Give what is sent of a call.
    """
    frames: list[str] = []
    handler = WebSocketHandler(SimpleNamespace(send=frames.append))
    with callbacks(handler, tags=[KEPT], metadata={"user": KEPT}, **options):
        try:
            call(*given)
        except ValueError:
            frames.append('{"event": "raised"}')
    return [json.loads(frame) for frame in frames]


@traced.retriever
def retrieve(query: str) -> list[str]:
    """
    Find what is kept.
    """
    return [KEPT]


@traced.embedding
def embed(texts: list[str]) -> list[list[float]]:
    """
    Embed what is kept.
    """
    return [[0.1]]


@traced.tool
def search(query: str) -> str:
    """
    Give what is kept.
    """
    current_run().text(KEPT)
    current_run().retry(1)
    return KEPT


@traced.chat_model
def model(messages: list[Any], temperature: str = KEPT) -> Iterator[Any]:
    """
    Think, speak, and call a tool.
    """
    call = {"index": 0, "id": "1", "function": {"name": "f", "arguments": KEPT}}
    for delta in ({"reasoning": "hm"}, {"content": "hey"}, {"tool_calls": [call]}):
        yield {"choices": [{"index": 0, "delta": delta}]}
    done = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    yield {**done, "usage": {"prompt_tokens": 3, "completion_tokens": 2}}


@traced.agent
def agent(question: str) -> str:
    """
    Do all of it.
    """
    retrieve(question)
    embed([question])
    search(question)
    list(model([{"role": "user", "content": question}]))
    emit("progress", {"done": [1, 2]})
    return KEPT


def test_nothing_but_the_answer() -> None:
    """
    No prompt, argument or result of a tool, other output, tag or metadata is sent.
    """
    frames = sent_by(agent, KEPT)

    assert KEPT not in json.dumps(frames)
    assert [frame["event"] for frame in frames] == [
        "on_chain_start",
        "on_retriever_start",
        "on_retriever_end",
        "on_embedding_start",
        "on_embedding_end",
        "on_tool_start",
        "on_tool_end",
        "on_chat_model_start",
        "on_llm_new_token",
        "on_llm_new_token",
        "on_llm_end",
        "on_custom_event",
        "on_chain_end",
    ]


def test_frames() -> None:
    """
    Starts and ends say which run it is and how it went, and a model's what it said.
    """
    frames = sent_by(agent, KEPT)

    begun, first, *_ = frames
    assert set(first) == {*HELD, "kind", "name", "data"}
    assert (begun["kind"], begun["name"], begun["parent_run_id"]) == (
        "agent",
        "agent",
        None,
    )
    assert (first["parent_run_id"], first["data"]) == (begun["run_id"], {})
    (done,) = [it["data"] for it in frames if it["event"] == "on_llm_end"]
    assert done.pop("duration_s") > 0
    assert done == {
        "status": "ok",
        "usage": {"input_tokens": 3, "output_tokens": 2},
        "finish_reason": "stop",
        "text": "hey",
    }
    (told,) = [it for it in frames if it["event"] == "on_custom_event"]
    assert told["data"] == {"name": "progress", "data": {"done": [1, 2]}}
    assert set(frames[-1]["data"]) == {"status", "duration_s"}


def test_pieces() -> None:
    """
    A piece of text or reasoning says whose it is, and no more.
    """
    frames = sent_by(agent, KEPT)

    pieces = [it for it in frames if it["event"] == "on_llm_new_token"]
    start = next(it for it in frames if it["event"] == "on_chat_model_start")
    common = {"event": "on_llm_new_token", "run_id": start["run_id"]}
    assert pieces == [
        {**common, "data": {"token": "hm", "channel": "reasoning"}},
        {**common, "data": {"token": "hey", "channel": "text"}},
    ]


def test_errors() -> None:
    """
    Of an error its type and message are sent, redacted, and what a model had said.
    """

    @traced.chat_model
    def broken(question: str) -> Iterator[str]:
        yield "hey"
        raise ValueError("no password='x' here")

    *_, failed, _ = sent_by(lambda: list(broken(KEPT)), redact=["password"])

    assert failed["event"] == "on_llm_error"
    assert failed["data"].pop("duration_s") > 0
    assert failed["data"] == {
        "status": "error",
        "type": "ValueError",
        "message": "no password=[redacted] here",
        "text": "hey",
    }


def test_nothing_captured() -> None:
    """
    With ``capture=False`` there is no text, but how far it is.
    """
    frames = sent_by(agent, KEPT, capture=False)

    assert "hey" not in json.dumps(frames)
    assert frames[-1]["data"]["status"] == "ok"


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_bytes_of_an_agent() -> None:
    """
    An agent of 29 tokens sends its page less than 8 kB, over a real socket.
    """
    asyncio_client = pytest.importorskip("websockets.asyncio.client")
    from websockets.asyncio.server import serve

    words = [f" word{number}" for number in range(29)]

    @traced.chat_model
    async def speak(messages: list[Any]) -> Any:
        for word in words:
            yield word

    @traced.agent
    async def answer(question: str) -> None:
        for _ in range(2):
            search(question * 100)
        async for _ in speak([{"role": "user", "content": question * 100}]):
            pass

    async def endpoint(socket: Any) -> None:
        metadata = {f"key{number}": "value" for number in range(100)}
        async with callbacks(WebSocketHandler(socket), metadata=metadata):
            await answer("why?")

    async with serve(endpoint, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        url = f"ws://127.0.0.1:{port}"
        async with asyncio_client.connect(url, proxy=None) as client:
            frames = [frame async for frame in client]

    told = [json.loads(frame) for frame in frames]
    tokens = [it["data"]["token"] for it in told if it["event"] == "on_llm_new_token"]
    assert tokens == words
    assert sum(map(len, frames)) < 8_000
