"""
Drive generators in a state of their own.

A frame (a run or a scope) is current in the body at each step and never in the
consumer. Only our own ContextVar is swapped, both ways, around every resume: the
application's variables, the task and the thread are as if nothing were there.
"""

from contextlib import suppress

from instrument._callables.body import Stepped, less_one
from instrument._interrupts import SETTLED
from instrument._state import get_state, set_state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import Any

    from instrument._callables.body import Body


def steps(inner: "Any", body: "Body", *, is_begun: bool) -> "Generator[Any, Any, Any]":
    """
    Be *inner*, with `send`, `throw`, `close` and return value.

    Args:
        is_begun: True where *inner* has been stepped: it waits, as *inner* does, to be
            stepped on, after a first step that gives None.
    """
    resume, value = inner.send, None
    get_now, set_now = get_state, set_state  # each use costs ten instructions less
    if is_begun:
        try:
            value = yield
        except BaseException as exc:
            resume, value = inner.throw, less_one(exc)
    outside = get_now()
    try:
        inner, resume, send = _start(inner, body, resume)
        frame, tell = body.frame, body.tell()
        while True:
            try:
                item = resume(value)
            except StopIteration as stop:
                value, left = None, [resume != send and value]  # or a cycle is left
                return _returned(body, outside, left, stop.value)
            except BaseException as exc:
                _finish(body, outside, exc)
                raise
            state = get_now()
            try:
                tell(item)
            except BaseException as exc:
                _stop(inner, body, state, outside, exc)
                raise
            set_now(outside)
            frame._outer, outside, resume = None, None, send
            try:
                value = yield item
            except BaseException as exc:
                resume, value = inner.throw, less_one(exc)
            frame._outer = outside = get_now()
            set_now(state)
    except BaseException as exc:
        _mend(inner, body, outside, exc)
        # or the traceback would keep the run, and the run the traceback
        body = frame = tell = value = state = outside = None  # type: ignore[assignment]
        raise


def _start(
    inner: "Generator[Any, Any, Any]", body: "Body", resume: "Any"
) -> "tuple[Any, Any, Any]":
    """
    Enter the body's state; give what is stepped, how first, and how then.
    """
    body.is_stepped = True
    body.enter()
    try:
        body.start()
    except BaseException:
        inner.close()
        raise
    body.opened()
    if body.frame._around is None:
        return inner, resume, inner.send
    stepped = Stepped(inner, body.frame._around)
    is_sent = resume == inner.send
    return stepped, stepped.send if is_sent else stepped.throw, stepped.send


def _returned(
    body: "Body", outside: object, left: "list[object]", value: "Any"
) -> "Any":
    thrown = left.pop()  # its traceback has the caller's frame
    is_closed = issubclass(type(thrown), GeneratorExit)
    _finish(body, outside, thrown if is_closed else None, value)  # type: ignore[arg-type]
    return value


def _finish(
    body: "Body",
    outside: object,
    exc: BaseException | None,
    value: object = None,
) -> None:
    """
    Tell the end, and go back to the consumer's state: what the body has left open is
    not the consumer's.
    """
    try:
        if exc is not None:
            body.failed(exc)
        else:
            body.returned(value)
    finally:
        set_state(outside)
        body.frame._outer = None
    body.dropped = SETTLED  # type: ignore[method-assign]


def _mend(
    inner: "Generator[Any, Any, Any]",
    body: "Body",
    outside: "Any",
    exc: BaseException,
) -> None:
    """
    End what an interrupt has kept from it; else all has been done.

    Args:
        outside: The consumer's state; None while it is the state of now.
    """
    try:
        if not body.is_done():
            with suppress(RuntimeError, ValueError):  # it yields on, or is running
                inner.close()
            body.abandon(exc)
    finally:
        if outside is not None:
            set_state(outside)
            body.frame._outer = None


def _stop(
    inner: "Generator[Any, Any, Any]",
    body: "Body",
    state: object,
    outside: object,
    exc: BaseException,
) -> None:
    set_state(state)
    with suppress(RuntimeError):  # it yields on; what is raised already counts more
        inner.close()
    _finish(body, outside, exc)
