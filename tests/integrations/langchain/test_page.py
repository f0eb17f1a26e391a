"""
What an agent of LangGraph sends its page.
"""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

pytest.importorskip("langchain_core")
pytest.importorskip("langchain.agents.middleware")  # from LangChain 1.0 on
pytest.importorskip("websockets", minversion="15")

from langchain.agents import create_agent
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.tools import tool
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve

from instrument import callbacks
from instrument.handlers import WebSocketHandler

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.parametrize("anyio_backend", ["asyncio"]),
    pytest.mark.usefixtures("langchain"),
]

WORDS = [f" word{number}" for number in range(29)]
USED: Any = {"input_tokens": 100, "output_tokens": 29, "total_tokens": 129}


class Agent(BaseChatModel):
    """
    Calls a tool first, then speaks.
    """

    @property
    def _llm_type(self) -> str:
        return "agent"

    def bind_tools(self, tools: Any, **_: Any) -> Any:
        return self

    def _generate(self, *args: Any, **kwargs: Any) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=AIMessage("hey"))])

    async def _astream(
        self, messages: list[Any], *args: Any, **kwargs: Any
    ) -> AsyncIterator[ChatGenerationChunk]:
        call = tool_call_chunk(name="search", args='{"query": "x"}', id="1", index=0)
        said = [AIMessageChunk(content="", tool_call_chunks=[call])]
        if messages[-1].type == "tool":
            said = [AIMessageChunk(content=word) for word in WORDS]
            said.append(AIMessageChunk(content="", usage_metadata=USED))
        for message in said:
            yield ChatGenerationChunk(message=message)


@tool
def search(query: str) -> str:
    """
    Find something.
    """
    return "found " * 100


async def sent(**options: Any) -> list[str]:
    """
    Give the frames that a page gets.
    """
    agent: Any = create_agent(Agent(), [search], system_prompt="Be brief. " * 50)

    async def endpoint(socket: Any) -> None:
        async with callbacks(WebSocketHandler(socket, **options)):
            await agent.ainvoke({"messages": [("user", "why?")]})

    async with serve(endpoint, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with connect(f"ws://127.0.0.1:{port}", proxy=None) as client:
            return [str(frame) async for frame in client]


async def test_bytes() -> None:
    """
    An agent of 29 tokens sends its page less than 8 kB.
    """
    frames = await sent()

    told = [json.loads(frame) for frame in frames]
    tokens = [it["data"]["token"] for it in told if it["event"] == "on_llm_new_token"]
    assert tokens == WORDS
    assert sum(map(len, frames)) < 8_000


async def test_all_events() -> None:
    """
    Who asks for all gets it: states and messages, each in one shape.
    """
    told = [json.loads(frame) for frame in await sent(payload="all")]

    said = next(it for it in reversed(told) if it["event"] == "on_chain_end")["data"][
        "outputs"
    ]["messages"]
    assert [message["role"] for message in said] == [
        "user",
        "assistant",
        "tool",
        "assistant",
    ]
    assert said[1]["tool_calls"] == [
        {"id": "1", "name": "search", "arguments": {"query": "x"}}
    ]
    assert (said[2]["tool_call_id"], said[2]["name"]) == ("1", "search")
    assert "tags" not in next(it for it in told if it["event"] == "on_llm_new_token")
