"""
Sleep until another thread, task or loop wakes: a waiter for each place to sleep in.

A waiter is used once. None holds a lock that Python code runs under, so that whoever
sleeps or wakes may be interrupted by a collected generator, which wakes as well.
"""

from _thread import allocate_lock
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from instrument._delivery.loops import running_loop
from instrument._interrupts import pass_on

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop


class Waiter(Protocol):
    """
    What sleeps somewhere.
    """

    def wake(self) -> None:
        """
        Wake it, from anywhere, at most once.
        """


class ThreadWaiter:
    """
    Sleep in a plain thread.
    """

    def __init__(self) -> None:
        self._lock = allocate_lock()
        self._lock.acquire()

    def wake(self) -> None:
        self._lock.release()

    def wait(self, timeout_s: float = -1) -> bool:
        """
        Sleep until woken, or *timeout_s* have passed; tell which.
        """
        return self._lock.acquire(timeout=timeout_s)


class AsyncioWaiter:
    """
    Sleep in a task of asyncio.
    """

    def __init__(self, loop: "AbstractEventLoop") -> None:
        self._loop = loop
        self._woken = loop.create_future()

    def wake(self) -> None:
        if running_loop() is self._loop:
            self._settle()
            return
        with suppress(RuntimeError):  # the loop is closed: nobody sleeps there
            self._loop.call_soon_threadsafe(self._settle)

    async def wait(self) -> None:
        """
        Sleep until woken.
        """
        await self._woken

    def _settle(self) -> None:
        if not self._woken.done():  # whoever slept may have been cancelled
            self._woken.set_result(None)


class TrioWaiter:
    """
    Sleep in a task of trio.
    """

    def __init__(self) -> None:
        import trio

        self._token = trio.lowlevel.current_trio_token()
        self._woken = trio.Event()

    def wake(self) -> None:
        with suppress(RuntimeError):  # the run is over: nobody sleeps there
            self._token.run_sync_soon(self._woken.set)

    async def wait(self) -> None:
        """
        Sleep until woken.
        """
        await self._woken.wait()


async def woken(waiter: "AsyncioWaiter | TrioWaiter", timeout_s: float) -> bool:
    """
    Sleep until woken, or *timeout_s* have passed; tell which.
    """
    if isinstance(waiter, TrioWaiter):
        import trio

        with trio.move_on_after(timeout_s) as waiting:
            await waiter.wait()
        return not waiting.cancelled_caught

    import asyncio

    try:
        async with asyncio.timeout(timeout_s):
            await waiter.wait()
    except TimeoutError as exc:
        pass_on(exc)
        return False
    return True


def task_waiter() -> "AsyncioWaiter | TrioWaiter":
    """
    Make a waiter for the task that runs here.
    """
    loop = running_loop()
    return TrioWaiter() if loop is None else AsyncioWaiter(loop)
