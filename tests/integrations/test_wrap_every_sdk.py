"""
``wrap(client)``: the same facts of the clients of every SDK, sync and async.
"""

import gc
import inspect
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

from instrument import Event, callbacks, wrap
from instrument.testing import Recorder

if TYPE_CHECKING:
    from tests.integrations.provider import Provider

# Google's SDK takes aiohttp where that is installed
pytestmark = pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession")

SDKS: list[Any] = import_module("sdks").SDKS
closing: Any = import_module("sdks").closing
PROVIDER: Any = import_module("provider")

WORDS = ["Hel", "lo ", "wor", "ld"]
THOUGHTS = ["Let me ", "think."]
CALL = {"name": "get_weather", "arguments": {"city": "Oslo"}}

SYNC = [(sdk, name) for sdk in SDKS for name in sdk.calls]
ASYNC = [(sdk, name) for sdk in SDKS if sdk.amake for name in sdk.acalls]

every_call = pytest.mark.parametrize(
    "sdk, name", SYNC, ids=[f"{sdk.provider}-{name}" for sdk, name in SYNC]
)
every_async_call = pytest.mark.parametrize(
    "sdk, name", ASYNC, ids=[f"{sdk.provider}-{name}" for sdk, name in ASYNC]
)
CALLED = [it for it in SDKS if it.calls]
every_sdk = pytest.mark.parametrize("sdk", CALLED, ids=lambda it: it.provider)
every_sdk_but_bedrock = pytest.mark.parametrize(
    "sdk", [it for it in CALLED if it.provider != "bedrock"], ids=lambda it: it.provider
)
every_sdk_that_retries = pytest.mark.parametrize(
    "sdk",
    [it for it in SDKS if it.provider in ("openai", "anthropic", "groq", "together")],
    ids=lambda it: it.provider,
)


def check(recorder: Recorder, sdk: Any, name: str) -> None:
    """
    Check the one run of a call by what the fake provider answers.
    """
    (run,) = recorder.runs
    assert run.status == "ok"
    assert run.provider == sdk.provider
    assert run.name.startswith(f"{sdk.provider}.")
    last = recorder.events[-1].data
    if name == "embed":
        assert run.kind == "embedding"
        assert run.inputs == ["a", "b"]
        assert last["vectors"] == {"count": 2, "size": 2}
        return

    assert run.model == last["model"] == ("think" if "think" in name else "m")
    assert run.usage.to_dict() == sdk.usage
    assert last["finish_reason"]
    is_text = name.startswith("text")
    assert run.kind == ("llm" if is_text else "chat_model")
    assert run.inputs == (["hi"] if is_text else [{"role": "user", "content": "hi"}])
    assert last["text"] == ("" if "tools" in name else "Hello world")
    assert last.get("reasoning") == ("Let me think." if "think" in name else None)
    calls = [{k: call[k] for k in CALL} for call in last["tool_calls"]]
    assert calls == ([CALL] if "tools" in name else [])
    tokens = [e.data for e in recorder.events if e.event == "on_llm_new_token"]
    texts = [token["token"] for token in tokens if token["channel"] == "text"]
    thought = [token["token"] for token in tokens if token["channel"] == "reasoning"]
    assert texts == (WORDS if "stream" in name and "tools" not in name else [])
    assert thought == (THOUGHTS if name == "think stream" else [])


def read(result: Any) -> list[Any]:
    """
    Read a result to its end, if it comes in pieces.
    """
    is_stream = hasattr(result, "__next__") or name_of(result) == "EventStream"
    return list(result) if is_stream else [result]


async def aread(result: Any) -> list[Any]:
    """
    The same of what comes from an async client.
    """
    result = await result if inspect.isawaitable(result) else result
    is_stream = hasattr(result, "__aiter__")
    return [item async for item in result] if is_stream else [result]


def name_of(value: object) -> str:
    """
    Name the class of *value*.
    """
    return type(value).__name__


@every_call
def test_a_call(sdk: Any, name: str, provider: "Provider") -> None:
    """
    A call is one run, with all that the provider tells, and the same bytes are sent.
    """
    pytest.importorskip(sdk.module)
    recorder = Recorder()

    with closing(sdk.make(provider.url)) as client:
        plain = read(sdk.calls[name](client))
        with callbacks(recorder):
            heard = read(sdk.calls[name](wrap(client)))

    check(recorder, sdk, name)
    assert [name_of(item) for item in heard] == [name_of(item) for item in plain]
    check_same(provider)


@every_async_call
@pytest.mark.anyio
async def test_an_async_call(sdk: Any, name: str, provider: "Provider") -> None:
    """
    The same of an async client.
    """
    pytest.importorskip(sdk.module)
    recorder = Recorder()

    async with sdk.amake(provider.url) as client:
        plain = await aread(sdk.acalls[name](client))
    async with wrap(sdk.amake(provider.url)) as client:
        with callbacks(recorder):
            heard = await aread(sdk.acalls[name](client))

    check(recorder, sdk, name)
    assert [name_of(item) for item in heard] == [name_of(item) for item in plain]
    check_same(provider)


def check_same(provider: "Provider") -> None:
    """
    Check that two requests were the same, byte for byte.
    """
    before, after = provider.requests
    assert after.path == before.path
    assert after.body == before.body
    assert stable(after.headers) == stable(before.headers)


def stable(headers: dict[str, str]) -> dict[str, str]:
    """
    Leave out what differs between any two requests.
    """
    differs = ("idempotency-key", "x-stainless-", "amz-sdk-", "authorization", "x-amz")
    return {k: v for k, v in headers.items() if not k.startswith(differs)}


@every_sdk
def test_the_client_stays_as_it_was(sdk: Any, provider: "Provider") -> None:
    """
    What is wrapped is another object, of the same class to `isinstance`; the client
    itself is not heard, and a second wrap changes nothing.
    """
    pytest.importorskip(sdk.module)
    recorder = Recorder()

    with closing(sdk.make(provider.url)) as client:
        before = dict(vars(client))
        wrapped = wrap(client)
        after = {name: vars(client)[name] for name in before}
        with callbacks(recorder):
            sdk.calls["chat"](client)

    assert isinstance(wrapped, type(client))
    assert name_of(wrapped) == name_of(client)
    assert wrap(wrapped) is wrapped
    assert after == before
    assert recorder.events == []


@every_sdk
def test_a_client_made_for_the_call(sdk: Any, provider: "Provider") -> None:
    """
    A wrapped client keeps the connections of one that nobody else holds.
    """
    pytest.importorskip(sdk.module)
    recorder = Recorder()

    with closing(wrap(sdk.make(provider.url))) as wrapped:
        gc.collect()
        with callbacks(recorder):
            read(sdk.calls["chat"](wrapped))

    check(recorder, sdk, "chat")


@every_sdk
def test_a_refused_key(sdk: Any, provider: "Provider") -> None:
    """
    A provider's error ends the run once, and is the SDK's own object.
    """
    pytest.importorskip(sdk.module)
    provider.will(401)
    recorder = Recorder()

    with (
        closing(wrap(sdk.make(provider.url))) as client,
        callbacks(recorder),
        pytest.raises(Exception) as caught,
    ):
        read(sdk.calls["chat"](client))

    (run,) = recorder.runs
    assert run.status == "error"
    assert run.error is caught.value
    assert [event.event for event in recorder.events] == [
        "on_chat_model_start",
        "on_llm_error",
    ]
    assert type(caught.value).__module__.partition(".")[0] != "instrument"


@every_sdk_that_retries
def test_a_retry(sdk: Any, provider: "Provider") -> None:
    """
    A call that the SDK tries three times is one run, which tells each time.
    """
    pytest.importorskip(sdk.module)
    provider.will(429, 429, PROVIDER.OK)
    recorder = Recorder()

    with closing(wrap(sdk.make(provider.url))) as client, callbacks(recorder):
        sdk.calls["chat"](client)

    check(recorder, sdk, "chat")
    assert retries(recorder) == [1, 2]
    assert len(provider.requests) == 3


@every_sdk_that_retries
@pytest.mark.anyio
async def test_an_async_retry(sdk: Any, provider: "Provider") -> None:
    """
    The same of an async client, in a stream.
    """
    pytest.importorskip(sdk.module)
    provider.will(429, PROVIDER.OK)
    recorder = Recorder()

    async with wrap(sdk.amake(provider.url)) as client:
        with callbacks(recorder):
            await aread(sdk.acalls["stream"](client))

    check(recorder, sdk, "stream")
    assert retries(recorder) == [1]


def retries(recorder: Recorder) -> list[int]:
    """
    Give the attempts that were told to have failed.
    """
    return [e.data["attempt"] for e in recorder.events if e.event == "on_retry"]


@every_sdk
def test_a_stream_comes_as_it_is_sent(sdk: Any, provider: "Provider") -> None:
    """
    A token is heard when it has come, before the rest is sent.
    """
    pytest.importorskip(sdk.module)
    provider.will(PROVIDER.HOLD)
    heard: list[str] = []

    def hear(event: Event) -> None:
        if event.event == "on_llm_new_token":
            provider.release()
        heard.append(event.event)

    with closing(wrap(sdk.make(provider.url))) as client, callbacks(hear):
        stream = iter(sdk.calls["stream"](client))
        while "on_llm_new_token" not in heard:
            next(stream)
        before_the_rest = list(heard)
        list(stream)

    assert "on_llm_end" not in before_the_rest
    assert heard[-1] == "on_llm_end"


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # of the SDK's own socket
@pytest.mark.filterwarnings("ignore:unclosed")  # the SDK drops its connection, too
@every_sdk
def test_a_stream_left_early(sdk: Any, provider: "Provider") -> None:
    """
    A stream that is dropped ends its run as abandoned, with what there was of it.
    """
    pytest.importorskip(sdk.module)
    recorder = Recorder()

    with closing(wrap(sdk.make(provider.url))) as client, callbacks(recorder):
        stream = iter(sdk.calls["stream"](client))
        while not any(event.event == "on_llm_new_token" for event in recorder.events):
            next(stream)
        del stream
        gc.collect()

    (run,) = recorder.runs
    assert run.status == "abandoned"
    assert recorder.events[-1].data["text"] == "Hel"


@every_sdk_but_bedrock  # botocore takes a stream that breaks off for one that ended
def test_a_stream_cut_off(sdk: Any, provider: "Provider") -> None:
    """
    A connection that breaks in a stream ends the run with the SDK's error.
    """
    pytest.importorskip(sdk.module)
    provider.will(PROVIDER.CUT)
    recorder = Recorder()

    with (
        closing(wrap(sdk.make(provider.url))) as client,
        callbacks(recorder),
        pytest.raises(Exception) as caught,
    ):
        read(sdk.calls["stream"](client))

    (run,) = recorder.runs
    assert run.status == "error"
    assert run.error is caught.value


@every_sdk
def test_an_unheard_stream(sdk: Any, provider: "Provider") -> None:
    """
    Where nobody listens a wrapped client gives what the SDK gives, untouched.
    """
    pytest.importorskip(sdk.module)

    with closing(wrap(sdk.make(provider.url))) as client:
        result = sdk.calls["stream"](client)
        read(result)

    assert "_instrument_call" not in getattr(result, "__dict__", {})
