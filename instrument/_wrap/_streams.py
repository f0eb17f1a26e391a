"""
Follow what an SDK gave back until it is finished.

A whole answer ends the call at once. A generator is driven by one of ours; any other
stream stays the object that it is, and only gets a class over its own that hears what it
yields. Nothing is read ahead, and nothing is kept back.
"""

import inspect
from types import AsyncGeneratorType, GeneratorType

from instrument._wrap._twins import class_over

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator
    from typing import Any

    from instrument._calls import Own
    from instrument._merge import Inner

    Call = Own | Inner


def is_stream(result: object) -> bool:
    """
    Tell whether *result* is still to be read, piece by piece.
    """
    if isinstance(result, (dict, list, tuple, str, bytes)) or hasattr(
        type(result), "model_fields"
    ):
        return False
    return hasattr(type(result), "__iter__") or hasattr(type(result), "__aiter__")


def follow(call: "Call", stream: "Any") -> "Any":
    """
    Hear *stream*, for which *call* goes on; give what is to be read instead of it.
    """
    if isinstance(stream, GeneratorType):
        return _driven(call, stream)
    if isinstance(stream, AsyncGeneratorType):
        return _adriven(call, stream)
    cls = type(stream)
    if hasattr(cls, "__anext__") or hasattr(cls, "__aiter__"):
        mixin: type = AsyncStream
    else:
        mixin = Stream if hasattr(cls, "__next__") else Iterable
    return heard_as(stream, mixin, call)


def heard_as(value: "Any", mixin: type, call: "Call") -> "Any":
    """
    Put *mixin* over the class of *value*, which the SDK has just made; once.
    """
    if "_instrument_call" not in value.__dict__:
        value.__dict__["_instrument_call"] = call
        value.__class__ = class_over(type(value), mixin)
    return value


def _driven(
    call: "Call", inner: "Generator[Any, Any, Any]"
) -> "Generator[Any, Any, Any]":
    try:
        for item in inner:
            call.item(item)
            yield item
    except BaseException as exc:
        inner.close()
        call.raised(exc)
        raise
    call.returned(None)


async def _adriven(
    call: "Call", inner: "AsyncGenerator[Any, Any]"
) -> "AsyncGenerator[Any, Any]":
    try:
        async for item in inner:
            await call.aitem(item)
            yield item
    except BaseException as exc:
        await inner.aclose()
        await call.araised(exc)
        raise
    await call.areturned(None)


class Stream:
    """
    Over the class of a stream that is its own iterator.
    """

    _instrument_call: "Call"

    def __iter__(self) -> "Any":
        return self

    def __next__(self) -> "Any":
        call = self._instrument_call
        try:
            item = super().__next__()  # type: ignore[misc]
        except StopIteration:
            call.returned(None)
            raise
        except BaseException as exc:
            call.raised(exc)
            raise
        call.item(item)
        return item

    def close(self) -> None:
        """
        Close it; a stream that was not read to its end was abandoned.
        """
        try:
            super().close()  # type: ignore[misc]
        finally:
            self._instrument_call.raised(GeneratorExit())


class Iterable:
    """
    Over the class of a stream that makes its iterator.
    """

    _instrument_call: "Call"

    def __iter__(self) -> "Any":
        return _driven(self._instrument_call, super().__iter__())  # type: ignore[misc]

    def close(self) -> None:
        """
        The same.
        """
        try:
            super().close()  # type: ignore[misc]
        finally:
            self._instrument_call.raised(GeneratorExit())


class AsyncStream:
    """
    Over the class of an async stream.
    """

    _instrument_call: "Call"

    def __aiter__(self) -> "Any":
        return self

    async def __anext__(self) -> "Any":
        call = self._instrument_call
        try:
            item = await super().__anext__()  # type: ignore[misc]
        except StopAsyncIteration:
            await call.areturned(None)
            raise
        except BaseException as exc:
            await call.araised(exc)
            raise
        await call.aitem(item)
        return item

    async def close(self) -> None:
        """
        The same.
        """
        try:
            closing = super().close()  # type: ignore[misc]
            if inspect.isawaitable(closing):
                await closing
        finally:
            await self._instrument_call.araised(GeneratorExit())
