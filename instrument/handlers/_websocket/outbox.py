"""
`Outbox`: a bounded queue of frames, and who sends them to one WebSocket.

On asyncio that is a task on the socket's loop, which lives while frames wait. A deque
needs no lock, so that being re-entered by a collected generator does no harm.
"""

import asyncio
import inspect
from collections import deque
from contextlib import suppress
from math import inf
from threading import current_thread, main_thread

from instrument import _interrupts, _report
from instrument._delivery import loops as _loops
from instrument._delivery.serving import Serving, failed, left_by
from instrument._forks import fork_lock
from instrument._interrupts import Taking
from instrument.handlers._shared.waiters import AsyncioWaiter, ThreadWaiter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import Any

    from instrument.handlers._shared.waiters import Waiter


class Outbox:
    """
    What waits to be sent.

    Args:
        owner: The handler, for reports.
        send: The socket's method.
        maxsize: How many frames wait before those who put more are held up, or
            tokens dropped.
        blocks: Whether they are held up, where that is possible.
        timeout_s: How long anybody waits for the client.

    Attributes:
        dropped: How many frames found no place.
        closed: Whether nothing can be sent any more.
    """

    def __init__(
        self,
        owner: object,
        send: "Callable[[str], Any]",
        maxsize: int,
        timeout_s: float,
        *,
        blocks: bool,
    ) -> None:
        self._owner = owner
        self._send = send
        self._is_async = inspect.iscoroutinefunction(inspect.unwrap(send))
        self._maxsize = maxsize
        self._timeout_s = timeout_s
        self._blocks = blocks
        self._loop = _loops.running_loop()
        self._forks = _loops.FORKS.count
        self._queue: deque[str | Waiter] = deque()
        self._held: deque[Waiter] = deque()
        self._task: asyncio.Task[None] | None = None
        self._left: asyncio.Task[None] | None = None  # one that an interrupt has ended
        self._is_sending = False
        self._lock = fork_lock()
        self.dropped = 0
        self.closed = False

    def takes(self, *, is_expendable: bool) -> bool:
        """
        Tell whether there is place for one event more; if not, it is dropped.
        """
        self._pass_on()
        self._meet_loop()
        if self._has_place(is_expendable=is_expendable):
            return True
        with self._lock:
            self.dropped += 1
        return False

    def put(self, frame: str, taking: Taking) -> None:
        """
        Queue *frame*, without waiting, and tell that to *taking*.
        """
        self._put(frame, taking)

    def sent(self) -> "Awaitable[None] | None":
        """
        Have what is queued sent where nobody else does: without a loop.

        Returns:
            What is to be awaited for it, on trio.
        """
        return self._send_here() if self._loop is None else None

    def held_up(self) -> "Awaitable[None] | None":
        """
        Have what is queued sent.

        Returns:
            In async code, what is to be awaited until there is place again. Another
            thread waits here.
        """
        if self._loop is None:
            return self._send_here()
        return self._held_up() if self._blocks else None

    def flush(self) -> None:
        """
        Wait in another thread until what is queued has been sent.

        Raises:
            RuntimeError: If no loop is known that could send it.
        """
        if self._loop is None and self._queue:
            if self._is_async or _loops.in_trio():
                raise RuntimeError(_NO_LOOP)
            self._send_in_thread()
        if self._can_wait():
            sent = ThreadWaiter()
            self._put(sent, Taking())
            self._waited(is_woken=sent.wait(self._timeout_s))

    async def aflush(self) -> None:
        """
        Wait in a task until what is queued has been sent.
        """
        self._meet_loop()
        running = _loops.running_loop()
        if self._loop is not None and running is not None:
            sent = AsyncioWaiter(running)
            self._put(sent, Taking())
            await self._woken(sent)
            self._pass_on()
        elif self._loop is None and _loops.in_trio():
            await self._send_on_trio()
        elif self._loop is None and not self._is_async:
            self._send_in_thread()

    def _meet_loop(self) -> None:
        if self._loop is None and self._is_async:
            self._loop = _loops.running_loop()

    def _has_place(self, *, is_expendable: bool) -> bool:
        """
        Tell whether one more is taken, besides those that somebody is held up with.
        """
        places = self._maxsize * (1 if is_expendable else 2)
        if self._blocks:  # room for those who cannot wait, or have yet to begin
            places += self._maxsize
        return len(self._queue) - len(self._held) < places

    def _put(self, item: "str | Waiter", taking: Taking) -> None:
        taking.is_taken = True
        self._queue.append(item)
        if self._is_closed():
            self._discard()
        elif self._loop is not None and (self._task is None or self._task.done()):
            with suppress(RuntimeError):  # closed just now: the next one finds out
                self._loop.call_soon_threadsafe(self._kick)

    def _held_up(self) -> "Awaitable[None] | None":
        if len(self._queue) <= self._maxsize:
            return None
        if _loops.running_loop() is not None:
            return self._hold()
        if self._can_wait():
            place = ThreadWaiter()
            self._held.append(place)
            self._release()
            self._waited(is_woken=place.wait(self._timeout_s))
        return None

    async def _hold(self) -> None:
        place = AsyncioWaiter(asyncio.get_running_loop())  # maybe not that of the event
        self._held.append(place)
        self._release()
        try:
            await self._woken(place)
        except BaseException:  # cancelled: nobody is held up with that frame any more
            with suppress(ValueError, IndexError):
                self._held.remove(place)
            raise

    async def _woken(self, waiter: AsyncioWaiter) -> None:
        try:
            async with asyncio.timeout(self._timeout_s):
                await waiter.wait()
        except TimeoutError as exc:
            _interrupts.pass_on(exc)
            self._waited(is_woken=False)

    def _waited(self, *, is_woken: bool) -> None:
        if not is_woken:
            self._fail(
                TimeoutError(f"the client took too little in {self._timeout_s} s")
            )

    def _can_wait(self) -> bool:
        """
        Tell whether this thread may wait for the loop: it runs, and elsewhere.
        """
        is_task = _loops.running_loop() is not None or _loops.in_trio()
        return not is_task and _loops.is_usable(self._loop, self._forks)

    def _pass_on(self) -> None:
        """
        Raise the interrupt that came as what was queued was sent.
        """
        if self._left is None or current_thread() is not main_thread():
            return
        left, self._left = self._left, None
        interrupt = left_by(left, self._owner)
        try:
            if interrupt is not None:
                raise interrupt  # pragma: no cover - a signal alone comes here
        finally:
            del interrupt, left  # its traceback holds this frame

    def _kick(self) -> None:
        if self._task is not None and self._task.done():  # interrupted in `_stop`
            self._end()
        if self._task is None and self._queue:
            sending = Serving(self._send_all(asyncio.get_running_loop()))
            self._task = asyncio.get_running_loop().create_task(sending)
            self._task.add_done_callback(self._stop)

    def _end(self) -> None:
        task, self._task = self._task, None
        self._left = failed(task) or self._left

    def _stop(self, _: object) -> None:
        self._end()
        self._kick()  # for what came while it ended

    async def _send_all(self, loop: asyncio.AbstractEventLoop) -> None:
        latest, met = inf, _interrupts.met_cancellations()
        while self._queue:
            item = self._queue.popleft()
            self._release()
            if not isinstance(item, str):
                item.wake()
                continue
            try:
                async with asyncio.timeout_at(
                    min(loop.time() + self._timeout_s, latest)
                ):
                    await self._sent(item)
                    await asyncio.sleep(0)  # a send need not give way to others
            except asyncio.CancelledError as exc:
                if not _interrupts.is_of_call(exc, met):  # the socket's own
                    self._fail(exc)
                    continue
                # the loop ends: it waits, but not for ever
                latest = min(latest, loop.time() + self._timeout_s)
                met = _interrupts.met_cancellations()
            except (Exception, SystemExit) as exc:
                _interrupts.pass_on(exc)
                self._fail(exc)

    async def _sent(self, frame: str) -> None:
        result = self._send(frame)
        if _loops.is_awaitable(result):
            await result

    def _send_here(self) -> "Awaitable[None] | None":
        """
        Send without a loop: in this thread, or in this task of trio.
        """
        if _loops.in_trio():
            return self._send_on_trio()
        if not self._is_async:
            self._send_in_thread()
        return None  # or it waits until a loop is met

    async def _send_on_trio(self) -> None:
        import trio

        try:
            while self._queue:
                with trio.fail_after(self._timeout_s):
                    frame: Any = self._queue[0]
                    del self._queue[0]  # no interrupt comes between
                    await self._sent(frame)
        except BaseException as exc:
            _interrupts.pass_on(exc)
            self._fail(exc)

    def _send_in_thread(self) -> None:
        with self._lock:
            if self._is_sending:  # re-entered in mid-frame: it is sent after that
                return
            self._is_sending = True
            try:
                while self._queue:
                    frame: Any = self._queue[0]
                    del self._queue[0]  # no interrupt comes between
                    result = self._send(frame)
                    if _loops.is_awaitable(result):
                        _close(result)
                        self._fail(RuntimeError(_NO_LOOP))
            except BaseException as exc:
                _interrupts.pass_on(exc)
                self._fail(exc)
            finally:
                self._is_sending = False

    def _is_closed(self) -> bool:
        """
        Tell whether nothing can be sent; a loop that is gone takes its sockets along.
        """
        is_child = self._forks != _loops.FORKS.count  # the socket is its parent's
        if is_child or (self._loop is not None and self._loop.is_closed()):
            self.closed = True
        return self.closed

    def _fail(self, exc: BaseException) -> None:
        """
        Give the client up: report it once, and let go whoever waits.
        """
        with self._lock:
            is_news, self.closed = not self.closed, True
        if is_news:
            _report.failed(self._owner, "send", exc)
        self._discard()
        if self._task is not None and self._loop is not None:
            with suppress(RuntimeError):  # closed just now
                self._loop.call_soon_threadsafe(self._task.cancel)

    def _discard(self) -> None:
        with suppress(IndexError):
            while True:
                item = self._queue.popleft()
                if not isinstance(item, str):
                    item.wake()
        self._release()

    def _release(self) -> None:
        """
        Let go those for whom there is place.
        """
        with suppress(IndexError):  # another thread lets go as well
            while self.closed or len(self._queue) - len(self._held) < self._maxsize:
                self._held.popleft().wake()


def _close(awaitable: object) -> None:
    close = getattr(awaitable, "close", None)
    if close is not None:
        close()


_NO_LOOP = (
    "no event loop is known that could send: make the WebSocketHandler where the"
    " socket's loop runs"
)
