"""
How answers turn out that raise nothing at their caller: the run is ok, and its end tells
what the provider says went wrong.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

from instrument import callbacks, traced
from instrument.testing import Recorder

if TYPE_CHECKING:
    from tests.integrations.provider import Provider

sdks = import_module("sdks")
HELLO: list[Any] = sdks.HELLO
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore:Inheritance class"),  # Gemini's of aiohttp's
]

RESPONSE: dict[str, Any] = {
    "id": "resp_1",
    "object": "response",
    "model": "m",
    "output": [],
    "status": "in_progress",
}
ERROR = {"code": "server_error", "message": "oh"}
FAILED = {**RESPONSE, "status": "failed", "error": ERROR}
CREATED = {"type": "response.created", "response": RESPONSE}
BLOCKED = {
    "promptFeedback": {"blockReason": "SAFETY", "blockReasonMessage": "no"},
    "usageMetadata": {"promptTokenCount": 3},
}


def ask_response(client: Any, **given: Any) -> Any:
    """
    Ask for a response.
    """
    return client.responses.create(model="m", input="hi", **given)


CASES: dict[str, tuple[Any, Any, Any, str, Any]] = {
    "a response that failed": (
        sdks.OPENAI,
        ask_response,
        (FAILED, []),
        "failed",
        ERROR,
    ),
    "a streamed one": (
        sdks.OPENAI,
        lambda client: list(ask_response(client, stream=True)),
        ({}, [CREATED, {"type": "response.failed", "response": FAILED}]),
        "failed",
        ERROR,
    ),
    "an event": (
        sdks.OPENAI,
        lambda client: list(ask_response(client, stream=True)),
        ({}, [CREATED, {"type": "error", "param": None, **ERROR}]),
        "error",
        ERROR,
    ),
    "a body": (
        sdks.OPENAI,
        sdks.OPENAI.calls["chat"],
        ({"error": {"code": 502, "message": "oh"}}, []),
        "error",
        {"code": 502, "message": "oh"},
    ),
    "one of Anthropic's": (
        sdks.ANTHROPIC,
        sdks.ANTHROPIC.calls["chat"],
        ({"type": "error", "error": {"type": "api_error", "message": "oh"}}, []),
        "error",
        {"code": "api_error", "message": "oh"},
    ),
    "a blocked prompt": (
        sdks.GENAI,
        sdks.GENAI.calls["chat"],
        (BLOCKED, []),
        "SAFETY",
        {"code": "SAFETY", "message": "no"},
    ),
    "one that is streamed": (
        sdks.GENAI,
        lambda client: list(sdks.GENAI.calls["stream"](client)),
        ({}, [BLOCKED]),
        "SAFETY",
        {"code": "SAFETY", "message": "no"},
    ),
}


@pytest.mark.parametrize("name", list(CASES))
def test_outcome(name: str, hear: Any, provider: "Provider") -> None:
    """
    A failed response, an error in the midst of a stream or instead of an answer, and a
    prompt that is not let through.
    """
    sdk, ask, script, reason, error = CASES[name]
    pytest.importorskip(sdk.module)
    provider.says(script)
    recorder = Recorder()

    with sdks.closing(sdk.make(provider.url)) as client, callbacks(recorder):
        ask(hear(client))

    (run,) = recorder.runs
    data = recorder.events[-1].data
    assert (run.status, data["finish_reason"]) == ("ok", reason)
    assert data["error"] == error


def weather(city: str) -> str:
    """
    Tell the weather.
    """
    return f"sunny in {city}"


CALLS = {"functionCall": {"name": "weather", "args": {"city": "Oslo"}}}


def gemini(part: Any, count: int, id: str) -> Any:
    """
    Make an answer of one part.
    """
    candidate = {"content": {"role": "model", "parts": [part]}, "finishReason": "STOP"}
    used = {"promptTokenCount": count, "candidatesTokenCount": 1}
    answer = {"candidates": [candidate], "usageMetadata": used, "responseId": id}
    return answer, [answer]


@pytest.mark.anyio
@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("name", ["whole", "stream"])
async def test_functions_that_gemini_runs(
    name: str, is_async: bool, hear: Any, provider: "Provider"
) -> None:
    """
    A call of Gemini's that runs functions and asks again is one run: it tells the sum of
    what its requests used, and the tools are below it.
    """
    genai = pytest.importorskip("google.genai")
    provider.says(gemini(CALLS, 100, "a"), gemini({"text": "Sunny"}, 130, "b"))
    recorder = Recorder()
    config = genai.types.GenerateContentConfig(tools=[traced.tool(weather)])
    asked: Any = {"model": "m", "contents": "hi", "config": config}

    with sdks.closing(sdks.GENAI.make(provider.url)) as plain, callbacks(recorder):
        client = hear(plain)
        if not is_async and name == "whole":
            client.models.generate_content(**asked)
        elif not is_async:
            list(client.models.generate_content_stream(**asked))
        elif name == "whole":
            await client.aio.models.generate_content(**asked)
        else:
            async for _ in await client.aio.models.generate_content_stream(**asked):
                pass

    model, tool = recorder.runs
    assert (model.usage.input_tokens, model.usage.output_tokens) == (230, 2)
    assert tool.parent_id == model.id
    data = recorder.events[-1].data
    assert (data["text"], data["tool_calls"]) == ("Sunny", [])


def test_request_that_fails(hear: Any, provider: "Provider") -> None:
    """
    What one request used is told, though the next fails.
    """
    genai = pytest.importorskip("google.genai")
    provider.says(gemini(CALLS, 100, "a"))
    provider.will("ok", 400)
    recorder = Recorder()
    config = genai.types.GenerateContentConfig(tools=[weather])

    with sdks.closing(sdks.GENAI.make(provider.url)) as client, callbacks(recorder):
        asked: Any = {"model": "m", "contents": "hi", "config": config}
        with pytest.raises(genai.errors.ClientError):
            hear(client).models.generate_content(**asked)

    assert [run.status for run in recorder.runs] == ["error"]
    assert recorder.runs[0].usage.input_tokens == 100


def test_run_that_leaves_a_stream(hear: Any, provider: "Provider") -> None:
    """
    A run that fails in the midst of the stream that it reads tells what that was told.
    """
    pytest.importorskip("anthropic")
    recorder = Recorder()

    @traced.chat_model
    def model(client: Any) -> str:
        for event in sdks.ANTHROPIC.calls["stream"](client):
            if event.type == "content_block_delta":
                raise KeyError
        return ""

    with sdks.closing(sdks.ANTHROPIC.make(provider.url)) as client, callbacks(recorder):
        heard = hear(client)
        with pytest.raises(KeyError):
            model(heard)

    (run,) = recorder.runs
    data = recorder.events[-1].data
    assert run.status == "error"
    assert data["usage"]["input_tokens"] == 11
    assert (data["model"], data["response_id"]) == ("m", "msg_1")
