"""
From an event to the handlers: one loop that no handler can break.

While it runs the state is `MUTED`, so that what a handler itself calls is not heard.
A handler that answers with a coroutine is awaited in place in async code, and queued
in sync code; the loop goes on behind it either way.
"""

from types import CoroutineType

from instrument import _ids, _report
from instrument._audience.listener import EVENTS
from instrument._delivery.loops import close_unserved, is_awaitable
from instrument._interrupts import (
    UNTOLD,
    has_room,
    is_heard,
    is_of_call,
    parted,
    pass_on,
)
from instrument._payloads.event import TOKEN, VERSION, Event
from instrument._payloads.redact import asked_for
from instrument._state import MUTED, set_state
from instrument._text import cancellations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import Any, NoReturn

    from instrument._audience.audience import Audience, Receivers
    from instrument._audience.listener import Listener
    from instrument._audience.plan import Layer
    from instrument._runs.run import Run

    Show = Callable[[object], object] | None
    Waiting = tuple[Awaitable[Any], Listener, Layer]

_new = object.__new__


def keywords(run: "Run", own: "dict[str, Any] | None" = None) -> "dict[str, Any]":
    """
    Give the keyword arguments that every event of *run* carries, and its *own*.
    """
    # not `run.metadata`, where there is some: it is a property, and so a call
    given = {
        "run_id": run.id,
        "parent_run_id": run.parent_id,
        "tags": list(run.tags) if run._tagged else [],
        "metadata": (run._metadata or run.metadata).copy() if run._described else {},
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
        error: What is raised when all have heard: the first error of a handler that
            has ``raise_error``, or what interrupted one.
    """

    __slots__ = (
        "_again",
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
        self._index, self._again = 0, -1
        self._record: Event | None = None
        self._answer: tuple[Any, Listener, Layer] | None = None
        self.error: BaseException | None = None

    def behind(self, count: int) -> "Delivery":
        """
        Go on behind the first *count* receivers.
        """
        self._index = count
        return self

    def with_record(self, record: "Event | None") -> "Delivery":
        """
        Go on with the record that some have been given.
        """
        self._record = record
        return self

    def after(self, count: int, answer: object) -> "Delivery":
        """
        Go on behind the first *count* receivers, of whom the last answered.
        """
        self._index = count
        _, listener, layer, _ = self._receivers[count - 1]
        self._answer = (answer, listener, layer)
        return self

    def broken(self, count: int, answer: object, exc: BaseException) -> "Delivery":
        """
        Go on behind the first *count* receivers: at the next one came *exc*.

        Args:
            answer: What that one has answered; else `UNTOLD`.
        """
        self._index = count
        if count == len(self._receivers):  # all have heard: it is none of theirs
            self.error = exc
            return self
        part, failure = parted(exc)
        if part is not None:
            if not self._goes_on(part):
                self.error = part
            is_again, is_native = self._again == count, self._receivers[count][3]
            is_made = is_again or not is_native or self._record is not None
            if not (is_made and is_heard(exc, answer, is_again=is_again)):
                self._again = count
                return self
        elif type(exc) is RecursionError and self._is_owed(exc, answer):
            try:
                raise exc
            finally:  # its traceback holds this frame
                del self, exc, failure
        self._index += 1
        _, listener, layer, _ = self._receivers[count]
        self._answer = None if answer is UNTOLD else (answer, listener, layer)
        if failure is not None:
            self._caught(listener, failure)
        return self

    def _goes_on(self, part: BaseException) -> bool:
        """
        Tell whether *part* is the cancellation by which the run ends, and which reaches
        the caller all the same.
        """
        is_ending = self._run.status == "cancelled"
        return is_ending and issubclass(type(part), cancellations())

    def _is_owed(self, exc: BaseException, answer: object) -> bool:
        """
        Tell whether the next receiver is told once more, as the stack was full: of a
        start where it has not been called, of an end also where that broke off. What a
        handler is written in C for may meet a limit of its own.
        """
        if has_room():
            return False
        if self._event.endswith("_start"):
            return not is_heard(exc, answer)
        return self._event.endswith(("_end", "_error"))

    def step(self) -> "Waiting | None":
        """
        Go on until a handler answers with an awaitable, or to the end.

        Returns:
            What is to be served before the next step, or None when all have heard.
        """
        while True:
            answer, self._answer = self._answer, None
            if answer is not None and answer[0] is not None and is_awaitable(answer[0]):
                return answer
            if self._index == len(self._receivers):
                return None
            index, result = self._index, UNTOLD
            method, listener, layer, native = self._receivers[index]
            try:
                if native:
                    result = method(self._native(), run=self._run)
                else:
                    result = method(*self._args, **self._kwargs)
                self._index = index + 1
                self._answer = (result, listener, layer)
            except BaseException as exc:
                self.broken(index, result, exc)

    def now(self) -> None:
        """
        Finish in sync code.

        Raises:
            Exception: `error`.
        """
        self.told()
        if self.error is not None:
            self.stop()

    def held(self, waiting: "Waiting | None") -> "Delivery":
        """
        Have who goes on begin with *waiting*, should `later` find no room to begin.
        """
        self._answer = waiting
        return self

    def told(self) -> None:
        """
        Have all hear who have not yet, without raising what they raised.
        """
        waiting = self.step()
        while waiting is not None:
            waiting = self.put_off(waiting)

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

        Where no thread or descriptor is to be had, it is not served, and that reported.
        """
        result, listener, layer = waiting
        exc: BaseException | None
        try:
            from instrument._delivery import (
                lanes as _lanes,
            )  # imports asyncio; most processes have no need

            show = self._run._audience.shows()
            exc = _lanes.queue(result, listener, layer, self._event, show, self._run)
        except Exception as failure:
            if type(failure) is RecursionError:
                self._index -= 1  # who has not heard is called once more
                close_unserved(result)
                raise
            close_unserved(result)
            _report.failed(listener.handler, self._event, failure, run=self._run)
            exc = failure
        self._stop_by(listener, exc)
        del exc  # its traceback may hold this frame
        return self.step()

    async def later(self, waiting: "Waiting | None") -> None:
        """
        Finish in async code: what *waiting* holds is served in place.

        Raises:
            Exception: `error`.
            CancelledError: If the task is cancelled meanwhile; the others hear all
                the same.
            RecursionError: Where the stack is full; who has not heard is called once
                more, when there is room.
        """
        self._answer = None
        while waiting is not None:
            result, listener, layer = waiting
            try:
                show = self._run._audience.shows()
                # no variable holds what was raised: its frames lead back to this one
                self._stop_by(
                    listener,
                    await _served(
                        result, listener, layer, self._event, show, self._run
                    ),
                )
            except BaseException as left:
                if type(left) is RecursionError:  # plain looks: no call may have room
                    code = result.cr_code if type(result) is CoroutineType else None
                    below = left.__traceback__
                    while below is not None and below.tb_frame.f_code is not code:
                        below = below.tb_next
                    is_begun, below = below is not None, None  # it leads back here
                    if not is_begun or not self._event.endswith("_start"):
                        self._index -= 1
                        close_unserved(result)
                        raise
                self.told()
                if issubclass(type(left), (GeneratorExit, *cancellations())):
                    # its traceback tells nothing, and has frames that hold the run
                    left.with_traceback(None)
                del self, result  # nor may this frame
                raise
            waiting = self.step()
        if self.error is not None:
            self.stop()

    async def later_from(self, state: object, waiting: "Waiting") -> None:
        """
        The same from *state*, to which it goes back.
        """
        try:
            try:
                set_state(MUTED)
                await self.later(waiting)
            finally:
                set_state(state)
        except BaseException:
            set_state(state)  # once more: an interrupt comes anywhere
            raise

    def _caught(self, listener: "Listener", exc: BaseException) -> None:
        if type(exc) is TypeError:
            try:
                self._note_what_is_given(exc)
            except Exception as failure:  # no descriptor or memory is to be had
                pass_on(failure)
        show = self._run._audience.shows()
        _report.failed_apart(
            listener.handler,
            self._event,
            exc,
            stops=listener.raises,
            show=show,
            run=self._run,
        )
        self._stop_by(listener, exc)

    def _note_what_is_given(self, exc: BaseException) -> None:
        from instrument._audience import slips as _slips

        is_native = self._receivers[self._index - 1][3]
        event = "on_event" if is_native else self._event
        rest = ("run",) if is_native else self._kwargs
        _slips.note_what_is_given(exc, event, (*EVENTS[event][0], *rest))

    def _stop_by(self, listener: "Listener", exc: BaseException | None) -> None:
        if exc is None or self.error is not None:
            return
        if listener.raises or is_of_call(exc):  # an interrupt
            self.error = exc

    def _native(self) -> Event:
        if self._record is None:
            self._record = record_of(self._run, self._event, self._data(self._run))
        return self._record


async def _served(
    awaitable: "Awaitable[Any]",
    listener: "Listener",
    layer: "Layer",
    event: str,
    show: "Show",
    run: "Run",
) -> BaseException | None:
    try:
        from instrument._delivery import lanes as _lanes
    except Exception as exc:  # no descriptor is to be had
        close_unserved(awaitable)
        _report.failed(listener.handler, event, exc, run=run)
        return exc
    return await _lanes.in_place(awaitable, listener, layer, event, show, run)


def record_of(
    run: "Run", event: str, data: "dict[str, Any]", audience: "Audience | None" = None
) -> Event:
    """
    Make the one native record of an event; it counts up the trace's ``seq``.

    A token's has no tags and metadata: those of its run's start hold.

    Args:
        audience: Who hears it, where that is not the run's.
    """
    # by plain stores, and no property: a call of the class costs 6k instructions more
    root = run._root or run
    is_token = event == TOKEN
    made = _new(Event)
    made.v = VERSION
    made.event = event
    made.seq = (root._seq or root._next_seq)()
    made.time_ns = _ids.wall_ns()
    made.trace_id = root.id
    made.run_id = run.id
    made.parent_run_id = run.parent_id
    made.kind = run.kind
    made.name = run.name
    made.tags = list(run.tags) if run._tagged and not is_token else []
    is_told = run._described and not is_token
    made.metadata = (run._metadata or run.metadata).copy() if is_told else {}
    made.data = data
    made.run = run
    made.extra = {}
    redactors = (audience or run._audience).redactors
    if not redactors:
        made._memo = None
        return made
    made._memo = asked_for(redactors)
    return made.settled()
