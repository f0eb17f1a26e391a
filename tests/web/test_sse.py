"""
`SSEHandler` as the body of a response of real servers: to the end, and left before it.
"""

# mypy: disable-error-code="untyped-decorator"

import asyncio
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from instrument import callbacks, traced
from instrument.exceptions import RequestStopped
from instrument.handlers import SSEHandler

httpx = pytest.importorskip("httpx")

Serve = Callable[[Any], str]


def lines_of(url: str, stop_at: str = "", **headers: str) -> list[str]:
    """
    Give the lines of a streamed answer, to its end or to one with that text.
    """
    lines = []
    with httpx.stream("GET", url, headers=headers, timeout=20) as response:
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        for line in response.iter_lines():
            lines.append(line)
            if stop_at and stop_at in line:
                break
    return lines


class Requests:
    """
    What became of the requests of an application.
    """

    def __init__(self) -> None:
        self.ended = threading.Event()
        self.status = ""
        self.tasks: set[Any] = set()

    @traced("answer")
    async def answer(self, work: Any, count: int) -> None:
        """
        Write so many words; without any, wait for ever.
        """
        try:
            async for _ in work.awrite(count or 3):
                pass
            if not count:
                await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.status = "cancelled"
            raise
        finally:
            self.ended.set()

    @traced("answer")
    def answer_in_thread(self, work: Any, count: int) -> None:
        """
        The same in sync code.
        """
        try:
            for _ in range(1 if count else 1_000):
                list(work.write(count or 3))
                self.ended.wait(0 if count else 0.01)
        except RequestStopped:
            self.status = "stopped"
        finally:
            self.ended.set()


@pytest.fixture
def requests() -> Requests:
    """
    Give what became of requests.
    """
    return Requests()


@pytest.fixture(params=["async", "thread"])
def url(
    request: pytest.FixtureRequest, asgi: Serve, work: SimpleNamespace, requests: Any
) -> str:
    """
    Serve streams by Starlette and uvicorn, of a task or of a thread beside.
    """
    pytest.importorskip("starlette")
    from starlette.applications import Starlette
    from starlette.responses import Response, StreamingResponse
    from starlette.routing import Route

    async def endpoint(asked: Any) -> Any:
        resumed = SSEHandler.resumed(asked.headers.get("last-event-id"))
        if resumed is not None:
            return StreamingResponse(resumed, headers=resumed.headers)
        if "last-event-id" in asked.headers:
            return Response(status_code=204)
        stream = SSEHandler(
            protocol="native",
            heartbeat_s=0.05,
            resume_s=float(asked.query_params.get("resume_s", 0)),
        )
        count = int(asked.query_params["count"])
        if request.param == "async":
            made = callbacks(stream)(requests.answer)(work, count)
            requests.tasks.add(asyncio.create_task(made))
        else:
            made = callbacks(stream)(requests.answer_in_thread)
            threading.Thread(target=made, args=(work, count)).start()
        return StreamingResponse(stream, headers=stream.headers)

    return asgi(Starlette(routes=[Route("/", endpoint)]))


def test_to_its_end(url: str) -> None:
    """
    A client reads all to the end, as it comes.
    """
    lines = lines_of(f"{url}/?count=3")

    assert [it for it in lines if it][-2:] == ["event: end", 'data: {"status":"ok"}']
    assert sum("on_llm_new_token" in it for it in lines) == 3


@pytest.mark.parametrize("stop_at", ["on_chain_start", "on_llm_end"])
def test_client_leaves(url: str, requests: Requests, stop_at: str) -> None:
    """
    A client that leaves has its request stopped.
    """
    lines_of(f"{url}/?count=0", stop_at)

    assert requests.ended.wait(20)
    assert requests.status in ("cancelled", "stopped")


def test_client_comes_back(url: str, requests: Requests) -> None:
    """
    A client that comes back in time reads on behind the last that it has got.
    """
    first = lines_of(f"{url}/?count=3&resume_s=20", '"token":"0 "')
    seen = [it.removeprefix("id: ") for it in first if it.startswith("id: ")]

    rest = lines_of(url, **{"last-event-id": seen[-1]})

    ids = [it.removeprefix("id: ") for it in rest if it.startswith("id: ")]
    numbers = [int(id.rpartition(":")[2]) for id in seen + ids]
    assert numbers == sorted(set(numbers))
    assert sum("on_llm_new_token" in it for it in first + rest) == 3
    assert "event: end" in rest
    assert httpx.get(url, headers={"last-event-id": "gone:1"}).status_code == 204


@pytest.fixture
def wsgi_url(wsgi: Serve, work: SimpleNamespace, requests: Any) -> str:
    """
    Serve streams by a WSGI server.
    """

    def app(environ: Any, start_response: Any) -> Any:
        stream = SSEHandler(protocol="native", heartbeat_s=0.02)
        count = int(environ["QUERY_STRING"].partition("=")[2])
        made = callbacks(stream)(requests.answer_in_thread)
        threading.Thread(target=made, args=(work, count)).start()
        start_response("200 OK", [*stream.headers.items()])
        return stream

    return wsgi(app)


def test_under_wsgi(wsgi_url: str) -> None:
    """
    Under WSGI the stream is the body as it is.
    """
    lines = lines_of(f"{wsgi_url}/?count=3")

    assert [it for it in lines if it][-2:] == ["event: end", 'data: {"status":"ok"}']


def test_client_leaves_under_wsgi(wsgi_url: str, requests: Requests) -> None:
    """
    A client that leaves is found out by the next thing that is sent, if by a heartbeat.
    """
    lines_of(f"{wsgi_url}/?count=0", "on_llm_end")

    assert requests.ended.wait(20)
    assert requests.status == "stopped"


def test_flask(wsgi: Serve, work: SimpleNamespace, requests: Requests) -> None:
    """
    Flask takes it as the body of a response, and closes it when the client has gone.
    """
    flask = pytest.importorskip("flask")
    app = flask.Flask("cats")

    @app.get("/")
    def endpoint() -> Any:
        stream = SSEHandler(protocol="native", heartbeat_s=0.02)
        made = callbacks(stream)(requests.answer_in_thread)
        count = int(flask.request.args["count"])
        threading.Thread(target=made, args=(work, count)).start()
        return flask.Response(stream, headers=stream.headers)

    url = wsgi(app)

    assert "event: end" in lines_of(f"{url}/?count=3")
    requests.ended.clear()
    lines_of(f"{url}/?count=0", "on_llm_end")
    assert requests.ended.wait(20)
    assert requests.status == "stopped"
