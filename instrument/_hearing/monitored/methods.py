"""
SDKs whose methods are the calls: what is read of their arguments, and what they give.
"""

from functools import partial
from inspect import CO_ASYNC_GENERATOR, CO_GENERATOR
from types import AsyncGeneratorType, GeneratorType

from instrument._hearing.calls import begin, is_wrapped
from instrument._hearing.monitored.streams import StreamCall, StreamWatch, keep
from instrument._hearing.operations import of_call
from instrument._hearing.targets import Target, same
from instrument._hearing.watches import Call, let
from instrument._runs.starting import guarded
from instrument._state import get_state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType
    from typing import Any

    from instrument._hearing.calls import Own
    from instrument._hearing.watches import Watch
    from instrument._runs.merging import Inner


def methods(
    provider: str,
    names: "dict[str, tuple[str, ...]]",
    more: "dict[str, Watch] | None" = None,
) -> "list[Target]":
    """
    Give what is to be heard of a package.

    Args:
        provider: As its operations are known by.
        names: The methods that are calls, by ``module:Class``.
        more: What gives the pieces of streams, closes them, or tries again, by path.
    """
    heard = [
        Target(f"{cls}.{name}", partial(MethodWatch, provider, name))
        for cls, several in names.items()
        for name in several
    ]
    return heard + [
        Target(path, partial(same, watch)) for path, watch in (more or {}).items()
    ]


GENERATOR = StreamWatch(lambda frame: frame)
"""A generator that the call has returned."""


class MethodWatch:
    """
    One method.
    """

    def __init__(self, provider: str, name: str, function: "Any") -> None:
        code = function.__code__
        given = code.co_varnames[: code.co_argcount]
        defaults = function.__defaults__ or ()
        self._provider = provider
        self._name = name
        self._defaults = dict(
            zip(given[len(given) - len(defaults) :], defaults, strict=True)
        )
        self._defaults.update(function.__kwdefaults__ or {})

    listens = staticmethod(get_state)
    is_stepped = False

    def called(self, frame: "FrameType") -> "Call | None":
        if is_wrapped(frame.f_locals.get("self")):
            return None
        request = guarded(frame, self._request)
        call = None if request is None else let(begin, request)
        if call is None:
            return None
        if frame.f_code.co_flags & (CO_GENERATOR | CO_ASYNC_GENERATOR):
            call.go_on(in_pieces=True)
            return StreamCall(call, 0)
        return MethodCall(call)

    def _request(self, frame: "FrameType") -> "Any":
        return of_call(self._provider, self._name, self._fields(frame))

    def _fields(self, frame: "FrameType") -> "dict[str, Any]":
        """
        Give the arguments that were given, by name, without the object itself.
        """
        code, given = frame.f_code, frame.f_locals
        count = code.co_argcount + code.co_kwonlyargcount
        return {
            name: given[name]
            for name in code.co_varnames[1:count]
            if name not in self._defaults or given[name] is not self._defaults[name]
        }


class MethodCall(Call):
    """
    One call of a method; its run is current in the body.
    """

    __slots__ = ("_call",)

    def __init__(self, call: "Own | Inner") -> None:
        self._call = call

    def returned(self, value: "Any") -> None:
        generator = getattr(value, "generator", value)  # Mistral's streams have one
        if isinstance(generator, GeneratorType):
            keep(generator, self._call, frame="gi_frame")
        elif isinstance(generator, AsyncGeneratorType):
            keep(generator, self._call, frame="ag_frame")
        else:
            let(self._call.returned, value)

    def raised(self, exc: BaseException) -> None:
        let(self._call.raised, exc)
