"""
Drive generators in a state of their own.

A frame (a run or a scope) is current in the body at each step and never in the
consumer. Only our own ContextVar is swapped, both ways, around every resume: the
application's variables, the task and the thread are as if nothing were there.
"""

from contextlib import suppress

from instrument._callables.body import less_one
from instrument._state import get_state, set_state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from typing import Any

    from instrument._callables.body import Body


def steps(
    inner: "Generator[Any, Any, Any]", body: "Body", *, is_begun: bool
) -> "Generator[Any, Any, Any]":
    """
    Be *inner*, with `send`, `throw`, `close` and return value.

    Args:
        is_begun: True where *inner* has been stepped: it waits, as *inner* does, to be
            stepped on, after a first step that gives None.
    """
    resume: Callable[[Any], Any] = inner.send
    send, value = resume, None
    if is_begun:
        try:
            value = yield
        except BaseException as exc:
            resume, value = inner.throw, less_one(exc)
    try:
        outside = _start(inner, body)
        frame, tell = body.frame, body.tell()
        while True:
            try:
                item = resume(value)
            except StopIteration as stop:
                is_closed = resume != send and issubclass(type(value), GeneratorExit)
                _finish(body, outside, value if is_closed else None, stop.value)
                return stop.value
            except BaseException as exc:
                _finish(body, outside, exc)
                raise
            state = get_state()
            try:
                tell(item)
            except BaseException as exc:
                _stop(inner, body, (outside, state), exc)
                raise
            set_state(outside)
            frame._outer = None
            resume = send
            try:
                value = yield item
            except BaseException as exc:
                resume, value = inner.throw, less_one(exc)
            frame._outer = outside = get_state()
            set_state(state)
    finally:  # or a traceback would keep the run, and the run the traceback
        body = frame = tell = value = state = outside = None  # type: ignore[assignment]


def _start(inner: "Generator[Any, Any, Any]", body: "Body") -> "Any":
    """
    Enter the body's state, and give the consumer's.
    """
    body.is_stepped = True
    outside = body.enter()
    try:
        body.start()
    except BaseException:
        inner.close()
        raise
    body.opened()
    return outside


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


def _stop(
    inner: "Generator[Any, Any, Any]",
    body: "Body",
    states: "tuple[object, object]",
    exc: BaseException,
) -> None:
    outside, state = states
    set_state(state)
    with suppress(RuntimeError):  # it yields on; what is raised already counts more
        inner.close()
    _finish(body, outside, exc)
