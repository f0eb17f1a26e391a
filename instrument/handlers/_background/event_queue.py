"""
`EventQueue`: a bounded queue of calls of one handler, and the thread that makes them.

The thread knows the items, never the queue nor the handler, which may keep runs that it
was told of and so the queue: one that everybody has dropped is collected, and its thread
ends when it has served what was left.
"""

import weakref
from concurrent.futures import Future
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from queue import Empty, SimpleQueue
from threading import RLock, current_thread
from time import monotonic

from instrument import _report
from instrument._delivery.flush import flushed
from instrument._delivery.loops import close_unserved, is_awaitable
from instrument._delivery.threads import serve
from instrument._interrupts import is_of_call
from instrument._state import MUTED, set_state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from asyncio import Runner
    from collections.abc import Callable
    from threading import Thread
    from typing import Any

    from instrument._audience.listener import Listener

    Item = tuple[str, partial[Any], Listener]

_FLUSH = "flush"


class EventQueue:
    """
    What waits for one handler in this process, and the thread that serves it.
    """

    def __init__(self, inner: "Listener", maxsize: int) -> None:
        self.dropped = 0
        self._inner = inner
        self._maxsize = maxsize
        self._items: SimpleQueue[Item | None] = SimpleQueue()  # put() is re-entrant
        self._thread: Thread | None = None
        self._lock = RLock()
        self._is_told = False
        self._shows_all = True  # of what it has heard
        weakref.finalize(self, self._items.put, None).atexit = False

    def put(self, event: str, call: "partial[Any]") -> None:
        """
        Queue one call of the handler, or drop it.
        """
        if self._thread is None:
            self._start()
        run = call.keywords.get("run")
        if run is not None and not run._audience.shows_all:
            self._shows_all = False
        is_full = self._items.qsize() >= self._maxsize
        item, call.is_taken = (event, call, self._inner), True  # type: ignore[attr-defined]
        if not is_full:  # no interrupt comes between
            self._items.put(item)
        else:
            self._drop()

    def is_served_here(self) -> bool:
        """
        Tell whether this is the thread that serves, and so must not wait for it.
        """
        return self._thread is current_thread()

    def marked(self) -> "Future[None] | None":
        """
        Queue a flush; None where nothing was ever queued.
        """
        if self._thread is None and self._items.empty():
            return None
        done: Future[None] = Future()
        show = None if self._shows_all else _nothing
        self._items.put((_FLUSH, partial(flushed, self._inner, show), self._inner))
        self._items.put((_FLUSH, partial(done.set_result, None), self._inner))
        return done

    def wait(self, done: "Future[None]", timeout: float) -> bool:
        """
        Wait for a flush, and tell whether it was done in time.

        At exit it is done here, if no thread could be started to do it.
        """
        has_thread = self._thread is not None and self._thread.is_alive()
        if _report.Exit.has_begun and not has_thread:
            until = monotonic() + timeout
            is_over = lambda: done.done() or monotonic() >= until  # noqa: E731
            copy_context().run(_serve_all, self._items, is_over)
            return done.done()
        try:
            done.result(timeout)
        except TimeoutError as exc:
            if is_of_call(exc):
                raise
            return False
        return True

    def tell_losses(self, *, is_served: bool) -> None:
        """
        Say at exit what the handler has not heard, once.
        """
        left = 0 if is_served else self._emptied()
        if self._is_told or not (left or self.dropped):
            return
        self._is_told = True
        name = _report.described(self._inner.handler)
        message = (
            f"background({name}) lost {left + self.dropped} events: {self.dropped} found"
            f" its queue full, {left} were not served in time at exit"
        )
        _report.complain(message, None)

    def _emptied(self) -> int:
        """
        Take out what is left, and count the events.
        """
        count = 0
        with suppress(Empty):
            while True:
                item = self._items.get_nowait()
                count += item is not None and item[0] is not _FLUSH
        return count

    def _start(self) -> None:
        import asyncio  # noqa: F401 - here it can be told that it cannot be had

        try:
            serve(self, _serve_all, "instrument background", self._items)
        except RuntimeError:
            # at exit, from Python 3.12 on, none can be started: flush serves instead
            if not _report.Exit.has_begun:
                raise

    def _drop(self) -> None:
        with self._lock:
            self.dropped += 1
            is_first = self.dropped == 1
        if is_first:
            name = _report.described(self._inner.handler)
            message = (
                f"background({name}) drops events: its queue of {self._maxsize} is full,"
                " as the handler is slower than what it hears; `dropped` counts them"
            )
            _report.complain(message, None)


def _serve_all(
    items: "SimpleQueue[Item | None]", is_over: "Callable[[], bool]" = lambda: False
) -> None:
    """
    Serve what is queued, in order, until there comes None or it is over.
    """
    import asyncio

    set_state(MUTED)
    runner = asyncio.Runner()  # makes its loop, of descriptors, at the first awaitable
    try:
        while not is_over():
            item = items.get()
            if item is None:
                return
            _serve_one(item, runner)
            del item  # it holds the run, and so the wrapper
    finally:
        runner.close()


def _serve_one(item: "Item", runner: "Runner") -> None:
    try:
        result = item[1]()
        if is_awaitable(result):
            _await(result, runner, partial(_failed, item))
    except BaseException as exc:  # nobody is above to hear of it
        _failed(item, exc)


def _failed(item: "Item", exc: BaseException) -> None:
    event, call, inner = item
    run = call.keywords.get("run")
    show = None if run is None else run._audience.shows()
    _report.failed_apart(inner.handler, event, exc, show=show, run=run)


def _nothing(told: object) -> None:
    """
    Show nothing of a flush's report: it may be of anything that was heard.
    """


def _await(
    awaitable: "Any", runner: "Runner", failed: "Callable[[BaseException], None]"
) -> None:
    awaiting = _awaited(awaitable, failed)
    try:
        runner.run(awaiting)
    except BaseException:  # maybe no loop could be made: Python would warn of both
        awaiting.close()
        close_unserved(awaitable)
        raise


async def _awaited(awaitable: "Any", failed: "Callable[[BaseException], None]") -> None:
    try:
        await awaitable
    except BaseException as exc:  # told here: a `Runner` keeps what passes through it
        failed(exc)
