"""
How a handler is passed what its signature names, of all that an event has.

What goes where is settled once for each shape of signature, and a function generated that
passes just that. Where an event lacks something that is named, the shape looks anew.
"""

from types import FunctionType, MethodType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeAlias

    Hear: TypeAlias = Callable[..., Any]
    Names: TypeAlias = "tuple[str, ...]"

KEYWORDS = frozenset(
    {
        "batch_size",
        "channel",
        "chunk",
        "inputs",
        "invocation_params",
        "metadata",
        "name",
        "options",
        "parent_run_id",
        "response",
        "run",
        "run_id",
        "tags",
        "tool_call_id",
    }
)
"""What events pass by keyword."""
_ALWAYS = ("run_id", "parent_run_id", "tags", "metadata", "name", "run")
_OF_EVENTS = {
    "on_llm_new_token": ("chunk", "run_id", "parent_run_id", "tags", "run"),
    "on_custom_event": ("run_id", "parent_run_id", "tags", "metadata", "run"),
    "on_event": ("run",),
}
"""What each call of these has; `_ALWAYS` those of all others."""
_TAKES_REST, _TAKES_KEYWORDS = 0x04, 0x08  # inspect.CO_VARARGS, CO_VARKEYWORDS
_KNOWN_SHAPES = 512
_MISSING = object()
_shapes: "dict[tuple[str, Names, Names, bool, bool], Shape]" = {}


def adapted(
    function: "Hear", event: str, positional: "Names", *, whole: bool
) -> "Hear":
    """
    Make *function* callable with one event's arguments.

    Args:
        function: A handler's method, or a plain function.
        event: The event that it serves.
        positional: The names of the event's positional arguments. A parameter of that
            name gets that argument; other parameters take the rest in order, unless
            they have the name of a keyword argument.
        whole: A method with ``**kwargs`` takes everything as it is: no adapter.
    """
    if whole and takes_all(function, len(positional)):
        return function
    try:
        parameters = _parameters(function)
    except (TypeError, ValueError):  # some builtins have none
        return lambda *args, **_: function(*args)
    key = (event, *parameters)
    shape = _shapes.get(key)
    if shape is None:
        if len(_shapes) >= _KNOWN_SHAPES:
            _shapes.clear()
        shape = _shapes[key] = Shape(positional, *key)
    return shape.adapted(function)


class Shape:
    """
    Which argument of an event goes where in signatures of one shape.

    Args:
        positional: The names of the event's positional arguments.
        event: The event.
        ordered: The names of parameters that may be given by position.
        keywords: Those that are given by keyword alone.
        several: Whether there is ``*args``.
        takes_all: Whether there is ``**kwargs``.
    """

    __slots__ = (
        "_by_name",
        "_keywords",
        "_make",
        "_order",
        "_rest",
        "_takes_all",
        "_takes_as_given",
    )

    def __init__(
        self,
        positional: "Names",
        event: str,
        ordered: "Names",
        keywords: "Names",
        several: bool,
        takes_all: bool,
    ) -> None:
        unnamed = [name for name in positional if name not in ordered]
        self._order: list[tuple[str, int | None]] = []
        for name in ordered:
            index = positional.index(name) if name in positional else None
            if index is None and name not in KEYWORDS and unnamed:
                index = positional.index(unnamed.pop(0))
            self._order.append((name, index))
        self._keywords = keywords
        self._takes_all = takes_all
        unnamed = [name for name in unnamed if name not in keywords]
        self._rest = [positional.index(name) for name in unnamed] if several else []
        by_name = [] if several or not takes_all else unnamed
        by_name += [name for name in keywords if name in positional]
        self._by_name = [(name, positional.index(name)) for name in by_name]
        indices = [*(index for _, index in self._order), *self._rest]
        in_order = indices == [*range(len(positional))] and not by_name
        self._takes_as_given = in_order and takes_all
        self._make = self._maker(event, len(positional))

    def adapted(self, function: "Hear") -> "Hear":
        """
        Make *function*, whose signature has this shape, callable with all that there is.
        """
        if self._takes_as_given:
            return function
        if self._make is not None:
            return self._make(function)  # type: ignore[no-any-return]

        def hear(*args: object, **kwargs: object) -> object:
            return self.called(function, args, kwargs)

        return hear

    def called(
        self, function: "Hear", args: "tuple[Any, ...]", kwargs: "dict[str, Any]"
    ) -> object:
        """
        Call *function* with what is there of that which it names.
        """
        given: list[object] = []
        named = {name: kwargs[name] for name in self._keywords if name in kwargs}
        named.update((name, args[i]) for name, i in self._by_name if i < len(args))
        for name, index in self._order:
            if index is not None and index < len(args):
                given.append(args[index])
            elif name in kwargs:
                given.append(kwargs[name])
            else:
                break
        for name, index in self._order[len(given) :]:
            if index is None and name in kwargs:
                named[name] = kwargs[name]
        if len(given) == len(self._order):
            given += [args[index] for index in self._rest if index < len(args)]
        if self._takes_all:
            taken = {name for name, _ in self._order}
            named.update((n, v) for n, v in kwargs.items() if n not in taken)
        return function(*given, **named)

    def _maker(self, event: str, count: int) -> "Any":
        """
        Generate what makes the adapter of a function; None where it must look each time.
        """
        by_name = dict(self._by_name)
        names = [name for name, index in self._order if index is None]
        names += [name for name in self._keywords if name not in by_name]
        if self._takes_all or not KEYWORDS.issuperset(names):
            return None
        passed = [name if i is None else f"_{i}" for name, i in self._order]
        passed += [f"_{i}" for i in self._rest]
        passed += [f"{name}={name}" for name in self._keywords if name not in by_name]
        passed += [f"{name}=_{i}" for name, i in self._by_name]
        args = ", ".join(f"_{i}" for i in range(count))
        told = dict.fromkeys((*_OF_EVENTS.get(event, _ALWAYS), *names))
        lacks = " or ".join(f"{name} is MISSING" for name in names) or "False"
        source = f"""
def make(function):
    def hear({args}, /, *, {", ".join(f"{name}=MISSING" for name in told)}, **rest):
        if {lacks}:
            named = {{{", ".join(f"{name!r}: {name}" for name in told)}}}
            return lacking(function, ({args},), named, rest)
        return function({", ".join(passed)})
    return hear
"""
        # of this module, so that it is known as ours in a traceback
        space = {"__name__": __name__, "MISSING": _MISSING, "lacking": self._lacking}
        code = compile(source, f"<{__name__}>", "exec")
        exec(code, space)  # noqa: S102 - what is named is of `KEYWORDS`
        return space["make"]

    def _lacking(
        self,
        function: "Hear",
        args: "tuple[Any, ...]",
        named: "dict[str, Any]",
        rest: "dict[str, Any]",
    ) -> object:
        there = {name: it for name, it in named.items() if it is not _MISSING}
        return self.called(function, args, {**there, **rest})


def names(function: "Hear", name: str) -> bool:
    """
    Tell whether *function* has a parameter of that name.
    """
    try:
        ordered, keywords, _, _ = _parameters(function)
    except (TypeError, ValueError):  # some builtins have none
        return False
    return name in ordered or name in keywords


def _parameters(function: "Hear") -> "tuple[Names, Names, bool, bool]":
    """
    Give the names that may be given by position, those by keyword alone, and whether
    there are ``*args`` and ``**kwargs``.

    Raises:
        TypeError, ValueError: If it does not tell its signature.
    """
    inner = function.__func__ if type(function) is MethodType else function
    if type(inner) is FunctionType and not inner.__dict__:  # as it is written
        code = inner.__code__
        first, last = code.co_argcount, code.co_argcount + code.co_kwonlyargcount
        ordered = code.co_varnames[:first]
        return (
            ordered if inner is function else ordered[1:],
            code.co_varnames[first:last],
            bool(code.co_flags & _TAKES_REST),
            bool(code.co_flags & _TAKES_KEYWORDS),
        )

    from inspect import Parameter, signature  # 12 ms; most are as they are written

    named = signature(function).parameters
    kinds = [parameter.kind for parameter in named.values()]
    by_position = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
    return (
        tuple([name for name, it in named.items() if it.kind in by_position]),
        tuple([name for name, it in named.items() if it.kind == it.KEYWORD_ONLY]),
        Parameter.VAR_POSITIONAL in kinds,
        Parameter.VAR_KEYWORD in kinds,
    )


def takes_all(function: "Hear", count: int) -> bool:
    """
    Tell whether *function* takes so many positional arguments and any keywords.
    """
    code = getattr(getattr(function, "__func__", function), "__code__", None)
    if code is None or not code.co_flags & _TAKES_KEYWORDS:
        return False
    bound = 1 if hasattr(function, "__self__") else 0
    return bool(code.co_flags & _TAKES_REST) or code.co_argcount - bound == count
