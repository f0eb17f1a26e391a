"""
Functions that run in a scope: ``@callbacks(handler)`` opens a fresh one at each call,
`bind` carries the one in which it was called.
"""

from instrument._audience.plan import NOBODY, View
from instrument._callables.body import Body
from instrument._callables.decorate import decorated
from instrument._callables.follow import FOLLOWED, follow
from instrument._runs.opening import state_in_hand
from instrument._state import MUTED, Frame, get_state, leave, set_state
from instrument._text import safe_repr

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import (
        AsyncGenerator,
        AsyncIterator,
        Awaitable,
        Callable,
        Generator,
        Iterator,
    )
    from typing import Any

    from instrument._scopes.scope import Scope, callbacks


class Scoped:
    """
    How ``@callbacks(...)`` wraps a function.
    """

    def __init__(self, owner: "callbacks") -> None:
        self.owner = owner
        self.wrapper: Any = None

    def wrap(self, target: "Any") -> "Any":
        """
        Decorate *target*.

        Raises:
            TypeError: For a class, or what cannot be called.
        """
        if isinstance(target, type):
            message = (
                f"@callbacks decorates functions, not the class {target.__name__}."
                " Decorate its methods, or give it handlers: @traced, then"
                f" {target.__name__}(callbacks=[...])."
            )
            raise TypeError(message)
        if not (callable(target) or hasattr(target, "__get__")):
            message = (
                f"@callbacks decorates what can be called, not {target!r}. Write"
                " @callbacks(handler): without it the function is itself the handler."
            )
            raise TypeError(message)
        self.wrapper = decorated(target, self, "callbacks")
        return self.wrapper

    def rebuilt(self, target: "Any") -> "Any":
        """
        Decorate a copy of the function in the same way.
        """
        return Scoped(self.owner).wrap(target)

    def __reduce__(self) -> "Any":
        return Scoped, (self.owner,)

    def plain(self, function: "Any") -> "Callable[..., Any]":
        owner = self.owner

        def scoped(*args: "Any", **kwargs: "Any") -> "Any":
            scope = owner.__enter__()
            try:
                result = function(*args, **kwargs)
            except BaseException as exc:
                owner.__exit__(type(exc), exc, exc.__traceback__)
                raise
            return self.left(scope, result)

        return scoped

    def coroutine(self, function: "Any") -> "Callable[..., Any]":
        async def scoped(*args: "Any", **kwargs: "Any") -> "Any":
            async with self.owner:
                return await function(*args, **kwargs)

        return scoped

    def called(
        self, wrapped: "Any", instance: "Any", args: "Any", kwargs: "Any"
    ) -> "Any":
        owner = self.owner
        scope = owner.__enter__()
        try:
            result = wrapped(*args, **kwargs)
        except BaseException as exc:
            owner.__exit__(type(exc), exc, exc.__traceback__)
            raise
        return self.left(scope, result)

    def left(self, scope: "Scope", result: "Any") -> "Any":
        """
        Leave the scope, or let it go on until what was returned is done.
        """
        if result.__class__ in FOLLOWED and scope._token is not None:
            body = ScopeBody(self.owner, scope)
            body.leave(scope._outer)
            return follow(result, body)
        self.owner.__exit__(None, None, None)
        return result

    deferred = called


class ScopeBody(Body):
    """
    A scope that is open as long as a generator or coroutine.
    """

    __slots__ = ("_is_left", "_owner")

    def __init__(self, owner: "callbacks", scope: "Scope") -> None:
        super().__init__(scope)
        self._owner = owner
        self._is_left = False

    def is_done(self) -> bool:
        return self._is_left

    def returned(self, value: object) -> None:
        self._is_left = True
        self._owner.__exit__(None, None, None)

    def failed(self, exc: BaseException) -> None:
        self._is_left = True
        self._owner.__exit__(type(exc), exc, None)

    def areturned(self, value: object) -> "Awaitable[None]":
        self._is_left = True
        return self._owner.__aexit__(None, None, None)

    def afailed(self, exc: BaseException) -> "Awaitable[None] | None":
        self._is_left = True
        if isinstance(exc, GeneratorExit):  # it can wait for nothing
            self._owner.__exit__(type(exc), exc, None)
            return None
        return self._owner.__aexit__(type(exc), exc, None)


def captured(state: "Any") -> View:
    """
    Give the scope of *state* as a frame that can be linked in elsewhere.
    """
    if not isinstance(state, Frame):
        return View(NOBODY, None)
    return View(state._plan, state if state.is_run else state.run)  # type: ignore[arg-type]


class BoundBody(Body):
    """
    An iterator that is stepped in a captured scope.
    """

    __slots__ = ()

    def __init__(self, state: object) -> None:
        super().__init__(captured(state))
        if state is MUTED:
            self.state = MUTED

    def returned(self, value: object) -> None:
        _leave(self.frame)

    def areturned(self, value: object) -> None:
        _leave(self.frame)

    def failed(self, exc: BaseException) -> None:
        _leave(self.frame)

    def afailed(self, exc: BaseException) -> None:
        _leave(self.frame)


class Bound:
    """
    How `bind` wraps a function.
    """

    def __init__(self, state: object) -> None:
        self._state = state
        self.wrapper = None

    def rebuilt(self, target: "Any") -> "Any":
        """
        Bind a copy of the function to the same scope.
        """
        return decorated(target, Bound(self._state), "bind")

    def __reduce__(self) -> "Any":
        return Bound, (None,)  # the scope stays in its process

    def plain(self, function: "Any") -> "Callable[..., Any]":
        def bound(*args: "Any", **kwargs: "Any") -> "Any":
            frame = self._enter()
            try:
                result = function(*args, **kwargs)
            finally:
                _leave(frame)
            return self._left(result)

        return bound

    def coroutine(self, function: "Any") -> "Callable[..., Any]":
        async def bound(*args: "Any", **kwargs: "Any") -> "Any":
            frame = self._enter()
            try:
                return await function(*args, **kwargs)
            finally:
                _leave(frame)

        return bound

    def called(
        self, wrapped: "Any", instance: "Any", args: "Any", kwargs: "Any"
    ) -> "Any":
        frame = self._enter()
        try:
            result = wrapped(*args, **kwargs)
        finally:
            _leave(frame)
        return self._left(result)

    deferred = called

    def _left(self, result: "Any") -> "Any":
        if result.__class__ in FOLLOWED:
            return follow(result, BoundBody(self._state))
        return result

    def _enter(self) -> View:
        frame = captured(self._state)
        frame._outer = state = get_state()
        if state is not MUTED:  # what a handler calls stays mute
            set_state(MUTED if self._state is MUTED else frame)
        return frame


def _leave(frame: Frame) -> None:
    if get_state() is MUTED:
        set_state(frame._outer)
    else:
        leave(frame)


def bound_iterator(target: "Any") -> "Any":
    """
    Step an iterator or async iterator in the scope of now.

    Raises:
        TypeError: If it is neither, nor can be called.
    """
    body = BoundBody(state_in_hand())
    if target.__class__ in FOLLOWED:
        return follow(target, body)
    if hasattr(type(target), "__next__"):
        return follow(_stepping(target), body)
    if hasattr(type(target), "__anext__"):
        return follow(_astepping(target), body)
    message = f"bind takes a function or an iterator, not {safe_repr(target)}."
    raise TypeError(message)


def _stepping(iterator: "Iterator[Any]") -> "Generator[Any, None, None]":
    yield from iterator


async def _astepping(iterator: "AsyncIterator[Any]") -> "AsyncGenerator[Any, None]":
    async for item in iterator:
        yield item
