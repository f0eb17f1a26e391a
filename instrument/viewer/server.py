"""
A small HTTP/1.1 server for an ASGI application, where uvicorn is not installed.

It serves one page to a few browsers: GET, keep-alive, streams. What that does not need
it refuses: a body, a head that is large or slow, more connections than browsers make.
"""

import asyncio
import contextlib
import re
import socket
from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote

from instrument._report import complain

App = Callable[[Any, Any, Any], Awaitable[None]]

_MOST_HEAD = 16_384
_MOST_CONNECTIONS = 100
_AT_ONCE = 65_536
_IDLE_S = 75
_HEAD_S = 10
_WRITE_S = 30
_LINGER_S = 1
_END = b"\r\n\r\n"
_LINE = re.compile(rb"([A-Z]{1,20}) (/[!-~]*) HTTP/1\.([01])")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\x00\r\n]*)")


async def serve(app: App, sockets: Sequence[socket.socket]) -> None:
    """
    Serve *app* on *sockets* until this is cancelled.
    """
    loop = asyncio.get_running_loop()
    connections: set[_Connection] = set()
    servers = [
        await loop.create_server(lambda: _Connection(app, connections), sock=it)
        for it in sockets
    ]
    try:
        await loop.create_future()
    finally:
        for server in servers:
            server.close()
        tasks = [it.task for it in connections]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


class _RefusedError(Exception):
    """
    Raised for what is no request that this server takes.
    """


class _Connection(asyncio.Protocol):
    """
    One client; its requests are answered one after the other.
    """

    task: "asyncio.Task[None]"

    def __init__(self, app: App, connections: "set[_Connection]") -> None:
        self._app = app
        self._connections = connections
        self._buffer = b""
        self._is_refused = False
        self._arrived = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self.left = asyncio.Event()
        self.is_lost = False

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self._connections.add(self)
        self.task = asyncio.get_running_loop().create_task(self._serve())

    def data_received(self, data: bytes) -> None:
        if self._is_refused:
            return
        self._buffer += data
        if len(self._buffer) > 2 * _MOST_HEAD:
            self.transport.pause_reading()
        self._arrived.set()

    def eof_received(self) -> bool:
        self.left.set()
        self._arrived.set()
        return True  # it may still read what it has asked for

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.discard(self)
        self.is_lost = True
        self.left.set()
        self._arrived.set()
        self._writable.set()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    async def write(self, data: bytes) -> None:
        """
        Send *data*, as fast as the client reads.

        Raises:
            ConnectionError: It has left, or has not read for long.
        """
        for at in range(0, len(data), _AT_ONCE):
            if self.is_lost:
                raise ConnectionError("the client has left")
            self.transport.write(data[at : at + _AT_ONCE])
            await self._drain()

    async def _serve(self) -> None:
        try:
            self._check_room()
            while (head := await self._head()) is not None:
                exchange = _Exchange(self, _scope_of(head, self.transport))
                if not await exchange.answer(self._app):
                    break
        except _RefusedError as exc:
            await self._refuse(HTTPStatus(exc.args[0]))
        except OSError:  # the client has left
            self.transport.abort()
        except asyncio.CancelledError:
            self.transport.abort()
            raise
        finally:
            self.transport.close()

    def _check_room(self) -> None:
        if len(self._connections) > _MOST_CONNECTIONS:
            raise _RefusedError(503)

    async def _head(self) -> bytes | None:
        """
        Take the next request's head; None where there is none, or it takes too long.
        """
        now = asyncio.get_running_loop().time
        until = now() + _IDLE_S
        is_begun = False
        while (end := self._buffer.find(_END)) < 0 and len(self._buffer) <= _MOST_HEAD:
            if self._buffer and not is_begun:
                is_begun, until = True, now() + _HEAD_S
            if self.left.is_set():
                return None
            self._arrived.clear()
            try:
                async with asyncio.timeout_at(until):
                    await self._arrived.wait()
            except TimeoutError:
                return None
        if not 0 <= end <= _MOST_HEAD:
            raise _RefusedError(431)
        head, self._buffer = self._buffer[:end], self._buffer[end + len(_END) :]
        self.transport.resume_reading()
        return head

    async def _drain(self) -> None:
        if self._writable.is_set():
            return
        try:
            async with asyncio.timeout(_WRITE_S):
                await self._writable.wait()
        except TimeoutError:
            raise ConnectionError("the client does not read") from None

    async def _refuse(self, status: HTTPStatus) -> None:
        """
        Say why, and take what still comes for a moment: a connection that is closed
        with something unread in it takes the answer with it.
        """
        said = f"{status.value} {status.phrase}"
        head = f"HTTP/1.1 {said}\r\ncontent-type: text/plain\r\nconnection: close\r\n"
        text = f"{head}content-length: {len(said)}\r\n\r\n{said}"
        self.transport.write(text.encode())
        self.transport.write_eof()
        self._is_refused = True
        self.transport.resume_reading()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LINGER_S):
                await self.left.wait()


def _scope_of(head: bytes, transport: Any) -> dict[str, Any]:
    """
    Read a request's head.

    Raises:
        _RefusedError: It is none, or has a body.
    """
    first, *lines = head.split(b"\r\n")
    line = _LINE.fullmatch(first)
    fields = [_FIELD.fullmatch(it) for it in lines]
    if line is None or not all(fields):
        raise _RefusedError(400)
    headers = [(it[1].lower(), it[2].rstrip(b" \t")) for it in fields if it]
    names = [name for name, _ in headers]
    if names.count(b"host") > 1 or b"transfer-encoding" in names:
        raise _RefusedError(400)
    if any(name == b"content-length" and size != b"0" for name, size in headers):
        raise _RefusedError(413)
    method, target, minor = line.groups()
    path, _, query = target.partition(b"?")
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": f"1.{minor.decode()}",
        "method": method.decode(),
        "scheme": "http",
        "path": unquote(path.decode()),
        "raw_path": path,
        "query_string": query,
        "root_path": "",
        "headers": headers,
        "client": transport.get_extra_info("peername", ("", 0))[:2],
        "server": transport.get_extra_info("sockname", ("", 0))[:2],
        "state": {},
    }


class _Exchange:
    """
    One request and its answer.
    """

    def __init__(self, connection: _Connection, scope: dict[str, Any]) -> None:
        self._connection = connection
        self._scope = scope
        wanted = [
            value.lower() for name, value in scope["headers"] if name == b"connection"
        ]
        self._stays = scope["http_version"] == "1.1" and b"close" not in wanted
        self._head = b""
        self._is_chunked = False
        self._is_asked = False
        self._is_started = False
        self._is_done = False

    async def answer(self, app: App) -> bool:
        """
        Have *app* answer, and tell whether the connection stays.
        """
        try:
            await app(self._scope, self._receive, self._send)
        except Exception as exc:
            if self._connection.is_lost or isinstance(exc, ConnectionError):
                raise
            complain(f"The page failed at {self._scope['path']!r}", exc)
            if not self._is_started:
                raise _RefusedError(500) from exc
        if not self._is_done:
            raise ConnectionError("the answer has no end")
        return self._stays

    async def _receive(self) -> dict[str, Any]:
        if not self._is_asked:
            self._is_asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self._connection.left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self._head = self._start(message)
            return
        body, is_last = message.get("body", b""), not message.get("more_body")
        if self._is_chunked and body:
            body = b"%x\r\n%s\r\n" % (len(body), body)
        if self._is_chunked and is_last:
            body += b"0\r\n\r\n"
        head, self._head = self._head, b""
        self._is_started = True
        await self._connection.write(head + body)
        self._is_done = is_last

    def _start(self, message: dict[str, Any]) -> bytes:
        headers = [*message["headers"]]
        if all(name != b"content-length" for name, _ in headers):
            self._is_chunked = self._scope["http_version"] == "1.1"
            self._stays = self._stays and self._is_chunked
        if self._is_chunked:
            headers.append((b"transfer-encoding", b"chunked"))
        headers.append((b"connection", b"keep-alive" if self._stays else b"close"))
        status = HTTPStatus(message["status"])
        lines = [f"HTTP/1.1 {status.value} {status.phrase}".encode()]
        lines += [b"%s: %s" % pair for pair in headers]
        return b"\r\n".join(lines) + _END
