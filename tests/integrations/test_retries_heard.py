"""
What SDKs try again by themselves is told, where a function of theirs says that they do.
"""

import gc
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

from instrument import auto, callbacks, traced, wrap
from instrument.testing import Recorder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integrations.provider import Provider

if sys.version_info < (3, 12):
    pytest.skip("sys.monitoring needs Python 3.12", allow_module_level=True)

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # of the SDKs' own sockets
]

sdks: Any = import_module("sdks")
facts: Any = import_module("facts")
PROVIDER: Any = import_module("provider")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> "Iterator[None]":
    """
    Hear SDKs, whose pauses are as short as chance can make them.
    """
    monkeypatch.setattr("random.random", lambda: 0.0)
    monkeypatch.setattr("random.uniform", lambda low, high: low)
    auto.install()
    yield
    auto.uninstall()
    gc.collect()


def patient(sdk: Any) -> dict[str, Any]:
    """
    Give what a call of this SDK has to be given to be tried again.
    """
    if sdk is not sdks.MISTRAL:
        return {}
    utils = pytest.importorskip("mistralai.client.utils")
    pauses = utils.BackoffStrategy(1, 1, 1.0, 9_000)
    return {"retries": utils.RetryConfig("backoff", pauses, False)}


def says_so(sdk: Any) -> bool:
    """
    Tell whether ``auto.status`` names what this SDK tries again.
    """
    name = "botocore" if sdk is sdks.BEDROCK else sdk.provider
    return any("retries" in it.hears for it in auto.status() if it.framework == name)


@pytest.mark.parametrize("is_wrapped", [False, True])
@pytest.mark.parametrize(
    "sdk, name",
    [
        (sdks.MISTRAL, "chat"),
        (sdks.MISTRAL, "stream"),
        (sdks.COHERE, "chat"),
        (sdks.BEDROCK, "chat"),
        (sdks.BEDROCK, "stream"),
    ],
    ids=lambda it: getattr(it, "provider", it),
)
def test_a_retry(sdk: Any, name: str, is_wrapped: bool, provider: "Provider") -> None:
    """
    A call that the SDK tries three times is one run, which tells each time, once.
    """
    provider.will(429, 429, PROVIDER.OK)
    recorder = Recorder()

    with sdks.closing(sdk.make(provider.url)) as client, callbacks(recorder):
        asked = wrap(client) if is_wrapped else client
        facts.read(sdk.calls[name](asked, **patient(sdk)))

    facts.check(recorder, sdk, name)
    assert facts.retries(recorder) == [1, 2]
    assert says_so(sdk)
    assert len(provider.requests) == 3


@pytest.mark.parametrize(
    "sdk, name",
    [(sdks.MISTRAL, "chat"), (sdks.MISTRAL, "stream"), (sdks.COHERE, "chat")],
    ids=lambda it: getattr(it, "provider", it),
)
async def test_an_async_retry(sdk: Any, name: str, provider: "Provider") -> None:
    """
    The same of an async client.
    """
    provider.will(429, PROVIDER.OK)
    recorder = Recorder()

    async with sdk.amake(provider.url) as client:
        with callbacks(recorder):
            await facts.aread(sdk.acalls[name](client, **patient(sdk)))

    facts.check(recorder, sdk, name)
    assert facts.retries(recorder) == [1]


@pytest.mark.parametrize(
    "sdk", [sdks.OLLAMA, sdks.HUGGINGFACE], ids=lambda it: it.provider
)
def test_no_retry(sdk: Any, provider: "Provider") -> None:
    """
    An SDK that never tries again has nothing to tell.
    """
    provider.will(429, PROVIDER.OK)
    recorder = Recorder()

    with (
        sdks.closing(sdk.make(provider.url)) as client,
        callbacks(recorder),
        pytest.raises(Exception, match="429"),
    ):
        sdk.calls["chat"](client)

    assert facts.retries(recorder) == []
    assert not says_so(sdk)
    assert len(provider.requests) == 1


def test_a_retry_of_another_service(provider: "Provider") -> None:
    """
    What another of Amazon's services tries again is no retry of the model around it.
    """
    boto3 = pytest.importorskip("boto3")
    provider.will(503)
    recorder = Recorder()

    @traced.chat_model
    def ask(question: str) -> None:
        queues = boto3.client(
            "sqs",
            region_name="us-east-1",
            aws_access_key_id="a",
            aws_secret_access_key="b",
            endpoint_url=provider.url,
        )
        with sdks.closing(queues), pytest.raises(Exception, match="503"):
            queues.list_queues()

    with callbacks(recorder):
        ask("hi")

    assert len(provider.requests) > 1
    assert facts.retries(recorder) == []
