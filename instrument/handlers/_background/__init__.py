"""
`background`: a handler with a queue and a thread of its own.
"""

from functools import cache, partial
from time import monotonic
from weakref import WeakSet

from instrument import _report
from instrument._delivery import loops as _loops
from instrument._delivery.flush import flush_at_exit, with_each
from instrument._delivery.leaving import leave_with_process
from instrument.handlers._background.event_queue import EventQueue
from instrument.handlers._shared.checks import checked_size
from instrument.handlers._shared.wrapper import Wrapped, read_now

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from instrument._audience.plan import Layer

EXIT_WAIT_S = 5.0
"""How long all background handlers together may take at the interpreter's exit."""


class Background(Wrapped):
    """
    What `background` gives.
    """

    def __init__(self, handler: object, maxsize: int) -> None:
        super().__init__(handler, "background")
        if self.raises:
            message = (
                f"background() cannot take {_report.described(self.handler)}, whose"
                " raise_error is True: from another thread it can stop nothing. Give"
                " the handler itself to callbacks()."
            )
            raise TypeError(message)
        if self._inner.needs_its_place:
            message = (
                f"background() cannot take {handler!r}, which must hear where and when"
                " things happen: give it to callbacks() itself, and tail() around it,"
                " tail(background(handler))."
            )
            raise TypeError(message)
        self._maxsize = maxsize
        self._queues: dict[int, EventQueue] = {}
        flush_at_exit(self)
        _all.add(self)

    @property
    def dropped(self) -> int:
        """
        How many events found the queue full, in this process.
        """
        return self._queue.dropped

    def flush(self, timeout: float = _loops.WAIT_S) -> bool:
        """
        Wait until what is queued now has been served, and flush the handler.

        Args:
            timeout: Seconds; leaving a block waits for 30 at most, then reports it.

        Returns:
            Whether it was done in time. In the handler's own thread it never is.
        """
        queue = self._queue
        if queue.is_served_here():
            return False
        done = queue.marked()
        return done is None or queue.wait(done, timeout)

    async def aflush(self, timeout: float = _loops.WAIT_S) -> bool:  # noqa: ASYNC109 - the twin of flush
        """
        The same in async code, on asyncio or trio.
        """
        queue = self._queue
        if queue.is_served_here():
            return False
        done = queue.marked()
        if done is None:
            return True
        if _loops.in_trio():
            from trio import to_thread

            wait = partial(queue.wait, done, timeout)
            return await to_thread.run_sync(wait, abandon_on_cancel=True)

        import asyncio

        served, _ = await asyncio.wait({asyncio.wrap_future(done)}, timeout=timeout)
        return bool(served)

    def method(self, event: str) -> "Callable[..., Any] | None":
        method = self._inner.method(event)
        if method is None:
            return None

        def hear(*args: "Any", **kwargs: "Any") -> None:
            read_now(args, kwargs.get("run"))
            taking = partial(method, *args, **kwargs)
            self._queue.put(event, taking)

        return hear

    @property
    def flushes(self) -> bool:
        return True

    def flusher(self, name: str, layer: "Layer | None" = None) -> "Callable[[], Any]":
        return self._aleave if name == "aflush" else self._leave

    @property
    def _queue(self) -> "EventQueue":
        forks = _loops.FORKS.count
        known = self._queues.get(forks)
        if known is None:  # setdefault: of two threads, one makes the queue
            leave_with_process(_leave_all, is_first=True)
            fresh = EventQueue(self._inner, self._maxsize)
            known = self._queues.setdefault(forks, fresh)
        return known

    def _leave(self) -> None:
        if _report.Exit.has_begun:
            self.leave()
        else:
            self._complain(is_served=self.flush(_loops.WAIT_S))

    def leave(self) -> None:
        """
        Serve what can be as the process goes, and say what was lost.
        """
        is_served = False
        try:
            is_served = self.flush(max(_exit_ends_at() - monotonic(), 0))
        finally:  # Ctrl-C of who waits no longer
            self._queue.tell_losses(is_served=is_served)

    async def _aleave(self) -> None:
        self._complain(is_served=await self.aflush(_loops.WAIT_S))

    def _complain(self, *, is_served: bool) -> None:
        if not is_served:
            what = f"flush in background (waited {_loops.WAIT_S:.0f} s)"
            _report.failed(self.handler, what, TimeoutError("it is still at work"))


def background(handler: object, maxsize: int = 10_000) -> Background:
    """
    Serve *handler* in a thread of its own, so that the call never waits for it.

    It hears its events in order, later. The `run` that it is given is the live one and
    may have gone on since: an `Event`, and what comes as arguments, is as it was. Async
    methods are awaited on a loop of that thread, which runs only meanwhile.

    When its queue is full, what comes is dropped, counted in ``dropped`` and reported
    once. Leaving a block waits until the handler has heard all of it and flushes it, at
    most 30 s; the interpreter's exit waits at most 5 s and says what was lost. A forked
    child begins with an empty queue.

    Args:
        handler: What `callbacks` takes. One whose `raise_error` is True is refused.
        maxsize: How many events may wait; several threads that put one at the same
            time may go over it by their number.

    Raises:
        TypeError: For what is no handler or cannot work in background, or a *maxsize*
            that is no integer.
        ValueError: For a *maxsize* below 1.
    """
    return Background(handler, checked_size("background(maxsize=...)", maxsize))


_all: "WeakSet[Background]" = WeakSet()


def _leave_all() -> None:
    with_each([*_all], lambda each: each.leave())


@cache
def _exit_ends_at() -> float:
    return monotonic() + EXIT_WAIT_S
