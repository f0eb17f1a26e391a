"""
`TokenStream`: what one task or thread produces, for another one to consume.
"""

import asyncio
import contextlib
import gc
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, aclosing, closing
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from instrument import Event, bind, callbacks, traced
from instrument.handlers import TokenStream, _token_stream

both = pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])

HOSTILE = ["\x1b[2J", "{}", "<red>", "\r\n", "\ud800", "x" * 10_000_000]


@traced.llm("model")
async def model(*tokens: str) -> AsyncIterator[str]:
    """
    Stream what is given, letting others run between.
    """
    for token in tokens:
        await anyio.lowlevel.checkpoint()
        yield token


@traced.llm("writer")
def writer(*tokens: str) -> Iterator[str]:
    """
    Stream what is given, in sync code.
    """
    yield from tokens


@traced
async def answer(*tokens: str) -> str:
    """
    Have two models speak.
    """
    first = [token async for token in model(*tokens)]
    return "".join(first + [token async for token in model("!")])


@pytest.mark.anyio
async def test_task() -> None:
    """
    A task consumes what another produces, until the block ends, of all models.
    """
    stream = TokenStream()

    task = asyncio.create_task(callbacks(stream)(answer)("a", "b"))
    tokens = [token async for token in stream]

    assert tokens == ["a", "b", "!"]
    assert await task == "ab!"
    assert [token async for token in stream] == []
    assert list(stream) == []


@both
@pytest.mark.anyio
async def test_task_group() -> None:
    """
    It works the same on asyncio and on trio.
    """
    stream = TokenStream()

    async with anyio.create_task_group() as group:
        group.start_soon(callbacks(stream)(answer), "a", "b")
        tokens = [token async for token in stream]

    assert tokens == ["a", "b", "!"]


@both
@pytest.mark.anyio
async def test_producer_in_a_thread() -> None:
    """
    A thread produces, and a task consumes on its own loop.
    """
    stream = TokenStream()

    def produce() -> None:
        with callbacks(stream):
            list(writer(*"abc"))

    async with anyio.create_task_group() as group:
        group.start_soon(anyio.to_thread.run_sync, produce)
        tokens = [token async for token in stream]

    assert tokens == ["a", "b", "c"]


def test_consumer_on_another_loop() -> None:
    """
    Producer and consumer may have a loop each.
    """
    stream = TokenStream()

    async def consume() -> list[str]:
        return [token async for token in stream]

    def produce() -> None:
        asyncio.run(callbacks(stream)(answer)("a", "b"))

    thread = threading.Thread(target=produce)
    thread.start()
    assert asyncio.run(consume()) == ["a", "b", "!"]
    thread.join()


def test_plain_threads() -> None:
    """
    It is a plain iterator, too, which waits in its thread.
    """
    stream = TokenStream()

    def produce() -> None:
        with callbacks(stream):
            list(writer(*"abc"))

    thread = threading.Thread(target=produce)
    thread.start()

    assert list(stream) == ["a", "b", "c"]
    thread.join()


def test_afterwards() -> None:
    """
    What was produced can be fetched when the block has been left.
    """
    stream = TokenStream()

    with callbacks(stream):
        list(writer("a", "b"))

    assert list(stream) == ["a", "b"]


def test_events() -> None:
    """
    With events=True it gives every event, tokens among them.
    """
    stream = TokenStream(events=True)

    with callbacks(stream):
        list(writer("a"))

    heard = list(stream)
    assert all(isinstance(event, Event) for event in heard)
    assert [event.event for event in heard] == [
        "on_llm_start",
        "on_llm_new_token",
        "on_llm_end",
    ]


@pytest.mark.parametrize(
    "only, tokens",
    [
        ("writer", ["a"]),
        ("fast", ["b"]),
        (["writer", "fast"], ["a", "b"]),
        ({"nobody"}, []),
    ],
)
def test_only(only: Any, tokens: list[str]) -> None:
    """
    `only` names runs or tags; what other runs say is left out.
    """
    stream = TokenStream(only)

    with callbacks(stream):
        list(writer("a"))
        with traced("other", kind="llm", tags=["fast"]) as run:
            run.token("b")

    assert list(stream) == tokens


@pytest.mark.anyio
async def test_failure() -> None:
    """
    A request that fails ends the stream; the exception is the caller's.
    """
    stream = TokenStream()

    @callbacks(stream)
    async def fail() -> None:
        await answer("a")
        raise ValueError("boom")

    task = asyncio.create_task(fail())
    assert [token async for token in stream] == ["a", "!"]
    with pytest.raises(ValueError, match="boom"):
        await task


@both
@pytest.mark.anyio
async def test_cancelled_producer() -> None:
    """
    A producer that is cancelled ends the stream.
    """
    stream = TokenStream()

    @callbacks(stream)
    async def produce() -> None:
        await answer("a")
        await anyio.sleep_forever()

    async def consume() -> None:
        async for token in stream:
            tokens.append(token)
            if token == "!":
                producing.cancel()

    tokens: list[str] = []
    async with anyio.create_task_group() as group:
        group.start_soon(consume)
        with anyio.CancelScope() as producing:
            await produce()

    assert tokens == ["a", "!"]


@both
@pytest.mark.anyio
async def test_cancelled_consumer() -> None:
    """
    A consumer that is cancelled leaves nothing behind; another goes on.
    """
    stream = TokenStream()
    with anyio.move_on_after(0.01):
        await anext(stream)
    assert stream._waiters == set()

    async with callbacks(stream):
        await answer("a")

    assert [token async for token in stream] == ["a", "!"]


def test_dropped_coroutine() -> None:
    """
    A producer that is collected in mid-request ends the stream.
    """
    stream = TokenStream()

    @callbacks(stream)
    def produce() -> Iterator[str]:
        yield from writer("a", "b")

    producer = produce()
    next(producer)
    del producer
    gc.collect()

    assert list(stream) == ["a"]


@pytest.mark.anyio
async def test_early_break() -> None:
    """
    A consumer that stops early holds nobody up: maxsize tokens wait, others drop.
    """
    stream = TokenStream(maxsize=2)

    task = asyncio.create_task(callbacks(stream)(answer)(*"abcdef"))
    async for token in stream:
        assert token == "a"
        break

    assert await task == "abcdef!"
    assert [token async for token in stream] == ["b", "c"]
    assert stream.dropped == 4


@pytest.mark.anyio
async def test_close(reports: list[str]) -> None:
    """
    `aclose` and `close` end it for both sides, without a report.
    """
    stream = TokenStream()

    async with callbacks(stream):
        async with aclosing(stream):
            await answer("a")
            assert await anext(stream) == "a"
        await answer("b")

    with closing(stream):
        assert [token async for token in stream] == []
    assert not stream._items
    assert reports == []


def test_close_wakes() -> None:
    """
    A consumer that waits in another thread is let go.
    """
    stream = TokenStream()
    fetched: list[str] = []
    thread = threading.Thread(target=lambda: fetched.extend(stream))
    thread.start()

    while not stream._waiters:
        pass
    stream.close()

    thread.join()
    assert fetched == []


@pytest.mark.anyio
@pytest.mark.parametrize("waiter", ["ThreadWaiter", "task_waiter"])
async def test_token_just_before_sleep(
    waiter: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A token that comes while a consumer is about to sleep is given at once.
    """
    stream = TokenStream()
    make = getattr(_token_stream, waiter)

    def late() -> Any:
        with callbacks(stream):
            list(writer("a"))
        return make()

    monkeypatch.setattr(_token_stream, waiter, late)

    if waiter == "ThreadWaiter":
        assert await asyncio.to_thread(list, stream) == ["a"]
    else:
        assert [token async for token in stream] == ["a"]


def test_token_just_before_close() -> None:
    """
    A token that comes while the stream is closed is not kept.
    """

    class Closing(deque[str]):
        def append(self, item: str) -> None:
            super().append(item)
            stream._is_closed = True

    stream = TokenStream()
    stream._items = Closing()
    with callbacks(stream):
        list(writer("a"))

    assert list(stream) == []


def test_second_block(reports: list[str]) -> None:
    """
    A stream serves one block: a token after its end is reported, once.
    """
    stream = TokenStream()

    for _ in range(2):
        with callbacks(stream):
            list(writer("a", "b"))

    assert list(stream) == ["a", "b"]
    assert len(reports) == 1
    assert "make one for each request" in reports[0]


@both
@pytest.mark.anyio
async def test_plain_for_on_a_loop() -> None:
    """
    A plain `for` that would block a loop is refused; what is there is given.
    """
    stream = TokenStream()

    async with callbacks(stream):
        await answer("a")
        assert [next(stream), next(stream)] == ["a", "!"]
        with pytest.raises(RuntimeError, match="Use `async for`"):
            next(stream)


def test_closed_loop() -> None:
    """
    A loop or trio run that ended while somebody waited harms no producer.
    """
    import trio

    stream = TokenStream()
    waits: list[Any] = []

    async def leave_waiting() -> None:
        from instrument.handlers._shared.waiters import task_waiter

        waits.append(task_waiter())

    asyncio.run(leave_waiting())
    trio.run(leave_waiting)
    stream._waiters.update(waits)
    with callbacks(stream):
        list(writer("a"))

    assert list(stream) == ["a"]


def test_process_wide() -> None:
    """
    Installed, it hears everything until it is uninstalled.
    """
    stream = TokenStream()

    with callbacks(stream).install():
        list(writer("a"))
        list(writer("b"))

    assert list(stream) == ["a", "b"]


def test_hostile_text() -> None:
    """
    Tokens arrive as they are: who shows them makes them safe.
    """
    stream = TokenStream()

    with callbacks(stream):
        list(writer(*HOSTILE))

    assert list(stream) == HOSTILE


def test_hostile_payload(reports: list[str]) -> None:
    """
    Events of payloads that cannot be shown arrive all the same.
    """

    class Bad:
        def __repr__(self) -> str:
            raise ValueError("no")

    cyclic: list[Any] = [Bad()]
    cyclic.append(cyclic)
    stream = TokenStream(events=True)

    with callbacks(stream):
        traced(lambda value: value)(cyclic)

    assert [Event.from_json(e.to_json()).event for e in stream] == [
        "on_chain_start",
        "on_chain_end",
    ]
    assert reports == []


def test_many_at_once() -> None:
    """
    10,000 runs in 50 threads and 500 tasks lose no token, to several consumers.
    """
    stream = TokenStream()
    fetched: list[list[str]] = [[], []]

    async def tasks() -> None:
        await asyncio.gather(*(ten() for _ in range(500)))

    async def ten() -> None:
        for _ in range(10):
            [_ async for _ in model("t")]

    def hundred() -> None:
        for _ in range(100):
            list(writer("t"))

    consumers = [threading.Thread(target=it.extend, args=(stream,)) for it in fetched]
    with callbacks(stream):
        threads = [threading.Thread(target=bind(hundred)) for _ in range(50)]
        for thread in [*consumers, *threads]:
            thread.start()
        asyncio.run(tasks())
        for thread in threads:
            thread.join()
    for thread in consumers:
        thread.join()

    assert len(fetched[0]) + len(fetched[1]) == 10_000
    assert stream.dropped == 0


@pytest.mark.parametrize(
    "only, error",
    [(3, TypeError), ([3], TypeError), ([], ValueError), ([None], TypeError)],
)
def test_bad_only(only: Any, error: type[Exception]) -> None:
    """
    What names no run is refused.
    """
    with pytest.raises(error, match=r"TokenStream\(only="):
        TokenStream(only)


@pytest.mark.parametrize("maxsize, error", [(0, ValueError), ("9", TypeError)])
def test_bad_maxsize(maxsize: Any, error: type[Exception]) -> None:
    """
    A size that holds nothing is refused.
    """
    with pytest.raises(error, match="maxsize"):
        TokenStream(maxsize=maxsize)


@pytest.mark.anyio
async def test_streaming_response(
    serve_asgi: Callable[[Any], AbstractAsyncContextManager[int]],
) -> None:
    """
    A FastAPI endpoint streams to an HTTP client what a task produces.
    """
    fastapi = pytest.importorskip("fastapi")
    httpx = pytest.importorskip("httpx")
    app = fastapi.FastAPI()

    async def endpoint(question: str) -> Any:
        stream = TokenStream()
        task = asyncio.create_task(callbacks(stream)(answer)(*question))

        async def body() -> AsyncIterator[str]:
            with contextlib.closing(stream):
                async for token in stream:
                    yield token
            await task

        return fastapi.responses.StreamingResponse(body())

    app.get("/{question}")(endpoint)
    async with serve_asgi(app) as port, httpx.AsyncClient(trust_env=False) as client:
        response = await client.get(f"http://127.0.0.1:{port}/why")

    assert response.text == "why!"
