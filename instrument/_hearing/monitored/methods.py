"""
SDKs whose methods are the calls: what is read of their arguments, and what they give.
"""

from functools import partial
from inspect import CO_ASYNC_GENERATOR, CO_GENERATOR
from types import AsyncGeneratorType, GeneratorType

from instrument._hearing.calls import begin, is_wrapped, tell_request
from instrument._hearing.monitored.streams import (
    BodyWatch,
    Held,
    StreamBody,
    StreamWatch,
    keep,
)
from instrument._hearing.watches import HeardCall, Watch, let
from instrument._payloads.messages import get
from instrument._runs.results import guarded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType
    from typing import Any, TypeVar

    from instrument._hearing.calls import Asked, Call
    from instrument._hearing.operations import Operation
    from instrument._hearing.targets import Watching

    T = TypeVar("T")


def methods(
    provider: str, classes: "tuple[str, ...]", operations: "dict[str, Operation]"
) -> "dict[str, Watching]":
    """
    Give what is to be heard of a package, by path.

    Args:
        classes: Each as ``module:Class``.
        operations: By the methods that are calls.
    """
    return {
        f"{cls}.{name}": partial(MethodWatch, provider, operation)
        for cls in classes
        for name, operation in operations.items()
    }


_GENERATES = CO_GENERATOR | CO_ASYNC_GENERATOR
GENERATOR = StreamWatch(lambda frame: frame)
"""A generator that the call has returned."""
GENERATOR_BODY = BodyWatch(lambda frame: frame)
"""One that runs functions of the caller."""


def begun(given: "T", read: "Callable[[T], Asked | None]") -> "Call | None":
    """
    Begin a call of what *read* finds that *given* asks for; None where nobody listens.

    Raises:
        Refused: Around what a handler with ``raise_error`` raised.
    """
    asked = guarded(given, read)
    return None if asked is None else let(begin, asked)


class MethodWatch(Watch):
    """
    One method.
    """

    passes_sent = True

    def __init__(self, provider: str, operation: "Operation", function: "Any") -> None:
        code = function.__code__
        given = code.co_varnames[: code.co_argcount]
        defaults = function.__defaults__ or ()
        self._provider = provider
        self._operation = operation
        self._defaults = dict(
            zip(given[len(given) - len(defaults) :], defaults, strict=True)
        )
        self._defaults.update(function.__kwdefaults__ or {})
        self.is_stepped = bool(code.co_flags & _GENERATES)

    def called(self, frame: "FrameType") -> "HeardCall | None":
        if is_wrapped(frame.f_locals.get("self")):
            return None
        call = begun(frame, self._asked)
        if call is None:
            return None
        if not self.is_stepped:
            return MethodCall(call)
        try:
            call.go_on(in_pieces=True)
            return StreamBody(Held(call), 0)
        except BaseException as exc:
            call.raised(exc)
            raise

    def _asked(self, frame: "FrameType") -> "Asked":
        """
        Read the arguments that were given, by name, without the object itself.
        """
        code, given = frame.f_code, frame.f_locals
        count = code.co_argcount + code.co_kwonlyargcount
        fields = {
            name: given[name]
            for name in code.co_varnames[1:count]
            if name not in self._defaults or given[name] is not self._defaults[name]
        }
        return self._operation.asked(self._provider, fields)


class RequestWatch(Watch):
    """
    What sends one request of a call that may send several.
    """

    passes_sent = True

    def called(self, frame: "FrameType") -> "RequestCall | None":
        return None if is_wrapped(frame.f_locals["self"]) else RequestCall()


class RequestCall(HeardCall):
    """
    One such request.
    """

    __slots__ = ()

    def returned(self, value: "Any") -> None:
        tell_request(value)

    def raised(self, exc: BaseException) -> None:
        """
        Tell nothing: its call fails with it.
        """


class MethodCall(HeardCall):
    """
    One call of a method; its run is current in the body.
    """

    __slots__ = ("_call",)

    def __init__(self, call: "Call") -> None:
        self._call = call

    def returned(self, value: "Any") -> None:
        generator = get(value, "generator")  # some streams have one
        generator = value if generator is None else generator
        if type(generator) is GeneratorType:
            keep(generator, self._call, frame="gi_frame")
        elif type(generator) is AsyncGeneratorType:
            keep(generator, self._call, frame="ag_frame")
        else:
            let(self._call.returned, value)

    def raised(self, exc: BaseException) -> None:
        let(self._call.raised, exc)
