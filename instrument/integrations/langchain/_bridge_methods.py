"""
A method of the bridge: for LangChain's sync manager, and for its async one.

The sync manager just calls. The async one asks first whether it is a coroutine function,
by looking at its code, and awaits what it gives; who asks is answered yes. It is called
from a coroutine then, and so knows that it may give something to wait for.
"""

import sys
from asyncio import _get_running_loop
from inspect import CO_COROUTINE

from instrument import _report
from instrument._state import get_state, set_state
from instrument.integrations.langchain._given_handlers import has_been_asked, pass_over

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from typing import Any

    Act = tuple[Any, ...]
    """What is to be done: a function, its twin for async code or None, arguments."""


class Done:
    """
    Nothing to wait for: LangChain's sync manager takes it for no coroutine.
    """

    def __await__(self) -> "Generator[Any, None, None]":
        return iter(())  # type: ignore[return-value]


DONE = Done()


class Method:
    """
    One method. It looks like a function to `inspect.iscoroutinefunction`.
    """

    __defaults__ = None
    __kwdefaults__ = None

    def __init__(self) -> None:
        self.__code__ = _waited.__code__
        self.__name__ = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self.__name__ = name

    def unread(self, exc: BaseException, by: object = None) -> Done:
        """
        Report that what LangChain tells could not be read.

        Args:
            exc: What was raised.
            by: What reads it, if not this itself.

        Returns:
            Nothing to wait for.
        """
        _report.unread(by or self, self.__name__, exc)
        return DONE

    if TYPE_CHECKING:  # by keyword what its event needs, and the rest as it is told

        def __call__(self, *args: Any, **told: Any) -> Any: ...


class EventMethod(Method):
    """
    One for any event.

    Args:
        prepare: Takes what LangChain tells, and gives what is to be done, or None.
    """

    def __init__(self, prepare: "Callable[..., Act | None]") -> None:
        super().__init__()
        self._prepare = prepare

    def __call__(self, *args: "Any", **kwargs: "Any") -> "Any":
        if has_been_asked():
            pass_over()
        try:
            act = self._prepare(*args, **kwargs)
        except BaseException as exc:  # ours, or of a payload's own code
            return self.unread(exc, self._prepare)
        if act is None:
            return DONE
        do, later, *given = act
        if later is None or _get_running_loop() is None or not waits():
            do(*given)
            return DONE
        return to_wait_for(later, *given)


def waits() -> bool:
    """
    Tell whether LangChain awaits what a method gives; asked where a loop is running.
    """
    caller: Any = sys._getframe(1)
    while caller.f_globals.get("__package__") == __package__:
        caller = caller.f_back
    return bool(caller.f_code.co_flags & CO_COROUTINE)


def to_wait_for(later: "Callable[..., Any]", *given: "Any") -> "Any":
    """
    Do what async code waits for, and leave the state of now behind.
    """
    state = get_state()
    pending = None
    try:
        pending = later(*given)
    finally:
        if pending is None:
            set_state(state)
    return DONE if pending is None else _waited(pending, state)


async def _waited(pending: "Any", state: object) -> None:
    try:
        await pending
    finally:
        set_state(state)
