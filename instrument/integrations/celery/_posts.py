"""
The mail of this process at a Redis: one stream is its inbox, one thread reads it.

That the inbox is there tells that the process is: it goes by itself when it was not kept
for a while. What is read is deleted. After Redis was away, or has lost what it held, the
inbox is made anew, and what nobody has answered is sent once more.
"""

import os
import threading
from collections import deque
from contextlib import suppress
from math import inf
from time import monotonic, sleep

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from instrument import _report
from instrument.integrations.celery._lines import OPENED, SERVED, StreamLine

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any

    from instrument.integrations.celery._redis import Found

BEAT_S = 2.0
"""How often an inbox is kept, and those of others are looked at."""
LOST_S = 15.0
"""How long an inbox stays that nobody keeps, and a frame waits for a Redis that is away."""
LAST_S = 0.5
"""How long a process may tell its end when it is known to die."""
REPLY_S = 5.0
"""How long Redis may take to answer."""
LEFT_S = 3_600
"""How long it is known that a process has left as it should."""
MOST_WAITING = 10_000
"""Entries of an inbox that is not read; each line has one there at most."""
_BATCH = 500
_PAUSE_S = 0.05
_MOST_CLOSED = 1_000
_FAULTS = (RedisError, OSError)


class Post:
    """
    The inbox of this process at one Redis, and the lines that come there.

    Attributes:
        inbox: Its key; nobody can guess it.
    """

    def __init__(self, url: str, options: "dict[str, Any]") -> None:
        self.inbox = f"instrument:{os.urandom(16).hex()}"
        self.lines: dict[tuple[str, str], StreamLine] = {}
        self.is_stopped = False
        self._serve: Callable[[Any], None] | None = None
        self._closed: deque[tuple[str, str]] = deque(maxlen=_MOST_CLOSED)
        self._is_there = threading.Event()
        self._is_away = False
        self._begun_s = monotonic()
        self._is_made = False
        self._looked_s = 0.0
        self._again_s = self._away_s = -inf
        self._read: list[bytes] = []
        self._redis = _connected(url, options, REPLY_S)
        self._reader = _connected(url, options, BEAT_S + REPLY_S)
        self._thread = threading.Thread(
            target=self._run, name="instrument celery inbox", daemon=True
        )
        self._thread.start()

    def await_there(self) -> None:
        """
        Wait until the inbox is there.

        Raises:
            ConnectionError: If Redis has not answered since this was made, nor soon.
        """
        left_s = max(self._begun_s + REPLY_S - monotonic(), 0)  # once, not each time
        if not self._is_there.wait(left_s):
            raise ConnectionError("the Redis that brings events home does not answer")

    def serve(self, serve: "Callable[[Any], None]") -> None:
        """
        Have the lines served that others open to here.
        """
        self._serve = serve

    def open(self, peer: str) -> StreamLine | None:
        """
        Open a line to an inbox; None where it is not there.

        Raises:
            ConnectionError: If Redis does not answer.
        """
        self.await_there()
        while self._is_away or not self._redis.exists(peer):
            # where Redis was away, the other may need as long to come back
            if monotonic() > max(self._again_s, self._away_s) + BEAT_S:
                if self._is_away:
                    raise ConnectionError("the Redis that brings events home is away")
                return None
            sleep(_PAUSE_S)
        line = StreamLine(self, os.urandom(8).hex(), OPENED, peer)
        self.lines[line.key] = line
        return line

    def has_left(self, peer: str) -> bool:
        """
        Tell of an inbox that is not there whether its process left as it should.
        """
        return bool(self._redis.exists(_left(peer)))

    def deliver(self, peer: str, fields: "Mapping[str, Any]") -> bool:
        """
        Put something into an inbox; tell whether it is there. What is not is sent once
        more by who reads here, until the other side is known to have gone.
        """
        with suppress(*_FAULTS):
            return not self._is_away and self._add(peer, fields)
        return False

    def leave(self, line: StreamLine) -> None:
        """
        Let a line go, and have the other side know.
        """
        if self.lines.pop(line.key, None) is None:
            return
        self._closed.append(line.key)
        self.deliver(line.peer, {**line.head(), "x": 1})

    def stop(self) -> None:
        """
        Leave: close all lines, and take the inbox away.
        """
        if self.is_stopped:
            return
        self.is_stopped = True
        for line in list(self.lines.values()):
            line.close()
        with suppress(*_FAULTS):
            self._add(self.inbox, {"x": 1})  # its reader goes on
        self._thread.join(REPLY_S)
        with suppress(*_FAULTS):
            pipe = self._redis.pipeline(transaction=False)
            pipe.delete(self.inbox).set(_left(self.inbox), 1, ex=LEFT_S).execute()
        self._is_away = True
        for client in (self._redis, self._reader):
            with suppress(*_FAULTS):  # those that a thread is in go with that
                client.connection_pool.disconnect(inuse_connections=False)

    def forget(self) -> None:
        """
        Be none any more, in a forked child: the thread is the parent's.
        """
        self.is_stopped = self._is_away = True
        for line in self.lines.values():
            line.forget()
        self.lines.clear()

    def _add(self, inbox: str, fields: "Mapping[str, Any]") -> bool:
        """
        Add an entry to an inbox that is there.
        """
        given: Any = fields
        return (
            self._redis.xadd(
                inbox, given, maxlen=MOST_WAITING, approximate=True, nomkstream=True
            )
            is not None
        )

    def _run(self) -> None:
        while not self.is_stopped:
            try:
                self._keep()
                for entry in self._entries():
                    self._take(entry)
            except Exception as exc:
                if not isinstance(exc, _FAULTS):
                    _report.failed_apart(self, "its inbox", exc)
                now = monotonic()
                if not self._is_away:
                    self._away_s = now
                self._is_made, self._is_away = False, True
                if now - self._away_s > LOST_S:
                    self._drop_all(self.lines.values(), f"Redis is away: {exc}")
                sleep(_PAUSE_S)

    def _keep(self) -> None:
        """
        Have the inbox stay, or make it; look after the others'.
        """
        now = monotonic()
        if not self._is_made or now - self._looked_s > BEAT_S:
            self._looked_s = now
            ends_s = max(round(LOST_S), 1)
            if not self._reader.expire(self.inbox, ends_s) or not self._is_made:
                self._make(ends_s)
            self._look_after_others()
        for line in list(self.lines.values()):
            if line.is_due:
                line.send_again()
            if now > line.ends_s:
                self._drop_all([line], "its worker has died")

    def _make(self, ends_s: int) -> None:
        """
        Make the inbox; what was in it, and in others', may be lost.
        """
        pipe = self._reader.pipeline(transaction=True)
        pipe.xadd(self.inbox, {"x": 1}).expire(self.inbox, ends_s).execute()
        if self._is_there.is_set():
            self._again_s = monotonic()
        self._is_made, self._is_away = True, False
        self._is_there.set()
        for line in list(self.lines.values()):
            line.send_again()

    def _look_after_others(self) -> None:
        """
        Let the lines go whose other side has no inbox any more.
        """
        peers = list({line.peer for line in list(self.lines.values())})
        if not peers or monotonic() - self._again_s < LOST_S:
            return
        pipe = self._reader.pipeline(transaction=False)
        for peer in peers:
            pipe.exists(peer)
        is_there = dict(zip(peers, pipe.execute(), strict=True))
        gone = [it for it in list(self.lines.values()) if not is_there.get(it.peer, 1)]
        self._drop_all(gone, "the other process is not there any more")

    def _drop_all(self, lines: "Iterable[StreamLine]", why: str) -> None:
        for line in list(lines):
            self.lines.pop(line.key, None)
            self._closed.append(line.key)
            line.lose(why)

    def _entries(self) -> "list[dict[bytes, bytes]]":
        """
        Wait for entries, not long; those that were read are deleted.
        """
        is_due = any(it.is_due or it.ends_s < inf for it in list(self.lines.values()))
        pipe = self._reader.pipeline(transaction=False)
        if self._read:
            pipe.xdel(self.inbox, *self._read)
        wait_s = _PAUSE_S if is_due else BEAT_S
        pipe.xread({self.inbox: "0"}, count=_BATCH, block=round(1_000 * wait_s))
        found: Any = pipe.execute()[-1]
        entries = found[0][1] if found else []
        self._read = [id for id, _ in entries]
        return [fields for _, fields in entries]

    def _take(self, entry: "dict[bytes, bytes]") -> None:
        """
        Take an entry, which may be anything.
        """
        try:
            if b"l" in entry:
                self._sort(entry)
            elif b"j" in entry:
                self._lose_job(entry[b"j"].decode())
        except Exception as exc:
            _report.failed_apart(self, "an entry of an inbox", exc)

    def _sort(self, entry: "dict[bytes, bytes]") -> None:
        """
        Give an entry to its line; the first of a line opens it.
        """
        end = SERVED if entry[b"e"] == OPENED.encode() else OPENED
        key = (entry[b"l"].decode(), end)
        line = self.lines.get(key)
        if b"x" in entry:
            self._drop_all([] if line is None else [line], "the other side has left")
            return
        number = int(entry[b"n"])
        if line is None:
            line = self._opened(key, number, entry[b"r"].decode())
        if line is not None:
            line.take(number, entry[b"f"])

    def _lose_job(self, job: str) -> None:
        """
        Let the lines go over which a job tells whose process dies, when that has told
        its end: one that is terminated does.
        """
        for line in list(self.lines.values()):
            if line.job == job:
                line.ends_s = monotonic() + LAST_S

    def _opened(
        self, key: "tuple[str, str]", number: int, peer: str
    ) -> StreamLine | None:
        """
        Open the line of an entry that is of none here; where it has been closed, the
        other side is told.
        """
        line = self.lines[key] = StreamLine(self, *key, peer)
        if number > 1 or key in self._closed or self._serve is None or self.is_stopped:
            line.close()
            return None
        try:
            threading.Thread(
                target=self._serve_one,
                args=(line,),
                name="instrument celery line",
                daemon=True,
            ).start()
        except BaseException:  # no thread is to be had
            line.close()
            raise
        return line

    def _serve_one(self, line: StreamLine) -> None:
        try:
            self._serve(line)  # type: ignore[misc]
        finally:
            line.close()


def _connected(url: str, options: "dict[str, Any]", reply_s: float) -> "Redis":
    return Redis.from_url(
        url,
        **{
            "socket_timeout": reply_s,
            "socket_connect_timeout": REPLY_S,
            "retry": Retry(NoBackoff(), 0),  # what is sent once more is counted here
            "protocol": 2,
            "decode_responses": False,
            **options,
        },
    )


def tell_lost(found: "Found", inbox: str, job: str) -> None:
    """
    Tell an inbox that who was at a job has died.
    """
    with _connected(found.url, found.options, REPLY_S) as client:
        client.xadd(inbox, {"j": job}, maxlen=MOST_WAITING, nomkstream=True)


def _left(inbox: str) -> str:
    return f"{inbox}:left"
