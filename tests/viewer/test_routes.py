"""
What the page asks for, and what it is answered.
"""

import asyncio
import contextlib
import gzip
import json
import os
import sqlite3
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from instrument import callbacks, traced
from instrument.exceptions import StoreError
from instrument.handlers._store.reader import Reader
from instrument.viewer import following, viewer
from instrument.viewer.replies import RefusedError

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["small", "uvicorn", "starlette", "fastapi"])
def serving(request: pytest.FixtureRequest, serve_small: Any, serve_asgi: Any) -> Any:
    """
    Serve the page by our server, by uvicorn, or mounted in an application; give its URL.
    """

    @contextlib.asynccontextmanager
    async def served(page: Any) -> Any:
        app, path, serve = page, "", serve_asgi
        if request.param == "small":
            serve = serve_small
        elif request.param == "starlette":
            routing = pytest.importorskip("starlette.routing")
            applications = pytest.importorskip("starlette.applications")
            path = "/in/traces"
            app = applications.Starlette(routes=[routing.Mount(path, page)])
        elif request.param == "fastapi":
            app, path = pytest.importorskip("fastapi").FastAPI(), "/traces"
            app.mount(path, page)
        async with serve(app) as port:
            yield f"http://127.0.0.1:{port}{path}"

    return served


async def test_answers(store: Any, page: Any, serving: Any, get: Any) -> None:
    """
    Each path below `api/` gives what the reader of the store gives.
    """
    request = store.ask()
    trace_id, run_id = request["trace_id"], request["run_id"]

    async with serving(page) as url:
        paths = ["requests", "summary?q=", "names", "request/LAST", f"run/{run_id}"]
        replies = [await get(f"{url}/api/{path}") for path in paths]
        about = (await get(f"{url}/api/about")).json()

    assert [reply.status_code for reply in replies] == [200] * 5
    rows, summary, names, one, run = [reply.json() for reply in replies]
    with contextlib.closing(Reader(store.path)) as reader:
        assert rows == {"requests": [request], "cursor": reader.cursor()}
        assert summary == reader.summary()
        assert names == {"names": reader.names()}
        runs, cursor = reader.skeleton(trace_id)
        request = reader.request(trace_id)
        assert one == {"runs": runs, "request": request, "cursor": cursor}
        assert run == reader.run(run_id)
        known = reader.about()
    assert about | known == about
    assert about["server"].startswith("instrument ")
    assert about["started_ms"] < request["started_ms"]


async def test_page(page: Any, serving: Any, get: Any) -> None:
    """
    The page may run its own scripts and styles, by a nonce that is new each time, and
    load nothing else; what it names is served below where it is mounted.
    """
    async with serving(page) as url:
        first, second = [await get(f"{url}/") for _ in range(2)]
        script = await get(f"{url}/page/main.js")
        style = await get(f"{url}/page/style.css")
        moved = await get(url, follow_redirects=True)

    policy = first.headers["content-security-policy"]
    nonce = policy.partition("script-src 'nonce-")[2].partition("'")[0]
    assert first.text.count(f'nonce="{nonce}"') == first.text.count("nonce=") > 1
    assert f'nonce="{nonce}"' not in second.text
    assert policy == (
        f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}';"
        " img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none';"
        " frame-ancestors 'none'"
    )
    assert first.headers["cache-control"] == "no-store"
    assert script.headers["content-type"] == "text/javascript; charset=utf-8"
    assert style.headers["content-type"] == "text/css; charset=utf-8"
    assert script.headers["x-content-type-options"] == "nosniff"
    assert "<script" in moved.text


@pytest.mark.parametrize(
    "path",
    [
        "page",
        "page/",
        "page/nothing.js",
        "page/index.html",
        "page/../app.py",
        "page/%2e%2e%2fapp.py",
        "page/..%5capp.py",
        "page/main.js/",
        "page//main.js",
        "page/main.js%00",
        "/page/main.js",
        "api",
        "api/requests/",
        "api/nothing",
        "api/run",
        "api/request/a/b",
        "nothing",
        ".env",
    ],
)
async def test_path_that_is_none(
    path: str, page: Any, serve_small: Any, connect: Any
) -> None:
    """
    A path that is not in the list leads nowhere, whatever is at it on the disk.
    """
    async with serve_small(page) as port, connect(port) as client:
        client.get(f"/{path}")
        status, headers, body = await client.reply()

    assert (status, headers["content-type"]) == (404, "application/json")
    assert list(json.loads(body)) == ["error"]


@pytest.mark.parametrize(
    "method", ["POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH"]
)
async def test_other_methods(
    method: str, page: Any, serve_small: Any, connect: Any
) -> None:
    """
    What is no GET is refused: nothing is changed by the page.
    """
    async with serve_small(page) as port, connect(port) as client:
        client.say(f"{method} /api/about HTTP/1.1\r\nhost: localhost\r\n\r\n")
        status, headers, _ = await client.reply()

    assert (status, headers["allow"]) == (405, "GET")


@pytest.mark.parametrize(
    "path, status, error, cure",
    [
        ("requests?q=cost:much", 400, "cost:much", True),
        ("summary?q=cost:much", 400, "cost:much", True),
        ("names?q=cost:much", 400, "cost:much", True),
        ("live?q=cost:much", 400, "cost:much", True),
        ("requests?limit=-1", 400, "limit='-1' is no number", False),
        ("requests?before=x", 400, "before='x' is no number", False),
        (f"requests?after={'9' * 19}", 400, "is no number", False),
        ("live?after=1.5", 400, "after='1.5' is no number", False),
        ("requests?" + "a=b&" * 30, 400, "fields", False),
        ("requests?q=" + "a%20" * 101, 400, "too much to look for", True),
        ("request/ffff", 404, "no request 'ffff'", False),
        ("run/ffff", 404, "no run 'ffff'", False),
        ("live/ffff", 404, "no request 'ffff'", False),
    ],
)
async def test_wrong_questions(
    path: str,
    status: int,
    error: str,
    cure: bool,
    store: Any,
    page: Any,
    serve_small: Any,
    get: Any,
) -> None:
    """
    What cannot be answered is told as JSON, with its cure where there is one.
    """
    store.ask()

    async with serve_small(page) as port:
        reply = await get(f"http://127.0.0.1:{port}/api/{path}")

    assert reply.status_code == status
    assert error in reply.json()["error"]
    assert ("cure" in reply.json()) == cure


async def test_pages_of_the_list(
    store: Any, page: Any, serve_small: Any, get: Any
) -> None:
    """
    The list is given in parts: so many, those before one, those after one, that match.
    """
    keys = [store.ask(city)["key"] for city in ("Rome", "Oslo", "Bern")]

    async with serve_small(page) as port:
        queries = [
            "limit=2",
            f"before={keys[1]}",
            f"after={keys[1]}",
            "q=Oslo",
            "limit=",
        ]
        url = f"http://127.0.0.1:{port}/api/requests"
        found = [(await get(f"{url}?{query}")).json()["requests"] for query in queries]

    assert [[row["key"] for row in rows] for rows in found] == [
        [keys[2], keys[1]],
        [keys[0]],
        [keys[2]],
        [keys[1]],
        keys[::-1],
    ]


async def test_hostile_text(store: Any, page: Any, serve_small: Any, get: Any) -> None:
    """
    Whatever was recorded arrives as it is, in plain ASCII.
    """
    hostile = "</script><b>\x1b[31m\u202e\x00 é 🙂 \u2028"
    with callbacks(store.handler):
        traced.tool(lambda text: text)(hostile)
    run_id = store.requests()[0]["run_id"]

    async with serve_small(page) as port:
        reply = await get(f"http://127.0.0.1:{port}/api/run/{run_id}")

    assert reply.content.isascii()
    assert reply.json()["outputs"] == hostile


async def test_request_of_many_runs(
    store: Any, page: Any, serve_small: Any, get: Any
) -> None:
    """
    No run of a large request is left out, and their order is kept.
    """

    @traced
    def all_of_it() -> None:
        for number in range(1_200):
            with traced(f"run {number}"):
                pass

    with callbacks(store.handler):
        all_of_it()
    store.requests()

    async with serve_small(page) as port:
        reply = await get(f"http://127.0.0.1:{port}/api/request/LAST")

    names = [run["name"] for run in reply.json()["runs"]]
    assert names[1:] == [f"run {number}" for number in range(1_200)]


@pytest.mark.parametrize(
    "client, accepts, is_packed",
    [
        ("203.0.113.7", "br, gzip;q=0.8", True),
        ("203.0.113.7", "br", False),
        ("127.0.0.1", "gzip", False),
    ],
)
async def test_compression(
    client: str, accepts: str, is_packed: bool, store: Any
) -> None:
    """
    A large answer is compressed for who takes that, and is on another machine.
    """
    for _ in range(20):
        store.ask()
    page = viewer(store.path, allow=lambda scope: True)
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"accept-encoding", accepts.encode())]
    scope: dict[str, Any] = {"type": "http", "method": "GET", "path": "/api/requests"}
    scope |= {"client": (client, 1), "headers": headers, "query_string": b""}
    await page(scope, asyncio.Event().wait, send)
    page.close()

    start, body = sent[0], sent[1]["body"]
    assert ((b"content-encoding", b"gzip") in start["headers"]) == is_packed
    whole = gzip.decompress(body) if is_packed else body
    assert len(json.loads(whole)["requests"]) == 20


async def test_store_that_is_not_there_yet(
    tmp_path: Path, serving: Any, get: Any
) -> None:
    """
    Before the first program has written, the page is that of an empty store.
    """
    page = viewer(tmp_path / "traces.db")

    async with serving(page) as url:
        paths = ["about", "requests", "summary", "names"]
        about, rows, summary, names = [
            (await get(f"{url}/api/{path}")).json() for path in paths
        ]
        missing = await get(f"{url}/api/request/LAST")
    page.close()

    assert (about["requests"], about["bytes"]) == (0, 0)
    assert rows == {"requests": [], "cursor": 0}
    assert (summary["requests"], summary["total"], summary["histogram"]) == (0, 0, [])
    assert names == {"names": []}
    assert missing.status_code == 404
    assert not (tmp_path / "traces.db").exists()


async def test_store_that_is_being_made(
    tmp_path: Path, serve_small: Any, get: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A file that has just appeared may be no store yet; one that stays none is an error.
    """
    path = tmp_path / "traces.db"
    page = viewer(path)

    async with serve_small(page) as port:
        url = f"http://127.0.0.1:{port}/api/requests"
        await get(url)
        path.touch()
        making = await get(url)
        monkeypatch.setattr(following, "_MAKING_S", 0)
        other = await get(url)
    page.close()

    assert (making.status_code, other.status_code) == (200, 503)


async def test_path_without_a_slash(page: Any) -> None:
    """
    Where the application does not add the slash on which relative paths are based, the
    page does.
    """
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope: dict[str, Any] = {"type": "http", "method": "GET", "path": "/in/my traces"}
    scope |= {"root_path": "/in/my traces", "client": ("127.0.0.1", 1)}
    headers = [(b"host", b"localhost")]
    await page(scope | {"headers": headers}, asyncio.Event().wait, send)

    assert sent[0]["status"] == 307
    assert (b"location", b"my%20traces/") in sent[0]["headers"]


async def test_version_where_nothing_is_installed(
    page: Any, serve_small: Any, get: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    On the path but not installed, the page says that its version is not known.
    """
    async with serve_small(page) as port:
        await get(f"http://127.0.0.1:{port}/api/about")
        monkeypatch.setattr(sys, "path", [])
        reply = await get(f"http://127.0.0.1:{port}/api/about")

    assert reply.json()["server"] == "instrument 0+unknown"


async def test_store_that_is_gone(
    store: Any, page: Any, serve_small: Any, get: Any
) -> None:
    """
    What has gone is said to be gone, until it is there again, or another in its place.
    """
    store.ask()
    away = store.path.with_name("away.db")

    async with serve_small(page) as port:
        url = f"http://127.0.0.1:{port}/api/requests"
        before = await get(url)
        with contextlib.closing(sqlite3.connect(store.path)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        store.path.rename(away)
        gone = await get(url)
        index = await get(f"http://127.0.0.1:{port}/")
        away.rename(store.path)
        back = await get(url)

    assert (gone.status_code, gone.json()["error"]) == (
        503,
        f"{store.path}: no such file",
    )
    assert index.status_code == 200
    assert back.json() == before.json()


async def test_file_that_goes_while_it_is_read(store: Any, page: Any) -> None:
    """
    A read that has begun comes to its end, though the file has gone meanwhile.
    """
    store.ask()
    has_begun, may_go_on = threading.Event(), threading.Event()

    def read(reader: Reader) -> tuple[int, int]:
        before = reader.cursor()
        has_begun.set()
        may_go_on.wait()
        return before, reader.cursor()

    reading = asyncio.create_task(page._store.read(read))
    await asyncio.to_thread(has_begun.wait)
    store.path.rename(store.path.with_name("away.db"))
    with pytest.raises(RefusedError, match="no such file"):
        await page._store.read(read)
    may_go_on.set()
    before, after = await reading

    assert before == after


async def test_file_that_is_no_store(
    tmp_path: Path, serve_small: Any, get: Any
) -> None:
    """
    A file that is none is named, and what is wrong with it.
    """
    path = tmp_path / "traces.db"
    path.write_text("no store, but long enough to be looked at as one" * 100)
    page = viewer(os.fspath(path))

    async with serve_small(page) as port:
        reply = await get(f"http://127.0.0.1:{port}/api/about")
    page.close()

    assert reply.status_code == 503
    assert str(path) in reply.json()["error"]


async def test_page_that_has_ended(
    store: Any, page: Any, serve_small: Any, get: Any
) -> None:
    """
    A page that was closed says so.
    """
    page.close()

    async with serve_small(page) as port:
        reply = await get(f"http://127.0.0.1:{port}/api/about")

    assert (reply.status_code, reply.json()["error"]) == (503, "the page has ended")
    with pytest.raises(StoreError, match="the page has ended"):
        page._store._opened()  # in a thread that had begun before


async def test_given_a_handler(store: Any, serve_small: Any, get: Any) -> None:
    """
    The page of what writes, or reads, a store is that of its file.
    """
    store.ask()
    with contextlib.closing(Reader(store.path)) as reader:
        pages = [viewer(it) for it in (store.handler, reader, str(store.path))]
        for page in pages:
            async with serve_small(page) as port:
                reply = await get(f"http://127.0.0.1:{port}/api/about")
            page.close()

            assert reply.json()["path"] == str(store.path)


@pytest.mark.parametrize("given", ["~/mine.db", None])
async def test_given_a_place(
    given: str | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    serve_small: Any,
    get: Any,
) -> None:
    """
    A path is read as `StoreHandler` reads it; None is the user's own store.
    """
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("INSTRUMENT_STORE", "~/mine.db")
    page = viewer(given)

    async with serve_small(page) as port:
        reply = await get(f"http://127.0.0.1:{port}/api/about")
    page.close()

    assert reply.json()["path"] == str(tmp_path / "mine.db")


def test_given_what_is_no_file(tmp_path: Path) -> None:
    """
    What cannot be a store is refused when the page is made.
    """
    with pytest.raises(StoreError, match="is a folder"):
        viewer(tmp_path)
    with pytest.raises(TypeError, match="not int"):
        viewer(5)  # type: ignore[arg-type]


async def test_web_socket_is_refused(page: Any) -> None:
    """
    There is nothing for a WebSocket.
    """
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    await page({"type": "websocket", "path": "/"}, receive, send)

    assert sent == [{"type": "websocket.close", "code": 1008}]


async def test_lifespan(store: Any) -> None:
    """
    Served by itself, the page lets go of its file when the server ends.
    """
    page = viewer(store.path)
    messages = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])
    sent: list[str] = []

    async def receive() -> Any:
        return next(messages)

    async def send(message: Any) -> None:
        sent.append(message["type"])

    await page({"type": "lifespan"}, receive, send)

    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert page._store.is_closed
