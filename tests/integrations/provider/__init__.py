"""
A fake provider on 127.0.0.1 that speaks each SDK's protocol, from the standard library.

What it answers follows from the request alone: ``tools`` makes it call one,
``stream`` makes it stream, a model with ``think`` in its name reasons first. It keeps
every request as it came, byte for byte. What is to go wrong is said beforehand:
``provider.will(429, 429, OK)``.
"""

import json
import sys
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from .routes import Reply, Script, reply_to

OK = "ok"
MALFORMED = "malformed"  # JSON that breaks off; of a stream, one event that does
CUT = "cut"  # the connection ends in the middle
HANG = "hang"  # nothing comes until the provider is stopped
HOLD = "hold"  # the first piece of a stream, and the rest after `release()`

LONGEST_S = 20.0
"""After this the provider gives up waiting, so that a test cannot hang for ever."""

ERRORS = {
    400: "invalid_request_error",
    401: "authentication_error",
    429: "rate_limit_error",
    500: "api_error",
}


@dataclass(frozen=True, slots=True)
class Request:
    """
    A request as it came.
    """

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """
        The body, read.
        """
        return json.loads(self.body or b"{}")


@dataclass
class Provider:
    """
    A server in a thread of its own; a context manager.

    Attributes:
        requests: What has come, in order.
        plan: What becomes of the next requests: a status, or a word from above.
        always: What becomes of requests that *plan* says nothing of.
        scripts: What is answered to the next requests, instead of what they ask for: a
            whole body, and the events of a stream; the last of them to all later ones.
    """

    requests: list[Request] = field(default_factory=list)
    plan: "deque[int | str]" = field(default_factory=deque)
    always: int | str = OK
    scripts: "deque[Script]" = field(default_factory=deque)

    def __post_init__(self) -> None:
        self.arrived = threading.Event()
        self.released = threading.Event()
        self.stopped = threading.Event()
        handler = type("Connection", (Connection,), {"provider": self})
        self._server = Server(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        serve = self._server.serve_forever
        self._thread = threading.Thread(target=serve, args=(0.01,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stopped.set()
        self.released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def will(self, *plan: int | str) -> None:
        """
        Say what becomes of the next requests, one each; the last of them of all later.
        """
        self.plan.extend(plan[:-1])
        self.always = plan[-1]

    def release(self) -> None:
        """
        Let streams that were held go on.
        """
        self.released.set()

    def says(self, *scripts: Script) -> None:
        """
        Say what is answered from now on.
        """
        self.scripts = deque(scripts)

    def scripted(self) -> Script | None:
        """
        Give what is answered to one request, if that has been said.
        """
        if len(self.scripts) > 1:
            return self.scripts.popleft()
        return self.scripts[0] if self.scripts else None

    def take(self) -> int | str:
        """
        Give what becomes of one request.
        """
        return self.plan.popleft() if self.plan else self.always


class Server(ThreadingHTTPServer):
    """
    Says nothing of clients that leave without a word.
    """

    daemon_threads = True
    request_queue_size = 500  # or connections of many at once are reset

    def handle_error(self, request: object, client_address: object) -> None:
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class Connection(BaseHTTPRequestHandler):
    """
    Serves the requests of one connection.
    """

    provider: Provider
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # or each small piece waits 40 ms

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request("POST", self.path, headers, body)
        self.provider.requests.append(request)
        self.provider.arrived.set()
        fate = self.provider.take()
        script = self.provider.scripted()
        reply = reply_to(self.path.partition("?")[0], request.json, script)
        try:
            if fate == HANG:
                self.provider.stopped.wait(LONGEST_S)
                self.close_connection = True
            elif isinstance(fate, int):
                self._error(fate)
            elif reply is None:
                self._error(404)
            elif isinstance(reply.pieces, bytes):
                self._whole(reply, fate)
            else:
                self._stream(reply, fate)
        except (BrokenPipeError, ConnectionResetError):  # who asked has left
            self.close_connection = True

    def _error(self, status: int) -> None:
        error = {"type": ERRORS.get(status, "api_error"), "message": f"fake {status}"}
        body = json.dumps(
            {"type": "error", "error": error, "message": error["message"]}
        )
        self._head(status, "application/json", {"content-length": str(len(body))})
        self.wfile.write(body.encode())

    def _whole(self, reply: Reply, fate: str) -> None:
        assert isinstance(reply.pieces, bytes)
        size = len(reply.pieces)
        sent = reply.pieces[: size // 2] if fate in (CUT, MALFORMED) else reply.pieces
        told = len(sent) if fate == MALFORMED else size
        self._head(200, reply.media_type, {"content-length": str(told)})
        self.wfile.write(sent)
        self.close_connection = self.close_connection or fate == CUT

    def _stream(self, reply: Reply, fate: str) -> None:
        self._head(200, reply.media_type, {"transfer-encoding": "chunked"})
        for piece in self._fated(reply.pieces, fate):
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            self.wfile.flush()
        if fate == CUT:
            self.close_connection = True
        else:
            self.wfile.write(b"0\r\n\r\n")

    def _fated(self, pieces: "bytes | Iterator[bytes]", fate: str) -> Iterator[bytes]:
        for number, piece in enumerate(pieces):
            assert isinstance(piece, bytes)
            if fate == MALFORMED and number == 3:
                yield piece.replace(b"}\n", b"\n").replace(b"\x00", b"\x01")
                continue
            if fate == CUT and number == 4:
                return
            yield piece
            if fate == HOLD and number == 3:
                assert self.provider.released.wait(LONGEST_S), "never released"

    def _head(self, status: int, media_type: str, more: dict[str, str]) -> None:
        self.send_response(status)
        self.send_header("content-type", media_type)
        self.send_header("x-request-id", "req_1")
        if status == 429:
            self.send_header("retry-after-ms", "1")
        for name, value in more.items():
            self.send_header(name, value)
        self.end_headers()
