"""
The application: which path is answered with what.
"""

import re
import secrets
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from instrument.viewer.access import Access
from instrument.viewer.asked import Scope, header_of, query_of, route_of
from instrument.viewer.following import FollowedStore
from instrument.viewer.live import Live, LiveList, LiveRequest, stream
from instrument.viewer.replies import (
    RefusedError,
    Reply,
    Send,
    readable,
    send_reply,
    squeezed,
    told,
    told_rows,
)

if TYPE_CHECKING:
    from instrument.handlers._store.reader import Reader

Receive = Callable[[], Awaitable[Any]]

_PAGE = Path(__file__).parent / "page"
_NONCE = re.compile('nonce="[^"]*"')
_HTML = "text/html; charset=utf-8"
_SENT = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8"}
_POLICY = (
    "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}';"
    " img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'none'"
)
_USUAL = 200
_MOST_REQUESTS = 1_000
_MOST_DIGITS = 18  # SQLite counts up to 9,223,372,036,854,775,807


class Viewer:
    """
    The page over one store, as an ASGI application.
    """

    def __init__(
        self, path: Path, access: Access, *, shown: Path | None = None
    ) -> None:
        """
        Args:
            path: The store, which need not be there yet.
            access: Who is answered.
            shown: What the page says that it shows, where that is another file.
        """
        self._store = FollowedStore(path)
        self._shown = shown or path
        self._access = access
        self._started_ms = time.time() * 1000

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """
        Answer one connection.
        """
        if scope["type"] == "lifespan":
            await self._live_on(receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008})
        else:
            await self._answer(scope, receive, send)

    def close(self) -> None:
        """
        End all streams, and let go of the file and of all threads.
        """
        self._store.close()

    async def _live_on(self, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        self.close()
        await send({"type": "lifespan.shutdown.complete"})

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            reply = await self._reply(scope)
        except RefusedError as exc:
            reply = readable(exc, scope)
        if isinstance(reply, Live):
            await stream(reply, receive, send)
        else:
            await send_reply(reply, send)

    async def _reply(self, scope: Scope) -> Reply | Live:
        query = _query(scope)
        instead = await self._access.check(scope)
        if instead is not None:
            return instead
        if scope["method"] != "GET":
            allowed = ((b"allow", b"GET"),)
            raise RefusedError(405, "nothing is changed here: GET only", "", allowed)
        try:
            return await self._found(scope, query)
        except ValueError as exc:
            raise RefusedError(400, str(exc), getattr(exc, "cure", "")) from exc
        except LookupError as exc:
            raise RefusedError(404, str(exc.args[0]), getattr(exc, "cure", "")) from exc

    async def _found(self, scope: Scope, query: dict[str, str]) -> Reply | Live:
        match route_of(scope).split("/"):
            case [""]:
                raise _moved(scope)
            case ["", ""]:
                return await self._store.call(lambda: squeezed(_index(), scope))
            case ["", "page", name]:
                return await self._store.call(lambda: squeezed(_file(name), scope))
            case ["", "api", "live"]:
                live: Live = LiveList(
                    self._store, query.get("q", ""), _after(scope, query)
                )
                return await _opened(live)
            case ["", "api", "live", word]:
                run_id = query.get("run", "")
                live = LiveRequest(self._store, word, _after(scope, query), run_id)
                return await _opened(live)
            case ["", "api", "about"]:
                ask: _Ask = self._about
            case ["", "api", name] if name in _LISTS:
                ask = partial(_LISTS[name], query)
            case ["", "api", name, word] if name in _ONES:
                ask = partial(_ONES[name], word)
            case _:
                raise RefusedError(404, "there is no such page")
        return await self._store.read(lambda reader: squeezed(ask(reader), scope))

    def _about(self, reader: "Reader") -> Reply:
        known = {"path": str(self._shown), "server": f"instrument {_version()}"}
        return told(reader.about() | known | {"started_ms": self._started_ms})


def _query(scope: Scope) -> dict[str, str]:
    try:
        return query_of(scope)
    except ValueError as exc:
        raise RefusedError(400, str(exc)) from exc


async def _opened(live: Live) -> Live:
    await live.open()
    return live


def _after(scope: Scope, query: dict[str, str]) -> int | None:
    """
    Give the cursor up to which the client has heard, if it says one.
    """
    last = header_of(scope, b"last-event-id")
    if last:  # a browser that connects again: what the query says is older
        query = {"after": last}
    return _number(query, "after")


def _number(query: dict[str, str], name: str) -> int | None:
    text = query.get(name)
    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) <= _MOST_DIGITS):
        raise ValueError(f"{name}={text!r} is no number")
    return int(text)


def _moved(scope: Scope) -> RefusedError:
    """
    Send to the path with a slash, on which all that the page asks for is based.
    """
    last = str(scope.get("root_path") or "").rpartition("/")[2]
    where = ((b"location", f"{quote(last)}/".encode()),)
    return RefusedError(307, "the page is behind a slash", "", where)


def _index() -> Reply:
    nonce = secrets.token_urlsafe(16)
    text = (_PAGE / "index.html").read_text("utf-8")
    text = _NONCE.sub(f'nonce="{nonce}"', text)
    policy = _POLICY.format(nonce=nonce)
    return Reply(200, text.encode(), _HTML, policy=policy)


def _file(name: str) -> Reply:
    """
    Give a file of the page: one whose name is in the list of its folder.
    """
    files = {path.name: path for path in _PAGE.iterdir() if path.suffix in _SENT}
    if name not in files:
        raise RefusedError(404, "the page has no such file")
    return Reply(200, files[name].read_bytes(), _SENT[files[name].suffix])


def _requests(query: dict[str, str], reader: "Reader") -> Reply:
    limit = _number(query, "limit")
    cursor = reader.cursor()
    rows = reader.requests(
        query.get("q", ""),
        limit=_USUAL if limit is None else min(limit, _MOST_REQUESTS),
        before=_number(query, "before"),
        after=_number(query, "after"),
    )
    return told_rows("requests", rows, cursor=cursor)


def _summary(query: dict[str, str], reader: "Reader") -> Reply:
    return told(reader.summary(query.get("q", "")))


def _names(query: dict[str, str], reader: "Reader") -> Reply:
    return told_rows("names", reader.names(query.get("q", "")))


def _request(word: str, reader: "Reader") -> Reply:
    trace_id = reader.find(word)
    rows, cursor = reader.skeleton(trace_id)
    request = reader.request(trace_id)
    return told_rows("runs", rows, request=request, cursor=cursor)


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("instrument-callbacks")
    except PackageNotFoundError:
        return "0+unknown"


def _run(run_id: str, reader: "Reader") -> Reply:
    return told(reader.run(run_id))


_Ask = Callable[["Reader"], Reply]
_LISTS = {"requests": _requests, "summary": _summary, "names": _names}
_ONES = {"request": _request, "run": _run}
