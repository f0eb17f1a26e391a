"""
Frames of functions that are heard: found below a callback, and missed when they go.
"""

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType, FrameType
    from typing import Any

    from instrument._monitor import Call

    Dropped = Callable[[int, "Open"], None]


class Open:
    """
    A frame that runs or is suspended, and the calls that are heard of it.

    Attributes:
        takes_items: Whether one of them is to be told what it yields.
        is_stepped: Whether one is to be told when it goes on.
    """

    __slots__ = ("calls", "code", "is_stepped", "takes_items")

    def __init__(self, code: "CodeType") -> None:
        self.code = code
        self.calls: tuple[Call, ...] = ()
        self.takes_items = self.is_stepped = False

    def hear(self, call: "Call") -> None:
        self.calls += (call,)
        self.takes_items |= call.takes_items
        self.is_stepped |= call.is_stepped


class Anchor:
    """
    Goes when a suspended frame goes.

    Python 3.13 drops a suspended generator without an event where no ``try`` is
    around its ``yield``. Frames take no weak reference; but they have ``f_trace``, which
    is looked at only while a debugger traces, and may be anything that can be called.

    Args:
        traced: What a debugger has put there.
        dropped: Is told that the frame has gone.
    """

    __slots__ = ("_dropped", "_key", "_open", "traced")

    def __init__(
        self, key: int, opened: Open, traced: "Any", dropped: "Dropped"
    ) -> None:
        self._key = key
        self._open = opened
        self._dropped = dropped
        self.traced = traced

    def __call__(self, *args: object) -> None:
        if self.traced is not None:
            self.traced = self.traced(*args) or self.traced

    def __del__(self) -> None:
        if not self._is_displaced():
            self._dropped(self._key, self._open)

    def _is_displaced(self) -> bool:
        """
        Tell whether the frame still runs: a debugger puts its own here on the way in.
        """
        frame: Any = sys._getframe()
        while frame is not None and id(frame) != self._key:
            frame = frame.f_back
        return frame is not None


def frame_of(code: "CodeType") -> "FrameType":
    """
    Give the frame of *code* that is nearest below a callback.
    """
    frame: Any = sys._getframe(2)  # what calls the callback may have a frame, too
    while frame.f_code is not code:
        frame = frame.f_back
    return frame  # type: ignore[no-any-return]
