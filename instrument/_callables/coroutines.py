"""
Drive coroutines and async generators in a state of their own; follow what was returned.

The state is swapped around every resume, not around every item: a body that awaits
is suspended in the middle of one.
"""

import sys
from types import AsyncGeneratorType, CoroutineType, GeneratorType, coroutine

from instrument._callables.body import drop_second, less_one
from instrument._callables.generators import steps
from instrument._state import get_state, set_state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import (
        AsyncGenerator,
        Awaitable,
        Callable,
        Coroutine,
        Generator,
    )
    from typing import Any

    from instrument._callables.body import Body


def is_followed(result: object) -> bool:
    """
    Tell whether it is what a plain function may return that is not done yet.
    """
    kind = type(result)  # which may have a hash of its own: not to be looked up
    return kind is GeneratorType or kind is CoroutineType or kind is AsyncGeneratorType


def follow(inner: "Any", body: "Body") -> "Any":
    """
    Give the same kind of thing as *inner*, driven with *body*.

    The driver alone holds *body*, which is told when it is dropped.
    """
    if type(inner) is GeneratorType:
        driver: Any = steps(inner, body, is_begun=inner.gi_suspended)
        if inner.gi_suspended:
            # from Python 3.12 on, close() passes over what was not stepped
            next(driver)
    elif type(inner) is AsyncGeneratorType:
        driver = asteps(inner, body)
    else:
        driver = followed(inner, body)
    driver.__name__ = inner.__name__
    driver.__qualname__ = inner.__qualname__
    body.inner = inner
    return driver


async def asteps(
    inner: "AsyncGenerator[Any, Any]", body: "Body"
) -> "AsyncGenerator[Any, Any]":
    """
    Be *inner*, with `asend`, `athrow` and `aclose`.
    """
    thrown: BaseException | None = None
    try:
        await _start(inner, body)
        step: Awaitable[Any] = _unregistered(inner)
        while True:
            try:
                item = await _resumed(step.__await__(), body)
            except StopAsyncIteration:
                if issubclass(type(thrown), GeneratorExit):  # closed, and content
                    await _afinal(body, body.afailed, thrown)
                else:
                    await _afinal(body, body.areturned, None)
                return
            except BaseException as exc:
                drop_second(exc)
                await _afinal(body, body.afailed, exc)
                raise
            try:
                await _aitem(body, item)
            except BaseException as exc:
                await _resumed(inner.aclose().__await__(), body)
                await _afinal(body, body.afailed, exc)
                raise
            try:
                value = yield item
            except BaseException as exc:
                step, thrown = inner.athrow(less_one(exc)), exc
            else:
                step, thrown = inner.asend(value), None
    except BaseException as exc:
        if not body.is_done():  # an interrupt came in the way of its end
            body.abandon(exc)
            await inner.aclose()
        # or the traceback would keep the run, and the run the traceback
        body = thrown = step = value = item = None  # type: ignore[assignment]
        raise


async def _start(inner: "AsyncGenerator[Any, Any]", body: "Body") -> None:
    body.is_stepped = True
    outside = get_state()
    try:
        try:
            body.enter()
            pending = body.astart()
            if pending is not None:
                await pending
        except BaseException:
            await inner.aclose()
            raise
        finally:
            body.leave(outside)
    except BaseException:
        set_state(outside)  # once more: an interrupt comes anywhere
        raise
    body.opened()


async def followed(inner: "Coroutine[Any, Any, Any]", body: "Body") -> "Any":
    """
    Be the coroutine *inner*, whose run has started already.
    """
    try:
        body.is_stepped = True
        try:
            result = await _resumed(inner, body)
        except BaseException as exc:
            drop_second(exc)
            await _afinal(body, body.afailed, exc)
            raise
        await _afinal(body, body.areturned, result)
    except BaseException as exc:
        if not body.is_done():  # an interrupt came in the way of its end
            body.abandon(exc)
        body = None  # type: ignore[assignment]
        raise
    return result


@coroutine
def _resumed(inner: "Any", body: "Body") -> "Generator[Any, Any, Any]":
    """
    Await *inner*, in the body's state at each resume.
    """
    resume: Callable[[Any], Any] = inner.send
    value: Any = None
    outside: Any = None
    try:
        while True:
            outside = get_state()
            try:
                body.enter()
                signal = resume(value)
            except StopIteration as stop:
                body.leave(outside)
                return stop.value
            except BaseException:
                body.leave(outside)
                raise
            body.leave(outside)
            outside = None
            try:
                value = yield signal
            except GeneratorExit as exc:
                outside = get_state()
                try:  # close() of an async generator's step tells its body nothing
                    body.enter()
                    inner.throw(exc)
                except (StopIteration, StopAsyncIteration):
                    raise exc from None
                finally:
                    body.leave(outside)
                raise RuntimeError("the body ignored GeneratorExit") from None
            except BaseException as exc:
                resume, value = inner.throw, exc
            else:
                resume = inner.send
    except BaseException:
        if outside is not None:  # an interrupt may have come on the way back to it
            set_state(outside)
        # the traceback keeps this frame, and the run the traceback
        body = inner = outside = value = resume = None  # type: ignore[assignment]
        raise


async def _aitem(body: "Body", item: object) -> None:
    outside = get_state()
    try:
        try:
            body.enter()
            pending = body.aitem(item)
            if pending is not None:
                await pending
        finally:
            body.leave(outside)
    except BaseException:
        set_state(outside)  # once more: an interrupt comes anywhere
        raise


async def _afinal(
    body: "Body", tell: "Callable[[Any], Awaitable[None] | None]", value: object
) -> None:
    """
    Tell the end, from the body's state; it leaves the consumer's.
    """
    outside = get_state()
    try:
        try:
            body.enter()
            pending = tell(value)
            if pending is not None:
                await pending
        finally:
            set_state(outside)  # what the body has left open is not the consumer's
            body.frame._outer = None
    except BaseException as exc:
        set_state(outside)  # once more: an interrupt comes anywhere
        if not body.is_done():
            body.abandon(exc)
        raise


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
