"""
`StreamLine`: a line that goes over Redis. Of each direction one frame at most is on its way,
so the number of the last that came tells all: what comes twice, and what has not come.
"""

import json
import threading
from collections import deque
from math import inf
from time import monotonic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from instrument.integrations.celery._posts import Post

MOST_FRAME = 64_000_000
"""Bytes of one frame: as of a socket."""
_HELLO = b'{"v": 1, "open":'
"""How the first frame of each call begins."""
OPENED, SERVED = "o", "s"
"""The two ends of a line."""


class StreamLine:
    """
    One end of a line between two inboxes.

    Attributes:
        key: By what this end is known at its own inbox.
        peer: The inbox of the other.
        is_due: Whether the frame that was sent last is not in the other's inbox.
        job: What the other tells of: the engine's id of it.
        ends_s: When it is to be dropped, as its other side dies.
    """

    def __init__(self, post: "Post", id: str, end: str, peer: str) -> None:
        self.key = (id, end)
        self.peer = peer
        self.is_due = False
        self.job: object = None
        self.ends_s = inf
        self._post = post
        self._changed = threading.Condition()
        self._arrived: deque[bytes] = deque()
        self._last: tuple[int, bytes] | None = None
        self._sent = self._taken = 0
        self._gone: str | None = None

    def send(self, frame: bytes) -> None:
        if len(frame) > MOST_FRAME:
            message = f"a frame of {len(frame):,} bytes; the most is {MOST_FRAME:,}"
            raise OSError(message)
        with self._changed:
            self._check()
            self._sent += 1
            self._last = (self._sent, frame)
        self.is_due = not self._post.deliver(self.peer, self._fields())

    def receive(self, timeout_s: float | None = None) -> bytes:
        until = None if timeout_s is None else monotonic() + timeout_s
        with self._changed:
            while not self._arrived:
                self._check()
                left = None if until is None else until - monotonic()
                if left is not None and left <= 0:
                    raise TimeoutError("the other side says nothing")
                self._changed.wait(left)
            return self._arrived.popleft()

    def has_news(self) -> bool:
        return bool(self._arrived) or self._gone is not None

    def close(self) -> None:
        if self._gone is None:
            self.lose("it is closed")
            self._post.leave(self)

    def lose(self, why: str) -> None:
        """
        Have who waits for the other side know that it has gone.
        """
        with self._changed:
            if self._gone is None:
                self._gone = why
            self._last, self.is_due = None, False
            self._changed.notify_all()

    def forget(self) -> None:
        """
        Be no line any more, in a forked child: it is the parent's.
        """
        self._changed = threading.Condition()
        self._gone = "the line is the parent process's"

    def take(self, number: int, frame: bytes) -> None:
        """
        Take what has come: once. Where it comes once more, what was sent in answer to it
        may not have come.
        """
        with self._changed:
            if number > self._taken:
                self._taken = number
                self._arrived.append(frame)
                self._changed.notify_all()
                if frame.startswith(_HELLO):
                    self.job = json.loads(frame).get("job")
                return
        self.send_again()

    @property
    def is_unanswered(self) -> bool:
        """
        Whether the other side has said nothing to what was sent last.
        """
        is_first = self.key[1] == OPENED
        answered = self._taken if is_first else self._taken - 1
        return self._last is not None and self._sent > answered

    def send_again(self) -> None:
        """
        Send the last frame once more, if nothing was said to it.
        """
        if self._gone is None and self.is_unanswered:
            self.is_due = not self._post.deliver(self.peer, self._fields())

    def _check(self) -> None:
        if self._gone is not None:
            raise ConnectionResetError(self._gone)

    def _fields(self) -> "Mapping[str, Any]":
        number, frame = self._last or (0, b"")
        return {**self.head(), "n": number, "f": frame}

    def head(self) -> "dict[str, Any]":
        """
        Give what says of which line something is, and where answers go.
        """
        id, end = self.key
        return {"l": id, "e": end, "r": self._post.inbox}
