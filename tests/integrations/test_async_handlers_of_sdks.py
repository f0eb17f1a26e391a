"""
Async handlers of what SDKs do: they hear all of it, in order, before their block ends.
"""

import asyncio
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

from instrument import AsyncCallbackHandler, callbacks

if TYPE_CHECKING:
    from tests.integrations import facts
    from tests.integrations.provider import Provider
else:
    facts = import_module("facts")

pytestmark = [
    pytest.mark.anyio,
    # Google's SDK takes aiohttp where that is installed
    pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession"),
]

closing: Any = import_module("sdks").closing


class Slow(AsyncCallbackHandler):
    """
    Takes its time over each event, the less the later it comes.
    """

    def __init__(self) -> None:
        self.heard: list[str] = []
        self._pause_s = 0.02

    async def _hear(self, name: str) -> None:
        self._pause_s /= 2
        await asyncio.sleep(self._pause_s)
        self.heard.append(name)

    async def on_chat_model_start(self, *args: Any, **kwargs: Any) -> None:
        await self._hear("start")

    async def on_llm_new_token(self, token: str, **kwargs: Any) -> None:
        await self._hear(token)

    async def on_llm_end(self, *args: Any, **kwargs: Any) -> None:
        await self._hear("end")


ALL = ["start", *facts.WORDS, "end"]


@facts.every_async_sdk
async def test_an_async_client(sdk: Any, hear: Any, provider: "Provider") -> None:
    """
    Those of an async block have heard all of an async client when the block has ended.
    """
    slow = Slow()

    async with sdk.amake(provider.url) as client, callbacks(slow):
        await facts.aread(sdk.acalls["stream"](hear(client)))

    assert slow.heard == ALL


@facts.every_sdk
async def test_a_client_on_a_loop(sdk: Any, hear: Any, provider: "Provider") -> None:
    """
    So they have of a client that holds up their loop while it waits.
    """
    slow = Slow()

    with closing(sdk.make(provider.url)) as client:
        async with callbacks(slow):
            facts.read(sdk.calls["stream"](hear(client)))

    assert slow.heard == ALL


@facts.every_sdk
def test_a_client(sdk: Any, hear: Any, provider: "Provider") -> None:
    """
    Those of a block without a loop have heard all when the block has ended.
    """
    slow = Slow()

    with closing(sdk.make(provider.url)) as client, callbacks(slow):
        facts.read(sdk.calls["stream"](hear(client)))

    assert slow.heard == ALL
