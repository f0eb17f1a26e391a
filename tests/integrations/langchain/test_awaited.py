"""
LangChain's async code waits for async handlers, whatever it calls.
"""

import asyncio
from typing import Any

import pytest

pytest.importorskip("langchain_core")

from langchain_core.documents import Document
from langchain_core.language_models import FakeListLLM
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langchain_core.outputs import ChatResult, LLMResult
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import Runnable, RunnableLambda
from langchain_core.tools import tool

from instrument import AsyncCallbackHandler, callbacks

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("langchain")]

order: list[str] = []


class Slow(AsyncCallbackHandler):
    """
    Takes its time at each event.
    """

    async def on_event(self, event: Any, **kwargs: Any) -> None:
        for _ in range(3):
            await asyncio.sleep(0)
        order.append(event.event.rpartition("_")[2])


class ChatModel(FakeListChatModel):
    """
    Says when it is called.
    """

    async def _agenerate(self, *args: Any, **kwargs: Any) -> ChatResult:
        order.append("body")
        return await super()._agenerate(*args, **kwargs)


class Model(FakeListLLM):
    """
    The same, of text.
    """

    async def _agenerate(self, *args: Any, **kwargs: Any) -> LLMResult:
        order.append("body")
        return await super()._agenerate(*args, **kwargs)


class Documents(BaseRetriever):
    """
    The same, of documents.
    """

    def _get_relevant_documents(self, query: str, **_: Any) -> list[Document]:
        return []

    async def _aget_relevant_documents(self, query: str, **_: Any) -> list[Document]:
        order.append("body")
        return []


async def chain(text: str) -> str:
    """
    Say the same.
    """
    order.append("body")
    return text


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize(
    "runnable",
    [
        RunnableLambda(chain),
        ChatModel(responses=["a"]),
        Model(responses=["a"]),
        tool(chain),
        Documents(),
    ],
    ids=["chain", "chat model", "model", "tool", "retriever"],
)
async def test_start_before_the_body(runnable: Runnable[Any, Any]) -> None:
    """
    An async handler has heard of a start before the body runs, and of the end after it.
    """
    order.clear()

    with callbacks(Slow()):
        await runnable.ainvoke("q")

    assert order == ["start", "body", "end"]
