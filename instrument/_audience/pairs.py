"""
What of a handler serves the start and the end of a run, known by its class.

To look at a handler in full took 30,000 instructions a kind of run and block, a third of
a request with one call. What its class has is looked at once; of each handler, whether it
still has that: 4,000. One that has anything else is looked at in full.
"""

from types import FunctionType
from weakref import ref

from instrument._audience.by_class import by_class, keep
from instrument._audience.listener import (
    EVENTS,
    Listener,
    has_methods,
    is_base,
    is_langchain,
)
from instrument._audience.signature import takes_all
from instrument._text import is_callers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Method = Callable[..., object]
    Had = tuple[Any, Any, Any, bool, bool, tuple[str, ...]]

_UNKNOWN = object()
_known: "dict[int, dict[str, Had | None]]" = by_class()
"""
By class, and start event: references to the functions that serve the start, the end, and
whole events, None where there is none; whether the first two hear; and the flags that
silence them. None of a class of which that says too little.
"""
_known_of = _known.get
_NOTHING: "dict[str, Had | None]" = {}


def pair_of(
    listener: Listener, start: str, end: str
) -> "tuple[Method | None, Method | None] | None":
    """
    Give what serves the events *start* and *end*; None where one has to look in full.
    """
    handler = listener.handler
    had: Any = _known_of(id(type(handler)), _NOTHING).get(start, _UNKNOWN)
    if had is _UNKNOWN:
        had = _look_at(handler, start, end)
    if had is None or listener.event is not None or listener.__class__ is not Listener:
        return None
    starts, ends, every, hears_start, hears_end, flags = had
    try:
        first = getattr(handler, start, None)
        last = getattr(handler, end, None)
        whole = getattr(handler, "on_event", None)
        if (
            ((None if first is None else first.__func__) is not (starts and starts()))
            or ((None if last is None else last.__func__) is not (ends and ends()))
            or ((None if whole is None else whole.__func__) is not (every and every()))
        ):
            return None
        for flag in flags:
            if getattr(handler, flag, None) is True:
                return None
    except BaseException as exc:
        if is_callers(exc):
            raise
        return None  # it holds what is no method, or raises: that is told elsewhere
    return first if hears_start else None, last if hears_end else None


def _look_at(handler: object, start: str, end: str) -> "Had | None":
    """
    Look at what a handler's class has, and remember it.
    """
    made = _had(handler, start, end)
    known = _known_of(id(type(handler)), _NOTHING)
    keep(_known, type(handler), {**known, start: made})
    return made


def _had(handler: object, start: str, end: str) -> "Had | None":
    cls = type(handler)
    asks = cls.__getattribute__ is not object.__getattribute__
    if asks or hasattr(cls, "__getattr__") or is_langchain(handler):
        return None
    if not has_methods(cls):  # it may be called with each event
        return None
    functions: list[Any] = []
    hears = []
    for event in (start, end, "on_event"):
        function: Any = getattr(cls, event, None)
        kind, count = type(function), len(EVENTS[event][0]) + 1
        if function is not None and kind is not FunctionType:
            return None
        is_heard = function is not None and not is_base(function)
        if is_heard and not takes_all(function, count):
            return None
        functions.append(None if function is None else ref(function))
        hears.append(is_heard)
    if hears[2] or (start == "on_chat_model_start" and not hears[0]):
        return None  # it takes records, or text where there are messages
    flags = dict.fromkeys((*EVENTS[start][1], *EVENTS[end][1]))
    starts, ends, whole = functions
    return starts, ends, whole, hears[0], hears[1], tuple(flags)
