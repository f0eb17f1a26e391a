"""
Hear calls of functions that are not ours, through `sys.monitoring` (Python 3.12).

Local events on the code objects that are armed, and on nothing else; no attribute is
replaced. Callbacks run on the calling thread, in the caller's Context, and nothing of
ours gets out of them but what a handler with ``raise_error`` means to. One tool id is
taken for the process when the first function is armed, and given back after the last:
Python has six, of which it gives two to nobody in particular.
"""

import sys
from sys import _getframe

from instrument import _report
from instrument._forks import fork_lock
from instrument._hearing.frames import Anchor, Armed, Open, Settled, below
from instrument._hearing.watches import SENT, Refused, item_of, undo
from instrument._state import get_state, set_state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType, FrameType
    from typing import Any

    from instrument._hearing.watches import Watch

MONITORING: "Any" = getattr(sys, "monitoring", None)
"""PEP 669; None before Python 3.12."""
LOCK = fork_lock()
"""Held to arm, to disarm, and to switch events that are not local."""
_IDLE = 1_000
"""
How many exceptions are heard for nothing until none is.

Each costs 0.1 us. To switch costs 100: the interpreter looks at every function once more.
"""

_IDS = (3, 4)
_ATTRIBUTE = "instrument_monitor"
TOO_OLD = (
    "sys.monitoring needs Python 3.12, this is"
    f" {sys.version_info.major}.{sys.version_info.minor}"
)

if MONITORING is not None:
    _events = MONITORING.events
    _THROWN = _events.PY_UNWIND | _events.PY_THROW
    _HEARD = {
        _events.PY_START: "_on_start",
        _events.PY_RETURN: "_on_return",
        _events.PY_YIELD: "_on_yield",
        _events.PY_RESUME: "_on_resume",
        _events.PY_THROW: "_on_resume",
        _events.PY_UNWIND: "_on_unwind",
    }


class Impossible(RuntimeError):  # noqa: N818 - it says what is the case
    """
    Nothing can be heard through `sys.monitoring` here.
    """


def is_possible() -> bool:
    """
    Tell whether this Python has `sys.monitoring`.
    """
    return MONITORING is not None


def arm(code: "CodeType", watch: "Watch") -> None:
    """
    Have *watch* hear the calls of *code*; the first takes a tool id.

    Raises:
        Impossible: Saying why that cannot be.
    """
    if not is_possible():
        raise Impossible(TOO_OLD)
    with LOCK:
        (_found() or _taken()).arm(code, watch)


def disarm(code: "CodeType", watch: "Watch") -> None:
    """
    Undo `arm`. Calls that are heard already are heard to their end.
    """
    with LOCK:
        found = _found()
        if found is not None:
            found.disarm(code, watch)


class Monitor:
    """
    The one that hears, with one tool id for the process.
    """

    def __init__(self, tool: int) -> None:
        self.tool = tool
        # by name: a code object's hash goes through all its instructions each time,
        # and an id of it costs four times what its name does
        self._armed: dict[str, tuple[Armed, ...]] = {}
        # by the frame, or the id of one that may be dropped before it ends
        self._open: dict[object, Open] = {}
        self._unheard: list[Armed] = []
        self._is_settling = False
        self._hears_unwinding = False
        self._idle = 0
        self._on_unwind = self._unwinding()
        for event, name in _HEARD.items():
            MONITORING.register_callback(tool, event, getattr(self, name))

    def arm(self, code: "CodeType", watch: "Watch") -> None:
        armed = self._found(code)
        if armed is None:
            armed = Armed(code)
            name = code.co_qualname
            self._armed[name] = (*self._armed.get(name, ()), armed)
        if watch not in armed.watches:
            armed.be_heard_by(*armed.watches, watch)
        steps = any(it.is_stepped for it in armed.watches)
        resumed = _events.PY_RESUME if steps else 0
        self._hear(armed, _events.PY_START | _events.PY_RETURN | resumed)

    def disarm(self, code: "CodeType", watch: "Watch") -> None:
        armed = self._found(code)
        if armed is not None and watch in armed.watches:
            armed.be_heard_by(*(it for it in armed.watches if it is not watch))
            self._left(armed)

    def _found(self, code: "CodeType") -> Armed | None:
        several = self._armed.get(code.co_qualname, ())
        return next((armed for armed in several if armed.code is code), None)

    def _settle(self, armed: Armed) -> None:
        """
        Hear no more of it than somebody waits for; give the tool id back when idle.
        """
        if armed.watches or self._found(armed.code) is not armed:
            return
        if any(it.armed is armed for it in list(self._open.values())):
            self._hear(armed, _events.PY_RETURN | _events.PY_RESUME)
            return
        name = armed.code.co_qualname
        others = tuple(it for it in self._armed.pop(name) if it is not armed)
        if others:
            self._armed[name] = others
        MONITORING.set_local_events(self.tool, armed.code, 0)
        if not self._armed:
            MONITORING.set_events(self.tool, 0)
            for event in _HEARD:
                MONITORING.register_callback(self.tool, event, None)
            self._hears_unwinding = False
            MONITORING.free_tool_id(self.tool)

    def _hear(self, armed: Armed, events: int) -> None:
        on, off = _events.PY_YIELD, _events.PY_RESUME
        events = events | on if armed.suspends else events & ~off
        MONITORING.set_local_events(self.tool, armed.code, events)

    def _on_start(self, code: "CodeType", offset: int) -> None:
        # most calls are heard by nobody: they pay for this, and half of that at the end
        for armed in self._armed.get(code.co_qualname, ()):
            if armed.code is code and armed.listens():
                break
        else:
            return
        if SENT and armed.passes_sent and get_state() in SENT:
            SENT.discard(get_state())  # what is called inside may be another's
            return
        frame: Any = _getframe(1)
        while frame.f_code is not code:  # as `below`, a call less
            frame = frame.f_back
        opened = Open(armed)
        key = frame
        if armed.suspends:
            key, opened.frame = id(frame), frame
        self._open[key] = opened
        before = watch = refused = None
        try:
            # looked at after that: who disarms it meanwhile sees that it is open
            for watch in armed.watches:
                before = get_state()
                call = watch.called(frame)
                if call is not None:
                    opened.calls += (call,)
            self._begun(key, opened)
        except BaseException as exc:
            if before is not None:
                undo(before, exc)
            self._begun(key, opened)
            refused = _refused(watch, "call", exc)
        if refused is not None:
            try:
                raise refused
            finally:
                del refused

    def _begun(self, key: object, opened: Open) -> None:
        if not opened.calls:
            self._open.pop(key, None)
            self._left(opened.armed)
        elif not self._hears_unwinding:
            self._hear_unwinding()

    def _on_return(self, code: "CodeType", offset: int, value: "Any") -> None:
        if not self._open:
            return
        frame: Any = _getframe(1)
        while frame.f_code is not code:  # as `below`, a call less
            frame = frame.f_back
        opened = self._open.get(frame) or self._suspended(frame)
        if opened is None:
            return
        refused = None
        for call in opened.calls:
            try:
                call.returned(value)
            except BaseException as exc:
                refused = _refused(call, "returned", exc) or refused
        if refused is not None:  # what an interrupt has kept open ends as it unwinds
            try:
                raise refused
            finally:  # or it would keep this frame, which has the payload
                del refused
        if opened.armed.suspends:
            self._forget(frame, opened)
        else:
            del self._open[frame]
        if not opened.armed.watches:  # as `_left`, a call less
            self._left(opened.armed)

    def _unwinding(self) -> "Callable[[CodeType, int, BaseException], None]":
        """
        Make what hears of each function that raises, of which few are ours.

        It comes 14 times in a call of OpenAI's SDK: as a method that asks for the id of
        the code, it took a quarter of what to hear a call costs.
        """
        names, opened = self._armed, self._open

        def unwound(code: "CodeType", offset: int, exc: BaseException) -> None:
            if code.co_qualname in names:
                try:
                    self._raised(below(_getframe(1), code), exc)
                except BaseException as interrupt:
                    # what has ended by now is told no more
                    self._raised(below(_getframe(1), code), interrupt, is_last=True)
                    raise
            elif not opened:
                self._idle += 1
                if self._idle > _IDLE:
                    self._rest()

        return unwound

    def _rest(self) -> None:
        """
        Hear no unwinding while nothing is open.
        """
        with LOCK:
            if not self._hears_unwinding:
                return  # another thread was first
            self._hears_unwinding = False
            if self._open:  # since then, by one that may have looked before
                self._hears_unwinding = True
            else:
                MONITORING.set_events(self.tool, 0)

    def _hear_unwinding(self) -> None:
        """
        Switch on the events that are not local: they come of every frame.
        """
        with LOCK:
            if not self._hears_unwinding:
                MONITORING.set_events(self.tool, _THROWN)
                self._hears_unwinding = True
                self._idle = 0

    def _on_yield(self, code: "CodeType", offset: int, value: "Any") -> None:
        if not self._open:
            return
        frame: Any = _getframe(1)
        while frame.f_code is not code:  # as `below`, a call less
            frame = frame.f_back
        anchor = frame.f_trace  # as `Open.is_of`, a call less
        is_anchored = anchor.__class__ is Anchor
        opened = anchor.opened if is_anchored else self._open.get(id(frame))
        if opened is None or not (is_anchored or opened.frame is frame):
            return
        refused = None
        item = value if opened.armed.is_generator else item_of(value)
        for call in opened.calls:
            try:
                if call.takes_items:
                    call.suspended(item)
            except BaseException as exc:
                refused = _refused(call, "suspended", exc) or refused
        if not is_anchored:
            frame.f_trace = Anchor(id(frame), opened, anchor, self.dropped)
            opened.frame = None
        if refused is not None:
            try:
                raise refused
            finally:
                del refused

    def _on_resume(
        self, code: "CodeType", offset: int, thrown: BaseException | None = None
    ) -> None:
        if not self._open or code.co_qualname not in self._armed:
            return
        frame = below(_getframe(1), code)
        opened = self._open.get(id(frame))
        if opened is None or not opened.is_of(frame):
            return
        for call in opened.calls:
            before = get_state()
            try:
                if call.is_stepped:
                    call.resumed()
            except BaseException as exc:
                set_state(before)
                _report.failed(call, "resumed", exc, tells=False)

    def _raised(
        self, frame: "FrameType", exc: BaseException, *, is_last: bool = False
    ) -> None:
        """
        End what is open of *frame*; where that raises, it is to be done once more.
        """
        opened = self._open.get(frame) or self._suspended(frame)
        if opened is None:
            return
        try:
            self._fail(opened, exc)
            is_last = True
        finally:
            if is_last:
                self._forget(frame, opened)
                self._left(opened.armed)

    def _suspended(self, frame: "Any") -> Open | None:
        """
        Find what is open of a generator or coroutine.
        """
        opened = self._open.get(id(frame))
        return None if opened is None or not opened.is_of(frame) else opened

    def _forget(self, frame: "Any", opened: Open) -> None:
        """
        Take out what is open of a frame: the last that is done with it, so that it is
        found once more where an interrupt comes before.
        """
        if not opened.armed.suspends:
            self._open.pop(frame, None)
            return
        self._open.pop(id(frame), None)
        anchor = frame.f_trace
        if anchor.__class__ is Anchor:  # a traceback may keep the frame
            anchor.__class__ = Settled  # type: ignore[assignment]
            frame.f_trace = anchor.traced

    def dropped(self, anchor: Anchor) -> None:
        """
        End what will take no more step.
        """
        opened = anchor.opened
        if self._open.get(anchor.key) is not opened:
            return
        opened.frame = anchor.running()
        if opened.frame is None:
            is_last = opened.is_dropped
            try:
                opened.is_dropped = True
                self._fail(opened, GeneratorExit())
                is_last = True
            finally:
                if is_last:
                    self._open.pop(anchor.key, None)
                    self._left(opened.armed)

    def _fail(self, opened: Open, raised: BaseException) -> None:
        """
        End each call, whatever another raises.
        """
        refused = None
        for call in opened.calls:
            try:
                call.raised(raised)
            except BaseException as exc:
                refused = _refused(call, "raised", exc) or refused
        if refused is not None:
            refused.__context__ = raised
            try:
                raise refused
            finally:
                del refused

    def _left(self, armed: Armed) -> None:
        """
        Settle what nobody hears any more: one at a time, as the collector may end the
        last call of another in the midst of that.
        """
        if armed.watches:
            return
        self._unheard.append(armed)
        with LOCK:
            if self._is_settling:
                return
            self._is_settling = True
            try:
                while self._unheard:
                    self._settle(self._unheard.pop())
            finally:
                self._is_settling = False


def _refused(told: object, how: str, exc: BaseException) -> BaseException | None:
    """
    Give what is to be raised: what a handler refuses with, or Ctrl-C in the midst of
    ours. Report what is wrong with ours.
    """
    if type(exc) is Refused:
        return exc.error
    if not issubclass(type(exc), Exception):
        return exc
    _report.failed(told, how, exc, tells=False)
    return None


class _Name(str):
    """
    The name under which the tool id is taken. It carries the monitor, so that another
    copy of this package in the process finds it and shares the id.
    """

    __slots__ = ("instrument_monitor",)
    instrument_monitor: "Monitor"


def _found() -> Monitor | None:
    """
    Find the monitor of this process, which may be of another copy of this package.
    """
    names = [MONITORING.get_tool(tool) for tool in _IDS] if is_possible() else ()
    return next(filter(None, (getattr(n, _ATTRIBUTE, None) for n in names)), None)


def _taken() -> Monitor:
    users = []
    for tool in _IDS:
        name = _Name("instrument")
        try:
            MONITORING.use_tool_id(tool, name)
        except ValueError:
            users.append(f"{tool} is {MONITORING.get_tool(tool)!r}")
            continue
        name.instrument_monitor = Monitor(tool)
        return name.instrument_monitor
    message = f"sys.monitoring has no free tool id: {', '.join(users)}"
    raise Impossible(message)
