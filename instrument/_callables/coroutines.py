"""
Drive coroutines and async generators in a state of their own; follow what was returned.

The state is swapped around every resume, not around every item: a body that awaits
is suspended in the middle of one.
"""

import sys
from functools import partial
from types import (
    AsyncGeneratorType,
    CoroutineType,
    FunctionType,
    GeneratorType,
    coroutine,
)

from instrument._callables.body import AsyncStepped, Stepped, less_one
from instrument._callables.generators import steps
from instrument._interrupts import SETTLED
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
    from typing import Any, NoReturn

    from instrument._callables.body import Body

_IS_AWAITED = 0x100
"""`inspect.CO_ITERABLE_COROUTINE`, without its import: a flag of a generator's code."""


def is_followed(result: object) -> bool:
    """
    Tell whether it is what a plain function may return that is not done yet.
    """
    kind = type(result)  # which may have a hash of its own: not to be looked up
    return kind is GeneratorType or kind is CoroutineType or kind is AsyncGeneratorType


def gives_items(result: "Any") -> bool:
    """
    Tell whether what is followed yields items: a generator made by `types.coroutine` is
    awaited, and yields what its loop is asked to wait for.
    """
    if type(result) is GeneratorType:
        return not result.gi_code.co_flags & _IS_AWAITED
    return type(result) is AsyncGeneratorType


_awaited_steps: "Any" = coroutine(FunctionType(steps.__code__, steps.__globals__))
"""The same, that may be awaited: only then may what it stands for be."""


def follow(inner: "Any", body: "Body") -> "Any":
    """
    Give the same kind of thing as *inner*, driven with *body*.

    The driver alone holds *body*, which is told when it is dropped.
    """
    if type(inner) is GeneratorType:
        drive = steps if gives_items(inner) else _awaited_steps
        driver: Any = drive(inner, body, is_begun=inner.gi_suspended)
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

    Each step is taken right here, with no frame of ours between: where there was room
    to begin one, there is to resume it.
    """
    outside = thrown = None  # the consumer's state, while it is not that of now
    try:
        inner, step = await _start(inner, body)
        frame, tell, resume, value = body.frame, body.atell(), step.send, None
        while True:
            try:
                while True:  # not by `continue`, at which an interrupt is not caught
                    frame._outer = outside = get_state()
                    set_state(body.state)
                    try:
                        signal = resume(value)
                    except StopIteration as stop:
                        item = stop.value
                        break
                    resume, value = await _answer(step, signal, body, outside)
                body.state = get_state()
                step = thrown = resume = value = None
                if (pending := tell(item)) is not None:
                    await pending
            except BaseException as exc:
                if await _afinished(inner, body, step, outside, thrown, exc):
                    thrown = step = resume = value = None  # or a cycle is left
                    return
                raise
            set_state(outside)
            frame._outer = outside = None
            try:
                step = inner.asend((yield item))
            except BaseException as exc:
                step, thrown = inner.athrow(less_one(exc)), exc
            resume, value = step.send, None
    except BaseException as exc:
        await _amend(inner, body, outside, exc)
        # or the traceback would keep the run, and the run the traceback
        body = frame = tell = outside = thrown = step = item = pending = None  # type: ignore[assignment]
        resume = value = None
        raise


async def _start(inner: "AsyncGenerator[Any, Any]", body: "Body") -> "tuple[Any, Any]":
    """
    Take the first step; give what is stepped, and how it begins.
    """
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
    step = _unregistered(inner)
    around = body.frame._around
    if around is None:
        return inner, step
    return AsyncStepped(inner, around), Stepped(step, around)


async def _afinished(
    inner: "AsyncGenerator[Any, Any]",
    body: "Body",
    step: object,
    outside: object,
    thrown: BaseException | None,
    exc: BaseException,
) -> bool:
    """
    Tell the end; True where the body has returned.

    Args:
        step: The one that *exc* ended; None where it came while the item was told.
        outside: The consumer's state; None while it is the state of now.
        thrown: What was thrown into that step.
    """
    if outside is not None and not _was_waiting(body, exc):
        set_state(outside)
    if step is None:
        await _resumed(inner.aclose(), body)
    elif type(exc) is StopAsyncIteration:
        if issubclass(type(thrown), GeneratorExit):  # closed, and content
            await _afinal(body, body.afailed, thrown)
        else:
            await _afinal(body, body.areturned, None)
        return True
    await _afinal(body, body.afailed, exc)
    return False


async def _amend(
    inner: "AsyncGenerator[Any, Any]", body: "Body", outside: object, exc: BaseException
) -> None:
    """
    End what an interrupt has kept from it; else all has been done.
    """
    if outside is not None and not _was_waiting(body, exc):
        set_state(outside)
        body.frame._outer = None
    if not body.is_done():
        body.abandon(exc)
        await inner.aclose()


def _was_waiting(body: "Body", exc: BaseException) -> bool:
    """
    Tell whether it was closed while it waited: then the state is that of whoever did.
    """
    return type(exc) is GeneratorExit and body.frame._outer is None


async def followed(inner: "Coroutine[Any, Any, Any]", body: "Body") -> "Any":
    """
    Be the coroutine *inner*, whose run has started already.
    """
    try:
        body.is_stepped = True
        try:
            around = body.frame._around
            step = inner if around is None else Stepped(inner, around)
            result = await _resumed(step, body)
        except BaseException as exc:
            await _afinal(body, body.afailed, exc)
            raise
        await _afinal(body, body.areturned, result)
    except BaseException as exc:
        if not body.is_done():  # an interrupt came in the way of its end
            body.abandon(exc)
        body = step = around = None  # type: ignore[assignment]
        raise
    return result


@coroutine
def _answer(
    step: "Any", signal: object, body: "Body", outside: object
) -> "Generator[Any, Any, Any]":
    """
    Wait for *signal* in the consumer's state; give what of *step* is called then, and
    with what.
    """
    body.state = get_state()
    set_state(outside)
    body.frame._outer = None
    try:
        return step.send, (yield signal)
    except GeneratorExit as exc:
        return partial(_closed, step), less_one(exc)
    except BaseException as exc:
        return step.throw, less_one(exc)


def _closed(step: "Any", exc: BaseException) -> "NoReturn":
    """
    Throw into the step of an async generator what close() would tell its body nothing of.
    """
    try:
        try:
            step.throw(exc)
        except (StopIteration, StopAsyncIteration):
            raise exc from None
        raise RuntimeError("the body ignored GeneratorExit") from None  # noqa: TRY301
    except BaseException as raised:
        less_one(raised)  # nor may this frame hold what is raised
        step = exc = None  # type: ignore[assignment]
        raise


@coroutine
def _resumed(inner: "Any", body: "Body") -> "Generator[Any, Any, Any]":
    """
    Await *inner*, in the body's state at each resume; its own frame is not shown.
    """
    resume, value = inner.send, None
    try:
        while True:
            asked = _in_state(body, resume, value)
            try:
                value = yield asked
            except GeneratorExit as exc:
                _in_state(body, partial(_closed, inner), exc)
            except BaseException as exc:
                resume, value = inner.throw, exc
            else:
                resume = inner.send
    except StopIteration as stop:
        return stop.value
    except BaseException as exc:
        less_one(exc)
        # the traceback keeps this frame, and the run the traceback
        body = inner = value = resume = None  # type: ignore[assignment]
        raise


def _in_state(body: "Body", resume: "Callable[[Any], Any]", value: "Any") -> "Any":
    """
    Resume in the body's state; its own frame is not shown.
    """
    outside = get_state()
    try:
        try:
            body.enter()
            return resume(value)
        finally:
            body.leave(outside)
    except BaseException as exc:
        set_state(outside)  # once more: an interrupt comes anywhere
        less_one(exc)
        body = outside = value = resume = None  # type: ignore[assignment]
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
    body.dropped = SETTLED  # type: ignore[method-assign]


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
