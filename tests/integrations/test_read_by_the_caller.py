"""
Answers that the SDK does not parse: their caller reads the lines or the bytes himself, or
asks for the HTTP response. What passes by is told as the SDK's own stream would be.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

from instrument import callbacks
from instrument.testing import Recorder

if TYPE_CHECKING:
    from tests.integrations.provider import Provider

pytest.importorskip("openai")

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # of the SDK's own socket
]

facts = import_module("facts")
HELLO: list[Any] = import_module("sdks").HELLO
ASKED = {
    "model": "m",
    "messages": HELLO,
    "stream": True,
    "stream_options": {"include_usage": True},
}
READS: dict[str, Any] = {
    "iter_lines": lambda raw: [*raw.iter_lines()],
    "iter_bytes": lambda raw: [*raw.iter_bytes()],
    "small pieces": lambda raw: [*raw.iter_bytes(3)],
    "iter_text": lambda raw: [*raw.iter_text()],
    "read": lambda raw: raw.read(),
    "of httpx": lambda raw: [*raw.http_response.iter_lines()],
    "parse": lambda raw: [*raw.parse()],
}


def check(recorder: Recorder) -> None:
    """
    Check the one run by what the fake provider answers.
    """
    (run,) = recorder.runs
    assert run.status == "ok"
    assert facts.tokens(recorder) == facts.WORDS
    data = recorder.events[-1].data
    assert data["text"] == "Hello world"
    assert data["finish_reason"] == "stop"
    assert run.usage.input_tokens == 11


@pytest.mark.parametrize("name", list(READS))
def test_raw(name: str, client: Any) -> None:
    """
    A raw response, whichever way it is read.
    """
    recorder = Recorder()
    raw = client.chat.completions.with_streaming_response

    with callbacks(recorder), raw.create(**ASKED) as response:
        READS[name](response)

    check(recorder)


@pytest.mark.parametrize("name", ["iter_lines", "iter_bytes", "iter_text"])
async def test_async_raw(name: str, aclient: Any) -> None:
    """
    One of an async client.
    """
    recorder = Recorder()
    raw = aclient.chat.completions.with_streaming_response

    async with callbacks(recorder), raw.create(**ASKED) as response:
        async for _ in getattr(response, name)():
            pass

    check(recorder)


ASKS: dict[str, Any] = {
    "anthropic": lambda client: client.messages.with_streaming_response.create(
        model="m", max_tokens=9, messages=HELLO, stream=True
    ),
    "groq": lambda client: client.chat.completions.with_streaming_response.create(
        model="m", messages=HELLO, stream=True
    ),
    "together": lambda client: client.chat.completions.with_streaming_response.create(
        model="m", messages=HELLO, stream=True
    ),
    "openai": lambda client: client.responses.with_streaming_response.create(
        model="m", input="hi", stream=True
    ),
}


@pytest.mark.parametrize(
    "sdk", [it for it in facts.SDKS if it.provider in ASKS], ids=lambda it: it.provider
)
def test_each_sdk(sdk: Any, hear: Any, provider: "Provider") -> None:
    """
    One of each SDK that has them; what it tells is what its stream does.
    """
    recorder = Recorder()

    with (
        import_module("sdks").closing(sdk.make(provider.url)) as client,
        callbacks(recorder),
        ASKS[sdk.provider](hear(client)) as response,
    ):
        list(response.iter_lines())

    (run,) = recorder.runs
    assert run.status == "ok"
    assert recorder.events[-1].data["text"] == "Hello world"
    assert run.usage.to_dict() == sdk.usage
    assert facts.tokens(recorder) == facts.WORDS


def test_legacy_raw(client: Any) -> None:
    """
    The older raw response, whose HTTP response is read.
    """
    recorder = Recorder()

    with callbacks(recorder):
        raw = client.chat.completions.with_raw_response.create(**ASKED)
        for _ in raw.http_response.iter_lines():
            pass

    check(recorder)


def test_left(client: Any) -> None:
    """
    One that is left early ends as abandoned, with what had passed by.
    """
    recorder = Recorder()
    raw = client.chat.completions.with_streaming_response

    with callbacks(recorder), raw.create(**ASKED) as response:
        for line in response.iter_lines():
            if "lo " in line:
                break

    (run,) = recorder.runs
    assert run.status == "abandoned"
    assert recorder.events[-1].data["text"].startswith("Hel")


def test_failing_reader(client: Any) -> None:
    """
    What its reader throws into it reaches him, and ends the run.
    """
    recorder = Recorder()
    raw = client.chat.completions.with_streaming_response

    with callbacks(recorder), raw.create(**ASKED) as response:
        pieces = response.http_response.iter_bytes(8)
        next(pieces)
        with pytest.raises(KeyError):
            pieces.throw(KeyError())

    assert [run.status for run in recorder.runs] == ["error"]


async def test_async_failing_reader(aclient: Any) -> None:
    """
    The same in async code.
    """
    recorder = Recorder()
    raw = aclient.chat.completions.with_streaming_response

    async with callbacks(recorder), raw.create(**ASKED) as response:
        pieces = response.http_response.aiter_bytes(8)
        await anext(pieces)
        with pytest.raises(KeyError):
            await pieces.athrow(KeyError())

    assert [run.status for run in recorder.runs] == ["error"]


@pytest.mark.parametrize("is_stream", [True, False])
def test_cast_to_a_response(client: Any, is_stream: bool) -> None:
    """
    Who asks for the HTTP response gets it, read already: its JSON or its events are told.
    """
    recorder = Recorder()
    names = [cls.__module__.partition(".")[0] for cls in type(client._client).__mro__]
    httpx = import_module(next(it for it in names if it.startswith("httpx")))
    body = ASKED if is_stream else {"model": "m", "messages": HELLO}

    with callbacks(recorder):
        client.post("/chat/completions", cast_to=httpx.Response, body=body)

    (run,) = recorder.runs
    assert run.status == "ok"
    assert recorder.events[-1].data["text"] == "Hello world"
    assert run.usage.input_tokens == 11


def test_what_is_no_event(hear: Any, provider: "Provider") -> None:
    """
    Lines that hold no JSON, or no object, pass by.
    """
    passing = import_module("instrument._hearing.passing")
    events = passing.Events()
    pieces = [
        b"data: [1]\r\n\r\n: no\n\nevent: x\nda",
        b"ta: {\ndata: }\n\ndata: {\n\n",
    ]

    told = [event for piece in pieces for event in events.of(piece)]

    assert told == [{}]
    assert list(events.of(object())) == []
    assert list(events.of(b"x" * 9_000_000)) == list(events.of(b"\n\n")) == []
