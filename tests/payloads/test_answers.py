"""
Results and chunks of known shapes: OpenAI's, Anthropic's, LangChain's; objects or dicts.
"""

from types import SimpleNamespace
from typing import Any

import pytest

from instrument import Usage, callbacks, traced
from instrument._payloads import answers
from instrument._payloads.answers import Answer, answer_of, take
from instrument.testing import Recorder


def as_object(value: Any) -> Any:
    """
    Turn dicts into objects with attributes, at every level.
    """
    if isinstance(value, dict):
        return SimpleNamespace(**{key: as_object(item) for key, item in value.items()})
    return [as_object(item) for item in value] if isinstance(value, list) else value


either = pytest.mark.parametrize(
    "shaped", [lambda value: value, as_object], ids=["dict", "object"]
)


OPENAI = {
    "model": "gpt-x",
    "choices": [
        {
            "finish_reason": "stop",
            "message": {"role": "assistant", "content": "Hi", "tool_calls": None},
        }
    ],
    "usage": {
        "prompt_tokens": 10,
        "completion_tokens": 5,
        "prompt_tokens_details": {"cached_tokens": 4},
        "completion_tokens_details": {"reasoning_tokens": 2},
    },
}


COMPLETION = {
    "model": "text-x",
    "choices": [{"text": "Hi", "finish_reason": "length"}],
    "usage": {"prompt_tokens": 10, "completion_tokens": 5},
}


RESPONSE = {
    "model": "gpt-x",
    "object": "response",
    "status": "completed",
    "text": {"format": {"type": "text"}},
    "output": [
        {"type": "reasoning", "summary": []},
        {
            "type": "message",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "Hi", "annotations": []}],
        },
    ],
    "usage": {
        "input_tokens": 10,
        "output_tokens": 5,
        "input_tokens_details": {"cached_tokens": 4},
        "output_tokens_details": {"reasoning_tokens": 2},
    },
}


ANTHROPIC = {
    "type": "message",
    "role": "assistant",
    "model": "claude-x",
    "stop_reason": "end_turn",
    "content": [
        {"type": "thinking", "thinking": "hm"},
        {"type": "text", "text": "H"},
        {"type": "text", "text": "i"},
    ],
    "usage": {
        "input_tokens": 6,
        "output_tokens": 5,
        "cache_read_input_tokens": 3,
        "cache_creation_input_tokens": 1,
    },
}


LANGCHAIN = {
    "type": "ai",
    "content": "Hi",
    "tool_calls": [],
    "response_metadata": {"model_name": "gpt-x", "finish_reason": "stop"},
    "usage_metadata": {
        "input_tokens": 10,
        "output_tokens": 5,
        "input_token_details": {"cache_read": 4, "cache_creation": 1},
        "output_token_details": {"reasoning": 2},
    },
}


RESULTS = {
    "openai chat": (OPENAI, "gpt-x", "stop", Usage(10, 5, 4, None, 2)),
    "openai completion": (COMPLETION, "text-x", "length", Usage(10, 5)),
    "openai response": (RESPONSE, "gpt-x", "completed", Usage(10, 5, 4, None, 2)),
    "anthropic": (ANTHROPIC, "claude-x", "end_turn", Usage(10, 5, 3, 1)),
    "langchain message": (LANGCHAIN, "gpt-x", "stop", Usage(10, 5, 4, 1, 2)),
    "langchain result": (
        {"generations": [[{"text": "Hi", "message": LANGCHAIN}]], "llm_output": None},
        "gpt-x",
        "stop",
        Usage(10, 5, 4, 1, 2),
    ),
}


@either
@pytest.mark.parametrize("name", list(RESULTS))
def test_results(name: str, shaped: Any) -> None:
    """
    Text, model, finish reason and usage are read from each provider's result.
    """
    result, model, reason, usage = RESULTS[name]

    answer = answer_of(shaped(result))

    assert answer.text == "Hi"
    assert answer.model == model
    assert answer.finish_reason == reason
    assert answer.usage == usage


@either
def test_message_of_a_chat_result(shaped: Any) -> None:
    """
    The message of a chat result is the provider's own, tool calls included.
    """
    call = {"id": "1", "function": {"name": "search", "arguments": "{}"}}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    result = shaped({"choices": [{"message": message, "finish_reason": "tool_calls"}]})

    answer = answer_of(result)

    assert answer.message == shaped(message)
    assert answer.tool_calls == [{"id": "1", "name": "search", "arguments": {}}]
    assert answer.text == ""


def delta(**fields: Any) -> dict[str, Any]:
    """
    Make a chunk of OpenAI's chat completions.
    """
    return {"choices": [{"delta": fields, "finish_reason": None}]}


def block(**fields: Any) -> dict[str, Any]:
    """
    Make a chunk of Anthropic's messages.
    """
    return {"type": "content_block_delta", "index": 0, "delta": fields}


CHUNKS: list[tuple[Any, tuple[str, str] | None]] = [
    (delta(content="Hi"), ("Hi", "text")),
    (delta(content=""), None),
    (delta(content=None, role="assistant"), None),
    (delta(reasoning_content="hm"), ("hm", "reasoning")),
    (delta(tool_calls=[{"function": {"arguments": '{"a'}}]), ('{"a', "tool_call")),
    (delta(tool_calls=[{"function": {"name": "f", "arguments": ""}}]), None),
    ({"choices": [], "usage": {"prompt_tokens": 1}}, None),
    ({"choices": [{"text": "Hi"}]}, ("Hi", "text")),
    ({"choices": [{"text": ""}]}, None),
    ({"type": "response.output_text.delta", "delta": "Hi"}, ("Hi", "text")),
    ({"type": "response.reasoning_text.delta", "delta": "hm"}, ("hm", "reasoning")),
    (
        {"type": "response.reasoning_summary_text.delta", "delta": "a"},
        ("a", "reasoning"),
    ),
    (
        {"type": "response.function_call_arguments.delta", "delta": "{"},
        ("{", "tool_call"),
    ),
    ({"type": "response.output_text.delta", "delta": ""}, None),
    ({"type": "response.output_text.done", "text": "Hi"}, ("Hi", "text")),
    ({"type": "response.reasoning_text.done", "text": "hm"}, ("hm", "reasoning")),
    ({"type": "response.completed", "response": RESPONSE}, ("Hi", "text")),
    (block(type="text_delta", text="Hi"), ("Hi", "text")),
    (block(type="thinking_delta", thinking="hm"), ("hm", "reasoning")),
    (block(type="input_json_delta", partial_json="{"), ("{", "tool_call")),
    (block(type="signature_delta", signature="x"), None),
    ({"type": "message_start", "message": {**ANTHROPIC, "content": []}}, None),
    ({"type": "message_delta", "delta": {"stop_reason": "end_turn"}}, None),
    ({"type": "message_stop"}, None),
    ({"type": "message_stop", "message": ANTHROPIC}, None),
    ({"type": "text", "text": "Hi", "snapshot": "Hi"}, None),
    (
        {"type": "content_block_start", "content_block": {"type": "text", "text": ""}},
        None,
    ),
    ({"type": "content_block_stop", "content_block": {"text": "Hi"}}, None),
    ({"type": "ping"}, None),
    ({"type": "AIMessageChunk", "content": "Hi"}, ("Hi", "text")),
    (
        {"type": "AIMessageChunk", "content": [{"type": "text", "text": "Hi"}]},
        ("Hi", "text"),
    ),
    ({"type": "AIMessageChunk", "content": ""}, None),
    ({"text": "Hi", "message": {"content": "Hi"}}, ("Hi", "text")),
    ({"text": "Hi", "generation_info": None}, ("Hi", "text")),
    ({"anything": "else"}, None),
    ({"type": ["unhashable"], "content": "Hi"}, ("Hi", "text")),
    ({}, None),
]


@either
@pytest.mark.parametrize("chunk, token", CHUNKS, ids=range(len(CHUNKS)))
def test_chunks(chunk: Any, token: tuple[str, str] | None, shaped: Any) -> None:
    """
    Each chunk tells its text and its channel; a whole text what its pieces have not.
    """
    assert list(take(Answer(), shaped(chunk))) == ([token] if token else [])


@pytest.mark.parametrize(
    "chunk, token",
    [
        ("Hi", ("Hi", "text")),
        ("", None),
        (b"Hi", None),
        (3, None),
        (None, None),
        (object(), None),
    ],
)
def test_plain_chunks(chunk: Any, token: tuple[str, str] | None) -> None:
    """
    Text is a token; other plain values are not.
    """
    assert list(take(Answer(), chunk)) == ([token] if token else [])


STREAMS: dict[str, list[Any]] = {
    "openai": [
        {**delta(content="H"), "model": "gpt-x"},
        {**delta(content="i"), "model": "gpt-x"},
        {"model": "gpt-x", "choices": [{"delta": {}, "finish_reason": "stop"}]},
        {"model": "gpt-x", "choices": [], "usage": OPENAI["usage"]},
    ],
    "openai response": [
        {"type": "response.created", "response": {"model": "gpt-x", "usage": None}},
        {"type": "response.output_text.delta", "delta": "H"},
        {"type": "response.output_text.delta", "delta": "i"},
        {"type": "response.output_text.done", "text": "Hi"},
        {"type": "response.completed", "response": RESPONSE},
    ],
    "anthropic": [
        {
            "type": "message_start",
            "message": {
                "model": "claude-x",
                "content": [],
                "usage": {**ANTHROPIC["usage"], "output_tokens": 1},  # type: ignore[dict-item]
            },
        },
        block(type="text_delta", text="H"),
        {"type": "text", "text": "H", "snapshot": "H"},
        block(type="text_delta", text="i"),
        {"type": "text", "text": "i", "snapshot": "Hi"},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn"},
            "usage": {"output_tokens": 5},
        },
        {"type": "message_stop", "message": ANTHROPIC},
    ],
    "langchain": [
        {"type": "AIMessageChunk", "content": "H"},
        {"type": "AIMessageChunk", "content": "i"},
        {**LANGCHAIN, "type": "AIMessageChunk", "content": ""},
    ],
}


READ = {
    "openai": ("gpt-x", "stop", RESULTS["openai chat"][3]),
    "openai response": ("gpt-x", "completed", RESULTS["openai response"][3]),
    "anthropic": ("claude-x", "end_turn", RESULTS["anthropic"][3]),
    "langchain": ("gpt-x", "stop", RESULTS["langchain message"][3]),
}


@either
@pytest.mark.parametrize("name", list(STREAMS))
def test_streams(name: str, shaped: Any) -> None:
    """
    A whole stream of each provider gives each token once, and the facts of the answer.
    """
    recorder = Recorder()

    @traced.chat_model
    def model() -> Any:
        yield from map(shaped, STREAMS[name])

    with callbacks(recorder):
        list(model())

    events = recorder.events
    tokens = [e.data["token"] for e in events if e.event == "on_llm_new_token"]
    model_name, reason, usage = READ[name]
    assert tokens == ["H", "i"]
    assert events[-1].data["text"] == "Hi"
    assert events[-1].data["model"] == model_name
    assert events[-1].data["finish_reason"] == reason
    assert recorder.runs[0].usage == usage


def test_result_of_a_text_model() -> None:
    """
    A generation without a message has its text.
    """
    assert answer_of({"generations": [[{"text": "Hi"}]]}).text == "Hi"


def test_reasoning_under_its_second_name() -> None:
    """
    Reasoning is read from the first name under which there is any.
    """
    message = {"content": "4", "reasoning_content": "", "reasoning": "2 + 2"}

    assert answer_of({"choices": [{"message": message}]}).reasoning == "2 + 2"


def test_readers_of_shapes() -> None:
    """
    Every shape has its reader, which is loaded when the first of its values comes.
    """
    for shapes in (answers._BY_TYPE, answers._BY_FIELD):
        for key, read in list(shapes.items()):
            assert callable(read) or callable(answers._loaded(shapes, key))
