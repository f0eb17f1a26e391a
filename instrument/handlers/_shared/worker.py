"""
`Worker`: what handlers hand over, and the thread that serves it.

A call never waits for it. The thread begins when something comes, ends when nothing has
come for a while, and is begun anew in a forked child, which has nothing of the parent's.
"""

import sys
from abc import ABC, abstractmethod
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Event
from time import monotonic
from weakref import WeakSet

from instrument import _report
from instrument._audience.listener import Listener
from instrument._delivery.flush import flush_at_exit, with_each
from instrument._delivery.leaving import leave_with_process
from instrument._delivery.threads import serve
from instrument._forks import fork_lock, in_child
from instrument._interrupts import Taking
from instrument._state import MUTED, set_state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from threading import Thread
    from typing import Any

    from instrument._audience.plan import Layer

EXIT_WAIT_S = 5.0
"""How long all workers together may take at the interpreter's exit."""
_HURRIED_S = 1.0
"""The same, from an interrupt on."""
_IDLE_S = 5.0


class Worker(ABC):
    """
    A queue, and the thread that serves it in batches.

    Whoever derives from it says what a batch is, and what is done with one.
    """

    _thread_name = "instrument"
    _verb = "serve"
    _batch = 512
    """How many a batch has at most."""
    _delay_s = 1.0
    """How long is waited for more."""

    def __init__(self) -> None:
        self._lock = fork_lock()
        self._renew()
        self._at_exit = _AtExit()
        self._at_exit.take(self)
        flush_at_exit(self._at_exit)
        _all.add(self)

    # what each worker does in its way

    @abstractmethod
    def _serve_batch(self, batch: "list[Any]", *, is_due: bool) -> None:
        """
        Serve what has come.

        Args:
            is_due: Whether somebody waits for it to be done.
        """

    @abstractmethod
    def _size_of(self, item: "Any") -> int: ...

    @abstractmethod
    def _is_full(self, count: int, size: int) -> bool: ...

    @abstractmethod
    def _idles(self) -> None:
        """
        Nothing has come for a while.
        """

    @abstractmethod
    def _has_more(self) -> bool:
        """
        Tell whether there is work besides what is queued.
        """

    @abstractmethod
    def _lost_at_exit(self, count: int) -> None:
        """
        Say that *count* could not be served in time.
        """

    # what all do alike

    def drain(self, timeout_s: float, *, is_leaving: bool = False) -> bool:
        """
        Wait until what waits now has been served.

        Args:
            is_leaving: Whether the process goes: no time is left for more.

        Returns:
            Whether that was in time.
        """
        until = monotonic() + timeout_s
        if is_leaving:
            self._until: float | None = until
            self._stopping.set()
        return self._drain_queue(until)

    def leave(self) -> None:
        """
        Serve what can be at exit, and say what was lost.
        """
        for worker in [*_all]:
            worker._hurry.put(None)
        is_done = False
        try:
            is_done = self._is_drained_at_exit()
        finally:
            if not is_done and self._waiting:
                self._lost_at_exit(self._waiting)

    def _is_drained_at_exit(self) -> bool:
        try:
            return self.drain(_exit_left_s(), is_leaving=True)
        except BaseException:  # Ctrl-C of who waits no longer: what is quick is done
            _kept[:] = [min([*_kept, monotonic() + _HURRIED_S])]
            self.drain(_exit_left_s(), is_leaving=True)
            raise

    def _drain_queue(self, until: float) -> bool:
        is_at_work = self._thread is not None
        if not is_at_work and not self._items.qsize() and not self._has_more():
            return True
        done = Event()
        with self._lock:
            self._draining += 1
        self._items.put(done)
        self._hurry.put(None)
        if self._thread is None:
            self._start()
        if self._thread is None:  # at exit, from Python 3.12 on, none can be started
            self._serve_until(until)
        return done.wait(max(until - monotonic(), 0.0))

    def _serve_until(self, until: float) -> None:
        """
        Serve in this thread: also what is tried again and again has then an end.
        """
        before, self._until = self._until, until
        try:
            while self._items.qsize() and monotonic() < until:
                self._serve()
        finally:
            self._until = before

    def _renew(self) -> None:
        """
        Begin anew: in a forked child, what waits is the parent's to serve.
        """
        self._items: SimpleQueue[Any] = SimpleQueue()
        self._thread: Thread | None = None
        self._hurry: SimpleQueue[None] = SimpleQueue()  # an Event is not re-entrant
        self._stopping = Event()
        self._until = None
        self._held = self._draining = self._waiting = 0

    def _queue(self, item: "Any", size: int, taking: Taking) -> None:
        with self._lock:
            self._held += size
            self._waiting += 1
            taking.is_taken = True
            self._items.put(item)
        if self._thread is None:
            self._start()

    def _start(self) -> None:
        leave_with_process(_leave_all)
        with suppress(RuntimeError):  # none is to be had now, or at exit: later, then
            serve(self, self._work, self._thread_name)

    def _work(self) -> None:
        be_quiet()
        while True:
            try:
                if not self._serve() and self._has_ended():
                    return
            except Exception as exc:  # nobody is above to hear of it
                _report.failed_apart(self, self._verb, exc)

    def _has_ended(self) -> bool:
        with self._lock:
            at_work, self._thread = self._thread, None  # who puts now starts another
            if not (self._items.qsize() or self._has_more()):
                return True
            self._thread = at_work
            return False

    def _serve(self) -> bool:
        """
        Serve one batch, if anything comes, and tell whether that was so.
        """
        try:
            first = self._items.get(timeout=_IDLE_S)
        except Empty:
            self._idles()
            return False
        if type(first) is not Event and not self._draining:
            self._wait_for_more()
        batch, done = self._gathered(first)
        try:
            self._serve_batch(batch, is_due=done is not None)
        finally:
            with self._lock:
                self._waiting -= len(batch)
                self._draining -= done is not None
            if done is not None:
                done.set()
        return True

    def _wait_for_more(self) -> None:
        """
        Wait until there is a whole batch, or for a while.
        """
        with suppress(Empty):
            if self._items.qsize() < self._batch:
                self._hurry.get(timeout=self._delay_s)
            while True:
                self._hurry.get_nowait()

    def _gathered(self, first: "Any") -> "tuple[list[Any], Event | None]":
        """
        Take what waits, up to where somebody waits for it.
        """
        batch: list[Any] = []
        item, size = first, 0
        with suppress(Empty):
            while type(item) is not Event:
                batch.append(item)
                size += self._size_of(item)
                if self._is_full(len(batch), size):
                    break
                item = self._items.get_nowait()
        with self._lock:
            self._held -= size
        return batch, item if type(item) is Event else None


class _AtExit(Listener):
    """
    What is flushed when the interpreter goes, behind all that it ends.
    """

    __slots__ = ()

    def flusher(
        self, name: str, layer: "Layer | None" = None
    ) -> "Callable[[], Any] | None":
        return self.handler.leave if name == "flush" else None


_all: "WeakSet[Worker]" = WeakSet()


def _leave_all() -> None:
    with_each([*_all], lambda worker: worker.leave())


@in_child
def _begin_anew() -> None:
    for worker in [*_all]:
        worker._renew()


def be_quiet() -> None:
    """
    Make this thread one of which nobody hears, nor OpenTelemetry's instrumentations.
    """
    set_state(MUTED)
    context: Any = sys.modules.get("opentelemetry.context")
    if hasattr(context, "attach"):  # or another thread is still importing it
        for name in ("suppress_instrumentation", "suppress_http_instrumentation"):
            context.attach(context.set_value(name, True))


_kept: "list[float]" = []


def _exit_left_s() -> float:
    if not _kept:
        _kept.append(monotonic() + EXIT_WAIT_S)
    return max(_kept[0] - monotonic(), 0.0)
