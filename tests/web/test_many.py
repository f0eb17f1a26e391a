"""
Many requests at once on one process: all complete, and nothing is left of them.
"""

import asyncio
import gc
import resource
import socket
import tracemalloc
from typing import Any

import psutil
import pytest

from instrument import callbacks
from instrument.handlers import WebSocketHandler
from instrument.integrations.asgi import CallbacksMiddleware

# mypy: disable-error-code="untyped-decorator"
fastapi: Any = pytest.importorskip("fastapi")
uvicorn: Any = pytest.importorskip("uvicorn")
aiohttp: Any = pytest.importorskip("aiohttp")
responses: Any = pytest.importorskip("starlette.responses")
routing: Any = pytest.importorskip("starlette.routing")

MANY = 1_000


def made_app(work: Any) -> Any:
    """
    Make an application that streams to a socket or as a response.
    """

    async def talk(socket: Any) -> None:
        await socket.accept()
        count = int(await socket.receive_text())
        async with callbacks(WebSocketHandler(socket)):
            async for _ in work.awrite(count):
                pass
        await socket.close()

    app = fastapi.FastAPI()
    app.router.routes.append(routing.WebSocketRoute("/socket", talk))

    @app.get("/stream")
    async def stream(count: int) -> Any:
        return responses.StreamingResponse(work.awrite(count))

    return app


async def _by_sockets(session: Any, url: str) -> int:
    async with session.ws_connect(url + "/socket") as socket:
        await socket.send_str("5")
        frames = [message.data async for message in socket]
    return sum('"on_llm_new_token"' in frame for frame in frames)


async def _by_streams(session: Any, url: str) -> int:
    async with session.get(url + "/stream?count=5") as answer:
        return len((await answer.text()).split())


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("ask", [_by_sockets, _by_streams])
def test_a_thousand_at_once(work: Any, heard: Any, ask: Any) -> None:
    """
    A thousand sockets, or streamed answers, at once on one process are told to their own
    handlers; memory, tasks and descriptors are as before.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8_192), hard))
    app = CallbacksMiddleware(made_app(work), handlers=heard)
    config = uvicorn.Config(
        app, port=0, log_level="critical", lifespan="off", ws="websockets-sansio"
    )
    try:
        asyncio.run(_serve_many(uvicorn.Server(config), heard, ask))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def _serve_many(server: Any, heard: Any, ask: Any) -> None:
    listening = socket.create_server(("127.0.0.1", 0), backlog=2_048)
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        await _ask(url, ask, 20)  # what is loaded and kept once
        heard.made.clear()
        heard.asked.clear()
        gc.collect()
        tasks, descriptors = len(asyncio.all_tasks()), psutil.Process().num_fds()
        tracemalloc.start()
        before, _ = tracemalloc.get_traced_memory()

        counts = await _ask(url, ask, MANY)

        assert counts == [5] * MANY
        assert [made.tree() for made in heard.made] == ["chat_model awrite: ok"] * MANY
        heard.made.clear()
        heard.asked.clear()
        await _until(lambda: len(asyncio.all_tasks()) <= tasks)
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert after - before < 2_000_000
        assert psutil.Process().num_fds() <= descriptors
    finally:
        server.should_exit = True
        await serving


async def _ask(url: str, ask: Any, count: int) -> list[int]:
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:
        asked = (ask(session, url) for _ in range(count))
        return list(await asyncio.gather(*asked))


async def _until(is_so: Any) -> None:
    for _ in range(500):
        if is_so():
            return
        await asyncio.sleep(0.01)
    message = f"{len(asyncio.all_tasks())} tasks are left"
    raise AssertionError(message)
