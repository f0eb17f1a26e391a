"""
Clients whose methods are the calls: which ones is data of their adapters.
"""

import functools
import inspect

from instrument._hearing.calls import tell_request
from instrument._hearing.wrapped.streams import (
    LATER,
    amake_call,
    hear_stream,
    is_stream,
    make_call,
)
from instrument._hearing.wrapped.twins import Twin, twin_of
from instrument._runs.results import guarded
from instrument._state import get_state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from instrument._hearing.calls import Asked, Call
    from instrument._hearing.operations import Operation


class Rule:
    """
    What is heard of the objects of one class.

    Args:
        provider: As its runs call it.
        methods: The operations of the methods that are calls of a model or a tool.
        request: The method that sends one request of a call, where that sends several.
        parts: What is heard of the objects in its attributes.
        is_live: Whether the twin shares its state from now on, instead of a copy of it:
            that of a connection, which counts its requests.
    """

    def __init__(
        self,
        provider: str,
        methods: "dict[str, Operation] | None" = None,
        parts: "dict[str, Rule] | None" = None,
        *,
        request: str | None = None,
        is_live: bool = False,
    ) -> None:
        self._provider = provider
        self._methods = methods or {}
        self._parts = parts or {}
        self._is_live = is_live
        self._request = request
        self._mixin = functools.lru_cache(maxsize=500)(self._mixin_of)

    def wrapped(self, client: "Any") -> "Any":
        """
        Give an object like this one whose calls are heard.
        """
        # some are made when they are first asked for
        rules = {id(getattr(client, name)): rule for name, rule in self._parts.items()}
        cls: Any = type(client)
        made = twin_of(client, self._mixin(cls), is_live=self._is_live)
        for name, value in vars(client).items():
            if id(value) in rules:
                made.__dict__[name] = rules[id(value)].wrapped(value)
            elif name in self._methods:  # a method may be the object's own
                made.__dict__[name] = self._calling(value, name, bound=True)
        return made

    def _mixin_of(self, cls: type) -> type:
        methods = {
            name: self._calling(getattr(cls, name), name, bound=False)
            for name in self._methods
            if hasattr(cls, name)
        }
        sends = getattr(cls, self._request, None) if self._request else None
        if sends is not None:
            methods[self._request] = _counting(sends)  # type: ignore[index]
        return type("Heard", (Twin,), methods)

    def _calling(
        self, method: "Callable[..., Any]", name: str, *, bound: bool
    ) -> "Callable[..., Any]":
        """
        Make a function that calls *method*, and has the call heard.
        """
        read = functools.partial(self._methods[name].asked, self._provider)
        asked = _reader(inspect.signature(method), read, skipped=not bound)

        @functools.wraps(method)
        def call(*args: "Any", **kwargs: "Any") -> "Any":
            send = functools.partial(method, *args, **kwargs)
            return make_call(asked(args, kwargs), send, _taken)

        @functools.wraps(method)
        async def acall(*args: "Any", **kwargs: "Any") -> "Any":
            send = functools.partial(method, *args, **kwargs)
            return await amake_call(asked(args, kwargs), send, _taken)

        return acall if inspect.iscoroutinefunction(method) else call


def _counting(method: "Callable[..., Any]") -> "Callable[..., Any]":
    """
    Make a function that calls *method*, which sends a request, and counts it.
    """

    @functools.wraps(method)
    def call(*args: "Any", **kwargs: "Any") -> "Any":
        answer = method(*args, **kwargs)
        tell_request(answer)
        return answer

    @functools.wraps(method)
    async def acall(*args: "Any", **kwargs: "Any") -> "Any":
        answer = await method(*args, **kwargs)
        tell_request(answer)
        return answer

    return acall if inspect.iscoroutinefunction(method) else call


def _reader(
    signature: inspect.Signature,
    asked: "Callable[[dict[str, Any]], Asked]",
    *,
    skipped: bool,
) -> "Callable[[tuple[Any, ...], dict[str, Any]], Asked | None]":
    """
    Make what reads a call's arguments by their names, ``self`` skipped.
    """
    unnamed = [
        each.name for each in signature.parameters.values() if each.kind is _KEYWORDS
    ]

    def read(args: "tuple[Any, ...]", kwargs: "dict[str, Any]") -> "Asked | None":
        if not get_state():
            return None
        try:
            given = signature.bind(*args, **kwargs).arguments
        except TypeError:  # Python's own error comes from the call
            return None
        if skipped:
            given.pop(next(iter(given)))
        for each in unnamed:
            given.update(given.pop(each, {}))
        return guarded(given, asked)  # type: ignore[no-any-return]

    return read


_KEYWORDS = inspect.Parameter.VAR_KEYWORD


def _taken(call: "Call", result: "Any") -> "tuple[object, Any]":
    """
    Give the whole answer, or `LATER`, and what the caller gets.
    """
    stream = result.get("stream") if type(result) is dict else None
    if stream is not None:
        call.go_on(in_pieces=True)
        return LATER, {**result, "stream": hear_stream(call, stream)}
    if is_stream(result):
        call.go_on(in_pieces=True)
        return LATER, hear_stream(call, result)
    return result, result
