"""
What runs of LangChain's models know: model, provider, usage, answer.
"""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("langchain_core")

from langchain_core.language_models.fake import FakeListLLM
from langchain_core.language_models.fake_chat_models import (
    FakeListChatModel,
    FakeMessagesListChatModel,
)
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk
from langchain_core.runnables import Runnable, RunnableLambda

from instrument import Usage, callbacks
from instrument.testing import Recorder

pytestmark = pytest.mark.usefixtures("langchain")

OPENAI = AIMessage(
    "hello",
    usage_metadata={
        "input_tokens": 10,
        "output_tokens": 5,
        "total_tokens": 15,
        "input_token_details": {"cache_read": 4},
        "output_token_details": {"reasoning": 2},
    },
    response_metadata={
        "model_name": "gpt-x-2026",
        "model_provider": "openai",
        "finish_reason": "stop",
        "token_usage": {"prompt_tokens": 10, "completion_tokens": 5},
    },
)
ANTHROPIC = AIMessage(
    [{"type": "text", "text": "hel"}, {"type": "text", "text": "lo"}],
    usage_metadata={
        "input_tokens": 30,
        "output_tokens": 7,
        "total_tokens": 37,
        "input_token_details": {"cache_read": 20, "cache_creation": 5},
    },
    response_metadata={"model": "claude-x", "stop_reason": "end_turn"},
)


class Provider(FakeMessagesListChatModel):
    """
    A model that says what it is as those of providers do.
    """

    model_name: str = "gpt-x"
    vendor: str = "openai"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"model_name": self.model_name, "temperature": 0}

    def _get_ls_params(self, *_: Any, **__: Any) -> Any:
        return {"ls_provider": self.vendor, "ls_model_name": self.model_name}


class Streaming(Provider):
    """
    A model that tells its usage with the last chunk.
    """

    def _stream(self, *_: Any, run_manager: Any = None, **__: Any) -> Iterator[Any]:
        usage: Any = {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}
        told: Any = {"finish_reason": "stop", "model_name": "gpt-x-2026"}
        for message in (
            AIMessageChunk(content="a"),
            AIMessageChunk(content="b"),
            AIMessageChunk(content="", usage_metadata=usage, response_metadata=told),
        ):
            chunk = ChatGenerationChunk(message=message)
            if run_manager is not None:
                run_manager.on_llm_new_token(str(message.content), chunk=chunk)
            yield chunk


def told(app: "Runnable[Any, Any]", *, is_async: bool = False) -> Any:
    """
    Call it, and give the run and its last event's data.
    """
    recorder = Recorder()
    with callbacks(recorder):
        asyncio.run(app.ainvoke("q")) if is_async else app.invoke("q")
    return recorder.runs[-1], recorder.events[-1].data, recorder.events[0].data


@pytest.mark.parametrize("is_async", [True, False])
def test_openai_shape(is_async: bool) -> None:
    """
    Usage, model, provider and finish reason are read from messages of OpenAI's shape.
    """
    run, end, start = told(Provider(responses=[OPENAI]), is_async=is_async)

    assert run.usage == Usage(10, 5, cache_read_tokens=4, reasoning_tokens=2)
    assert (run.model, run.provider) == ("gpt-x-2026", "openai")
    assert (start["model"], start["provider"]) == ("gpt-x", "openai")
    assert start["params"]["temperature"] == 0
    assert (end["text"], end["finish_reason"]) == ("hello", "stop")
    assert end["usage"]["input_tokens"] == 10
    assert start["messages"] == [{"role": "user", "content": "q"}]


def test_anthropic_shape() -> None:
    """
    The same of Anthropic's: blocks of text, and cached tokens counted once.
    """
    model = Provider(responses=[ANTHROPIC], model_name="claude", vendor="anthropic")

    run, end, _ = told(model)

    assert run.usage == Usage(30, 7, cache_read_tokens=20, cache_write_tokens=5)
    assert (run.model, run.provider) == ("claude-x", "anthropic")
    assert (end["text"], end["finish_reason"]) == ("hello", "end_turn")


def test_streamed_usage() -> None:
    """
    Of a stream the usage of its last chunk counts, and the answer is the whole text.
    """
    recorder = Recorder()

    with callbacks(recorder):
        list(Streaming(responses=[]).stream("q"))

    (run,), end = recorder.runs, recorder.events[-1].data
    assert run.usage == Usage(3, 2)
    assert (end["text"], end["model"]) == ("ab", "gpt-x-2026")
    assert run.time_to_first_token_s is not None


def test_tool_calls() -> None:
    """
    The tool calls of an answer are in the record of its end.
    """
    call: Any = {"name": "f", "args": {"a": 1}, "id": "1", "type": "tool_call"}

    _, end, _ = told(Provider(responses=[AIMessage("", tool_calls=[call])]))

    assert end["tool_calls"] == [{"id": "1", "name": "f", "arguments": {"a": 1}}]


def test_unknown_is_not_guessed() -> None:
    """
    What a model does not tell is None.
    """
    run, end, _ = told(FakeListChatModel(responses=["a"]))

    assert run.usage == Usage()
    assert run.model is None
    assert end["text"] == "a"


@pytest.mark.parametrize("is_async", [True, False])
def test_completion_model(is_async: bool) -> None:
    """
    A completion model is one run per prompt, each with its own answer.
    """
    model, recorder = FakeListLLM(responses=["one", "two"]), Recorder()

    with callbacks(recorder):
        if is_async:
            asyncio.run(model.agenerate(["a", "b"]))
        else:
            model.generate(["a", "b"])

    ends = [event for event in recorder.events if event.event == "on_llm_end"]
    assert [run.inputs for run in recorder.runs] == [["a"], ["b"]]
    assert {run.kind for run in recorder.runs} == {"llm"}
    assert sorted(event.data["text"] for event in ends) == ["one", "two"]


def test_original_objects_reach_handlers() -> None:
    """
    LangChain's own messages and results reach handlers untouched.
    """
    heard: list[Any] = []
    app = RunnableLambda(str) | Provider(responses=[OPENAI])

    with callbacks(
        on_chat_model_start=lambda serialized, messages: heard.append(messages),
        on_llm_end=heard.append,
    ):
        answer = app.invoke("q")

    messages, response = heard
    assert [[m.content for m in each] for each in messages] == [["q"]]
    assert response.generations[0][0].message is answer


class Untrue:
    """
    What may not be asked for its truth.
    """

    def __bool__(self) -> bool:
        raise RuntimeError


@pytest.mark.parametrize("name", ["token_usage", "model_name", "finish_reason"])
def test_odd_metadata(name: str, reports: list[str]) -> None:
    """
    What a model said of itself is not asked for its truth: the answer is told, and what
    else it said.
    """
    known = {"model_name": "gpt-x", "finish_reason": "stop", name: Untrue()}
    message = AIMessage("hello", response_metadata=known)
    recorder = Recorder()

    with callbacks(recorder):
        FakeMessagesListChatModel(responses=[message]).invoke("hi")

    told = recorder.events[-1].data
    assert told["text"] == "hello"
    assert told["model"] == (None if name == "model_name" else "gpt-x")
    assert told["finish_reason"] == (None if name == "finish_reason" else "stop")
    assert reports == []
