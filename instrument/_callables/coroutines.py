"""
Drive coroutines and async generators in a state of their own.

The state is swapped around every resume, not around every item: a body that awaits
is suspended in the middle of one.
"""

import sys
from types import coroutine

from instrument._callables.body import less_one
from instrument._state import set_state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import (
        AsyncGenerator,
        Awaitable,
        Callable,
        Coroutine,
        Generator,
    )
    from types import TracebackType
    from typing import Any

    from instrument._callables.body import Session


async def asteps(
    inner: "AsyncGenerator[Any, Any]", session: "Session"
) -> "AsyncGenerator[Any, Any]":
    """
    Be *inner*, with `asend`, `athrow` and `aclose`.
    """
    await _start(inner, session)
    step: Awaitable[Any] = _unregistered(inner)
    thrown: BaseException | None = None
    while True:
        try:
            item = await _resumed(step.__await__(), session)
        except StopAsyncIteration:
            if isinstance(thrown, GeneratorExit):  # closed, and content with it
                await _afinal(session, session.afailed, thrown)
            else:
                await _afinal(session, session.areturned, None)
            return
        except BaseException as exc:
            exc.with_traceback(_less_second(exc.__traceback__))
            await _afinal(session, session.afailed, exc)
            # or the traceback would keep the run, and the run the traceback
            session = thrown = step = None  # type: ignore[assignment]
            raise
        try:
            await _aitem(session, item)
        except BaseException as exc:
            await _resumed(inner.aclose().__await__(), session)
            await _afinal(session, session.afailed, exc)
            raise
        thrown = None
        try:
            value = yield item
        except BaseException as exc:
            exc.with_traceback(less_one(exc.__traceback__))
            step, thrown = inner.athrow(exc), exc
        else:
            step = inner.asend(value)


async def _start(inner: "AsyncGenerator[Any, Any]", session: "Session") -> None:
    session.is_stepped = True
    outside = session.enter()
    try:
        pending = session.astart()
        if pending is not None:
            await pending
    except BaseException:
        await inner.aclose()
        raise
    finally:
        session.leave(outside)
    session.opened()


async def followed(inner: "Coroutine[Any, Any, Any]", session: "Session") -> "Any":
    """
    Be the coroutine *inner*, whose run has started already.
    """
    session.is_stepped = True
    try:
        result = await _resumed(inner, session)
    except BaseException as exc:
        exc.with_traceback(_less_second(exc.__traceback__))
        await _afinal(session, session.afailed, exc)
        session = None  # type: ignore[assignment]
        raise
    await _afinal(session, session.areturned, result)
    return result


@coroutine
def _resumed(inner: "Any", session: "Session") -> "Generator[Any, Any, Any]":
    """
    Await *inner*, in the body's state at each resume.
    """
    resume: Callable[[Any], Any] = inner.send
    value: Any = None
    while True:
        outside = session.enter()
        try:
            signal = resume(value)
        except StopIteration as stop:
            session.leave(outside)
            return stop.value
        except BaseException:
            session.leave(outside)
            session = None  # type: ignore[assignment]  # the traceback keeps this frame
            raise
        session.leave(outside)
        try:
            value = yield signal
        except GeneratorExit as exc:
            outside = session.enter()
            try:  # close() of an async generator's step tells its body nothing
                inner.throw(exc)
            except (StopIteration, StopAsyncIteration):
                raise exc from None
            finally:
                session.leave(outside)
            raise RuntimeError("the body ignored GeneratorExit") from None
        except BaseException as exc:
            resume, value = inner.throw, exc
        else:
            resume = inner.send


async def _aitem(session: "Session", item: object) -> None:
    outside = session.enter()
    try:
        pending = session.aitem(item)
        if pending is not None:
            await pending
    finally:
        session.leave(outside)


async def _afinal(
    session: "Session", tell: "Callable[[Any], Awaitable[None] | None]", value: object
) -> None:
    """
    Tell the end, from the body's state; it leaves the consumer's.
    """
    outside = session.enter()
    try:
        pending = tell(value)
        if pending is not None:
            await pending
    finally:
        set_state(outside)  # what the body has left open is not the consumer's
        session.frame._outer = None


def _unregistered(inner: "AsyncGenerator[Any, Any]") -> "Awaitable[Any]":
    """
    Make the first step, without the loop's hooks.

    They would make the loop close *inner* at shutdown beside the driver, which is
    registered itself.
    """
    hooks = sys.get_asyncgen_hooks()
    sys.set_asyncgen_hooks(None, None)
    try:
        return inner.asend(None)
    finally:
        sys.set_asyncgen_hooks(*hooks)


def _less_second(traceback: "TracebackType | None") -> "TracebackType | None":
    """
    Drop the frame of `_resumed`: one frame a level is enough.
    """
    if traceback is not None and traceback.tb_next is not None:
        traceback.tb_next = traceback.tb_next.tb_next
    return traceback
