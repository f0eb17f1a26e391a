"""
LangChain's callbacks as a decorator and a context manager.

``@traced`` makes runs of your functions; ``with callbacks(handler)`` has a handler hear
every run of one request, however deep the call stack goes, with nothing passed down.
"""

from instrument._audience.handler import AsyncCallbackHandler, BaseCallbackHandler
from instrument._audience.listener import Handler, Handlers
from instrument._payloads.event import Event, Usage
from instrument._payloads.redact import Secret
from instrument._runs.opening import current_run, emit
from instrument._runs.run import Run
from instrument._scopes.scope import callbacks
from instrument._traced import traced
from instrument.propagation import bind

TYPE_CHECKING = False
if TYPE_CHECKING:
    from instrument._hearing.wrapped import wrap

    __version__: str

__all__ = [
    "AsyncCallbackHandler",
    "BaseCallbackHandler",
    "Event",
    "Handler",
    "Handlers",
    "Run",
    "Secret",
    "Usage",
    "__version__",
    "bind",
    "callbacks",
    "current_run",
    "emit",
    "traced",
    "wrap",
]


_HOMES = ("exceptions", "handlers", "propagation", "testing")

if not TYPE_CHECKING:  # or a type checker would take any name for one of ours

    def __getattr__(name: str) -> object:
        if name == "wrap":  # by most programs never used
            from instrument._hearing.wrapped import wrap

            return wrap
        if name == "__version__":
            from importlib.metadata import PackageNotFoundError, version

            try:
                return version("instrument-callbacks")
            except PackageNotFoundError:  # on the path, not installed
                return "0+unknown"
        message = f"module {__name__!r} has no attribute {name!r}{_cure(name)}"
        if _is_imported():
            raise ImportError(message)
        raise AttributeError(message, name=name, obj=None)  # Python guesses of an obj


def _cure(name: str) -> str:
    """
    Tell where to find what is not here.
    """
    from difflib import get_close_matches
    from importlib import import_module

    if name in (*_HOMES, "auto"):
        return f" until it is imported: import {__name__}.{name}"
    if name.startswith("_"):
        return ""
    for home in _HOMES:
        module = f"{__name__}.{home}"
        if name in import_module(module).__all__:
            return f". Here it is: from {module} import {name}"
    near = get_close_matches(name, __all__, n=1)
    return f". Did you mean {near[0]!r}?" if near else ""


def _is_imported() -> bool:
    """
    Tell whether ``from instrument import name`` asks for an attribute.

    Of an `AttributeError` it would tell nothing but that there is no such name.
    """
    import sys
    from opcode import opmap

    asks = sys._getframe(2)
    return asks.f_code.co_code[asks.f_lasti] == opmap["IMPORT_FROM"]
