"""
Handlers that come with the library, one file each.
"""

from instrument._listener import local

TYPE_CHECKING = False
if TYPE_CHECKING:
    from instrument.handlers._file import FileCallbackHandler
    from instrument.handlers._stdout import StdOutCallbackHandler
    from instrument.handlers._streaming import StreamingStdOutCallbackHandler
    from instrument.handlers._token_stream import TokenStream
    from instrument.handlers._websocket import WebSocketHandler

__all__ = [
    "FileCallbackHandler",
    "StdOutCallbackHandler",
    "StreamingStdOutCallbackHandler",
    "TokenStream",
    "WebSocketHandler",
    "local",
]

_HOMES = {
    "FileCallbackHandler": "_file",
    "StdOutCallbackHandler": "_stdout",
    "StreamingStdOutCallbackHandler": "_streaming",
    "TokenStream": "_token_stream",
    "WebSocketHandler": "_websocket",
}


def __getattr__(name: str) -> object:
    """
    Import a handler when it is first asked for: each may need packages of its own.
    """
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    message = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(message)


def __dir__() -> list[str]:
    return __all__
