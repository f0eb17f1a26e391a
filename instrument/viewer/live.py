"""
What an open page is told as it happens: server-sent events.

Each frame's id is the cursor up to which its client has heard everything: a client that
comes back with it misses nothing and hears no token twice.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, suppress
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any

from instrument.viewer.following import FollowedStore, Seen, Watcher
from instrument.viewer.replies import RefusedError, Send, encoded, starting

if TYPE_CHECKING:
    from instrument.handlers._store.reader import Reader

_CHECK_S = 2.0
_SILENCE_S = 15.0
_MOST_ROWS = 1_000
_MOST_EVENTS = 10_000
_MOST_RUNNING = 1_000
_MOST_ENDED = 50


def frame(event: str, data: dict[str, Any], cursor: int | None = None) -> bytes:
    """
    Write one event.
    """
    last = b"" if cursor is None else b"id: %d\n" % cursor
    return b"event: %s\n%sdata: %s\n\n" % (event.encode(), last, encoded(data))


class Live(ABC):
    """
    One client's stream.
    """

    pace_s = 0.0
    """The least time between two looks."""

    def __init__(self, store: FollowedStore, after: int | None) -> None:
        self._store = store
        self._after = after
        self._cursor = 0
        self._edition: int | None = None
        self._error = ""
        self._is_over = False
        self._looked = -1
        self._checked = float("-inf")

    async def open(self) -> None:
        """
        Look whether there is such a stream, before it starts.

        Raises:
            ValueError: The filter is wrong.
            LookupError: There is no such request.
        """
        try:
            await self._store.read(self._begin)
        except RefusedError as exc:
            self._error = str(exc)

    async def frames(self) -> AsyncGenerator[bytes, None]:
        """
        Give what is sent, until the client leaves or all is told.
        """
        yield b"retry: 1000\n\n"
        if self._error:
            yield frame("gone", {"error": self._error})
        said = monotonic()
        async with self._store.watch() as watcher:
            while not (self._is_over or self._store.is_closed):
                seen = await watcher.next(_CHECK_S)
                async for one in self._told(seen, watcher):
                    yield one
                    said = monotonic()
                is_silent = monotonic() - said >= _SILENCE_S
                if is_silent:
                    yield b": still here\n\n"
                    said = monotonic()
                await asyncio.sleep(self.pace_s)

    async def _told(self, seen: Seen, watcher: Watcher) -> AsyncIterator[bytes]:
        if seen.error:
            if not self._error:
                yield frame("gone", {"error": seen.error})
            self._error = seen.error
            return
        try:
            if self._edition is None and not self._error:
                self._edition = seen.edition
            if self._error or seen.edition != self._edition:
                if not self._error:
                    yield frame("gone", {"error": "another file has taken its place"})
                await self._store.read(self._begin)
                self._error, self._edition = "", seen.edition
                yield frame("back", {"cursor": self._cursor}, self._cursor)
            async for one in self._changes(seen):
                yield one
            watcher.is_busy = self._is_busy()
        except RefusedError as exc:
            if not self._error:
                yield frame("gone", {"error": str(exc)})
            self._error = str(exc)
        except (LookupError, ValueError) as exc:  # not in the file that is there now
            self._is_over = True
            yield frame("end", {"error": str(exc)})

    def _begin(self, reader: "Reader") -> None:
        """
        Go on behind what the client has; of another file, from now on.
        """
        newest = reader.cursor()
        after, self._after = self._after, None
        self._cursor = newest if after is None else after
        if self._cursor > newest:
            self._cursor, self._error = newest, "another file has taken its place"

    def _is_due(self) -> bool:
        """
        Tell whether to look for what ended without an event: its process died.
        """
        if monotonic() - self._checked < _CHECK_S:
            return False
        self._checked = monotonic()
        return True

    @abstractmethod
    def _is_busy(self) -> bool: ...

    @abstractmethod
    def _changes(self, seen: Seen) -> AsyncIterator[bytes]: ...


class LiveList(Live):
    """
    The requests that match a filter.
    """

    pace_s = 0.2

    def __init__(self, store: FollowedStore, filter: str, after: int | None) -> None:
        super().__init__(store, after)
        self._filter = filter
        self._running: set[str] = set()

    def _begin(self, reader: "Reader") -> None:
        super()._begin(reader)
        self._running = self._still_running(reader)

    def _still_running(self, reader: "Reader") -> set[str]:
        rows = reader.requests(f"{self._filter} status:running", limit=_MOST_RUNNING)
        return _running_in(rows, "trace_id")

    def _is_busy(self) -> bool:
        return bool(self._running)

    async def _changes(self, seen: Seen) -> AsyncIterator[bytes]:
        if seen.cursor > self._cursor:
            rows = await self._store.read(self._changed)
            if len(rows) == _MOST_ROWS:  # more than one wants to hear one by one
                yield frame("back", {"cursor": self._cursor}, self._cursor)
            elif rows:
                yield self._frame(rows)
        if self._running and self._is_due():
            ended = await self._store.read(self._ended)
            if ended:
                yield self._frame(ended)

    def _frame(self, rows: list[dict[str, Any]]) -> bytes:
        data = {"requests": rows, "cursor": self._cursor}
        return frame("requests", data, self._cursor)

    def _changed(self, reader: "Reader") -> list[dict[str, Any]]:
        rows, cursor = reader.changed(
            self._filter, after=self._cursor, limit=_MOST_ROWS
        )
        self._cursor = cursor
        self._running -= {row["trace_id"] for row in rows}
        self._running |= _running_in(rows, "trace_id")
        return rows

    def _ended(self, reader: "Reader") -> list[dict[str, Any]]:
        """
        Give those that ran, and do not any more or do not match any more.
        """
        missing = [*(self._running - self._still_running(reader))][:_MOST_ENDED]
        rows = []
        for trace_id in missing:
            self._running.discard(trace_id)
            with suppress(LookupError):  # it was too old to keep
                rows.append(reader.request(trace_id))
        return rows


class LiveRequest(Live):
    """
    One request, until it has ended.
    """

    pace_s = 0.02

    def __init__(
        self, store: FollowedStore, word: str, after: int | None, run_id: str
    ) -> None:
        super().__init__(store, after)
        self._rows_after = after or 0
        self._word = word
        self._run_id = run_id
        self._trace_id = ""
        self._request: dict[str, Any] = {}
        self._running: set[str] | None = None

    def _begin(self, reader: "Reader") -> None:
        super()._begin(reader)
        self._trace_id = reader.find(self._word)
        self._running = None

    def _is_busy(self) -> bool:
        return not self._is_over

    async def _changes(self, seen: Seen) -> AsyncIterator[bytes]:
        is_due = self._is_due()
        has_more = seen.cursor > self._looked or is_due
        while has_more:
            self._looked = seen.cursor
            frames, has_more = await self._store.read(partial(self._read, is_due))
            for one in frames:
                yield one

    def _read(self, is_due: bool, reader: "Reader") -> tuple[list[bytes], bool]:
        """
        Give the runs that changed, then tokens, then how far that goes; and whether
        there is more.
        """
        rows, cursor = reader.skeleton(self._trace_id, after=self._rows_after)
        tokens, upto = self._tokens(reader, cursor)
        request = reader.request(self._trace_id)
        if request["status"] != "running":
            rows = self._last_rows(reader, rows, is_due)
        frames = []
        if rows or request != self._request:
            data = {"runs": rows, "request": request, "cursor": upto}
            frames = [frame("runs", data)]
        frames += tokens
        if frames:
            frames.append(b"id: %d\n\n" % upto)
        self._request, self._cursor, self._rows_after = request, upto, upto
        if self._running is not None and not self._running and upto == cursor:
            self._is_over = True
            frames.append(frame("end", {"cursor": upto}, upto))
        return frames, upto < cursor

    def _tokens(self, reader: "Reader", cursor: int) -> tuple[list[bytes], int]:
        """
        Give the tokens up to *cursor*, or as far as they are told at once.
        """
        after = self._cursor
        events = reader.events(self._trace_id, after=after, limit=_MOST_EVENTS)
        upto = events[-1][0] if len(events) == _MOST_EVENTS else cursor
        frames = []
        for at, record in events:
            run_id, is_token = record["run_id"], record["event"] == "on_llm_new_token"
            if at > cursor or not is_token or self._run_id not in ("", run_id):
                continue
            data = record["data"]
            said = {"run_id": run_id, "channel": data.get("channel", "text")}
            said |= {"text": data["token"], "cursor": at}
            frames.append(frame("token", said, at))
        return frames, min(upto, cursor)

    def _last_rows(
        self, reader: "Reader", rows: list[dict[str, Any]], is_due: bool
    ) -> list[dict[str, Any]]:
        """
        Count what still runs below a root that has ended, and give also what was lost.
        """
        if self._running is None or (is_due and not rows):
            every, _ = reader.skeleton(self._trace_id)
            self._running = _running_in(every, "run_id")
            known = {row["run_id"] for row in rows}
            return rows + [
                row for row in every if _is_odd(row) and row["run_id"] not in known
            ]
        self._running -= {row["run_id"] for row in rows}
        self._running |= _running_in(rows, "run_id")
        return rows


def _running_in(rows: list[dict[str, Any]], id: str) -> set[str]:
    return {row[id] for row in rows if row["status"] == "running"}


def _is_odd(row: dict[str, Any]) -> bool:
    return row["status"] in {"lost", "running"}


async def stream(live: Live, receive: Callable[[], Awaitable[Any]], send: Send) -> None:
    """
    Send what *live* gives, until the client leaves.
    """
    headers = ((b"x-accel-buffering", b"no"),)
    await send(starting(200, "text/event-stream; charset=utf-8", headers))
    sending = asyncio.create_task(_send_all(live, send))
    leaving = asyncio.create_task(_left(receive))
    try:
        await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        leaving.cancel()
        sending.cancel()
        await asyncio.wait({sending, leaving})
    if not sending.cancelled():
        sending.result()


async def _send_all(live: Live, send: Send) -> None:
    body: dict[str, Any] = {"type": "http.response.body"}
    with suppress(OSError):  # how some servers say that the client has left
        async with aclosing(live.frames()) as frames:
            async for one in frames:
                await send({**body, "body": one, "more_body": True})
        await send({**body, "body": b""})


async def _left(receive: Callable[[], Awaitable[Any]]) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
