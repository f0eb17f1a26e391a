"""
``wrap(client)`` and what only Anthropic's SDK has: system prompts apart, results of
tools in messages, helpers, the beta, middleware, spans of its own.
"""

from collections.abc import Iterator
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

from instrument import Usage, callbacks, wrap
from instrument.testing import Recorder

anthropic = pytest.importorskip("anthropic")

if TYPE_CHECKING:
    from tests.integrations.provider import Provider

facts: Any = import_module("facts")
HELLO: list[Any] = import_module("sdks").HELLO
ASKED: dict[str, Any] = {"model": "think", "max_tokens": 9, "messages": HELLO}
WORDS = ["Let me ", "think.", "Hel", "lo ", "wor", "ld"]
USAGE = Usage(11, 4, 8, 2)


@pytest.fixture
def client(hear: Any, provider: "Provider") -> Iterator[Any]:
    """
    Have a client of the fake provider heard.
    """
    with anthropic.Anthropic(api_key="k", base_url=provider.url) as client:
        yield hear(client)


def helper(client: Any) -> Any:
    with client.messages.stream(**ASKED) as stream:
        return stream.get_final_message()


def texts(client: Any) -> Any:
    with client.messages.stream(**ASKED) as stream:
        return list(stream.text_stream)


def beta(client: Any) -> Any:
    return client.beta.messages.create(**ASKED)


def beta_stream(client: Any) -> Any:
    return list(client.beta.messages.create(**ASKED, stream=True))


def beta_helper(client: Any) -> Any:
    with client.beta.messages.stream(**ASKED) as stream:
        return list(stream)


def raw(client: Any) -> Any:
    return client.messages.with_raw_response.create(**ASKED)


def copied(client: Any) -> Any:
    return client.with_options(timeout=9).messages.create(**ASKED)


WAYS = [helper, texts, beta, beta_stream, beta_helper, raw, copied]


@pytest.mark.parametrize("call", WAYS, ids=lambda call: call.__name__)
def test_each_way_of_asking(call: Any, client: Any) -> None:
    """
    However a client is asked, that is one run, and each token is told once.
    """
    recorder = Recorder()

    with callbacks(recorder):
        call(client)

    (run,) = recorder.runs
    end = recorder.events[-1].data
    streams = call in (helper, texts, beta_stream, beta_helper)
    assert run.status == "ok"
    assert run.usage == USAGE
    assert (end["text"], end["reasoning"]) == ("Hello world", "Let me think.")
    assert end["response_id"] == "msg_1"
    assert facts.tokens(recorder) == (WORDS if streams else [])


def test_a_whole_conversation(client: Any) -> None:
    """
    The system prompt, a call of a tool and its result are messages like all others.
    """
    recorder = Recorder()
    use = {"type": "tool_use", "id": "t1", "name": "clock", "input": {"zone": "UTC"}}
    result = {"type": "tool_result", "tool_use_id": "t1", "content": "12:00"}
    messages = [
        *HELLO,
        {"role": "assistant", "content": [{"type": "text", "text": "Well."}, use]},
        {"role": "user", "content": [result, {"type": "text", "text": "So?"}]},
    ]

    with callbacks(recorder):
        client.messages.create(
            model="m",
            max_tokens=9,
            system=[{"type": "text", "text": "Be brief."}],
            messages=messages,
        )

    call = {"id": "t1", "name": "clock", "arguments": {"zone": "UTC"}}
    start = recorder.events[0].data
    assert start["params"] == {"max_tokens": 9}
    assert start["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "Well.", "tool_calls": [call]},
        {"role": "tool", "content": "12:00", "tool_call_id": "t1"},
        {"role": "user", "content": "So?"},
    ]


@pytest.mark.parametrize("stream", [False, True])
def test_a_tool_runner(stream: bool, client: Any, provider: "Provider") -> None:
    """
    Each reply that the SDK's own loop over tools asks for is a run.
    """
    recorder = Recorder()

    def get_weather(city: str) -> str:
        return f"sunny in {city}"

    schema = {"type": "object", "properties": {"city": {"type": "string"}}}
    tool = anthropic.beta_tool(get_weather, description="-", input_schema=schema)
    asked = {"model": "m", "max_tokens": 9, "messages": HELLO, "max_iterations": 2}

    with callbacks(recorder):
        for reply in client.beta.messages.tool_runner(
            **asked, tools=[tool], stream=stream
        ):
            assert not stream or list(reply)

    answered = recorder.runs[1].inputs[-1]
    assert [run.status for run in recorder.runs] == ["ok", "ok"]
    assert len(provider.requests) == 2
    assert (answered["role"], answered["content"]) == ("tool", "sunny in Oslo")


def test_beside_middleware(provider: "Provider") -> None:
    """
    A client's own middleware goes on as before.
    """
    seen: list[str] = []

    class Middleware(anthropic.Middleware):  # type: ignore[misc, name-defined]
        def handle(self, request: Any, call_next: Any) -> Any:
            seen.append(request.method)
            return call_next(request)

    recorder = Recorder()
    client = anthropic.Anthropic(
        api_key="k", base_url=provider.url, middleware=[Middleware()]
    )

    with client, callbacks(recorder):
        wrap(client).messages.create(**ASKED)

    assert len(seen) == 1
    assert len(recorder.runs) == 1


def test_vertex_and_bedrock_are_anthropics() -> None:
    """
    The provider is the SDK's name, whatever class of client it is.
    """
    client = anthropic.AnthropicBedrock(
        aws_access_key="a", aws_secret_key="b", aws_region="us-east-1"
    )

    with client:
        assert isinstance(wrap(client), anthropic.AnthropicBedrock)
