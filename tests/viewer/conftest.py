"""
What tests of the page share: applications served, and sockets that say what they like.
"""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest

from instrument.viewer.server import serve

Serving = Callable[[Any], AbstractAsyncContextManager[int]]


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
