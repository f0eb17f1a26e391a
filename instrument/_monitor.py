"""
Hear calls of functions that are not ours, through `sys.monitoring` (Python 3.12).

Local events on the code objects that are armed, and on nothing else; no attribute is
replaced. Callbacks run on the calling thread, in the caller's Context, and nothing of
ours gets out of them but what a handler with ``raise_error`` means to.
"""

import os
import sys
from inspect import CO_ASYNC_GENERATOR, CO_COROUTINE, CO_GENERATOR
from threading import RLock

from instrument import _report
from instrument._frames import Anchor, Open, frame_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType, FrameType
    from typing import Any, Protocol

    class Watch(Protocol):
        """
        What a call of an armed code object means.

        Attributes:
            is_stepped: Whether calls of generators or coroutines are to be told when
                they go on.
        """

        is_stepped: bool

        def listens(self) -> object:
            """
            Give something true if a call could be heard here and now; called at every
            call, so that it has to be quick.
            """

        def called(self, frame: FrameType) -> "Call | None":
            """
            Begin; *frame* holds the arguments. None where nobody listens.
            """


class Call:
    """
    One call that is heard, until it has returned or raised.

    Attributes:
        takes_items: Whether it is to be told when the body of a generator or coroutine
            is left: `suspended`.
        is_stepped: Whether it is to be told when that goes on: `resumed`.
    """

    __slots__ = ()
    takes_items = is_stepped = False

    if TYPE_CHECKING:

        def returned(self, value: Any) -> None: ...

        def raised(self, exc: BaseException) -> None: ...

        def suspended(self, item: Any) -> None:
            """
            Leave the body of a generator or coroutine.

            Args:
                item: What it yields, `NOTHING` where it awaits.
            """

        def resumed(self) -> None: ...


NOTHING: "Any" = object()
MONITORING: "Any" = getattr(sys, "monitoring", None)
"""PEP 669; None before Python 3.12."""
LOCK = RLock()
"""Held to arm, to disarm, and to switch events that are not local."""
_IDLE = 1_000
"""
How many exceptions are heard for nothing until none is.

Each costs 0.2 us. To switch costs 100: the interpreter looks at every function once more.
"""
_SUSPENDS = CO_GENERATOR | CO_COROUTINE | CO_ASYNC_GENERATOR

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


class Refused(BaseException):
    """
    Carries out of a callback what a handler with ``raise_error`` raised.
    """

    def __init__(self, error: BaseException) -> None:
        self.error = error


class Monitor:
    """
    The one that hears, with one tool id for the process.
    """

    def __init__(self, tool: int) -> None:
        self.tool = tool
        # by id: a code object's hash goes through all its instructions each time
        self._armed: dict[int, tuple[CodeType, tuple[Watch, ...]]] = {}
        self._open: dict[int, Open] = {}
        self._hears_unwinding = False
        self._idle = 0
        for event, name in _HEARD.items():
            MONITORING.register_callback(tool, event, getattr(self, name))

    def arm(self, code: "CodeType", watch: "Watch") -> None:
        _, watches = self._armed.get(id(code), (code, ()))
        if watch not in watches:
            watches = (*watches, watch)
            self._armed[id(code)] = (code, watches)
        steps = _events.PY_RESUME if any(it.is_stepped for it in watches) else 0
        self._hear(code, _events.PY_START | _events.PY_RETURN | steps)

    def disarm(self, code: "CodeType", watch: "Watch") -> None:
        _, watches = self._armed.get(id(code), _UNARMED)
        if watch in watches:
            left = tuple(each for each in watches if each is not watch)
            self._armed[id(code)] = (code, left)
            self._settle(code)

    def _settle(self, code: "CodeType") -> None:
        """
        Hear no more of *code* than somebody waits for; give the tool id back when idle.
        """
        if id(code) not in self._armed or self._armed[id(code)][1]:
            return
        if any(it.code is code for it in list(self._open.values())):
            self._hear(code, _events.PY_RETURN | _events.PY_RESUME)
            return
        del self._armed[id(code)]
        MONITORING.set_local_events(self.tool, code, 0)
        if not self._armed:
            MONITORING.set_events(self.tool, 0)
            for event in _HEARD:
                MONITORING.register_callback(self.tool, event, None)
            MONITORING.free_tool_id(self.tool)

    def _hear(self, code: "CodeType", events: int) -> None:
        suspends = code.co_flags & _SUSPENDS
        events = events | _events.PY_YIELD if suspends else events & ~_events.PY_RESUME
        MONITORING.set_local_events(self.tool, code, events)

    def _on_start(self, code: "CodeType", offset: int) -> None:
        # most calls are heard by nobody: they pay for this, and half of that at the end
        for watch in self._armed.get(id(code), _UNARMED)[1]:
            if watch.listens():
                break
        else:
            return
        frame = frame_of(code)
        opened = self._open[id(frame)] = Open(code)
        # looked at after that: who disarms it meanwhile sees that it is open
        _, watches = self._armed.get(id(code), _UNARMED)
        refused = None
        try:
            for watch in watches:
                call = watch.called(frame)
                if call is not None:
                    opened.hear(call)
        except Refused as exc:
            refused = exc.error
        except Exception as exc:
            _report.failed(watches[0], "call", exc)
        if not opened.calls:
            del self._open[id(frame)]
            self._left(code)
        elif not self._hears_unwinding:
            self._hear_unwinding()
        if refused is not None:
            raise refused

    def _on_return(self, code: "CodeType", offset: int, value: "Any") -> None:
        if self._open:
            self._ended(code, "returned", value)

    def _on_unwind(self, code: "CodeType", offset: int, exc: BaseException) -> None:
        if id(code) in self._armed:
            self._ended(code, "raised", exc)
        elif not self._open:
            self._idle += 1
            if self._idle > _IDLE:
                self._rest()

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
            elif self._armed:
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
        frame = frame_of(code)
        opened = self._open.get(id(frame))
        if opened is None or opened.code is not code:
            return
        try:
            if opened.takes_items:
                is_item = code.co_flags & CO_GENERATOR
                item = value if is_item else _item(value)
                self._tell(opened, "suspended", item)
        finally:
            if frame.f_trace.__class__ is not Anchor:
                frame.f_trace = Anchor(id(frame), opened, frame.f_trace, self.dropped)

    def _on_resume(
        self, code: "CodeType", offset: int, exc: BaseException | None = None
    ) -> None:
        if not self._open or id(code) not in self._armed:
            return
        opened = self._open.get(id(frame_of(code)))
        if opened is not None and opened.code is code and opened.is_stepped:
            self._tell(opened, "resumed")

    def _ended(self, code: "CodeType", how: str, value: object) -> None:
        frame = frame_of(code)
        opened = self._open.get(id(frame))
        if opened is None or opened.code is not code:
            return
        del self._open[id(frame)]
        anchor: Any = frame.f_trace
        if anchor.__class__ is Anchor:  # a traceback may keep the frame
            frame.f_trace = anchor.traced
        try:
            self._tell(opened, how, value)
        finally:
            self._left(code)

    def dropped(self, key: int, opened: Open) -> None:
        """
        End what will take no more step.
        """
        if self._open.get(key) is opened:
            del self._open[key]
            try:
                self._tell(opened, "raised", GeneratorExit())
            finally:
                self._left(opened.code)

    def _left(self, code: "CodeType") -> None:
        if not self._armed.get(id(code), _UNARMED)[1]:
            with LOCK:
                self._settle(code)

    def _tell(self, opened: Open, how: str, *args: "Any") -> None:
        """
        Tell each call, whatever another raises.
        """
        refused = None
        for call in opened.calls:
            try:
                getattr(call, how)(*args)
            except Refused as exc:
                refused = exc.error
            except Exception as exc:
                _report.failed(call, how, exc)
        if refused is not None:
            if how == "raised":
                (refused.__context__,) = args
            raise refused


_UNARMED: "tuple[Any, tuple[Watch, ...]]" = (None, ())
_at_fork = getattr(os, "register_at_fork", lambda **_: None)  # not on Windows
_at_fork(after_in_child=LOCK._at_fork_reinit)  # type: ignore[attr-defined]


def _item(value: object) -> object:
    """
    Give what an async generator yields; `NOTHING` where that or a coroutine awaits.
    """
    if type(value).__name__ != "async_generator_wrapped_value":
        return NOTHING
    from gc import get_referents  # it has no attribute to look at

    return get_referents(value)[0]
