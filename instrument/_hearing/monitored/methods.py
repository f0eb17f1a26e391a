"""
SDKs whose methods are the calls: what is read of their arguments, and what they give.
"""

from functools import partial
from inspect import CO_ASYNC_GENERATOR, CO_GENERATOR
from types import AsyncGeneratorType, GeneratorType

from instrument._hearing.calls import begin, is_wrapped
from instrument._hearing.monitored.streams import StreamCall, StreamWatch, keep
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


GENERATOR = StreamWatch(lambda frame: frame)
"""A generator that the call has returned."""


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

    def called(self, frame: "FrameType") -> "HeardCall | None":
        if is_wrapped(frame.f_locals.get("self")):
            return None
        call = begun(frame, self._asked)
        if call is None:
            return None
        if frame.f_code.co_flags & (CO_GENERATOR | CO_ASYNC_GENERATOR):
            call.go_on(in_pieces=True)
            return StreamCall(call, 0)
        return MethodCall(call)

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
