"""
Whatever goes wrong in the call of an SDK, heard by hand or automatically: its run ends
once, with the exception object that the caller gets.
"""

import asyncio
import gc
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

from instrument import callbacks
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

SDKS: list[Any] = import_module("sdks").SDKS
CLOSING: Any = import_module("sdks").closing
PROVIDER: Any = import_module("provider")

FATES = [401, 429, PROVIDER.MALFORMED, PROVIDER.CUT]

every_fate = pytest.mark.parametrize("fate", FATES)
every_name = pytest.mark.parametrize("name", ["chat", "stream"])


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Keep Amazon's SDK from trying again: its pauses cannot be made shorter.
    """
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")


def brief(client: Any, fate: Any) -> Any:
    """
    Spare a client the pauses before it tries again, where the provider names no time.
    """
    if fate == PROVIDER.CUT and hasattr(client, "with_options"):
        return client.with_options(max_retries=0)
    return client


def check(recorder: Recorder, caught: BaseException | None) -> None:
    """
    Check that the run has ended once, as the caller saw it.
    """
    (run,) = recorder.runs
    told = [e.event for e in recorder.events]
    left = [name for name in told if name not in ("on_llm_new_token", "on_retry")]
    assert left[1:] == ["on_llm_end" if caught is None else "on_llm_error"]
    assert run.error is caught
    assert run.status == ("ok" if caught is None else "error")


@every_fate
@every_name
@facts.every_sdk
def test_an_error(
    sdk: Any, name: str, fate: Any, hear: Any, provider: "Provider"
) -> None:
    """
    An error of the provider or of the network.
    """
    provider.will(fate)
    recorder = Recorder()
    caught = None

    with CLOSING(sdk.make(provider.url)) as client, callbacks(recorder):
        try:
            facts.read(sdk.calls[name](brief(hear(client), fate)))
        except Exception as exc:
            caught = exc

    check(recorder, caught)
    if isinstance(fate, int):
        assert caught is not None


@every_fate
@every_name
@facts.every_async_sdk
async def test_an_async_error(
    sdk: Any, name: str, fate: Any, hear: Any, provider: "Provider"
) -> None:
    """
    The same in async code.
    """
    provider.will(fate)
    recorder = Recorder()
    caught = None

    async with sdk.amake(provider.url) as client:
        with callbacks(recorder):
            try:
                await facts.aread(sdk.acalls[name](brief(hear(client), fate)))
            except Exception as exc:
                caught = exc

    check(recorder, caught)
    if isinstance(fate, int):
        assert caught is not None


@every_name
@facts.every_async_sdk
async def test_a_cancelled_task(
    sdk: Any, name: str, hear: Any, provider: "Provider"
) -> None:
    """
    A task that is cancelled while it waits for the provider.
    """
    provider.will(PROVIDER.HANG)
    recorder = Recorder()

    async with sdk.amake(provider.url) as client:
        with callbacks(recorder):
            call = facts.aread(sdk.acalls[name](hear(client)))
            task = asyncio.ensure_future(call)
            assert await asyncio.to_thread(provider.arrived.wait, 5)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    (run,) = recorder.runs
    assert run.status == "cancelled"
    assert [e.event for e in recorder.events] == ["on_chat_model_start", "on_llm_error"]


@facts.every_sdk
def test_a_stream_closed_early(sdk: Any, hear: Any, provider: "Provider") -> None:
    """
    A consumer that breaks off, and closes what it read.
    """
    recorder = Recorder()

    with CLOSING(sdk.make(provider.url)) as client, callbacks(recorder):
        stream = sdk.calls["stream"](hear(client))
        pieces = iter(stream)
        while not any(e.event == "on_llm_new_token" for e in recorder.events):
            next(pieces)
        stream.close()
        del stream, pieces  # Python 3.13 tells nobody that it closes a generator
        gc.collect()

    (run,) = recorder.runs
    assert run.status == "abandoned"
    assert recorder.events[-1].data["text"] == "Hel"


@facts.every_async_sdk
async def test_an_async_stream_left_early(
    sdk: Any, hear: Any, provider: "Provider"
) -> None:
    """
    The same in async code.
    """
    recorder = Recorder()

    async with sdk.amake(provider.url) as client:
        with callbacks(recorder):
            stream = sdk.acalls["stream"](hear(client))
            stream = await stream if hasattr(stream, "__await__") else stream
            pieces = aiter(stream)
            while not any(e.event == "on_llm_new_token" for e in recorder.events):
                await anext(pieces)
            await getattr(stream, "aclose" if hasattr(stream, "aclose") else "close")()
            del stream, pieces
            gc.collect()

    (run,) = recorder.runs
    assert run.status == "abandoned"
    assert recorder.events[-1].data["text"] == "Hel"
