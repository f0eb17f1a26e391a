"""
Drive generators in a state of their own.

A frame (a run or a scope) is current in the body at each step and never in the
consumer. Only our own ContextVar is swapped, both ways, around every resume: the
application's variables, the task and the thread are as if nothing were there.
"""

from contextlib import suppress

from instrument._session import less_one
from instrument._state import get_state, set_state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from typing import Any

    from instrument._session import Session


def steps(
    inner: "Generator[Any, Any, Any]", session: "Session"
) -> "Generator[Any, Any, Any]":
    """
    Be *inner*, with `send`, `throw`, `close` and return value.
    """
    outside = _start(inner, session)
    frame, tell = session.frame, session.tell()
    send: Callable[[Any], Any] = inner.send
    resume, value = send, None
    while True:
        try:
            item = resume(value)
        except StopIteration as stop:
            _finish(session, value if resume == inner.throw else None, stop.value)
            set_state(outside)  # what the body has left open is not the consumer's
            return stop.value
        except BaseException as exc:
            session.failed(exc)
            set_state(outside)
            # or the traceback would keep the run, and the run the traceback
            session = frame = tell = value = None  # type: ignore[assignment]
            raise
        state = get_state()
        try:
            tell(item)
        except BaseException as exc:
            set_state(state)
            _close(inner)
            session.failed(exc)
            set_state(outside)
            raise
        set_state(outside)
        frame._outer = None
        try:
            value = yield item
        except BaseException as exc:
            exc.with_traceback(less_one(exc.__traceback__))
            resume, value = inner.throw, exc
        else:
            resume = send
        frame._outer = outside = get_state()
        set_state(state)


def _start(inner: "Generator[Any, Any, Any]", session: "Session") -> "Any":
    """
    Enter the body's state, and give the consumer's.
    """
    session.is_stepped = True
    outside = session.enter()
    try:
        session.start()
    except BaseException:
        inner.close()
        raise
    session.opened()
    return outside


def _finish(session: "Session", thrown: object, value: object) -> None:
    if isinstance(thrown, GeneratorExit):
        session.failed(thrown)  # closed, and content with it
    else:
        session.returned(value)


def _close(inner: "Generator[Any, Any, Any]") -> None:
    with suppress(RuntimeError):  # it yields on; what is raised already counts more
        inner.close()
