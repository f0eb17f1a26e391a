"""
``instrument.auto``: the same facts of the SDKs' clients as they are, sync and async.
"""

import asyncio
import gc
import subprocess
import sys
from contextlib import ExitStack, suppress
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from instrument import (
    BaseCallbackHandler,
    Event,
    auto,
    callbacks,
    traced,
    wrap,
)
from instrument.testing import Recorder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integrations.provider import Provider

if sys.version_info < (3, 12):
    pytest.skip("sys.monitoring needs Python 3.12", allow_module_level=True)

# Google's SDK takes aiohttp where that is installed
pytestmark = pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession")

SDKS: list[Any] = import_module("sdks").SDKS
OPENAI: Any = import_module("sdks").OPENAI
GENAI: Any = import_module("sdks").GENAI_AIO
PROVIDER: Any = import_module("provider")
CLOSING: Any = import_module("sdks").closing
facts: Any = import_module("facts")


@pytest.fixture(autouse=True)
def installed() -> "Iterator[None]":
    """
    Hear SDKs in each test, and check that nothing is heard after it.
    """
    auto.install()
    yield
    gc.collect()
    auto.uninstall()
    assert sys.monitoring.get_tool(3) is None


@pytest.fixture
def make(provider: "Provider") -> "Iterator[Any]":
    """
    Make clients of the fake provider, which are closed after the test.
    """
    with ExitStack() as stack:

        def made(sdk: Any) -> Any:
            pytest.importorskip(sdk.module)
            return stack.enter_context(CLOSING(sdk.make(provider.url)))

        yield made


@facts.every_call
def test_a_call(sdk: Any, name: str, make: Any, provider: "Provider") -> None:
    """
    A call is one run, with all that the provider tells, and the same bytes are sent.
    """
    client = make(sdk)
    plain = facts.read(sdk.calls[name](client))
    recorder = Recorder()

    with callbacks(recorder):
        heard = facts.read(sdk.calls[name](client))

    facts.check(recorder, sdk, name)
    assert [type(item) for item in heard] == [type(item) for item in plain]
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
        with callbacks(recorder):
            heard = await facts.aread(sdk.acalls[name](client))

    facts.check(recorder, sdk, name)
    assert [type(item) for item in heard] == [type(item) for item in plain]
    facts.check_same(provider)


@facts.every_sdk
def test_a_refused_key(sdk: Any, make: Any, provider: "Provider") -> None:
    """
    A provider's error ends the run once, and is the SDK's own object.
    """
    provider.will(401)
    recorder = Recorder()
    client = make(sdk)

    with callbacks(recorder), pytest.raises(Exception) as caught:
        facts.read(sdk.calls["chat"](client))

    (run,) = recorder.runs
    assert run.error is caught.value
    assert [event.event for event in recorder.events] == [
        "on_chat_model_start",
        "on_llm_error",
    ]


@facts.every_sdk_that_retries
@pytest.mark.parametrize("is_wrapped", [False, True])
def test_a_retry(sdk: Any, is_wrapped: bool, make: Any, provider: "Provider") -> None:
    """
    A call that the SDK tries three times is one run, which tells each time, once.
    """
    provider.will(429, 429, PROVIDER.OK)
    recorder = Recorder()
    client = make(sdk)

    with callbacks(recorder):
        sdk.calls["chat"](wrap(client) if is_wrapped else client)

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

    async with sdk.amake(provider.url) as client:
        with callbacks(recorder):
            await facts.aread(sdk.acalls["stream"](client))

    facts.check(recorder, sdk, "stream")
    assert facts.retries(recorder) == [1]


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.anyio
async def test_a_retry_by_tenacity(is_async: bool, provider: "Provider") -> None:
    """
    Gemini's SDK has tenacity try again: that is told with tenacity's state.
    """
    genai = pytest.importorskip("google.genai")
    provider.will(429, PROVIDER.OK)
    recorder = Recorder()
    again = {"attempts": 3, "initial_delay": 0.001, "max_delay": 0.001, "jitter": 0}
    options = {"base_url": provider.url, "retry_options": again}

    with callbacks(recorder), genai.Client(api_key="k", http_options=options) as client:
        if is_async:
            await GENAI.acalls["chat"](client.aio)
            await client.aio.aclose()
        else:
            GENAI.acalls["chat"](client)

    facts.check(recorder, GENAI, "chat")
    told = [e.data for e in recorder.events if e.event == "on_retry"]
    assert [(data["attempt"], data["type"]) for data in told] == [(1, "ClientError")]


@facts.every_sdk
def test_a_stream_comes_as_it_is_sent(
    sdk: Any, make: Any, provider: "Provider"
) -> None:
    """
    A token is heard when it has come, before the rest is sent.
    """
    provider.will(PROVIDER.HOLD)
    heard: list[str] = []

    def hear(event: Event) -> None:
        if event.event == "on_llm_new_token":
            provider.release()
        heard.append(event.event)

    client = make(sdk)
    with callbacks(hear):
        stream = iter(sdk.calls["stream"](client))
        while "on_llm_new_token" not in heard:
            next(stream)
        seen_before_the_end = "on_llm_end" not in heard
        for _ in stream:
            pass

    assert seen_before_the_end


@pytest.mark.filterwarnings("ignore:unclosed")  # the SDK drops its connection, too
@facts.every_sdk
def test_a_stream_left_early(sdk: Any, make: Any) -> None:
    """
    A stream that is dropped ends its run as abandoned, with what there was of it.
    """
    recorder = Recorder()
    client = make(sdk)

    with callbacks(recorder):
        stream = iter(sdk.calls["stream"](client))
        while not any(event.event == "on_llm_new_token" for event in recorder.events):
            next(stream)
        del stream
        gc.collect()

    (run,) = recorder.runs
    assert run.status == "abandoned"
    assert recorder.events[-1].data["text"] == "Hel"


@pytest.mark.filterwarnings("ignore:unclosed")  # the SDK drops its connection, too
@facts.every_sdk
def test_a_stream_that_is_never_read(sdk: Any, make: Any) -> None:
    """
    A stream of which nobody reads a piece ends when it is dropped, if it has begun.
    """
    recorder = Recorder()
    client = make(sdk)

    with callbacks(recorder):
        stream = sdk.calls["stream"](client)
        if hasattr(stream, "close") and sdk.provider == "bedrock":
            stream.close()  # or its socket goes without being closed
        del stream
        gc.collect()

    assert {run.status for run in recorder.runs} <= {"abandoned"}


def test_a_response_that_is_parsed_later(make: Any) -> None:
    """
    A response that was left unread is one run, until it is parsed; so is the next.
    """
    create = make(OPENAI).chat.completions.with_streaming_response.create
    recorder = Recorder()

    with callbacks(recorder):
        for _ in range(2):
            with create(model="m", messages=[]) as response:
                assert recorder.runs[-1].status == "running"
                response.parse()

    assert [run.status for run in recorder.runs] == ["ok", "ok"]
    ends = [it.data for it in recorder.events if it.event == "on_llm_end"]
    assert [it["text"] for it in ends] == ["Hello world"] * 2


@facts.every_sdk_but_bedrock  # botocore takes a stream that breaks off for one that ended
def test_a_stream_cut_off(sdk: Any, make: Any, provider: "Provider") -> None:
    """
    A connection that breaks in a stream ends the run with the SDK's error.
    """
    provider.will(PROVIDER.CUT)
    recorder = Recorder()
    client = make(sdk)

    with callbacks(recorder), pytest.raises(Exception) as caught:
        facts.read(sdk.calls["stream"](client))

    (run,) = recorder.runs
    assert run.status == "error"
    assert run.error is caught.value


@facts.every_sdk
def test_nobody_listens(sdk: Any, make: Any) -> None:
    """
    Where nobody listens, or after uninstalling, a call is no run.
    """
    recorder = Recorder()
    client = make(sdk)

    facts.read(sdk.calls["stream"](client))
    auto.uninstall()
    with callbacks(recorder):
        facts.read(sdk.calls["stream"](client))

    assert recorder.events == []


@facts.every_sdk
def test_a_client_that_is_wrapped_as_well(sdk: Any, make: Any) -> None:
    """
    A wrapped client is heard once, its tokens too.
    """
    recorder = Recorder()
    client = wrap(make(sdk))

    with callbacks(recorder):
        facts.read(sdk.calls["stream"](client))

    facts.check(recorder, sdk, "stream")


@facts.every_sdk
def test_inside_a_model_of_ones_own(sdk: Any, make: Any) -> None:
    """
    Under ``@traced.chat_model`` the two are one run: its result, the SDK's facts.
    """
    recorder = Recorder()
    client = make(sdk)

    @traced.chat_model("mine")
    def ask(question: str) -> str:
        facts.read(sdk.calls["stream"](client))
        return "my answer"

    with callbacks(recorder):
        ask("hi")

    (run,) = recorder.runs
    last = recorder.events[-1].data
    tokens = [e for e in recorder.events if e.event == "on_llm_new_token"]
    assert (run.name, run.model, run.provider) == ("mine", "m", sdk.provider)
    assert last["text"] == "my answer"
    assert last["finish_reason"]
    assert run.usage.to_dict() == sdk.usage
    assert [e.data["token"] for e in tokens] == facts.WORDS


@facts.every_sdk
def test_nested_runs_as_children(sdk: Any, make: Any) -> None:
    """
    ``nested="child"`` shows each; so does the second call inside one run.
    """
    recorder = Recorder()
    client = make(sdk)

    @traced.chat_model("mine")
    def ask(times: int) -> None:
        for _ in range(times):
            sdk.calls["chat"](client)

    with callbacks(recorder):
        ask(2)
        auto.install(nested="child")
        ask(1)

    assert [run.depth for run in recorder.runs] == [0, 1, 0, 1]
    assert [run.name == "mine" for run in recorder.runs] == [True, False] * 2


@facts.every_sdk
def test_no_attribute_changes(sdk: Any, make: Any) -> None:
    """
    No attribute of the SDK's modules, classes or functions is another's.
    """
    auto.uninstall()
    client = make(sdk)
    for _ in range(3):  # what is made when it is first used has been made
        facts.read(sdk.calls["chat"](client))
        facts.snapshot(sdk.module)
    before = facts.snapshot(sdk.module)

    auto.install()
    with callbacks(Recorder()):
        facts.read(sdk.calls["chat"](client))
    during = facts.snapshot(sdk.module)

    assert {k: v for k, v in during.items() if before.get(k) != v} == {}


@facts.every_sdk
def test_a_handler_that_refuses(sdk: Any, make: Any, provider: "Provider") -> None:
    """
    A handler with ``raise_error`` stops the call before anything is sent.
    """
    client = make(sdk)

    class Refusing(BaseCallbackHandler):
        raise_error = True

        def on_chat_model_start(self, *args: Any, **kwargs: Any) -> None:
            raise PermissionError

    with callbacks(Refusing()), pytest.raises(PermissionError):
        facts.read(sdk.calls["chat"](client))

    assert provider.requests == []


def test_imported_before_the_sdks() -> None:
    """
    SDKs that are imported after ``instrument.auto`` are heard as those before it are.
    """
    pytest.importorskip("openai")
    code = f"""
import sys
sys.path.append({str(Path(__file__).parent)!r})
import instrument.auto
from instrument import callbacks
from instrument.testing import Recorder
from importlib.util import find_spec
import provider, sdks

with provider.Provider() as fake:
    for sdk in sdks.SDKS:
        if sdk.calls and find_spec(sdk.module.partition(".")[0]):
            with sdks.closing(sdk.make(fake.url)) as client, callbacks(it := Recorder()):
                sdk.calls["chat"](client)
            print(sdk.provider, *[run.status for run in it.runs])
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        capture_output=True,
        text=True,
        check=True,
    )

    heard = dict(line.split(maxsplit=1) for line in done.stdout.splitlines())
    assert heard["openai"] == "ok"
    assert set(heard.values()) == {"ok"}


def test_status() -> None:
    """
    ``status`` tells which SDKs are heard, and that nothing is missing of them.
    """
    for module in {"mcp", *(sdk.module for sdk in SDKS)}:
        pytest.importorskip(module)
    auto.install()

    told = {it.framework: it for it in auto.status()}

    for name in ("openai", "anthropic", "google_genai", "botocore", "mcp"):
        assert told[name].hears
        assert told[name].why_not is None
        assert told[name].hook == "sys.monitoring"
    assert [it for it in told.values() if it.hears and it.why_not] == []


@pytest.mark.anyio
async def test_a_cancelled_call(provider: "Provider") -> None:
    """
    A task that is cancelled while it waits for the answer ends its run as cancelled.
    """
    pytest.importorskip("openai")
    provider.will(PROVIDER.HANG)
    recorder = Recorder()

    async with OPENAI.amake(provider.url) as client:
        with callbacks(recorder):
            task = asyncio.create_task(OPENAI.acalls["chat"](client))
            while not provider.requests:  # noqa: ASYNC110 - another thread's
                await asyncio.sleep(0.01)
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    assert recorder.tree() == "chat_model openai.chat.completions: cancelled"
