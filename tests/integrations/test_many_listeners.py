"""
Many who listen at once to the clients of every SDK, and handlers that do odd things.
"""

import asyncio
import copy
import gc
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

from instrument import BaseCallbackHandler, Event, auto, callbacks, wrap
from instrument._hearing.sys_monitoring import MONITORING
from instrument.testing import Recorder

if TYPE_CHECKING:
    from tests.integrations import facts
    from tests.integrations.provider import Provider
else:
    facts = import_module("facts")

pytestmark = [
    pytest.mark.anyio,
    # Google's SDK takes aiohttp where that is installed
    pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession"),
]

SDKS: list[Any] = import_module("sdks").SDKS
closing: Any = import_module("sdks").closing

THREADS = 8
TASKS = 20


@facts.every_sdk
def test_threads(sdk: Any, hear: Any, provider: "Provider") -> None:
    """
    Threads that share a client hear their own calls, and nobody else's.
    """

    def ask(name: str) -> None:
        recorder = Recorder()
        with callbacks(recorder):
            facts.read(sdk.calls[name](client))
        facts.check(recorder, sdk, name)

    with closing(sdk.make(provider.url)) as made:
        client = hear(made)
        sdk.calls["chat"](client)  # some make parts of it when they are first used
        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(ask, ["chat", "stream"] * THREADS))


@facts.every_async_sdk
async def test_tasks(sdk: Any, hear: Any, provider: "Provider") -> None:
    """
    The same of tasks.
    """

    async def ask(name: str) -> None:
        recorder = Recorder()
        with callbacks(recorder):
            await facts.aread(sdk.acalls[name](client))
        facts.check(recorder, sdk, name)

    async with sdk.amake(provider.url) as made:
        client = hear(made)
        names = ["chat", "stream"] * (TASKS // 2)
        await asyncio.gather(*[ask(name) for name in names])


@facts.every_sdk
def test_a_handler_that_asks(sdk: Any, hear: Any, provider: "Provider") -> None:
    """
    What a handler itself asks of the client that it hears is answered, and is no run.
    """
    recorder = Recorder()
    answers: list[Any] = []

    def ask(event: Event) -> None:
        answers.append(facts.read(sdk.calls["stream"](client)))

    with closing(sdk.make(provider.url)) as made, callbacks(ask, recorder):
        client = hear(made)
        facts.read(sdk.calls["stream"](client))

    facts.check(recorder, sdk, "stream")
    assert len(answers) == len(["start", *facts.WORDS, "end"])
    assert len({len(answer) for answer in answers}) == 1


@pytest.mark.parametrize("name", ["chat", "stream"])
@facts.every_sdk
def test_a_handler_that_refuses_the_end(
    sdk: Any, name: str, hear: Any, provider: "Provider"
) -> None:
    """
    What a handler with ``raise_error`` raises at the end reaches the caller; others hear
    the end.
    """
    recorder = Recorder()

    class Refuse(BaseCallbackHandler):
        raise_error = True

        def on_llm_end(self, *args: Any, **kwargs: Any) -> None:
            raise PermissionError

    with closing(sdk.make(provider.url)) as made, callbacks(Refuse(), recorder):
        client = hear(made)
        with pytest.raises(PermissionError):
            facts.read(sdk.calls[name](client))

    facts.check(recorder, sdk, name)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="sys.monitoring is of 3.12")
@pytest.mark.parametrize(
    "method", ["on_chat_model_start", "on_llm_new_token", "on_llm_end"]
)
@facts.every_sdk
def test_a_handler_that_uninstalls(sdk: Any, method: str, provider: "Provider") -> None:
    """
    A handler that uninstalls in the midst of a call changes nothing of the call; its run
    ends once, and nothing stays armed.
    """
    recorder = Recorder()
    auto.install()

    def uninstall(*args: Any, **kwargs: Any) -> None:
        auto.uninstall()

    handler = type("Handler", (BaseCallbackHandler,), {method: staticmethod(uninstall)})
    with closing(sdk.make(provider.url)) as client:
        plain = facts.read(sdk.calls["stream"](client))
        with callbacks(handler(), recorder):
            heard = facts.read(sdk.calls["stream"](client))
    gc.collect()

    (run,) = recorder.runs
    ends = [e for e in recorder.events if e.event in ("on_llm_end", "on_llm_error")]
    assert len(heard) == len(plain)
    assert len(ends) == 1
    # of a stream that nobody had read from no more is heard
    assert run.status in ("ok", "abandoned")
    assert run.status == "ok" or method == "on_chat_model_start"
    assert MONITORING.get_tool(3) is None


@pytest.mark.parametrize(
    "sdk",
    # of the others the calls have a text of their own
    [it for it in facts.CALLED if it.provider not in ("google_genai", "bedrock")],
    ids=lambda it: it.provider,
)
def test_a_large_request(
    sdk: Any, hear: Any, provider: "Provider", monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A request of 5 MB is sent as it is, and heard whole.
    """
    text = "\r\n{} <red> \x1b[31m \\u00e9" * 200_000
    monkeypatch.setitem(import_module("sdks").HELLO[0], "content", text)
    recorder = Recorder()

    with closing(sdk.make(provider.url)) as client, callbacks(recorder):
        sdk.calls["chat"](hear(client))

    (run,) = recorder.runs
    assert run.status == "ok"
    assert run.inputs[0]["content"] == text
    assert provider.requests[0].json["messages"][0]["content"] == text


@pytest.mark.parametrize("name", ["openai", "anthropic", "groq", "together"])
def test_copies_in_threads(name: str, provider: "Provider") -> None:
    """
    Copies of a wrapped client that threads make are heard, each by who made it.
    """
    pytest.importorskip(name)
    (sdk,) = [it for it in SDKS if it.provider == name]

    def ask(number: int) -> None:
        is_plain_copy = number % 2
        made = copy.copy(client) if is_plain_copy else client.with_options(timeout=9)
        recorder = Recorder()
        with callbacks(recorder):
            facts.read(sdk.calls["stream"](made))
        facts.check(recorder, sdk, "stream")

    with closing(sdk.make(provider.url)) as plain:
        client = wrap(plain)
        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(ask, range(2 * THREADS)))
