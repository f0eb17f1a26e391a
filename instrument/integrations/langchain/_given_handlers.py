"""
Our handlers in LangChain's own ``callbacks=[...]``.

LangChain asks each of its handlers for a flag before it tells it anything. Ours answer
that they are to be skipped, and so make known that they were given here: the bridge,
which comes after them, has them hear the run like any other, and once.
"""

from contextvars import ContextVar
from functools import partial
from threading import RLock
from weakref import ref

from instrument import _report
from instrument._audience import seen_by_langchain as _seen
from instrument._audience.listener import Listener, as_listener
from instrument._audience.plan import Layer, Options
from instrument._state import PROCESS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from instrument._runs.run import Run

_lock = RLock()
outside: "set[Run]" = set()
_LOOK = Layer(Options(), "process")
"""Hears nothing. While it is there, `@traced` looks who hears where no block is open."""

_asked: "ContextVar[tuple[object, ...]]" = ContextVar("asked", default=())

has_been_asked = _asked.get
"""Give the handlers that LangChain has asked since the last event here."""

been_asked: "list[bool]" = []
"""Empty until LangChain asks any; most programs give it none of ours."""

behind: "dict[int, ref[object]]" = {}
"""Our handlers that were met behind the bridge: it has told of a start before them."""


def given_here() -> "tuple[Listener, ...]":
    """
    Take the handlers that LangChain has asked since the last event here.
    """
    asked = _asked.get()
    _asked.set(())
    listeners = []
    for handler in asked:
        try:
            listeners.append(as_listener(handler))
        except Exception as exc:  # the call goes on without it
            _report.failed(handler, "being given to LangChain", exc)
    return tuple(listeners)


def pass_over() -> None:
    """
    Forget the handlers that LangChain has asked: they hear the run already.
    """
    _asked.set(())


def forget_asked() -> None:
    """
    Forget who was asked for an event that never came: a handler before us stopped it.
    """
    for handler in _asked.get():
        found_behind(handler)
    _asked.set(())


def found_behind(handler: object) -> None:
    """
    Remember that *handler* was given where it comes after the bridge, if it is ours.
    """
    key = id(handler)
    if key in _seen.alive and key not in behind:
        behind[key] = ref(handler, partial(behind.pop, key))


def hear_outside(run: "Run") -> None:
    """
    Have what is called below a run that began outside of every block be heard too.
    """
    with _lock:
        outside.add(run)  # not its id: to hash a UUID is a call of a function
        PROCESS.setdefault(_LOOK)


def ended(run: "Run") -> None:
    """
    Undo `hear_outside` when the last such run has ended.
    """
    if run not in outside:
        return
    with _lock:
        outside.discard(run)
        if not outside:
            PROCESS.pop(_LOOK, None)


def accept() -> None:
    """
    Have those that LangChain asks hear.
    """
    _seen.asked = _note


def refuse() -> None:
    """
    Undo `accept`.
    """
    _seen.asked = None


def _note(handler: object) -> None:
    if not been_asked:
        been_asked.append(True)
    asked = _asked.get()
    for each in asked:
        if each is handler:
            return
    _asked.set((*asked, handler))
