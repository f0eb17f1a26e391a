"""
The WSGI twin of `CallbacksMiddleware`: alone, around Flask, and under gunicorn.
"""

import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from instrument.integrations.wsgi import CallbacksMiddleware

# mypy: disable-error-code="untyped-decorator"
httpx = pytest.importorskip("httpx")

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def made_app(work: Any) -> Any:
    """
    Make a plain application: ``/stream/N`` streams, other paths are looked up.
    """

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [("content-type", "text/plain")])
        path = environ["PATH_INFO"].strip("/")
        if path.startswith("stream/"):
            count = int(path.partition("/")[2])
            return (piece.encode() for piece in work.write(count))
        return [work.look_up(path).encode()]

    return app


@pytest.mark.parametrize(
    "path, text, tree",
    [
        ("/a", "A", "tool look_up: ok"),
        ("/stream/3", "0 1 2 ", "chat_model write: ok"),
    ],
)
def test_heard(
    work: Any, wsgi: Any, heard: Any, path: str, text: str, tree: str
) -> None:
    """
    Whatever an application does is heard, also while its body is read.
    """
    url = wsgi(CallbacksMiddleware(made_app(work), handlers=heard))

    answer = httpx.get(url + path)

    assert answer.text == text
    assert heard.trees == [tree]
    assert answer.headers["x-trace-id"] == heard.made[0].runs[0].trace_hex


def test_error(work: Any, wsgi: Any, heard: Any) -> None:
    """
    An application that raises ends its runs as errors.
    """
    url = wsgi(CallbacksMiddleware(made_app(work), handlers=heard))

    answer = httpx.get(url + "/fail")

    assert answer.is_server_error
    assert heard.trees == ["tool look_up: error ValueError"]


@pytest.mark.parametrize("is_trusted", [True, False])
def test_trace_of_the_caller(
    work: Any, wsgi: Any, heard: Any, is_trusted: bool
) -> None:
    """
    A trace that a caller names goes on only where callers are trusted.
    """
    middleware = CallbacksMiddleware(
        made_app(work), handlers=heard, accept_trace=is_trusted
    )
    url = wsgi(middleware)

    httpx.get(url + "/a", headers={"traceparent": PARENT})

    trace_hex = heard.made[0].runs[0].trace_hex
    assert (trace_hex == PARENT.split("-")[1]) is is_trusted


def test_described(work: Any, wsgi: Any, heard: Any) -> None:
    """
    Tags and metadata are read from the request by functions.
    """
    middleware = CallbacksMiddleware(
        made_app(work),
        handlers=heard,
        tags=lambda environ: [environ["REQUEST_METHOD"]],
        metadata={"site": "cats"},
    )

    httpx.get(wsgi(middleware) + "/a")

    (run,) = heard.made[0].runs
    assert (run.tags, run.metadata) == (("GET",), {"site": "cats"})


def test_client_leaves(work: Any, heard: Any) -> None:
    """
    A body that the server closes before its end leaves its runs abandoned.
    """
    closed = []

    class Body:
        def __iter__(self) -> Any:
            return (piece.encode() for piece in work.write(3))

        def close(self) -> None:
            closed.append(True)

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [("X-Trace-Id", "mine")])
        return Body()

    told: list[Any] = []
    body = CallbacksMiddleware(app, heard)({}, lambda *args: told.append(args))
    assert next(iter(body)) == b"0 "
    body.close()  # type: ignore[attr-defined]  # it is a generator

    assert heard.trees == ["chat_model write: abandoned"]
    assert closed == [True]
    assert told == [("200 OK", [("X-Trace-Id", "mine")])]


def test_flask(work: Any, wsgi: Any, heard: Any) -> None:
    """
    Flask's routes and streamed answers are heard.
    """
    flask: Any = pytest.importorskip("flask")
    app = flask.Flask("cats")

    @app.get("/plain")
    def plain() -> str:
        return str(work.look_up("a"))

    @app.get("/stream")
    def stream() -> Any:
        return flask.Response(work.write(2))

    @app.get("/fail")
    def fail() -> str:
        return str(work.look_up("fail"))

    app.wsgi_app = CallbacksMiddleware(app.wsgi_app, handlers=heard)
    url = wsgi(app)

    texts = [httpx.get(f"{url}/{path}").text for path in ("plain", "stream")]
    httpx.get(url + "/fail")

    assert texts == ["A", "0 1 "]
    assert heard.trees == [
        "tool look_up: ok",
        "chat_model write: ok",
        "tool look_up: error ValueError",
    ]


def made_flask(work: Any, both: threading.Barrier) -> Any:
    """
    Make an application of Flask whose answers meet, or have no end.
    """
    flask: Any = pytest.importorskip("flask")
    app = flask.Flask("cats")

    @app.get("/meet/<name>")
    def meet(name: str) -> str:
        both.wait(10)
        return str(work.look_up(name))

    @app.get("/endless")
    def endless() -> Any:
        return flask.Response(work.write(10**9))

    return app


def test_flask_two_at_once(work: Any, wsgi: Any, heard: Any) -> None:
    """
    Two requests at once, in threads, have handlers of their own.
    """
    app = made_flask(work, threading.Barrier(2))
    app.wsgi_app = CallbacksMiddleware(app.wsgi_app, handlers=heard)
    url = wsgi(app)

    with ThreadPoolExecutor(2) as pool:
        paths = [f"{url}/meet/a", f"{url}/meet/b"]
        texts = [answer.text for answer in pool.map(httpx.get, paths)]

    assert texts == ["A", "B"]
    assert heard.trees == ["tool look_up: ok"] * 2
    assert {made.runs[0].inputs["question"] for made in heard.made} == {"a", "b"}


def test_flask_client_leaves(work: Any, wsgi: Any, heard: Any) -> None:
    """
    A client that leaves in the middle of an answer ends its runs as abandoned.
    """
    app = made_flask(work, threading.Barrier(1))
    app.wsgi_app = CallbacksMiddleware(app.wsgi_app, handlers=heard)
    url = wsgi(app)

    with httpx.stream("GET", url + "/endless") as answer:
        next(answer.iter_bytes())

    heard.until(lambda: heard.trees == ["chat_model write: abandoned"])


HOSTILE = [
    "00-" + "a" * 65_536,
    "00-" + "0" * 32 + "-" + "0" * 16 + "-01",
    "zz",
    "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
    "\x00\xff",
]


@pytest.mark.parametrize("given", HOSTILE, ids=["long", "zeros", "zz", "more", "bytes"])
def test_hostile_headers(work: Any, heard: Any, given: str) -> None:
    """
    Headers that say nothing valid open nothing: the request has a trace of its own.
    """
    environ = {
        "PATH_INFO": "/a",
        "HTTP_TRACEPARENT": given,
        "HTTP_TRACESTATE": given,
        "HTTP_BAGGAGE": given,
    }
    middleware = CallbacksMiddleware(made_app(work), heard, accept_trace=True)

    body = b"".join(middleware(environ, lambda *_: None))

    (run,) = heard.made[0].runs
    assert (body, len(run.trace_hex), run.parent_id) == (b"A", 32, None)
    assert run.trace_hex not in given


PROGRAM = """
import os
from instrument import traced
from instrument.handlers import FileCallbackHandler
from instrument.integrations.{protocol} import CallbacksMiddleware

file = FileCallbackHandler({events!r})

@traced.tool
def look_up(question):
    return "%s by %d" % (question, os.getpid())

def wsgi(environ, start_response):
    start_response("200 OK", [("content-type", "text/plain")])
    return [look_up("a").encode()]

async def asgi(scope, receive, send):
    if scope["type"] == "http":
        await send({{"type": "http.response.start", "status": 200, "headers": []}})
        await send({{"type": "http.response.body", "body": look_up("a").encode()}})

app = CallbacksMiddleware({protocol}, handlers=lambda request: file)
"""


@pytest.mark.parametrize(
    "protocol, server",
    [
        (
            "wsgi",
            ["gunicorn", "--preload", "--workers", "2", "--bind", "127.0.0.1:{port}"],
        ),
        (
            "asgi",
            ["uvicorn", "--workers", "2", "--host", "127.0.0.1", "--port", "{port}"],
        ),
    ],
    ids=["gunicorn", "uvicorn"],
)
def test_workers(tmp_path: Any, protocol: str, server: list[str]) -> None:
    """
    Each worker of a real server hears its own requests; a handler made before the fork
    writes whole lines in all of them.
    """
    pytest.importorskip(server[0])
    events = tmp_path / "events.jsonl"
    program = PROGRAM.format(protocol=protocol, events=str(events))
    (tmp_path / "program.py").write_text(program)

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    name, *options = (word.format(port=port) for word in server)
    process = subprocess.Popen(
        [sys.executable, "-m", name, *options, "program:app"],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        url = f"http://127.0.0.1:{port}"
        named = [_asked(url, process).headers["x-trace-id"] for _ in range(10)]
    finally:
        process.terminate()
        process.wait(timeout=30)

    assert len(set(named)) == 10
    assert events.read_text().count('"on_tool_end"') == 10


def _asked(url: str, process: Any) -> Any:
    """
    Ask a server, which may still be starting.
    """
    waited = threading.Event()
    for _ in range(1_000):
        assert process.poll() is None
        try:
            return httpx.get(url)
        except httpx.ConnectError:
            waited.wait(0.02)
    message = "it never listened"
    raise AssertionError(message)
