"""
One account per request, for handlers that serve many requests at once.

A request is the block that gave the handler; for one that no block gave (process-wide,
constructor or call), it is a root run and all below it.
"""

from threading import RLock
from typing import TYPE_CHECKING, Generic, TypeVar
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from collections.abc import Callable

    from instrument._run import Run

Account = TypeVar("Account")


class Requests(Generic[Account]):
    """
    The accounts of one handler; each goes with its block or root run.

    Args:
        new: Makes the account of a request that is met for the first time.
    """

    def __init__(self, new: "Callable[[], Account]") -> None:
        self._new = new
        self._accounts: WeakKeyDictionary[object, Account] = WeakKeyDictionary()
        self._lock = RLock()

    def of(self, run: "Run", handler: object) -> Account:
        """
        Find or make the account of the request that *run* belongs to.
        """
        return self.at(request_of(run, handler))

    def at(self, request: object) -> Account:
        """
        Find or make the account of *request*: an open block, or a root run.
        """
        account = self._accounts.get(request)
        if account is None:
            with self._lock:
                account = self._accounts.get(request)
                if account is None:
                    account = self._accounts[request] = self._new()
        return account


def request_of(run: "Run", handler: object) -> object:
    """
    Tell which request *run* belongs to, as *handler* sees it.
    """
    for listener, layer in run._heard.listeners:
        heard = listener.handler
        if heard is handler or getattr(heard, "__wrapped__", None) is handler:
            return layer if layer.rank == "block" else run._root_run()
    return run._root_run()
