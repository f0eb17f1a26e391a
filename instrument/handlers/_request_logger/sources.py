"""
Where a record comes from: the function that the application has decorated.
"""

from functools import partial
from types import CodeType, FunctionType, MethodType

from instrument._payloads.messages import fields_of
from instrument._report import Source
from instrument._text import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from instrument._runs.run import Run

_WRAPS = 10
_LONGEST = 100  # characters of a kind


def source_of(run: "Run") -> Source:
    """
    Give where the function of *run* stands, of a framework's run that of the nearest
    one above; else ``instrument:<kind>:0``.
    """
    above: Run | None = run
    while above is not None:
        source = above._recipe.source
        function = None
        if source is not None and source is not True:  # most have no function
            function = _function_of(source)
        if function is not None:
            code: CodeType = function.__code__
            module = str(function.__globals__.get("__name__"))
            return Source(module, code.co_name, code.co_firstlineno, code.co_filename)
        above = above._parent
    return Source("instrument", printable(run.kind[:_LONGEST]), 0, "instrument")


def _function_of(source: "Any") -> FunctionType | None:
    """
    Give the function within what was decorated, without asking that for anything.
    """
    for _ in range(_WRAPS):
        source = source.__func__ if type(source) is MethodType else source
        inner = fields_of(source).get("__wrapped__")
        if inner is None:
            break
        source = inner
    kind = type(source)
    if kind is FunctionType:
        return source  # type: ignore[no-any-return]
    if issubclass(kind, partial):
        return _function_of(source.func)
    called = (vars(base).get("__call__") for base in kind.__mro__)
    return next((it for it in called if type(it) is FunctionType), None)
