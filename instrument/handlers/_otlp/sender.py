"""
`Sender`: sends the spans of runs that have ended to one receiver.

One sender serves all handlers with the same receiver, so that a handler made for each
request costs no thread each.
"""

import random
from time import monotonic, sleep
from weakref import WeakValueDictionary

from instrument import _report
from instrument._forks import fork_lock
from instrument._interrupts import Taking
from instrument.handlers._otlp import spans, wire
from instrument.handlers._otlp.courier import Courier
from instrument.handlers._otlp.metrics import Metrics
from instrument.handlers._otlp.post import Post, Refusal
from instrument.handlers._otlp.spool import Spool
from instrument.handlers._shared.worker import Worker, be_quiet

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from instrument.handlers._otlp.target import Target
    from instrument.handlers._shared.spans.told import Told

BATCH = 512
"""How many spans one request has at most."""
_BATCH_CHARS = 2_000_000
_HELD_CHARS = 64_000_000
"""Beyond so many that wait, spans are told without payloads."""
_jitter = random.Random().uniform  # noqa: S311 - the application's own draws stay the same
_SPOOLED_S = 0.1
"""How long a batch is gathered: what is in one is lost with the process."""
_METRICS_S = 60.0
_TRIES = 6
_LONGEST_S = 60.0


class Sender(Worker):
    """
    What waits for one receiver in this process.

    Attributes:
        sent: How many spans were taken.
        dropped: How many never will be.
        failures: How many attempts to send were not taken.
    """

    _thread_name = "instrument OTLP"
    _verb = "send"
    _batch = BATCH

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
        self._courier: Courier | None = None
        super().__init__()
        if spool is not None:
            kept = Spool(spool, target.key)
            self._courier = Courier(
                kept, self._attempt, self.lose, self._pause, be_quiet
            )
            self._delay_s = _SPOOLED_S
            if not kept.is_empty(of_all=True):
                self._courier.wake()

    def has_place(self) -> bool:
        """
        Tell whether there is place for one more; where there is none, count it as lost.
        """
        if self._items.qsize() < self._maxsize:
            return True
        self.lose(1, f"{self._maxsize:,} spans wait already")
        return False

    def put(self, told: "Told", taking: Taking | None = None) -> None:
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
        self._queue(told, size, taking or Taking())
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
        if not super().drain(timeout_s, is_leaving=is_leaving):
            return False
        if self._courier is None:
            return True
        return self._courier.settle(until, is_leaving=is_leaving)

    def _renew(self) -> None:
        """
        Begin anew: in a forked child, what waits is the parent's to send.
        """
        super()._renew()
        self.sent = self.dropped = self.failures = 0
        self._metrics = None if self._metrics_post is None else Metrics()
        self._metrics_due = monotonic() + _METRICS_S
        if self._courier is not None:
            self._courier.renew()

    def _serve_batch(self, batch: "list[Told]", *, is_due: bool) -> None:
        if batch:
            self._send(batch)
        self._send_metrics(is_due=is_due)

    def _size_of(self, item: "Told") -> int:
        return item.size

    def _is_full(self, count: int, size: int) -> bool:
        return count >= BATCH or size > _BATCH_CHARS

    def _idles(self) -> None:
        self._send_metrics()

    def _lost_at_exit(self, count: int) -> None:
        self._complain(f"lost {count} spans that were not sent in time at exit")

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
        try:
            self._hand_over(encoded)
        except Exception:
            self.lose(len(encoded), "they could not be sent")
            raise

    def _hand_over(self, encoded: "list[bytes]") -> None:
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
            metrics.is_news = refusal.is_passing
            self.failures += 1
            if self.failures == 1:
                self._complain(f"cannot send metrics: {refusal}")

    def _has_more(self) -> bool:
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


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("instrument-callbacks")
    except PackageNotFoundError:  # run from a checkout
        return ""
