"""
The small server: what it answers, what it refuses, and that it keeps nothing.
"""

import asyncio
import contextlib
import errno
import os
import socket
from typing import Any

import pytest

from instrument.viewer import server
from instrument.viewer.listener import listening

pytestmark = pytest.mark.anyio


async def hello(scope: Any, receive: Any, send: Any) -> None:
    """
    Say which path was asked for.
    """
    body = scope["path"].encode()
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": 200, "headers": [length]})
    await send({"type": "http.response.body", "body": body})


class Stream:
    """
    Sends what it is given, without end, until the client has left.
    """

    def __init__(self) -> None:
        self.has_left = asyncio.Event()
        self.more: asyncio.Queue[bytes] = asyncio.Queue()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        sending = asyncio.create_task(self._send(send))
        try:
            assert (await receive())["type"] == "http.request"
            assert (await receive())["type"] == "http.disconnect"
            self.has_left.set()
        finally:
            sending.cancel()

    async def _send(self, send: Any) -> None:
        body: dict[str, Any] = {"type": "http.response.body", "more_body": True}
        while True:
            await send(body | {"body": await self.more.get()})


async def test_connection_is_kept(serve_small: Any, connect: Any) -> None:
    """
    One connection serves request after request, also such as were sent at once.
    """
    async with serve_small(hello) as port, connect(port) as client:
        client.get("/a")
        client.get("/b%20%C3%A9?q=1")
        first, second = await client.reply(), await client.reply()
        client.get("/c")
        third = await client.reply()

    assert [reply[2].decode() for reply in (first, second, third)] == [
        "/a",
        "/b é",
        "/c",
    ]
    assert first[1]["connection"] == "keep-alive"


@pytest.mark.parametrize(
    "request_",
    ["GET /a HTTP/1.0\r\n\r\n", "GET /a HTTP/1.1\r\nConnection: Close\r\n\r\n"],
)
async def test_connection_is_closed(
    request_: str, serve_small: Any, connect: Any
) -> None:
    """
    A client that does not want to go on is answered, and the connection closed.
    """
    async with serve_small(hello) as port, connect(port) as client:
        client.say(request_)
        status, headers, _ = await client.reply()

        assert (status, headers["connection"]) == (200, "close")
        assert await client.reader.read() == b""


async def test_client_that_has_said_all(serve_small: Any, connect: Any) -> None:
    """
    A client that closes its half of the connection gets what it has asked for.
    """
    async with serve_small(hello) as port, connect(port) as client:
        client.get("/a")
        client.writer.write_eof()

        assert (await client.reply())[2] == b"/a"
        assert await client.reader.read() == b""


@pytest.mark.parametrize(
    "request_, status",
    [
        ("nonsense\r\n\r\n", 400),
        ("get / HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/2.0\r\n\r\n", 400),
        ("GET http://elsewhere/ HTTP/1.1\r\n\r\n", 400),
        ("GET /\u00e9 HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nhost : localhost\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\na: b\r\n c\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\na: b\nc: d\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\ncontent-length: 3\r\n\r\nabc", 413),
        (f"GET / HTTP/1.1\r\na: {'b' * 17_000}\r\n\r\n", 431),
        (f"GET /{'a' * 500_000}", 431),
    ],
)
async def test_refused(
    request_: str, status: int, serve_small: Any, connect: Any
) -> None:
    """
    What is no request, has a body or a large head is refused, and nothing after it read.
    """
    async with serve_small(hello) as port, connect(port) as client:
        client.say(request_)
        client.get("/after")
        found, headers, _ = await client.reply()

        assert (found, headers["connection"]) == (status, "close")
        assert await client.reader.read() == b""


async def test_stream(serve_small: Any, connect: Any) -> None:
    """
    Each piece of an answer of unknown length is sent as it comes.
    """
    stream = Stream()

    async with serve_small(stream) as port:
        async with connect(port) as client:
            client.get("/")
            stream.more.put_nowait(b"one")
            _, headers = await client.head()
            first = await client.reader.readuntil(b"one\r\n")
            stream.more.put_nowait(b"two")
            second = await client.reader.readuntil(b"two\r\n")
        await stream.has_left.wait()

    assert headers["transfer-encoding"] == "chunked"
    assert (first, second) == (b"3\r\none\r\n", b"3\r\ntwo\r\n")


async def test_stream_of_an_old_client(serve_small: Any, connect: Any) -> None:
    """
    A client of HTTP/1.0 gets the pieces as they are, and the end by the closed connection.
    """

    async def pieces(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for body in (b"one", b"two"):
            await send({"type": "http.response.body", "body": body, "more_body": True})
        await send({"type": "http.response.body"})

    async with serve_small(pieces) as port, connect(port) as client:
        client.say("GET / HTTP/1.0\r\n\r\n")
        await client.head()

        assert await client.reader.read() == b"onetwo"


async def test_application_that_fails(
    serve_small: Any, connect: Any, reports: list[str]
) -> None:
    """
    An application that fails is reported; its client gets a 500, and others go on.
    """

    async def fails(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/late":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"x", "more_body": True})
        raise ZeroDivisionError("a slip")

    async with serve_small(fails) as port:
        async with connect(port) as client:
            client.get("/early")
            status, _, _ = await client.reply()
        async with connect(port) as client:
            client.get("/late")
            await client.head()
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                await client.reader.readuntil(b"0\r\n\r\n")

    assert status == 500
    assert len(reports) == 2
    assert "ZeroDivisionError: a slip" in reports[0]


async def test_answer_without_an_end(serve_small: Any, connect: Any) -> None:
    """
    The client of an answer that stops in the middle can tell.
    """

    async def stops(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x", "more_body": True})

    async with serve_small(stops) as port, connect(port) as client:
        client.get("/")
        await client.head()
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await client.reader.readuntil(b"0\r\n\r\n")


@pytest.mark.parametrize("said", ["", "GET / HTT"])
async def test_silent_client(
    said: str, serve_small: Any, connect: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A client that asks nothing, or does not come to an end, is not waited for.
    """
    monkeypatch.setattr(server, "_HEAD_S" if said else "_IDLE_S", 0.05)

    async with serve_small(hello) as port, connect(port) as client:
        client.say(said)

        assert await client.reader.read() == b""


async def test_client_that_does_not_read(
    serve_small: Any, connect: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A client that reads nothing of a large answer is not waited for, and what was made
    for it is not kept.
    """
    monkeypatch.setattr(server, "_WRITE_S", 0.1)
    ended = asyncio.Event()

    async def large(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        try:
            while True:
                body = {"body": bytes(1_000_000), "more_body": True}
                await send({"type": "http.response.body", **body})
        finally:
            ended.set()

    async with serve_small(large) as port, connect(port) as client:
        client.get("/")

        await ended.wait()


async def test_client_that_leaves(serve_small: Any, connect: Any) -> None:
    """
    For a client that leaves in the middle of an answer no more of it is made.
    """
    ended = asyncio.Event()

    async def large(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        try:
            while True:
                body = {"body": bytes(1_000_000), "more_body": True}
                await send({"type": "http.response.body", **body})
        finally:
            ended.set()

    async with serve_small(large) as port, connect(port) as client:
        client.get("/")
        await client.head()
        client.writer.transport.abort()

        await ended.wait()


async def test_slow_client_gets_all(serve_small: Any, connect: Any) -> None:
    """
    A large answer waits for the one who reads it, and arrives whole.
    """
    sent = bytes(range(256)) * 40_000

    async def large(scope: Any, receive: Any, send: Any) -> None:
        length = (b"content-length", str(len(sent)).encode())
        await send({"type": "http.response.start", "status": 200, "headers": [length]})
        await send({"type": "http.response.body", "body": sent})

    async with serve_small(large) as port, connect(port) as client:
        client.get("/")
        _, _, body = await client.reply()

    assert body == sent


async def test_too_many_connections(
    serve_small: Any, connect: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    More connections than browsers make are refused, until others have left.
    """
    monkeypatch.setattr(server, "_MOST_CONNECTIONS", 1)

    async with serve_small(hello) as port, contextlib.AsyncExitStack() as stack:
        first = await stack.enter_async_context(connect(port))
        first.get("/a")
        await first.reply()
        async with connect(port) as second:
            refused, _, _ = await second.reply()
        first.get("/b")
        served, _, _ = await first.reply()

    assert (refused, served) == (503, 200)


async def test_no_descriptor_is_left(
    connect: Any, monkeypatch: pytest.MonkeyPatch, reports: list[str]
) -> None:
    """
    While no descriptor is left who comes waits, which is said once; then all is served.
    """
    taken = socket.socket.accept
    failures = [errno.EMFILE, errno.ENFILE, errno.ECONNABORTED, errno.EMFILE]

    def accept(listener: socket.socket) -> Any:
        if failures:
            code = failures.pop()
            raise OSError(code, os.strerror(code))
        return taken(listener)

    monkeypatch.setattr(socket.socket, "accept", accept)
    with listening("127.0.0.1", 0) as listener:
        serving = asyncio.create_task(server.serve(hello, [listener]))
        async with connect(listener.getsockname()[1]) as client:
            client.get("/a")
            status, _, _ = await client.reply()
        serving.cancel()
        await asyncio.wait([serving])

    assert status == 200
    assert not failures
    assert len(reports) == 1
    assert "The page lets who comes wait: " in reports[0]


async def test_end_with_clients(serve_small: Any, connect: Any) -> None:
    """
    When the server ends, so do open connections, and no task of it is left.
    """
    before = asyncio.all_tasks()
    stream = Stream()

    async with contextlib.AsyncExitStack() as stack:
        async with serve_small(stream) as port:
            client = await stack.enter_async_context(connect(port))
            client.get("/")
            stream.more.put_nowait(b"one")
            await client.head()
            idle = await stack.enter_async_context(connect(port))

        assert await idle.reader.read() == b""
        with contextlib.suppress(ConnectionError):
            await client.reader.read()
    assert asyncio.all_tasks() == before
