"""
`serve`: have an object served by a thread of its own.

An interrupt may come as one is started, when nobody can tell whether it will run: it
takes its turn as it begins, and whoever has taken that from it knows that it never does.
"""

from threading import Thread

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Protocol

    class Served(Protocol):
        _lock: Any
        _thread: Thread | None


class Server(Thread):
    """
    A daemon thread that may be kept from its work until it has begun that.
    """

    def __init__(self, work: "Callable[..., object]", name: str, *args: object) -> None:
        super().__init__(target=work, args=args, name=name, daemon=True)
        self._turn = [None]

    def run(self) -> None:
        if self.forgo():
            super().run()

    def forgo(self) -> bool:
        """
        Take its turn; False where that has been taken.
        """
        try:
            self._turn.pop()
        except IndexError:
            return False
        return True


def serve(
    owner: "Served", work: "Callable[..., object]", name: str, *args: object
) -> None:
    """
    Have *owner* served by a thread, its `_thread`, unless it is.

    Raises:
        RuntimeError: None is to be had now, or, from Python 3.12 on, at exit.
    """
    thread = None
    try:
        with owner._lock:
            if owner._thread is not None:
                return
            owner._thread = thread = Server(work, name, *args)
        thread.start()
    except BaseException:  # an interrupt, too
        if thread is not None and thread.forgo():
            owner._thread = None
        raise
