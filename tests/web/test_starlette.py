"""
`CallbacksMiddleware` around Starlette and FastAPI, served by uvicorn.
"""

import asyncio
import sys
from typing import Any

import pytest

from instrument import current_run, traced
from instrument.integrations.asgi import CallbacksMiddleware
from instrument.testing import Recorder

# mypy: disable-error-code="untyped-decorator"
httpx = pytest.importorskip("httpx")
pytest.importorskip("uvicorn")
fastapi: Any = pytest.importorskip("fastapi")
responses: Any = pytest.importorskip("starlette.responses")
routing: Any = pytest.importorskip("starlette.routing")

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def made_app(work: Any) -> Any:
    """
    Make an application with a route of each sort.
    """
    app = fastapi.FastAPI()

    def sync_dependency() -> Any:
        with traced("depends"):
            yield

    @app.get("/sync")
    def sync(question: str) -> str:
        return str(work.look_up(question))

    @app.get("/async")
    async def in_loop(question: str) -> str:
        return str(work.look_up(question))

    @app.get("/depends", dependencies=[fastapi.Depends(sync_dependency)])
    def depends() -> str:
        return str(work.look_up("x"))

    @app.get("/stream")
    async def stream(count: int = 3) -> Any:
        return responses.StreamingResponse(work.awrite(count))

    @app.get("/stream-sync")
    def stream_sync() -> Any:
        return responses.StreamingResponse(work.write(3))

    @app.get("/background")
    async def background() -> Any:
        later = fastapi.BackgroundTasks()
        later.add_task(work.look_up, "later")
        return responses.PlainTextResponse("soon", background=later)

    async def talk(socket: Any) -> None:
        await socket.accept()
        while True:
            await socket.send_text(work.look_up(await socket.receive_text()))

    app.router.routes.append(routing.WebSocketRoute("/socket", talk))
    return app


@pytest.mark.parametrize(
    "path, tree",
    [
        ("/sync?question=a", "tool look_up: ok"),
        ("/async?question=a", "tool look_up: ok"),
        ("/depends", "chain depends: ok\ntool look_up: ok"),
        ("/stream", "chat_model awrite: ok"),
        ("/stream-sync", "chat_model write: ok"),
        ("/background", "tool look_up: ok"),
        ("/sync?question=fail", "tool look_up: error ValueError"),
    ],
)
def test_heard(work: Any, asgi: Any, heard: Any, path: str, tree: str) -> None:
    """
    Whatever an endpoint, a dependency, a streamed body or a background task does is
    heard by the handlers that were made for the request.
    """
    url = asgi(CallbacksMiddleware(made_app(work), handlers=heard))

    httpx.get(url + path)

    heard.until(lambda: heard.trees == [tree])


def test_two_at_once(work: Any, asgi: Any, heard: Any) -> None:
    """
    Two requests at once have handlers of their own, and hear nothing of each other.
    """
    app = fastapi.FastAPI()
    both = asyncio.Barrier(2)

    @app.get("/{name}")
    async def meet(name: str) -> str:
        await both.wait()
        return str(work.look_up(name))

    url = asgi(CallbacksMiddleware(app, handlers=heard))

    async def ask() -> None:
        async with httpx.AsyncClient(base_url=url) as client:
            await asyncio.gather(client.get("/a"), client.get("/b"))

    asyncio.run(ask())

    assert heard.trees == ["tool look_up: ok"] * 2
    assert {made.runs[0].inputs["question"] for made in heard.made} == {"a", "b"}


def test_one_trace_a_request(work: Any, asgi: Any, heard: Any) -> None:
    """
    All that a request runs is of one trace, whose id the answer names; another request is
    another trace.
    """
    app = fastapi.FastAPI()

    @app.get("/")
    async def twice() -> str:
        return str(work.look_up("a") + work.look_up("b"))

    url = asgi(CallbacksMiddleware(app, handlers=heard))

    named = [httpx.get(url).headers["x-trace-id"] for _ in range(2)]

    assert named[0] != named[1]
    told = [[run.trace_hex for run in made.runs] for made in heard.made]
    assert told == [[named[0]] * 2, [named[1]] * 2]


@pytest.mark.parametrize("is_trusted", [True, False])
def test_trace_of_the_caller(
    work: Any, asgi: Any, heard: Any, is_trusted: bool
) -> None:
    """
    A trace that a caller names goes on only where callers are trusted.
    """
    middleware = CallbacksMiddleware(
        made_app(work), handlers=heard, accept_trace=is_trusted
    )
    url = asgi(middleware)

    answer = httpx.get(url + "/sync?question=a", headers={"traceparent": PARENT})

    trace_hex = heard.made[0].runs[0].trace_hex
    assert answer.headers["x-trace-id"] == trace_hex
    assert (trace_hex == PARENT.split("-")[1]) is is_trusted


def test_described(work: Any, asgi: Any, heard: Any) -> None:
    """
    Tags and metadata are read from the request by functions.
    """
    middleware = CallbacksMiddleware(
        made_app(work),
        handlers=heard,
        tags=["web"],
        metadata=lambda scope: {"path": scope["path"]},
    )
    url = asgi(middleware)

    httpx.get(url + "/sync?question=a")

    (run,) = heard.made[0].runs
    assert (run.tags, run.metadata) == (("web",), {"path": "/sync"})


async def listening(_: Any) -> list[Recorder]:
    """
    Make handlers in async code.
    """
    await asyncio.sleep(0)
    _kept.append(Recorder())
    return _kept


_kept: list[Recorder] = []


def test_async_factory(work: Any, asgi: Any) -> None:
    """
    The function that makes the handlers may be async, and give a list.
    """
    _kept.clear()
    url = asgi(CallbacksMiddleware(made_app(work), handlers=listening))

    httpx.get(url + "/sync?question=a")

    assert _kept[0].tree() == "tool look_up: ok"


async def afails(_: Any) -> Any:
    """
    Fail in async code.
    """
    await asyncio.sleep(0)
    raise RuntimeError(_WHY)


def fails(_: Any) -> Any:
    """
    Fail.
    """
    raise RuntimeError(_WHY)


def leaves(_: Any) -> Any:
    """
    End the process, or so it means.
    """
    sys.exit(1)


class Unasked:
    """
    What fails when it is asked anything, as an array that is asked for its truth.
    """

    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError(_WHY)

    def __bool__(self) -> bool:
        raise RuntimeError(_WHY)


_WHY = "no database"


@pytest.mark.parametrize(
    "given",
    [
        {"handlers": fails},
        {"handlers": afails},
        {"handlers": lambda _: Recorder},
        {"handlers": lambda _: Unasked()},
        {"handlers": leaves},
        {"tags": fails},
        {"tags": lambda _: Unasked()},
        {"metadata": fails},
        {"metadata": lambda _: Unasked()},
    ],
    ids=[
        *("handlers", "async", "class", "asked", "leaves"),
        *("tags", "tags asked", "metadata", "metadata asked"),
    ],
)
def test_function_fails(work: Any, asgi: Any, reports: list[str], given: Any) -> None:
    """
    A function of the application that fails is reported once; requests are answered.
    """
    url = asgi(CallbacksMiddleware(made_app(work), **given))

    answers = [httpx.get(url + "/sync?question=a") for _ in range(2)]

    assert [answer.json() for answer in answers] == ["A", "A"]
    assert len(reports) == 1
    assert "CallbacksMiddleware failed at" in reports[0]


@pytest.mark.parametrize(
    "handlers", [Recorder, [Recorder()], Recorder()], ids=["class", "list", "handler"]
)
def test_no_function(work: Any, handlers: Any) -> None:
    """
    Handlers that are no function are refused at once, with the cure.
    """
    with pytest.raises(TypeError, match="handlers=lambda request:"):
        CallbacksMiddleware(made_app(work), handlers=handlers)


def test_bad_tags(work: Any) -> None:
    """
    Tags that cannot be are refused where the middleware is made.
    """
    with pytest.raises(TypeError, match="tags"):
        CallbacksMiddleware(made_app(work), tags=[1])  # type: ignore[list-item]


def test_client_leaves_a_stream(work: Any, asgi: Any, heard: Any) -> None:
    """
    A client that leaves in the middle of an answer ends its runs as abandoned.
    """
    url = asgi(CallbacksMiddleware(made_app(work), handlers=heard))

    with httpx.stream("GET", url + "/stream?count=10000000") as answer:
        next(answer.iter_bytes())

    heard.until(lambda: heard.trees == ["chat_model awrite: abandoned"])


def test_client_leaves_a_wait(asgi: Any, heard: Any) -> None:
    """
    So does what is cancelled as its client has gone.
    """
    app = fastapi.FastAPI()

    @traced.tool
    async def wait() -> None:
        await asyncio.sleep(60)

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        waiting = asyncio.create_task(wait())
        while (await receive())["type"] != "http.disconnect":
            pass
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)

    app.mount("/", answer)
    url = asgi(CallbacksMiddleware(app, handlers=heard))

    with pytest.raises(httpx.ReadTimeout):
        httpx.get(url, timeout=0.2)

    heard.until(lambda: heard.trees == ["tool wait: abandoned"])


def test_socket(work: Any, asgi: Any, heard: Any) -> None:
    """
    A WebSocket is one request, to its end; its answer names the trace.
    """
    connect = pytest.importorskip("websockets.sync.client").connect
    url = asgi(CallbacksMiddleware(made_app(work), handlers=heard))

    with connect(url.replace("http", "ws") + "/socket", proxy=None) as socket:
        socket.send("a")
        socket.send("b")
        said = [socket.recv(), socket.recv()]
        named = socket.response.headers["x-trace-id"]

    assert said == ["A", "B"]
    assert heard.trees == ["tool look_up: ok\ntool look_up: ok"]
    assert {run.trace_hex for run in heard.made[0].runs} == {named}


def test_socket_left(asgi: Any, heard: Any) -> None:
    """
    A run in which a socket is found closed was abandoned, and has not failed.
    """
    connect = pytest.importorskip("websockets.sync.client").connect

    @traced.agent
    async def talk(socket: Any) -> None:
        await socket.accept()
        while True:
            await socket.receive_text()

    app = fastapi.FastAPI()
    app.router.routes.append(routing.WebSocketRoute("/", talk))
    url = asgi(CallbacksMiddleware(app, handlers=heard))

    with connect(url.replace("http", "ws"), proxy=None):
        pass

    heard.until(
        lambda: bool(heard.trees) and heard.trees[0].endswith("talk: abandoned")
    )


@pytest.mark.anyio
async def test_send_fails(heard: Any) -> None:
    """
    A run in which the server says that the client has gone was abandoned.
    """

    @traced
    async def answer(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200})

    class GoneError(OSError):
        def __setattr__(self, name: str, value: object) -> None:
            raise TypeError(name)

    async def gone(*_: Any) -> Any:
        message = "it has gone"
        raise GoneError(message)

    scope = {"type": "http", "headers": []}
    with pytest.raises(OSError, match="it has gone"):
        await CallbacksMiddleware(answer, heard)(scope, gone, gone)

    assert heard.made[0].runs[0].status == "abandoned"


@pytest.mark.anyio
async def test_lifespan_is_passed_on(heard: Any) -> None:
    """
    What is no request is passed on as it is.
    """
    passed: list[Any] = []

    async def app(*given: Any) -> None:
        passed.append(given)
        assert not current_run()

    given: Any = ({"type": "lifespan"}, "receive", "send")
    await CallbacksMiddleware(app, heard)(*given)

    assert passed == [given]
    assert heard.made == []


@pytest.mark.anyio
async def test_named_by_the_application() -> None:
    """
    An ``x-trace-id`` that the application gives itself stays.
    """
    sent: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"X-Trace-Id", b"mine")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "headers": []}
    await CallbacksMiddleware(app)(scope, send, send)  # type: ignore[arg-type]

    assert sent[0]["headers"] == [(b"X-Trace-Id", b"mine")]


def test_no_framework_is_imported() -> None:
    """
    The middleware needs no framework.
    """
    import subprocess

    code = (
        "import sys, instrument.integrations.asgi, instrument.integrations.wsgi;"
        "print({'starlette', 'fastapi', 'flask', 'django'} & {*sys.modules})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )

    assert done.stdout.strip() == "set()"
