"""
What is answered: JSON in ASCII, an error with its cure, a file; and how it is sent.
"""

import gzip
import json
import secrets
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from html import escape
from typing import Any

from instrument._text import printable
from instrument.viewer.asked import Scope, header_of, is_local

Send = Callable[[dict[str, Any]], Awaitable[None]]
Headers = tuple[tuple[bytes, bytes], ...]

_WORTH_IT = 4_096
_AT_ONCE = 500
_ALWAYS: Headers = (
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
_NOTHING = "default-src 'none'; frame-ancestors 'none'"
_PAGE = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>instrument</title>
<link rel="icon" href="data:,">
<style nonce="{nonce}">
body {{ max-width: 36em; margin: 4em auto; padding: 0 1em; font: 15px/1.5 sans-serif }}
p:first-of-type {{ font-weight: bold }}
</style>
{said}
"""


@dataclass(frozen=True, slots=True)
class Reply:
    """
    An answer that is there whole.

    Attributes:
        policy: What a browser may load for it.
    """

    status: int
    body: bytes
    kind: str = "application/json"
    headers: Headers = ()
    policy: str = _NOTHING


class RefusedError(Exception):
    """
    Raised where an error is answered.
    """

    def __init__(
        self, status: int, error: str, cure: str = "", headers: Headers = ()
    ) -> None:
        super().__init__(error)
        self.cure = cure
        said = {"error": error, "cure": cure} if cure else {"error": error}
        self.reply = Reply(status, encoded(said), headers=headers)


def readable(refused: RefusedError, scope: Scope) -> Reply:
    """
    Give what is refused as JSON, or as a page to who opens it in a browser.
    """
    reply = refused.reply
    if "text/html" not in header_of(scope, b"accept"):
        return reply
    nonce = secrets.token_urlsafe(16)
    lines = (it[:1].upper() + it[1:] for it in (str(refused), refused.cure) if it)
    said = "".join(f"<p>{escape(printable(it.rstrip('.')))}." for it in lines)
    page = _PAGE.format(nonce=nonce, said=said).encode()
    policy = f"{_NOTHING}; img-src data:; style-src 'nonce-{nonce}'"
    return replace(reply, body=page, kind="text/html; charset=utf-8", policy=policy)


def told(value: Mapping[str, Any]) -> Reply:
    """
    Give *value* as JSON.
    """
    return Reply(200, encoded(value))


def told_rows(name: str, rows: list[dict[str, Any]], **others: object) -> Reply:
    """
    Give *rows* as JSON under *name*, and *others*.

    A few at a time: the encoder holds all other threads up while it works.
    """
    some = (rows[at : at + _AT_ONCE] for at in range(0, len(rows), _AT_ONCE))
    listed = b",".join(encoded(these)[1:-1] for these in some)
    beside = encoded(others)[:-1] + b"," if others else b"{"
    return Reply(200, b'%s"%s":[%s]}' % (beside, name.encode(), listed))


def encoded(value: object) -> bytes:
    """
    Write *value* as JSON: in ASCII, as half a surrogate pair has no other form.
    """
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()


def squeezed(reply: Reply, scope: Scope) -> Reply:
    """
    Compress what is large where the client takes that, and is on another machine.
    """
    accepted = header_of(scope, b"accept-encoding").split(",")
    takes = any(word.partition(";")[0].strip() == "gzip" for word in accepted)
    if len(reply.body) < _WORTH_IT or not takes or is_local(scope):
        return reply
    headers = (*reply.headers, (b"content-encoding", b"gzip"))
    return replace(reply, body=gzip.compress(reply.body, 5), headers=headers)


async def send_reply(reply: Reply, send: Send) -> None:
    """
    Send it whole.
    """
    length = (b"content-length", str(len(reply.body)).encode())
    headers = (*reply.headers, length)
    await send(starting(reply.status, reply.kind, headers, reply.policy))
    await send({"type": "http.response.body", "body": reply.body})


def starting(
    status: int,
    kind: str,
    headers: Iterable[tuple[bytes, bytes]] = (),
    policy: str = _NOTHING,
) -> dict[str, Any]:
    """
    Make the message by which an answer starts.
    """
    first = [
        (b"content-type", kind.encode()),
        (b"content-security-policy", policy.encode()),
    ]
    listed = [*first, *_ALWAYS, *headers]
    return {"type": "http.response.start", "status": status, "headers": listed}
