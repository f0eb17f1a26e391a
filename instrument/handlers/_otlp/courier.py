"""
`Courier`: sends what a spool keeps, the oldest first, in a thread of its own.
"""

from contextlib import suppress
from threading import Condition, Event, RLock
from time import monotonic

from instrument import _report
from instrument._delivery.threads import serve
from instrument._forks import fork_lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from threading import Thread

    from instrument.handlers._otlp.post import Refusal
    from instrument.handlers._otlp.spool import Spool

_IDLE_S = 5.0
_LONGEST_S = 60.0
"""How long it waits at most before it tries again."""


class Courier:
    """
    Empties a spool, and waits where the receiver takes nothing.

    Args:
        attempt: Sends a body of so many spans once; gives why it was not taken.
        lose: Counts spans that will never be sent.
        pause: Waits before attempt number N, and tells whether there is time for it.
        quiet: Makes a thread one of which nobody hears.
    """

    def __init__(
        self,
        spool: "Spool",
        attempt: "Callable[[bytes, int], Refusal | None]",
        lose: "Callable[[int, str], None]",
        pause: "Callable[[int, float | None], bool]",
        quiet: "Callable[[], None]",
    ) -> None:
        self._spool = spool
        self._attempt, self._lose, self._pause = attempt, lose, pause
        self._quiet = quiet
        self._lock = fork_lock()
        self.renew()

    def renew(self) -> None:
        """
        Begin anew: in a forked child no thread is at work.
        """
        self._thread: Thread | None = None
        self._woken = Event()
        # entered itself: an interrupt as a `Condition` is left has that stay locked
        self._looks = RLock()
        self._settled = Condition(self._looks)
        self._failed = 0

    def take(self, body: bytes, count: int) -> int:
        """
        Keep a batch of *count* spans, to be sent.

        Returns:
            How many older ones had to go for it.

        Raises:
            OSError: If it could not be kept.
        """
        lost = self._spool.add(body, count)
        self.wake()
        return lost

    def wake(self) -> None:
        """
        Have it look into the spool.
        """
        self._woken.set()
        with suppress(RuntimeError):  # none is to be had, or, at exit, can be started
            serve(self, self._work, "instrument OTLP spool")

    def settle(self, until: float, *, is_leaving: bool) -> bool:
        """
        Wait until what this process has kept was sent; leaving, also until it is clear
        that it cannot be: then it waits for the next process.
        """
        if self._thread is None and is_leaving:
            while not self._failed and monotonic() < until and self._send_one():
                pass
        with self._looks:
            while not self._spool.is_empty():
                left = until - monotonic()
                if left <= 0 or (is_leaving and self._failed):
                    return False
                if self._thread is None and not is_leaving:
                    self.wake()  # none was to be had
                self._settled.wait(min(left, 0.1))
        return True

    def _work(self) -> None:
        self._quiet()
        while True:
            self._woken.clear()
            try:
                is_sent = self._send_one()
            except Exception as exc:  # nobody is above to hear of it
                _report.failed_apart(self, "send", exc)
                is_sent = False
            if is_sent:
                continue
            if self._failed:
                if not self._pause(self._failed, None):
                    return
                continue
            if not self._woken.wait(_IDLE_S) and self._has_ended():
                return

    def _has_ended(self) -> bool:
        with self._lock:  # who wakes it now starts another
            self._thread = self._thread if self._woken.is_set() else None
            return self._thread is None

    def _send_one(self) -> bool:
        """
        Send the oldest batch, and tell whether it is done with.
        """
        claim = self._spool.oldest()
        if claim is None:
            self._failed = 0
            return False
        try:
            refusal = self._attempt(claim.read(), claim.count)
        except BaseException:
            claim.let_go()
            raise
        is_kept = refusal is not None and refusal.is_kept
        if refusal is not None and not is_kept:
            self._lose(claim.count, str(refusal))
        if is_kept:
            claim.let_go()
        else:
            claim.remove()
        with self._looks:
            self._failed = self._failed + 1 if is_kept else 0
            self._settled.notify_all()
        return not is_kept
