"""
How events come home from Ray's workers: an actor of the sender's, which Ray finds from
anywhere in the cluster, and which Ray tells when a worker has gone.

It needs no port, and is made when the first carrier is. A frame is a call of it, which
takes until the sender has answered: so all is in order. A worker on the sender's machine
takes the socket, which is faster.
"""

import os
import queue
import threading
from contextlib import suppress

from instrument._forks import fork_lock, in_child
from instrument._relay.relay import TRANSPORTS
from instrument._relay.sockets import SOCKETS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from instrument._relay.transport import Line

JOIN_S = 30.0
"""How long a worker waits for the mailbox, which may have to start, to answer first."""
LOOK_S = 1.0
"""How often it is looked whether Ray was shut down here."""
MOST_AT_ONCE = 100_000
"""Of calls that a mailbox has: one for each worker's process, and each line's last frame."""
_NAMESPACE = "instrument"
_NO_RAY = "instrument.integrations.ray needs ray: pip install ray"
_OVER = "Ray was shut down here, or the mailbox is lost"
_LEFT = "the other side has left"


class Mailbox:
    """
    The actor: each frame of a worker waits in it for the answer of whose mailbox it is.

    A worker's process is watched by an object that it owns: Ray says when that is gone.
    """

    def __init__(self) -> None:
        import asyncio

        self._frames: asyncio.Queue[tuple[str, bytes | None]] = asyncio.Queue()
        self._lines: dict[str, asyncio.Future[bytes | None] | None] = {}
        self._parked: dict[str, asyncio.Event] = {}

    async def take(self) -> "list[tuple[str, bytes | None]]":
        """
        Wait for frames, each with its line; None where that has ended.
        """
        taken = [await self._frames.get()]
        while not self._frames.empty():
            taken.append(self._frames.get_nowait())
        return taken

    async def answer(self, line: str, frame: "bytes | None") -> None:
        """
        Answer a line's frame; None ends it.
        """
        asked = self._lines.get(line)
        if frame is None:
            self._lines.pop(line, None)
        if asked is not None and not asked.done():
            asked.set_result(frame)

    async def open(self, line: str) -> None:
        """
        Begin a line.
        """
        self._lines[line] = None

    async def ask(self, line: str, frame: bytes) -> "bytes | None":
        """
        Hand over a frame, and wait for its answer; None where the line has ended.
        """
        import asyncio

        if line not in self._lines:
            return None
        asked: asyncio.Future[bytes | None] = asyncio.Future()
        self._lines[line] = asked
        self._frames.put_nowait((line, frame))
        return await asked

    async def close(self, line: str) -> None:
        """
        End a line from its worker's side.
        """
        if line in self._lines:
            await self.answer(line, None)
            self._frames.put_nowait((line, None))

    async def park(self, worker: str) -> None:
        """
        Take as long as the process of *worker* is there.
        """
        import asyncio

        parked = self._parked[worker] = asyncio.Event()
        await parked.wait()

    async def watch(self, worker: str, owned: "list[Any]") -> None:
        """
        Wait until a process is gone, whose object that is, and end its lines.
        """
        with suppress(Exception):  # its owner has died
            await owned[0]
        self._parked.pop(worker).set()
        for line in [it for it in self._lines if it.startswith(worker)]:
            await self.close(line)


class Sender:
    """
    A line of a worker's, on its side.
    """

    def __init__(self, mailbox: "Any", id: str) -> None:
        self._mailbox = mailbox
        self._id = id
        self._asked: Any = None
        self._is_closed = False

    def send(self, frame: bytes) -> None:
        self._asked = _called(self._mailbox, "ask", self._id, frame)

    def receive(self, timeout_s: float | None = None) -> bytes:
        frame: bytes | None = _answer_of(self._asked, timeout_s)
        if frame is None:
            self._is_closed = True
            raise ConnectionResetError(_LEFT)
        return frame

    def has_news(self) -> bool:
        return self._is_closed

    def close(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            with suppress(OSError):
                _called(self._mailbox, "close", self._id)


class Receiver:
    """
    A line of a worker's, where its events come home.
    """

    def __init__(self, home: "Home", id: str) -> None:
        self._home = home
        self._id = id
        self._frames: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()

    def bring(self, frame: bytes | None) -> None:
        """
        Have a frame be received; None where there will be none.
        """
        self._frames.put(frame)

    def send(self, frame: bytes) -> None:
        self._home.answer(self._id, frame)

    def receive(self, timeout_s: float | None = None) -> bytes:
        try:
            frame = self._frames.get(timeout=timeout_s)
        except queue.Empty:
            raise TimeoutError from None
        if frame is None:
            self._frames.put(None)
            raise ConnectionResetError(_LEFT)
        return frame

    def has_news(self) -> bool:
        return not self._frames.empty()

    def close(self) -> None:
        self._home.forget(self._id)


class Home:
    """
    The mailbox of this process in one session of Ray's, and the thread that empties it.
    """

    def __init__(self, serve: "Callable[[Any], None]", session: str) -> None:
        self.session = session
        self.name = os.urandom(16).hex()
        self.is_over = False
        self._serve = serve
        self._lines: dict[str, Receiver] = {}
        self._lock = fork_lock()
        self._mailbox = _made(self.name)
        threading.Thread(
            target=self._empty, name="instrument ray mailbox", daemon=True
        ).start()

    def answer(self, id: str, frame: bytes | None) -> None:
        """
        Answer what a line has brought.

        Raises:
            OSError: If the worker cannot be reached any more.
        """
        if self.is_over or _session() != self.session:
            raise ConnectionResetError(_OVER)
        _called(self._mailbox, "answer", id, frame)

    def forget(self, id: str) -> None:
        """
        End a line from this side.
        """
        with self._lock:
            line = self._lines.pop(id, None)
        if line is not None:
            line.bring(None)
            with suppress(OSError):
                self.answer(id, None)

    def _empty(self) -> None:
        try:
            while _session() == self.session:
                self._bring_all(_called(self._mailbox, "take"))
        except OSError:
            pass
        finally:
            with self._lock:
                self.is_over = True
                lines = [*self._lines.values()]
            for line in lines:
                line.bring(None)

    def _bring_all(self, taken: "Any") -> None:
        """
        Wait for frames as long as the session lasts: its end is not always told.
        """
        while _session() == self.session:
            try:
                came = _answer_of(taken, LOOK_S)
            except TimeoutError:
                continue
            for id, frame in came:
                self._bring(id, frame)
            return

    def _bring(self, id: str, frame: bytes | None) -> None:
        with self._lock:
            line, is_new = self._lines.get(id), False
            if line is None and frame is not None:
                line, is_new = Receiver(self, id), True
                self._lines[id] = line
        if line is not None:
            line.bring(frame)
        if is_new:
            threading.Thread(
                target=self._serve_one, args=(line,), name="instrument ray", daemon=True
            ).start()

    def _serve_one(self, line: Receiver) -> None:
        try:
            self._serve(line)
        finally:
            line.close()


class Mailboxes:
    """
    A `Transport` by an actor for each process that work is sent from.
    """

    def __init__(self) -> None:
        self._lock = fork_lock()
        self._serve: Callable[[Any], None] | None = None
        self._begin()

    def _begin(self) -> None:
        self._home: Home | None = None
        self._known: dict[str, Any] = {}
        self._count = 0
        self._worker = os.urandom(8).hex()

    def listen(self, serve: "Callable[[Any], None]") -> None:
        self._serve = serve
        SOCKETS.listen(serve)

    def address(self) -> "dict[str, Any]":
        session = _session()
        with self._lock:
            home = self._home
            if home is None or home.is_over or home.session != session:
                home = self._home = Home(self._serve, session)  # type: ignore[arg-type]
        return {"kind": "ray", "name": home.name, "socket": SOCKETS.address()}

    def open(self, address: "dict[str, Any]") -> "Line":
        name, near = address.get("name"), address.get("socket")
        if type(name) is not str or type(near) is not dict:
            raise ValueError("no address of a mailbox")
        with suppress(OSError):  # it is on another machine
            return SOCKETS.open(near)
        with self._lock:
            mailbox, _ = self._known.get(name) or self._join(name)
            self._count += 1
            id = f"{self._worker}-{self._count}"
        try:
            _answer_of(_called(mailbox, "open", id), JOIN_S)
        except OSError:
            self._known.pop(name, None)
            raise
        return Sender(mailbox, id)

    def _join(self, name: str) -> "tuple[Any, Any]":
        """
        Find a mailbox, and have it watch this process.
        """
        ray = imported()
        mailbox = ray.get_actor(name, namespace=_NAMESPACE)
        owned = mailbox.park.remote(self._worker)
        mailbox.watch.remote(self._worker, [owned])
        joined = self._known[name] = mailbox, owned
        return joined

    def forget(self) -> None:
        """
        Begin anew in a forked child, which Ray does not know.
        """
        self._begin()


def _made(name: str) -> "Any":
    """
    Make a mailbox, beside this process: it ends with that.
    """
    ray = imported()
    strategies = ray.util.scheduling_strategies
    node = ray.get_runtime_context().get_node_id()
    made = ray.remote(
        num_cpus=0,
        max_concurrency=MOST_AT_ONCE,
        enable_task_events=False,
        scheduling_strategy=strategies.NodeAffinitySchedulingStrategy(node, soft=False),
    )(Mailbox)
    return made.options(name=name, namespace=_NAMESPACE).remote()


def _called(mailbox: "Any", method: str, *args: "Any") -> "Any":
    """
    Call a mailbox; give the future of what it answers.

    Not by ``ray.get``, which counts its caller as idle, and warns in an async actor.

    Raises:
        OSError: If it is gone.
    """
    try:
        return getattr(mailbox, method).remote(*args).future()
    except Exception as exc:
        raise ConnectionResetError(f"{_OVER}: {exc}") from None


def _answer_of(future: "Any", timeout_s: float | None = None) -> "Any":
    """
    Wait for what a mailbox answers.

    Raises:
        OSError: If it is gone.
        TimeoutError: If it takes longer.
    """
    try:
        return future.result(timeout_s)
    except TimeoutError:
        raise
    except Exception as exc:
        raise ConnectionResetError(f"{_OVER}: {type(exc).__name__}") from None


def _session() -> str:
    """
    Name this process in Ray as long as it is connected; nothing where it is not.
    """
    ray = imported()
    if not ray.is_initialized():
        return ""
    return ray.get_runtime_context().get_worker_id()  # type: ignore[no-any-return]


def imported() -> "Any":
    """
    Give Ray.

    Raises:
        ImportError: Without it.
    """
    try:
        import ray
        import ray.util.scheduling_strategies
    except ImportError:
        raise ImportError(_NO_RAY) from None
    return ray


MAILBOXES = Mailboxes()
TRANSPORTS["ray"] = MAILBOXES
in_child(MAILBOXES.forget)
