"""
``wrap(client)``: the same facts of the clients of every SDK, sync and async.
"""

import gc
import sys
from collections.abc import Iterator
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

from instrument import Event, auto, callbacks, wrap
from instrument._hearing.monitored.methods import MethodWatch
from instrument._hearing.monitored.stainless import PostWatch
from instrument.integrations.botocore import ApiWatch
from instrument.testing import Recorder

if TYPE_CHECKING:
    from tests.integrations import facts
    from tests.integrations.provider import Provider
else:
    facts = import_module("facts")

# Google's SDK takes aiohttp where that is installed
pytestmark = pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession")

CLOSING: Any = import_module("sdks").closing
PROVIDER: Any = import_module("provider")


@facts.every_call
def test_a_call(sdk: Any, name: str, provider: "Provider") -> None:
    """
    A call is one run, with all that the provider tells, and the same bytes are sent.
    """
    recorder = Recorder()

    with CLOSING(sdk.make(provider.url)) as client:
        plain = facts.read(sdk.calls[name](client))
        with callbacks(recorder):
            heard = facts.read(sdk.calls[name](wrap(client)))

    facts.check(recorder, sdk, name)
    assert [facts.name_of(item) for item in heard] == [
        facts.name_of(item) for item in plain
    ]
    facts.check_same(provider)


@facts.every_async_call
@pytest.mark.anyio
async def test_an_async_call(sdk: Any, name: str, provider: "Provider") -> None:
    """
    The same of an async client.
    """
    recorder = Recorder()

    async with sdk.amake(provider.url) as client:
        plain = await facts.aread(sdk.acalls[name](client))
    async with wrap(sdk.amake(provider.url)) as client:
        with callbacks(recorder):
            heard = await facts.aread(sdk.acalls[name](client))

    facts.check(recorder, sdk, name)
    assert [facts.name_of(item) for item in heard] == [
        facts.name_of(item) for item in plain
    ]
    facts.check_same(provider)


@pytest.fixture
def entered(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """
    Hear all SDKs, and note the calls that their watches look at.
    """
    seen: list[str] = []

    def noting(called: Any) -> Any:
        def called_and_noted(watch: Any, frame: Any) -> Any:
            seen.append(frame.f_code.co_qualname)
            return called(watch, frame)

        return called_and_noted

    for watch in (ApiWatch, MethodWatch, PostWatch):
        monkeypatch.setattr(watch, "called", noting(watch.called))
    auto.install()
    yield seen
    auto.uninstall()


@pytest.mark.skipif(sys.version_info < (3, 12), reason="there is no sys.monitoring")
@facts.every_sdk
def test_a_call_is_heard_once(
    sdk: Any, provider: "Provider", entered: list[str]
) -> None:
    """
    What a wrapped client hears is not looked at by `auto`, which hears other clients.
    """
    recorder = Recorder()

    with CLOSING(sdk.make(provider.url)) as client:
        with callbacks(recorder):
            facts.read(sdk.calls["chat"](wrap(client)))
        assert entered == []
        with callbacks(Recorder()):
            facts.read(sdk.calls["chat"](client))

    assert len(entered) == 1
    facts.check(recorder, sdk, "chat")


@pytest.mark.skipif(sys.version_info < (3, 12), reason="there is no sys.monitoring")
@facts.every_async_sdk
@pytest.mark.anyio
async def test_an_async_call_is_heard_once(
    sdk: Any, provider: "Provider", entered: list[str]
) -> None:
    """
    The same of an async client.
    """
    recorder = Recorder()

    async with wrap(sdk.amake(provider.url)) as client:
        with callbacks(recorder):
            await facts.aread(sdk.acalls["chat"](client))

    assert entered == []
    facts.check(recorder, sdk, "chat")


@facts.every_sdk
def test_the_client_stays_as_it_was(sdk: Any, provider: "Provider") -> None:
    """
    What is wrapped is another object, of the same class to `isinstance`; the client
    itself is not heard, and a second wrap changes nothing.
    """
    recorder = Recorder()

    with CLOSING(sdk.make(provider.url)) as client:
        before = dict(vars(client))
        wrapped = wrap(client)
        after = {name: vars(client)[name] for name in before}
        with callbacks(recorder):
            sdk.calls["chat"](client)

    assert isinstance(wrapped, type(client))
    assert facts.name_of(wrapped) == facts.name_of(client)
    assert wrap(wrapped) is wrapped
    assert after == before
    assert recorder.events == []


@facts.every_sdk
def test_a_client_made_for_the_call(sdk: Any, provider: "Provider") -> None:
    """
    A wrapped client keeps the connections of one that nobody else holds.
    """
    recorder = Recorder()

    with CLOSING(wrap(sdk.make(provider.url))) as wrapped:
        gc.collect()
        with callbacks(recorder):
            facts.read(sdk.calls["chat"](wrapped))

    facts.check(recorder, sdk, "chat")


@facts.every_sdk
def test_a_refused_key(sdk: Any, provider: "Provider") -> None:
    """
    A provider's error ends the run once, and is the SDK's own object.
    """
    provider.will(401)
    recorder = Recorder()

    with (
        CLOSING(wrap(sdk.make(provider.url))) as client,
        callbacks(recorder),
        pytest.raises(Exception) as caught,
    ):
        facts.read(sdk.calls["chat"](client))

    (run,) = recorder.runs
    assert run.status == "error"
    assert run.error is caught.value
    assert [event.event for event in recorder.events] == [
        "on_chat_model_start",
        "on_llm_error",
    ]
    assert type(caught.value).__module__.partition(".")[0] != "instrument"


@facts.every_sdk_that_retries
def test_a_retry(sdk: Any, provider: "Provider") -> None:
    """
    A call that the SDK tries three times is one run, which tells each time.
    """
    provider.will(429, 429, PROVIDER.OK)
    recorder = Recorder()

    with CLOSING(wrap(sdk.make(provider.url))) as client, callbacks(recorder):
        sdk.calls["chat"](client)

    facts.check(recorder, sdk, "chat")
    assert facts.retries(recorder) == [1, 2]
    assert len(provider.requests) == 3


@facts.every_sdk_that_retries
@pytest.mark.anyio
async def test_an_async_retry(sdk: Any, provider: "Provider") -> None:
    """
    The same of an async client, in a stream.
    """
    provider.will(429, PROVIDER.OK)
    recorder = Recorder()

    async with wrap(sdk.amake(provider.url)) as client:
        with callbacks(recorder):
            await facts.aread(sdk.acalls["stream"](client))

    facts.check(recorder, sdk, "stream")
    assert facts.retries(recorder) == [1]


@facts.every_sdk
def test_a_stream_comes_as_it_is_sent(sdk: Any, provider: "Provider") -> None:
    """
    A token is heard when it has come, before the rest is sent.
    """
    provider.will(PROVIDER.HOLD)
    heard: list[str] = []

    def hear(event: Event) -> None:
        if event.event == "on_llm_new_token":
            provider.release()
        heard.append(event.event)

    with CLOSING(wrap(sdk.make(provider.url))) as client, callbacks(hear):
        stream = iter(sdk.calls["stream"](client))
        while "on_llm_new_token" not in heard:
            next(stream)
        before_the_rest = list(heard)
        list(stream)

    assert "on_llm_end" not in before_the_rest
    assert heard[-1] == "on_llm_end"


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # of the SDK's own socket
@pytest.mark.filterwarnings("ignore:unclosed")  # the SDK drops its connection, too
@facts.every_sdk
def test_a_stream_left_early(sdk: Any, provider: "Provider") -> None:
    """
    A stream that is dropped ends its run as abandoned, with what there was of it.
    """
    recorder = Recorder()

    with CLOSING(wrap(sdk.make(provider.url))) as client, callbacks(recorder):
        stream = iter(sdk.calls["stream"](client))
        while not any(event.event == "on_llm_new_token" for event in recorder.events):
            next(stream)
        del stream
        gc.collect()

    (run,) = recorder.runs
    assert run.status == "abandoned"
    assert recorder.events[-1].data["text"] == "Hel"


@facts.every_sdk_but_bedrock  # botocore takes a stream that breaks off for one that ended
def test_a_stream_cut_off(sdk: Any, provider: "Provider") -> None:
    """
    A connection that breaks in a stream ends the run with the SDK's error.
    """
    provider.will(PROVIDER.CUT)
    recorder = Recorder()

    with (
        CLOSING(wrap(sdk.make(provider.url))) as client,
        callbacks(recorder),
        pytest.raises(Exception) as caught,
    ):
        facts.read(sdk.calls["stream"](client))

    (run,) = recorder.runs
    assert run.status == "error"
    assert run.error is caught.value


@facts.every_sdk
def test_an_unheard_stream(sdk: Any, provider: "Provider") -> None:
    """
    Where nobody listens a wrapped client gives what the SDK gives, untouched.
    """
    with CLOSING(wrap(sdk.make(provider.url))) as client:
        result = sdk.calls["stream"](client)
        facts.read(result)

    assert "_instrument_call" not in getattr(result, "__dict__", {})
