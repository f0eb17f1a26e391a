"""
A method of the bridge: sync for LangChain's sync manager, a coroutine for its async one.

The sync manager just calls; the async one asks first whether it is a coroutine
function, by looking at its code. Who asks is answered yes, and so awaits.
"""

from instrument import _report
from instrument._state import get_state, set_state
from instrument.integrations.langchain._given import given_here, has_been_asked

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType
    from typing import Any

    Act = tuple[Any, ...]
    """What is to be done: a function, its twin for async code or None, arguments."""


class EventMethod:
    """
    Makes an `EventCall` each time that the bridge is asked for the method.

    Args:
        prepare: Takes what LangChain tells, and gives what is to be done, or None.
    """

    def __init__(self, prepare: "Callable[..., Act | None]") -> None:
        self._prepare = prepare
        self._name = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, bridge: object, owner: type | None = None) -> "EventCall":
        return EventCall(self._prepare, self._name)


class EventCall:
    """
    One call of one method. It looks like a function to `inspect.iscoroutinefunction`.
    """

    __slots__ = ("__name__", "_is_awaited", "_prepare")
    __defaults__ = None
    __kwdefaults__ = None

    def __init__(self, prepare: "Callable[..., Act | None]", name: str) -> None:
        self._prepare = prepare
        self._is_awaited = False
        self.__name__ = name

    @property
    def __code__(self) -> "CodeType":
        self._is_awaited = True
        return _awaited.__code__

    def __call__(self, *args: "Any", **kwargs: "Any") -> "Any":
        handlers = given_here() if has_been_asked() else ()
        try:
            act = self._prepare(*args, handlers=handlers, **kwargs)
        except Exception as exc:  # ours, or of a payload's own code
            _report.failed(self._prepare, self.__name__, exc)
            act = None
        if self._is_awaited:
            return _awaited(act)
        if act is not None:
            state = get_state()
            try:
                act[0](*act[2:])
            finally:
                set_state(state)
        return None


async def _awaited(act: "Act | None") -> None:
    if act is None:
        return
    now, later, *args = act
    state = get_state()
    try:
        pending = now(*args) if later is None else later(*args)
        if pending is not None:
            await pending
    finally:
        set_state(state)
