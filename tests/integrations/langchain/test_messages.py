"""
What LangChain's handlers are told of anybody's messages: LangChain's own.
"""

from typing import Any

import pytest

pytest.importorskip("langchain_core")

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from vocabulary import CALL, VOCABULARY  # type: ignore[import-not-found]

from instrument import callbacks, traced
from instrument._payloads.turns import turns_of

TYPES: dict[str, type[BaseMessage]] = {
    "user": HumanMessage,
    "system": SystemMessage,
    "developer": SystemMessage,
    "assistant": AIMessage,
    "tool": ToolMessage,
}


def said_by(message: Any) -> str:
    """
    Give its text, which is a method before LangChain 1.0.
    """
    said = message.text
    return str(said if isinstance(said, str) else said())


class Heard(BaseCallbackHandler):
    """
    Keeps the messages that models are given and give.
    """

    def __init__(self) -> None:
        self.messages: list[BaseMessage] = []
        self.answers: list[Any] = []
        self.tools: list[Any] = []

    def on_chat_model_start(self, serialized: Any, messages: Any, **_: Any) -> None:
        (self.messages,) = messages

    def on_llm_end(self, response: Any, **_: Any) -> None:
        self.answers += [it.message for it in response.generations[0]]

    def on_tool_start(self, serialized: Any, input_str: str, **_: Any) -> None:
        self.tools.append(serialized)


def heard_of(*messages: Any) -> list[BaseMessage]:
    """
    Give what a handler of LangChain's hears of messages.
    """
    heard = Heard()
    with callbacks(heard):
        traced.chat_model(lambda messages: "ok")([*messages])
    return heard.messages


def as_langchain_has_it(turn: dict[str, Any]) -> dict[str, Any]:
    """
    Give a turn as it is told of LangChain's message: no content is no text.
    """
    role = "system" if turn["role"] == "developer" else turn["role"]
    return {**turn, "role": role, "content": turn["content"] or ""}


@pytest.mark.parametrize("name", VOCABULARY)
def test_round_trip(name: str) -> None:
    """
    Each message of each provider is one of LangChain's, and says the same.
    """
    given, turns = VOCABULARY[name].values()

    made = heard_of(given)

    types = [TYPES.get(turn["role"], ChatMessage) for turn in turns]
    assert [type(message) for message in made] == types
    assert turns_of(made) == [as_langchain_has_it(turn) for turn in turns]
    assert "object at 0x" not in repr(made)


@pytest.mark.parametrize("is_failure", [True, False])
def test_results_of_tools(is_failure: bool) -> None:
    """
    A tool's result is a `ToolMessage`, which says whether it failed.
    """
    name = "anthropic failure" if is_failure else "anthropic result"

    (message,) = heard_of(VOCABULARY[name]["given"])

    assert isinstance(message, ToolMessage)
    assert message.status == ("error" if is_failure else "success")
    assert (message.tool_call_id, message.content) == ("1", "12:00")


def test_calls_of_tools() -> None:
    """
    Calls are in `tool_calls`; those whose arguments are no object among the invalid ones.
    """
    good, odd = heard_of(
        VOCABULARY["openai calls"]["given"], VOCABULARY["openai odd call"]["given"]
    )

    assert isinstance(good, AIMessage)
    assert isinstance(odd, AIMessage)
    (call,) = good.tool_calls
    assert (call["id"], call["name"], call["args"]) == ("1", "clock", {"zone": "UTC"})
    assert odd.tool_calls == []
    assert odd.invalid_tool_calls[0]["args"] == "{"


class Block:
    """
    A block of an SDK's, with fields that say nothing.
    """

    __pydantic_fields__: Any = dict.fromkeys(("type", "url", "detail"))

    def __init__(self) -> None:
        self.type, self.url, self.detail = "image_url", "x", None


def test_blocks_that_are_objects() -> None:
    """
    Blocks are dicts or text, whatever they were.
    """
    made = heard_of(
        {"role": "user", "content": [Block(), 3]},
        {"role": "user", "content": 3},
        {"role": "user", "content": [4]},
    )

    contents = [message.content for message in made]
    assert contents == [[{"type": "image_url", "url": "x"}, "3"], "3", "4"]


@pytest.mark.parametrize(
    "given",
    [
        3,
        {"role": "user", "content": {1: {2: 3}}},
        {"role": "assistant", "tool_calls": ["f", 3]},
        {"role": "assistant", "tool_calls": [{"name": "f", "args": {1: 2}}]},
        {"role": "assistant", "tool_calls": [{"name": "f", "args": [1]}]},
    ],
)
def test_what_langchain_does_not_take(given: Any) -> None:
    """
    Of whatever else is given a message is told.
    """
    (message,) = heard_of(given)

    assert isinstance(message, (HumanMessage, AIMessage))


class Interrupting:
    """
    Interrupts who looks at it.
    """

    def __repr__(self) -> str:
        raise KeyboardInterrupt


def test_an_interrupt_passes() -> None:
    """
    An interrupt that comes while a message is made reaches the caller.
    """
    with pytest.raises(KeyboardInterrupt):
        heard_of({"role": "user", "content": [Interrupting()]})


def answered(answer: Any, **options: Any) -> Any:
    """
    Give the messages that a handler of LangChain's hears of a model's answer.
    """
    heard = Heard()
    with callbacks(heard, **options):
        traced.chat_model(model="m")(lambda messages: answer)("hi")
    return heard.answers


USE = {"type": "tool_use", "id": "1", "name": "clock", "input": {"zone": "UTC"}}
ANSWERS: dict[str, Any] = {
    "openai": {
        "id": "r",
        "choices": [
            {
                "message": {
                    "content": "hey",
                    "reasoning_content": "hm",
                    "tool_calls": [
                        {
                            "id": "1",
                            "function": {
                                "name": "clock",
                                "arguments": '{"zone":"UTC"}',
                            },
                        }
                    ],
                },
                "finish_reason": "stop",
            }
        ],
        "usage": {
            "prompt_tokens": 9,
            "completion_tokens": 4,
            "completion_tokens_details": {"reasoning_tokens": 2},
        },
    },
    "anthropic": {
        "id": "r",
        "content": [
            {"type": "thinking", "thinking": "hm"},
            {"type": "text", "text": "hey"},
            USE,
        ],
        "stop_reason": "stop",
        "usage": {"input_tokens": 9, "output_tokens": 4},
    },
}


@pytest.mark.parametrize("provider", ANSWERS)
def test_answers(provider: str) -> None:
    """
    An answer's text, calls, usage and reasoning are on its message.
    """
    (message,) = answered(ANSWERS[provider])

    assert (message.content, message.id) == ("hey", "r")
    assert message.tool_calls == [
        {"name": "clock", "args": {"zone": "UTC"}, "id": "1", "type": "tool_call"}
    ]
    assert message.additional_kwargs == {"reasoning_content": "hm"}
    if hasattr(message, "content_blocks"):  # from LangChain 1.0 on
        kinds = [it["type"] for it in message.content_blocks]
        assert kinds[:2] == ["reasoning", "text"]
    used = message.usage_metadata
    assert (used["input_tokens"], used["output_tokens"]) == (9, 4)
    assert message.response_metadata["finish_reason"] == "stop"


def test_answers_redacted() -> None:
    """
    What is masked is masked there as well.
    """
    (message,) = answered(ANSWERS["openai"], redact=["zone"])
    (nothing,) = answered(ANSWERS["openai"], capture=False)

    assert message.tool_calls[0]["args"] == {"zone": "[redacted]"}
    assert (nothing.content, nothing.tool_calls) == ("", [])


def test_calls_that_the_provider_ran() -> None:
    """
    What the provider ran itself is none of the caller's calls, but a block.
    """
    from instrument.integrations.langchain._messages import answer_of

    ran = {**CALL, "server": True}
    message = answer_of({"content": "hey", "tool_calls": [ran, CALL]})
    bare = answer_of({"content": None, "tool_calls": [ran]})

    assert [call["name"] for call in message.tool_calls] == ["clock"]
    assert said_by(message) == "hey"
    assert [it["type"] for it in message.content[:1]] == ["server_tool_call"]  # type: ignore[index]
    assert len(bare.content) == 1


class Asked:
    """
    What may not be asked for its truth.
    """

    def __bool__(self) -> bool:
        raise ValueError

    def __repr__(self) -> str:
        return "asked"


def test_arguments_are_not_asked() -> None:
    """
    A call's arguments may be any object: LangChain gets them as text.
    """
    from instrument.integrations.langchain._messages import answer_of

    given: list[Any] = [Asked(), "", [], {}]
    calls = [{"id": "1", "name": "f", "arguments": it} for it in given]
    message = answer_of({"role": "assistant", "content": "", "tool_calls": calls})

    (odd,) = message.invalid_tool_calls
    assert odd["args"] == "asked"
    assert [call["args"] for call in message.tool_calls] == [{}, {}, {}]


def test_tools_are_described() -> None:
    """
    What a tool is called comes with what its docstring says of it.
    """
    heard = Heard()

    @traced.tool
    def clock(zone: str) -> str:
        """
        Tell the time.

            In any zone.
        """
        return zone

    with callbacks(heard):
        clock("UTC")

    description = "Tell the time.\n\n    In any zone."
    assert heard.tools == [{"name": "clock", "description": description}]
