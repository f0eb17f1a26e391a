"""
The proxies of callables that a closure cannot stand for, by wrapt.

They pickle, copy and answer `inspect` like what they wrap.
"""

import copy
import inspect
import sys
from types import GetSetDescriptorType, MethodType

import wrapt

from instrument._callables.body import drop_second

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class BoundProxy(wrapt.BoundFunctionWrapper):  # type: ignore[type-arg]
    """
    A method of one object, or as its class has it.
    """

    @property
    def __instrument__(self) -> "Any":
        return self._self_parent._self_wrapping

    def __repr__(self) -> str:
        return repr(self.__wrapped__)

    def __reduce_ex__(self, protocol: object) -> "Any":
        owner = self._self_instance
        if owner is None:
            owner = self._self_owner
        return getattr, (owner, self.__wrapped__.__name__)

    def __copy__(self) -> "BoundProxy":
        return self

    def __deepcopy__(self, memo: "Any") -> "Any":
        if self._self_instance is None:
            return self  # as functions are
        owner = copy.deepcopy(self._self_instance, memo)
        return getattr(owner, self.__wrapped__.__name__)


class Proxy(wrapt.FunctionWrapper):  # type: ignore[type-arg]
    """
    A callable, traced or scoped.
    """

    __bound_function_wrapper__ = BoundProxy

    def __repr__(self) -> str:
        return repr(self.__wrapped__)

    def __init__(
        self, wrapped: "Any", wrapper: "Callable[..., Any]", wrapping: "Any"
    ) -> None:
        super().__init__(wrapped, wrapper)
        self._self_wrapper_function = wrapper
        self._self_wrapping = wrapping
        call = getattr(type(wrapped), "__call__", None)  # noqa: B004 - its code is wanted
        if hasattr(call, "__code__") and not isinstance(wrapped, type):
            serve = _serving(wrapped, wrapper)  # as who asks the object for it is told
            self.__call__ = type(self)(wrapped.__call__, serve, wrapping)  # type: ignore[method-assign]

    @property
    def __instrument__(self) -> "Any":
        return self._self_wrapping

    @property  # type: ignore[misc]
    def __class__(self) -> "Any":
        """
        What it stands for; to cloudpickle, which would take it for that, what it is.
        """
        return Proxy if _is_cloudpickle_asking() else self.__wrapped__.__class__

    @property
    def __signature__(self) -> "Any":
        """
        What an object takes that is called, for who does not look at what is wrapped.
        """
        if inspect.isroutine(self.__wrapped__):
            return getattr(self.__wrapped__, "__signature__")  # noqa: B009 - if it has one
        try:
            return inspect.signature(self.__wrapped__)
        except ValueError as exc:
            raise AttributeError(*exc.args) from None

    def __reduce_ex__(self, protocol: object) -> "Any":
        is_carried = getattr(self._self_wrapping, "is_carried", False)
        is_asked = _is_cloudpickle_asking()
        is_named = _is_global(self) and (not is_asked or _is_found(self))
        if is_named and not is_carried:
            return self.__wrapped__.__qualname__  # by reference, as functions are
        return self._self_wrapping.rebuilt, (self.__wrapped__,)

    def __copy__(self) -> "Any":
        if hasattr(self.__wrapped__, "__code__"):
            return self
        return self._self_wrapping.rebuilt(copy.copy(self.__wrapped__))

    def __deepcopy__(self, memo: "Any") -> "Any":
        if hasattr(self.__wrapped__, "__code__"):
            return self
        return self._self_wrapping.rebuilt(copy.deepcopy(self.__wrapped__, memo))


class AsyncProxy(Proxy):
    """
    An object that is called as a coroutine function, also to who looks at its class.
    """

    async def __call__(self, *args: "Any", **kwargs: "Any") -> "Any":
        try:
            return await super().__call__(*args, **kwargs)
        except BaseException as exc:
            drop_second(exc)
            raise


for _cls in (BoundProxy, Proxy, AsyncProxy):
    # what gives those of what is wrapped: of each class its own, as Python puts an empty
    # dictionary in its place once the class is asked (`inspect.getmembers(type(proxy))`);
    # without its extension wrapt has none, and each object its own
    for _base in _cls.__mro__:
        if type(_read := vars(_base).get("__annotations__")) is GetSetDescriptorType:
            _cls.__annotations__ = _read  # type: ignore[assignment]
            break


def _serving(target: "Any", wrapper: "Callable[..., Any]") -> "Callable[..., Any]":
    """
    Give what serves a call of the ``__call__`` of *target* as one of *target*.
    """

    def serve(wrapped: "Any", instance: "Any", args: "Any", kwargs: "Any") -> "Any":
        return wrapper(target, None, args, kwargs)

    return serve


def _is_global(proxy: Proxy) -> bool:
    if type(proxy.__wrapped__) is MethodType:
        return False  # its name is that of a function
    name = getattr(proxy.__wrapped__, "__qualname__", "<locals>")
    return isinstance(name, str) and "<locals>" not in name


def _is_found(proxy: Proxy) -> bool:
    """
    Tell whether another program finds it by its name.
    """
    name = proxy.__wrapped__.__module__
    found: Any = sys.modules.get(name) if name != "__main__" else None
    for part in proxy.__wrapped__.__qualname__.split("."):
        found = getattr(found, part, None)
    return found is proxy


def _is_cloudpickle_asking() -> bool:
    """
    Tell whether cloudpickle, or a copy of it that a library has, asks who is asked here.
    """
    asking = getattr(sys._getframe(1).f_back, "f_globals", {}).get("__name__")
    return type(asking) is str and asking.endswith("cloudpickle.cloudpickle")
