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

TYPE_CHECKING = False
if TYPE_CHECKING:
    from instrument._hearing.wrapped import wrap
    from instrument.propagation import bind

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


if not TYPE_CHECKING:  # or a type checker would take any name for one of ours

    def __getattr__(name: str) -> object:
        if name == "bind":  # who imports its module first waits for the root
            from instrument.propagation import bind

            return bind
        if name == "wrap":  # by most programs never used
            from instrument._hearing.wrapped import wrap

            return wrap
        if name == "__version__":
            from importlib.metadata import PackageNotFoundError, version

            try:
                return version("instrument-callbacks")
            except PackageNotFoundError:  # on the path, not installed
                return "0+unknown"
        import sys

        from instrument._audience.slips import no_name

        if name in ("auto", "exceptions", "handlers", "propagation", "testing"):
            message = f"{name!r} until it is imported: import {__name__}.{name}"
            raise AttributeError(f"module {__name__!r} has no attribute {message}")
        raise no_name(__name__, name, sys._getframe(1))
