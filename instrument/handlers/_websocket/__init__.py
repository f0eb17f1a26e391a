"""
`WebSocketHandler`: every event as a JSON text frame, to whoever watches a request.
"""

from typing import TYPE_CHECKING, Literal

from instrument._audience.handler import BaseCallbackHandler
from instrument._text import safe_repr
from instrument.handlers._shared.checks import (
    checked_choice,
    checked_seconds,
    checked_size,
)
from instrument.handlers._websocket.outbox import Outbox

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import Any

    from instrument._payloads.event import Event

_METHODS = ("send_text", "send_str", "send")  # Starlette's `send` takes ASGI messages


class WebSocketHandler(BaseCallbackHandler):
    """
    Send every event of a request to a WebSocket, one `Event` as JSON a text frame.

    The socket is one of Starlette or FastAPI, aiohttp, or ``websockets``: whatever has
    ``send_text``, ``send_str`` or ``send``. Make the handler where the socket's loop
    runs, and give it to an ``async with`` block: leaving that waits until all is sent.
    A plain ``with`` waits in another thread only. The socket stays the application's,
    to close or to send more on.

    A client that has gone, or takes nothing for *timeout_s*, is reported once; after
    that frames are discarded. Where ``send`` is a plain function (``websockets.sync``,
    ``simple_websocket``), and on trio, a frame is sent at once where its event happens.

    Given to several requests, or process-wide, their frames come mixed: each has its
    ``trace_id``.

    Args:
        websocket: An open socket.
        payload: ``all`` events, or ``tokens`` only: then it is for the application to
            tell the client that the answer is complete.
        maxsize: How many frames wait for a slow client.
        policy: What a full queue does. ``block`` has the run wait; sync code on the
            socket's own loop cannot, and drops what is beyond twice *maxsize*.
            ``drop`` drops tokens. Tokens never take the place of other events, which
            have *maxsize* places more.
        timeout_s: How long anybody waits for the client.

    Raises:
        TypeError: For what has no method that sends, or another type.
        ValueError: For another choice, or a number out of range.
    """

    wants_tokens = True

    def __init__(
        self,
        websocket: object,
        *,
        payload: Literal["all", "tokens"] = "all",
        maxsize: int = 1_000,
        policy: Literal["block", "drop"] = "block",
        timeout_s: float = 30.0,
    ) -> None:
        name = "WebSocketHandler({}=...)".format
        payload_ = checked_choice(name("payload"), payload, "all", "tokens")
        policy_ = checked_choice(name("policy"), policy, "block", "drop")
        self._tokens_only = payload_ == "tokens"
        self._outbox = Outbox(
            self,
            _send_of(websocket),
            checked_size(name("maxsize"), maxsize),
            checked_seconds(name("timeout_s"), timeout_s),
            blocks=policy_ == "block",
        )

    @property
    def closed(self) -> bool:
        """
        Whether the client has gone: nothing more is sent.
        """
        return self._outbox.closed

    @property
    def dropped(self) -> int:
        """
        How many frames found no place.
        """
        return self._outbox.dropped

    def on_event(self, event: "Event", **kwargs: "Any") -> "Awaitable[None] | None":
        is_token = event.event == "on_llm_new_token"
        if self._outbox.closed or (self._tokens_only and not is_token):
            return None
        return self._outbox.put(event.to_json(), is_expendable=is_token)

    def flush(self) -> None:
        """
        Wait until what is queued is sent, in another thread than the socket's loop.
        """
        self._outbox.flush()

    async def aflush(self) -> None:
        """
        Wait until what is queued is sent.
        """
        await self._outbox.aflush()


def _send_of(websocket: object) -> "Callable[[str], Any]":
    for name in () if isinstance(websocket, type) else _METHODS:
        send = getattr(websocket, name, None)
        if callable(send):
            return send  # type: ignore[no-any-return]
    message = (
        f"WebSocketHandler takes an open socket with {', '.join(_METHODS[:-1])} or"
        f" {_METHODS[-1]}, as Starlette, aiohttp and websockets have it, not"
        f" {safe_repr(websocket)}."
    )
    raise TypeError(message)
