"""
How events come home by Dask: in queues of the scheduler, one for each process.

Each process has a client of its own to a scheduler, on a loop of its own: neither the
application's loop nor the worker's is waited for, nor do they wait. What has been taken
from its queue the scheduler has no more.
"""

import asyncio
import atexit
import os
import threading
from collections import deque
from contextlib import suppress
from queue import Empty, SimpleQueue
from time import monotonic
from weakref import WeakSet

from instrument import _report
from instrument._forks import fork_lock, in_child
from instrument._relay.transport import Elsewhere

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

STOP_S = 2.0
"""How long is waited for a client that leaves."""
START_S = 5.0
"""How long a process waits for its client to be connected."""
AGAIN_S, ASK_S = 0.3, 10.0
"""When what is not answered is sent again: the first of all, and what comes later."""
PATIENCE_S = 60.0
"""How long a worker waits for a caller that gives no sign of life."""
LOOK_S = 0.5
"""How often a caller looks which workers are there, while any has a line to it."""
_MOST_AT_ONCE = 64


class DaskLine:
    """
    One way there and back: frames, numbered, each answered before the next is sent.

    Args:
        peer: The queue of the other side.
        worker: Where the worker is, and in which process; None on its own side.
        own: What a worker says of itself, once.
        is_early: Whether the other side may not be connected yet.
    """

    def __init__(
        self,
        station: "Station",
        name: str,
        peer: str,
        worker: "tuple[str, str] | None" = None,
        own: "dict[str, str] | None" = None,
        *,
        is_early: bool = False,
    ) -> None:
        self.name, self.peer, self.worker = name, peer, worker
        self._own, self._is_early = own or {}, is_early
        self._station = station
        self._inbox: SimpleQueue[bytes | None] = SimpleQueue()
        self._error: str | None = None
        self._is_reached = True
        self._taken = self._sent = 0
        self._last: dict[str, Any] | None = None
        self._heard_s = 0.0

    def send(self, frame: bytes) -> None:
        if self._error is not None:
            raise ConnectionAbortedError(self._error)
        own = {} if self._sent else self._own
        self._last = {"line": self.name, "n": self._sent, "data": frame, **own}
        self._sent += 1
        self._heard_s = monotonic()
        self._station.post(self.peer, self._last)

    def receive(self, timeout_s: float | None = None) -> bytes:
        until = None if timeout_s is None else monotonic() + timeout_s
        while True:
            left = None if until is None else until - monotonic()
            if left is not None and left <= 0:
                raise TimeoutError("the other side says nothing")
            try:
                frame = self._inbox.get(timeout=self._pause(left))
            except Empty:
                self._ask()
                continue
            if frame is None:
                self._inbox.put(None)  # for whoever comes next
                raise (ConnectionResetError if self._is_reached else Elsewhere)(
                    self._error
                )
            return frame

    def has_news(self) -> bool:
        return not self._inbox.empty()

    def close(self) -> None:
        if self._error is None:
            self._station.post(self.peer, {"line": self.name, "left": True})
        self.lose("the line is closed")

    def lose(self, why: str) -> None:
        """
        Have who waits here see that nothing more comes.
        """
        if self._error is None:
            self._error = why
            self._station.lines.pop(self.name, None)
            self._inbox.put(None)

    def unreached(self) -> None:
        """
        Go on if the other side may not be connected yet; else it has left, which is no
        fault where nothing has begun.
        """
        if self._taken or not self._is_early:
            self._is_reached = self._taken > 0
            self.lose("who it leads to has left")

    def take(self, post: "dict[str, Any]") -> None:
        """
        Take what the other side has posted.
        """
        self._heard_s = monotonic()
        number = post.get("n")
        if post.get("left"):
            self.lose("the other side has left")
        elif number == self._taken:
            self._taken += 1
            self._inbox.put(post["data"])
        elif number is not None and self.worker is not None:
            is_answered = self._sent == self._taken
            sign = self._last if is_answered else {"line": self.name}
            self._station.post(self.peer, sign)

    def _pause(self, left: float | None) -> float | None:
        """
        Give how long to wait before asking: a caller need not, it looks for workers.
        """
        if self.worker is not None:
            return left
        step = ASK_S if self._taken else AGAIN_S
        return step if left is None else min(step, left)

    def _ask(self) -> None:
        """
        Send the last once more: who has it says so.
        """
        if self.worker is not None:
            return
        if monotonic() - self._heard_s > PATIENCE_S:
            self._station.gone.add(self.peer)
            self.lose("the caller gives no sign of life")
        else:
            self._station.post(self.peer, self._last)


class Station:
    """
    This process's own client to one scheduler, and the lines that lead through it.

    Args:
        serve: Serves a line that a worker has opened to here.
        role: ``worker`` where it is one: Dask takes a worker's certificates then.

    Attributes:
        id: The queue of the scheduler in which messages for this process wait.
        lines: By name.
        users: Which clients of the application have it; it goes when none is left.
        gone: Whose processes have gone, and whose queues may go.
        is_over: Whether it serves no more.
    """

    def __init__(
        self,
        address: str,
        security: object,
        serve: "Serve",
        role: str = "instrument",
    ) -> None:
        self.id = f"instrument-{os.urandom(16).hex()}"
        self.lines: dict[str, DaskLine] = {}
        self.users: WeakSet[Any] = WeakSet()
        self.gone: set[str] = set()
        self.is_over = False
        self._address, self._security, self._role = address, security, role
        self._serve_line = serve
        self._is_left = False
        self._posts: deque[tuple[str, dict[str, Any]]] = deque()
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._has_posts = asyncio.Event()
        self._thread = threading.Thread(
            target=self._run, name="instrument relay dask", daemon=True
        )
        try:
            self._thread.start()
        except RuntimeError:  # no thread is to be had
            self._loop.close()
            raise

    def wait(self) -> None:
        """
        Wait until it is connected.

        Raises:
            OSError: If it is not, in time.
        """
        if not self._ready.wait(START_S) or self.is_over:
            raise ConnectionError(f"the scheduler at {self._address} is not reached")

    def is_ready(self) -> bool:
        """
        Tell whether it is connected.
        """
        return self._ready.is_set()

    def post(self, peer: str, post: "dict[str, Any] | None") -> None:
        """
        Send to another process; from any thread.
        """
        self._posts.append((peer, post or {}))
        with suppress(RuntimeError):  # the loop is closed: all lines know
            self._loop.call_soon_threadsafe(self._has_posts.set)

    def line_to(self, peer: str, worker: str, *, is_early: bool = False) -> DaskLine:
        """
        Open a line from a worker.
        """
        own = {"worker": worker, "process": _TOKEN}
        line = DaskLine(self, os.urandom(16).hex(), peer, own=own, is_early=is_early)
        self.lines[line.name] = line
        return line

    def stop(self, wait_s: float = STOP_S) -> None:
        """
        Leave the scheduler.
        """
        self._is_left = True
        for line in list(self.lines.values()):
            line.close()
        self.post(self.id, None)
        self._thread.join(wait_s)

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
                runner.run(self._serve())
        except Exception as exc:
            if not self._is_left:
                _report.failed_apart(STATIONS, "a scheduler", exc)
        finally:
            self.is_over = True
            self._ready.set()
            for line in list(self.lines.values()):
                line.lose("the scheduler is not reached any more")

    async def _serve(self) -> None:
        """
        Be there until it is stopped, or the scheduler has gone.
        """
        from distributed import Client

        async with Client(
            self._address,
            asynchronous=True,
            security=self._security,
            set_as_default=False,
            name=self._role,
        ) as client:
            await client.scheduler.queue_create(name=self.id)
            self._ready.set()
            acts = (self._hear(client), self._send(client), self._look(client))
            tasks = [asyncio.ensure_future(act) for act in acts]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            _release(client, self.id)

    async def _hear(self, client: "Any") -> None:
        """
        Take messages, which may be anything.
        """
        while True:
            got = await client.scheduler.queue_get(name=self.id)
            try:
                told = got["value"]
                if told["from"] == self.id:
                    return
                for post in told["posts"]:
                    self._take(told["from"], post)
            except Exception as exc:
                _report.failed_apart(STATIONS, "a message", exc)

    async def _send(self, client: "Any") -> None:
        """
        Send what waits, each in order, as few messages.
        """
        while True:
            self._has_posts.clear()
            while self._posts:
                told: dict[str, list[dict[str, Any]]] = {}
                while self._posts and len(told) < _MOST_AT_ONCE:
                    peer, post = self._posts.popleft()
                    told.setdefault(peer, []).append(post)
                own = told.pop(self.id, None)
                sent = [self._put(client, *it) for it in told.items()]
                await asyncio.gather(*sent)
                if own is not None:  # it ends, behind all that was sent before
                    await self._put(client, self.id, own)
            await self._has_posts.wait()

    async def _put(
        self, client: "Any", peer: str, posts: "list[dict[str, Any]]"
    ) -> None:
        data = {"from": self.id, "posts": posts}
        try:
            await client.scheduler.queue_put(name=peer, data=data)
        except KeyError:  # it is not there yet, or no more
            for line in [it for it in list(self.lines.values()) if it.peer == peer]:
                line.unreached()

    async def _look(self, client: "Any") -> None:
        """
        Look which of the workers that have lines to here are gone.
        """
        while True:
            await asyncio.sleep(LOOK_S)
            lines = [it for it in list(self.lines.values()) if it.worker]
            asked = {it.worker[0] for it in lines if it.worker}
            known = await client.nthreads(workers=[*asked]) if asked else {}
            for line in lines:
                if line.worker and line.worker[0] not in known:
                    self.gone.add(line.peer)
                    line.lose("the scheduler knows its worker no more")
            while self.gone:
                await self._end(client, self.gone.pop())

    async def _end(self, client: "Any", peer: str) -> None:
        """
        Have the queue of a process that has gone go, and what still waits at it.
        """
        with suppress(KeyError):
            await client.scheduler.queue_put(name=peer, data={"from": peer})
        _release(client, peer)

    def _take(self, peer: str, post: "dict[str, Any]") -> None:
        line = self.lines.get(post["line"])
        if line is None and "worker" in post:
            line = self._opened(peer, post)
        if line is not None:
            line.take(post)

    def _opened(self, peer: str, post: "dict[str, Any]") -> DaskLine:
        """
        Take up a line from a worker; where another process was, that is gone.
        """
        worker, name = (post["worker"], post["process"]), post["line"]
        for other in list(self.lines.values()):
            known = other.worker
            if known and known[0] == worker[0] and known[1] != worker[1]:
                self.gone.add(other.peer)
                other.lose("its worker has been started anew")
        line = self.lines[name] = DaskLine(self, name, peer, worker)
        thread = threading.Thread(
            target=self._serve_one,
            args=(line,),
            name="instrument relay line",
            daemon=True,
        )
        try:
            thread.start()
        except RuntimeError:  # no thread is to be had
            line.close()
            raise
        return line

    def _serve_one(self, line: DaskLine) -> None:
        try:
            self._serve_line(line)
        finally:
            line.close()


class Stations:
    """
    The stations of this process, one for each scheduler.
    """

    def __init__(self) -> None:
        self._lock = fork_lock()
        self._known: dict[str, Station] = {}
        self._inherited: list[Station] = []

    def at(
        self,
        address: str,
        security: object,
        serve: "Serve",
        role: str = "instrument",
    ) -> Station:
        """
        Give the one for the scheduler at *address*.

        Raises:
            OSError: If none can be made.
        """
        with self._lock:
            station = self._known.get(address)
            if station is None or station.is_over:
                station = self._known[address] = Station(address, security, serve, role)
        return station

    def leave(self, address: str, user: object, wait_s: float = STOP_S) -> None:
        """
        Stop it if nobody else needs it.
        """
        with self._lock:
            station = self._known.get(address)
            if station is None or user not in station.users:
                return
            station.users.discard(user)
            if station.users:
                return
            del self._known[address]
        station.stop(wait_s)

    def stop(self) -> None:
        """
        Stop all, at exit.
        """
        with self._lock:
            stations = [*self._known.values()]
            self._known.clear()
        for station in stations:
            station.stop()

    def forget(self) -> None:
        """
        Begin anew in a forked child: threads and connections are the parent's.
        """
        global _TOKEN
        _TOKEN = os.urandom(8).hex()
        self._inherited = [*self._known.values()]  # or their loops would be closed
        self._known.clear()


def _release(client: "Any", name: str) -> None:
    """
    Have the scheduler forget a queue.
    """
    with suppress(OSError):  # the scheduler has gone, and all its queues
        client.scheduler_comm.send({"op": "queue_release", "name": name})


if TYPE_CHECKING:
    Serve = Callable[[Any], None]

_TOKEN = os.urandom(8).hex()
"""Tells this process from others that had, or will have, its worker's address."""
STATIONS = Stations()
atexit.register(STATIONS.stop)
in_child(STATIONS.forget)
