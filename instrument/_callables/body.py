"""
What goes with a driven body: when it starts, yields, returns or fails.
"""

from functools import partial
from gc import get_referents
from types import CoroutineType

from instrument._interrupts import when_dropped
from instrument._state import Frame, get_state, set_state
from instrument._text import traceback_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable
    from typing import Any


_DRIVERS = ("steps", "asteps", "followed")


class Body:
    """
    A frame that is current in a body while it is stepped.

    Each method is called in the body's state. The async ones serve coroutines and
    async generators; they return what is to be awaited, or None.

    Attributes:
        frame: The run or scope that is current in the body.
        state: The body's state while it is suspended.
        inner: The body.
        is_stepped: Whether its first step has been taken.
    """

    __del__ = when_dropped("dropped")

    def __init__(self, frame: Frame) -> None:
        self.frame = frame
        self.state: Any = frame
        self.is_stepped = False
        self.inner: Any = None  # the last: it is whole now

    def start(self) -> None:
        """
        Take the first step.
        """

    def astart(self) -> "Awaitable[None] | None":
        """
        Take the first step, in async code.
        """

    def opened(self) -> None:
        """
        Know that the body runs from now on.
        """

    def tell(self) -> "Callable[[Any], object]":
        """
        Give what each item of a sync generator is told to. It may leave any state, and
        is of no use after it has raised.
        """
        return _nobody

    def atell(self) -> "Callable[[Any], Awaitable[None] | None]":
        """
        The same of an async generator: gives what is to be awaited, or None.
        """
        return _nobody

    def returned(self, value: object) -> None:
        """
        End: the body has returned.
        """

    def areturned(self, value: object) -> "Awaitable[None] | None":
        """
        End, in async code.
        """

    def failed(self, exc: BaseException) -> None:
        """
        End: the body has raised, was closed, or was cancelled.
        """

    def afailed(self, exc: BaseException) -> "Awaitable[None] | None":
        """
        The same in async code.
        """

    def abandon(self, exc: BaseException | None = None) -> None:
        """
        End as left early, or by *exc*, where the body can take no more step.
        """
        outside = get_state()
        try:
            try:
                self.enter()
                self.failed(exc or GeneratorExit())
            finally:
                set_state(outside)
        finally:
            set_state(outside)  # once more: an interrupt comes anywhere
            self.frame._outer = None

    def is_done(self) -> bool:
        """
        Tell whether its end has been told, or has never been owed.
        """
        return True

    def dropped(self) -> None:
        """
        End as left early what its driver could not end itself.

        It was closed or dropped before its first step, or is an async generator whose
        loop is gone.
        """
        if not hasattr(self, "inner") or self.is_done():
            return
        if not self.is_stepped and type(self.inner) is CoroutineType:
            self.inner.close()  # Python warns of the driver; once is enough
        self.abandon()

    def enter(self) -> "Any":
        """
        Make the body's state current; give the consumer's.
        """
        outside = get_state()
        self.frame._outer = outside
        set_state(self.state)
        return outside

    def leave(self, outside: object) -> None:
        """
        Keep the body's state, and give the consumer its own back.
        """
        self.state = get_state()
        set_state(outside)
        self.frame._outer = None


class Stepped:
    """
    A generator, or a step of an async one, with something around each resume.

    Args:
        around: Is entered and left.
    """

    __slots__ = ("close", "send", "throw")

    def __init__(self, inner: "Any", around: "Any") -> None:
        self.send = partial(_step, around, inner.send)
        self.throw = partial(_step, around, inner.throw)
        self.close = partial(_step, around, inner.close)


class AsyncStepped:
    """
    An async generator with something around each resume of its steps.
    """

    __slots__ = ("_around", "_inner")

    def __init__(self, inner: "AsyncGenerator[Any, Any]", around: "Any") -> None:
        self._inner = inner
        self._around = around

    def asend(self, value: object) -> Stepped:
        return Stepped(self._inner.asend(value), self._around)

    def athrow(self, exc: BaseException) -> Stepped:
        return Stepped(self._inner.athrow(exc), self._around)

    def aclose(self) -> Stepped:
        return Stepped(self._inner.aclose(), self._around)


def _step(around: "Any", act: "Callable[..., Any]", *given: object) -> "Any":
    try:
        around.enter()
        return act(*given)
    except BaseException as exc:
        less_one(exc)
        # what was thrown may be what is raised, and its traceback has this frame
        act = given = None  # type: ignore[assignment]
        raise
    finally:
        around.leave()


def end_unbegun(exc: BaseException) -> None:
    """
    End the bodies whose driver *exc* has come to at its very entry: an interrupt, which
    none of its lines could meet, and whose traceback would keep them.
    """
    traceback = traceback_of(exc)
    while traceback is not None:
        frame = traceback.tb_frame
        if frame.f_code.co_name in _DRIVERS:
            # not its `f_locals`, which it would keep up to Python 3.12
            for body in get_referents(frame):
                if issubclass(type(body), Body) and not body.is_stepped:
                    body.dropped()
        traceback = traceback.tb_next


def less_one(exc: BaseException) -> BaseException:
    """
    Drop the driver's own frame from its traceback, where that will stand again.
    """
    traceback = traceback_of(exc)
    return with_traceback(exc, traceback and traceback.tb_next)


def drop_second(exc: BaseException) -> None:
    """
    Drop the frame below its first: one a level is enough.
    """
    traceback = traceback_of(exc)
    if traceback is not None and traceback.tb_next is not None:
        traceback.tb_next = traceback.tb_next.tb_next
    with_traceback(exc, traceback)


with_traceback = BaseException.with_traceback
"""What gives an exception a traceback, without asking the exception."""


def _nobody(item: object) -> None:
    pass
