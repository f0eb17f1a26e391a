"""
Serve async handlers: in place, on the loop where they are at home, or in background.

Each handler of each open block has a `Lane` while anything is queued for it; a lane
is served by one task, so that a handler hears its events in order. Nothing here
blocks a loop, and every wait has a bound.
"""

from collections import deque
from concurrent.futures import Future
from concurrent.futures import wait as futures_wait
from contextlib import suppress
from threading import current_thread, main_thread
from typing import Any

from instrument import _interrupts, _report
from instrument._delivery import loops as _loops
from instrument._delivery.serving import (
    Serving,
    failed,
    finish,
    left_by,
    served_here,
)
from instrument._forks import fork_lock
from instrument._interrupts import has_room, is_of_call, met_cancellations
from instrument._state import MUTED, set_state
from instrument._text import cancellations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from collections.abc import Awaitable, Callable

    from instrument._audience.listener import Listener
    from instrument._audience.plan import Layer
    from instrument._runs.run import Run

    Show = Callable[[object], object] | None
    Item = tuple[Awaitable[Any] | None, str, Show, Run | None, Future[None]]

FOREIGN_WAIT_S = 1.0
"""How long async code waits for another loop to serve an event: it may be blocked."""

_LOCK = fork_lock()
"""Held to look for a lane until it is filled, and to take one away that is empty."""


class Lane:
    """
    What is queued for one handler on one loop, and the task that serves it.
    """

    __slots__ = (
        "_items",
        "_layer",
        "_left",
        "_task",
        "forks",
        "is_slow",
        "listener",
        "loop",
    )

    def __init__(
        self, listener: "Listener", layer: "Layer", loop: "AbstractEventLoop | None"
    ) -> None:
        self.listener = listener
        self._layer = layer
        self._items: deque[Item] = deque()
        self._task: Any = None  # of asyncio, or of trio
        self._left: Any = None  # one of asyncio that an interrupt has ended
        self.is_slow = False
        self.loop = loop
        self.forks = _loops.FORKS.count

    def put(
        self,
        awaitable: "Awaitable[Any] | None",
        event: str,
        show: "Show" = None,
        run: "Run | None" = None,
    ) -> "Future[None]":
        """
        Queue one call of the handler; None only marks a place.

        Args:
            show: Gives the text of a report as it may be seen.
            run: What the report is of.

        Returns:
            Done when it has been served, with its exception if it raised.
        """
        done: Future[None] = Future()
        self._items.append((awaitable, event, show, run, done))
        self._wake(run)
        return done

    def _wake(self, run: "Run | None" = None) -> None:
        if self.loop is None:
            if _loops.in_trio() and self._is_late(run):
                self._kick_trio()
            return
        try:
            self.loop.call_soon_threadsafe(self._kick)
        except RecursionError:
            pass  # what is queued is served with what comes next, or at the block's end
        except RuntimeError:  # closed just now: whoever comes next moves the lane
            self.loop = None

    async def drain(self) -> None:
        """
        Serve what is queued, in order, in this task.
        """
        cancelled = cancellations()
        while (item := self._next()) is not None:
            awaitable, event, show, run, done = item
            item = None
            exc: BaseException | None = None
            met = 0
            try:
                met = met_cancellations()
                if awaitable is not None:
                    await awaitable
            except BaseException as failure:
                exc = failure
                try:
                    handler = self.listener.handler
                    _report.failed(handler, event, failure, show=show, run=run, met=met)
                except cancelled:
                    if self._task is None:
                        raise  # not ours to swallow
            finally:
                finish(done, exc)
                del done, exc, run  # its traceback holds this frame

    def _next(self) -> "Item | None":
        try:
            return self._items.popleft()
        except IndexError:  # nothing is left, or another thread was faster
            return None

    async def settled(self) -> None:
        """
        Wait until what is queued now has been served.
        """
        if self.loop is not None and _loops.running_loop() is not None:
            await self.served(self.put(None, "flush"))
            self.pass_on()
        elif _loops.background.is_loop(self.loop) and not _loops.in_trio():
            self.wait()  # a coroutine driven by hand: this thread serves nobody
        elif self._task is not None and self.loop is None and _loops.in_trio():
            await self._served_by_trio()
        else:
            await self.drain()

    async def served(self, done: "Future[None]") -> None:
        """
        Wait for *done*; on another loop, which may be waiting for us, not long.
        """
        import asyncio

        waiting = asyncio.wrap_future(done)
        if self.loop is asyncio.get_running_loop():
            await asyncio.wait({waiting})
        elif not self.is_slow:
            await asyncio.wait({waiting}, timeout=FOREIGN_WAIT_S)
            self.is_slow = not waiting.done()

    def interrupt(self) -> BaseException | None:
        """
        Give, once, the interrupt that came as this was served: nobody awaits that task.
        """
        if self._left is None or current_thread() is not main_thread():
            return None
        left, self._left = self._left, None
        return left_by(left, self.listener.handler)

    def pass_on(self) -> None:
        """
        Raise that interrupt, where there is one.
        """
        left = self.interrupt()
        try:
            if left is not None:
                raise left
        finally:
            del left  # its traceback holds this frame

    def is_alive(self) -> bool:
        """
        Tell whether what is queued here will be served: by its loop, or by trio.
        """
        if self.loop is None:
            return _loops.in_trio()
        return _loops.is_usable(self.loop, self.forks)

    def wait(self) -> None:
        """
        Wait in sync code for the background loop, at most 30 s.
        """
        self.pass_on()
        if not _loops.background.is_loop(self.loop) or _loops.background.is_here():
            return
        done = self.put(None, "flush")
        try:
            done.result(_loops.WAIT_S)
        except TimeoutError as exc:
            if is_of_call(exc):
                raise
            what = f"flush (waited {_loops.WAIT_S:.0f} s)"
            _report.failed(self.listener.handler, what, exc)

    def wait_from_thread(self, done: "Future[None]") -> None:
        """
        Wait in sync code for another thread's loop, not long: it may wait for us.
        """
        if not self.is_slow:
            self.is_slow = not futures_wait({done}, FOREIGN_WAIT_S).done

    def take(self, other: "Lane") -> None:
        """
        Take over what *other*, whose loop is gone, has not served.
        """
        self._left, other._left = other._left, None
        while other._items:
            item = other._items.popleft()
            if other.forks == _loops.FORKS.count:
                self._items.append(item)
                continue
            _loops.close_unserved(item[0])  # the parent process serves it
            finish(item[-1], None)
        self._wake()

    def _is_late(self, run: "Run | None") -> bool:
        """
        Tell whether nobody comes any more who waits for what is queued: the block is
        left; or, where there is none, the outermost run has ended.
        """
        layer: Any = self._layer
        if layer.rank == "block":
            return layer not in layer._owner._open
        return run is not None and run.parent_id is None and run._ended_ns is not None

    def _kick_trio(self) -> None:
        if self._task is not None or not self._items:
            return
        from trio.lowlevel import spawn_system_task

        try:
            self._task = spawn_system_task(self._serve_trio)
        except RuntimeError:  # trio ends, and begins none
            self.loop = _loops.background.loop()
            self.loop.call_soon_threadsafe(self._kick)

    async def _served_by_trio(self) -> None:
        from trio import Event

        async def tell() -> None:
            served.set()

        served = Event()
        self.put(tell(), "flush")
        await served.wait()

    async def _serve_trio(self) -> None:
        try:
            with _loops.shield():
                await self._serve()
        finally:
            self._stop(None)

    def _kick(self) -> None:
        try:
            if self._task is not None and self._task.done():  # interrupted in `_stop`
                self._end()
            if self._task is None and self._items and self.loop is not None:
                self._task = self.loop.create_task(Serving(self._serve()))
                self._task.add_done_callback(self._stop)
        except BaseException as exc:
            self._keep(exc)

    def _keep(self, exc: BaseException) -> None:
        """
        Keep what came in a callback, which asyncio would log, and no more; Ctrl-C it has
        come out of the loop.
        """
        goes_on = issubclass(type(exc), (KeyboardInterrupt, SystemExit))
        if goes_on or self.loop is None:  # pragma: no cover - one comes just here
            raise exc
        left = self.loop.create_future()
        left.set_exception(exc)
        lanes = self._layer.lanes  # where it may just have been taken out
        kept = self if lanes is None else lanes.setdefault(self.listener.key, self)
        kept._left = left

    async def _serve(self) -> None:
        set_state(MUTED)
        await self.drain()

    def _end(self) -> None:
        task, self._task = self._task, None
        self._left = failed(task) or self._left

    def _stop(self, _: object) -> None:
        """
        Make room for the next task; the one that served is done, or was cancelled.
        """
        try:
            self._end()
            lanes, key = self._layer.lanes or {}, self.listener.key
            with _LOCK:
                if self._items:
                    self._kick()
                elif self._left is None and lanes.get(key) is self:
                    del lanes[key]
        except BaseException as exc:
            self._keep(exc)


def put(
    awaitable: "Awaitable[Any]",
    listener: "Listener",
    layer: "Layer",
    event: str,
    show: "Show",
    run: "Run | None",
) -> "tuple[Lane, Future[None]]":
    """
    Queue one call of a handler on its lane.

    Returns:
        The lane, and what `Lane.put` gives.
    """
    with _LOCK:
        lane = _lane_of(listener, layer)
        return lane, lane.put(awaitable, event, show, run)


def _lane_of(listener: "Listener", layer: "Layer") -> Lane:
    """
    Find or make the lane of *listener*, on the loop where it is to be served.
    """
    if layer.lanes is None:
        layer.lanes = {}
    lanes, key = layer.lanes, listener.key
    lane: Lane | None = lanes.get(key)
    if lane is not None and lane.is_alive():
        return lane
    fresh = Lane(listener, layer, _home(layer))
    if lanes.get(key) is not lane:  # what the collector ended meanwhile told it more
        return _lane_of(listener, layer)
    lanes[key] = fresh
    if lane is not None:
        fresh.take(lane)
    return fresh


def queue(
    awaitable: "Awaitable[Any]",
    listener: "Listener",
    layer: "Layer",
    event: str,
    show: "Show" = None,
    run: "Run | None" = None,
) -> BaseException | None:
    """
    Serve an async handler from sync code.

    On a loop's thread, or where the block has a loop, it is queued there. With no
    loop anywhere the background loop serves it. One that may stop the call is waited
    for, but on a loop's own thread.

    Returns:
        What the handler raised, already reported, if it was waited for; or an interrupt
        that came as it was served before.
    """
    lane: Lane | None
    try:
        lane, done = put(awaitable, listener, layer, event, show, run)
    except RuntimeError as exc:
        if not _loops.is_too_late(exc) or _loops.running_loop() is not None:
            raise
        lane = None
    if lane is None:
        return served_here(awaitable, listener, event, show, run)
    if _loops.background.is_loop(lane.loop) and _loops.in_trio():
        lane.wait()  # trio ends, and maybe the process
    if not listener.raises:
        return lane.interrupt()
    if _loops.background.is_loop(lane.loop) and not _loops.background.is_here():
        lane.wait()
    elif lane.loop is not None and _loops.running_loop() is None:
        lane.wait_from_thread(done)
    if done.done():
        return done.exception()
    if (left := lane.interrupt()) is not None:
        return left
    unheard = RuntimeError(
        "an async handler cannot stop sync code on a loop's thread: make its method"
        " sync, or what it is to stop async"
    )
    _report.failed(listener.handler, f"{event} (raise_error)", unheard, run=run)
    return None


async def in_place(
    awaitable: "Awaitable[Any]",
    listener: "Listener",
    layer: "Layer",
    event: str,
    show: "Show" = None,
    run: "Run | None" = None,
) -> BaseException | None:
    """
    Serve an async handler from async code, after what is queued for it.

    Returns:
        What the handler raised, already reported.
    """
    running = _loops.running_loop()
    home = layer.loop if _loops.is_usable(layer.loop, layer.forks) else running
    if running is not None and home is not running:
        lane, done = put(awaitable, listener, layer, event, show, run)
        with suppress(RecursionError):  # it is served there, and not waited for
            await lane.served(done)
        return done.exception(0) if done.done() else None
    queued = (layer.lanes or {}).get(listener.key)
    if queued is not None:
        try:
            await queued.settled()
        except RecursionError:  # pragma: no cover - at one depth alone
            raise  # whoever delivers it does so when there is room
        except BaseException:
            put(awaitable, listener, layer, event, show, run)
            raise
    met = 0
    try:
        met = met_cancellations()
        await awaitable
        try:
            _interrupts.pass_on_kept(met)
        except RecursionError:  # pragma: no cover - at one depth alone
            return None  # it has been served: there is no room to look
    except BaseException as exc:
        if type(exc) is RecursionError and not has_room():
            raise
        stops, handler = listener.raises, listener.handler
        _report.failed(handler, event, exc, stops=stops, show=show, run=run, met=met)
        return exc
    return None


async def settle(layers: "list[Layer]") -> None:
    """
    Wait until what is queued for the handlers of *layers* has been served.
    """
    for layer in layers:
        for lane in list((layer.lanes or {}).values()):
            await lane.settled()


def wait(layers: "list[Layer]") -> None:
    """
    The same in sync code, for the background loop only; at most 30 s a handler.
    """
    for layer in layers:
        for lane in list((layer.lanes or {}).values()):
            _moved(lane, layer).wait()


def _moved(lane: Lane, layer: "Layer") -> Lane:
    """
    Give *lane*, or the one that has taken over from it, as its loop is gone.
    """
    lanes: Any = layer.lanes
    key = lane.listener.key
    with _LOCK:
        lane = lanes.get(key, lane)  # another thread may have been first
        if lane.loop is not None and lane.is_alive():
            return lane
        lanes[key] = fresh = Lane(lane.listener, layer, _somewhere())
        fresh.take(lane)
        return fresh


def _home(layer: "Layer") -> "AbstractEventLoop | None":
    if _loops.is_usable(layer.loop, layer.forks):
        return layer.loop
    running = _loops.running_loop()
    if running is not None:
        return running
    return None if _loops.in_trio() else _loops.background.loop()


def _somewhere() -> "AbstractEventLoop":
    return _loops.running_loop() or _loops.background.loop()
