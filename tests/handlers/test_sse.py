"""
`SSEHandler`: a request as a stream of server-sent events, read here without a server.
"""

import asyncio
import contextlib
import json
import threading
from collections.abc import AsyncIterator, Callable, Generator
from typing import Any

import pytest

from instrument import bind, callbacks, current_run, traced
from instrument._interrupts import Taking
from instrument.exceptions import RequestStopped
from instrument.handlers import SSEHandler
from instrument.handlers._protocols.framing import _Item
from instrument.handlers._sse import _resumable
from instrument.testing import Recorder

END_OK = b'event: end\ndata: {"status":"ok"}\n\n'


@traced.chat_model("model")
def model(*tokens: str) -> Generator[str, None, None]:
    """
    Stream what is given.
    """
    yield from tokens


@traced.chat_model("model")
async def amodel(*tokens: str) -> AsyncIterator[str]:
    """
    Stream what is given, in async code.
    """
    for token in tokens:
        await asyncio.sleep(0)
        yield token


@traced
async def answer(*tokens: str) -> str:
    """
    Ask the model.
    """
    return "".join([token async for token in amodel(*tokens)])


@traced
async def stuck() -> None:
    """
    Say a word, and never end.
    """
    async for _ in amodel("word"):
        pass
    await asyncio.Event().wait()


def told(body: bytes) -> list[Any]:
    """
    Give what the data of a body are, of JSON or not.
    """
    lines = [it for it in body.decode("ascii").split("\n") if it.startswith("data: ")]
    texts = [line.removeprefix("data: ") for line in lines]
    return [json.loads(it) if it[0] == "{" else it for it in texts]


def in_thread(call: Callable[[], Any]) -> threading.Thread:
    """
    Run the request in a thread of its own.
    """

    def run() -> None:
        with contextlib.suppress(ValueError, RequestStopped):
            call()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


async def cancelled(task: "asyncio.Task[Any]") -> bool:
    """
    Wait until a task has ended; tell whether it was cancelled.
    """
    await asyncio.wait([task], timeout=20)
    return task.cancelled()


@pytest.mark.anyio
async def test_stream_of_a_task() -> None:
    """
    What a task does comes as frames; the stream ends when the block does.
    """
    stream = SSEHandler()

    task = asyncio.create_task(callbacks(stream)(answer)("It", " depends."))
    body = b"".join([frame async for frame in stream])

    assert await task == "It depends."
    frames = told(body)
    kinds = [it["type"] for it in frames[:-1] if it["type"] != "data-run"]
    assert kinds[:3] == ["start", "start-step", "text-start"]
    assert kinds[-2:] == ["finish-step", "finish"]
    assert frames[-1] == "[DONE]"
    assert not stream.closed
    assert stream.dropped == 0


def test_headers() -> None:
    """
    The response's headers say what it is, and that no proxy may keep it back.
    """
    headers = SSEHandler().headers

    assert headers["content-type"].startswith("text/event-stream")
    assert headers["x-accel-buffering"] == "no"
    assert headers["x-vercel-ai-ui-message-stream"] == "v1"


def test_stream_of_a_thread() -> None:
    """
    What another thread does is read by a plain ``for``.
    """
    stream = SSEHandler(protocol="native", payload="all")

    thread = in_thread(lambda: list(callbacks(stream)(model)("a", "b")))
    frames = list(stream)
    thread.join()

    assert frames[-1] == END_OK
    tokens = [
        it["data"]["token"]
        for it in told(b"".join(frames[:-1]))
        if "token" in it["data"]
    ]
    assert tokens == ["a", "b"]
    assert frames[0].startswith(b"id: ")


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["trio"])
async def test_stream_on_trio() -> None:
    """
    It is read, and written, in tasks of trio.
    """
    trio = pytest.importorskip("trio")
    stream = SSEHandler(protocol="openai", maxsize=1, heartbeat_s=0.01)
    frames: list[bytes] = []

    @traced.chat_model
    async def slow() -> AsyncIterator[str]:
        for number in range(20):
            await trio.sleep(0.001 * (number == 5) * 50)
            yield str(number)

    async def request() -> None:
        async with callbacks(stream):
            async for _ in slow():
                pass

    async with trio.open_nursery() as nursery:
        nursery.start_soon(request)
        frames += [frame async for frame in stream]

    body = b"".join(frames)
    assert b": still here" in body
    text = "".join(
        it["choices"][0]["delta"].get("content", "") for it in told(body)[:-2]
    )
    assert text == "".join(map(str, range(20)))


ENDS = {
    "ai-sdk": (
        {"type": "error", "errorText": "ValueError"},
        {"type": "abort", "reason": "cancelled"},
    ),
    "native": (
        {"status": "error", "type": "ValueError", "message": ""},
        {"status": "cancelled"},
    ),
}


@pytest.mark.anyio
@pytest.mark.parametrize("protocol", [*ENDS])
@pytest.mark.parametrize("how", ["async with", "with", "decorated"])
async def test_block_left_by_an_exception(protocol: Any, how: str) -> None:
    """
    An exception outside any run is told by its type alone, as nothing has redacted it.
    """
    stream = SSEHandler(protocol=protocol)

    async def fail() -> None:
        message = "kept"
        raise ValueError(message)

    async def request() -> None:
        if how == "async with":
            async with callbacks(stream):
                await fail()
        elif how == "with":
            with callbacks(stream):
                await fail()
        else:
            await callbacks(stream)(fail)()

    with pytest.raises(ValueError, match="kept"):
        await request()

    frames = told(b"".join([frame async for frame in stream]))
    assert ENDS[protocol][0] in frames


@pytest.mark.parametrize("protocol", ["ai-sdk", "native"])
def test_exception_of_a_run(protocol: Any) -> None:
    """
    What a run failed with is told with its message.
    """
    stream = SSEHandler(protocol=protocol)

    with pytest.raises(ValueError, match="no such"), callbacks(stream), traced("work"):
        raise ValueError("no such thing")

    message = {"type": "ValueError", "message": "no such thing"}
    ends: dict[str, Any] = {
        "ai-sdk": {"type": "error", "errorText": "ValueError: no such thing"},
        "native": {"status": "error", **message},
    }
    assert ends[protocol] in told(b"".join(stream))


def test_block_in_an_except_clause() -> None:
    """
    A block that is left well while an exception is handled around it ends well.
    """
    try:
        raise ValueError
    except ValueError:
        stream = SSEHandler(protocol="native")
        with callbacks(stream), traced("work"):
            pass

    assert [*stream][-1] == END_OK


def test_generator_closed() -> None:
    """
    A body that is closed early ends its stream as abandoned.
    """
    stream = SSEHandler(protocol="native")

    def body() -> Generator[int, None, None]:
        yield 1

    opened = callbacks(stream)(body)()
    next(opened)
    opened.close()

    assert told([*stream][-1]) == [{"status": "abandoned"}]


@pytest.mark.anyio
@pytest.mark.parametrize("protocol", [*ENDS])
async def test_stop(protocol: Any) -> None:
    """
    A stop cancels the task of the request, and the stream says so at its end.
    """
    stream = SSEHandler(protocol=protocol)
    task = asyncio.create_task(callbacks(stream)(stuck)())
    frames = []

    async for frame in stream:
        frames.append(frame)
        if b"word" in frame:
            stream.stop()

    assert await cancelled(task)
    assert ENDS[protocol][1] in told(b"".join(frames))


@pytest.mark.anyio
@pytest.mark.parametrize("how", ["aclose", "cancel", "close", "forget"])
async def test_reader_goes(how: str) -> None:
    """
    A reader who goes before the end has the request cancelled.
    """
    stream = SSEHandler()
    task = asyncio.create_task(callbacks(stream)(stuck)())

    async def read() -> None:
        async for _ in stream:
            if how != "cancel":
                break

    if how == "cancel":  # in mid-wait
        reading = asyncio.create_task(read())
        await asyncio.sleep(0.05)
        reading.cancel()
    elif how == "aclose":
        reader = aiter(stream)
        await anext(reader)
        await reader.aclose()
    elif how == "close":
        await anext(aiter(stream))
        await stream.aclose()
    else:
        await read()

    assert await cancelled(task)
    assert stream.closed
    assert [frame async for frame in stream] == []


def test_sync_request_stops_at_its_next_start() -> None:
    """
    Sync code whose reader has gone is stopped where it next starts something.
    """
    stream, recorder = SSEHandler(), Recorder()
    left = threading.Event()
    caught: list[RequestStopped] = []

    with callbacks(stream, recorder):
        thread = in_thread(bind(second_run(left, caught)))
        reader = iter(stream)
        next(reader)
        reader.close()
        left.set()
        thread.join()

    run = caught[0].run
    assert run is not None
    assert (run.name, run.status) == ("model", "error")
    assert recorder.tree() == (
        "chain first: error RequestStopped\n  chat_model model: error RequestStopped"
    )


def second_run(
    left: threading.Event, caught: list[RequestStopped]
) -> Callable[[], None]:
    """
    Give a request that goes on when its reader has gone.
    """

    @traced("first")
    def first() -> None:
        assert left.wait(10)
        try:
            list(model("a"))
        except RequestStopped as exc:
            caught.append(exc)
            raise

    return first


def test_stopped_while_it_writes() -> None:
    """
    A sync model whose page says stop is stopped at its next token.
    """
    stream = SSEHandler(protocol="native")

    with pytest.raises(RequestStopped), callbacks(stream):
        for token in model("a", "b", "c"):
            if token == "b":
                stream.stop()

    frames = [*stream]
    assert b'"token":"c"' not in b"".join(frames)
    assert told(frames[-1]) == [{"status": "cancelled"}]


@pytest.mark.anyio
async def test_stop_in_another_tasks_loop() -> None:
    """
    A stop after the loop has closed does nothing.
    """
    stream = SSEHandler()

    def run() -> None:
        loop = asyncio.new_event_loop()
        block = callbacks(stream)

        async def begin() -> None:
            block.__enter__()
            with traced("work"):
                pass

        loop.run_until_complete(begin())
        loop.close()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    stream.stop()

    assert not stream.closed


@pytest.mark.anyio
async def test_slow_reader_holds_the_request_up() -> None:
    """
    No more frames wait than there is place for: the request waits for its reader.
    """
    stream = SSEHandler(protocol="native", maxsize=5)
    said = 0

    async def request() -> None:
        nonlocal said
        async with callbacks(stream):
            async for _ in amodel(*"x" * 100):
                said += 1

    task = asyncio.create_task(request())
    for _ in range(300):
        await asyncio.sleep(0)
    assert said < 10
    frames = [frame async for frame in stream]
    await task

    assert len(frames) == 103
    assert stream.dropped == 0


def test_slow_reader_holds_a_thread_up() -> None:
    """
    So does a request in a thread.
    """
    stream = SSEHandler(protocol="native", maxsize=5)

    thread = in_thread(lambda: list(callbacks(stream)(model)(*"x" * 100)))
    frames = list(stream)
    thread.join()

    assert len(frames) == 103


@pytest.mark.anyio
async def test_sync_code_on_the_readers_loop() -> None:
    """
    Sync code that nobody can hold up drops tokens first, and its stream is well formed.
    """
    stream = SSEHandler(protocol="native", maxsize=5)

    async def request() -> None:
        with callbacks(stream):
            list(model(*"x" * 100))

    task = asyncio.create_task(request())
    frames = [frame async for frame in stream]
    await task

    assert stream.dropped == 91
    assert frames[-1] == END_OK
    assert b"on_llm_end" in frames[-2]


@pytest.mark.anyio
@pytest.mark.parametrize("in_a_task", [True, False])
async def test_reader_takes_nothing(reports: list[str], in_a_task: bool) -> None:
    """
    A reader who takes nothing for too long is given up, said once, and the request ends.
    """
    stream = SSEHandler(protocol="native", maxsize=1, timeout_s=0.05)
    reader = aiter(stream)

    if in_a_task:
        task = asyncio.create_task(callbacks(stream)(answer)(*"x" * 10))
        await anext(reader)
        assert await cancelled(task)
    else:
        thread = in_thread(lambda: list(callbacks(stream)(model)(*"x" * 10)))
        await asyncio.to_thread(thread.join)

    assert stream.closed
    assert len(reports) == 1
    assert "the reader took too little in 0.05 s" in reports[0]


@pytest.mark.anyio
async def test_two_are_given_up_once(reports: list[str]) -> None:
    """
    Of two that wait for the same reader only one says that it has gone.
    """
    stream = SSEHandler(protocol="native", maxsize=1, timeout_s=0.05)

    async with callbacks(stream):
        await asyncio.gather(
            *(answer("a", "b", "c") for _ in range(4)), return_exceptions=True
        )

    assert len(reports) == 1


@pytest.mark.anyio
async def test_held_up_and_cancelled() -> None:
    """
    Who is cancelled while it waits for the reader waits no more.
    """
    stream = SSEHandler(protocol="native", maxsize=1)
    task = asyncio.create_task(callbacks(stream)(answer)(*"x" * 10))
    await asyncio.sleep(0.05)

    task.cancel()

    assert await cancelled(task)
    assert len(stream._box._held) == 0


@pytest.mark.anyio
async def test_heartbeat() -> None:
    """
    While nothing happens a comment is sent, by which it is found out who has gone.
    """
    stream = SSEHandler(heartbeat_s=0.01)
    task = asyncio.create_task(callbacks(stream)(stuck)())

    async for frame in stream:
        if frame.startswith(b":"):
            break

    assert frame == b": still here\n\n"
    assert await cancelled(task)


def test_heartbeat_of_a_thread() -> None:
    """
    So it is for whoever reads in a thread.
    """
    stream = SSEHandler(heartbeat_s=0.01)

    assert next(iter(stream)) == b": still here\n\n"


def ids_of(frames: list[bytes]) -> list[str]:
    """
    Give the ids of native frames.
    """
    lines = b"".join(frames).decode("ascii").split("\n")
    return [it.removeprefix("id: ") for it in lines if it.startswith("id: ")]


@pytest.mark.anyio
async def test_resume() -> None:
    """
    A page that comes back goes on behind the last that it has got, and the request has
    not been stopped.
    """
    stream = SSEHandler(protocol="native", resume_s=20)
    goes_on = asyncio.Event()

    @traced
    async def slow() -> None:
        async for _ in amodel("a", "b"):
            pass
        await goes_on.wait()

    task = asyncio.create_task(callbacks(stream)(slow)())
    first: list[bytes] = []
    async for frame in stream:
        first.append(frame)
        if b"on_llm_end" in frame:
            break
    seen = ids_of(first)
    again = SSEHandler.resumed(seen[1])
    assert again is stream
    goes_on.set()
    rest = [frame async for frame in again]
    await task

    assert ids_of(rest)[: len(seen) - 2] == seen[2:]
    assert rest[-1] == END_OK
    assert not stream.closed
    once_more = SSEHandler.resumed(ids_of(rest)[-1])
    assert once_more is not None
    assert [frame async for frame in once_more] == [END_OK]


@pytest.mark.anyio
async def test_resume_while_the_old_one_reads() -> None:
    """
    A page that comes back before its old connection is known to be lost takes over.
    """
    stream = SSEHandler(protocol="native", resume_s=20)
    task = asyncio.create_task(callbacks(stream)(stuck)())
    old: list[bytes] = []

    async def read() -> None:
        async for frame in stream:
            old.append(frame)  # noqa: PERF401 - it is looked at meanwhile

    reading = asyncio.create_task(read())
    while not any(b"on_llm_end" in it for it in old):  # noqa: ASYNC110
        await asyncio.sleep(0)
    again = SSEHandler.resumed(ids_of(old)[0])
    assert again is not None
    reader = aiter(again)
    assert await anext(reader) == old[1]
    await reading
    stream.stop()

    assert await cancelled(task)


def test_resume_in_a_thread() -> None:
    """
    Where threads read, the old one ends when another takes over.
    """
    stream = SSEHandler(protocol="native", resume_s=20)
    with callbacks(stream):
        list(model("a"))
    old = iter(stream)
    known = ids_of([next(old)])[0]

    again = SSEHandler.resumed(known)

    assert again is not None
    assert len([*old]) == 0
    stream._is_late(0)  # the timer of the old one
    assert not stream.closed
    assert len([*again]) == 3


def test_read_again_from_the_start() -> None:
    """
    A page that is loaded anew, and knows of nothing, gets all that is kept.
    """
    stream = SSEHandler(protocol="native", resume_s=20)
    with callbacks(stream):
        list(model("a"))

    assert [*stream] == [*stream] != []


@pytest.mark.anyio
async def test_nobody_comes_back() -> None:
    """
    When nobody comes back in time the request is stopped, and forgotten.
    """
    stream = SSEHandler(protocol="native", resume_s=0.05)
    task = asyncio.create_task(callbacks(stream)(stuck)())
    known = ids_of([await anext(aiter(stream))])[0]

    assert await cancelled(task)
    assert stream.closed
    assert SSEHandler.resumed(known) is None


@pytest.mark.anyio
async def test_forgotten_when_it_was_read() -> None:
    """
    A stream that was read to its end is forgotten after a while.
    """
    stream = SSEHandler(protocol="native", resume_s=0.05)
    task = asyncio.create_task(callbacks(stream)(answer)("a"))
    known = ids_of([frame async for frame in stream])[0]
    await task

    while known.partition(":")[0] in _resumable:  # noqa: ASYNC110 - a timer ends it
        await asyncio.sleep(0.01)

    assert not stream.closed


@pytest.mark.anyio
async def test_never_read_is_forgotten() -> None:
    """
    A stream that nobody has ever read is forgotten after a while.
    """
    stream = SSEHandler(protocol="native", resume_s=0.05)

    async with callbacks(stream):
        await answer("a")
        trace = next(iter(stream._traces))

    while trace in _resumable:  # noqa: ASYNC110 - a timer ends it
        await asyncio.sleep(0.01)
    assert stream.closed


@pytest.mark.parametrize("id", [None, "", "x", "x:1", ":", "\x00"])
def test_resume_of_nothing(id: str | None) -> None:
    """
    What is no id of a stream that is kept gives none.
    """
    assert SSEHandler.resumed(id) is None


def test_resume_beyond_what_is_kept() -> None:
    """
    Behind a frame that is kept no more nobody can go on.
    """
    stream = SSEHandler(protocol="native", maxsize=2, resume_s=20)
    thread = in_thread(lambda: list(callbacks(stream)(model)(*"abcdef")))
    ids = ids_of(list(stream))
    thread.join()

    assert SSEHandler.resumed(ids[0]) is None
    assert SSEHandler.resumed(ids[-1]) is stream


def test_no_thread_for_the_timer(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Where no thread can be started that waits for a reader, as at exit, nobody waits.
    """

    class NoThread(threading.Timer):
        def start(self) -> None:
            message = "can't create new thread at interpreter shutdown"
            raise RuntimeError(message)

    monkeypatch.setattr("instrument.handlers._sse.Timer", NoThread)
    stream = SSEHandler(protocol="native", resume_s=20)

    with callbacks(stream):
        list(model("a"))

    assert stream.closed
    assert stream._traces.isdisjoint(_resumable)


def test_late_event() -> None:
    """
    What happens after the end is told nobody.
    """
    stream = SSEHandler(protocol="native")
    with callbacks(stream):
        late = model("a")

    assert list(late) == ["a"]
    assert [*stream] == [END_OK]
    stream.flush()
    assert [*stream] == []


def test_collected_in_mid_frame() -> None:
    """
    A run that ends while a frame is made, as a generator is collected, is told after it.
    """
    stream = SSEHandler(payload="all")
    inner = model("a", "b")

    class Ends(dict[str, Any]):
        def __iter__(self) -> Any:
            inner.close()
            return super().__iter__()

    with callbacks(stream), traced("outer"):
        inner = model("a", "b")
        next(inner)
        stream._framing._do(_Item(lambda: [*filter(None, [inner.close()])]), Taking())  # type: ignore[func-returns-value]

    runs = [
        it["data"] for it in told(b"".join(stream))[:-1] if it["type"] == "data-run"
    ]
    assert [(it["name"], it["status"]) for it in runs][-2:] == [
        ("model", "abandoned"),
        ("outer", "ok"),
    ]


@pytest.mark.parametrize(
    "options, error",
    [
        ({"protocol": "soap"}, ValueError),
        ({"payload": "some"}, ValueError),
        ({"maxsize": 0}, ValueError),
        ({"timeout_s": 0}, ValueError),
        ({"heartbeat_s": "1"}, TypeError),
        ({"resume_s": -1, "protocol": "native"}, ValueError),
        ({"resume_s": 1}, ValueError),
    ],
)
def test_wrong_options(options: Any, error: type[Exception]) -> None:
    """
    What it cannot be made with is refused at once, by its name.
    """
    with pytest.raises(error, match=rf"SSEHandler\({next(iter(options))}=\.\.\.\)"):
        SSEHandler(**options)


@pytest.mark.parametrize(
    "protocol, given_back",
    [
        ("ag-ui", {"threadId": "t", "runId": "r"}),
        ("openai", {"model": "m"}),
        ("ai-sdk", {}),
    ],
)
def test_what_the_client_asked(protocol: Any, given_back: dict[str, str]) -> None:
    """
    What a client wants back of what it has sent it gets; of another type it does not.
    """
    asked = {"threadId": "t", "runId": "r", "model": "m", "messages": []}
    first = []
    for each in (asked, dict.fromkeys(asked, 1)):
        stream = SSEHandler(protocol=protocol, asked=each)
        with callbacks(stream), traced("work"):
            pass
        first.append(told(next(iter(stream)))[0])

    assert {name: first[0][name] for name in given_back} == given_back
    assert all(first[1][name] not in (1, value) for name, value in given_back.items())


def test_disabled(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Where everything is turned off the stream is empty, and ends.
    """
    monkeypatch.setattr("instrument.handlers._sse.DISABLED", True)

    assert [*SSEHandler()] == []


def test_current_run_is_stopped_run() -> None:
    """
    The exception names the run, and survives pickling without it.
    """
    import pickle

    error = pickle.loads(pickle.dumps(RequestStopped("stopped", current_run())))

    assert str(error) == "stopped"
    assert error.run is None


@pytest.mark.parametrize("protocol", ["native", "ai-sdk"])
def test_many_that_wait(protocol: Any) -> None:
    """
    Of more threads than there are places each waits, and nothing is dropped.
    """
    stream = SSEHandler(protocol=protocol, maxsize=1)
    frames: list[bytes] = []

    with callbacks(stream):
        work = bind(lambda: list(model("a", "b", "c")))
        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        while len(stream._box._held) + stream.dropped < len(threads):
            threading.Event().wait(0.001)
        reader = threading.Thread(target=lambda: frames.extend(stream))
        reader.start()
        for thread in threads:
            thread.join()
    reader.join()

    assert stream.dropped == 0
    assert sum(b'"c"' in frame for frame in frames) == len(threads)
