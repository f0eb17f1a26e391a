"""
Make a call of a client, and follow what it gives back until that is finished.

A whole answer ends the call at once. A generator is driven by one of ours; any other
stream stays the object that it is, and only gets a class over its own that hears what it
yields. Nothing is read ahead, and nothing is kept back.
"""

import sys
import weakref
from contextlib import suppress
from types import AsyncGeneratorType, GeneratorType

from instrument import _report
from instrument._hearing.calls import abegin, begin
from instrument._hearing.passing import Events
from instrument._hearing.watches import SENT
from instrument._hearing.wrapped.twins import class_over
from instrument._state import get_state
from instrument._text import class_has

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
    from typing import Any

    from instrument._hearing.calls import Asked, Call

LATER = object()
"""Stands for an answer that is still to be read."""
_HEARING = "hearing an answer"
_MODELS = ("model_fields", "__pydantic_fields__")  # where Pydantic has either


def make_call(
    asked: "Asked | None",
    send: "Callable[[], Any]",
    taken: "Callable[[Call, Any], tuple[object, Any]]",
) -> "Any":
    """
    Send what is *asked*; None is nothing to hear.

    Args:
        taken: Gives of the SDK's result the whole answer, or `LATER`, and what the
            caller gets.
    """
    before, call = get_state(), None
    try:
        call = None if asked is None else begin(asked)
        if call is None:
            return send()
        SENT.add(state := get_state())
        try:
            result = send()
        except BaseException as exc:
            call.raised(exc)
            raise
        finally:
            SENT.discard(state)
        try:
            whole, result = taken(call, result)
        except BaseException as exc:
            call.raised(GeneratorExit())  # no more is heard of it
            _report.unread(make_call, _HEARING, exc)
            return result
        if whole is not LATER:
            call.returned(whole)
    except BaseException as exc:
        if call is not None:
            call.mend(before, exc)
        # this frame goes with what was raised, and would lead to the run
        call = before = state = None
        raise
    return result


async def amake_call(
    asked: "Asked | None",
    send: "Callable[[], Awaitable[Any]]",
    taken: "Callable[[Call, Any], tuple[object, Any]]",
) -> "Any":
    """
    The same in async code.
    """
    before, call = get_state(), None
    try:
        call = None if asked is None else await abegin(asked)
        if call is None:
            return await send()
        SENT.add(state := get_state())
        try:
            result = await send()
        except BaseException as exc:
            await call.araised(exc)
            raise
        finally:
            SENT.discard(state)
        try:
            whole, result = taken(call, result)
        except BaseException as exc:
            await call.araised(GeneratorExit())
            _report.unread(amake_call, _HEARING, exc)
            return result
        if whole is not LATER:
            await call.areturned(whole)
    except BaseException as exc:
        if call is not None:
            call.mend(before, exc)
        call = before = state = None
        raise
    return result


def is_stream(result: object) -> bool:
    """
    Tell whether *result* is still to be read, piece by piece.
    """
    cls = type(_behind(result))
    is_whole = issubclass(cls, (dict, list, tuple, str, bytes))
    if is_whole or any(class_has(cls, name) for name in _MODELS):
        return False
    return class_has(cls, "__iter__") or class_has(cls, "__aiter__")


def _behind(value: "Any") -> "Any":
    """
    Give what is behind the proxies that a tracer which patches the SDK puts around it.
    """
    while class_has(type(value), "__wrapped__"):
        value = value.__wrapped__
    return value


def hear_stream(call: "Call", stream: "Any") -> "Any":
    """
    Hear *stream*, for which *call* goes on; give what is to be read instead of it.
    """
    if issubclass(type(stream), GeneratorType):
        return _driven(call, stream)
    if issubclass(type(stream), AsyncGeneratorType):
        return _adriven(call, stream)
    cls = type(_behind(stream))
    if class_has(cls, "__aiter__"):
        return heard_as(stream, async_stream_over, call)
    make = stream_over if class_has(cls, "__next__") else iterable_over
    return heard_as(stream, make, call)


def heard_as(value: "Any", make: "Callable[[Any], type]", call: "Call") -> "Any":
    """
    Put a class that *make* makes over that of *value*, which the SDK just made; once.
    """
    made = _behind(value)
    try:
        if "_instrument_call" not in made.__dict__:
            made.__dict__["_instrument_call"] = call
            made.__class__ = class_over(type(made), make)
    except (AttributeError, TypeError) as exc:  # one that has no room for it
        what = f"hearing a {type(made).__name__}"
        _report.failed(heard_as, what, exc, tells=False)
        call.raised(GeneratorExit())
    return value


def _driven(
    call: "Call", inner: "Generator[Any, Any, Any]"
) -> "Generator[Any, Any, Any]":
    try:
        while True:
            outside = call.enter()
            try:
                item = next(inner, _END)
            finally:
                call.leave(outside)
            if item is _END:
                break
            call.item(item)
            yield item
            del item  # `_closes_itself` looks for it
    except BaseException as exc:
        inner.close()
        call.raised(exc)
        raise
    call.returned(None)


_END: "Any" = object()


async def _adriven(
    call: "Call", inner: "AsyncGenerator[Any, Any]"
) -> "AsyncGenerator[Any, Any]":
    try:
        while True:
            outside = call.enter()
            try:
                item = await anext(inner, _END)
            finally:
                call.leave(outside)
            if item is _END:
                break
            await call.aitem(item)
            yield item
    except BaseException as exc:
        await inner.aclose()
        await call.araised(exc)
        raise
    await call.areturned(None)


def stream_over(cls: "Any") -> type:
    """
    Make a class over that of a stream that is its own iterator.
    """

    class Heard(cls):  # type: ignore[misc]
        def __iter__(self) -> "Any":
            return self

        def __next__(self) -> "Any":
            call = self._instrument_call
            try:
                item = super().__next__()
            except StopIteration:
                call.returned(None)
                raise
            except BaseException as exc:
                call.raised(exc)
                raise
            try:
                call.item(item)
            except BaseException as exc:  # of a handler with `raise_error`
                try:
                    with suppress(AttributeError):  # some have none
                        super().close()
                finally:
                    call.raised(exc)
                raise
            return item

        def close(self) -> None:
            super().close()
            if not _closes_itself(self._instrument_call):
                self._instrument_call.raised(GeneratorExit())

    return Heard


def iterable_over(cls: "Any") -> type:
    """
    Make a class over that of a stream that makes its iterator.
    """

    class Heard(cls):  # type: ignore[misc]
        def __iter__(self) -> "Any":
            return _driven(self._instrument_call, super().__iter__())

        def close(self) -> None:
            super().close()
            if not _closes_itself(self._instrument_call):
                self._instrument_call.raised(GeneratorExit())

    return Heard


def async_stream_over(cls: "Any") -> type:
    """
    Make a class over that of an async stream.
    """

    class Heard(cls):  # type: ignore[misc]
        def __aiter__(self) -> "Any":
            return self

        async def __anext__(self) -> "Any":
            call = self._instrument_call
            try:
                item = await super().__anext__()
            except StopAsyncIteration:
                await call.areturned(None)
                raise
            except BaseException as exc:
                await call.araised(exc)
                raise
            try:
                await call.aitem(item)
            except BaseException as exc:  # cancelled, or what a handler raised
                try:
                    with suppress(AttributeError):  # some have none
                        await super().close()
                finally:
                    await call.araised(exc)
                raise
            return item

        async def close(self) -> None:
            await super().close()
            if not _closes_itself(self._instrument_call):
                await self._instrument_call.araised(GeneratorExit())

    return Heard


def _closes_itself(call: "Call") -> bool:
    """
    Tell whether a stream is closed while its own class looks for the next piece, which
    is not there yet: the stream ends as that does.
    """
    frame: Any = sys._getframe(1)
    while frame is not None:
        if frame.f_globals is globals():
            given = frame.f_locals
            if given.get("call") is call and "item" not in given:
                return True
        frame = frame.f_back
    return False


def hear_closing(stream: "Any") -> None:
    """
    Have *stream* end when its HTTP response is closed past it, as helpers of SDKs do.
    """
    made = _behind(stream)
    response = getattr(made, "response", None)
    with suppress(AttributeError, TypeError):  # it ends when it is dropped, then
        response.__dict__["_instrument_stream"] = weakref.ref(made)
        response.__class__ = class_over(type(response), _response_over)


def hear_passing(call: "Call | None", http: "Any") -> None:
    """
    Have the bytes of a response heard that its caller reads; None is no more.
    """
    with suppress(AttributeError, TypeError):
        http.__dict__["_instrument_passing"] = call
        http.__class__ = class_over(type(http), _passing_over)


def _passing_over(cls: "Any") -> type:
    """
    Make a class over that of a response.
    """

    class Heard(cls):  # type: ignore[misc]
        def iter_bytes(self, *args: "Any", **kwargs: "Any") -> "Any":
            pieces = super().iter_bytes(*args, **kwargs)
            call = self._instrument_passing
            return pieces if call is None else _passed(call, pieces)

        def aiter_bytes(self, *args: "Any", **kwargs: "Any") -> "Any":
            pieces = super().aiter_bytes(*args, **kwargs)
            call = self._instrument_passing
            return pieces if call is None else _apassed(call, pieces)

    return Heard


def _passed(
    call: "Call", pieces: "Generator[Any, Any, Any]"
) -> "Generator[Any, Any, Any]":
    events = Events()
    try:
        for piece in pieces:
            for event in events.of(piece):
                call.item(event)
            yield piece
    except BaseException as exc:
        pieces.close()
        call.raised(exc)
        raise
    call.returned(None)


async def _apassed(
    call: "Call", pieces: "AsyncGenerator[Any, Any]"
) -> "AsyncGenerator[Any, Any]":
    events = Events()
    try:
        async for piece in pieces:
            for event in events.of(piece):
                await call.aitem(event)
            yield piece
    except BaseException as exc:
        await pieces.aclose()
        await call.araised(exc)
        raise
    await call.areturned(None)


def _response_over(cls: "Any") -> type:
    """
    Make a class over that of the response that a stream is read from.
    """

    class Heard(cls):  # type: ignore[misc]
        def close(self) -> None:
            super().close()
            call = _left(self, "gi_")
            if call is not None:
                call.raised(GeneratorExit())

        async def aclose(self) -> None:
            await super().aclose()
            call = _left(self, "ag_")
            if call is not None:
                await call.araised(GeneratorExit())

    return Heard


def _left(response: "Any", prefix: str) -> "Call | None":
    """
    Give the call of a stream whose response was closed by another than its generator.
    """
    stream = response._instrument_stream()
    if stream is None:
        return None
    pieces = stream._iterator
    if getattr(pieces, f"{prefix}running") or getattr(pieces, f"{prefix}frame") is None:
        return None  # it closes the response itself, at its end
    call: Call = stream._instrument_call
    return call
