"""
Carry a scope where contextvars do not go by themselves: into threads.

Tasks, ``asyncio.to_thread`` and generators need none of this.
"""

from instrument._callables.decorate import decorated
from instrument._runs.opening import state_in_hand
from instrument._scopes.binding import Bound, bound_iterator

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeVar

    from instrument._scopes.executor import ContextThreadPoolExecutor

    T = TypeVar("T")

__all__ = ["ContextThreadPoolExecutor", "bind"]


def bind(target: "T") -> "T":
    """
    Have *target* run in the scope of now, wherever and whenever it runs.

    ``threading.Thread(target=bind(work))`` and ``loop.run_in_executor(None,
    bind(work))`` hear what happens in ``work``. Of an iterator or generator each step
    runs in the scope: for a stream that is made here and consumed elsewhere.

    Raises:
        TypeError: For what can neither be called nor iterated.
    """
    bound: Any = target
    if callable(bound) and not isinstance(bound, type):
        return decorated(bound, Bound(state_in_hand()), "bind")  # type: ignore[no-any-return]
    return bound_iterator(bound)  # type: ignore[no-any-return]


def __getattr__(name: str) -> "Any":
    if name == "ContextThreadPoolExecutor":
        from instrument._scopes.executor import ContextThreadPoolExecutor

        return ContextThreadPoolExecutor
    message = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(message)
