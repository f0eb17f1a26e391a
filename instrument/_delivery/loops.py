"""
Which event loop runs here, and the one background loop for where there is none.
"""

import sys
from _thread import RLock, get_ident  # `threading` costs 3 ms and is seldom needed
from types import CoroutineType

from instrument import _report
from instrument._forks import in_child
from instrument._state import get_state
from instrument._text import class_has

TYPE_CHECKING = False
if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from typing import Any

WAIT_S = 30.0
"""How long anybody waits for a handler on another thread or behind a shield."""


def running_loop() -> "AbstractEventLoop | None":
    """
    Give the asyncio loop that runs in this thread; never imports asyncio, which another
    thread may be at.
    """
    events = sys.modules.get("asyncio.events")
    now = getattr(events, "_get_running_loop", None)
    return None if now is None else now()


def in_trio() -> bool:
    """
    Tell whether a trio run goes on in this thread; never imports trio.
    """
    in_run = getattr(sys.modules.get("trio.lowlevel"), "in_trio_run", None)
    return in_run is not None and in_run()


class Forks:
    """
    How often this process has been forked off: loops of before run no more.

    Attributes:
        state: What was in hand there, the last time: a copy, in this process.
    """

    def __init__(self) -> None:
        self.count = 0
        self.state: Any = None


FORKS = Forks()
"""Asked by every block: of an object that takes a third of what a class would."""


def is_usable(loop: "AbstractEventLoop | None", forks: int) -> bool:
    """
    Tell whether *loop* still runs, so that what is sent there will be served.

    Args:
        forks: What `FORKS.count` was when *loop* was met; a forked copy of a running
            loop says that it runs.
    """
    return loop is not None and forks == FORKS.count and loop.is_running()


def is_awaitable(answer: object) -> bool:
    """
    Tell whether what a handler gave is to be awaited, without asking its class, whose
    metaclass may raise.
    """
    kind = type(answer)
    if answer is None or kind is CoroutineType:  # nearly all
        return answer is not None
    return class_has(kind, "__await__")


def close_unserved(awaitable: object) -> None:
    """
    Close what a handler gave to be awaited, and nobody can: Python would warn of it.
    """
    close = getattr(awaitable, "close", None)
    if close is not None:
        close()


class Background:
    """
    One daemon thread with a loop, started when first needed.
    """

    def __init__(self) -> None:
        self._lock = RLock()
        self._loop: AbstractEventLoop | None = None
        self._thread_id: int | None = None

    def loop(self) -> "AbstractEventLoop":
        """
        Give the loop, running.
        """
        with self._lock:
            if self._loop is None:
                self._loop = self._start()
            return self._loop

    def is_running(self) -> bool:
        """
        Tell whether it has been started.
        """
        return self._loop is not None

    def is_here(self) -> bool:
        """
        Tell whether this thread is the one that serves, and so must not wait for it.
        """
        return get_ident() == self._thread_id

    def is_loop(self, loop: object) -> bool:
        """
        Tell whether *loop* is this one.
        """
        return loop is not None and loop is self._loop

    def forget(self) -> None:
        """
        Start anew in a forked child, to which the thread did not come along.
        """
        FORKS.count += 1
        FORKS.state = get_state()
        self.__init__()  # type: ignore[misc]

    def _start(self) -> "AbstractEventLoop":
        import asyncio
        from threading import Event

        from instrument._delivery.threads import Server

        started = Event()
        loop = asyncio.new_event_loop()

        def serve() -> None:
            self._thread_id = get_ident()
            loop.call_soon(started.set)
            while True:
                try:
                    loop.run_forever()
                except OSError:  # its descriptors are gone
                    self._loop = None  # who needs one starts another
                    raise
                except BaseException as exc:  # what a handler left there has raised
                    _report.failed_apart(self, "serve", exc)

        thread = Server(serve, "instrument")
        try:
            thread.start()
            self._loop = loop
            started.wait()
        except BaseException:  # no thread is to be had, or an interrupt comes
            self._loop = loop
            if thread.forgo():
                self._loop = None
                loop.close()
            raise
        return loop


def is_too_late(exc: BaseException) -> bool:
    """
    Tell whether *exc* says that the interpreter, which exits, starts no more threads.
    """
    return type(exc) is RuntimeError and str(exc).endswith("at interpreter shutdown")


def shield() -> "Any":
    """
    Give a scope in which awaits are not cancelled from outside, for at most 30 s.

    A task of plain asyncio needs none: it is cancelled once.
    """
    from contextlib import nullcontext

    for name, is_used in (("trio", in_trio()), ("anyio", running_loop() is not None)):
        move_on_after = getattr(sys.modules.get(name), "move_on_after", None)
        if is_used and move_on_after is not None:
            return move_on_after(WAIT_S, shield=True)
    return nullcontext()


background = Background()
in_child(background.forget)
