"""
From an event to the handlers: one loop that no handler can break.

While it runs the state is `MUTED`, so that what a handler itself calls is not heard.
A handler that answers with a coroutine is awaited in place in async code, and queued
in sync code; the loop goes on behind it either way.
"""

from functools import partial

from instrument import _ids, _report
from instrument._audience.listener import EVENTS
from instrument._delivery.loops import cancellations
from instrument._payloads.event import Event
from instrument._state import MUTED, set_state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import Any, NoReturn

    from instrument._audience.audience import Receivers
    from instrument._audience.listener import Listener
    from instrument._audience.plan import Layer
    from instrument._runs.run import Run

    Waiting = tuple[Awaitable[Any], Listener, Layer]


def keywords(run: "Run", own: "dict[str, Any] | None" = None) -> "dict[str, Any]":
    """
    Give the keyword arguments that every event of *run* carries, and its *own*.
    """
    # not `run.metadata`, where there is some: it is a property, and so a call
    given = {
        "run_id": run.id,
        "parent_run_id": run.parent_id,
        "tags": list(run.tags) if run._tagged else [],
        "metadata": dict(run._metadata or run.metadata) if run._described else {},
        "name": run.name,
        "run": run,
    }
    if own:
        given.update(own)
    return given


class Delivery:
    """
    One event on its way through its receivers.

    Attributes:
        error: The first error of a handler that has ``raise_error``; it is raised
            when all have heard.
    """

    __slots__ = (
        "_answer",
        "_args",
        "_data",
        "_event",
        "_index",
        "_kwargs",
        "_receivers",
        "_record",
        "_run",
        "error",
    )

    def __init__(
        self,
        run: "Run",
        event: str,
        receivers: "Receivers",
        args: "tuple[Any, ...]",
        data: "Callable[[Run], dict[str, Any]]",
        kwargs: "dict[str, Any] | None" = None,
    ) -> None:
        self._run = run
        self._event = event
        self._receivers = receivers.entries
        self._args = args
        self._kwargs = keywords(run) if kwargs is None else kwargs
        self._data = data
        self._index = 0
        self._record: Event | None = None
        self._answer: tuple[Any, Listener, Layer] | None = None
        self.error: BaseException | None = None

    def after(
        self, count: int, answer: object, exc: BaseException | None = None
    ) -> "Delivery":
        """
        Go on behind the first *count* receivers, of whom the last answered or raised.
        """
        self._index = count
        _, listener, layer, _ = self._receivers[count - 1]
        self._answer = (answer, listener, layer)
        if exc is not None:
            self._caught(listener, exc)
        return self

    def step(self) -> "Waiting | None":
        """
        Go on until a handler answers with an awaitable, or to the end.

        Returns:
            What is to be served before the next step, or None when all have heard.
        """
        while True:
            answer, self._answer = self._answer, None
            if answer is not None and hasattr(type(answer[0]), "__await__"):
                return answer
            if self._index == len(self._receivers):
                return None
            method, listener, layer, native = self._receivers[self._index]
            self._index += 1
            try:
                if native:
                    result = method(self._native(), run=self._run)
                else:
                    result = method(*self._args, **self._kwargs)
            except (Exception, SystemExit) as exc:
                self._caught(listener, exc)
            else:
                self._answer = (result, listener, layer)

    def now(self) -> None:
        """
        Finish in sync code.

        Raises:
            Exception: `error`.
        """
        waiting = self.step()
        while waiting is not None:
            waiting = self.put_off(waiting)
        if self.error is not None:
            self.stop()

    def stop(self) -> "NoReturn":
        """
        Raise `error`, and let go of it: its traceback will hold this.
        """
        error, self.error = self.error, None
        try:
            raise error  # type: ignore[misc]
        finally:
            del self, error

    def put_off(self, waiting: "Waiting") -> "Waiting | None":
        """
        Queue what is to be served, and go on.
        """
        from instrument._delivery import (
            lanes as _lanes,
        )  # imports asyncio; most processes have no need

        result, listener, layer = waiting
        self._stop_by(listener, _lanes.queue(result, listener, layer, self._event))
        return self.step()

    async def later(self, waiting: "Waiting | None") -> None:
        """
        Finish in async code: what *waiting* holds is served in place.

        Raises:
            Exception: `error`.
            CancelledError: If the task is cancelled meanwhile; the others hear all
                the same.
        """
        from instrument._delivery import lanes as _lanes

        while waiting is not None:
            result, listener, layer = waiting
            try:
                exc = await _lanes.in_place(result, listener, layer, self._event)
            except BaseException as left:
                waiting = self.step()
                while waiting is not None:
                    waiting = self.put_off(waiting)
                if isinstance(left, (GeneratorExit, *cancellations())):
                    # its traceback tells nothing, and has frames that hold the run
                    left.with_traceback(None)
                del self, result  # nor may this frame
                raise
            self._stop_by(listener, exc)
            waiting = self.step()
        if self.error is not None:
            self.stop()

    async def later_muted(self, waiting: "Waiting", state: object) -> None:
        """
        Finish in async code, mute, and go back to *state*.
        """
        set_state(MUTED)
        try:
            await self.later(waiting)
        finally:
            set_state(state)

    def _caught(self, listener: "Listener", exc: BaseException) -> None:
        if type(exc) is TypeError:
            from instrument._audience import slips as _slips

            is_native = self._receivers[self._index - 1][3]
            event = "on_event" if is_native else self._event
            rest = ("run",) if is_native else self._kwargs
            _slips.note_what_is_given(exc, event, (*EVENTS[event][0], *rest))
        run = self._run
        show = None if run._audience.shows_all else partial(run._cleared, name="error")
        _report.failed(
            listener.handler, self._event, exc, stops=listener.raises, show=show
        )
        self._stop_by(listener, exc)

    def _stop_by(self, listener: "Listener", exc: BaseException | None) -> None:
        if exc is not None and listener.raises and self.error is None:
            self.error = exc

    def _native(self) -> Event:
        if self._record is None:
            self._record = record_of(self._run, self._event, self._data(self._run))
        return self._record


def record_of(run: "Run", event: str, data: "dict[str, Any]") -> Event:
    """
    Make the one native record of an event; it counts up the trace's ``seq``.
    """
    return Event(
        event,
        seq=run._root_run().next_seq(),
        time_ns=_ids.wall_ns(),
        trace_id=run.trace_id,
        run_id=run.id,
        parent_run_id=run.parent_id,
        kind=run.kind,
        name=run.name,
        tags=list(run.tags),
        metadata=run.metadata.copy(),
        data=data,
        run=run,
    )
