"""
`CallbacksMiddleware`: a block around each request that an ASGI application answers.

For Starlette, FastAPI, Django, Quart, and whatever else speaks the protocol.
"""

from instrument import _report
from instrument._delivery.loops import is_awaitable
from instrument._interrupts import met_cancellations, pass_on_kept
from instrument._payloads.messages import is_listed
from instrument._runs.outcome import LEFT
from instrument._scopes.arrival import Arrival
from instrument._scopes.headers import incoming_in
from instrument._text import safe_repr
from instrument.propagation import extract

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
    from typing import Any

    from instrument._audience.sampling import Incoming
    from instrument._scopes.opened import Scope

    Request = MutableMapping[str, Any]
    Message = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]
    App = Callable[[Request, Receive, Send], Awaitable[None]]

__all__ = ["CallbacksMiddleware"]

TRACE_HEADER = "x-trace-id"


class CallbacksMiddleware:
    """
    Answer each request, or WebSocket, inside a block of its own.

    ``app.add_middleware(CallbacksMiddleware, handlers=lambda scope: [Logger()])``. The
    block is open until the last of the body is sent and background tasks are done, and
    is heard in endpoints and dependencies, sync and async. All runs of a request are of
    one trace, whose id the answer has in ``x-trace-id``. A client that leaves ends its
    runs as abandoned.

    Args:
        app: The application.
        handlers: Called with the ASGI scope of each request; gives its handlers: one, a
            list, or None. It may be async.
        tags: Added to every run of a request: a list, or a function of the scope.
        metadata: Likewise, a mapping or a function of the scope.
        accept_trace: True to go on with the trace of a caller that sends a
            ``traceparent``: only where callers may be trusted.

    Raises:
        TypeError: For handlers that are no function.
    """

    def __init__(
        self,
        app: "App",
        handlers: "Callable[[Request], Any] | None" = None,
        *,
        tags: "Iterable[str] | Callable[[Request], Iterable[str]]" = (),
        metadata: "Mapping[str, Any] | Callable[[Request], Mapping[str, Any]] | None" = None,
        accept_trace: bool = False,
    ) -> None:
        self.app = app
        self._requests = Requests(self, handlers, tags, metadata)
        self._accept_trace = accept_trace

    async def __call__(
        self, scope: "Request", receive: "Receive", send: "Send"
    ) -> None:
        """
        Answer one request; whatever is no request is passed on as it is.
        """
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        made = self._requests.handlers_for(scope)
        if is_awaitable(made):
            made = await self._requests.awaited(made)
        came = incoming_in(extract(scope["headers"])) if self._accept_trace else None
        block = self._requests.block(scope, made, came)
        async with block as opened:
            answer = _Answer(opened, block.trace_hex, receive, send)
            await self.app(scope, answer.receive, answer.send)


class Requests:
    """
    What a middleware was given, made into a block for each request.

    What fails in a function of the application is reported, and the request goes on
    without it.
    """

    def __init__(
        self, owner: object, handlers: "Any", tags: "Any", metadata: "Any"
    ) -> None:
        _check_handlers(handlers)
        self._owner, self._handlers = owner, handlers
        self._tags, self._metadata = tags, metadata
        if not (callable(tags) or callable(metadata)):
            Arrival(None, tags=tags, metadata=metadata)  # refused now or never

    def handlers_for(self, request: "Any") -> "Any":
        """
        Give what the application's function gives.
        """
        if self._handlers is None:
            return None
        try:
            return self._handlers(request)
        except BaseException as exc:
            _report.failed(self._owner, "handlers", exc)
            return None

    async def awaited(self, made: "Awaitable[Any]") -> "Any":
        """
        The same, where that function is async.
        """
        met = 0
        try:
            met = met_cancellations()
            handlers = await made
            pass_on_kept(met)
        except BaseException as exc:
            _report.failed(self._owner, "handlers", exc, met=met)
            return None
        return handlers

    def block(self, request: "Any", made: "Any", came: "Incoming | None") -> Arrival:
        """
        Give the block of one request.
        """
        given = () if made is None else made if is_listed(made) else (made,)
        tags = self._asked("tags", self._tags, request)
        options = {
            "tags": () if tags is None else tags,
            "metadata": self._asked("metadata", self._metadata, request),
        }
        try:
            return Arrival(came, *given, **options)
        except BaseException as exc:
            _report.failed(self._owner, "block", exc)
            return Arrival(came)

    def _asked(self, name: str, value: "Any", request: "Any") -> "Any":
        if not callable(value):
            return value
        try:
            return value(request)
        except BaseException as exc:
            _report.failed(self._owner, name, exc)
            return None


class _Answer:
    """
    One answer on its way: named by its trace, and left where the client has gone.
    """

    def __init__(
        self, opened: "Scope", trace_hex: str, receive: "Receive", send: "Send"
    ) -> None:
        self._opened, self._trace_hex = opened, trace_hex
        self._receive, self._send = receive, send
        self._is_sent = False

    async def receive(self) -> "Message":
        message = await self._receive()
        is_leaving = message["type"] in ("http.disconnect", "websocket.disconnect")
        if is_leaving and not self._is_sent:
            self._opened.is_deserted = True
        return message

    async def send(self, message: "Message") -> None:
        kind = message["type"]
        if kind in ("http.response.start", "websocket.accept"):
            message = {**message, "headers": self._named([*message.get("headers", ())])}
        try:
            await self._send(message)
        except OSError as exc:  # what servers raise for a client that has gone
            self._opened.is_deserted = True
            object.__setattr__(exc, LEFT, True)  # whatever its class makes of it
            raise
        if kind == "websocket.close" or (
            kind == "http.response.body" and not message.get("more_body")
        ):
            self._is_sent = True

    def _named(self, headers: "list[Any]") -> "list[Any]":
        name = TRACE_HEADER.encode()
        if not any(it[0].lower() == name for it in headers):
            headers.append((name, self._trace_hex.encode()))
        return headers


def _check_handlers(handlers: object) -> None:
    if handlers is None or (callable(handlers) and not isinstance(handlers, type)):
        return
    shown = handlers.__name__ if isinstance(handlers, type) else safe_repr(handlers)
    message = (
        "CallbacksMiddleware(handlers=...) is a function of the request that gives its"
        f" handlers, not {shown}. For the same at each: handlers=lambda request: [...]"
    )
    raise TypeError(message)
