"""
What hears a call of a function that is not ours: a watch, and the calls it begins.
"""

from itertools import takewhile

from instrument._payloads.fields import name_of
from instrument._runs.ending import mend
from instrument._runs.run import Run
from instrument._state import chain, get_state, set_state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType
    from typing import Any, TypeVar

    T = TypeVar("T")


SENT: "set[object]" = set()
"""The states in which a wrapped client sends a call now, and hears it itself."""


class Watch:
    """
    What a call of an armed code object means.

    Attributes:
        is_stepped: Whether calls of generators or coroutines are to be told when they
            go on.
        listens: Gives something true if a call could be heard here and now; asked at
            every call, so that it has to be quick.
        passes_sent: Whether to pass over a call that is among `SENT`.
    """

    is_stepped = passes_sent = False
    listens: "Callable[[], object]" = staticmethod(get_state)

    if TYPE_CHECKING:

        def called(self, frame: FrameType) -> "HeardCall | None":
            """
            Begin; *frame* holds the arguments. None where nobody listens.
            """


class HeardCall:
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
"""Stands for an item where there is none."""


def item_of(value: object) -> object:
    """
    Give what an async generator yields; `NOTHING` where that or a coroutine awaits.
    """
    if name_of(value) != "async_generator_wrapped_value":
        return NOTHING
    from gc import get_referents  # it has no attribute to look at

    return get_referents(value)[0]


class Refused(BaseException):
    """
    Carries out of a callback what a handler with ``raise_error`` raised.
    """

    def __init__(self, error: BaseException) -> None:
        self.error = error


def let(act: "Callable[..., T]", *args: object) -> "T":
    """
    Do what handlers hear; what one with ``raise_error`` raises reaches the caller.

    Raises:
        Refused: Around that.
    """
    try:
        return act(*args)
    except BaseException as exc:
        raise Refused(exc) from None


def undo(before: object, exc: BaseException) -> None:
    """
    Go back to the state *before*, as something has come in the midst of what begins a
    call; what has begun since ends with that.
    """
    raised = exc.error if type(exc) is Refused else exc
    above = list(takewhile(lambda link: link is not before, chain(get_state())))
    try:
        if above and above[-1]._outer is before:
            for run in above:
                if type(run) is Run:
                    mend(run, before, raised)
    finally:
        set_state(before)
