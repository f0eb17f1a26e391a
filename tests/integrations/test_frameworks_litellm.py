"""
litellm, heard through ``instrument.auto``: one run per call, with OpenAI's SDK inside it.
"""

import asyncio
import gc
import os
import sys
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

from instrument import auto, callbacks, traced
from instrument.testing import Recorder

if TYPE_CHECKING:
    from tests.integrations.provider import Provider

if sys.version_info < (3, 12):
    pytest.skip("sys.monitoring needs Python 3.12", allow_module_level=True)

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # or it asks the network
litellm: Any = pytest.importorskip("litellm")

pytestmark = pytest.mark.filterwarnings("default")  # what it says is not ours

CALLS: Any = import_module("sdks")
PROVIDER: Any = import_module("provider")
WORDS = ["Hel", "lo ", "wor", "ld"]
TOLD = {"stream_options": {"include_usage": True}}
ASKED: Any = {
    "completion": {"model": "openai/m", "messages": CALLS.HELLO},
    "responses": {
        "model": "openai/gpt-4o",
        "input": "hi",
    },  # others are asked for it whole
}


@pytest.fixture(autouse=True)
def installed() -> Iterator[None]:
    """
    Hear litellm in each test.
    """
    auto.install()
    yield
    auto.uninstall()


@pytest.fixture
def ask(provider: "Provider") -> Callable[..., Any]:
    """
    Call one of litellm's functions, in sync code or async, and read what it gives.
    """

    def call(function: str, **given: Any) -> Any:
        at = f"{provider.url}/v1"
        given = {"model": "openai/m", "api_key": "sk-secret", "api_base": at, **given}
        if function in ("completion", "acompletion"):
            given.setdefault("messages", CALLS.HELLO)
        result = getattr(litellm, function)(**given)
        if function.startswith("a"):
            return asyncio.run(_awaited(result))
        return list(result) if given.get("stream") else result

    return call


async def _awaited(pending: Any) -> Any:
    result = await pending
    return [it async for it in result] if hasattr(result, "__aiter__") else result


def _tokens(recorder: Recorder) -> list[str]:
    told = [e for e in recorder.events if e.event == "on_llm_new_token"]
    return [event.data["token"] for event in told]


TEXT = {"model": "text-completion-openai/m", "prompt": "hi"}
ROWS = [  # how it is asked, what is told, of what kind, and whether that is all at once
    ("completion", {}, "chat_model", None),
    ("completion", {"stream": True, **TOLD}, "chat_model", WORDS),
    ("text_completion", TEXT, "llm", None),
    ("text_completion", {**TEXT, "stream": True}, "llm", WORDS),
    ("embedding", {"input": ["a", "b"]}, "embedding", None),
]
rows = pytest.mark.parametrize(
    "function, given, kind, tokens",
    [(f"{a}{name}", *rest) for name, *rest in ROWS for a in ("", "a")],
)


@rows
def test_each_function(
    ask: Any,
    provider: "Provider",
    function: str,
    given: dict[str, Any],
    kind: str,
    tokens: list[str] | None,
) -> None:
    """
    Each function is one run, in sync code and async, whose key is told to nobody.
    """
    recorder = Recorder()

    with callbacks(recorder):
        ask(function, **given)

    (run,) = recorder.runs
    model = given.get("model", "openai/m")
    name = f"litellm.{function.removeprefix('a')}"
    assert (run.kind, run.name, run.status) == (kind, name, "ok")
    assert run.provider == model.partition("/")[0]
    assert "secret" not in str([event.data for event in recorder.events])
    assert _tokens(recorder) == (tokens or [])
    if kind == "embedding":
        assert run.usage.to_dict() == {"input_tokens": 3}
        return
    end = recorder.events[-1].data
    assert (end["text"], end["model"]) == ("Hello world", "m")
    assert (end["finish_reason"], bool(end["response_id"])) == ("stop", True)
    if "text" not in function:
        assert run.usage.to_dict() == CALLS.FULL
    assert len(provider.requests) == 1


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("function", ["responses", "aresponses"])
def test_responses(ask: Any, function: str, stream: bool) -> None:
    """
    A response is one, too, however litellm gets it.
    """
    pytest.importorskip("mcp")  # litellm's responses import it
    recorder = Recorder()

    with callbacks(recorder):
        ask(function, input="hi", instructions="be brief", stream=stream)

    (run,) = recorder.runs
    assert (run.name, run.status) == ("litellm.responses", "ok")
    assert [message["role"] for message in run.inputs] == ["system", "user"]
    assert run.usage.to_dict() == CALLS.FULL
    assert "".join(_tokens(recorder)) == ("Hello world" if stream else "")


@pytest.mark.parametrize("stream", [False, True])
def test_a_provider_without_an_sdk(
    ask: Any, provider: "Provider", stream: bool
) -> None:
    """
    What litellm sends by itself is heard in the same way; cached tokens count once.
    """
    recorder = Recorder()
    given = {"model": "anthropic/m", "api_base": provider.url, **TOLD}

    with callbacks(recorder):
        ask("completion", stream=stream, **given)

    (run,) = recorder.runs
    assert (run.provider, run.usage.input_tokens) == ("anthropic", 11)
    assert _tokens(recorder) == (WORDS if stream else [])


@pytest.mark.parametrize("stream", [False, True])
def test_a_provider_that_the_model_does_not_name(
    ask: Any, provider: "Provider", stream: bool
) -> None:
    """
    Where the model's name tells no provider, litellm's list of models does.
    """
    recorder = Recorder()
    named = min(name for name in litellm.anthropic_models if "/" not in name)
    given = {"model": named, "api_base": provider.url}

    with callbacks(recorder):
        ask("completion", model="gpt-4o", stream=stream)
        ask("completion", stream=stream, **given)

    assert [run.provider for run in recorder.runs] == ["openai", "anthropic"]


@pytest.mark.parametrize("function", ["completion", "acompletion"])
@pytest.mark.parametrize("fate", [401, "malformed", "cut"])
def test_a_failure(ask: Any, provider: "Provider", function: str, fate: Any) -> None:
    """
    A failure ends the run once, with litellm's own exception object.
    """
    provider.will(fate)
    recorder = Recorder()

    with callbacks(recorder), pytest.raises(Exception) as caught:
        ask(function, stream=fate == "cut", max_retries=0)

    (run,) = recorder.runs
    assert run.error is caught.value
    assert run.status == "error"


@pytest.mark.parametrize("function", ["completion", "acompletion"])
def test_a_fallback(ask: Any, provider: "Provider", function: str) -> None:
    """
    litellm's second try is a child of the run, which alone tells what it used.
    """
    provider.will(401, PROVIDER.OK)
    recorder = Recorder()

    with callbacks(recorder):
        ask(function, fallbacks=["openai/m2"])

    assert [run.depth for run in recorder.runs] == [0, 1]
    assert [run.usage.input_tokens for run in recorder.runs] == [None, 11]
    assert [run.model for run in recorder.runs] == ["m2", "m2"]
    assert recorder.events[-1].data["text"] == "Hello world"


def test_a_stream_left_early(ask: Any, provider: "Provider") -> None:
    """
    A stream that nobody reads on is abandoned, when litellm itself has let it go.
    """
    recorder = Recorder()

    with callbacks(recorder):
        given = {"api_key": "k", "api_base": f"{provider.url}/v1", "stream": True}
        stream = litellm.completion("openai/m", CALLS.HELLO, **given)
        while not _tokens(recorder):
            next(stream)
    del stream
    until = time.monotonic() + 10
    while recorder.runs[0].status == "running" and time.monotonic() < until:
        gc.collect()  # a thread of litellm's that logs has it for a while
        time.sleep(0.01)

    assert recorder.runs[0].status == "abandoned"
    assert recorder.events[-1].data["text"] == "Hel"


@pytest.mark.parametrize("function", ["completion", "responses"])
def test_a_stream_closed_early(provider: "Provider", function: str) -> None:
    """
    A stream that is closed is abandoned at once.
    """
    recorder = Recorder()
    given = {"api_key": "k", "api_base": f"{provider.url}/v1", "stream": True}

    with callbacks(recorder):
        stream = getattr(litellm, function)(**ASKED[function], **given)
        next(stream)
        stream.close()

    assert recorder.runs[0].status == "abandoned"


@pytest.mark.parametrize("function", ["completion", "responses"])
@pytest.mark.anyio
async def test_an_async_stream_closed_early(
    provider: "Provider", function: str
) -> None:
    """
    The same in async code.
    """
    recorder = Recorder()
    given = {"api_key": "k", "api_base": f"{provider.url}/v1", "stream": True}

    with callbacks(recorder):
        stream = await getattr(litellm, f"a{function}")(**ASKED[function], **given)
        await anext(stream)
        await stream.aclose()

    assert recorder.runs[0].status == "abandoned"


def test_inside_a_model_of_ones_own(ask: Any) -> None:
    """
    Inside a model's run it is part of that run, OpenAI's SDK in it too.
    """
    recorder = Recorder()

    @traced.chat_model("mine")
    def mine() -> str:
        ask("completion", stream=True, **TOLD)
        return "done"

    with callbacks(recorder):
        mine()

    assert recorder.tree() == "chat_model mine: ok"
    assert recorder.runs[0].usage.to_dict() == CALLS.FULL
    assert _tokens(recorder) == WORDS


def test_shown_as_children(ask: Any) -> None:
    """
    ``nested="child"`` shows the SDK's call in litellm's.
    """
    auto.install(nested="child")
    recorder = Recorder()

    with callbacks(recorder):
        ask("completion")

    assert recorder.tree() == (
        "chat_model litellm.completion: ok\n  chat_model openai.chat.completions: ok"
    )


def test_what_it_owns(ask: Any) -> None:
    """
    litellm's own lists of callbacks stay as they are; after uninstalling none hears.
    """
    recorder = Recorder()
    lists = [litellm.callbacks, litellm.success_callback, litellm.failure_callback]
    before = [list(each) for each in lists]

    with callbacks(recorder):
        ask("image_generation", prompt="x", mock_response="y")  # no call of a model
        ask("completion", mock_response="hi")
        auto.uninstall()
        ask("completion", mock_response="hi")

    assert len(recorder.runs) == 1
    assert [list(each) for each in lists] == before


def test_no_attribute_changes(ask: Any) -> None:
    """
    No attribute of the package's modules, classes or functions is another's.
    """
    snapshot = import_module("facts").snapshot
    auto.uninstall()
    for _ in range(3):  # what is made when it is first used has been made
        ask("completion")
        snapshot("litellm")
    before = snapshot("litellm")

    auto.install()
    with callbacks(Recorder()):
        ask("completion")
    during = snapshot("litellm")

    assert {k: v for k, v in during.items() if before.get(k) != v} == {}


def test_nothing_is_missing() -> None:
    """
    All that is heard is there.
    """
    from instrument.integrations import litellm as adapter

    assert adapter.missing() == []


@pytest.mark.parametrize("given", [{}, {"stream": True, **TOLD}])
def test_cost(ask: Any, given: dict[str, Any]) -> None:
    """
    What litellm has reckoned that a call costs is told, beside what the SDK inside knows.
    """
    recorder = Recorder()

    with callbacks(recorder):
        ask("completion", model="openai/gpt-4o", **given)

    (run,) = recorder.runs
    assert run.usage.input_tokens == 11
    assert run.usage.cost_usd
