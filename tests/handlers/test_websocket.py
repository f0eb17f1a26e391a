"""
`WebSocketHandler`: what happens as JSON text frames, over real sockets.
"""

import asyncio
import contextlib
import functools
import gc
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import SimpleNamespace
from typing import Annotated, Any

import pytest

from instrument import Event, Secret, bind, callbacks, traced
from instrument._delivery import loops as _loops
from instrument.handlers import WebSocketHandler
from instrument.testing import Recorder

websockets = pytest.importorskip("websockets", minversion="15")

from websockets.asyncio.client import connect  # noqa: E402 - after its skip
from websockets.asyncio.server import serve  # noqa: E402
from websockets.exceptions import ConnectionClosed  # noqa: E402

Endpoint = Callable[[Any], Any]
all_events = functools.partial(WebSocketHandler, payload="all")
Serving = Callable[[Endpoint], AbstractAsyncContextManager[int]]


@traced.chat_model("model")
async def model(*tokens: str) -> AsyncIterator[str]:
    """
    Stream what is given.
    """
    for token in tokens:
        yield token


@traced
async def answer(*tokens: str) -> str:
    """
    Ask the model.
    """
    return "".join([token async for token in model(*tokens)])


@traced
def work(value: object = None) -> str:
    """
    Be a run.
    """
    return ""


@asynccontextmanager
async def serve_websockets(endpoint: Endpoint) -> AsyncIterator[int]:
    """
    Serve by ``websockets``.
    """
    async with serve(endpoint, "127.0.0.1", 0) as server:
        yield next(iter(server.sockets)).getsockname()[1]


@asynccontextmanager
async def serve_aiohttp(endpoint: Endpoint) -> AsyncIterator[int]:
    """
    Serve by aiohttp.
    """
    web = pytest.importorskip("aiohttp.web")

    async def handle(request: Any) -> Any:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await endpoint(socket)
        return socket

    app = web.Application()
    app.router.add_get("/", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


@pytest.fixture(params=["websockets", "aiohttp", "starlette", "fastapi"])
def serving(request: pytest.FixtureRequest, serve_asgi: Any) -> Serving:
    """
    Serve an endpoint, which gets the accepted socket, on a port of loopback.
    """
    if request.param == "websockets":
        return serve_websockets
    if request.param == "aiohttp":
        return serve_aiohttp
    package = pytest.importorskip(request.param)

    def serve_app(endpoint: Endpoint) -> AbstractAsyncContextManager[int]:
        async def accepted(socket: Any) -> None:
            await socket.accept()
            await endpoint(socket)

        if package.__name__ == "fastapi":
            app = package.FastAPI()
            accepted.__annotations__["socket"] = package.WebSocket
            app.websocket("/")(accepted)
        else:
            from starlette.applications import Starlette
            from starlette.routing import WebSocketRoute

            app = Starlette(routes=[WebSocketRoute("/", accepted)])
        return serve_asgi(app)  # type: ignore[no-any-return]

    return serve_app


def client_of(port: int, **options: Any) -> Any:
    """
    Connect to *port*, so that what is sent fills the network as it is.
    """
    url = f"ws://127.0.0.1:{port}"
    return connect(url, proxy=None, compression=None, **options)


async def frames_of(port: int, **options: Any) -> list[str]:
    """
    Give the frames that a client gets until the socket is closed.
    """
    frames = []
    with contextlib.suppress(ConnectionClosed):
        async with client_of(port, **options) as client:
            frames += [frame async for frame in client]
    return frames


async def until(condition: Callable[[], bool]) -> None:
    """
    Let others run until *condition* holds.
    """
    while not condition():  # noqa: ASYNC110 - nothing tells of it
        await asyncio.sleep(0)


class Socket:
    """
    A socket without a network, whose client may stop to read.

    Attributes:
        reads: Cleared, `send_text` waits.
        fails: Set, it raises.
    """

    def __init__(self) -> None:
        self.frames: list[str] = []
        self.reads = asyncio.Event()
        self.reads.set()
        self.sends = asyncio.Event()
        self.fails = False

    async def send_text(self, frame: str) -> None:
        self.sends.set()
        await self.reads.wait()
        if self.fails:
            raise ConnectionResetError("gone")
        self.frames.append(frame)

    @property
    def events(self) -> list[Event]:
        """
        What was sent, read back.
        """
        return [Event.from_json(frame) for frame in self.frames]

    @property
    def tokens(self) -> list[str]:
        """
        The tokens among it.
        """
        told = (event.data.get("token") for event in self.events)
        return [token for token in told if token is not None]


class SyncSocket:
    """
    A socket that needs no loop.
    """

    def send(self, frame: str) -> None: ...


class SlowSocket(Socket):
    """
    One whose client does not read yet.
    """

    def __init__(self) -> None:
        super().__init__()
        self.reads.clear()


@pytest.mark.anyio
async def test_frames(serving: Serving) -> None:
    """
    A client gets each event as one text frame, in order; the socket stays open.
    """
    recorder = Recorder()

    async def endpoint(socket: Any) -> None:
        async with callbacks(all_events(socket), recorder):
            await answer("a", "ü\ud800\x1b[2J\r\n")
        names = ("send_text", "send_str", "send")
        send = next(getattr(socket, name) for name in names if hasattr(socket, name))
        await send("that is all")
        await socket.close()

    async with serving(endpoint) as port:
        *frames, last = await frames_of(port)

    assert last == "that is all"
    assert [Event.from_json(frame) for frame in frames] == recorder.events
    assert "".join(frames).isascii()
    assert "".join(frames).isprintable()


@pytest.mark.anyio
async def test_client_that_leaves(serving: Serving, reports: list[str]) -> None:
    """
    A client that goes away in mid-request is reported once; the request goes on.
    """
    left, done = asyncio.Event(), asyncio.Event()
    handlers: list[WebSocketHandler] = []
    results: list[str] = []

    async def endpoint(socket: Any) -> None:
        handler = all_events(socket)
        handlers.append(handler)
        async with callbacks(handler):
            await answer("a")
            await left.wait()
            while not handler.closed:
                await answer("b" * 100_000)
            results.append(await answer("c"))
        done.set()

    async with serving(endpoint) as port:
        client = await client_of(port, max_size=None)
        await client.recv()
        client.transport.abort()
        left.set()
        await done.wait()

    assert results == ["c"]
    assert handlers[0].closed
    assert not handlers[0]._outbox._queue
    assert len([it for it in reports if "WebSocketHandler failed at send" in it]) == 1


@pytest.mark.anyio
async def test_client_that_stalls(serving: Serving, reports: list[str]) -> None:
    """
    A client that takes nothing counts as gone after timeout_s.
    """
    done = asyncio.Event()
    results: list[str] = []

    async def endpoint(socket: Any) -> None:
        handler = all_events(socket, maxsize=1, timeout_s=0.2)
        async with callbacks(handler):
            while not handler.closed:
                await answer("b" * 900_000)
            results.append(await answer("c"))
        done.set()

    async with serving(endpoint) as port:
        client = await client_of(port, max_queue=1)
        client.transport.pause_reading()
        await done.wait()
        client.transport.abort()

    assert results == ["c"]
    assert len([it for it in reports if "TimeoutError" in it]) == 1


@pytest.mark.anyio
async def test_slow_client_holds_up() -> None:
    """
    Under policy ``block`` the run goes on when there is place, and no frame is lost.
    """
    socket = SlowSocket()
    handler = all_events(socket, maxsize=2)

    async with callbacks(handler):
        task = asyncio.create_task(answer(*"abcdef"))
        await socket.sends.wait()
        await until(lambda: bool(handler._outbox._held))
        waiting = len(handler._outbox._queue)
        socket.reads.set()
        assert await task == "abcdef"

    assert waiting == 3
    assert socket.tokens == list("abcdef")
    assert [event.seq for event in socket.events] == list(range(1, 11))
    assert handler.dropped == 0


@pytest.mark.anyio
async def test_cancelled_while_held_up() -> None:
    """
    A request that is cancelled while it waits is told of as cancelled.
    """
    tasks = asyncio.all_tasks()
    socket = SlowSocket()
    handler = all_events(socket, maxsize=1)

    async with callbacks(handler):
        task = asyncio.create_task(answer(*"abc"))
        await until(lambda: bool(handler._outbox._held))
        task.cancel()
        socket.reads.set()
        with pytest.raises(asyncio.CancelledError):
            await task

    assert not handler._outbox._held
    assert socket.events[-1].data["status"] == "cancelled"
    assert asyncio.all_tasks() == tasks


@pytest.mark.anyio
async def test_cancelled_request() -> None:
    """
    A block left by cancellation sends what there is, and leaves no task.
    """
    tasks = asyncio.all_tasks()
    socket = Socket()
    ready = asyncio.Event()

    async def endpoint() -> None:
        async with callbacks(all_events(socket)):
            with traced("request"):
                ready.set()
                await asyncio.Event().wait()

    task = asyncio.create_task(endpoint())
    await ready.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert [event.event for event in socket.events] == [
        "on_chain_start",
        "on_chain_error",
    ]
    assert asyncio.all_tasks() == tasks


@pytest.mark.anyio
async def test_drop() -> None:
    """
    Under policy ``drop`` tokens that find no place are dropped; ends are not.
    """
    socket = SlowSocket()
    handler = all_events(socket, maxsize=4, policy="drop")

    async with callbacks(handler):
        await answer(*"abcdefgh")
        socket.reads.set()

    assert [event.event for event in socket.events][-2:] == [
        "on_llm_end",
        "on_chain_end",
    ]
    assert socket.tokens == ["a", "b"]
    assert handler.dropped == 6


@pytest.mark.anyio
async def test_drop_is_bounded() -> None:
    """
    Other events find no place either when twice maxsize wait.
    """
    socket = SlowSocket()
    handler = all_events(socket, maxsize=1, policy="drop")

    async with callbacks(handler):
        for _ in range(10):
            work()
        assert len(handler._outbox._queue) == 2
        socket.reads.set()

    assert handler.dropped == 18


@pytest.mark.anyio
async def test_sync_code_on_the_loop() -> None:
    """
    Sync code on the socket's loop cannot wait: what is beyond the bounds is dropped.
    """
    socket = Socket()
    handler = all_events(socket, maxsize=10)

    async with callbacks(handler):
        with traced("model", kind="llm") as run:
            for number in range(1_000):
                run.token(str(number))
            assert len(handler._outbox._queue) == 20

    assert [event.event for event in socket.events][-1] == "on_llm_end"
    assert handler.dropped == 1_000 - len(socket.tokens)


@pytest.mark.anyio
async def test_thread_waits() -> None:
    """
    Sync code in another thread waits for place, and its block until all is sent.
    """
    socket = SlowSocket()
    handler = all_events(socket, maxsize=2)
    sent: list[int] = []

    def elsewhere() -> None:
        with callbacks(handler), traced("model", kind="llm") as run:
            for token in "abcdef":
                run.token(token)
        sent.append(len(socket.frames))

    task = asyncio.create_task(asyncio.to_thread(elsewhere))
    await until(lambda: bool(handler._outbox._held))
    assert len(handler._outbox._queue) == 3
    socket.reads.set()
    await task

    assert sent == [8]
    assert socket.tokens == list("abcdef")


@pytest.mark.anyio
@pytest.mark.parametrize("blocked", ["put", "flush"])
async def test_thread_gives_up(blocked: str, reports: list[str]) -> None:
    """
    A thread waits for a stalled client no longer than timeout_s.
    """
    tasks = asyncio.all_tasks()
    socket = SlowSocket()
    maxsize = 1 if blocked == "put" else 100
    handler = all_events(socket, maxsize=maxsize, timeout_s=0.05)

    def elsewhere() -> str:
        with callbacks(handler):
            for _ in range(5):
                work()
        return "done"

    assert await asyncio.to_thread(elsewhere) == "done"
    assert handler.closed
    await until(lambda: asyncio.all_tasks() == tasks)
    assert len(reports) == 1


@pytest.mark.anyio
async def test_leaving_gives_up(reports: list[str]) -> None:
    """
    Leaving the block waits no longer than timeout_s, and leaves no task.
    """
    tasks = asyncio.all_tasks()
    socket = Socket()

    async def send_slowly(frame: str) -> None:
        await asyncio.sleep(0.15)

    socket.send_text = send_slowly  # type: ignore[method-assign]
    handler = all_events(socket, timeout_s=0.2)
    async with callbacks(handler):
        await answer(*"abcdef")
    await asyncio.sleep(0)
    await asyncio.sleep(0)

    assert handler.closed
    assert asyncio.all_tasks() == tasks
    assert len(reports) == 1


def test_sync_block_at_the_end_of_a_loop() -> None:
    """
    A plain block on the loop's thread does not wait: the loop's end does.
    """
    sockets: list[Socket] = []

    async def main() -> None:
        sockets.append(Socket())
        with callbacks(all_events(sockets[0])):
            await answer("a")
            work()

    asyncio.run(main())

    assert len(sockets[0].frames) == 7


def test_stalled_at_the_end_of_a_loop(reports: list[str]) -> None:
    """
    The loop's end waits timeout_s for a stalled client, all frames together.
    """

    async def main() -> None:
        with callbacks(all_events(SlowSocket(), timeout_s=0.05)):
            await answer(*"abc")
            await asyncio.sleep(0)

    asyncio.run(main())

    assert len(reports) == 1


@pytest.mark.parametrize("how", ["async", "sync", "no loop"])
@pytest.mark.parametrize("error", [SystemExit, asyncio.CancelledError])
def test_socket_that_exits(
    how: str, error: type[BaseException], reports: list[str]
) -> None:
    """
    A `SystemExit` of a socket, or a cancellation that is its own, is reported as any
    other failure, and ends no loop.
    """

    class Leaving(Socket):
        async def send_text(self, frame: str) -> None:
            raise error(3)

    class LeavingSync(SyncSocket):
        def send(self, frame: str) -> None:
            raise error(3)

    async def main() -> WebSocketHandler:
        handler = all_events(Leaving() if how == "async" else LeavingSync())
        async with callbacks(handler):
            assert await answer("a") == "a"
        return handler

    if how == "no loop":
        handler = all_events(LeavingSync())
        with callbacks(handler):
            assert work() == ""
    else:
        handler = asyncio.run(main())

    assert handler.closed
    assert len(reports) == 1
    assert f"WebSocketHandler failed at send: {error.__name__}" in reports[0]


def test_failures_at_once(reports: list[str]) -> None:
    """
    Of two who find at once that the client has gone, one reports it.
    """
    handler = all_events(SyncSocket())

    for _ in range(2):
        handler._outbox._fail(ConnectionResetError())

    assert len(reports) == 1


def test_closed_loop() -> None:
    """
    When its loop is closed the handler is, too; nothing waits and nothing is kept.
    """

    async def make() -> WebSocketHandler:
        return all_events(Socket(), maxsize=1)

    handler = asyncio.run(make())
    with callbacks(handler):
        for _ in range(5):
            work()

    assert handler.closed
    assert not handler._outbox._queue


def test_loop_closed_in_mid_request(recwarn: pytest.WarningsRecorder) -> None:
    """
    A loop that stands still holds nobody up; closed while frames wait, it warns not.
    """
    loop = asyncio.new_event_loop()

    async def main() -> WebSocketHandler:
        handler = all_events(Socket(), maxsize=1)
        with callbacks(handler):
            work()
        return handler

    handler = loop.run_until_complete(main())
    with callbacks(handler):
        for _ in range(5):
            work()
    assert handler.dropped > 0
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    with callbacks(handler):
        work()
    del handler
    gc.collect()

    assert list(recwarn) == []


@pytest.mark.anyio
async def test_other_loop() -> None:
    """
    Async code on another loop sends to the socket's.
    """
    socket = SlowSocket()
    handler = all_events(socket, maxsize=1)

    async def elsewhere() -> str:
        async with callbacks(handler):
            return await answer(*"abc")

    task = asyncio.create_task(asyncio.to_thread(asyncio.run, elsewhere()))
    await until(lambda: bool(handler._outbox._held))
    socket.reads.set()

    assert await task == "abc"
    assert socket.tokens == ["a", "b", "c"]


@pytest.mark.anyio
async def test_block_of_another_loop(reports: list[str]) -> None:
    """
    Async code on another loop is held up on the block's own.
    """
    socket = SlowSocket()
    handler = all_events(socket, maxsize=1)

    async with callbacks(handler):
        elsewhere = bind(lambda: asyncio.run(answer(*"abc")))
        task = asyncio.create_task(asyncio.to_thread(elsewhere))
        await until(lambda: bool(handler._outbox._held))
        socket.reads.set()
        await task

    assert socket.tokens == ["a", "b", "c"]
    assert reports == []


def test_loop_met_at_the_end() -> None:
    """
    Frames of a thread wait for the loop on which the block is left.
    """
    frames: list[str] = []

    class Async:
        async def send(self, frame: str) -> None:
            frames.append(frame)

    handler = all_events(Async())

    async def main() -> None:
        async with callbacks(handler):
            await asyncio.to_thread(work)

    asyncio.run(main())

    assert len(frames) == 2


def test_made_before_the_loop() -> None:
    """
    Made where no loop runs, it takes the loop of the first event in async code.
    """
    sockets: list[Socket] = []

    class Late:
        async def send(self, frame: str) -> None:
            if not sockets:
                sockets.append(Socket())
            await sockets[0].send_text(frame)

    handler = all_events(Late())
    asyncio.run(callbacks(handler)(answer)("a"))

    assert sockets[0].tokens == ["a"]


def test_flushed_on_trio_behind_a_loop() -> None:
    """
    What a loop of asyncio sends is not waited for where trio runs.
    """
    import trio

    socket = Socket()
    handler = all_events(socket)
    asyncio.run(callbacks(handler)(answer)("a"))

    trio.run(handler.aflush)

    assert socket.tokens == ["a"]


def test_no_loop(reports: list[str]) -> None:
    """
    Where no loop is ever met nothing can be sent; leaving the block says so.
    """

    class Async:
        async def send(self, frame: str) -> None: ...

    with callbacks(all_events(Async(), maxsize=1)):
        for _ in range(5):
            work()

    assert len(reports) == 1
    assert "no event loop is known" in reports[0]


class Awaitable:
    """
    What can be awaited, and not closed.
    """

    def __await__(self) -> Iterator[None]:
        yield


@pytest.mark.parametrize("answer", [Awaitable, functools.partial(asyncio.sleep, 0)])
def test_plain_function_with_an_awaitable(answer: Any, reports: list[str]) -> None:
    """
    A plain function that gives something to await needs a loop as well.
    """

    class Odd:
        def send(self, frame: str) -> Any:
            return answer()

    with callbacks(all_events(Odd())):
        work()

    assert len(reports) == 1
    assert "no event loop is known" in reports[0]


@pytest.mark.anyio
async def test_plain_function_on_a_loop() -> None:
    """
    On a loop it does not matter whether the method says that it is async.
    """
    frames: list[str] = []

    class Plain:
        def send_str(self, frame: str) -> Any:
            frames.append(frame)
            return asyncio.sleep(0) if len(frames) % 2 else None

    async with callbacks(all_events(Plain())):
        await answer("a")

    assert len(frames) == 5


@pytest.mark.parametrize("fails", [False, True])
def test_sync_socket(fails: bool, reports: list[str]) -> None:
    """
    A socket of ``websockets.sync`` is sent each frame in the thread of its event.
    """
    from websockets.sync.client import connect as connect_sync
    from websockets.sync.server import serve as serve_sync

    handlers: list[WebSocketHandler] = []

    def endpoint(socket: Any) -> None:
        handlers.append(all_events(socket))
        if fails:
            socket.close()
        with callbacks(handlers[0]):
            work("\x1b{}<red>")
            work()

    with serve_sync(endpoint, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        port = server.socket.getsockname()[1]
        with connect_sync(f"ws://127.0.0.1:{port}", proxy=None) as client:
            frames = list(client)
        server.shutdown()
        thread.join()

    assert len(frames) == (0 if fails else 4)
    assert handlers[0].closed is fails
    assert len(reports) == fails


def test_sync_socket_on_a_loop() -> None:
    """
    Made where no loop runs, it is sent at once in async code, too.
    """
    sent: list[str] = []

    class Plain:
        send = staticmethod(sent.append)

    asyncio.run(callbacks(all_events(Plain()))(answer)("a"))

    assert len(sent) == 5


@pytest.mark.parametrize(
    "protocol, last",
    [("ai-sdk", "finish"), ("ag-ui", "RUN_FINISHED"), ("openai", "usage")],
)
@pytest.mark.parametrize("is_async", [False, True])
def test_sync_socket_hears_the_end(
    protocol: Any, last: str, is_async: bool, reports: list[str]
) -> None:
    """
    What a stream ends with is sent to a socket without a loop as well.
    """
    sent: list[str] = []

    class Plain:
        send = staticmethod(sent.append)

    handler = WebSocketHandler(Plain(), protocol=protocol)
    if is_async:
        asyncio.run(callbacks(handler)(answer)("a"))
    else:
        with callbacks(handler):
            work()

    assert f'"{last}"' in sent[-1]
    assert reports == []


@pytest.mark.anyio
async def test_fork(monkeypatch: pytest.MonkeyPatch, reports: list[str]) -> None:
    """
    A forked child sends nothing: the socket is its parent's.
    """
    socket = Socket()
    handler = all_events(socket)

    with monkeypatch.context() as child:
        child.setattr(_loops.FORKS, "count", _loops.FORKS.count + 1)
        async with callbacks(handler):
            await answer("a")

    assert handler.closed
    assert socket.frames == reports == []


def test_fork_with_sync_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A forked child wrote frames of its own in between those of its parent, where the
    socket's ``send`` is a plain function.
    """
    frames: list[str] = []
    handler = all_events(SimpleNamespace(send=frames.append))

    with callbacks(handler):
        work()
        with monkeypatch.context() as child:
            child.setattr(_loops.FORKS, "count", _loops.FORKS.count + 1)
            work()

    assert len(frames) == 2


@pytest.mark.anyio
async def test_abandoned_stream() -> None:
    """
    A stream that is collected while its client is slow is told of as abandoned.
    """
    socket = SlowSocket()

    async with callbacks(all_events(socket, maxsize=2)):
        generator = given("a", "b")
        next(generator)
        del generator
        gc.collect()
        socket.reads.set()

    assert socket.events[-1].data["status"] == "abandoned"


@traced.llm
def given(*tokens: str) -> Iterator[str]:
    """
    Stream what is given, in sync code.
    """
    yield from tokens


def test_sync_socket_reentered() -> None:
    """
    An event that happens while a frame is sent has its frame sent after that.
    """
    sent: list[str] = []

    class Reentered:
        def send(self, frame: str) -> None:
            sent.append("begins")
            if len(sent) == 1:
                handler.on_event(event)
            sent.append("ends")

    recorder = Recorder()
    with callbacks(recorder):
        work()
    event = recorder.events[0]
    handler = all_events(Reentered())
    handler.on_event(event)

    assert sent == ["begins", "ends"] * 2


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["trio"])
@pytest.mark.parametrize("fails", [False, True])
async def test_trio(fails: bool, reports: list[str]) -> None:
    """
    On trio each frame is awaited where its event happens.
    """
    import trio
    from websockets.trio.client import connect as connect_trio
    from websockets.trio.server import serve as serve_trio

    handlers: list[WebSocketHandler] = []

    async def endpoint(socket: Any) -> None:
        handlers.append(all_events(socket))
        if fails:
            await socket.aclose()
        async with callbacks(handlers[0]):
            work()
            await answer("a")

    frames: list[object] = []
    async with trio.open_nursery() as nursery:
        server = await nursery.start(
            functools.partial(serve_trio, endpoint, 0, host="127.0.0.1")
        )
        port = server.listeners[0].socket.getsockname()[1]
        async with connect_trio(f"ws://127.0.0.1:{port}", proxy=None) as client:
            frames += [frame async for frame in client]
        nursery.cancel_scope.cancel()

    assert len(frames) == (0 if fails else 7)
    assert handlers[0].closed is fails
    assert len(reports) == fails


@pytest.mark.anyio
async def test_hostile_payload(reports: list[str]) -> None:
    """
    Whatever the payload, frames are valid, bounded, printable ASCII.
    """

    class Bad:
        def __repr__(self) -> str:
            raise ValueError("no")

    cyclic: list[Any] = [Bad()]
    cyclic.append(cyclic)
    texts = ["\x1b[2J", "{}", "<red>", "\r\n", "\ud800", "x" * 10_000_000]
    socket = Socket()

    async with callbacks(all_events(socket)):
        traced(lambda value: value)([*texts, cyclic])

    whole = "".join(socket.frames)
    assert len(socket.events) == 2
    assert whole.isascii()
    assert whole.isprintable()
    assert len(whole) < 3_000_000
    assert reports == []


@pytest.mark.anyio
async def test_secrets() -> None:
    """
    A secret is in no frame.
    """

    @traced.tool
    def log_in(user: str, password: Annotated[str, Secret]) -> str:
        return user

    socket = Socket()

    async with callbacks(all_events(socket), redact=["user"]):
        log_in("ada", "enigma")

    assert len(socket.frames) == 2
    assert "enigma" not in "".join(socket.frames)


@pytest.mark.anyio
async def test_send_is_not_heard() -> None:
    """
    What the socket's own method calls is muted.
    """
    recorder, frames = Recorder(), []

    class Traced:
        @traced
        async def send(self, frame: str) -> None:
            frames.append(frame)

    async with callbacks(all_events(Traced()), recorder):
        await answer("a")

    assert len(frames) == len(recorder.events) == 5


@pytest.mark.anyio
async def test_many_at_once() -> None:
    """
    10,000 runs in 50 threads and 500 tasks at once: every event arrives, once.
    """
    socket = Socket()
    handler = all_events(socket, maxsize=10)

    def hundred() -> None:
        for number in range(100):
            work(number)

    @traced
    async def run() -> None: ...

    async def ten() -> None:
        for _ in range(10):
            await run()

    async with callbacks(handler):
        with contextlib.ExitStack() as stack:
            threads = [threading.Thread(target=bind(hundred)) for _ in range(50)]
            for thread in threads:
                thread.start()
                stack.callback(thread.join)
            await asyncio.gather(*(ten() for _ in range(500)))
            await asyncio.gather(*(asyncio.to_thread(it.join) for it in threads))

    assert handler.dropped == 0
    ids = [(it["run_id"], it["event"]) for it in map(json.loads, socket.frames)]
    assert len(ids) == len(set(ids)) == 20_000


@pytest.mark.parametrize("socket", [object(), None, "ws://", Socket])
def test_no_socket(socket: Any) -> None:
    """
    What has no method that sends is refused, by name.
    """
    with pytest.raises(
        TypeError, match="takes an open socket with send_text, send_str"
    ):
        WebSocketHandler(socket)


@pytest.mark.parametrize(
    "option, error",
    [
        ({"payload": "token"}, ValueError),
        ({"policy": None}, ValueError),
        ({"maxsize": 0}, ValueError),
        ({"maxsize": True}, TypeError),
        ({"timeout_s": 0}, ValueError),
        ({"timeout_s": float("inf")}, ValueError),
        ({"timeout_s": "1"}, TypeError),
    ],
)
def test_bad_option(option: dict[str, Any], error: type[Exception]) -> None:
    """
    Each option is checked at once; the error names it.
    """
    (name,) = option
    with pytest.raises(error, match=rf"WebSocketHandler\({name}=\.\.\.\) is "):
        WebSocketHandler(SyncSocket(), **option)
