"""
`WebSocketHandler`: what happens, a JSON text frame each, to whoever watches a request.
"""

import json
from typing import TYPE_CHECKING, Literal

from instrument._interrupts import Taking
from instrument._text import safe_repr
from instrument.handlers._shared.checks import (
    checked_choice,
    checked_seconds,
    checked_size,
)
from instrument.handlers._shared.page_handler import PageHandler
from instrument.handlers._websocket.outbox import Outbox

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import Any

    from instrument._payloads.event import Event

_METHODS = ("send_text", "send_str", "send")  # Starlette's `send` takes ASGI messages


class WebSocketHandler(PageHandler):
    """
    Send to a WebSocket what happens in a request, one text frame of JSON each time.

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
        protocol: What the page reads; any but ``native`` is one request's, which its
            frames begin and end, and has a handler of its own.
        payload: ``tokens`` is for a page: pieces of text and reasoning; starts and ends
            with name, kind, ids, status, duration, usage, finish reason and a model's
            text; type and message of errors; events of the application's own, whole.
            Never prompts, arguments or results of tools, other outputs, tags, metadata.
            ``all`` sends each `Event` as it is, with all of these.
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

    def __init__(
        self,
        websocket: object,
        *,
        protocol: Literal["native", "ai-sdk", "ag-ui", "openai"] = "native",
        payload: Literal["all", "tokens"] = "tokens",
        maxsize: int = 1_000,
        policy: Literal["block", "drop"] = "block",
        timeout_s: float = 30.0,
    ) -> None:
        name = "WebSocketHandler({}=...)".format
        super().__init__(protocol, payload)
        policy_ = checked_choice(name("policy"), policy, "block", "drop")
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
        taking = Taking()
        self._meet(event)
        outbox = self._outbox
        is_token = event.event == "on_llm_new_token"
        if outbox.closed or not outbox.takes(is_expendable=is_token):
            return None
        self._framing.tell(event, taking)
        return outbox.held_up()

    def heard(self, text: str | bytes) -> bool:
        """
        Take what the page has sent: ``{"stop": true}``, or its answer to an `approval`,
        ``{"approval_id": "...", "approved": true}``, maybe with a ``reason``.

        The handler reads nothing from the socket: whoever does gives it here.

        Returns:
            Whether it was one of these, and of use.
        """
        try:
            said = json.loads(text)
        except (ValueError, TypeError, RecursionError):
            return False
        if not isinstance(said, dict):
            return False
        if said.get("stop") is True:
            is_of_use = self._is_begun
            if is_of_use:
                self.stop()
            return is_of_use
        from instrument.handlers._approval import approval

        id, is_approved = said.get("approval_id"), said.get("approved") is True
        return approval.answer(str(id), is_approved, said.get("reason"))

    def flush(self) -> None:
        """
        Wait until what is queued is sent, in another thread than the socket's loop.
        """
        taking = Taking()
        self._framing.end(self._end_of_request())
        taking.is_taken = True  # what waits for others is not begun once more
        self._outbox.flush()

    async def aflush(self) -> None:
        """
        Wait until what is queued is sent.
        """
        self._framing.end(self._end_of_request())
        await self._outbox.aflush()

    def asking(self) -> "Awaitable[None] | None":
        return self._outbox.sent()

    def _put(self, line: str, event: "Event | None", taking: Taking) -> None:
        self._outbox.put(line, taking)

    @property
    def _can_ask(self) -> bool:
        return self._encoder.can_ask and not self._outbox.closed


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
