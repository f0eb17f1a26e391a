"""
Wrap any callable as what it is.

Plain functions get a closure, the cheapest wrapper there is; wrapt serves what a
closure cannot be: generator functions, whose wrapper must act at the call, partials,
callable objects, builtins.
"""

from functools import partial, wraps
from types import FunctionType, MethodType

from instrument._text import bases_of, names_in

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Protocol

    class Wrapping(Protocol):
        """
        How to wrap: each method gets the function and makes what is called instead.
        """

        def plain(self, function: Any) -> Callable[..., Any]: ...

        def coroutine(self, function: Any) -> Callable[..., Any]: ...

        def deferred(self, wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
            """
            Serve one call of a generator or async generator function.
            """

        def called(self, wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
            """
            Serve one call of anything else.
            """


_COROUTINE, _GENERATOR, _ASYNC_GENERATOR = 0x80, 0x20, 0x200  # inspect.CO_*
MARK = "__instrument__"


def decorated(target: "Any", wrapping: "Wrapping", word: str) -> "Any":
    """
    Wrap *target*, through ``classmethod`` and ``staticmethod`` if need be.

    Args:
        word: What the decorator is called, for the error.

    Raises:
        TypeError: If it cannot be called.
    """
    if isinstance(target, (classmethod, staticmethod)):
        return type(target)(decorated(target.__func__, wrapping, word))
    if isinstance(target, property):
        message = f"@{word} goes below @property: on the function, not on {target!r}."
        raise TypeError(message)
    if not callable(target):
        message = f"@{word} decorates what can be called, not {target!r}."
        raise TypeError(message)
    if type(target) is FunctionType and not _flags(target) & (
        _GENERATOR | _ASYNC_GENERATOR
    ):
        wrapper = _closure(target, wrapping)
        setattr(wrapper, MARK, wrapping)
        return wrapper
    return _proxied(target, wrapping)


def wrapping_of(target: "Any") -> "Any":
    """
    Give what wraps *target* itself, or None; what it wraps further in does not count.
    """
    kind = type(target)
    if kind is FunctionType or any(MARK in names_in(it) for it in bases_of(kind)):
        wrapping = getattr(target, MARK, None)
        parent = None if kind is FunctionType else target._self_parent
        itself = target if parent is None else parent  # a method of an object
        return wrapping if getattr(wrapping, "wrapper", None) is itself else None
    return None  # it may be anything that stands in a class


def owner_of(method: "Any") -> "Any":
    """
    Give the object whose method that is, or None.
    """
    kind = type(method)
    if kind is MethodType:
        return method.__self__
    is_ours = any(MARK in names_in(it) for it in bases_of(kind))
    return method._self_instance if is_ours else None


def is_coroutine_function(target: "Any") -> bool:
    """
    Tell whether calling *target* gives a coroutine.
    """
    return bool(_flags(target) & _COROUTINE)


def _closure(function: "Any", wrapping: "Wrapping") -> "Any":
    if is_coroutine_function(function):
        made = wrapping.coroutine(function)
    else:
        made = wrapping.plain(function)
    return wraps(function)(made)


def _proxied(target: "Any", wrapping: "Wrapping") -> "Any":
    from instrument._callables import proxy  # wrapt: 100 ms, and most need no proxy

    deferred = _flags(target) & (_GENERATOR | _ASYNC_GENERATOR)
    call = getattr(getattr(type(target), "__call__", None), "__code__", None)  # noqa: B004 - its code is wanted
    is_async = getattr(call, "co_flags", 0) & _COROUTINE
    cls = proxy.AsyncProxy if is_async else proxy.Proxy
    return cls(target, wrapping.deferred if deferred else wrapping.called, wrapping)


def _flags(target: "Any") -> int:
    """
    Read the code flags of what a call will run.
    """
    while isinstance(target, partial):  # a mock has a `func` of a `func` without end
        target = target.func
    function = getattr(target, "__func__", target)
    code = getattr(function, "__code__", None)
    if code is None and not isinstance(target, type):
        call = getattr(type(target), "__call__", None)  # noqa: B004 - its code is wanted
        code = getattr(call, "__code__", None)
    return getattr(code, "co_flags", 0)
