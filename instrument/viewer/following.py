"""
A store that is read, and followed while somebody watches it.

All reads happen in a few threads of its own: an event loop never waits for a disk. The
file may go, come back, be another one, or not be there yet, and whoever asks or watches
is told.
"""

import asyncio
import contextlib
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, Self, TypeVar

from instrument.exceptions import StoreError
from instrument.viewer.replies import RefusedError

if TYPE_CHECKING:
    from types import TracebackType

    from instrument.handlers._store.reader import Reader

_T = TypeVar("_T")
_THREADS = 4
_BUSY_S = 0.05
_IDLE_S = 0.2
_ENDED = "the page has ended"
_MAKING_S = 5
"""How long a file that has just appeared may be no store yet."""

_UNREADABLE = (StoreError, sqlite3.Error, OSError)


@dataclass(frozen=True, slots=True)
class Seen:
    """
    What was seen of the store when it was last looked at.

    Attributes:
        cursor: The newest event.
        edition: How many files there were before this one.
        error: Why it cannot be read; nothing where it can.
    """

    cursor: int
    edition: int
    error: str = ""


class FollowedStore:
    """
    Reads the file at a path, whichever that is.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.is_closed = False
        self._lock = threading.RLock()
        self._open: _Open | None = None
        self.edition = 0
        self._absent_at = float("-inf")
        self._pool: ThreadPoolExecutor | None = None
        self._watchers: list[Watcher] = []
        self._thread: threading.Thread | None = None
        self._look_now = threading.Event()

    async def call(self, work: Callable[[], _T]) -> _T:
        """
        Call *work* in a thread.
        """
        with self._lock:
            if self.is_closed:
                raise RefusedError(503, _ENDED)
            pool = self._started_pool()
        return await asyncio.get_running_loop().run_in_executor(pool, work)

    async def read(self, ask: "Callable[[Reader], _T]") -> _T:
        """
        Call *ask* with a reader of one state of the file, in a thread.

        Raises:
            RefusedError: The file cannot be read.
        """
        try:
            return await self.call(lambda: self._asked(ask))
        except (LookupError, ValueError):  # what was asked for, not the file
            raise
        except _UNREADABLE as exc:
            raise RefusedError(503, self._said(exc)) from exc

    def watch(self) -> "Watcher":
        """
        Give a watcher, who is told what changes once it is entered.
        """
        return Watcher(self)

    def __del__(self) -> None:
        self._let_go()

    def close(self) -> None:
        """
        Let go of the file and of all threads, and tell all watchers that it is over.
        """
        with self._lock:
            self.is_closed = True
            for watcher in self._watchers:
                watcher.wake()
            pool, self._pool = self._pool, None
            self._let_go()
        self._look_now.set()
        if pool is not None:
            pool.shutdown(wait=False)

    def _started_pool(self) -> ThreadPoolExecutor:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(_THREADS, "instrument-viewer")
        return self._pool

    def _asked(self, ask: "Callable[[Reader], _T]") -> _T:
        with self._lock:
            open_ = self._opened()
            open_.users += 1
        try:
            with open_.reader.at_one_state():  # of what it asks, nothing is newer
                return ask(open_.reader)
        finally:
            with self._lock:
                open_.users -= 1
                open_.close_if_left()

    def _opened(self) -> "_Open":
        """
        Open the file that is at the path now, if that is not done.
        """
        if self.is_closed:
            raise StoreError(_ENDED)
        try:
            status = self.path.stat()
        except FileNotFoundError:
            if self.edition == 0 and self._open is None:
                self._absent_at = monotonic()
                return _Open(_NotYet(self.path))
            self._let_go()
            raise
        file = (status.st_dev, status.st_ino)
        if self._open is None or self._open.file != file:
            self._let_go()
            from instrument.handlers._store.reader import Reader

            try:
                self._open = _Open(Reader(self.path), file)
            except StoreError:
                if monotonic() - self._absent_at > _MAKING_S:
                    raise
                return _Open(_NotYet(self.path))
        return self._open

    def _let_go(self) -> None:
        if self._open is not None:
            self._open.is_left = True
            self._open.close_if_left()
            self._open = None
            self.edition += 1

    def _said(self, exc: BaseException) -> str:
        if isinstance(exc, FileNotFoundError) or _is_absent(self.path):
            return f"{self.path}: no such file"
        said = getattr(exc, "strerror", None) or str(exc)
        return said if str(self.path) in said else f"{self.path}: {said}"

    def _join(self, watcher: "Watcher") -> None:
        with self._lock:
            self._watchers.append(watcher)
            if self._thread is None:
                thread = threading.Thread(
                    target=self._follow, name="instrument-viewer-poll", daemon=True
                )
                thread.start()
                self._thread = thread
        self._look_now.set()

    def _leave(self, watcher: "Watcher") -> None:
        with self._lock:
            self._watchers = [it for it in self._watchers if it is not watcher]
        self._look_now.set()

    def _follow(self) -> None:
        """
        Look for all who watch, for as long as there are any, whatever stands in the way.
        """
        seen = None
        while True:
            with self._lock:
                watchers = [*self._watchers]
                if not watchers or self.is_closed:
                    self._thread = None
                    return
                # there, as its threads stay: each that reads has a connection
                looking = self._look_begun(seen)
            seen = looking.result()
            for watcher in watchers:
                watcher.tell(seen)
            is_busy = any(watcher.is_busy for watcher in watchers)
            self._look_now.wait(_BUSY_S if is_busy else _IDLE_S)
            self._look_now.clear()

    def _look_begun(self, last: Seen | None) -> "Future[Seen]":
        try:
            return self._started_pool().submit(self._look, last)
        except RuntimeError as exc:  # no thread is to be had now
            done: Future[Seen] = Future()
            done.set_result(self._unseen(last, exc))
            return done

    def _unseen(self, last: Seen | None, exc: Exception) -> Seen:
        before = last.cursor if last else 0
        return Seen(before, self.edition, self._said(exc))

    def _look(self, last: Seen | None) -> Seen:
        try:
            cursor = self._asked(lambda reader: reader.cursor())
        except Exception as exc:  # whatever it is: who watches is told
            return self._unseen(last, exc)
        if last is not None and cursor < last.cursor and last.edition == self.edition:
            with self._lock:  # written over in place
                self._let_go()
        return Seen(cursor, self.edition)


def _is_absent(path: Path) -> bool:
    """
    Tell whether nothing is there: it may have gone while it was opened.
    """
    try:
        path.stat()
    except OSError as exc:
        return isinstance(exc, FileNotFoundError)
    return False


class _Open:
    """
    A reader of one file, and how many threads read by it: SQLite takes it ill if what
    another thread reads by is closed.
    """

    def __init__(self, reader: Any, file: tuple[int, int] | None = None) -> None:
        self.reader = reader
        self.file = file
        self.users = 0
        self.is_left = False

    def close_if_left(self) -> None:
        """
        Close it where it is not the store's any more, and nobody reads by it.
        """
        if self.is_left and not self.users:
            self.reader.close()


class Watcher:
    """
    Somebody who waits for what changes, on an event loop.

    Attributes:
        is_busy: Whether something runs, so that looking often is worth it.
    """

    def __init__(self, store: FollowedStore) -> None:
        self.is_busy = False
        self._store = store
        self._seen = Seen(0, store.edition)

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._told = asyncio.Event()
        self._store._join(self)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: "TracebackType | None",
    ) -> None:
        self._store._leave(self)

    def tell(self, seen: Seen) -> None:
        """
        Tell what was seen, from any thread.
        """
        if seen != self._seen:
            self._seen = seen
            self.wake()

    def wake(self) -> None:
        """
        Have who waits look; whose loop has ended waits no more.
        """
        try:
            self._loop.call_soon_threadsafe(self._told.set)
        except RuntimeError:
            self._store._leave(self)

    async def next(self, patience_s: float) -> Seen:
        """
        Wait for what is new, at most so long, and give what was seen last.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience_s):
                await self._told.wait()
        self._told.clear()
        return self._seen


class _NotYet:
    """
    Reads as an empty store: the program that writes it has not begun.
    """

    def __init__(self, path: Path) -> None:
        self._about: dict[str, Any] = {"path": str(path), "bytes": 0}
        self._about |= dict.fromkeys(("requests", "runs", "events"), 0)

    def at_one_state(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    def about(self) -> dict[str, Any]:
        return self._about

    def cursor(self) -> int:
        return 0

    def requests(self, *_: object, **__: object) -> list[dict[str, Any]]:
        return []

    names = requests

    def summary(self, _: str) -> dict[str, Any]:
        zeros = ("requests", "errors", "running", "total")
        empty: dict[str, Any] = {"histogram": [], "by_kind": {}, "by_status": {}}
        return dict.fromkeys(zeros, 0) | empty

    def find(self, word: str) -> str:
        raise LookupError(f"no request {word!r}: nothing is recorded yet")

    run = find
