"""
`Writer`: writes what all handlers of a process are told into one store.
"""

import os
import sqlite3
from _thread import get_ident
from threading import Lock
from time import monotonic, sleep
from weakref import WeakValueDictionary

from instrument import _report
from instrument._forks import fork_lock
from instrument._interrupts import Taking
from instrument.exceptions import StoreError
from instrument.handlers._shared.worker import Worker
from instrument.handlers._store.forking import came_along, rests_at_forks
from instrument.handlers._store.ledger import Ledger
from instrument.handlers._store.processes import HEARTBEAT_S, is_entered
from instrument.handlers._store.pruning import Bounds, prune
from instrument.handlers._store.tables import writing
from instrument.handlers._store.told import Told

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

    from instrument._payloads.event import Event
    from instrument._runs.run import Run

_MOST_WAITING = 100_000
_MANY_WAITING = 4_000
"""Beyond so many, which take a tenth of a second to write, telling waits a step each."""
_STEP_S = 0.001
_HELD_CHARS = 64_000_000
"""Beyond so many that wait, events are told without what they carry."""
_BATCH = 10_000
_BATCH_CHARS = 8_000_000
_TRY_AGAIN_S = 1.0
_NO_ROOM = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR)
_PRUNED_S, _PRUNING_S = 30.0, 0.5
_MOST_THREADS = 1_000


class Writer(Worker):
    """
    What waits for one store in this process.

    Attributes:
        lost: How many events will never be written.
        in_sqlite: Held by who is: a fork waits for that.
    """

    _thread_name = "instrument store"
    _verb = "write"
    _batch = 512
    _delay_s = 0.03

    def __init__(self, path: "Path") -> None:
        self.path = path
        self.bounds = Bounds()
        self._ledger: Ledger | None = None
        self.is_shared = False
        self.in_sqlite = Lock()
        super().__init__()
        rests_at_forks(self)

    def tell(self, event: "Event", run: "Run | None", taking: Taking) -> None:
        """
        Take an event, to be written.
        """
        if self.is_shared and self._has_heard(event):
            return
        try:
            self._tell(event, run, taking)
        except BaseException:
            if not taking.is_taken:  # it is told once more
                self._last.pop(get_ident(), None)
            raise

    def _tell(self, event: "Event", run: "Run | None", taking: Taking) -> None:
        if self._waiting >= _MOST_WAITING:
            taking.is_taken = True
            self.lose(1, f"{_MOST_WAITING:,} events wait already")
            return
        told = Told(event, run)
        size = told.size
        if self._waiting > _MANY_WAITING and not self._is_failing:
            sleep(_STEP_S)  # who writes comes to it when those who tell do not
        if self._held + size > _HELD_CHARS:
            self._complain_once(
                "held", "leaves out what events carry: too much waits to be written"
            )
            told.without_payload()
            size = told.size
        self._queue(told, size, taking)

    def lose(self, count: int, why: str, *, waited: int = 0) -> None:
        """
        Count events that will never be written.

        Args:
            waited: How many of them have been counted among those that wait.
        """
        with self._lock:
            if self._has_gone:
                return
            self.lost += count
            self._waiting -= waited
        self._complain_once("lost", f"loses events, `lost` counts them: {why}")

    def _renew(self) -> None:
        super()._renew()
        if self._ledger is not None and not self._ledger.is_resting:
            came_along(self.path, self._ledger)
        self._ledger = None
        self.lost = 0
        self._said: set[str] = set()
        self._last: dict[int, tuple[object, int]] = {}
        self._beat = self._pruned = 0.0
        self._is_failing = self._is_full_up = False
        self._fits = _BATCH
        self._has_gone = False

    def _has_heard(self, event: "Event") -> bool:
        """
        Tell whether another handler with this store has just told of it.
        """
        mark = event.run_id, event.seq
        thread = get_ident()
        if self._last.get(thread) == mark:
            return True
        if len(self._last) >= _MOST_THREADS:  # they come and go
            self._last.clear()
        self._last[thread] = mark
        return False

    def _size_of(self, item: Told) -> int:
        return item.size

    def _is_full(self, count: int, size: int) -> bool:
        return count >= _BATCH or size > _BATCH_CHARS

    def leave(self) -> None:
        super().leave()
        if not self._waiting:
            self._close()

    def __del__(self) -> None:
        self._close()

    def _serve_batch(self, batch: "list[Told]", *, is_due: bool) -> None:
        while batch and not self._has_gone:
            some = batch[: self._fits]
            if self._has_written(some):
                self._fits = min(2 * self._fits, _BATCH)
                del batch[: len(some)]
            elif self._is_full_up and len(some) > 1:
                self._fits = len(some) // 2  # what there is room for is kept
            elif not self._may_try_again():
                self.lose(len(batch), "no time is left", waited=len(batch))
                batch.clear()
        self._keeps_house()

    def _has_written(self, batch: "list[Told]") -> bool:
        try:
            with self.in_sqlite:
                if self._has_gone:
                    return False
                ledger = self._opened()
                ledger.write(batch)
                with self._lock:  # before anybody counts what is lost
                    self._waiting -= len(batch)
        except (sqlite3.Error, OSError, StoreError) as exc:
            self._fails(exc)
            return False
        except Exception as exc:  # ours: it would come again
            _report.failed_apart(self, self._verb, exc)
            self.lose(len(batch), "they could not be written", waited=len(batch))
            return True
        self._is_failing = False
        if ledger.skipped:
            self.lose(ledger.skipped, "they could not be read")
        return True

    def _opened(self) -> Ledger:
        if self._ledger is not None and not self._is_there():
            self._ledger.close()
            self._ledger = None
        if self._ledger is None or self._ledger.is_resting:
            connection = writing(self.path)
            try:
                self._ledger = self._of(connection)
            except BaseException:  # Python would close it when it collects cycles
                connection.close()
                raise
        return self._ledger

    def _of(self, connection: sqlite3.Connection) -> Ledger:
        """
        Give the ledger that rests, or another: while it did, its file may have gone, and
        one be there that only looks the same.
        """
        known = self._ledger
        if known is not None and is_entered(connection, known.process):
            known.go_on(connection)
            return known
        fresh = Ledger(connection)
        fresh.mark_lost()
        return fresh

    def rest(self) -> None:
        """
        Let go of the file before a fork, while `in_sqlite` is held.
        """
        if self._ledger is not None:
            self._ledger.rest()

    def _is_there(self) -> bool:
        """
        Tell whether the file is still the one that was opened.
        """
        try:
            found = os.stat(self.path)  # noqa: PTH116
        except OSError:
            return False
        return self._ledger is not None and self._ledger.is_in(found)

    def _close(self) -> None:
        with self.in_sqlite:
            ledger, self._ledger = self._ledger, None
            if ledger is not None:
                ledger.close()

    def _fails(self, exc: Exception) -> None:
        self._close()
        code = getattr(exc, "sqlite_errorcode", None)
        self._is_full_up = code is not None and code & 0xFF in _NO_ROOM
        if not self._is_failing:
            self._is_failing = True
            self._complain_once(
                "fails",
                f"cannot write: {str(exc).rstrip('.')}. The calls go on; it is tried again, and `lost`"
                " counts what finds no place meanwhile",
            )

    def _may_try_again(self) -> bool:
        """
        Wait before one more attempt, and tell whether there is time for it.
        """
        if self._until is None:
            self._stopping.wait(_TRY_AGAIN_S)
        else:
            sleep(_TRY_AGAIN_S / 10)
        return self._until is None or monotonic() < self._until - _TRY_AGAIN_S

    def _keeps_house(self) -> None:
        """
        Say that this process lives, and delete what is too old or too much.
        """
        now = monotonic()
        if self._ledger is None:
            return
        try:
            with self.in_sqlite:
                ledger = self._opened()
                ledger.pricing.write_late(ledger.connection)
                if now > self._beat:
                    self._beat = now + HEARTBEAT_S
                    ledger.beat()
                if self.bounds and now > self._pruned:
                    is_done = prune(ledger.connection, self.bounds, now + _PRUNING_S)
                    self._pruned = now + (_PRUNED_S if is_done else _PRUNING_S)
        except (sqlite3.Error, OSError, StoreError) as exc:
            self._fails(exc)

    def _idles(self) -> None:
        self._keeps_house()
        if not self._has_more():
            self._close()

    def _has_more(self) -> bool:
        return self._ledger is not None and self._ledger.has_open_work

    def _lost_at_exit(self, count: int) -> None:
        is_alone = self.in_sqlite.acquire(timeout=_TRY_AGAIN_S)
        try:
            with self._lock:
                self._has_gone = True
                count = self._waiting  # by now
                self.lost += count
        finally:
            if is_alone:
                self.in_sqlite.release()
        if count:
            self._complain(f"lost {count} events that were not written in time at exit")

    def _complain_once(self, what: str, said: str) -> None:
        with self._lock:
            is_first = what not in self._said
            self._said.add(what)
        if is_first:
            self._complain(said)

    def _complain(self, what: str) -> None:
        _report.complain(f"StoreHandler of {str(self.path)!r} {what}", None)


_writers: "WeakValueDictionary[str, Writer]" = WeakValueDictionary()
_shared_lock = fork_lock()


def writer_for(path: "Path") -> Writer:
    """
    Give the writer of all handlers of this process that have the same store.
    """
    with _shared_lock:
        known = _writers.get(str(path))
        if known is None:
            known = _writers[str(path)] = Writer(path)
        else:
            known.is_shared = True
        return known
