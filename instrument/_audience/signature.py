"""
Pass a function what its signature asks for, and nothing else.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from inspect import Signature
    from typing import Any

_TAKES_REST, _TAKES_KEYWORDS = 0x04, 0x08  # inspect.CO_VARARGS, CO_VARKEYWORDS


def adapted(
    function: "Callable[..., Any]", positional: "tuple[str, ...]", *, whole: bool
) -> "Callable[..., Any]":
    """
    Make *function* callable with one event's arguments.

    Args:
        function: A handler's method, or a plain function.
        positional: The names of the event's positional arguments. A parameter of that
            name gets that argument; other parameters take the rest in order, unless
            they have the name of a keyword argument.
        whole: A method with ``**kwargs`` takes everything as it is: no adapter.
    """
    if whole and _takes_all(function, len(positional)):
        return function

    from inspect import signature  # 12 ms; most handlers take **kwargs

    try:
        parameters = signature(function)
    except (TypeError, ValueError):  # some builtins have none
        return lambda *args, **_: function(*args)
    return _Adapter(function, positional, parameters)


class _Adapter:
    """
    A call made to measure: which argument goes where is settled once.
    """

    __slots__ = ("_by_name", "_function", "_keywords", "_order", "_rest", "_takes_all")

    def __init__(
        self,
        function: "Callable[..., Any]",
        positional: "tuple[str, ...]",
        signature: "Signature",
    ) -> None:
        self._function = function
        parameters = list(signature.parameters.values())
        ordered = [p for p in parameters if p.kind in (0, 1)]
        unnamed = [n for n in positional if n not in {p.name for p in ordered}]
        self._order: list[tuple[str, int | None]] = []
        for parameter in ordered:
            index = _index(parameter.name, positional)
            if index is None and parameter.name not in KEYWORDS and unnamed:
                index = positional.index(unnamed.pop(0))
            self._order.append((parameter.name, index))
        several = any(p.kind == 2 for p in parameters)  # noqa: PLR2004 - VAR_POSITIONAL
        self._keywords = [p.name for p in parameters if p.kind == 3]  # noqa: PLR2004
        self._takes_all = any(p.kind == 4 for p in parameters)  # noqa: PLR2004
        unnamed = [name for name in unnamed if name not in self._keywords]
        self._rest = [positional.index(name) for name in unnamed] if several else []
        by_name = [] if several or not self._takes_all else unnamed
        by_name += [name for name in self._keywords if name in positional]
        self._by_name = [(name, positional.index(name)) for name in by_name]

    def __call__(self, *args: object, **kwargs: object) -> object:
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
        return self._function(*given, **named)


def _takes_all(function: "Callable[..., Any]", count: int) -> bool:
    """
    Tell whether *function* takes so many positional arguments and any keywords.
    """
    code = getattr(getattr(function, "__func__", function), "__code__", None)
    if code is None or not code.co_flags & _TAKES_KEYWORDS:
        return False
    bound = 1 if hasattr(function, "__self__") else 0
    return bool(code.co_flags & _TAKES_REST) or code.co_argcount - bound == count


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


def _index(name: str, positional: "tuple[str, ...]") -> int | None:
    return positional.index(name) if name in positional else None
