"""
Drive generators, coroutines and async generators in a state of their own.

A frame (a run or a scope) is current in the body at each step and never in the
consumer. Only our own ContextVar is swapped, both ways, around every resume: the
application's variables, the task and the thread are as if nothing were there.
"""

import sys
import weakref
from types import AsyncGeneratorType, CoroutineType, GeneratorType, coroutine

from instrument._loops import running_loop
from instrument._state import Frame, get_state, set_state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator
    from asyncio import AbstractEventLoop
    from types import TracebackType
    from typing import Any

FOLLOWED = frozenset((GeneratorType, CoroutineType, AsyncGeneratorType))
"""What a plain function may return that is not done yet."""


class Session:
    """
    What goes with a driven body: when it starts, yields, returns or fails.

    Each method is called in the body's state. The async ones serve coroutines and
    async generators; they return what is to be awaited, or None.

    Attributes:
        frame: The run or scope that is current in the body.
        state: The body's state while it is suspended.
        loop: The loop on which an async generator took its first step.
    """

    __slots__ = ("__weakref__", "frame", "loop", "state")

    def __init__(self, frame: Frame) -> None:
        self.frame = frame
        self.state: Any = frame
        self.loop: AbstractEventLoop | None = None

    def start(self) -> None: ...

    def astart(self) -> "Awaitable[None] | None": ...

    def tell(self) -> "Callable[[Any], object]":
        """
        Give what each item of a sync generator is told to. It may leave any state.
        """
        return _nobody

    def aitem(self, value: object) -> "Awaitable[None] | None": ...

    def returned(self, value: object) -> None: ...

    def areturned(self, value: object) -> "Awaitable[None] | None": ...

    def failed(self, exc: BaseException) -> None: ...

    def afailed(self, exc: BaseException) -> "Awaitable[None] | None": ...

    def opened(self) -> None:
        """
        Know that the body is about to take its first step.
        """

    def abandon(self) -> None:
        """
        End as left early, where the body can take no more step.
        """
        outside = self.enter()
        try:
            self.failed(GeneratorExit())
        finally:
            set_state(outside)

    def is_stranded(self) -> bool:
        """
        Tell whether nobody is left to close an async generator.
        """
        return self.loop is None or self.loop.is_closed()

    def enter(self) -> "Any":
        """
        Make the body's state current; give the consumer's.
        """
        outside = get_state()
        self.frame._outer = outside
        set_state(self.state)
        return outside

    def leave(self, outside: object) -> None:
        """
        Keep the body's state, and give the consumer its own back.
        """
        self.state = get_state()
        set_state(outside)
        self.frame._outer = None


def steps(
    inner: "Generator[Any, Any, Any]", session: Session
) -> "Generator[Any, Any, Any]":
    """
    Be *inner*, with `send`, `throw`, `close` and return value.
    """
    _drivers.pop(id(session), None)
    frame = session.frame
    outside = session.enter()
    try:
        session.start()
    except BaseException:
        inner.close()
        raise
    session.opened()
    state = get_state()
    tell = session.tell()
    resume: Callable[[Any], Any] = inner.send
    value: Any = None
    while True:
        try:
            item = resume(value)
        except StopIteration as stop:
            if isinstance(value, GeneratorExit) and resume != inner.send:
                session.failed(value)  # closed, and content with it
            else:
                session.returned(stop.value)
            return stop.value
        except BaseException as exc:
            session.failed(exc)
            raise
        state = get_state()
        try:
            tell(item)
        except BaseException as exc:
            set_state(state)
            _close(inner)
            session.failed(exc)
            raise
        set_state(outside)
        frame._outer = None
        try:
            value = yield item
        except BaseException as exc:
            exc.with_traceback(_less_one(exc.__traceback__))
            resume, value = inner.throw, exc
        else:
            resume = inner.send
        frame._outer = outside = get_state()
        set_state(state)


async def asteps(
    inner: "AsyncGenerator[Any, Any]", session: Session
) -> "AsyncGenerator[Any, Any]":
    """
    Be *inner*, with `asend`, `athrow` and `aclose`.
    """
    session.loop = running_loop()
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
            exc.with_traceback(_less_one(exc.__traceback__))
            step, thrown = inner.athrow(exc), exc
        else:
            step = inner.asend(value)


async def followed(inner: "Coroutine[Any, Any, Any]", session: Session) -> "Any":
    """
    Be the coroutine *inner*, whose run has started already.
    """
    _drivers.pop(id(session), None)
    try:
        result = await _resumed(inner, session)
    except BaseException as exc:
        exc.with_traceback(_less_second(exc.__traceback__))
        await _afinal(session, session.afailed, exc)
        raise
    await _afinal(session, session.areturned, result)
    return result


def follow(inner: "Any", session: Session) -> "Any":
    """
    Give the same kind of thing as *inner*, driven with *session*.

    If it is dropped before its first step, *session* is told that it was left.
    """
    if type(inner) is GeneratorType:
        driver: Any = steps(inner, session)
    elif type(inner) is AsyncGeneratorType:
        driver = asteps(inner, session)
    else:
        driver = followed(inner, session)
    driver.__name__ = inner.__name__
    driver.__qualname__ = inner.__qualname__
    return driver


def when_dropped(driver: object, inner: "Any", session: Session) -> None:
    """
    End *session* if *driver* is collected and cannot do it itself.

    It was never stepped, or it is an async generator whose loop is gone. All are held
    weakly: what the body was called with may lead back to the driver.
    """
    of_session, of_inner = weakref.ref(session), weakref.ref(inner)

    def dropped(_: object) -> None:
        _drivers.pop(key, None)
        held, body = of_session(), of_inner()
        if body is not None and type(body) is not AsyncGeneratorType:
            body.close()
        if held is not None and held.is_stranded():
            held.abandon()

    key = id(session)
    _drivers[key] = weakref.ref(driver, dropped)


_drivers: "dict[int, weakref.ref[Any]]" = {}


@coroutine
def _resumed(inner: "Any", session: Session) -> "Generator[Any, Any, Any]":
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
            return stop.value
        finally:
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


def _nobody(item: object) -> None:
    pass


async def _aitem(session: Session, item: object) -> None:
    outside = session.enter()
    try:
        pending = session.aitem(item)
        if pending is not None:
            await pending
    finally:
        session.leave(outside)


async def _afinal(
    session: Session, tell: "Callable[[Any], Awaitable[None] | None]", value: object
) -> None:
    """
    Tell the end, from the body's state; it leaves the consumer's.
    """
    session.enter()
    pending = tell(value)
    if pending is not None:
        await pending


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


def _close(inner: "Generator[Any, Any, Any]") -> None:
    try:
        inner.close()
    except RuntimeError:  # it yields instead of ending; what is raised already counts
        pass


def _less_one(traceback: "TracebackType | None") -> "TracebackType | None":
    """
    Drop the driver's own frame, which will stand there again.
    """
    return traceback and traceback.tb_next


def _less_second(traceback: "TracebackType | None") -> "TracebackType | None":
    """
    Drop the frame of `_resumed`: one frame a level is enough.
    """
    if traceback is not None and traceback.tb_next is not None:
        traceback.tb_next = traceback.tb_next.tb_next
    return traceback
