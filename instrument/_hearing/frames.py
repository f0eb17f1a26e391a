"""
Frames of functions that are heard: found below a callback, and missed when they go.
"""

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType, FrameType
    from typing import Any

    from instrument._hearing.watches import HeardCall, Watch

    Dropped = Callable[["Anchor"], None]

# as in `inspect`, which takes 10 ms to import
CO_GENERATOR, CO_COROUTINE, CO_ASYNC_GENERATOR = 0x20, 0x80, 0x200
SUSPENDS = CO_GENERATOR | CO_COROUTINE | CO_ASYNC_GENERATOR


class Armed:
    """
    A code object that is heard.

    Attributes:
        watches: Those who hear its calls; none once it has been disarmed.
        listens: Gives something true if one of them could hear a call here and now.
        passes_sent: Whether all pass over a call that is among `SENT`.
        suspends: Whether it is of a generator or coroutine.
    """

    __slots__ = (
        "code",
        "is_generator",
        "listens",
        "passes_sent",
        "suspends",
        "watches",
    )

    def __init__(self, code: "CodeType") -> None:
        self.code = code
        self.suspends = bool(code.co_flags & SUSPENDS)
        self.is_generator = bool(code.co_flags & CO_GENERATOR)
        self.be_heard_by()

    def be_heard_by(self, *watches: "Watch") -> None:
        self.watches = watches
        self.passes_sent = all(watch.passes_sent for watch in watches)
        several = len(watches) != 1
        self.listens: Callable[[], object] = (
            self._any_listens if several else watches[0].listens
        )

    def _any_listens(self) -> bool:
        return any(watch.listens() for watch in self.watches)


class Open:
    """
    A frame that runs or is suspended, and the calls that are heard of it.

    It has no slots, as little has that is made in each call: an object with them is
    made through six functions of the interpreter, another through none.

    Attributes:
        frame: That of a generator or coroutine while no anchor is in it: nobody
            else's can have its id so long.
        is_dropped: Whether its frame has gone, and it has begun to end by that.
    """

    frame: "FrameType | None" = None
    is_dropped = False

    def __init__(self, armed: Armed) -> None:
        self.armed = armed
        self.calls: tuple[HeardCall, ...] = ()

    def is_of(self, frame: "FrameType") -> bool:
        """
        Tell whether it is of *frame*, and not of one that had its id.
        """
        if self.frame is frame:
            return True
        anchor: Any = frame.f_trace
        return anchor.__class__ is Anchor and anchor.opened is self


class Settled:
    """
    What an `Anchor` becomes once its frame has been told to have ended: it goes without
    a word, as what a signal handler raises in a ``__del__`` Python gives to nobody.
    """

    __slots__ = ("_dropped", "key", "opened", "traced")

    traced: "Any"

    def __call__(self, *args: object) -> None:
        if self.traced is not None:
            self.traced = self.traced(*args) or self.traced


class Anchor(Settled):
    """
    Goes when a suspended frame goes.

    Python 3.13 drops a suspended generator without an event where no ``try`` is
    around its ``yield``. Frames take no weak reference; but they have ``f_trace``, which
    is looked at only while a debugger traces, and may be anything that can be called.

    Args:
        key: The id of the frame.
        opened: What is open of it.
        traced: What a debugger has put there.
        dropped: Is told that the frame has gone, or has something else there.
    """

    __slots__ = ()

    def __init__(
        self, key: int, opened: Open, traced: "Any", dropped: "Dropped"
    ) -> None:
        self.key = key
        self.opened = opened
        self._dropped = dropped
        self.traced = traced

    def __del__(self) -> None:
        try:
            self._dropped(self)
        except BaseException:
            self._dropped(self)  # an interrupt may have come in the midst of it
            raise

    def running(self) -> "FrameType | None":
        """
        Give the frame if it still runs: a debugger puts its own here on the way in.
        """
        frame: Any = sys._getframe()
        while frame is not None and id(frame) != self.key:
            frame = frame.f_back
        return frame  # type: ignore[no-any-return]


def below(frame: "Any", code: "CodeType") -> "FrameType":
    """
    Give the frame of *code* that is nearest below *frame*, which calls a callback.
    """
    while frame.f_code is not code:
        frame = frame.f_back
    return frame  # type: ignore[no-any-return]
