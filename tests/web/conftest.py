"""
Real servers on loopback, each in a thread of its own, and what they answer with.
"""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from instrument import traced
from instrument.testing import Recorder

httpx = pytest.importorskip("httpx")


@traced.tool
def look_up(question: str) -> str:
    """
    Do the work of an endpoint.
    """
    if question == "fail":
        message = "no such thing"
        raise ValueError(message)
    return question.upper()


@traced.chat_model
async def awrite(count: int) -> AsyncIterator[str]:
    """
    Stream an answer.
    """
    for number in range(count):
        await asyncio.sleep(0)
        yield f"{number} "


@traced.chat_model
def write(count: int) -> Iterator[str]:
    """
    Stream an answer, in sync code.
    """
    for number in range(count):
        yield f"{number} "


@pytest.fixture(scope="session")
def work() -> SimpleNamespace:
    """
    Give what the applications do, in whatever framework.
    """
    return SimpleNamespace(look_up=look_up, awrite=awrite, write=write)


class Heard:
    """
    The handlers that a middleware made, one a request.
    """

    def __init__(self) -> None:
        self.made: list[Recorder] = []
        self.asked: list[Any] = []

    def __call__(self, request: Any) -> Recorder:
        recorder = Recorder()
        self.asked.append(request)
        self.made.append(recorder)
        return recorder

    @property
    def trees(self) -> list[str]:
        """
        What each has heard; without the requests that heard nothing.
        """
        return [made.tree() for made in self.made if made.runs]

    def until(self, is_so: Callable[[], bool]) -> None:
        """
        Wait until the server has done something more: it goes on when we were answered.
        """
        waited = threading.Event()
        for _ in range(500):
            if is_so():
                return
            waited.wait(0.01)
        message = f"never: {self.trees}"
        raise AssertionError(message)


@pytest.fixture
def heard() -> Heard:
    """
    Give a factory of handlers that keeps what it made.
    """
    return Heard()


@pytest.fixture
def asgi() -> Iterator[Callable[[Any], str]]:
    """
    Serve an ASGI application by uvicorn; give its URL.
    """
    pytest.importorskip("uvicorn")
    with ExitStack() as servers:
        yield lambda app: servers.enter_context(_by_uvicorn(app))


@contextmanager
def _by_uvicorn(app: Any) -> Iterator[str]:
    import uvicorn

    class Server(uvicorn.Server):
        def install_signal_handlers(self) -> None:
            """It is not in the main thread."""

    listening = socket.create_server(("127.0.0.1", 0))
    options: Any = {
        "log_level": "critical",
        "lifespan": "off",
        "ws": "websockets-sansio",
    }
    server = Server(uvicorn.Config(app, **options))
    thread = threading.Thread(
        target=asyncio.run, args=(server.serve(sockets=[listening]),)
    )
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listening.close()


@pytest.fixture
def wsgi() -> Iterator[Callable[[Any], str]]:
    """
    Serve a WSGI application by the standard library's server; give its URL.
    """
    with ExitStack() as servers:
        yield lambda app: servers.enter_context(_by_wsgiref(app))


@contextmanager
def _by_wsgiref(app: Any) -> Iterator[str]:
    from socketserver import ThreadingMixIn
    from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

    class Threaded(ThreadingMixIn, WSGIServer):
        daemon_threads = True

    class Quiet(WSGIRequestHandler):
        def log_message(self, *args: object) -> None:
            """Say nothing."""

        def get_stderr(self) -> Any:
            import io

            return io.StringIO()

    with make_server("127.0.0.1", 0, app, Threaded, Quiet) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
