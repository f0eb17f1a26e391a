"""
`Sender`: a bounded queue of runs that have ended, and the thread that sends their spans.

One sender serves all handlers with the same receiver, so that a handler made for each
request costs no thread each. Its thread ends when nothing has come for a while.
"""

import random
import sys
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Event, Thread
from time import monotonic, sleep
from weakref import WeakSet, WeakValueDictionary

from instrument import _report
from instrument._audience.listener import Listener
from instrument._delivery.flush import flush_at_exit
from instrument._forks import fork_lock, in_child
from instrument._state import MUTED, set_state
from instrument.handlers._otlp import spans, wire
from instrument.handlers._otlp.courier import Courier
from instrument.handlers._otlp.metrics import Metrics
from instrument.handlers._otlp.post import Post, Refusal
from instrument.handlers._otlp.spool import Spool

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from instrument._audience.plan import Layer
    from instrument.handlers._otlp.target import Target
    from instrument.handlers._shared.spans.told import Told

EXIT_WAIT_S = 5.0
"""How long all senders together may take at the interpreter's exit."""
BATCH = 512
"""How many spans one request has at most."""
_BATCH_CHARS = 2_000_000
_HELD_CHARS = 64_000_000
"""Beyond so many that wait, spans are told without payloads."""
_DELAY_S = 1.0
_jitter = random.Random().uniform  # noqa: S311 - the application's own draws stay the same
_SPOOLED_S = 0.1
"""How long a batch is gathered: what is in one is lost with the process."""
_IDLE_S = 5.0
_METRICS_S = 60.0
_TRIES = 6
_LONGEST_S = 60.0


class Sender:
    """
    What waits for one receiver in this process.

    Attributes:
        sent: How many spans were taken.
        dropped: How many never will be.
        failures: How many attempts to send were not taken.
    """

    def __init__(
        self,
        target: "Target",
        resource: "dict[str, Any]",
        dialect: str,
        *,
        has_metrics: bool,
        spool: object,
        maxsize: int,
    ) -> None:
        self.target = target
        self._resource, self._dialect, self._maxsize = resource, dialect, maxsize
        self._post = Post(target)
        self._metrics_post = Post(target.metrics()) if has_metrics else None
        self._lock = fork_lock()
        self._courier: Courier | None = None
        self._renew()
        if spool is not None:
            kept = Spool(spool, target.key)
            self._courier = Courier(
                kept, self._attempt, self.lose, self._pause, _be_quiet
            )
            if not kept.is_empty(of_all=True):
                self._courier.wake()
        self._at_exit = _AtExit(self)
        flush_at_exit(self._at_exit)
        _all.add(self)

    def has_place(self) -> bool:
        """
        Tell whether there is place for one more; where there is none, count it as lost.
        """
        if self._items.qsize() < self._maxsize:
            return True
        self.lose(1, f"{self._maxsize:,} spans wait already")
        return False

    def put(self, told: "Told") -> None:
        """
        Queue the span of a run that has ended.

        When there is little place left, what happened within it goes first, then what
        went in and came out.
        """
        waiting = self._items.qsize()
        if waiting > self._maxsize // 2:
            told.without_events()
        size = told.size
        if self._held + size > _HELD_CHARS:
            told.without_payload()
            size = told.size
        with self._lock:
            self._held += size
            self._waiting += 1
        self._items.put(told)
        if self._thread is None:
            self._start()
        if waiting == BATCH:
            self._hurry.put(None)

    def drain(self, timeout_s: float, *, is_leaving: bool = False) -> bool:
        """
        Wait until what waits now has been sent or is given up.

        Args:
            is_leaving: Whether the process goes: no time is left for more.

        Returns:
            Whether that was in time.
        """
        until = monotonic() + timeout_s
        if is_leaving:
            self._until: float | None = until
            self._stopping.set()
        if not self._drain_queue(until):
            return False
        if self._courier is None:
            return True
        return self._courier.settle(until, is_leaving=is_leaving)

    def leave(self) -> None:
        """
        Send what can be at exit, and say what was lost.
        """
        for sender in [*_all]:
            sender._hurry.put(None)
        is_done = self.drain(_exit_left_s(), is_leaving=True)
        if not is_done and self._waiting:
            self._complain(
                f"lost {self._waiting} spans that were not sent in time at exit"
            )

    def _drain_queue(self, until: float) -> bool:
        is_at_work = self._thread is not None
        if not is_at_work and not self._items.qsize() and not self._has_metrics():
            return True
        done = Event()
        with self._lock:
            self._draining += 1
        self._items.put(done)
        self._hurry.put(None)
        if self._thread is None:
            self._start()
        if self._thread is None:  # at exit, from Python 3.12 on, none can be started
            while self._items.qsize() and monotonic() < until:
                self._serve()
        return done.wait(max(until - monotonic(), 0.0))

    def _renew(self) -> None:
        """
        Begin anew: in a forked child, what waits is the parent's to send.
        """
        self.sent = self.dropped = self.failures = 0
        self._items: SimpleQueue[Told | Event] = SimpleQueue()
        self._thread: Thread | None = None
        self._hurry: SimpleQueue[None] = SimpleQueue()  # an Event is not re-entrant
        self._stopping = Event()
        self._until = None
        self._held = self._draining = self._waiting = 0
        self._metrics = None if self._metrics_post is None else Metrics()
        self._metrics_due = monotonic() + _METRICS_S
        if self._courier is not None:
            self._courier.renew()

    def _start(self) -> None:
        with self._lock:
            if self._thread is not None:
                return
            thread = Thread(target=self._work, name="instrument OTLP", daemon=True)
            self._thread = thread
        try:
            thread.start()
        except RuntimeError:  # none is to be had now, or at exit: later, then
            self._thread = None

    def _work(self) -> None:
        _be_quiet()
        while True:
            try:
                if not self._serve() and self._has_ended():
                    return
            except Exception as exc:  # nobody is above to hear of it
                _report.failed_apart(self, "send", exc)

    def _has_ended(self) -> bool:
        with self._lock:
            at_work, self._thread = self._thread, None  # who puts now starts another
            if not (self._items.qsize() or self._has_metrics()):
                return True
            self._thread = at_work
            return False

    def _serve(self) -> bool:
        """
        Send one batch, if anything comes, and tell whether that was so.
        """
        try:
            first = self._items.get(timeout=_IDLE_S)
        except Empty:
            self._send_metrics()
            return False
        if type(first) is not Event and not self._draining:
            self._wait_for_more()
        batch, done = self._gathered(first)
        try:
            if batch:
                self._send(batch)
            self._send_metrics(is_due=done is not None)
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
        delay_s = _DELAY_S if self._courier is None else _SPOOLED_S
        with suppress(Empty):
            if self._items.qsize() < BATCH:
                self._hurry.get(timeout=delay_s)
            while True:
                self._hurry.get_nowait()

    def _gathered(self, first: "Told | Event") -> "tuple[list[Told], Event | None]":
        """
        Take what waits, up to where somebody waits for it.
        """
        batch: list[Told] = []
        item, chars = first, 0
        with suppress(Empty):
            while type(item) is not Event:
                batch.append(item)  # type: ignore[arg-type]
                chars += item.size  # type: ignore[union-attr]
                if len(batch) >= BATCH or chars > _BATCH_CHARS:
                    break
                item = self._items.get_nowait()
        with self._lock:
            self._held -= chars
        return batch, item if type(item) is Event else None

    def _send(self, batch: "list[Told]") -> None:
        encoded = []
        for told in batch:
            try:
                encoded.append(spans.encoded(told, self._dialect))
                if self._metrics is not None:
                    self._metrics.add(told)
            except Exception as exc:
                self.lose(1, "one could not be written")
                _report.failed_apart(self, "write", exc)
        body = wire.request(self._resource, _version(), encoded)
        count = len(encoded)
        if self._courier is not None:
            try:
                lost = self._courier.take(body, count)
            except OSError as exc:
                _report.failed_apart(self, "spool", exc)
            else:
                if lost:
                    self.lose(lost, "the spool is full")
                return
        self._deliver(body, count)

    def _deliver(self, body: bytes, count: int) -> None:
        tried = 1
        while (refusal := self._attempt(body, count)) is not None:
            is_last = tried == _TRIES or not refusal.is_passing
            if is_last or not self._pause(tried, refusal.after_s):
                self.lose(count, str(refusal))
                return
            tried += 1

    def _attempt(self, body: bytes, count: int) -> Refusal | None:
        left = self.target.timeout_s
        if self._until is not None:
            left = max(min(left, self._until - monotonic()), 0.05)
        try:
            refused, why = self._post.send(body, left)
        except Refusal as refusal:
            self.failures += 1
            if self.failures in (1, 10, 100, 1_000, 10_000, 100_000):
                self._complain(self._trouble(refusal))
            return refusal
        self.sent += max(count - refused, 0)
        if refused:
            self.lose(min(refused, count), f"the receiver refused them: {why}")
        return None

    def _trouble(self, refusal: Refusal) -> str:
        if self.failures > 1:
            return f"could not send {self.failures:,} times, last as {refusal}"
        kept = "they wait in the spool" if self._courier else "`dropped` counts them"
        return (
            f"cannot send: {refusal}. The calls go on; of spans that are not taken,"
            f" {kept}"
        )

    def _pause(self, tried: int, after_s: float | None) -> bool:
        """
        Wait before one more attempt, and tell whether there is time for it.
        """
        wait_s = 2.0 ** min(tried - 1, 6) * _jitter(0.8, 1.2)
        wait_s = min(wait_s if after_s is None else after_s, _LONGEST_S)
        if self._until is None:
            self._stopping.wait(wait_s)
            return True
        if monotonic() + wait_s >= self._until:
            return False
        sleep(wait_s)
        return True

    def _send_metrics(self, *, is_due: bool = False) -> None:
        post, metrics = self._metrics_post, self._metrics
        if post is None or metrics is None or not metrics.is_news:
            return
        if not is_due and monotonic() < self._metrics_due:
            return
        self._metrics_due = monotonic() + _METRICS_S
        body = wire.request(self._resource, _version(), metrics.encoded())
        try:
            post.send(body, self.target.timeout_s)
        except Refusal as refusal:  # the next ones hold what these do
            self.failures += 1
            if self.failures == 1:
                self._complain(f"cannot send metrics: {refusal}")

    def _has_metrics(self) -> bool:
        return self._metrics is not None and self._metrics.is_news

    def lose(self, count: int, why: str) -> None:
        """
        Count spans that will never be sent.
        """
        with self._lock:
            is_first = self.dropped == 0
            self.dropped += count
        if is_first:
            self._complain(f"drops spans, `dropped` counts them: {why}")

    def _complain(self, what: str) -> None:
        _report.complain(f"OTLPHandler to {self.target.shown} {what}", None)


class _AtExit(Listener):
    """
    What is flushed when the interpreter goes, behind all that it ends.
    """

    __slots__ = ()

    def flusher(
        self, name: str, layer: "Layer | None" = None
    ) -> "Callable[[], Any] | None":
        return self.handler.leave if name == "flush" else None


_all: "WeakSet[Sender]" = WeakSet()
_senders: "WeakValueDictionary[Any, Sender]" = WeakValueDictionary()
_shared_lock = fork_lock()


def sender_for(
    target: "Target",
    resource: "dict[str, Any]",
    dialect: str,
    *,
    has_metrics: bool,
    spool: "Any",
    maxsize: int,
) -> Sender:
    """
    Give the sender of all handlers that have the same to say to the same receiver.
    """
    said = tuple(sorted(resource.items()))
    kept = None if spool is None else str(spool)
    key = (target.key, said, dialect, has_metrics, kept, maxsize)
    with _shared_lock:
        known = _senders.get(key)
        if known is None:
            options = {"has_metrics": has_metrics, "spool": spool, "maxsize": maxsize}
            known = _senders[key] = Sender(target, resource, dialect, **options)
        return known


@in_child
def _begin_anew() -> None:
    for sender in [*_all]:
        sender._renew()


def _be_quiet() -> None:
    """
    Make this thread one of which nobody hears, nor OpenTelemetry's instrumentations.
    """
    set_state(MUTED)
    context: Any = sys.modules.get("opentelemetry.context")
    if context is not None:
        for name in ("suppress_instrumentation", "suppress_http_instrumentation"):
            context.attach(context.set_value(name, True))


_kept: "list[Any]" = []


def _exit_left_s() -> float:
    if not _kept:
        _kept.append(monotonic() + EXIT_WAIT_S)
    return max(float(_kept[0]) - monotonic(), 0.0)


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("instrument-callbacks")
    except PackageNotFoundError:  # run from a checkout
        return ""
