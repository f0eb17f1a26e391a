"""
How does a browser watch its own request while it runs?
"""

import asyncio
import json
from collections.abc import AsyncIterator

from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve

from instrument import callbacks, traced
from instrument.handlers import WebSocketHandler


@traced.chat_model(model="fake-guide-1")
async def guide(question: str) -> AsyncIterator[str]:
    for token in ("Turn ", "left ", f"for {question}."):
        yield token


@traced
async def answer(question: str) -> str:
    return "".join([token async for token in guide(question)])


async def endpoint(socket: ServerConnection) -> None:
    question = str(await socket.recv())
    async with callbacks(WebSocketHandler(socket)):  # of FastAPI or aiohttp as well
        text = await answer(question)
    await socket.send(text)  # all has been sent: the socket is yours again


async def browse(port: int) -> None:
    async with connect(f"ws://127.0.0.1:{port}", proxy=None) as socket:
        await socket.send("the station")
        async for frame in socket:
            if frame[0] == "{":
                told = json.loads(frame)
                print(told["event"], told.get("name") or repr(told["data"]["token"]))
            else:
                print("answer:", frame)


async def main() -> None:
    async with serve(endpoint, "127.0.0.1", 0) as server:
        await browse(server.sockets[0].getsockname()[1])


asyncio.run(main())
#> on_chain_start answer
#> on_chat_model_start guide
#> on_llm_new_token 'Turn '
#> on_llm_new_token 'left '
#> on_llm_new_token 'for the station.'
#> on_llm_end guide
#> on_chain_end answer
#> answer: Turn left for the station.
