"""
`Post`: one request to a receiver, and what its answer means.
"""

import gzip
from email.utils import parsedate_to_datetime
from http.client import HTTPException
from math import isnan
from time import monotonic, time
from urllib.error import HTTPError
from urllib.request import HTTPRedirectHandler, Request, build_opener

from instrument._text import cut, printable, safe_str, type_of
from instrument.handlers._otlp import wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from instrument.handlers._otlp.target import Target

_AGAIN = (429, 502, 503, 504)
_OF_US = (401, 403, 404, 405, 407)
"""The receiver, not what it was sent: another time it may be taken."""
_NOT_PACKED = (400, 415)
"""What a receiver answers that takes no gzip."""
_ANSWER = 65_536
_SAID = 200


class Refusal(Exception):  # noqa: N818 - it is no error of ours
    """
    What was sent has not been taken.

    Attributes:
        after_s: When it may be tried again, where the receiver says it.
        is_passing: Whether it is tried again soon.
        is_kept: Whether it may be taken another time.
    """

    def __init__(
        self,
        why: str,
        *,
        is_passing: bool,
        is_kept: bool = True,
        after_s: float | None = None,
    ) -> None:
        super().__init__(why)
        self.is_passing = is_passing
        self.is_kept = is_kept
        self.after_s = after_s


class _NoRedirects(HTTPRedirectHandler):
    """
    Go nowhere else: a GET loses what is sent, and headers are for one receiver.
    """

    def redirect_request(self, *args: "Any", **kwargs: "Any") -> None:
        return None


class Post:
    """
    Sends bodies to one receiver, gzipped until that is refused.
    """

    def __init__(self, target: "Target") -> None:
        self.target = target
        self._is_packed = True
        self._open = build_opener(_NoRedirects).open

    def send(self, body: bytes, timeout_s: float) -> "tuple[int, str]":
        """
        Send *body*.

        Returns:
            How many of what it holds the receiver has refused, and why.

        Raises:
            Refusal: If it was not taken.
        """
        if not self._is_packed:
            return self._sent(body, timeout_s, is_packed=False)
        try:
            return self._sent(body, timeout_s, is_packed=True)
        except _Unpacked:
            pass
        answer = self._sent(body, timeout_s, is_packed=False)
        self._is_packed = False
        return answer

    def _sent(
        self, body: bytes, timeout_s: float, *, is_packed: bool
    ) -> "tuple[int, str]":
        headers = {"user-agent": "instrument", **self.target.headers}
        headers["content-type"] = "application/x-protobuf"
        if is_packed:
            headers["content-encoding"] = "gzip"
            body = gzip.compress(body, 6, mtime=0)
        request = Request(self.target.url, body, headers, method="POST")  # noqa: S310
        until = monotonic() + timeout_s
        try:
            with self._open(request, timeout=timeout_s) as response:
                count, why = wire.refused(_read(response, until))
        except HTTPError as exc:
            with exc:
                if is_packed and exc.code in _NOT_PACKED:
                    raise _Unpacked from None
                raise self._refusal(exc, until) from None
        except (OSError, HTTPException, ValueError) as exc:
            reason = getattr(exc, "reason", exc)
            said = f"{type_of(reason)}: {safe_str(reason)}"
            raise Refusal(self._shown(said), is_passing=True) from None
        return count, self._shown(why)

    def _refusal(self, exc: HTTPError, until: float) -> Refusal:
        code = exc.code
        said = self._shown(_read(exc, until).decode("utf-8", "replace"))
        why = f"it answered {code} {exc.reason}" + (f": {said}" if said else "")
        return Refusal(
            self._shown(why),
            is_passing=code in _AGAIN,
            is_kept=code in _AGAIN or code in _OF_US or code >= 500,  # noqa: PLR2004
            after_s=_after(exc.headers.get("retry-after")),
        )

    def _shown(self, text: str) -> str:
        shown = self.target.without_secrets(text)
        return cut(printable(shown.strip()), _SAID)


class _Unpacked(Exception):  # noqa: N818 - never leaves this file
    """
    It may be gzip that was refused.
    """


def _read(response: "Any", until: float) -> bytes:
    """
    Read an answer, of which nothing is needed: some of it, and not for long.
    """
    found = b""
    try:
        while len(found) < _ANSWER and monotonic() < until:
            more = response.read1(_ANSWER)
            if not more:
                break
            found += more
    except (OSError, HTTPException, ValueError):  # its status was told all the same
        pass
    return found


def _after(header: str | None) -> float | None:
    """
    Read ``Retry-After``: seconds, or a date.
    """
    if not header:
        return None
    try:
        after_s = float(header)
    except ValueError:
        pass
    else:
        return None if isnan(after_s) else max(after_s, 0.0)
    try:
        return max(parsedate_to_datetime(header).timestamp() - time(), 0.0)
    except (ValueError, OverflowError):
        return None
