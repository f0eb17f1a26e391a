"""
Answers and messages of several parts, of which one is JSON: told as one text. Results
of tools that failed, of which a part says what an error says.
"""

import json
from types import SimpleNamespace
from typing import Any

import pytest

from instrument import callbacks, traced
from instrument._payloads.redact import as_redactor, redacted
from instrument.testing import Recorder

KEY = "hunter2"
PARTS = ["Here: ", json.dumps({"user": "ada", "password": KEY})]
TOLD = 'Here: {"user": "ada", "password": "[redacted]"}'
NAMES = (as_redactor(["password"]),)
TEXTS = [{"type": "text", "text": part} for part in PARTS]

ANSWERS: dict[str, Any] = {
    "anthropic": {"type": "message", "stop_reason": "end_turn", "content": TEXTS},
    "openai": {
        "object": "response",
        "output": [
            {
                "type": "message",
                "content": [{"type": "output_text", "text": part} for part in PARTS],
            }
        ],
    },
    "openai, messages": {
        "object": "response",
        "output": [
            {"type": "message", "content": [{"type": "output_text", "text": part}]}
            for part in PARTS
        ],
    },
    "chat": {"choices": [{"message": {"role": "assistant", "content": TEXTS}}]},
    "refused": {
        "choices": [
            {"message": {"role": "assistant", "content": PARTS[0], "refusal": PARTS[1]}}
        ]
    },
    "google_genai": {
        "candidates": [{"content": {"parts": [{"text": part} for part in PARTS]}}]
    },
    "botocore": {
        "output": {"message": {"content": [{"text": part} for part in PARTS]}},
        "stopReason": "end_turn",
    },
    "langchain": {"type": "ai", "content": TEXTS},
}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=[*ANSWERS])
def test_part_of_an_answer(answer: Any) -> None:
    """
    JSON that is one part of an answer is masked in the text of all of them.
    """
    recorder = Recorder()

    with callbacks(recorder, redact=["password"]):
        traced.chat_model(lambda _: answer)("hello")

    assert recorder.events[-1].data["text"] == TOLD


def test_part_of_what_was_thought() -> None:
    """
    JSON that is one part of a model's thoughts is masked as in its answer.
    """
    recorder = Recorder()
    thoughts = [{"type": "thinking", "thinking": part} for part in PARTS]
    answer = {"type": "message", "stop_reason": "end_turn", "content": thoughts}

    with callbacks(recorder, redact=["password"]):
        traced.chat_model(lambda _: answer)("hello")

    assert recorder.events[-1].data["reasoning"] == TOLD


def test_part_of_a_streamed_answer() -> None:
    """
    JSON that is one part of a streamed answer is masked in its text.
    """
    recorder = Recorder()

    @traced.chat_model
    def model(_: str) -> Any:
        for index, part in enumerate(PARTS):
            for piece in (part[:9], part[9:]):
                delta = {"type": "text_delta", "text": piece}
                yield {"type": "content_block_delta", "index": index, "delta": delta}

    with callbacks(recorder, redact=["password"]):
        list(model("hello"))

    assert recorder.events[-1].data["text"] == TOLD


def test_function_is_asked_of_the_whole() -> None:
    """
    A function is asked of the text as one, whatever parts it has.
    """
    recorder = Recorder()
    asked: list[Any] = []

    def redact(value: Any, path: Any) -> Any:
        asked.append((value, path))
        return value

    with callbacks(recorder, redact=redact):
        traced.chat_model(lambda _: ANSWERS["anthropic"])("hello")

    assert ("".join(PARTS), ("outputs", "text")) in asked


def test_part_of_a_message() -> None:
    """
    JSON that is one part of a message of LangChain's, or of its thoughts, is masked where
    these are told as one.
    """
    messages = pytest.importorskip("langchain_core.messages")
    recorder = Recorder()
    thoughts = [{"type": "reasoning", "reasoning": part} for part in PARTS]
    given = [
        messages.HumanMessage(TEXTS),
        messages.ToolMessage(TEXTS, tool_call_id="1", artifact={"id": 2}),
        messages.AIMessage(thoughts),
        messages.AIMessage("fine"),
    ]

    with callbacks(recorder, redact=["password"]):
        traced.tool(lambda given: given)(given)

    asked, found, thought, last = recorder.events[0].data["inputs"]["given"]
    assert asked == {"role": "user", "content": TOLD}
    assert found["content"] == TOLD
    assert found["artifact"] == {"id": 2}
    assert thought["reasoning"] == TOLD
    assert last == {"role": "assistant", "content": "fine"}


@pytest.mark.parametrize(
    "field, parts, told",
    [
        ("artifact", TEXTS, TOLD),
        ("content", TEXTS, "[redacted]"),
        ("content", ["Rome"], "***"),
        ("nothing", ["Rome"], "Rome"),
    ],
)
def test_part_of_a_message_that_a_function_was_asked_of(
    field: str, parts: list[Any], told: str
) -> None:
    """
    What both have changed is not told; else each field is as the one or the other left it.
    """
    messages = pytest.importorskip("langchain_core.messages")
    recorder = Recorder()
    given = messages.ToolMessage(parts, tool_call_id="1", artifact={"password": 2})

    def hides(value: Any, path: Any) -> Any:
        return "***" if path[-1] == field else value

    with callbacks(recorder, redact=hides), callbacks(redact=["password"]):
        traced.tool(lambda given: given)(given)

    shown = recorder.events[0].data["inputs"]["given"]
    assert shown["content"] == told
    is_hidden = field == "artifact"
    assert shown["artifact"] == ("***" if is_hidden else {"password": "[redacted]"})


SAYS = "Error invoking 'login' with kwargs {'password': 'enigma', 'x': 1}"
BLOCK = {"type": "text", "text": SAYS}


@pytest.mark.parametrize(
    "result",
    [
        {"type": "tool_result", "content": SAYS, "is_error": True},
        {"is_error": True, "content": [BLOCK]},
        {"isError": True, "content": [SimpleNamespace(text=SAYS)]},
        {"content": ["a", [SAYS], f" {SAYS}"], "is_error": True},
        {"toolResult": {"status": "error", "content": [BLOCK]}},
        json.dumps({"content": SAYS, "status": "error"}),
        SimpleNamespace(is_error=True, content=[BLOCK]),
    ],
)
def test_result_of_a_tool_that_failed(result: Any) -> None:
    """
    In the result of a tool that failed what it says is masked as the message of an error,
    whoever tells it: of another result nothing is, nor of what stands beside it.
    """
    shown = redacted([result, BLOCK], NAMES, ("inputs",))

    assert "enigma" not in str(shown[0])
    assert "'password': [redacted], 'x': 1}" in str(shown[0]).replace("\\", "")
    assert shown[1] == BLOCK
    fine = {"is_error": False, "status": "ok", "content": [BLOCK]}
    assert redacted(fine, NAMES, ("inputs",)) == fine
