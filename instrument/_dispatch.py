"""
From an event to the handlers: one loop that no handler can break.

While it runs the state is `MUTED`, so that what a handler itself calls is not heard.
A handler that answers with a coroutine is awaited in place in async code, and queued
in sync code; the loop goes on behind it either way.
"""

from instrument import _ids, _report
from instrument._event import Event

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import Any

    from instrument._listener import Listener
    from instrument._plan import Layer, Receivers
    from instrument._run import Run

    Waiting = tuple[Awaitable[Any], Listener, Layer]

_PLAIN = frozenset((type(None), bool, int, str, list, dict))


class Delivery:
    """
    One event on its way through its receivers.

    Args:
        args: The positional arguments, for those who take the event typed.
        kwargs: The keyword arguments.
        data: Makes the ``data`` of the `Event`, once, if anybody takes events.

    Attributes:
        error: The first error of a handler that has ``raise_error``; it is raised
            when all have heard.
    """

    __slots__ = (
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

    def __init__(  # noqa: PLR0913 - an event's parts
        self,
        run: "Run",
        event: str,
        receivers: "Receivers",
        args: "tuple[Any, ...]",
        kwargs: "dict[str, Any]",
        data: "Callable[[Run], dict[str, Any]]",
    ) -> None:
        self._run = run
        self._event = event
        self._receivers = receivers.entries
        self._args = args
        self._kwargs = kwargs
        self._data = data
        self._index = 0
        self._record: Event | None = None
        self.error: BaseException | None = None

    def step(self) -> "Waiting | None":
        """
        Go on until a handler answers with an awaitable, or to the end.

        Returns:
            What is to be served before the next step, or None when all have heard.
        """
        receivers = self._receivers
        while self._index < len(receivers):
            method, listener, layer, native = receivers[self._index]
            self._index += 1
            try:
                if native:
                    result = method(self._recorded(), run=self._run)
                else:
                    result = method(*self._args, **self._kwargs)
            except (Exception, SystemExit) as exc:  # noqa: BLE001 - reported; the call goes on
                _report.failed(listener.handler, self._event, exc)
                self._failed(listener, exc)
                continue
            if type(result) not in _PLAIN and hasattr(type(result), "__await__"):
                return result, listener, layer
        return None

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
            raise self.error

    def put_off(self, waiting: "Waiting") -> "Waiting | None":
        """
        Queue what is to be served, and go on.
        """
        from instrument import _lanes  # imports asyncio; most processes have no need

        result, listener, layer = waiting
        self._failed(listener, _lanes.queue(result, listener, layer, self._event))
        return self.step()

    async def later(self, waiting: "Waiting | None") -> None:
        """
        Finish in async code: what *waiting* holds is served in place.

        Raises:
            Exception: `error`.
            CancelledError: If the task is cancelled meanwhile; the others hear all
                the same.
        """
        from instrument import _lanes

        while waiting is not None:
            result, listener, layer = waiting
            try:
                exc = await _lanes.in_place(result, listener, layer, self._event)
            except BaseException:
                waiting = self.step()
                while waiting is not None:
                    waiting = self.put_off(waiting)
                raise
            self._failed(listener, exc)
            waiting = self.step()
        if self.error is not None:
            raise self.error

    def _failed(self, listener: "Listener", exc: BaseException | None) -> None:
        if exc is not None and listener.raises and self.error is None:
            self.error = exc

    def _recorded(self) -> Event:
        if self._record is None:
            self._record = recorded(self._run, self._event, self._data(self._run))
        return self._record


def recorded(run: "Run", event: str, data: "dict[str, Any]") -> Event:
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
