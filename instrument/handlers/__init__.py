"""
Where events go: the handlers that come with the library, one file or one folder each.

Nothing may come in that makes a run: a handler is told of them, and no higher than by
`instrument._delivery`. None is imported before it is asked for.
"""

import instrument  # noqa: F401 - whole first, though another thread is importing it
from instrument._audience.listener import local

TYPE_CHECKING = False
if TYPE_CHECKING:
    from instrument.handlers._approval import approval
    from instrument.handlers._background import background
    from instrument.handlers._budget import BudgetHandler
    from instrument.handlers._file import FileCallbackHandler
    from instrument.handlers._filtered import filtered
    from instrument.handlers._monitor import MonitorHandler
    from instrument.handlers._opentelemetry import OpenTelemetryHandler
    from instrument.handlers._otlp import OTLPHandler
    from instrument.handlers._request_logger import RequestLogger
    from instrument.handlers._sse import SSEHandler
    from instrument.handlers._stdout import StdOutCallbackHandler
    from instrument.handlers._store import StoreHandler
    from instrument.handlers._streaming import StreamingStdOutCallbackHandler
    from instrument.handlers._tail import tail
    from instrument.handlers._token_stream import TokenStream
    from instrument.handlers._tree import TreeHandler
    from instrument.handlers._usage import UsageHandler
    from instrument.handlers._websocket import WebSocketHandler

__all__ = [
    "BudgetHandler",
    "FileCallbackHandler",
    "MonitorHandler",
    "OTLPHandler",
    "OpenTelemetryHandler",
    "RequestLogger",
    "SSEHandler",
    "StdOutCallbackHandler",
    "StoreHandler",
    "StreamingStdOutCallbackHandler",
    "TokenStream",
    "TreeHandler",
    "UsageHandler",
    "WebSocketHandler",
    "approval",
    "background",
    "filtered",
    "local",
    "tail",
]

_HOMES = {
    "BudgetHandler": "_budget",
    "FileCallbackHandler": "_file",
    "MonitorHandler": "_monitor",
    "OTLPHandler": "_otlp",
    "OpenTelemetryHandler": "_opentelemetry",
    "RequestLogger": "_request_logger",
    "SSEHandler": "_sse",
    "StdOutCallbackHandler": "_stdout",
    "StoreHandler": "_store",
    "StreamingStdOutCallbackHandler": "_streaming",
    "TokenStream": "_token_stream",
    "TreeHandler": "_tree",
    "UsageHandler": "_usage",
    "WebSocketHandler": "_websocket",
    "approval": "_approval",
    "background": "_background",
    "filtered": "_filtered",
    "tail": "_tail",
}


if not TYPE_CHECKING:  # or a type checker would take any name for one of ours

    def __getattr__(name: str) -> object:
        """
        Import a handler when it is first asked for: each may need packages of its own.
        """
        if name in _HOMES:
            import typing  # noqa: F401 - whole first: `dataclass` looks into half of it
            from importlib import import_module

            return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
        import sys

        from instrument._audience.slips import no_name

        raise no_name(__name__, name, sys._getframe(1))


def __dir__() -> list[str]:
    return __all__
