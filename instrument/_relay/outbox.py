"""
What a worker has to tell, on its way home: the first at once, then by batches.

Each frame is answered when it has been told. So nothing waits out of sight, what a handler
refuses is known soon, and a slow one slows the worker down: its queue has an end. Starts
and ends are never dropped; pieces of answers are, the oldest first, and counted.
"""

import json
import threading
from collections import deque
from concurrent.futures import Future
from concurrent.futures import wait as futures_wait
from time import monotonic
from weakref import WeakSet

from instrument._forks import fork_lock, in_child
from instrument._interrupts import is_of_call, pass_on

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from instrument._relay.transport import Line, Transport

MOST_ITEMS = 10_000
MOST_CHARACTERS = 64_000_000
"""How much waits at most."""
BATCH, BATCH_CHARACTERS, BATCH_S = 64, 1_000_000, 0.002
WAIT_S = 30.0
"""How long a worker waits for a caller that takes nothing."""
HELLO_S = 5.0
_MOST_IDLE = 8


class Item:
    """
    A record as text, and who waits for what becomes of it.
    """

    __slots__ = ("answered", "is_end", "text")

    def __init__(self, text: str, answered: "Future[dict[str, Any]] | None") -> None:
        self.text = text
        self.answered = answered
        self.is_end = False


class Outbox:
    """
    The queue of one call at a time, and the thread that sends it.

    Attributes:
        error: Why nothing can be sent any more.
        stops: What handlers there refused, by run, and has not been taken yet.
    """

    def __init__(self, line: "Line") -> None:
        self.error: BaseException | None = None
        self.stops: dict[str, Any] = {}
        self._line = line
        self._make_lock()
        self._items: deque[Item] = deque()
        self._tokens: deque[Item] = deque()
        self._size = self._sent = self.dropped = 0
        self._is_idle = self._is_urgent = False
        self._answers = 0
        self._on_its_way: list[Item] = []
        _boxes.add(self)
        threading.Thread(
            target=self._send_all, name="instrument relay outbox", daemon=True
        ).start()

    def hello(self, told: "dict[str, Any]") -> "dict[str, Any]":
        """
        Begin a call: nothing else waits.

        Raises:
            OSError, ValueError: If who listens does not understand.
        """
        self._sent = self.dropped = 0
        self.stops = {}
        self._line.send(json.dumps(told).encode())
        return _object(self._line.receive(HELLO_S))

    def put(
        self, text: str, *, is_token: bool = False, is_asked: bool = False
    ) -> "Future[dict[str, Any]] | None":
        """
        Queue a record; waits where the queue is full and it is no piece of an answer.

        Returns:
            Of one that is asked for what becomes of it: that, when it has been told.
        """
        item = Item(text, Future() if is_asked else None)
        with self._lock:
            is_taken = not self._is_full() or self._make_room(is_piece=is_token)
            if is_taken and self.error is None:
                if is_token:
                    self._tokens.append(item)
                self._add(item, is_urgent=is_asked)
            elif item.answered is not None:
                item.answered.set_exception(self.error)
        return item.answered

    def finish(self) -> "Future[dict[str, Any]]":
        """
        Send all, and the end; done when all has been told.
        """
        item = Item("", Future())
        item.is_end = True
        with self._lock:
            if self.error is None:
                self._add(item, is_urgent=True)
            else:
                item.answered.set_exception(self.error)  # type: ignore[union-attr]
        return item.answered  # type: ignore[return-value]

    def waited_for(self, done: "Future[dict[str, Any]]") -> bool:
        """
        Wait for that, as long as anything is taken; tell whether it came.
        """
        known = -1
        while not done.done() and known != self._answers:
            known = self._answers
            futures_wait({done}, WAIT_S)
        return done.done()

    def is_left(self) -> bool:
        """
        Tell, of one that serves no call, whether the other side has gone.
        """
        return self._line.has_news()

    def close(self) -> None:
        """
        Send nothing more; the other side sees that.
        """
        self._fail(ConnectionAbortedError("the call was left"))

    def forget(self) -> None:
        """
        Take nothing more, in a forked child: the thread is the parent's, and the call.
        """
        self._make_lock()
        self.error = ConnectionAbortedError("the call is the parent process's")

    def _make_lock(self) -> None:
        # entered itself: an interrupt as a `Condition` is left has that stay locked
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)

    def _is_full(self) -> bool:
        return len(self._items) >= MOST_ITEMS or self._size >= MOST_CHARACTERS

    def _make_room(self, *, is_piece: bool) -> bool:
        """
        Drop the oldest piece of an answer; where there is none, wait for room, or drop
        the piece that comes.
        """
        while self._is_full() and self._tokens:
            oldest = self._tokens.popleft()
            self._items.remove(oldest)
            self._size -= len(oldest.text)
            self.dropped += 1
        if not self._is_full():
            return True
        if is_piece:
            self.dropped += 1
            return False
        until = monotonic() + WAIT_S
        while self._is_full() and self.error is None:
            left = until - monotonic()
            if left <= 0 or not self._changed.wait(left):
                self._fail(TimeoutError(f"nothing was taken for {WAIT_S:.0f} s"))
        return True

    def _add(self, item: Item, *, is_urgent: bool) -> None:
        """
        Queue it; where nothing is on its way it is sent by this thread, at once: the
        other may be kept from running by what is done here, or be killed with it.
        """
        self._items.append(item)
        self._size += len(item.text)
        self._is_urgent = self._is_urgent or is_urgent
        if self._is_idle:
            self._is_idle = False
            batch = self._taken()
            try:
                self._send(batch)
            except BaseException as exc:
                self._fail(exc, batch)  # it may have broken off in mid-frame
                if is_of_call(exc):
                    raise
                return
            self._on_its_way = batch
            self._changed.notify_all()
        elif is_urgent or len(self._items) >= BATCH:
            self._changed.notify_all()

    def _send_all(self) -> None:
        while True:
            batch = self._next()
            if not batch:
                return
            try:
                if not self._on_its_way:
                    self._send(batch)
                answer = _object(self._line.receive())
            except Exception as exc:
                self._fail(exc, batch)
                return
            with self._lock:
                self._on_its_way = []
                self._answers += 1
                self.stops.update(answer.get("stops") or {})
                self._changed.notify_all()
            for item in batch:
                if item.answered is not None:
                    item.answered.set_result(answer)
            if not batch[-1].is_end:
                self._pause()

    def _next(self) -> "list[Item]":
        """
        Wait for what is to be sent, or has been; nothing once it is closed.
        """
        with self._lock:
            self._is_idle = not self._items and self.error is None
            while self._is_idle:
                self._changed.wait()
            return self._on_its_way or self._taken()

    def _taken(self) -> "list[Item]":
        """
        Take a batch from the queue.
        """
        self._is_urgent = False
        batch: list[Item] = []
        size = 0
        while self._items and len(batch) < BATCH and size < BATCH_CHARACTERS:
            if self._items[0].is_end and batch:
                self._is_urgent = True
                break
            item = self._items.popleft()
            if self._tokens and self._tokens[0] is item:
                self._tokens.popleft()
            size += len(item.text)
            batch.append(item)
        self._size -= size
        self._changed.notify_all()
        return batch

    def _send(self, batch: "list[Item]") -> None:
        if batch[-1].is_end:
            told = f'{{"end":{self._sent},"dropped":{self.dropped}}}'
        else:
            events = ",".join([item.text for item in batch])
            told = f'{{"first":{self._sent},"events":[{events}]}}'
            self._sent += len(batch)
        self._line.send(told.encode())

    def _pause(self) -> None:
        """
        Wait for more to go along, not long; not where someone waits for an answer.
        """
        until = monotonic() + BATCH_S
        with self._lock:
            while len(self._items) < BATCH and self.error is None:
                left = until - monotonic()
                if left <= 0 or self._is_urgent:
                    return
                self._changed.wait(left)

    def _fail(self, exc: BaseException, batch: "list[Item] | None" = None) -> None:
        with self._lock:
            if self.error is None:
                self.error = exc
            left = [*(batch or ()), *self._items]
            self._items.clear()
            self._tokens.clear()
            self._size = 0
            self._is_idle = False
            self._changed.notify_all()
        self._line.close()
        for item in left:
            if item.answered is not None and not item.answered.done():
                item.answered.set_exception(self.error)


class Idle:
    """
    The outboxes of this process that serve no call, by where they lead.
    """

    def __init__(self) -> None:
        self._lock = fork_lock()
        self._boxes: deque[tuple[str, Outbox]] = deque()

    def take(self, where: str) -> Outbox | None:
        """
        Give one that leads there, if there is any that has not been closed.
        """
        with self._lock:
            entry = next((it for it in self._boxes if it[0] == where), None)
            if entry is not None:
                self._boxes.remove(entry)
        if entry is None:
            return None
        if entry[1].is_left():
            entry[1].close()
            return self.take(where)
        return entry[1]

    def put(self, where: str, box: Outbox) -> None:
        """
        Keep one for the next call; the oldest goes where there are many.
        """
        with self._lock:
            self._boxes.append((where, box))
            oldest = self._boxes.popleft() if len(self._boxes) > _MOST_IDLE else None
        if oldest is not None:
            oldest[1].close()

    def forget(self) -> None:
        """
        Begin anew in a forked child: their threads are the parent's.
        """
        self._boxes.clear()
        for box in [*_boxes]:
            box.forget()


def opened(
    transport: "Transport", address: "dict[str, Any]", told: "dict[str, Any]"
) -> "tuple[str, Outbox, dict[str, Any]]":
    """
    Begin a call to *address*, by a line that is there or by a new one.

    Returns:
        By what `Idle` knows it, the outbox, and what was answered.

    Raises:
        OSError, ValueError: If nobody listens there, or not who should.
    """
    where = json.dumps(address, sort_keys=True)
    box = idle.take(where)
    if box is not None:
        try:
            return where, box, box.hello(told)
        except BaseException as exc:  # half of it may be on its way
            box.close()
            if not isinstance(exc, (OSError, ValueError)):
                raise
            pass_on(exc)  # else it has been closed just now
    line = transport.open(address)
    try:
        box = Outbox(line)
    except BaseException:  # no thread is to be had
        line.close()
        raise
    try:
        return where, box, box.hello(told)
    except BaseException:
        box.close()
        raise


def _object(frame: bytes) -> "dict[str, Any]":
    """
    Read a frame.

    Raises:
        ValueError: If it is no JSON object.
    """
    read = json.loads(frame)
    if type(read) is not dict:
        raise ValueError("no JSON object")
    return read


_boxes: "WeakSet[Outbox]" = WeakSet()
idle = Idle()
in_child(idle.forget)
