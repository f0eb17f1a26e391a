"""
``@callbacks(handler)``: functions that open a fresh scope at each call.
"""

from instrument._callables.body import Body
from instrument._callables.coroutines import follow, is_followed
from instrument._callables.decorate import decorated
from instrument._text import traceback_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import Any

    from instrument._scopes.opened import Scope
    from instrument._scopes.scope import callbacks


class Scoped:
    """
    How ``@callbacks(...)`` wraps a function.
    """

    def __init__(self, owner: "callbacks") -> None:
        self.owner = owner

    def wrap(self, target: "Any") -> "Any":
        """
        Decorate *target*.

        Raises:
            TypeError: For a class, or what cannot be called.
        """
        if issubclass(type(target), type):
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
        return decorated(target, self, "callbacks")

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
            scope = None
            try:
                try:
                    scope = owner.__enter__()
                    result = function(*args, **kwargs)
                except BaseException as exc:
                    if scope is not None:
                        owner.__exit__(type(exc), exc, traceback_of(exc))
                    raise
                return self.left(scope, result)
            except BaseException:
                if scope is not None:
                    owner.undo(scope)
                scope = None
                raise

        return scoped

    def coroutine(self, function: "Any") -> "Callable[..., Any]":
        async def scoped(*args: "Any", **kwargs: "Any") -> "Any":
            scope = None
            try:
                async with self.owner as scope:
                    return await function(*args, **kwargs)
            except BaseException:
                if scope is not None:
                    self.owner.undo(scope)
                scope = None
                raise

        return scoped

    def called(
        self, wrapped: "Any", instance: "Any", args: "Any", kwargs: "Any"
    ) -> "Any":
        owner, scope = self.owner, None  # as in `plain`, which would be a frame more
        try:
            try:
                scope = owner.__enter__()
                result = wrapped(*args, **kwargs)
            except BaseException as exc:
                if scope is not None:
                    owner.__exit__(type(exc), exc, traceback_of(exc))
                raise
            return self.left(scope, result)
        except BaseException:
            if scope is not None:
                owner.undo(scope)
            scope = None
            raise

    def left(self, scope: "Scope", result: "Any") -> "Any":
        """
        Leave the scope, or let it go on until what was returned is done.
        """
        if is_followed(result) and scope._token is not None:
            body = ScopeBody(self.owner, scope)
            body.leave(scope._outer)
            body._is_left = False
            return follow(result, body)
        self.owner.__exit__(None, None, None)
        return result

    deferred = called


class ScopeBody(Body):
    """
    A scope that is open as long as a generator or coroutine.
    """

    def __init__(self, owner: "callbacks", scope: "Scope") -> None:
        self._owner = owner
        self._is_left = True  # until it has taken the scope over
        super().__init__(scope)

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
        if issubclass(type(exc), GeneratorExit):  # it can wait for nothing
            self._owner.__exit__(type(exc), exc, None)
            return None
        return self._owner.__aexit__(type(exc), exc, None)
