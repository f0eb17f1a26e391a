"""
How the messages of SDKs are told in records: as turns, redacted or not.
"""

from typing import Any

import pytest

from instrument import callbacks, traced
from instrument.testing import Recorder


def openai() -> tuple[Any, Any]:
    """
    Make an answer of OpenAI's.
    """
    chat = pytest.importorskip("openai.types.chat")
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    fields = {"role": "assistant", "content": "hi", "tool_calls": [call]}
    shown = {"id": "1", "name": "f", "arguments": {}}
    return chat.ChatCompletionMessage.model_validate(fields), {"tool_calls": [shown]}


def anthropic() -> tuple[Any, Any]:
    """
    Make an answer of Anthropic's.
    """
    types = pytest.importorskip("anthropic.types")
    fields = {
        "id": "m",
        "type": "message",
        "role": "assistant",
        "model": "claude",
        "content": [
            {"type": "thinking", "thinking": "hm", "signature": "s"},
            {"type": "text", "text": "hi"},
        ],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 1, "output_tokens": 2},
    }
    more = {"reasoning": "hm", "id": "m", "model": "claude", "stop_reason": "end_turn"}
    return types.Message.model_validate(fields), more


def google() -> tuple[Any, Any]:
    """
    Make a content of Gemini's.
    """
    types = pytest.importorskip("google.genai.types")
    return types.Content(role="model", parts=[types.Part(text="hi")]), {}


def ollama() -> tuple[Any, Any]:
    """
    Make a message of Ollama's.
    """
    sdk = pytest.importorskip("ollama")
    message = sdk.Message(role="assistant", content="hi", thinking="hm")
    return message, {"reasoning": "hm"}


@pytest.mark.parametrize("make", [openai, anthropic, google, ollama])
@pytest.mark.parametrize("options", [{}, {"redact": ["nothing"]}])
def test_messages(make: Any, options: Any) -> None:
    """
    A message of an SDK's is told by role and content, and what else it says.
    """
    recorder = Recorder()
    message, more = make()

    with callbacks(recorder, **options):
        traced(lambda: {"said": [message]})()

    (told,) = recorder.events[-1].to_dict()["data"]["outputs"]["said"]
    told.pop("usage", None)
    assert told == {"role": "assistant", "content": "hi", **more}


def test_messages_redacted() -> None:
    """
    What is masked in one is masked in that shape.
    """
    recorder = Recorder()
    message, more = openai()

    with callbacks(recorder, redact=["content"]):
        traced(lambda: [message])()

    (told,) = recorder.events[-1].to_dict()["data"]["outputs"]
    assert told == {"role": "assistant", "content": "[redacted]", **more}
