"""
What keeps the caller of an SDK waiting too long, heard by hand or automatically: its run
ends once, with the exception object that the caller gets.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

from instrument import Event, callbacks
from instrument.testing import Recorder

if TYPE_CHECKING:
    from tests.integrations import facts
    from tests.integrations.provider import Provider
else:
    facts = import_module("facts")

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # of the SDKs' own sockets
    # Google's SDK takes aiohttp where that is installed
    pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession"),
]

sdks: Any = import_module("sdks")
PROVIDER: Any = import_module("provider")

Make = Callable[[str, float], Any]
"""Makes a client of a URL that waits so many seconds."""

PATIENCE_S = (0.25, 1.0, 4.0)
"""One after the other, until a piece of a stream has come first: machines are busy."""


def stainless(name: str, kind: str, path: str = "") -> Make:
    def make(url: str, patience_s: float) -> Any:
        client = getattr(import_module(name), kind)
        given = {"api_key": "k", "base_url": url + path, "max_retries": 0}
        return client(timeout=patience_s, **given)

    return make


def genai(url: str, patience_s: float) -> Any:
    options = {"base_url": url, "timeout": round(patience_s * 1000)}
    return import_module("google.genai").Client(api_key="k", http_options=options)


def mistral(url: str, patience_s: float) -> Any:
    given = {"api_key": "k", "server_url": url + "/mistral"}
    client = import_module("mistralai.client").Mistral
    return client(timeout_ms=round(patience_s * 1000), **given)


def cohere(kind: str) -> Make:
    def make(url: str, patience_s: float) -> Any:
        client = getattr(import_module("cohere"), kind)
        return client(api_key="k", base_url=url, timeout=patience_s)

    return make


def ollama(kind: str) -> Make:
    return lambda url, patience_s: getattr(import_module("ollama"), kind)(
        host=url, timeout=patience_s
    )


def hugging(kind: str) -> Make:
    def make(url: str, patience_s: float) -> Any:
        client = getattr(import_module("huggingface_hub"), kind)
        return client(base_url=url + "/v1", api_key="k", timeout=patience_s)

    return make


def bedrock(url: str, patience_s: float) -> Any:
    retries = {"total_max_attempts": 1}
    return sdks.bedrock(url, read_timeout=patience_s, retries=retries)


# Groq's and Together's clients are made by the same generator as the first two
HASTY: list[tuple[Any, Make]] = [
    (sdks.OPENAI, stainless("openai", "OpenAI", "/v1")),
    (sdks.ANTHROPIC, stainless("anthropic", "Anthropic")),
    (sdks.GENAI, genai),
    (sdks.MISTRAL, mistral),
    (sdks.COHERE, cohere("ClientV2")),
    (sdks.OLLAMA, ollama("Client")),
    (sdks.HUGGINGFACE, hugging("InferenceClient")),
    (sdks.BEDROCK, bedrock),
]
ASYNC_HASTY: list[tuple[Any, Make]] = [
    (sdks.OPENAI, stainless("openai", "AsyncOpenAI", "/v1")),
    (sdks.ANTHROPIC, stainless("anthropic", "AsyncAnthropic")),
    (sdks.GENAI_AIO, lambda url, patience_s: genai(url, patience_s).aio),
    (sdks.MISTRAL, mistral),
    (sdks.COHERE, cohere("AsyncClientV2")),
    (sdks.OLLAMA, ollama("AsyncClient")),
    (sdks.HUGGINGFACE, hugging("AsyncInferenceClient")),
]
every_hasty_sdk = pytest.mark.parametrize(
    "sdk, make", HASTY, ids=[sdk.provider for sdk, _ in HASTY]
)
every_async_hasty_sdk = pytest.mark.parametrize(
    "sdk, make", ASYNC_HASTY, ids=[sdk.provider for sdk, _ in ASYNC_HASTY]
)
every_wait = pytest.mark.parametrize(
    "name, fate",
    [("chat", PROVIDER.HANG), ("stream", PROVIDER.HOLD)],
    ids=["chat", "within a stream"],
)


def check(recorder: Recorder, caught: BaseException, fate: str) -> None:
    """
    Check that the one run has ended once, with what the caller got.
    """
    (run,) = recorder.runs
    told = [e.event for e in recorder.events]
    tokens = facts.tokens(recorder)
    assert run.status == "error"
    assert run.error is caught
    assert told == [
        "on_chat_model_start",
        *["on_llm_new_token"] * len(tokens),
        "on_llm_error",
    ]
    assert bool(tokens) == (fate == PROVIDER.HOLD)


@every_wait
@every_hasty_sdk
def test_a_timeout(
    sdk: Any, make: Any, name: str, fate: str, hear: Any, provider: "Provider"
) -> None:
    """
    A provider that does not answer, or go on, in time.
    """
    provider.will(fate)

    for patience_s in PATIENCE_S:
        recorder = Recorder()
        provider.requests.clear()
        with (
            sdks.closing(make(provider.url, patience_s)) as client,
            callbacks(recorder),
            pytest.raises(Exception) as caught,
        ):
            facts.read(sdk.calls[name](hear(client)))
        if fate == PROVIDER.HANG or facts.tokens(recorder):
            break

    check(recorder, caught.value, fate)
    assert len(provider.requests) <= 1


@every_async_hasty_sdk
async def test_an_async_timeout(
    sdk: Any, make: Any, hear: Any, provider: "Provider"
) -> None:
    """
    The same in async code, within a stream.
    """
    provider.will(PROVIDER.HOLD)

    for patience_s in PATIENCE_S:
        recorder = Recorder()
        async with make(provider.url, patience_s) as client:
            with callbacks(recorder), pytest.raises(Exception) as caught:
                await facts.aread(sdk.acalls["stream"](hear(client)))
        if facts.tokens(recorder):
            break

    check(recorder, caught.value, PROVIDER.HOLD)


@facts.every_async_sdk
async def test_cancelled_within_a_stream(
    sdk: Any, hear: Any, provider: "Provider"
) -> None:
    """
    A task that is cancelled while it waits for the next piece of a stream.
    """
    provider.will(PROVIDER.HOLD)
    recorder = Recorder()
    has_begun = asyncio.Event()

    def begin(event: Event) -> None:
        if event.event == "on_llm_new_token":
            has_begun.set()

    async with sdk.amake(provider.url) as client:
        with callbacks(recorder, begin):
            call = facts.aread(sdk.acalls["stream"](hear(client)))
            task = asyncio.ensure_future(call)
            await asyncio.wait_for(has_begun.wait(), 5)
            await asyncio.sleep(0.01)  # it asks for the next piece
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    (run,) = recorder.runs
    assert run.status == "cancelled"
    assert isinstance(run.error, asyncio.CancelledError)
    assert [e.event for e in recorder.events][-1] == "on_llm_error"
    assert facts.tokens(recorder)
