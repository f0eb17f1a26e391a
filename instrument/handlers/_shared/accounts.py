"""
One account per request, for handlers that serve many requests at once.

A request is the block that gave the handler; for one that no block gave (process-wide,
constructor or call), it is a root run and all below it.
"""

from typing import TYPE_CHECKING, Generic, TypeVar
from weakref import WeakKeyDictionary

from instrument._forks import fork_lock
from instrument._state import Frame, get_state

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from instrument._audience.listener import Listener
    from instrument._audience.plan import Layer
    from instrument._runs.run import Run

Account = TypeVar("Account")


class Accounts(Generic[Account]):
    """
    The accounts of one handler; each goes with its block or root run.

    Args:
        new: Makes the account of a request that is met for the first time.
    """

    def __init__(self, new: "Callable[[], Account]") -> None:
        self._new = new
        self._by_request: WeakKeyDictionary[object, Account] = WeakKeyDictionary()
        self._lock = fork_lock()

    def of(self, run: "Run", handler: object) -> Account:
        """
        Find or make the account of the request that *run* belongs to.
        """
        return self.at(request_of(run, handler))

    def at(self, request: object) -> Account:
        """
        Find or make the account of *request*: an open block, or a root run.
        """
        account = self._by_request.get(request)
        if account is None:
            with self._lock:
                account = self._by_request.get(request)
                if account is None:
                    account = self._by_request[request] = self._new()
        return account

    def look_up(self, frame: object, handler: object) -> Account:
        """
        Find the account to show for *frame*; a new one that is not kept if it has none.

        Args:
            frame: A run or the scope of a block; None for where this is called.

        Raises:
            TypeError: For anything else.
        """
        if frame is not None and not isinstance(frame, Frame):
            message = (
                "a request is named by its block, with callbacks(...) as scope, or by a"
                f" run in it, not by a {type(frame).__name__}."
            )
            raise TypeError(message)
        here: Any = get_state() if frame is None else frame
        request = _request_at(here, handler) if isinstance(here, Frame) else None
        account = None if request is None else self._by_request.get(request)
        return self._new() if account is None else account


def request_of(run: "Run", handler: object) -> object:
    """
    Tell which request *run* belongs to, as *handler* sees it.
    """
    return _block(run._audience.listeners, handler) or run._root_run()


def _request_at(frame: "Any", handler: object) -> object:
    if frame._is_run:
        return request_of(frame, handler)
    # its own layers last: a scope that was left from elsewhere is no longer in its plan
    own = [(it, layer) for layer in frame._layers for it in layer.options.listeners]
    block = _block((*frame._plan.settle().listeners, *own), handler)
    return block or (None if frame.run is None else frame.run._root_run())


def _block(
    listeners: "Sequence[tuple[Listener, Layer]]", handler: object
) -> "Layer | None":
    """
    Find the block that gave *handler*, itself or wrapped.
    """
    layer = _layer_of(listeners, handler)
    return layer if layer is not None and layer.rank == "block" else None


def _layer_of(
    listeners: "Sequence[tuple[Listener, Layer]]", handler: object
) -> "Layer | None":
    for listener, layer in listeners:
        if listener.handler is handler:
            return layer
    for listener, layer in listeners:  # last, as a stranger's attributes may raise
        if getattr(listener.handler, "__wrapped__", None) is handler:
            return layer
    return None
