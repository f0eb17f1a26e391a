"""
Who is answered.

A page that stands alone answers those who have its token, or the cookie which they got
for it. In an application that is for the application to say; where it says nothing,
only clients on the same machine are answered.
"""

import hmac
import inspect
import secrets
from collections.abc import Callable
from typing import Any, Protocol

from instrument.viewer.asked import (
    Scope,
    header_of,
    host_of,
    is_address,
    is_local,
    is_loopback,
    is_of_others,
    query_of,
)
from instrument.viewer.replies import RefusedError, Reply

_ENTERED = (
    "<!doctype html><title>instrument</title>"
    '<script nonce="{nonce}">location.replace(location.pathname + location.hash)</script>'
)


class Access(Protocol):
    """
    Decides who is answered.
    """

    async def check(self, scope: Scope) -> Reply | None:
        """
        Give what is answered in place of what was asked for; None where that may be.

        Raises:
            RefusedError: The client may not see it.
        """


class Mounted:
    """
    For a page inside an application.
    """

    def __init__(self, allow: Callable[[Any], Any] | None) -> None:
        if allow is not None and not callable(allow):
            raise TypeError(
                f"allow= takes a function of the ASGI scope, not {allow!r}."
                " Write one: allow=lambda scope: scope['user'].is_staff"
            )
        self._allow = allow

    async def check(self, scope: Scope) -> Reply | None:
        """
        Ask the application; without an answer of its own refuse all strangers.
        """
        if self._allow is None:
            is_here = is_local(scope) and is_loopback(host_of(scope))
            if not is_here or is_of_others(scope):
                raise RefusedError(
                    403,
                    "only clients on the same machine are answered, and no other site's",
                    "say who may see it: viewer(store, allow=lambda scope: ...)",
                )
            return None
        allowed = self._allow(scope)
        if inspect.isawaitable(allowed):
            allowed = await allowed
        if not allowed:
            raise RefusedError(403, "the application does not allow it")
        return None


class Alone:
    """
    For a page that is a server of its own.

    Attributes:
        token: What the page's URL has to hold.
    """

    def __init__(self, port: int, *, names: tuple[str, ...] = ()) -> None:
        """
        Args:
            port: Where it listens: two pages of one machine have two cookies.
            names: By which other names than those of loopback it is reached; if there
                are any, also by every address.
        """
        self.token = secrets.token_urlsafe(24)
        self._names = names
        self._once: set[str] = set()
        self._cookie = f"instrument_{port}"
        self._pass = secrets.token_urlsafe(24)

    def once(self) -> str:
        """
        Give a token that is good for one time: what a browser is started with, all
        users of the machine can see.
        """
        token = secrets.token_urlsafe(24)
        self._once.add(token)
        return token

    async def check(self, scope: Scope) -> Reply | None:
        """
        Let in who has the cookie, and give it to who has the token.
        """
        host = host_of(scope)
        if not (is_loopback(host) or self._is_ours(host)):
            raise RefusedError(
                403,
                f"this is not {host!r}: a name that leads here is not enough",
                "open the link that was printed when the page was started",
            )
        token = query_of(scope).get("token")
        if token is not None and self._takes(token):
            return self._entered()
        if _same(self._pass_of(scope), self._pass):
            return None
        raise RefusedError(
            401,
            "the link's token is wrong" if token else "the token is missing",
            "open the link that was printed when the page was started",
        )

    def _is_ours(self, host: str) -> bool:
        # An address cannot be made to lead here by who owns another site's name.
        return bool(self._names) and (host in self._names or is_address(host))

    def _takes(self, token: str) -> bool:
        used = {one for one in self._once if _same(token, one)}
        self._once -= used
        return bool(used) or _same(token, self.token)

    def _pass_of(self, scope: Scope) -> str:
        pairs = header_of(scope, b"cookie").split(";")
        named = dict(pair.strip().partition("=")[::2] for pair in pairs)
        return named.get(self._cookie, "")

    def _entered(self) -> Reply:
        """
        Give the cookie, and go where the link leads without its token.

        By a script, not by a redirect: a browser that follows a link of another site
        sends no strict cookie along any redirect.
        """
        nonce = secrets.token_urlsafe(16)
        cookie = f"{self._cookie}={self._pass}; HttpOnly; SameSite=Strict; Path=/"
        return Reply(
            200,
            _ENTERED.format(nonce=nonce).encode(),
            "text/html; charset=utf-8",
            ((b"set-cookie", cookie.encode()),),
            f"default-src 'none'; script-src 'nonce-{nonce}'; frame-ancestors 'none'",
        )


def _same(given: str, right: str) -> bool:
    return hmac.compare_digest(given.encode(errors="replace"), right.encode())
