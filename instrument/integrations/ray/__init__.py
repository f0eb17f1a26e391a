"""
Ray: a task or an actor's method goes on with the request that sent it, on whichever
machine of the cluster, and what it does is heard there.
"""

import inspect
from functools import update_wrapper
from typing import overload

from instrument import _report
from instrument._relay.carriers import carrier_of
from instrument._state import get_state
from instrument.integrations.ray._mailbox import MAILBOXES, imported
from instrument.propagation import attach

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Generator
    from typing import Any

__all__ = ["remote"]

_CARRIER = "_instrument_carrier"


@overload
def remote(target: "Any", /) -> "Any":
    """Make one of a function or a class."""


@overload
def remote(**options: "Any") -> "Callable[[Any], Any]":
    """Give what makes one with these options."""


def remote(*args: "Any", **options: "Any") -> "Any":
    """
    Make what ``ray.remote`` makes, of a function or a class, and takes: Ray's own remote
    function or actor class, whose calls go on with the request that sends them.

    All else is Ray's: what ``.remote()`` gives, ``.options()``, retries, cancelling,
    generators, async and threaded actors. Each call takes along where it was sent from.
    A call that Ray does once more is a retry of the run that sent it. An actor's
    constructor is not heard, and nothing of what is sent by Ray Client (``ray://``).

    Raises:
        ImportError: Without Ray.
    """
    ray = imported()
    if len(args) == 1 and not options and callable(args[0]):
        return ray.remote(_heard(args[0]))
    make = ray.remote(*args, **options)
    return lambda target: make(_heard(target))


def _heard(target: "Any") -> "Any":
    """
    Give a function, or a class, that hears what is sent with a call of it.
    """
    if not isinstance(target, type):
        return _heard_function(target) if inspect.isfunction(target) else target
    found: dict[str, Any] = {}
    for base in reversed(target.__mro__):
        found |= {
            name: _heard_function(it)
            for name, it in vars(base).items()
            if inspect.isfunction(it) and (name[:2] != "__" or name == "__call__")
        }
    names = ("__module__", "__qualname__", "__doc__")
    told = {name: getattr(target, name) for name in names}
    return type(target)(target.__name__, (target,), {**found, **told})


def _heard_function(function: "Any") -> "Any":
    """
    Wrap a function as the kind that it is, since Ray asks for that.

    A parameter more takes the carrier: Ray checks arguments against the signature where a
    call is sent, and asks the function what is to be done there.
    """
    make = next((make for is_kind, make in _KINDS if is_kind(function)), _plain)
    made: Any = update_wrapper(make(function), function)
    del made.__wrapped__  # Ray would look behind it
    given = inspect.signature(function)
    known = [*given.parameters.values()]
    is_open = bool(known) and known[-1].kind is inspect.Parameter.VAR_KEYWORD
    kind = inspect.Parameter.KEYWORD_ONLY
    known.insert(len(known) - is_open, inspect.Parameter(_CARRIER, kind, default=None))
    made.__signature__ = given.replace(parameters=known)
    made.__ray_invocation_decorator__ = _sending
    return made


def _sending(invocation: "Callable[..., Any]") -> "Callable[..., Any]":
    """
    Have a call that Ray sends take along where it is sent from.
    """

    def send(args: "Any", kwargs: "Any") -> "Any":
        try:
            carrier = carrier_of(get_state(), is_kept=False, transport=MAILBOXES)
        except Exception as exc:
            _report.failed_apart(remote, "a carrier", exc)
            carrier = {}
        return invocation(args, {**kwargs, _CARRIER: carrier} if carrier else kwargs)

    return send


def _arrived(function: "Any", carrier: "dict[str, Any]") -> "Any":
    """
    Give the function as a block of what has come with this call.
    """
    job = imported().get_runtime_context().get_task_id()
    return attach({**carrier, "job": job})(function)


def _plain(function: "Any") -> "Callable[..., Any]":
    def here(
        *args: "Any",
        _instrument_carrier: "dict[str, Any] | None" = None,
        **kwargs: "Any",
    ) -> "Any":
        if _instrument_carrier is None:
            return function(*args, **kwargs)
        return _arrived(function, _instrument_carrier)(*args, **kwargs)

    return here


def _coroutine(function: "Any") -> "Callable[..., Any]":
    async def here(
        *args: "Any",
        _instrument_carrier: "dict[str, Any] | None" = None,
        **kwargs: "Any",
    ) -> "Any":
        if _instrument_carrier is None:
            return await function(*args, **kwargs)
        return await _arrived(function, _instrument_carrier)(*args, **kwargs)

    return here


def _generator(function: "Any") -> "Callable[..., Any]":
    def here(
        *args: "Any",
        _instrument_carrier: "dict[str, Any] | None" = None,
        **kwargs: "Any",
    ) -> "Generator[Any, Any, Any]":
        if _instrument_carrier is None:
            return (yield from function(*args, **kwargs))
        return (yield from _arrived(function, _instrument_carrier)(*args, **kwargs))

    return here


def _async_generator(function: "Any") -> "Callable[..., Any]":
    async def here(
        *args: "Any",
        _instrument_carrier: "dict[str, Any] | None" = None,
        **kwargs: "Any",
    ) -> "AsyncIterator[Any]":
        known = _instrument_carrier
        called = function if known is None else _arrived(function, known)
        async for item in called(*args, **kwargs):
            yield item

    return here


_KINDS = (
    (inspect.iscoroutinefunction, _coroutine),
    (inspect.isgeneratorfunction, _generator),
    (inspect.isasyncgenfunction, _async_generator),
)
