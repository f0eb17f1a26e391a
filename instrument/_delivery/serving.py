"""
What serves async handlers: tasks of ours, which nobody awaits, or this thread.

An interrupt that ends such a task reaches no call by itself; unless asyncio has it come
out of the loop, as Ctrl-C, it is raised at what is next heard, or as the block is left.
"""

from collections.abc import Coroutine
from typing import Any

from instrument import _report

TYPE_CHECKING = False
if TYPE_CHECKING:
    from asyncio import Future
    from collections.abc import Awaitable, Callable, Generator
    from concurrent import futures as concurrent

    from instrument._audience.listener import Listener
    from instrument._runs.run import Run

    Show = Callable[[object], object] | None


class Serving(Coroutine[Any, Any, None]):
    """
    A coroutine that cannot be cancelled before its first step.

    ``asyncio.run`` cancels what is left when its main task is done, and a lane may
    have been filled just then; once it runs, it finishes its queue.
    """

    def __init__(self, inner: "Coroutine[Any, Any, None]") -> None:
        self._inner = inner
        self._is_started = False

    def send(self, value: object) -> object:
        self._is_started = True
        return self._inner.send(value)

    def throw(self, *exc: "Any") -> object:
        if not self._is_started:
            return self.send(None)
        try:
            return self._inner.throw(*exc)
        finally:  # or this frame would keep what has this frame
            exc = ()

    if TYPE_CHECKING:  # the base class has one, which asyncio never calls

        def close(self) -> None: ...

    def __await__(self) -> "Generator[Any, Any, None]":
        self._is_started = True  # a task factory has wrapped it
        return self._inner.__await__()


def failed(task: "Any") -> "Any":
    """
    Give *task*, which has ended, if anything came in it; unasked, asyncio logs that.
    """
    return None if getattr(task, "_exception", None) is None else task


def left_by(task: "Future[Any]", owner: object) -> BaseException | None:
    """
    Give the interrupt with which *task* has ended, unless it came out of the loop by
    itself. What is none is reported as a failure of *owner*.
    """
    exc = task.exception()
    try:
        if not issubclass(type(exc), (KeyboardInterrupt, SystemExit)):
            _report.failed(owner, "serve", exc)  # type: ignore[arg-type]
    except BaseException as interrupt:  # pragma: no cover - no failure comes here
        return interrupt
    finally:
        del exc, task  # its traceback holds this frame
    return None


def served_here(
    awaitable: "Awaitable[Any]",
    listener: "Listener",
    event: str,
    show: "Show",
    run: "Run | None",
) -> BaseException | None:
    """
    Serve an async handler in this thread, where no other can be started any more.

    Returns:
        What the handler raised, already reported.
    """
    import asyncio

    async def served() -> None:
        await awaitable

    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(served())
    except BaseException as exc:
        stops, handler = listener.raises, listener.handler
        _report.failed(handler, event, exc, stops=stops, show=show, run=run)
        return exc
    finally:
        loop.close()
    return None


def finish(done: "concurrent.Future[None]", exc: BaseException | None) -> None:
    """
    Settle what stands for one call of a handler, which was served.
    """
    if exc is None:
        done.set_result(None)
    else:
        done.set_exception(exc)
