"""
Chunks of every provider add up to one answer: tool calls, reasoning, usage.
"""

from types import SimpleNamespace
from typing import Any

import pytest

from instrument import Usage
from instrument._payloads.answers import Answer, answer_of, take
from instrument._payloads.answers.vectors import vectors_of

TOOL = {"id": "1", "name": "clock", "arguments": {"zone": "UTC"}}
PIECES = ['{"zone":', '"UTC"}']
COUNTS = {"prompt_tokens": 10, "completion_tokens": 5}


def as_object(value: Any) -> Any:
    """
    Turn dicts into objects with attributes, at every level.
    """
    if isinstance(value, dict):
        return SimpleNamespace(**{key: as_object(item) for key, item in value.items()})
    return [as_object(item) for item in value] if isinstance(value, list) else value


def as_dict(value: Any) -> Any:
    """
    Turn what `as_object` made back.
    """
    return vars(value) if isinstance(value, SimpleNamespace) else value


either = pytest.mark.parametrize(
    "shaped", [lambda value: value, as_object], ids=["dict", "object"]
)


def openai(reason: str | None = None, **fields: Any) -> dict[str, Any]:
    """
    Make a chunk of OpenAI's chat completions.
    """
    return {"choices": [{"index": 0, "delta": fields, "finish_reason": reason}]}


def event(type: str, **fields: Any) -> dict[str, Any]:
    """
    Make a typed event.
    """
    return {"type": type, **fields}


def langchain(**call: Any) -> dict[str, Any]:
    """
    Make a chunk of LangChain's with a piece of a tool call.
    """
    chunks = [{"id": None, "name": None, "index": 0, **call}]
    return event("AIMessageChunk", content="", tool_call_chunks=chunks)


def gemini(*parts: Any, **fields: Any) -> dict[str, Any]:
    """
    Make a chunk of Gemini's.
    """
    usage = {
        "prompt_token_count": 10,
        "candidates_token_count": 3,
        "thoughts_token_count": 2,
        "cached_content_token_count": 4,
    }
    candidate = {"content": {"parts": list(parts)}, **fields}
    return {"candidates": [candidate], "usage_metadata": usage}


def cohere(kind: str, **message: Any) -> dict[str, Any]:
    """
    Make an event of Cohere's.
    """
    return event(kind, index=0, delta={"message": message})


def bedrock(name: str, **told: Any) -> dict[str, Any]:
    """
    Make an event of Bedrock's.
    """
    return {name: {"contentBlockIndex": 1, **told}}


ARGUMENTS = "response.function_call_arguments.delta"
BEGUN = {"id": "1", "function": {"name": "clock", "arguments": ""}}
CALLS: dict[str, list[Any]] = {
    "openai": [
        openai(tool_calls=[{"index": 0, **BEGUN}]),
        *(
            openai(tool_calls=[{"index": 0, "function": {"arguments": piece}}])
            for piece in PIECES
        ),
        openai(tool_calls=[{"index": 1}]),
    ],
    "openai response": [
        event(
            "response.output_item.added",
            output_index=1,
            item={"type": "function_call", "call_id": "1", "name": "clock"},
        ),
        *(event(ARGUMENTS, output_index=1, delta=piece) for piece in PIECES),
    ],
    "anthropic": [
        event(
            "content_block_start",
            index=0,
            content_block={"type": "tool_use", "id": "1", "name": "clock"},
        ),
        *(
            event("content_block_delta", index=0, delta={"partial_json": piece})
            for piece in PIECES
        ),
    ],
    "anthropic, whole": [
        {
            "stop_reason": "tool_use",
            "content": [
                {
                    "type": "tool_use",
                    "id": "1",
                    "name": "clock",
                    "input": {"zone": "UTC"},
                }
            ],
        }
    ],
    "langchain": [
        langchain(id="1", name="clock", args=PIECES[0]),
        langchain(args=PIECES[1]),
    ],
    "langchain, whole": [
        event(
            "ai",
            content="",
            tool_calls=[{"id": "1", "name": "clock", "args": {"zone": "UTC"}}],
        )
    ],
    "gemini": [
        gemini({"function_call": {"id": "1", "name": "clock", "args": {"zone": "UTC"}}})
    ],
    "cohere": [
        cohere("tool-call-start", tool_calls=BEGUN),
        *(
            cohere("tool-call-delta", tool_calls={"function": {"arguments": piece}})
            for piece in PIECES
        ),
    ],
    "bedrock": [
        bedrock(
            "contentBlockStart", start={"toolUse": {"toolUseId": "1", "name": "clock"}}
        ),
        *(
            bedrock("contentBlockDelta", delta={"toolUse": {"input": piece}})
            for piece in PIECES
        ),
        bedrock("contentBlockStart", start={"other": 1}),
    ],
    "ollama": [
        {
            "done": False,
            "message": {
                "content": "",
                "tool_calls": [
                    {
                        "id": "1",
                        "function": {"name": "clock", "arguments": {"zone": "UTC"}},
                    }
                ],
            },
        }
    ],
}


@either
@pytest.mark.parametrize("name", list(CALLS))
def test_tool_calls(name: str, shaped: Any) -> None:
    """
    The pieces of a tool call add up to one, in the same shape for every provider.
    """
    answer = Answer()

    for piece in CALLS[name]:
        take(answer, shaped(piece))

    assert [
        {**call, "arguments": as_dict(call["arguments"])} for call in answer.tool_calls
    ] == [TOOL]


def test_arguments_that_are_no_json() -> None:
    """
    Arguments that are no JSON stay text.
    """
    answer = Answer()

    answer.called("1", "clock", '{"zone"')

    assert answer.tool_calls[0]["arguments"] == '{"zone"'


THOUGHT = {"type": "thinking", "thinking": [{"text": "hm"}]}
TOKENS = {"tokens": {"input_tokens": 10.0, "output_tokens": 5.0}}
OLLAMA = {"done": True, "done_reason": "STOP", "prompt_eval_count": 10, "eval_count": 5}
ANSWERS: dict[str, tuple[list[Any], Usage]] = {
    "gemini": (
        [
            gemini({"text": "hm", "thought": True}),
            gemini({"text": "Hi"}, finish_reason="STOP"),
        ],
        Usage(10, 5, 4, None, 2),
    ),
    "cohere": (
        [
            event("message-start", id="r", delta={"message": {}}),
            cohere("content-delta", content={"thinking": "hm"}),
            cohere("content-delta", content={"text": "Hi"}),
            event("message-end", delta={"finish_reason": "STOP", "usage": TOKENS}),
        ],
        Usage(10, 5),
    ),
    "cohere, whole": (
        [
            {
                "id": "r",
                "message": {
                    "content": [
                        {"type": "thinking", "thinking": "hm"},
                        {"type": "text", "text": "Hi"},
                    ]
                },
                "finish_reason": "STOP",
                "usage": TOKENS,
            }
        ],
        Usage(10, 5),
    ),
    "ollama": (
        [
            {"done": False, "message": {"content": "", "thinking": "hm"}},
            {"done": False, "message": {"content": "Hi"}},
            {**OLLAMA, "message": {"content": ""}},
        ],
        Usage(10, 5),
    ),
    "ollama, text": ([{**OLLAMA, "thinking": "hm", "response": "Hi"}], Usage(10, 5)),
    "bedrock": (
        [
            {"messageStart": {"role": "assistant"}},
            bedrock("contentBlockDelta", delta={"reasoningContent": {"text": "hm"}}),
            bedrock("contentBlockDelta", delta={"text": "Hi"}),
            {"messageStop": {"stopReason": "STOP"}},
            {
                "metadata": {
                    "usage": {
                        "inputTokens": 6,
                        "outputTokens": 5,
                        "cacheReadInputTokens": 4,
                    }
                }
            },
        ],
        Usage(10, 5, 4),
    ),
    "bedrock, whole": (
        [
            {
                "output": {
                    "message": {
                        "content": [
                            {"reasoningContent": {"reasoningText": {"text": "hm"}}},
                            {"text": "Hi"},
                        ]
                    }
                },
                "stopReason": "STOP",
                "usage": {"inputTokens": 10, "outputTokens": 5},
            }
        ],
        Usage(10, 5),
    ),
    "mistral": (
        [
            {"data": openai(content=[THOUGHT])},
            {"data": openai("STOP", content="Hi")},
            {"data": {"choices": [], "usage": {**COUNTS, "num_cached_tokens": 4}}},
            {"data": "no chunk"},
        ],
        Usage(10, 5, 4),
    ),
    "groq": (
        [
            openai(reasoning="hm"),
            openai(content="Hi"),
            {**openai("STOP"), "x_groq": {"usage": COUNTS}},
        ],
        Usage(10, 5),
    ),
    "two choices": (
        [
            openai(reasoning_content="hm"),
            {"choices": [{"index": 1, "delta": {"content": "Other"}}]},
            openai("STOP", content="Hi"),
            {"choices": [], "usage": COUNTS},
        ],
        Usage(10, 5),
    ),
    "openai response": (
        [
            {
                "output": [
                    {"type": "reasoning", "summary": [{"text": "hm"}]},
                    {"type": "message", "content": [{"text": "Hi"}]},
                    {"type": "web_search_call"},
                ],
                "status": "STOP",
                "usage": {"input_tokens": 10, "output_tokens": 5},
            }
        ],
        Usage(10, 5),
    ),
}


@either
@pytest.mark.parametrize("name", list(ANSWERS))
def test_answers(name: str, shaped: Any) -> None:
    """
    Text, reasoning, finish reason and usage of every provider are read alike.
    """
    pieces, usage = ANSWERS[name]
    answer = Answer()

    for piece in pieces:
        take(answer, shaped(piece))

    assert answer.text == "Hi"
    assert answer.reasoning == "hm"
    assert answer.finish_reason == "STOP"
    assert answer.usage == usage


@either
def test_chunk_of_a_generation(shaped: Any) -> None:
    """
    LangChain's chunk of a generation holds a message as an answer of Cohere's does.
    """
    message = {"type": "AIMessageChunk", "content": "Hi"}

    assert take(Answer(), shaped({"message": message})) == [("Hi", "text")]


VECTORS: list[Any] = [
    {"data": [{"embedding": [1.0, 2.0]}]},
    {"embeddings": [[1.0, 2.0]]},
    {"embeddings": [{"values": [1.0, 2.0]}]},
    {"embeddings": {"float_": [[1.0, 2.0]]}},
    [[1.0, 2.0]],
]


@pytest.mark.parametrize("result", VECTORS)
def test_vectors(result: Any) -> None:
    """
    The vectors of every provider's embeddings are found.
    """
    assert vectors_of(result) == [[1.0, 2.0]]


def test_hostile_answers() -> None:
    """
    Escapes, lone surrogates and long texts are kept as they are; cycles end.
    """
    text = "\x1b[31m{}<red>\r\n\ud800" + "x" * 10_000_000
    cyclic: dict[str, Any] = {}
    cyclic["data"] = cyclic["message"] = cyclic

    assert answer_of(openai(content=text)).text == text
    assert answer_of(cyclic).text == ""
    assert answer_of({"choices": 3, "usage": "much"}).usage is None
