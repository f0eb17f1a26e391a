"""
What tests of the page share: a store, applications served, and clients of them.
"""

import asyncio
import contextlib
import json
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from instrument import callbacks, traced
from instrument.handlers import StoreHandler
from instrument.handlers._store.reader import Reader
from instrument.viewer import viewer
from instrument.viewer.server import serve

sys.path.append(str(Path(__file__).parent))  # tests/ is no package
_opened: Any = import_module("opened_page")
browser, canned = _opened.browser, _opened.canned
show, show_url = _opened.show, _opened.show_url

Serving = Callable[[Any], AbstractAsyncContextManager[int]]


@traced.tool
def weather(city: str) -> str:
    """
    Be a run.
    """
    return f"sunny in {city}"


@traced.chat_model(model="fake-1")
def model(messages: list[dict[str, str]], *tokens: str) -> Iterator[str]:
    """
    Answer in these tokens.
    """
    yield from tokens


class Store:
    """
    A store, what writes to it and what reads it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.handler = StoreHandler(path)

    def ask(self, city: str = "Rome") -> dict[str, Any]:
        """
        Record one request, and give it.
        """
        with callbacks(self.handler):
            weather(city)
        return self.requests()[0]

    def stream(self, *tokens: str) -> Iterator[str]:
        """
        Give a model's answer, which runs until its last token is taken.
        """
        with callbacks(self.handler):
            return model([{"role": "user", "content": "How is Rome?"}], *tokens)

    def requests(self) -> list[dict[str, Any]]:
        """
        Give all requests, the newest first.
        """
        assert self.handler.drain(10)
        with contextlib.closing(Reader(self.path)) as reader:
            return reader.requests()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """
    Give a store in a file of its own.
    """
    return Store(tmp_path / "traces.db")


@pytest.fixture
def page(store: Store) -> Iterator[Any]:
    """
    Give the page of the store, as it is mounted.
    """
    app = viewer(store.path)
    yield app
    app.close()


class Frames:
    """
    What a stream of server-sent events tells.
    """

    def __init__(self, response: Any) -> None:
        self.response = response
        self._lines = response.aiter_lines()
        self.id: str | None = None

    async def next(self) -> tuple[str, dict[str, Any]]:
        """
        Give the next event and its data; of a comment the text.
        """
        event, data = "", {}
        async for line in self._lines:
            name, _, value = line.partition(": ")
            if name == "event":
                event = value
            elif name == "id":
                self.id = value
            elif name == "data":
                data = json.loads(value)
            elif not line and event:
                return event, data
            elif not name and line:
                return "", {"comment": value}
        return "closed", {}

    async def until(self, event: str) -> dict[str, Any]:
        """
        Give the data of the next event that is called so.
        """
        while (found := await self.next())[0] != event:
            assert found[0] != "closed"
        return found[1]


@pytest.fixture
def watch() -> Callable[..., AbstractAsyncContextManager[Frames]]:
    """
    Open a stream of server-sent events at a URL.
    """
    httpx = pytest.importorskip("httpx")

    @asynccontextmanager
    async def watching(url: str, **headers: str) -> AsyncIterator[Frames]:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        async with (
            httpx.AsyncClient(timeout=30) as client,
            client.stream("GET", url, headers=named) as response,
        ):
            yield Frames(response)

    return watching


@pytest.fixture
def get() -> Callable[..., Any]:
    """
    Get what is at a URL.
    """
    httpx = pytest.importorskip("httpx")

    async def got(url: str, **options: Any) -> Any:
        async with httpx.AsyncClient(timeout=30) as client:
            return await client.get(url, **options)

    return got


@pytest.fixture
def serve_small() -> Serving:
    """
    Serve an ASGI application by the small server on a free port of loopback.
    """

    @asynccontextmanager
    async def serving(app: Any) -> AsyncIterator[int]:
        listener = socket.create_server(("127.0.0.1", 0))
        task = asyncio.create_task(serve(app, [listener]))
        try:
            yield listener.getsockname()[1]
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    return serving


class Client:
    """
    A socket to a server.
    """

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.reader, self.writer = reader, writer

    def say(self, text: str | bytes) -> None:
        """
        Send *text* as it is.
        """
        self.writer.write(text if isinstance(text, bytes) else text.encode())

    def get(self, path: str, *lines: str) -> None:
        """
        Send a request.
        """
        self.say(
            "\r\n".join([f"GET {path} HTTP/1.1", "host: localhost", *lines, "", ""])
        )

    async def reply(self) -> tuple[int, dict[str, str], bytes]:
        """
        Read an answer whose length is told.
        """
        status, headers = await self.head()
        body = await self.reader.readexactly(int(headers["content-length"]))
        return status, headers, body

    async def head(self) -> tuple[int, dict[str, str]]:
        """
        Read the head of an answer.
        """
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        first, *lines = head.rstrip().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines)
        return int(first.split()[1]), headers


@pytest.fixture
def connect() -> Callable[[int], AbstractAsyncContextManager[Client]]:
    """
    Give what opens a socket to a port of loopback.
    """

    @asynccontextmanager
    async def connected(port: int) -> AsyncIterator[Client]:
        client = Client(*await asyncio.open_connection("127.0.0.1", port))
        try:
            yield client
        finally:
            client.writer.close()
            with contextlib.suppress(ConnectionError):
                await client.writer.wait_closed()

    return connected
