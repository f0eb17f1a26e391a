"""
Frameworks that call a provider's SDK: one run per logical call.
"""

import asyncio
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

from instrument import BaseCallbackHandler, auto, callbacks
from instrument.testing import Recorder

if TYPE_CHECKING:
    from tests.integrations.provider import Provider

if sys.version_info < (3, 12):
    pytest.skip("sys.monitoring needs Python 3.12", allow_module_level=True)

for name in ("langchain_openai", "langchain_anthropic"):
    pytest.importorskip(name, exc_type=ImportError)

pytestmark = pytest.mark.filterwarnings("default")  # what these say is not ours

CALLS: Any = import_module("sdks")


@pytest.fixture(autouse=True)
def installed() -> Iterator[None]:
    """
    Hear all in each test.
    """
    auto.install()
    yield
    auto.uninstall()


@pytest.fixture
def chat(provider: "Provider") -> Any:
    """
    Give LangChain's model over OpenAI's SDK.
    """
    model = import_module("langchain_openai").ChatOpenAI
    return model(model="m", api_key="k", base_url=f"{provider.url}/v1")


async def _stream(model: Any) -> None:
    async for _ in model.astream("hi"):
        pass


ways = pytest.mark.parametrize(
    "call, tokens",
    [
        (lambda model: model.invoke("hi"), 0),
        (lambda model: list(model.stream("hi")), 4),
        (lambda model: asyncio.run(model.ainvoke("hi")), 0),
        (lambda model: asyncio.run(_stream(model)), 4),
    ],
    ids=["invoke", "stream", "ainvoke", "astream"],
)


@ways
def test_langchain_over_openai(
    chat: Any, call: Callable[[Any], object], tokens: int
) -> None:
    """
    A model of LangChain's is one run, with the SDK's usage, id and model; tokens once.
    """
    recorder = Recorder()

    with callbacks(recorder):
        call(chat)

    assert recorder.tree() == "chat_model ChatOpenAI: ok"
    last = recorder.events[-1].data
    assert last["response_id"] == "chatcmpl-1"
    assert (last["model"], last["finish_reason"]) == ("m", "stop")
    assert len(_tokens(recorder)) == tokens


@ways
def test_refusal(
    chat: Any, provider: "Provider", call: Callable[[Any], object], tokens: int
) -> None:
    """
    A refusal, which LangChain keeps beside the text, is the text.
    """
    head = {"id": "c", "object": "chat.completion", "created": 1, "model": "m"}
    said = {"role": "assistant", "content": None, "refusal": "No."}
    whole = {"index": 0, "message": said, "finish_reason": "stop"}
    piece = {"index": 0, "delta": said, "finish_reason": "stop"}
    provider.says(({**head, "choices": [whole]}, [{**head, "choices": [piece]}]))
    recorder = Recorder()

    with callbacks(recorder):
        call(chat)

    assert recorder.events[-1].data["text"] == "No."


@ways
def test_langchain_over_anthropic(
    provider: "Provider", call: Callable[[Any], object], tokens: int
) -> None:
    """
    The same over Anthropic's; its usage is the SDK's, cached tokens included.
    """
    model = import_module("langchain_anthropic").ChatAnthropic
    chat = model(model="m", api_key="k", base_url=provider.url)
    recorder = Recorder()

    with callbacks(recorder):
        call(chat)

    assert recorder.tree() == "chat_model ChatAnthropic: ok"
    assert recorder.runs[0].usage.to_dict() == CALLS.COUNTED_APART
    assert len(_tokens(recorder)) == tokens


@ways
@pytest.mark.parametrize("vendor", ["openai", "anthropic"])
def test_handler_that_wants_tokens(
    provider: "Provider", vendor: str, call: Callable[[Any], object], tokens: int
) -> None:
    """
    A handler that wants tokens has LangChain stream: it hears each token once.
    """
    name = {"openai": "ChatOpenAI", "anthropic": "ChatAnthropic"}[vendor]
    path = "/v1" if vendor == "openai" else ""
    make = getattr(import_module(f"langchain_{vendor}"), name)
    heard: list[str] = []

    class Wants(BaseCallbackHandler):
        wants_tokens = True

        def on_llm_new_token(self, token: Any, **_: Any) -> None:
            heard.append(token)

    with callbacks(Wants()):
        call(make(model="m", api_key="k", base_url=provider.url + path))

    assert provider.requests[0].json["stream"] is True
    assert heard == ["Hel", "lo ", "wor", "ld"]


def test_several_prompts(chat: Any) -> None:
    """
    Each of several prompts is a run that has its own call in it.
    """
    message = import_module("langchain_core.messages").HumanMessage
    recorder = Recorder()

    with callbacks(recorder):
        chat.generate([[message("a")], [message("b")]])
        chat.batch(["c", "d"])

    assert recorder.tree() == "\n".join(["chat_model ChatOpenAI: ok"] * 4)
    assert [run.usage.input_tokens for run in recorder.runs] == [11] * 4


def test_call_of_a_streams_consumer(chat: Any, provider: "Provider") -> None:
    """
    What calls the SDK between the tokens of a stream is no part of that stream.
    """
    client = CALLS.OPENAI.make(provider.url)
    recorder = Recorder()

    with callbacks(recorder), client:
        for _ in chat.stream("hi"):
            CALLS.OPENAI.calls["chat"](client)
            break

    names = [(run.name, run.depth) for run in recorder.runs]
    assert names == [("ChatOpenAI", 0), ("openai.chat.completions", 0)]


def test_shown_as_children(chat: Any) -> None:
    """
    ``nested="child"`` shows both.
    """
    auto.install(nested="child")
    recorder = Recorder()

    with callbacks(recorder):
        chat.invoke("hi")

    assert recorder.tree() == (
        "chat_model ChatOpenAI: ok\n  chat_model openai.chat.completions: ok"
    )


def test_model_in_a_chain(chat: Any) -> None:
    """
    In a chain the model is below it, and the SDK's call is part of the model.
    """
    identity = import_module("langchain_core.runnables").RunnableLambda(lambda x: x)
    recorder = Recorder()

    with callbacks(recorder):
        (identity | chat).invoke("hi")

    assert recorder.tree() == (
        "chain RunnableSequence: ok\n"
        "  chain RunnableLambda: ok\n"
        "  chat_model ChatOpenAI: ok"
    )


def _tokens(recorder: Recorder) -> list[str]:
    told = [e for e in recorder.events if e.event == "on_llm_new_token"]
    return [event.data["token"] for event in told]
