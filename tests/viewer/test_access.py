"""
Who sees the page: by itself with its token, mounted as the application says.
"""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from instrument.viewer import viewer
from instrument.viewer.access import Alone
from instrument.viewer.app import Viewer

pytestmark = pytest.mark.anyio


@pytest.fixture
def alone(store: Any) -> Any:
    """
    Give a page that stands alone, and what decides who sees it.
    """
    store.ask()
    access = Alone(8765)
    page = Viewer(store.path, access)
    yield page, access
    page.close()


def cookie_of(headers: dict[str, str]) -> str:
    """
    Give the pair of name and value that a client keeps.
    """
    return headers["set-cookie"].partition(";")[0]


async def test_token_becomes_a_cookie(
    alone: Any, serve_small: Any, connect: Any
) -> None:
    """
    The link's token is taken for a cookie that no script and no other site gets, and
    leaves the address bar; with the cookie all is answered.
    """
    page, access = alone

    async with serve_small(page) as port, connect(port) as client:
        client.get(f"/?token={access.token}")
        status, entered, body = await client.reply()
        client.get("/", f"cookie: theme=dark; {cookie_of(entered)}")
        shown, _, html = await client.reply()
        client.get("/api/requests", f"cookie: {cookie_of(entered)}")
        answered, _, _ = await client.reply()

    assert (status, shown, answered) == (200, 200, 200)
    assert entered["set-cookie"].endswith("; HttpOnly; SameSite=Strict; Path=/")
    assert entered["set-cookie"].startswith("instrument_8765=")
    assert access.token not in entered["set-cookie"]
    assert b"location.replace(location.pathname + location.hash)" in body
    assert entered["referrer-policy"] == "no-referrer"
    assert b"<link" in html


@pytest.mark.parametrize(
    "path", ["/", "/page/main.js", "/api/about", "/api/live", "/nothing"]
)
@pytest.mark.parametrize(
    "query, cookie, error",
    [
        ("", "", "the token is missing"),
        ("", "instrument_8765=", "the token is missing"),
        ("", "instrument_8765=wrong", "the token is missing"),
        ("", "instrument_8765=\u00e9", "the token is missing"),
        ("?token=", "", "the token is missing"),
        ("?token=wrong", "", "the link's token is wrong"),
        ("?token=%c3%a9%ff", "", "the link's token is wrong"),
    ],
)
async def test_without_the_token(
    path: str,
    query: str,
    cookie: str,
    error: str,
    alone: Any,
    serve_small: Any,
    connect: Any,
) -> None:
    """
    Without the token, or with a wrong one, nothing is answered, and no cookie given.
    """
    page, _ = alone

    async with serve_small(page) as port, connect(port) as client:
        client.get(path + query, f"cookie: {cookie}")
        status, headers, body = await client.reply()

    assert (status, json.loads(body)["error"]) == (401, error)
    assert "set-cookie" not in headers


async def test_refused_in_a_browser(alone: Any, serve_small: Any, connect: Any) -> None:
    """
    Who opens an old link in a browser reads why it leads nowhere, as text.
    """
    page, _ = alone
    accept = "accept: text/html,*/*;q=0.8"

    async with serve_small(page) as port, connect(port) as client:
        client.get("/?token=old", accept)
        status, headers, body = await client.reply()
        client.say(f"GET / HTTP/1.1\r\nhost: <b>\r\n{accept}\r\n\r\n")
        _, _, named = await client.reply()

    assert (status, headers["content-type"]) == (401, "text/html; charset=utf-8")
    assert "<p>The link&#x27;s token is wrong.<p>Open the link" in body.decode()
    assert "default-src 'none'" in headers["content-security-policy"]
    assert b"&lt;b&gt;" in named
    assert b"<b>" not in named


async def test_too_many_fields(
    alone: Any, serve_small: Any, connect: Any, reports: list[str]
) -> None:
    """
    Who floods the page with fields, as any site may by an image, is refused in silence.
    """
    page, _ = alone

    async with serve_small(page) as port, connect(port) as client:
        client.get("/?" + "a=b&" * 30)
        status, _, _ = await client.reply()

    assert (status, reports) == (400, [])


async def test_token_for_one_time(alone: Any, serve_small: Any, connect: Any) -> None:
    """
    The token that a browser is started with, which others of the machine can see, is
    good for one time.
    """
    page, access = alone
    token = access.once()

    async with serve_small(page) as port, connect(port) as client:
        statuses = []
        for _ in range(2):
            client.get(f"/?token={token}")
            statuses.append((await client.reply())[0])

    assert statuses == [200, 401]


@pytest.mark.parametrize(
    "host, names, is_answered",
    [
        ("localhost:8765", (), True),
        ("LOCALHOST", (), True),
        ("127.0.0.1:9000", (), True),
        ("127.1.2.3", (), True),
        ("[::1]:8765", (), True),
        ("[::ffff:127.0.0.1]", (), True),
        ("evil.example", (), False),
        ("localhost.evil.example:8765", (), False),
        ("127.0.0.1.evil.example", (), False),
        ("192.168.1.7:8765", (), False),
        ("", (), False),
        ("[", (), False),
        ("192.168.1.7:8765", ("box",), True),
        ("box:8765", ("box",), True),
        ("evil.example", ("box",), False),
    ],
)
async def test_host(
    host: str,
    names: tuple[str, ...],
    is_answered: bool,
    store: Any,
    serve_small: Any,
    connect: Any,
) -> None:
    """
    A client that believes to talk to another site is refused, even with the token: its
    name was made to lead here.
    """
    access = Alone(8765, names=names)
    page = Viewer(store.path, access)

    async with serve_small(page) as port, connect(port) as client:
        client.say(f"GET /?token={access.token} HTTP/1.1\r\nhost: {host}\r\n\r\n")
        status, headers, _ = await client.reply()
    page.close()

    assert status == (200 if is_answered else 403)
    assert ("set-cookie" in headers) == is_answered


@pytest.fixture(params=["starlette", "fastapi"])
def mounted(request: pytest.FixtureRequest) -> Any:
    """
    Give what mounts a page at /traces of an application.
    """
    package = pytest.importorskip(request.param)
    if request.param == "fastapi":
        app = package.FastAPI()
    else:
        app = pytest.importorskip("starlette.applications").Starlette()

    def mount(page: Any) -> Any:
        app.mount("/traces", page)
        return app

    return mount


@pytest.mark.parametrize(
    "headers",
    [
        {"x-forwarded-for": "203.0.113.7"},  # uvicorn makes it the client
        {"forwarded": "for=203.0.113.7"},
        {"via": "1.1 proxy"},
        {"x-real-ip": "203.0.113.7"},
        {"x-forwarded-proto": "https"},
        {"cf-connecting-ip": "203.0.113.7"},
        {"host": "evil.example"},
        {"origin": "https://evil.example"},
        {"origin": "null"},
    ],
)
async def test_strangers(
    headers: dict[str, str], page: Any, mounted: Any, serve_asgi: Any, get: Any
) -> None:
    """
    Mounted without a word on who may see it, the page answers this machine alone: no
    other, none through a proxy, no name that was made to lead here, no other site's page
    in its browser, which the application may let read.
    """
    async with serve_asgi(mounted(page)) as port:
        urls = [f"http://127.0.0.1:{port}/traces/{it}" for it in ("", "api/about")]
        own = {"origin": f"http://127.0.0.1:{port}"}
        local = [await get(urls[0]), await get(urls[1], headers=own)]
        strange = [await get(url, headers=headers) for url in urls]

    assert [reply.status_code for reply in local] == [200, 200]
    assert [reply.status_code for reply in strange] == [403, 403]
    assert "allow=" in strange[0].json()["cure"]


@pytest.mark.parametrize("client", [("192.168.1.7", 1), ("testclient", 1), None])
async def test_other_machine(client: Any, page: Any) -> None:
    """
    A client whose address is another's, or not known, is refused.
    """
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"host", b"localhost")]
    scope = {"type": "http", "method": "GET", "path": "/api/about"}
    await page(
        scope | {"client": client, "headers": headers}, asyncio.Event().wait, send
    )

    assert sent[0]["status"] == 403


@pytest.mark.parametrize("is_async", [False, True])
async def test_allow(
    is_async: bool, store: Any, mounted: Any, serve_asgi: Any, get: Any
) -> None:
    """
    What the application allows is answered, to whomever; and nothing else.
    """
    asked = []

    def may_see(scope: Any) -> bool:
        asked.append(scope["path"])
        return (b"x-user", b"ada") in scope["headers"]

    async def may_see_later(scope: Any) -> bool:
        return may_see(scope)

    page = viewer(store.path, allow=may_see_later if is_async else may_see)

    async with serve_asgi(mounted(page)) as port:
        url = f"http://127.0.0.1:{port}/traces/api/about"
        proxied = {"host": "shop.example", "x-forwarded-for": "203.0.113.7"}
        allowed = await get(url, headers={"x-user": "ada", **proxied})
        refused = await get(url)
    page.close()

    assert (allowed.status_code, refused.status_code) == (200, 403)
    assert refused.json()["error"] == "the application does not allow it"
    assert asked == ["/traces/api/about"] * 2


async def test_allow_that_fails(store: Any, serve_small: Any, get: Any) -> None:
    """
    Where the application fails to say, nothing is shown.
    """
    page = viewer(store.path, allow=lambda scope: scope["user"])

    async with serve_small(page) as port:
        reply = await get(f"http://127.0.0.1:{port}/api/about")
    page.close()

    assert reply.status_code == 500
    assert reply.text == "500 Internal Server Error"


def test_allow_that_is_no_function(tmp_path: Path) -> None:
    """
    What cannot say who may see it is refused at once, with the cure.
    """
    with pytest.raises(TypeError, match=r"not True\. Write one: allow=lambda scope"):
        viewer(tmp_path / "traces.db", allow=True)  # type: ignore[arg-type]
