"""
``wrap(client)`` without any SDK: look-alikes of their classes state the rules.
"""

import asyncio
import gc
import subprocess
import sys
import weakref
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from io import StringIO
from textwrap import dedent
from types import SimpleNamespace
from typing import Any, Self

import pytest

from instrument import (
    BaseCallbackHandler,
    Usage,
    callbacks,
    current_run,
    traced,
    wrap,
)
from instrument._hearing.monitored.stainless import CloseWatch, PostWatch
from instrument._hearing.targets import Target
from instrument.handlers import StdOutCallbackHandler
from instrument.testing import Recorder

HI = [{"role": "user", "content": "hi"}]
USAGE = {"prompt_tokens": 3, "completion_tokens": 2}


def chunk(text: str) -> dict[str, Any]:
    """
    Make a chunk of a chat completion.
    """
    return {"id": "c1", "choices": [{"index": 0, "delta": {"content": text}}]}


def answer(text: str) -> dict[str, Any]:
    """
    Make a chat completion.
    """
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return {"id": "c1", "model": "m", "choices": [choice], "usage": USAGE}


class Stream:
    """
    Two chunks, and whether it was closed.
    """

    def __init__(self) -> None:
        self.chunks = iter([chunk("H"), chunk("i")])
        self.is_closed = False

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        return next(self.chunks)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        self.is_closed = True


class AsyncStream:
    """
    The same for async code.
    """

    def __init__(self) -> None:
        self.chunks = iter([chunk("H"), chunk("i")])
        self.is_closed = False

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        for each in self.chunks:
            return each
        raise StopAsyncIteration

    async def close(self) -> None:
        self.is_closed = True


class Slotted:
    """
    A stream that has no room for anything.
    """

    __slots__ = ("chunks",)

    def __init__(self) -> None:
        self.chunks = iter([chunk("H")])

    def __iter__(self) -> Iterator[Any]:
        return self.chunks


class Http:
    """
    The HTTP response under a raw one.
    """

    def __init__(self, *, is_closed: bool = False) -> None:
        self.is_closed = is_closed
        self.headers = {"content-type": "application/json"}

    def json(self) -> Any:
        return answer("Hi")


class Raw:
    """
    A raw response.
    """

    def __init__(self, http: Http, parsed: Any = None) -> None:
        self.http_response = http
        self.parsed = parsed

    def parse(self, **kwargs: Any) -> Any:
        return self.parsed

    def close(self) -> None:
        self.http_response.is_closed = True


class AsyncRaw(Raw):
    """
    The same for async code.
    """

    async def parse(self, **kwargs: Any) -> Any:
        return self.parsed

    async def close(self) -> None:  # type: ignore[override]
        self.http_response.is_closed = True


def options(**more: Any) -> Any:
    """
    Make what the SDKs pass to ``request``.
    """
    body = {"model": "m", "messages": HI}
    given = {"url": "/chat/completions", "json_data": body, "extra_json": None}
    return SimpleNamespace(**{**given, **more})


class Text(str):
    """
    A text that can be looked for.
    """

    __slots__ = ("__weakref__",)


class SyncAPIClient:
    """
    What the SDKs' clients inherit from.
    """

    def __init__(self, result: Any = None) -> None:
        self.result = result
        self.seen: list[Any] = []

    def request(self, cast_to: Any, options: Any, **kwargs: Any) -> Any:
        self.seen.append((options, kwargs, current_run().kind))
        if isinstance(self.result, BaseException):
            raise self.result
        return self.result


class AsyncAPIClient(SyncAPIClient):
    """
    The same for async code.
    """

    async def request(self, cast_to: Any, options: Any, **kwargs: Any) -> Any:
        return SyncAPIClient.request(self, cast_to, options, **kwargs)


class Offline(SyncAPIClient):
    """
    A client that reaches nobody.
    """

    def request(self, cast_to: Any, options: Any, **kwargs: Any) -> Any:
        message = "cut"
        raise OSError(message)


class AsyncOffline(AsyncAPIClient):
    """
    The same for async code.
    """

    async def request(self, cast_to: Any, options: Any, **kwargs: Any) -> Any:
        message = "cut"
        raise OSError(message)


SyncAPIClient.__module__ = AsyncAPIClient.__module__ = "openai._base_client"


def ask(result: Any, *, options: Any = options(), **kwargs: Any) -> Any:  # noqa: B008
    """
    Ask a wrapped client that gives *result*.
    """
    return wrap(SyncAPIClient(result)).request(dict, options, **kwargs)


async def aask(result: Any, **kwargs: Any) -> Any:
    """
    Ask a wrapped async client.
    """
    return await wrap(AsyncAPIClient(result)).request(dict, options(), **kwargs)


def statuses(recorder: Recorder) -> list[str]:
    """
    Give how the runs ended.
    """
    return [run.status for run in recorder.runs]


def texts(recorder: Recorder) -> list[str]:
    """
    Give the texts of the answers.
    """
    return [e.data["text"] for e in recorder.events if e.event == "on_llm_end"]


def test_a_whole_answer() -> None:
    """
    A call's answer is the run's, which is current while it is made.
    """
    recorder = Recorder()
    client = SyncAPIClient(answer("Hi"))

    with callbacks(recorder):
        result = wrap(client).request(dict, options(extra_json={"top_k": 1}))
        assert not current_run()

    assert result is client.result
    assert client.seen[0][2] == "chat_model"
    assert recorder.runs[0].params == {"top_k": 1}
    assert recorder.runs[0].usage == Usage(3, 2)
    assert texts(recorder) == ["Hi"]


@pytest.mark.anyio
async def test_a_whole_answer_in_async_code() -> None:
    """
    The same of an async client; unheard, it is only called.
    """
    recorder = Recorder()

    assert await aask(answer("Hi")) == answer("Hi")
    with callbacks(recorder):
        await aask(answer("Hi"))

    assert texts(recorder) == ["Hi"]


@pytest.mark.parametrize("other", [options(url="/files"), options(json_data=None)])
def test_what_is_no_call_of_a_model(other: Any) -> None:
    """
    What else a client sends is no run.
    """
    recorder = Recorder()

    with callbacks(recorder):
        assert ask("file", options=other) == "file"

    assert recorder.events == []


def test_what_cannot_be_read() -> None:
    """
    Options of no known shape are reported, and the call goes on unheard.
    """
    with callbacks(Recorder()):
        assert ask("answer", options=object()) == "answer"


class Unwilling(type):
    """
    A class of which nothing can be asked.
    """

    def __getattr__(cls, name: str) -> Any:
        raise LookupError(name)


class Unwrapped:
    @property
    def __wrapped__(self) -> Any:
        raise LookupError


class Odd(metaclass=Unwilling): ...


@pytest.mark.anyio
@pytest.mark.parametrize("kind, status", [(Odd, "ok"), (Unwrapped, "abandoned")])
async def test_an_answer_that_cannot_be_looked_at(kind: type, status: str) -> None:
    """
    The call goes on, and what it was heard as is over; a metaclass is not asked.
    """
    recorder, odd = Recorder(), kind()

    with callbacks(recorder):
        assert ask(odd) is odd
        assert await aask(odd) is odd
        assert not current_run()

    assert statuses(recorder) == [status, status]


@pytest.mark.parametrize("error", [ValueError("x"), KeyboardInterrupt()])
def test_an_error(error: BaseException) -> None:
    """
    What the SDK raises ends the run, and reaches the caller.
    """
    recorder = Recorder()

    with callbacks(recorder), pytest.raises(type(error)) as caught:
        ask(error)

    assert caught.value is error
    assert statuses(recorder) == ["error"]


def test_a_stream() -> None:
    """
    A stream stays the object that it is, and a second wrap hears it no second time.
    """
    recorder = Recorder()
    stream = Stream()

    with callbacks(recorder):
        heard = ask(stream)
        items = list(heard)

    assert heard is stream
    assert isinstance(heard, Stream)
    assert type(heard).__name__ == "Stream"
    assert items == [chunk("H"), chunk("i")]
    assert texts(recorder) == ["Hi"]


def test_a_stream_closed() -> None:
    """
    A stream that is closed early is abandoned, with what it said.
    """
    recorder = Recorder()

    with callbacks(recorder), ask(Stream()) as stream:
        next(stream)

    assert stream.is_closed
    assert statuses(recorder) == ["abandoned"]
    assert recorder.events[-1].data["text"] == "H"


def test_a_stream_that_fails() -> None:
    """
    An error in a stream ends the run, and the run around it; both keep the very error.
    """
    recorder = Recorder()
    stream = Stream()
    error = OSError("cut")

    @traced
    def around() -> None:
        list(ask(stream))

    def chunks() -> Iterator[Any]:
        yield chunk("H")
        raise error

    stream.chunks = chunks()

    with callbacks(recorder), pytest.raises(OSError, match="cut"):
        around()

    assert [run.error is error for run in recorder.runs] == [True, True]


@pytest.mark.parametrize("is_generator", [False, True])
def test_a_stream_that_fails_is_gone(*, is_generator: bool) -> None:
    """
    What was asked and raised is held by nothing of ours once the stream is dropped.
    """

    def chunks(text: Text) -> Iterator[Any]:
        yield chunk("H")
        raise OSError(text)

    def fails(text: Text) -> None:
        stream: Any = chunks(text)
        if not is_generator:
            stream = Stream()
            stream.chunks = chunks(text)
        body = {"model": "m", "messages": [{"role": "user", "content": text}]}
        heard = ask(stream, options=options(json_data=body))
        with pytest.raises(OSError, match="cut"):
            list(heard)

    text = Text("cut")
    held = weakref.ref(text)
    gc.disable()
    try:
        with callbacks(lambda event: None):
            fails(text)
        del text
        assert held() is None
    finally:
        gc.enable()


@pytest.mark.usefixtures("uncollected")
def test_a_stream_goes_with_the_call_that_fails_beside_it() -> None:
    """
    Nor does one that a call has at hand when it fails keep that, or itself.
    """

    @traced
    def fails(text: Text) -> None:
        body = {"model": "m", "messages": [{"role": "user", "content": text}]}
        for _ in ask(Stream(), options=options(json_data=body)):
            raise LookupError

    @traced
    def fails_later(text: Text) -> None:
        body = {"model": "m", "messages": [{"role": "user", "content": text}]}
        stream = ask(Stream(), options=options(json_data=body))
        assert len(list(stream)) == 2
        raise LookupError

    for around in (fails, fails_later):
        text = Text("hi")
        held = weakref.ref(text)
        with callbacks(lambda event: None), suppress(LookupError):
            around(text)
        del text
        assert held() is None


def test_a_call_that_fails_behind_a_stream_keeps_its_error() -> None:
    """
    A stream that was read to its end holds no run any more: what its caller raises then
    stays what that raised.
    """
    recorder = Recorder()
    error = LookupError()

    @traced("around")
    def fails() -> None:
        stream = ask(Stream())
        assert len(list(stream)) == 2
        raise error

    with callbacks(recorder), suppress(LookupError):
        fails()

    [around] = recorder.find("around")
    assert around.error is error


@pytest.mark.usefixtures("uncollected")
def test_a_call_that_fails_is_gone() -> None:
    """
    What was asked and raised is held by nothing of ours once the caller has caught it,
    and a run around the call keeps the very error.
    """
    recorder = Recorder()
    error = OSError("cut")

    def fails(text: Text) -> None:
        body = {"model": "m", "messages": [{"role": "user", "content": text}]}
        with pytest.raises(OSError, match="cut"):
            wrap(Offline()).request(dict, options(json_data=body))

    text = Text("hi")
    held = weakref.ref(text)
    with callbacks(lambda event: None):
        fails(text)
    del text
    with callbacks(recorder), pytest.raises(OSError, match="cut"):
        traced("around")(ask)(error)

    assert held() is None
    [around] = recorder.find("around")
    assert around.error is error


@pytest.mark.anyio
@pytest.mark.usefixtures("uncollected")
async def test_an_async_call_that_fails_is_gone() -> None:
    """
    The same in async code.
    """

    async def fails(text: Text) -> None:
        body = {"model": "m", "messages": [{"role": "user", "content": text}]}
        with pytest.raises(OSError, match="cut"):
            await wrap(AsyncOffline()).request(dict, options(json_data=body))

    text = Text("hi")
    held = weakref.ref(text)
    async with callbacks(lambda event: None):
        await fails(text)
    del text

    assert held() is None


@pytest.mark.anyio
async def test_an_async_stream() -> None:
    """
    Async streams are heard to their end, or abandoned where they are closed.
    """
    recorder = Recorder()

    with callbacks(recorder):
        whole = await aask(AsyncStream())
        assert len([each async for each in whole]) == 2
        early = await aask(AsyncStream())
        async for _ in early:
            break
        await early.close()

    assert early.is_closed
    assert statuses(recorder) == ["ok", "abandoned"]


@pytest.mark.anyio
async def test_an_async_stream_that_fails() -> None:
    """
    An error in an async stream ends the run.
    """
    recorder = Recorder()
    stream = AsyncStream()

    def chunks() -> Iterator[Any]:
        yield chunk("H")
        raise OSError("cut")

    stream.chunks = chunks()

    with callbacks(recorder):
        heard = await aask(stream)
        with pytest.raises(OSError, match="cut"):
            assert [each async for each in heard]

    assert statuses(recorder) == ["error"]


@pytest.mark.anyio
async def test_async_errors() -> None:
    """
    What an async client raises ends the run.
    """
    recorder = Recorder()

    with callbacks(recorder), pytest.raises(ValueError, match="x"):
        await aask(ValueError("x"))

    assert statuses(recorder) == ["error"]


def test_a_stream_without_room(reports: list[str]) -> None:
    """
    A stream that cannot be heard is given as it is, with a report.
    """
    recorder = Recorder()

    with callbacks(recorder):
        assert list(ask(Slotted())) == [chunk("H")]

    assert statuses(recorder) == ["abandoned"]
    assert any("hearing a Slotted" in report for report in reports)


def test_raw_responses() -> None:
    """
    A raw response ends with what was read of it: at once, when parsed, or when closed.
    """
    recorder = Recorder()

    with callbacks(recorder):
        ask(Raw(Http(is_closed=True)))
        parsed = ask(Raw(Http(), Stream()), stream=True)
        assert list(parsed.parse()) == [chunk("H"), chunk("i")]
        assert list(parsed.parse()) == []
        whole = ask(Raw(Http(), "object"))
        assert whole.parse() == "object"
        whole.http_response._content = b"read"
        whole.close()
        in_lines = ask(Raw(Http()))
        in_lines.http_response.is_closed = True  # as it is once it has been read
        in_lines.close()
        ask(Raw(Http())).close()

    assert statuses(recorder) == ["ok", "ok", "ok", "ok", "abandoned"]
    assert texts(recorder) == ["Hi", "Hi", "Hi", ""]


@pytest.mark.anyio
async def test_async_raw_responses() -> None:
    """
    The same of an async client's.
    """
    recorder = Recorder()

    with callbacks(recorder):
        raw = await aask(AsyncRaw(Http(), AsyncStream()), stream=True)
        assert len([each async for each in await raw.parse()]) == 2
        raw = await aask(AsyncRaw(Http(), "object"))
        assert await raw.parse() == "object"
        await raw.close()

    assert statuses(recorder) == ["ok", "abandoned"]


def interrupted(*_: object) -> None:
    """
    Be a handler in which an interrupt comes.
    """
    raise KeyboardInterrupt


def test_interrupt_where_a_stream_fails() -> None:
    """
    An interrupt while a handler hears that a stream has failed reaches its reader; the
    run has ended with the stream's error.
    """
    recorder = Recorder()
    stream = Stream()

    def chunks() -> Iterator[Any]:
        yield chunk("H")
        raise OSError("cut")

    stream.chunks = chunks()
    with (
        callbacks(recorder, on_llm_error=interrupted),
        pytest.raises(KeyboardInterrupt),
    ):
        list(ask(stream))

    assert statuses(recorder) == ["error"]
    assert type(recorder.runs[0].error) is OSError


@pytest.mark.anyio
@pytest.mark.parametrize("fails", [False, True])
async def test_interrupt_where_an_async_stream_ends(fails: bool) -> None:
    """
    So in async code, and where it has come to its end.
    """
    recorder = Recorder()
    stream = AsyncStream()

    def chunks() -> Iterator[Any]:
        yield chunk("H")
        if fails:
            raise OSError("cut")

    stream.chunks = chunks()
    event = "on_llm_error" if fails else "on_llm_end"
    handlers: Any = {event: interrupted}
    with callbacks(recorder, **handlers), pytest.raises(KeyboardInterrupt):
        async for _ in await aask(stream):
            pass

    assert statuses(recorder) == ["error" if fails else "ok"]


@pytest.mark.anyio
@pytest.mark.parametrize("fails", [False, True])
async def test_interrupt_where_an_async_call_ends(fails: bool) -> None:
    """
    So of a call whose answer comes whole.
    """
    recorder = Recorder()
    event = "on_llm_error" if fails else "on_llm_end"
    handlers: Any = {event: interrupted}

    with callbacks(recorder, **handlers), pytest.raises(KeyboardInterrupt):
        await aask(OSError("cut") if fails else answer("Hi"))

    assert statuses(recorder) == ["error" if fails else "ok"]


def test_closing_of_what_is_not_heard() -> None:
    """
    The close of a response that belongs to no call is none of ours.
    """
    frame: Any = SimpleNamespace(f_locals={"self": Raw(Http())})

    assert CloseWatch().called(frame) is None


def test_wrapped_client_is_not_heard_twice() -> None:
    """
    What is posted by a wrapped client, which hears itself, is not heard as well where its
    SDK is heard automatically.
    """
    watch = PostWatch("openai", Target("nowhere:Client.post", None), [])  # type: ignore[arg-type]
    frame: Any = SimpleNamespace(f_locals={"self": wrap(SyncAPIClient())})

    assert watch.called(frame) is None


def test_raise_error() -> None:
    """
    A handler with ``raise_error`` stops the call, and a stream at its token.
    """

    class Strict(BaseCallbackHandler):
        raise_error = True

        def __init__(self, event: str) -> None:
            setattr(self, event, self.refuse)

        def refuse(self, *args: Any, **kwargs: Any) -> None:
            raise ValueError("no")

    client = SyncAPIClient(Stream())
    refused = pytest.raises(ValueError, match="no")
    with callbacks(Strict("on_chat_model_start")), refused:
        wrap(client).request(dict, options())
    assert client.seen == []
    recorder = Recorder()
    refused = pytest.raises(ValueError, match="no")
    with callbacks(Strict("on_llm_new_token"), recorder), refused:
        list(wrap(client).request(dict, options()))

    assert statuses(recorder) == ["error"]


class Methods:
    """
    A client whose methods are the calls, as Cohere's.
    """

    def __init__(self) -> None:
        self.embed = lambda *, texts: {"embeddings": [[1.0] for _ in texts]}
        self.chats: list[Any] = []

    def chat(self, *, messages: Any, stream: bool = False, **more: Any) -> Any:
        self.chats.append(messages)
        return self._chunks() if stream else answer("Hi")

    def _chunks(self) -> Iterator[Any]:
        yield chunk("H")
        yield chunk("i")

    async def chat_stream(self, *, messages: Any) -> Any:
        if messages is None:
            raise ValueError("none")
        return self._achunks() if messages else answer("Hi")

    async def _achunks(self) -> AsyncIterator[Any]:
        yield chunk("H")
        yield chunk("i")

    def __del__(self) -> None:
        closed.append(self)


closed: list[Any] = []
Methods.__module__, Methods.__name__ = "cohere.client_v2", "ClientV2"


def test_methods() -> None:
    """
    Methods of the class and of the object are heard, by the names of their arguments.
    """
    recorder = Recorder()
    client = wrap(Methods())

    assert client.chat(messages=HI) == answer("Hi")
    with callbacks(recorder):
        client.chat(messages=HI, temperature=0)
        assert list(client.chat(messages=HI, stream=True)) == [chunk("H"), chunk("i")]
        client.embed(texts=["a"])  # type: ignore[no-untyped-call]
        with pytest.raises(TypeError, match="messages"):
            client.chat()  # type: ignore[call-arg]

    chat, stream, embed = recorder.runs
    assert (chat.name, chat.inputs, chat.params) == (
        "cohere.chat",
        HI,
        {"temperature": 0},
    )
    assert stream.params == {"stream": True}
    assert recorder.events[-1].data["vectors"] == {"count": 1, "size": 1}
    assert embed.kind == "embedding"


def test_a_generator_left_early() -> None:
    """
    A generator that is dropped, before its first step or later, is abandoned.
    """
    recorder = Recorder()
    client = wrap(Methods())

    with callbacks(recorder):
        client.chat(messages=HI, stream=True)
        stream = client.chat(messages=HI, stream=True)
        next(stream)
        del stream
        gc.collect()

    assert statuses(recorder) == ["abandoned", "abandoned"]


@pytest.mark.anyio
async def test_async_methods() -> None:
    """
    Async methods are heard: whole, as async generators, and when they fail.
    """
    recorder = Recorder()
    client = wrap(Methods())

    assert await client.chat_stream(messages=[]) == answer("Hi")
    with callbacks(recorder):
        await client.chat_stream(messages=[])
        stream = await client.chat_stream(messages=HI)
        assert len([each async for each in stream]) == 2
        early = await client.chat_stream(messages=HI)
        async for _ in early:
            break
        await early.aclose()
        with pytest.raises(ValueError, match="none"):
            await client.chat_stream(messages=None)

    assert statuses(recorder) == ["ok", "ok", "abandoned", "error"]


def test_who_closes_connections() -> None:
    """
    A twin never closes what is the other's, which lives as long as the twin.
    """
    gc.collect()
    closed.clear()
    client = wrap(Methods())
    gc.collect()
    assert closed == []

    del client
    gc.collect()

    assert [type(each).__name__ for each in closed] == ["ClientV2"]
    closed.clear()


class Finalized(SyncAPIClient):
    """
    A client that closes its connections itself.
    """

    def __del__(self) -> None:
        closed.append(self)


def test_who_closes_those_of_a_copy() -> None:
    """
    A copy that a wrapped client makes of itself has its own, and closes them.
    """
    gc.collect()
    closed.clear()
    client = wrap(Finalized())

    copy = type(client)()
    del copy
    gc.collect()

    assert len(closed) == 1
    closed.clear()


def test_more_classes_than_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Past a number of classes of clients, one is made for each client.
    """
    monkeypatch.setattr("instrument._hearing.wrapped.twins._MOST", 0)

    class Another(SyncAPIClient):
        pass

    first, second = wrap(Another()), wrap(Another())

    assert isinstance(first, Another)
    assert type(first) is not type(second)


class Other:
    """
    What is no client, of a package that has some.
    """


Other.__module__ = "cohere.client_v2"


@pytest.mark.parametrize(
    "unknown", [3, None, sys, SimpleNamespace(request=1, post=2), Other()]
)
def test_unknown_clients(unknown: Any) -> None:
    """
    What is no known client is refused, with the names of those that are.
    """
    with pytest.raises(
        TypeError, match="takes a client of anthropic, botocore, cohere"
    ):
        wrap(unknown)


def test_adapters_of_others_stay_out() -> None:
    """
    To wrap a client imports the adapter of its SDK alone.
    """
    code = """
        import sys
        from instrument import wrap

        class Client:
            pass

        Client.__module__ = "ollama._client"
        wrap(Client())
        print(*(it for it in sys.modules if it.startswith("instrument.integrations.")))
    """
    done = subprocess.run(
        [sys.executable, "-c", dedent(code)], capture_output=True, text=True, check=True
    )

    assert done.stdout.split() == ["instrument.integrations.ollama"]


def test_a_class() -> None:
    """
    A class is refused with the cure.
    """
    with pytest.raises(TypeError, match=r"Make one: wrap\(SyncAPIClient\(\)\)"):
        wrap(SyncAPIClient)


def test_wrapped_twice() -> None:
    """
    A wrapped client comes back itself.
    """
    client = wrap(SyncAPIClient())

    assert wrap(client) is client
    assert isinstance(client, SyncAPIClient)


def test_many_threads() -> None:
    """
    2,000 calls over 50 threads are 2,000 runs.
    """
    recorder = Recorder()
    client = wrap(SyncAPIClient(answer("Hi")))

    def call(_: int) -> None:
        with callbacks(recorder):
            client.request(dict, options())

    with ThreadPoolExecutor(50) as pool:
        list(pool.map(call, range(2_000)))

    assert len(recorder.runs) == 2_000
    assert set(statuses(recorder)) == {"ok"}


@pytest.mark.anyio
async def test_many_tasks() -> None:
    """
    500 streams at once are 500 runs, each with its own text.
    """
    recorder = Recorder()

    async def read() -> None:
        async for _ in await aask(AsyncStream()):
            await asyncio.sleep(0)

    with callbacks(recorder):
        await asyncio.gather(*(read() for _ in range(500)))

    assert statuses(recorder) == ["ok"] * 500
    assert set(texts(recorder)) == {"Hi"}


def refuses(*_: object) -> Any:
    """
    Stand for code of a value's own that fails.
    """
    raise SystemExit


def test_answer_that_lies_about_its_class() -> None:
    """
    An answer is not asked for its class, as no payload is.
    """
    lying = type("Lying", (), {"__class__": property(refuses)})()

    class Client(SyncAPIClient):
        def request(self, cast_to: Any, options: Any, **kwargs: Any) -> Any:
            return lying

    with callbacks(Recorder()):
        told = wrap(Client()).request(dict, options())

    assert told is lying


def test_model_of_a_text_of_its_own() -> None:
    """
    A model's name is taken as the text that it is: no code of it runs.
    """
    name = type("Name", (str,), {"__len__": refuses, "__bool__": refuses})("m")
    recorder = Recorder()
    body = {"model": name, "messages": HI}

    with callbacks(recorder, StdOutCallbackHandler(StringIO())):
        ask({"id": "c1", "choices": []}, options=options(json_data=body))

    assert type(recorder.runs[0].model) is str
