"""
`PageHandler`: what the handlers have in common that a page reads, and talks back to.
"""

import asyncio
import sys
from collections import namedtuple
from contextlib import suppress

from instrument._audience.handler import BaseCallbackHandler
from instrument._delivery.dispatch import record_of
from instrument._delivery.loops import running_loop
from instrument._interrupts import Taking
from instrument._payloads.event import TOKEN
from instrument._text import cancellations, type_of
from instrument.exceptions import RequestStopped
from instrument.handlers._protocols import PROTOCOLS, encoder
from instrument.handlers._protocols.framing import Framing
from instrument.handlers._shared.checks import checked_choice

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import Any

    from instrument._payloads.event import Event
    from instrument._runs.run import Run

Question = namedtuple("Question", "id run_id name reason approved note")  # noqa: PYI024
"""
May this tool be called? *approved* is None until the page has said, *note* is why it did.
"""


class PageHandler(BaseCallbackHandler):
    """
    Make frames of what happens in a request, and stop it when the page says so.

    Args:
        protocol: One of `PROTOCOLS`.
        payload: ``tokens`` or ``all``.

    Attributes:
        waiting: What a stop does with whoever waits for an answer, by question.

    Raises:
        ValueError: For another choice.
    """

    wants_tokens = True

    def __init__(self, protocol: str, payload: str) -> None:
        name = f"{type(self).__name__}({{}}=...)".format
        checked_choice(name("protocol"), protocol, *PROTOCOLS)
        checked_choice(name("payload"), payload, "tokens", "all")
        self._encoder = encoder(protocol, shows_all=payload == "all")
        self._framing = Framing(self._encoder, self._put)
        self._task: asyncio.Task[Any] | None = None
        self._was_handling = sys.exception()
        self._is_stopped = self._is_begun = False
        self.waiting: dict[str, Callable[[], None]] = {}

    def stop(self) -> None:
        """
        Stop the request, from any thread; the stream then tells that it was cancelled.

        In asyncio the task is cancelled in which its first event was heard: give the
        request a task of its own. Sync code is stopped where it next starts something,
        or gives a token, by `RequestStopped`.
        """
        self._is_stopped = True
        self.raise_error = True
        for give_up in list(self.waiting.values()):
            give_up()
        task = self._task
        if task is not None and running_loop() is task.get_loop():
            task.cancel()
        elif task is not None:
            with suppress(RuntimeError):  # its loop is closed
                task.get_loop().call_soon_threadsafe(task.cancel)

    if TYPE_CHECKING:  # what each has of its own

        def _put(self, line: str, event: Event | None, taking: Taking) -> None: ...

        @property
        def _can_ask(self) -> bool: ...

    def ask(self, question: Question, run: "Run") -> bool:
        """
        Ask the page about *run*, or tell it what was answered; tell whether it can be
        asked.
        """
        if not self._can_ask:
            return False
        if not self._encoder.knows(run.id):  # whoever asks has heard of it first
            record = record_of(run, "on_tool_start", {"inputs": {}})
            self._framing.tell(record, Taking())
        self._framing.ask(question)
        return True

    def asking(self) -> "Awaitable[None] | None":
        """
        Have what `ask` has put sent, where that needs somebody to do it; the page may
        answer meanwhile.

        Returns:
            What is to be awaited for it, if anything.
        """
        return None

    def _meet(self, event: "Event") -> None:
        """
        Remember the task that the request runs in; stop it if that was wanted.

        Raises:
            RequestStopped: Then.
        """
        self._is_begun = True
        if self._task is None and running_loop() is not None:
            self._task = asyncio.current_task()
        if self._is_stopped and not self._is_being_cancelled():
            name = event.event
            if name == TOKEN or name.endswith("_start"):
                raise RequestStopped(_STOPPED, event.run)

    def _is_being_cancelled(self) -> bool:
        task = None if running_loop() is None else asyncio.current_task()
        return task is not None and (task is self._task or task.cancelling() > 0)

    def _end_of_request(self) -> "tuple[str, str] | None":
        """
        Tell what the block was left with; what comes then is another request.
        """
        exc = sys.exception()
        kind = type(exc)
        is_done = issubclass(kind, (StopIteration, StopAsyncIteration))  # a body's end
        is_left_by_it = not (exc is None or exc is self._was_handling or is_done)
        error = self._encoder.failure
        stops: tuple[type[BaseException], ...] = (RequestStopped, *cancellations())
        if self._is_stopped or (is_left_by_it and issubclass(kind, stops)):
            error = "cancelled", ""
        elif is_left_by_it and issubclass(kind, GeneratorExit):
            error = "abandoned", ""
        elif is_left_by_it and error is None:  # no run told it: it is not redacted
            error = type_of(exc), ""
        self._task = None
        self._is_begun = self._is_stopped = self.raise_error = False
        return error


_STOPPED = "the request was stopped: its page has gone, or said so"
