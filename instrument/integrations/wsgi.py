"""
`CallbacksMiddleware`: a block around each request that a WSGI application answers.

For Flask, Django, and whatever else speaks the protocol.
"""

import instrument  # noqa: F401 - whole first, though another thread is importing it
from instrument._scopes.headers import incoming_in
from instrument.integrations.asgi import TRACE_HEADER, Requests
from instrument.propagation import extract

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from typing import Any

    Environ = dict[str, Any]

__all__ = ["CallbacksMiddleware"]


class CallbacksMiddleware:
    """
    Answer each request inside a block of its own.

    ``app.wsgi_app = CallbacksMiddleware(app.wsgi_app, handlers=lambda environ: [...])``.
    The block is open until the server has read the last of the body and closed it. All
    runs of a request are of one trace, whose id the answer has in ``x-trace-id``. A
    client that leaves ends its runs as abandoned.

    Args:
        app: The application.
        handlers: Called with the environ of each request; gives its handlers: one, a
            list, or None.
        tags: Added to every run of a request: a list, or a function of the environ.
        metadata: Likewise, a mapping or a function of the environ.
        accept_trace: True to go on with the trace of a caller that sends a
            ``traceparent``: only where callers may be trusted.

    Raises:
        TypeError: For handlers that are no function.
    """

    def __init__(
        self,
        app: "Callable[..., Iterable[bytes]]",
        handlers: "Callable[[Environ], Any] | None" = None,
        *,
        tags: "Iterable[str] | Callable[[Environ], Iterable[str]]" = (),
        metadata: "Mapping[str, Any] | Callable[[Environ], Mapping[str, Any]] | None" = None,
        accept_trace: bool = False,
    ) -> None:
        self.app = app
        self._requests = Requests(self, handlers, tags, metadata)
        self._accept_trace = accept_trace

    def __call__(
        self, environ: "Environ", start_response: "Callable[..., Any]"
    ) -> "Iterable[bytes]":
        """
        Answer one request.
        """
        made = self._requests.handlers_for(environ)
        came = incoming_in(extract(_headers(environ))) if self._accept_trace else None
        block = self._requests.block(environ, made, came)

        def named(status: str, headers: "list[Any]", *rest: "Any") -> "Any":
            if not any(name.lower() == TRACE_HEADER for name, _ in headers):
                headers = [*headers, (TRACE_HEADER, block.trace_hex)]
            return start_response(status, headers, *rest)

        return block(self._answered)(environ, named)

    def _answered(
        self, environ: "Environ", start_response: "Callable[..., Any]"
    ) -> "Iterator[bytes]":
        body = self.app(environ, start_response)
        try:
            yield from body
        finally:
            close = getattr(body, "close", None)
            if close is not None:
                close()


def _headers(environ: "Environ") -> "Iterator[tuple[str, Any]]":
    for name in ("traceparent", "tracestate", "baggage"):
        if f"HTTP_{name.upper()}" in environ:
            yield name, environ[f"HTTP_{name.upper()}"]
