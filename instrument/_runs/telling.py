"""
What a run's body tells while it runs: tokens, text, retries, events of its own.
"""

from collections import OrderedDict, defaultdict, deque

from instrument import _ids
from instrument._delivery.dispatch import Delivery, keywords
from instrument._payloads.redact import redacted
from instrument._state import MUTED, Frame, get_state, muted, set_state
from instrument._text import safe_str

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any
    from uuid import UUID

    from instrument._audience.audience import Audience
    from instrument._runs.run import Run

CONTAINERS: "frozenset[Any]" = frozenset(
    (dict, list, set, bytearray, OrderedDict, defaultdict, deque)
)


class Telling(Frame):
    """
    The half of `Run` that tells.
    """

    if TYPE_CHECKING:
        id: UUID
        parent_id: UUID | None
        _audience: Audience
        _ended_ns: int | None
        _added: tuple[str, ...]

        @property
        def tags(self) -> tuple[str, ...]: ...

    _first_token_ns: int | None = None

    def token(self, text: str, chunk: object = None, channel: str = "text") -> None:
        """
        Tell a piece of a model's answer: ``on_llm_new_token``.

        Args:
            text: Its text.
            chunk: The provider's own object.
            channel: ``text``, ``reasoning`` or ``tool_call``.
        """
        state = get_state()
        rest = self._token(text, chunk, channel)
        try:
            if rest is not None:
                rest.now()
        finally:
            set_state(state)

    def token_after(
        self,
        count: int,
        answer: object,
        text: str,
        chunk: object,
        exc: BaseException | None = None,
    ) -> None:
        """
        Go on with a token behind the first *count* handlers, who have heard it.

        Args:
            answer: What the last of them returned, or
            exc: what it raised.
        """
        self._told(text, chunk, "text").after(count, answer, exc).now()

    def atoken(
        self, text: str, chunk: object = None, channel: str = "text"
    ) -> "Coroutine[Any, Any, None] | None":
        """
        The same in async code: what it returns is to be awaited, if it is not None.
        """
        state = get_state()
        rest = self._token(text, chunk, channel)
        try:
            waiting = None if rest is None else rest.step()
            if rest is not None and waiting is not None:
                return _finish_later(rest, waiting, state)
            if rest is not None:
                rest.now()
        finally:
            set_state(state)
        return None

    def text(self, text: str) -> None:
        """
        Say something: ``on_text``.
        """
        shown = self._own(text, "text")
        self._tell("on_text", (shown,), {"text": shown})

    def retry(self, state: object) -> None:
        """
        Tell that it tries again: ``on_retry``, with tenacity's state or a number.
        """
        shown = state if isinstance(state, int) else self._own(state, "retry")
        data = {"attempt": getattr(state, "attempt_number", shown)}
        exc = _failure_of(state)
        if exc is not None:
            data["type"] = type(exc).__qualname__
            data["message"] = self._own(safe_str(exc), "error")
        self._tell("on_retry", (shown,), data)

    def emit(
        self, name: str, data: object = None, heard: "Audience | None" = None
    ) -> None:
        """
        Tell an event of the application's own: ``on_custom_event``.

        Args:
            name: The event's name.
            data: Anything.
            heard: Who hears it; by default those who hear the run.
        """
        shown = self._own(data, "data", heard)
        told = {"name": name, "data": shown}
        self._tell("on_custom_event", (name, shown), told, heard)

    def _own(self, value: "Any", name: str, heard: "Audience | None" = None) -> "Any":
        """
        Give a payload as handlers may have it: redacted, and in a container of its own.
        """
        heard = heard or self._audience
        if not heard.capture:
            return None
        if heard.redactors:
            value = redacted(value, heard.redactors, (name,))
        return contained(value)

    def _token(self, text: str, chunk: object, channel: str) -> Delivery | None:
        """
        Tell a token to those who answer at once; give what is left to do.
        """
        if self._ended_ns is not None:
            return None
        if self._first_token_ns is None:
            self._first_token_ns = _ids.clock_ns()
        receivers = self._audience.receivers("on_llm_new_token")
        if not receivers.entries or get_state() is MUTED:
            return None
        if not self._audience.shows_all:
            text, chunk = self._own(text, "token") or "", None
        return self._told(text, chunk, channel)

    def _told(self, text: str, chunk: object, channel: str) -> Delivery:
        heard = self._audience
        receivers = heard.receivers("on_llm_new_token")
        kwargs = {
            "chunk": chunk,
            "run_id": self.id,
            "parent_run_id": self.parent_id,
            "tags": list(self.tags) if heard.tags or self._added else [],
            "run": self,
        }
        data = {"token": text, "channel": channel}
        set_state(MUTED)
        return Delivery(
            self._run(), "on_llm_new_token", receivers, (text,), lambda _: data, kwargs
        )

    def _run(self) -> "Run":
        return self  # type: ignore[return-value]

    def _tell(
        self,
        event: str,
        args: "tuple[Any, ...]",
        data: "dict[str, Any]",
        heard: "Audience | None" = None,
    ) -> None:
        receivers = (heard or self._audience).receivers(event)
        is_mute = get_state() is MUTED
        if not receivers.entries or is_mute or self._ended_ns is not None:
            return
        kwargs = keywords(self._run())
        if event == "on_custom_event":  # its own first argument is called name
            del kwargs["name"]
        with muted():
            Delivery(self._run(), event, receivers, args, lambda _: data, kwargs).now()


def _failure_of(state: object) -> BaseException | None:
    """
    Give what the last attempt raised, where that is told.
    """
    outcome = getattr(state, "outcome", None)
    if outcome is None:
        return None
    from concurrent.futures import Future

    is_done = isinstance(outcome, Future) and outcome.done() and not outcome.cancelled()
    return outcome.exception() if is_done else None


def contained(value: "Any") -> "Any":
    """
    Give a container of its own, so that who changes it changes nothing for others.
    """
    return value.copy() if value.__class__ in CONTAINERS else value


async def _finish_later(delivery: Delivery, waiting: "Any", state: object) -> None:
    set_state(MUTED)
    try:
        await delivery.later(waiting)
    finally:
        set_state(state)
