"""
What goes with a driven body: when it starts, yields, returns or fails.
"""

from instrument._state import Frame, get_state, set_state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from collections.abc import Awaitable, Callable
    from types import TracebackType
    from typing import Any


class Session:
    """
    A frame that is current in a body while it is stepped.

    Each method is called in the body's state. The async ones serve coroutines and
    async generators; they return what is to be awaited, or None.

    Attributes:
        frame: The run or scope that is current in the body.
        state: The body's state while it is suspended.
        loop: The loop on which an async generator took its first step.
        is_stepped: Whether the first step has been taken.
    """

    __slots__ = ("__weakref__", "frame", "is_stepped", "loop", "state")

    def __init__(self, frame: Frame) -> None:
        self.frame = frame
        self.state: Any = frame
        self.loop: AbstractEventLoop | None = None
        self.is_stepped = False

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
        Give what each item of a sync generator is told to. It may leave any state.
        """
        return _nobody

    def aitem(self, value: object) -> "Awaitable[None] | None":
        """
        Take an item of an async generator.
        """

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

    def abandon(self) -> None:
        """
        End as left early, where the body can take no more step.
        """
        outside = self.enter()
        try:
            self.failed(GeneratorExit())
        finally:
            set_state(outside)

    def may_be_stranded(self, inner: object) -> bool:  # noqa: ARG002
        """
        Tell whether *inner* may be dropped with this session open.
        """
        return False

    def is_stranded(self) -> bool:
        """
        Tell whether a body that was dropped cannot be closed any more.

        It was never stepped, or is an async generator whose loop is gone.
        """
        return not self.is_stepped or (self.loop is not None and self.loop.is_closed())

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


def less_one(traceback: "TracebackType | None") -> "TracebackType | None":
    """
    Drop the driver's own frame, which will stand there again.
    """
    return traceback and traceback.tb_next


def _nobody(item: object) -> None:
    pass
