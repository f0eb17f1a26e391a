"""
The one ContextVar: what is in hand here, a run or a scope, and so who listens.

Its value is a `Frame`: a `Run` (its body is running), a `Scope` (a block is open), or
one of two falsy values, so that an idle call is one look: `PROCESS`, a dict of the
process-wide layers, empty until ``callbacks(...).install()``; and `MUTED`, while a
handler is being served.
"""

import gc
import os
import sys
from contextvars import ContextVar, copy_context
from itertools import takewhile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any, Self, TypeVar

    from instrument._audience.plan import Layer, Plan

    Less = Callable[[Plan], Plan]

    T = TypeVar("T")


class Muted:
    """
    The state in which nobody hears: a handler is at work (its own calls are mute).
    """

    def __bool__(self) -> bool:
        return False


class Frame:
    """
    One link of the chain of open blocks and running bodies, innermost first.

    Attributes:
        _outer: The state to go back to; mended when something below leaves first.
        _plan: Who hears what starts here.
        _layers: What this frame itself added to the plan.
        _owner: The ``callbacks`` or ``traced`` object that opened it.
        _entered_from: From where that was entered.
        _stands_on: The run that it is a view of: it goes with that.
        _around: What a handler puts around its body, entered and left at each step.
        _is_gone: True once it was left from another Context than its own: it is
            skipped by whoever finds it on top.
    """

    _outer: "Any"
    _plan: "Plan"
    _layers: "tuple[Layer, ...]" = ()
    # without a default: see `Run`
    _owner: object
    _entered_from: "tuple[Any, ...]"
    _is_gone: bool
    _is_run = False
    _stands_on: "Frame | None" = None
    _around: "Any" = None

    def __copy__(self) -> "Self":
        return self  # what stands in the chain is one; the token of its Context too

    def __deepcopy__(self, memo: object) -> "Self":
        return self

    if TYPE_CHECKING:
        run: Any

        def cloned(self, outer: Any, less: "Less") -> "Frame":
            """
            Give a frame of the same standing, over *outer*, its plan *less* some layers.
            """

        def _viewed(self, less: "Less") -> Any:
            """
            Give what stands over a run so that some layers are not heard below.
            """


DISABLED = os.environ.get("INSTRUMENT_DISABLED", "") not in ("", "0")
"""The kill switch, read once: no handler is ever given a place."""

PROCESS: "dict[Layer, None]" = {}
MUTED = Muted()
STATE: "ContextVar[Any]" = ContextVar("instrument", default=PROCESS)

get_state = STATE.get
set_state = STATE.set
reset_state = STATE.reset


class muted:  # noqa: N801 - reads as what it is in a ``with``
    """
    Have nobody hear what is called in the block, or awaited in it.

    Events are told without it, to save the calls.
    """

    __slots__ = ("_state",)

    def __enter__(self) -> None:
        self._state = get_state()
        set_state(MUTED)

    def __exit__(self, *exc: object) -> None:
        set_state(self._state)


def mutely(act: "Callable[..., T]", *args: object) -> "T":
    """
    Call *act* while nobody hears; also an interrupt on the way back leaves nobody deaf.
    """
    state = get_state()
    try:
        try:
            set_state(MUTED)
            return act(*args)
        finally:
            set_state(state)
    except BaseException:
        set_state(state)
        raise


unguarded: "list[bool]" = [True] if sys.version_info < (3, 12) else []
"""Not empty until collections are guarded; from Python 3.12 on there is no need."""


def guard_collections() -> None:
    """
    Have each collection keep the Context's map of variables alive for a while.

    Before 3.12 a collection may begin in the middle of ``ContextVar.set``; a generator
    of ours that it collects sets the variable too, and freed the map at work there. No
    line of Python may run for it: there the interpreter would serve signals, and a
    collection swallows what their handlers raise. So what is called is put together of
    functions written in C: the look at ``__call__`` keeps a copy of the Context, and
    gives `slice`, which may be called with what a collection tells.
    """
    from collections import deque
    from functools import partial
    from itertools import repeat
    from operator import itemgetter

    unguarded.clear()
    held: deque[Any] = deque(maxlen=8)  # twice for each of several
    copies = map(held.append, iter(copy_context, None))
    steps = map(itemgetter(1), zip(copies, repeat(slice), strict=False))
    guard = type(
        "Guard", (), {"__call__": property(partial(next, steps)), "held": held}
    )
    gc.callbacks.append(guard())


def live_state() -> "Any":
    """
    Go back to what stands of the state of now: its top was left from elsewhere.
    """
    top = get_state()
    live = next((link for link in chain(top) if not link._is_gone), None)
    state = _ground(top) if live is None else live
    set_state(state)
    return state


def _ground(top: "Any") -> "Any":
    """
    Give what a chain of frames stands on: the process-wide layers, or `MUTED`.
    """
    *_, last = chain(top)
    return (
        PROCESS
        if isinstance(last._outer, Frame) or last._outer is None
        else last._outer
    )


def leave(frame: Frame) -> None:
    """
    Take *frame* out of the chain of this Context, wherever in it it is.

    Out of order, twice, or in a Context where it never was: all are fine.
    """
    set_state(without(get_state(), frame))


def without(top: "Any", gone: Frame) -> "Any":
    """
    Give the chain *top* less the frame *gone*; *top* itself where it holds none.

    What is above it is not changed, since copies of this Context hear on through it:
    blocks are copied, and runs are looked at through a view, as a run has one identity.
    """
    if top is gone:
        return gone._outer
    above = list(takewhile(lambda link: link is not gone, chain(top)))
    if not above or above[-1]._outer is not gone:
        return top
    below, layers = gone._outer, gone._layers
    made = below._plan.as_it_is() if isinstance(below, Frame) else {}

    def less(plan: "Plan") -> "Plan":
        return plan.without(layers, made)

    for link in reversed(above):
        if link._is_run:
            link._outer = below
            # what is given for a chain that held it is never that chain itself
            below = link._viewed(less) if layers or link is top else link
        elif link._stands_on is not gone:
            below = link.cloned(below, less)
    return below


def find(owner: object) -> "Any":
    """
    Give the innermost frame of this Context that *owner* opened, or None.
    """
    return next((link for link in chain(get_state()) if link._owner is owner), None)


def chain(top: "Any") -> "Iterator[Frame]":
    """
    Give the frames from *top* outward.

    It ends where it began if a body steps its own generator from a copy of its Context.
    """
    seen = set()
    link = top
    while isinstance(link, Frame) and link not in seen:
        seen.add(link)
        yield link
        link = link._outer
