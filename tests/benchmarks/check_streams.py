"""
What a decorator does to generators and async generators, where tracers fail most.
"""

import asyncio
import gc
import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from contextvars import ContextVar

import pytest

from tests.benchmarks.checking import Adapter, Table

STREAMS = Table()

VARIABLE = ContextVar("variable", default=0)


def count() -> Iterator[int]:
    yield 1
    yield 2


async def acount() -> AsyncIterator[int]:
    yield 1
    yield 2


@STREAMS.row("generator: is one still", right=(True, True, "generator"))
def generator(a: Adapter) -> object:
    decorated = a.decorate(count)
    it = decorated()
    assert list(it) == [1, 2]
    return inspect.isgeneratorfunction(decorated), inspect.isgenerator(it), _type(it)


@STREAMS.row("async generator: is one still", right=(True, True, "async_generator"))
async def async_generator(a: Adapter) -> object:
    decorated = a.decorate(acount)
    it = decorated()
    assert [item async for item in it] == [1, 2]
    return inspect.isasyncgenfunction(decorated), inspect.isasyncgen(it), _type(it)


@STREAMS.row("generator: the run is current at each step", [True] * 3, sees_runs=True)
def current_in_body(a: Adapter) -> object:
    @a.decorate
    def look() -> Iterator[object]:
        for _ in range(3):
            yield a.current()

    outer = a.current()
    return [seen not in (None, outer) for seen in look()]


@STREAMS.row("generator: the run leaks: between steps, after", right=(False, False))
def leaks(a: Adapter) -> object:
    outer = a.current()
    it = a.decorate(count)()
    next(it)
    between = a.current() != outer
    assert list(it) == [2]
    return between, a.current() != outer


@STREAMS.row("async generator: the run is current", [True] * 3, sees_runs=True)
async def current_in_async_body(a: Adapter) -> object:
    @a.decorate
    async def look() -> AsyncIterator[object]:
        for _ in range(3):
            await asyncio.sleep(0)
            yield a.current()

    outer = a.current()
    return [seen not in (None, outer) async for seen in look()]


@STREAMS.row("async generator: the run leaks: between, after", right=(False, False))
async def async_leaks(a: Adapter) -> object:
    outer = a.current()
    it = a.decorate(acount)()
    await anext(it)
    between = a.current() != outer
    assert [item async for item in it] == [2]
    return between, a.current() != outer


@STREAMS.row("async generator: the consumer sees a ContextVar set in it", right=1)
async def variable(a: Adapter) -> object:
    @a.decorate
    async def change() -> AsyncIterator[None]:
        VARIABLE.set(1)
        yield

    async for _ in change():
        pass
    return VARIABLE.get()


@STREAMS.row("async generator: its body is in the consumer's task", right=True)
async def task(a: Adapter) -> object:
    @a.decorate
    async def look() -> AsyncIterator[object]:
        yield asyncio.current_task()

    return [seen async for seen in look()] == [asyncio.current_task()]


@STREAMS.row("send(); throw(); return value", right=("sent", "caught", "returned"))
def protocol(a: Adapter) -> object:
    @a.decorate
    def converse() -> Generator[object, str, str]:
        got = yield None
        try:
            yield got
        except KeyError:
            yield "caught"
        return "returned"

    it = converse()
    next(it)
    sent, caught = it.send("sent"), it.throw(KeyError())
    with pytest.raises(StopIteration) as stop:
        next(it)
    return sent, caught, stop.value.value


@STREAMS.row("asend(); athrow()", right=("sent", "caught"))
async def async_protocol(a: Adapter) -> object:
    @a.decorate
    async def converse() -> AsyncGenerator[object, str]:
        got = yield None
        try:
            yield got
        except KeyError:
            yield "caught"

    it = converse()
    await anext(it)
    sent, caught = await it.asend("sent"), await it.athrow(KeyError())
    await it.aclose()
    return sent, caught


@STREAMS.row(
    "generator left early: runs ended; its finally ran", (1, 1), sees_runs=True
)
def left_early(a: Adapter) -> object:
    closed = []

    @a.decorate
    def numbers() -> Iterator[int]:
        try:
            yield 1
            yield 2
        finally:
            closed.append(1)

    def use() -> None:
        for _ in numbers():
            break
        gc.collect()

    outer = a.current()
    ended = a.runs_of(use)
    assert a.current() == outer
    return ended, len(closed)


@STREAMS.row(
    "async generator closed by another task: runs ended; its finally ran",
    right=(1, 1),
    sees_runs=True,
)
async def closed_elsewhere(a: Adapter) -> object:
    closed = []

    @a.decorate
    async def numbers() -> AsyncGenerator[int, None]:
        try:
            yield 1
            yield 2
        finally:
            closed.append(1)

    before = a.ended()
    it = numbers()
    await anext(it)
    await asyncio.create_task(_closed(it))
    return a.ended() - before, len(closed)


@STREAMS.row("async generator: a TypeError of its body surfaces", right="mine")
async def type_error(a: Adapter) -> object:
    @a.decorate
    async def fail() -> AsyncIterator[None]:
        raise TypeError("mine")
        yield

    with pytest.raises(TypeError) as raised:
        await anext(fail())
    return str(raised.value)


@STREAMS.row("a plain function's generator sees the run", True, sees_runs=True)
def returned_generator(a: Adapter) -> object:
    def look() -> Iterator[object]:
        yield a.current()

    @a.decorate
    def plain() -> Iterator[object]:
        return look()

    outer = a.current()
    (seen,) = plain()
    return seen not in (None, outer)


def _type(it: object) -> str:
    return type(it).__name__


async def _closed(it: AsyncGenerator[int, None]) -> None:
    await it.aclose()
