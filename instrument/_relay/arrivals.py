"""
What comes home: calls in workers, each told by a thread of its own to who hears here.
"""

import json
import threading
from concurrent.futures import BrokenExecutor, Future
from concurrent.futures import wait as futures_wait
from contextlib import suppress
from functools import partial
from time import monotonic

from instrument import _report
from instrument._audience.listener import Listener
from instrument._audience.plan import Options
from instrument._delivery.loops import in_trio
from instrument._forks import in_child
from instrument._relay import errors, homes
from instrument._relay.attempts import job_of
from instrument._relay.mirror import Mirrors
from instrument._relay.resequencer import Resequencer
from instrument._relay.sockets import SOCKETS
from instrument._runs.opening import endings
from instrument._scopes.binding import captured

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from instrument._audience.plan import Layer
    from instrument._relay.transport import Line, Transport
    from instrument._runs.run import Run

WAIT_S, QUIET_S = 30.0, 5.0
"""How long leaving a block waits for calls that go on, in all and while nothing comes."""
SETTLE_S = 1.0
"""How long the end of a run waits for what has come of its calls, and is not told yet."""
LAST_S = 2.0
"""How long an attempt at a job may go on when the next has begun."""

_calls: "dict[int, Call]" = {}


class Call:
    """
    One call in a worker, from its beginning to its end there.

    Attributes:
        run: The one that sent it.
        done: When all has been told.
        heard_s: When something last came.
    """

    def __init__(
        self, frame: "Any", pid: object, line: "Line", job: object = None
    ) -> None:
        view = captured(frame)
        self.run = view.run
        self.done: Future[None] = Future()
        self.heard_s = monotonic()
        self._mirrors = Mirrors(view)
        self._order = Resequencer()
        self._pid = pid
        self._line = line
        self._job = job_of(frame, job)
        self._is_busy = threading.Event()
        self._is_over = False
        self._telling = threading.Lock()
        listeners = self._mirrors.audience.listeners
        self.layers = view._in_order()
        self.asks = any(it.raises for it, _ in listeners)
        _calls[id(self)] = self

    def serve(self) -> None:
        """
        Tell what comes until its end.

        Raises:
            OSError: If the worker is lost; its open runs have ended.
        """
        try:
            self._begin()
            _send(self._line, {"ok": True, "asks": self.asks})
            while not self._order.is_whole:
                frame = self._line.receive()
                self._is_busy.set()
                self._tell(_object(frame))
                self._is_busy.clear()
        except BaseException as exc:
            self._lose(exc)
            raise
        finally:
            self._leave()

    def _begin(self) -> None:
        """
        If it is a job that is done once more, have the attempt before be over; one that
        has asked for this one may tell its end first.
        """
        if self._job is None:
            return
        before = self._job.begin(self)
        if before is not None:
            futures_wait({before.done}, LAST_S)
            before.give_way()
        if self._job.attempts > 1:
            self._mirrors.retried(self._job.attempts - 1, self._job.error)

    def give_way(self) -> None:
        """
        End what is open: nothing that its worker may still tell counts.
        """
        with self._telling:
            self._is_over = True
            message = f"worker lost: its job is done once more, process {self._pid}"
            self._mirrors.end_all(errors.lost(message))
        self._leave()

    def _leave(self) -> None:
        """
        Be over; once: what an attempt that gave way still comes to is not the job's.
        """
        if _calls.pop(id(self), None) is None:
            return
        if self._job is not None:
            self._job.end(self, self._mirrors.ended_with)
        self.done.set_result(None)

    def has_news(self) -> bool:
        """
        Tell whether something has come that is not told yet.
        """
        return self._is_busy.is_set() or self._line.has_news()

    def _tell(self, frame: "dict[str, Any]") -> None:
        mirrors, order = self._mirrors, self._order
        if "end" in frame:
            order.end(frame["end"])
            ready = order.give_up()
        else:
            ready = order.take(frame["first"], frame["events"])
        with self._telling:
            for told in [] if self._is_over else ready:
                mirrors.tell(told)
            if order.is_whole and not self._is_over:
                mirrors.end_all(GeneratorExit())
                self._tell_losses(frame.get("dropped"))
            stops, mirrors.stops = mirrors.stops, {}
        told_stops = {id: errors.written(exc) for id, exc in stops.items()}
        _send(self._line, {"stops": told_stops} if told_stops else {})
        self.heard_s = monotonic()

    def _tell_losses(self, dropped: object) -> None:
        count = self._order.lost + (dropped if type(dropped) is int else 0)
        if count:
            _report.complain(_LOST.format(count, self._pid), None)

    def _lose(self, exc: BaseException) -> None:
        message = f"worker lost: process {self._pid} ended, or was cut off ({exc})"
        self._mirrors.end_all(errors.lost(message))


class Leaving(Listener):
    """
    What a block that has sent calls flushes before its handlers: it waits for those that
    have begun, and hears nothing itself.
    """

    hears = False

    def __init__(self) -> None:
        self.take(object())

    @property
    def remote(self) -> str:
        return "drop"

    @property
    def flushes(self) -> bool:
        return True

    def method(self, event: str) -> None:
        return None

    def flusher(self, name: str, layer: "Layer | None" = None) -> "Any":
        wait: Any = _await_calls if name == "aflush" else _wait_for_calls
        return partial(wait, layer)


def _wait_for_calls(layer: "Layer") -> None:
    """
    Wait as long as something comes, and for what was queued meanwhile.
    """
    calls = [it for it in list(_calls.values()) if layer in it.layers]
    until = monotonic() + WAIT_S
    for call in calls:
        while not call.done.done():
            left = min(call.heard_s + QUIET_S, until) - monotonic()
            if left <= 0:
                count = len([it for it in calls if not it.done.done()])
                _report.complain(_GOES_ON.format(count), None)
                return
            futures_wait({call.done}, left)
    if layer.lanes:
        from instrument._delivery import lanes as _lanes

        _lanes.wait([layer])


async def _await_calls(layer: "Layer") -> None:
    """
    Do the same in async code.
    """
    if not any(layer in it.layers for it in list(_calls.values())):
        return
    if in_trio():
        from trio import to_thread

        await to_thread.run_sync(_wait_for_calls, layer, abandon_on_cancel=True)
    else:
        import asyncio

        await asyncio.to_thread(_wait_for_calls, layer)
    if layer.lanes:
        from instrument._delivery import lanes as _lanes

        await _lanes.settle([layer])


def serve(line: "Line") -> None:
    """
    Serve the calls of one worker, one behind the other.
    """
    with suppress(OSError):
        while True:
            try:
                told = _object(line.receive())
                frame = homes.found(told.get("open"))
                if told.get("v") != 1 or frame is None:
                    _send(line, {"gone": True})
                else:
                    Call(frame, told.get("pid"), line, told.get("job")).serve()
                del frame, told  # the next may be long in coming
            except (KeyError, TypeError, ValueError) as exc:
                _report.failed_apart(serve, "a worker's message", exc)
                return


def address_for(state: "Any", transport: "Transport | None" = None) -> "dict[str, Any]":
    """
    Give where events of a worker come home to *state*; blocks around it wait for them.
    """
    view, transport = captured(state), transport or SOCKETS
    transport.listen(serve)
    address = transport.address()
    for layer in view._in_order():
        if layer.rank == "block":
            _have_it_wait(layer)
    if view.run is not None:
        view.run._open_children += 1
        if _settle not in endings:
            endings.append(_settle)
    return address


def _settle(run: "Run", exc: BaseException) -> None:
    """
    Have what has come of calls of *run* be told before its end; not what will come.

    Where it ends by a broken pool, whose workers are all gone, that they are has come.
    """
    is_broken = issubclass(type(exc), BrokenExecutor)
    until = monotonic() + SETTLE_S
    for call in [it for it in list(_calls.values()) if _is_of(it, run)]:
        while (
            not call.done.done()
            and (is_broken or call.has_news())
            and monotonic() < until
        ):
            futures_wait({call.done}, _LOOK_S)


def _is_of(call: Call, run: "Run") -> bool:
    link = call.run
    while link is not None and link is not run:
        link = link._parent
    return link is not None


def _have_it_wait(layer: "Layer") -> None:
    """
    Have the block of *layer* wait for its calls when it is left.
    """
    given = layer.options
    if LEAVING not in given.listeners:
        layer.options = Options(
            (LEAVING, *given.listeners),
            given.tags,
            given.metadata,
            inherit=given.inherit,
            sample=given.sample,
            redactors=given.redactors,
            capture=given.capture,
            plumbing=given.plumbing,
        )


def _send(line: "Line", told: "dict[str, Any]") -> None:
    line.send(json.dumps(told).encode())


def _object(frame: bytes) -> "dict[str, Any]":
    """
    Read a frame.

    Raises:
        ValueError: If it is no JSON object.
    """
    read = json.loads(frame)
    if type(read) is not dict:
        message = "no JSON object"
        raise ValueError(message)
    return read


LEAVING = Leaving()
_LOOK_S = 0.001
_LOST = "{:,} events of worker process {} were lost: it told more than was taken."
_GOES_ON = (
    "{} calls in worker processes go on; the block that sent them is left, and waits no"
    " longer. What they tell is heard all the same."
)
in_child(_calls.clear)
