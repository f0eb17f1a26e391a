"""
`STREAMS`: how frames come home from a Celery worker, over streams of Redis.
"""

import atexit
import os
import threading
from contextlib import contextmanager

from instrument import _report
from instrument._forks import fork_lock, in_child
from instrument._relay.sockets import HOST_NAME
from instrument._relay.transport import Elsewhere
from instrument.integrations.celery._posts import Post, tell_lost

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from instrument.integrations.celery._lines import StreamLine
    from instrument.integrations.celery._redis import Found

KIND = "celery"


class Streams:
    """
    A `Transport` over Redis: whichever the app has of which a task is sent, or done.
    """

    def __init__(self) -> None:
        self._lock = fork_lock()
        self._posts: dict[str, Post] = {}
        self._serve: Callable[[Any], None] | None = None
        self._here = threading.local()
        self._has_missed = False

    @contextmanager
    def by(self, find: "Callable[[str | None], Found | None]") -> "Iterator[None]":
        """
        Have *find* tell which Redis it is, in this thread and block.
        """
        before = getattr(self._here, "find", None)
        self._here.find = find
        try:
            yield
        finally:
            self._here.find = before

    def listen(self, serve: "Callable[[Any], None]") -> None:
        self._serve = serve

    def address(self) -> "dict[str, Any]":
        found = self._found()
        post = self._post(found)
        post.serve(self._serve)  # type: ignore[arg-type] # it listens
        post.await_there()
        made = {"kind": KIND, "inbox": post.inbox, "redis": found.setting}
        return {**made, "host": HOST_NAME, "pid": os.getpid()}

    def open(self, address: "dict[str, Any]") -> "StreamLine":
        inbox, setting = address.get("inbox"), address.get("redis")
        if type(inbox) is not str or not inbox.startswith("instrument:"):
            raise ValueError("no address of an inbox")
        post = self._post(self._found(setting if type(setting) is str else None))
        line = post.open(inbox)
        if line is not None:
            return line
        if not self._has_missed and not post.has_left(inbox):
            self._has_missed = True
            _report.complain(_MISSED.format(setting), None)
        raise Elsewhere("who sent the task is not there any more")

    def tell_lost(self, address: "dict[str, Any]", job: str) -> None:
        """
        Tell who listens at an address that the process at a job of theirs has died.
        """
        inbox, setting = address.get("inbox"), address.get("redis")
        if type(inbox) is str and type(setting) is str:
            tell_lost(self._found(setting), inbox, job)

    def stop(self) -> None:
        """
        Leave each Redis, until asked again.
        """
        with self._lock:
            posts, self._posts = [*self._posts.values()], {}
        for post in posts:
            post.stop()

    def forget(self) -> None:
        """
        Begin anew in a forked child: the inboxes are the parent's.
        """
        for post in self._posts.values():
            post.forget()
        self._posts = {}
        self._has_missed = False

    def _found(self, setting: str | None = None) -> "Found":
        find = getattr(self._here, "find", None)
        found = None if find is None else find(setting)
        if found is None:
            raise LookupError(_NO_REDIS)
        return found  # type: ignore[no-any-return]

    def _post(self, found: "Found") -> Post:
        with self._lock:
            post = self._posts.get(found.url)
            if post is None:
                post = self._posts[found.url] = Post(found.url, found.options)
            return post


_MISSED = (
    "Who sent a task is not at the Redis of {!r}: it was killed, or has another there."
    " What its tasks do is not heard."
)
_NO_REDIS = "no Redis in broker_url or result_backend; name one in app.conf.instrument_redis_url"
STREAMS = Streams()
atexit.register(STREAMS.stop)
in_child(STREAMS.forget)
