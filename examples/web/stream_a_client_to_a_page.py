"""
How do I stream what an OpenAI client answers to a web page?
"""

import asyncio
import json
from typing import Any

import httpx2
import openai
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.datastructures import Headers
from websockets.http11 import Response

from instrument import callbacks, wrap
from instrument.handlers import WebSocketHandler

PAGE = b"""<!doctype html><title>Salt</title><pre id="answer"></pre><script>
const socket = new WebSocket(location.href.replace("http", "ws"))
socket.onopen = () => socket.send("Why is the sea salty?")
const show = ({token, channel}) => channel === "text" && answer.append(token)
socket.onmessage = ({data}) => show(JSON.parse(data).data)</script>"""


def provider(request: Any) -> Any:  # no network: this answers instead
    deltas = [{"content": word} for word in ("Because ", "of the ", "salt.")]
    chunks = [{"choices": [{"index": 0, "delta": delta}]} for delta in deltas]
    sent = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks)
    kind = {"content-type": "text/event-stream"}
    return httpx2.Response(200, headers=kind, content=sent + "data: [DONE]\n\n")


transport = openai.DefaultAsyncHttpxClient(transport=httpx2.MockTransport(provider))
client = wrap(openai.AsyncOpenAI(api_key="none", http_client=transport))


def show_page(connection: Any, request: Any) -> Any:
    if "Upgrade" not in request.headers:
        return Response(200, "OK", Headers({"Content-Type": "text/html"}), PAGE)
    return None


async def endpoint(socket: Any) -> None:  # the client knows nothing of the page
    async with callbacks(WebSocketHandler(socket)):
        messages: Any = [{"role": "user", "content": await socket.recv()}]
        create = client.chat.completions.create
        [_ async for _ in await create(model="m", messages=messages, stream=True)]


async def main() -> None:  # to see the page, sleep in the block and open its port
    async with serve(endpoint, "127.0.0.1", 0, process_request=show_page) as server:
        port = server.sockets[0].getsockname()[1]
        async with connect(f"ws://127.0.0.1:{port}", proxy=None) as page:
            await page.send("Why is the sea salty?")
            print([json.loads(it)["data"].get("token") async for it in page])


asyncio.run(main())
#> [None, 'Because ', 'of the ', 'salt.', None]
