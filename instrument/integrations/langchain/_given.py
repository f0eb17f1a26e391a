"""
Our handlers in LangChain's own ``callbacks=[...]``.

LangChain asks each of its handlers for a flag before it tells it anything. Ours say
that they are to be skipped, and so make known that they were given here: the bridge,
which hears everything, has them hear the run like any other, and once.
"""

from contextvars import ContextVar

from langchain_core.callbacks.base import BaseCallbackHandler as LangChainHandler

from instrument import _handler
from instrument._handler import BaseCallbackHandler
from instrument._listener import Listener, as_listener

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_FLAGS = (
    "ignore_agent",
    "ignore_chain",
    "ignore_chat_model",
    "ignore_custom_event",
    "ignore_llm",
    "ignore_retriever",
    "ignore_retry",
    "run_inline",
)
_asked: "ContextVar[tuple[object, ...]]" = ContextVar("asked", default=())
_classes: "dict[type, type]" = {}


class _Skipped:
    """
    The value of a flag: true for LangChain, which tests it, and so knows of the handler.
    """

    __slots__ = ("_handler",)

    def __init__(self, handler: object) -> None:
        self._handler = handler

    def __bool__(self) -> bool:
        asked = _asked.get()
        if not any(each is self._handler for each in asked):
            _asked.set((*asked, self._handler))
        return True


class _Flag:
    def __get__(self, handler: object, owner: type) -> "Any":
        return False if handler is None else _Skipped(handler)


def given_here() -> "tuple[Listener, ...]":
    """
    Give the handlers that LangChain has asked since the last event here.
    """
    asked = _asked.get()
    if asked:
        _asked.set(())
    return tuple([as_listener(handler) for handler in asked])


def has_been_asked() -> bool:
    """
    Tell whether LangChain has asked any since then.
    """
    return bool(_asked.get())


def accept() -> None:
    """
    Have LangChain take our handlers for its own.
    """
    _handler._seen_as = _seen_as
    for name in _FLAGS:
        setattr(BaseCallbackHandler, name, _Flag())


def refuse() -> None:
    """
    Undo `accept`.
    """
    _handler._seen_as = None
    for name in _FLAGS:
        setattr(BaseCallbackHandler, name, False)


def _seen_as(cls: type) -> type:
    seen = _classes.get(cls)
    if seen is None:
        if len(_classes) > 500:
            _classes.clear()
        seen = _classes[cls] = type(
            cls.__name__, (cls, LangChainHandler), {"__module__": cls.__module__}
        )
    return seen
