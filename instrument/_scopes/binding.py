"""
`bind`: functions and iterators that run in the scope in which they were bound.
"""

from types import FunctionType, MethodType

from instrument._audience.plan import NOBODY, View
from instrument._callables.body import Body
from instrument._callables.coroutines import follow, is_followed
from instrument._callables.decorate import decorated
from instrument._interrupts import SETTLED
from instrument._runs.opening import state_in_hand
from instrument._state import (
    MUTED,
    Frame,
    get_state,
    guard_collections,
    leave,
    set_state,
    unguarded,
)
from instrument._text import class_has, safe_repr

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import (
        AsyncGenerator,
        AsyncIterator,
        Callable,
        Generator,
        Iterator,
    )
    from typing import Any


def captured(state: "Any") -> View:
    """
    Give the scope of *state* as a frame that can be linked in elsewhere.
    """
    if unguarded:
        guard_collections()
    if not isinstance(state, Frame):
        return View(NOBODY, None)
    return View(state._plan, state if state._is_run else state.run)  # type: ignore[arg-type]


class BoundFunction:
    """
    What `bind` makes of a function: called, awaited and inspected as that; pickled as
    that and how it is bound, which a closure cannot be.
    """

    def __init__(self, function: "Any", called: "Any", how: "Any") -> None:
        from functools import update_wrapper

        update_wrapper(self, function)
        self._called = called
        self._how = how

    def __call__(self, /, *args: "Any", **kwargs: "Any") -> "Any":
        return self._called(*args, **kwargs)

    def __get__(self, instance: object, owner: object = None) -> "Any":
        return self if instance is None else MethodType(self, instance)

    def __getattr__(self, name: str) -> "Any":
        return getattr(self.__dict__["__wrapped__"], name)

    def __repr__(self) -> str:
        return repr(self.__wrapped__)

    def __reduce__(self) -> "Any":
        return self._how.rebuilt, (self.__wrapped__,)

    def __copy__(self) -> "BoundFunction":
        return self

    def __deepcopy__(self, memo: object) -> "BoundFunction":
        return self


def bound(target: "Any", how: "Any") -> "Any":
    """
    Wrap *target*, which can be called, as *how* says.
    """
    made = decorated(target, how, "bind")
    return BoundFunction(target, made, how) if type(made) is FunctionType else made


class BoundBody(Body):
    """
    An iterator that is stepped in a captured scope.
    """

    dropped = SETTLED

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

    is_carried = True  # pickled, it is not what its name stands for

    def __init__(self, state: object) -> None:
        self._state = state

    def rebuilt(self, target: "Any") -> "Any":
        """
        Bind a copy of the function to the same scope.
        """
        return bound(target, self)

    def plain(self, function: "Any") -> "Callable[..., Any]":
        def bound(*args: "Any", **kwargs: "Any") -> "Any":
            frame = self._frame()
            try:
                try:
                    self._enter(frame)
                    result = function(*args, **kwargs)
                finally:
                    _leave(frame)
            except BaseException:
                _leave(frame)  # once more: an interrupt comes anywhere
                del frame  # or a traceback would keep the run in hand
                raise
            return self._left(result)

        return bound

    def coroutine(self, function: "Any") -> "Callable[..., Any]":
        async def bound(*args: "Any", **kwargs: "Any") -> "Any":
            frame = self._frame()
            try:
                try:
                    self._enter(frame)
                    return await function(*args, **kwargs)
                finally:
                    _leave(frame)
            except BaseException:
                _leave(frame)
                del frame
                raise

        return bound

    def called(
        self, wrapped: "Any", instance: "Any", args: "Any", kwargs: "Any"
    ) -> "Any":
        frame = self._frame()
        try:
            try:
                self._enter(frame)
                result = wrapped(*args, **kwargs)
            finally:
                _leave(frame)
        except BaseException:
            _leave(frame)
            del frame
            raise
        return self._left(result)

    deferred = called

    def _left(self, result: "Any") -> "Any":
        if is_followed(result):
            return follow(result, BoundBody(self._state))
        return result

    def _frame(self) -> View:
        frame = captured(self._state)
        frame._outer = get_state()
        return frame

    def _enter(self, frame: View) -> None:
        if frame._outer is not MUTED:  # what a handler calls stays mute
            set_state(MUTED if self._state is MUTED else frame)


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
    if is_followed(target):
        return follow(target, body)
    if class_has(type(target), "__next__"):
        return follow(_stepping(target), body)
    if class_has(type(target), "__anext__"):
        return follow(_astepping(target), body)
    message = f"bind takes a function or an iterator, not {safe_repr(target)}."
    raise TypeError(message)


def _stepping(iterator: "Iterator[Any]") -> "Generator[Any, None, None]":
    yield from iterator


async def _astepping(iterator: "AsyncIterator[Any]") -> "AsyncGenerator[Any, None]":
    async for item in iterator:
        yield item
