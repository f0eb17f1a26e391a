"""
Channels over LangChain: its models' reasoning and calls of tools, and what its handlers
hear of ours.
"""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

pytest.importorskip("langchain_core")

from langchain_core.callbacks import BaseCallbackHandler, StreamingStdOutCallbackHandler
from langchain_core.language_models import LLM, BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.outputs import (
    ChatGeneration,
    ChatGenerationChunk,
    ChatResult,
    GenerationChunk,
)

from instrument import AsyncCallbackHandler, callbacks, current_run, traced
from instrument.exceptions import BudgetExceeded
from instrument.handlers import BudgetHandler
from instrument.testing import Recorder

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("langchain")]

USED = {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}
CALLS = [
    tool_call_chunk(name="clock", args='{"zone"', id="1", index=0),
    tool_call_chunk(name=None, args=': "UTC"}', id=None, index=0),
]
CHUNKS = [
    AIMessageChunk(content="", usage_metadata=USED),  # type: ignore[arg-type]
    AIMessageChunk(content=[{"type": "thinking", "thinking": "hm"}]),
    AIMessageChunk(content=[{"type": "text", "text": "hey"}]),
    AIMessageChunk(content="!", tool_call_chunks=[CALLS[0]]),
    AIMessageChunk(content="", tool_call_chunks=[CALLS[1]]),
]
PIECES = [
    ("hm", "reasoning"),
    ("hey", "text"),
    ("!", "text"),
    ('{"zone"', "tool_call"),
    (': "UTC"}', "tool_call"),
]
CALL = {"id": "1", "name": "clock", "arguments": {"zone": "UTC"}}


def said_by(message: Any) -> str:
    """
    Give its text, which is a method before LangChain 1.0.
    """
    said = message.text
    return str(said if isinstance(said, str) else said())


class Thinking(BaseChatModel):
    """
    Thinks, speaks and calls a tool.
    """

    @property
    def _llm_type(self) -> str:
        return "thinking"

    def _generate(self, *args: Any, **kwargs: Any) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=AIMessage("hey!"))])

    def _stream(self, *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
        for message in CHUNKS:
            yield ChatGenerationChunk(message=message.model_copy())

    async def _astream(
        self, *args: Any, **kwargs: Any
    ) -> AsyncIterator[ChatGenerationChunk]:
        for message in CHUNKS:
            yield ChatGenerationChunk(message=message.model_copy())


class Heard(BaseCallbackHandler):
    """
    A handler of LangChain's: keeps tokens and chunks.
    """

    def __init__(self) -> None:
        self.tokens: list[str] = []
        self.chunks: list[Any] = []
        self.responses: list[Any] = []

    def on_llm_new_token(self, token: Any, **kwargs: Any) -> None:
        assert "channel" not in kwargs
        assert "run" not in kwargs
        self.tokens.append(token)
        self.chunks.append(kwargs["chunk"])

    def on_llm_end(self, response: Any, **kwargs: Any) -> None:
        self.responses.append(response)


async def streamed(*, is_async: bool) -> None:
    """
    Stream the model.
    """
    if is_async:
        async for _ in Thinking().astream("hi"):
            pass
    else:
        for _ in Thinking().stream("hi"):
            pass


def told(recorder: Recorder) -> list[tuple[str, str]]:
    """
    Give the pieces that were told.
    """
    events = [it for it in recorder.events if it.event == "on_llm_new_token"]
    return [(it.data["token"], it.data["channel"]) for it in events]


both = pytest.mark.parametrize("is_async", [False, True])


@both
async def test_pieces(is_async: bool) -> None:
    """
    Reasoning and calls of tools are pieces too, of several in a chunk each is told.
    """
    recorder = Recorder()
    texts: list[str] = []

    with callbacks(recorder, on_llm_new_token=texts.append):
        await streamed(is_async=is_async)

    assert told(recorder) == PIECES
    assert texts == ["hey", "!"]
    assert recorder.runs[0].time_to_first_token_s is not None


@both
async def test_langchains_handlers_hear_its_chunks(is_async: bool) -> None:
    """
    A handler of LangChain's hears each chunk once, whatever it holds, with its text.
    """
    heard, after, recorder = Heard(), Heard(), Recorder()

    with callbacks(heard, recorder, after):
        await streamed(is_async=is_async)

    tokens = ["", "", "hey", "!", ""]
    assert heard.tokens[: len(tokens)] == after.tokens[: len(tokens)] == tokens
    whole = heard.chunks[0].message
    for chunk in heard.chunks[1:]:
        whole += chunk.message
    assert whole.tool_calls[0]["args"] == {"zone": "UTC"}
    assert whole.usage_metadata["input_tokens"] == 3
    assert told(recorder) == PIECES


@both
async def test_budget(is_async: bool) -> None:
    """
    A budget stops a model of LangChain's that only thinks.
    """
    with callbacks(BudgetHandler(max_tokens=1)), pytest.raises(BudgetExceeded):
        await streamed(is_async=is_async)


def test_left_early() -> None:
    """
    Of a stream that is left all is told that there was: usage, reasoning and text.
    """
    recorder = Recorder()

    with callbacks(recorder):
        for chunk in Thinking().stream("hi"):
            if chunk.content == "!":
                break

    data = recorder.events[-1].data
    assert (data["status"], data["text"]) == ("abandoned", "hey!")
    assert data["reasoning"] == "hm"
    assert data["usage"] == {"input_tokens": 3, "output_tokens": 2}
    assert data["tool_calls"][0]["name"] == "clock"


@both
async def test_redacted(is_async: bool) -> None:
    """
    While anything redacts, LangChain's handlers hear pieces without their chunk, and of
    calls of tools nothing but that there are some.
    """
    heard, recorder = Heard(), Recorder()

    with callbacks(heard, recorder, redact=["zone"]):
        await streamed(is_async=is_async)

    assert heard.tokens == ["", "hey", "!", "", ""]
    assert heard.chunks[3:] == [None, None]
    assert [it.message.content for it in heard.chunks[:3]] == ["", "hey", "!"]
    assert told(recorder)[3:] == [("", "tool_call")] * 2


@both
async def test_our_handlers_are_awaited(is_async: bool) -> None:
    """
    An async handler hears all pieces of a chunk in order.
    """

    class Later(AsyncCallbackHandler):
        def __init__(self) -> None:
            self.heard: list[tuple[str, str]] = []

        async def on_llm_new_token(
            self, token: str, *, channel: str = "", **kwargs: Any
        ) -> None:
            self.heard.append((token, channel))

    later = Later()

    async with callbacks(later):
        await streamed(is_async=is_async)

    assert later.heard == PIECES


def test_models_of_text() -> None:
    """
    A text model's chunks reach LangChain's handlers as they are.
    """
    heard = Heard()

    with callbacks(heard):
        list(Completion().stream("hi"))

    assert heard.tokens[:2] == ["a", "b"]
    assert [chunk.text for chunk in heard.chunks[:2]] == ["a", "b"]


class Completion(LLM):
    """
    Streams two letters.
    """

    _llm_type = "completion"

    def _call(self, *_: Any, **__: Any) -> str:
        return "ab"

    def _stream(
        self, prompt: str, stop: Any = None, run_manager: Any = None, **_: Any
    ) -> Iterator[GenerationChunk]:
        for letter in "ab":
            run_manager.on_llm_new_token(letter, chunk=GenerationChunk(text=letter))
            yield GenerationChunk(text=letter)


def chat_chunk(**delta: Any) -> dict[str, Any]:
    """
    Give a chunk of OpenAI's.
    """
    return {"choices": [{"index": 0, "delta": delta}]}


def call_chunk(index: int, arguments: str, **named: Any) -> dict[str, Any]:
    """
    Give a piece of a call.
    """
    id = named.pop("id", None)
    function = {"arguments": arguments, **named}
    return chat_chunk(tool_calls=[{"index": index, "id": id, "function": function}])


@traced.chat_model
def model() -> Iterator[Any]:
    """
    Stream as OpenAI's SDK does.
    """
    yield chat_chunk(reasoning_content="h")
    yield chat_chunk(reasoning_content="m")
    yield chat_chunk(content="hey")
    yield call_chunk(0, "", id="1", name="clock")
    yield call_chunk(0, '{"zone"')
    yield call_chunk(0, ': "UTC"}')
    yield call_chunk(1, '{"zone": 1}', id="2", name="clock")


def test_chunks_of_ours_add_up() -> None:
    """
    The chunks that a handler of LangChain's hears of anybody's stream add up to the
    message that it hears at the end.
    """
    heard = Heard()

    with callbacks(heard):
        list(model())

    assert heard.tokens == ["", "", "hey", "", "", ""]
    whole = heard.chunks[0].message
    for chunk in heard.chunks[1:]:
        whole += chunk.message
    message = heard.responses[0].generations[0][0].message
    assert said_by(whole) == said_by(message) == "hey"
    assert whole.tool_calls == message.tool_calls
    assert [call["args"] for call in whole.tool_calls] == [{"zone": "UTC"}, {"zone": 1}]
    reasoning = whole.additional_kwargs["reasoning_content"]
    assert reasoning == message.additional_kwargs["reasoning_content"] == "hm"


def test_calls_without_an_answer() -> None:
    """
    A piece of a call that is told by hand belongs to a call of which no more is known.
    """
    heard = Heard()

    with callbacks(heard):
        traced.chat_model(lambda: current_run().token("{", None, "tool_call"))()
        traced.llm(lambda: current_run().token("hm", None, "reasoning"))()

    ((piece,), thought) = (heard.chunks[0].message.tool_call_chunks, heard.chunks[1])
    assert (piece["name"], piece["args"], piece["index"]) == (None, "{", 0)
    assert (heard.tokens, thought.text) == (["", ""], "")


def test_printing_handler(capsys: pytest.CaptureFixture[str]) -> None:
    """
    LangChain's `StreamingStdOutCallbackHandler` prints the answer and nothing else.
    """
    with callbacks(StreamingStdOutCallbackHandler()):
        list(model())

    assert capsys.readouterr().out == "hey"
