"""
How LangChain's and LangGraph's objects are told in records: in one shape wherever they
stand, redacted or not.
"""

import json
from typing import Any

import pytest

pytest.importorskip("langchain_core")

from langchain_core.documents import Document
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.prompt_values import ChatPromptValue

from instrument import callbacks, traced
from instrument.testing import Recorder

CALL: Any = {"id": "1", "name": "f", "args": {"password": "x"}}
SHOWN = {"id": "1", "name": "f", "arguments": {"password": "x"}}
RESULT: Any = {"type": "tool_result", "tool_use_id": "1", "content": "r"}
THOUGHT: Any = {"type": "thinking", "thinking": "hm"}


class Own(BaseMessage):
    """
    A message of somebody's own.
    """

    type: str = "own"


def turn(role: str, content: Any, **more: Any) -> dict[str, Any]:
    """
    Give a message as it is told.
    """
    return {"role": role, "content": content, **more}


HI = turn("user", "hi")
DOCUMENT = Document("text", metadata={"password": "x"}, id="d")
VALUES: dict[str, tuple[Any, Any]] = {
    "human": (HumanMessage("hi", id="1", additional_kwargs={"a": 1}), HI),
    "system": (SystemMessage("hi"), turn("system", "hi")),
    "an answer": (
        AIMessage("hi", tool_calls=[CALL]),
        turn("assistant", "hi", tool_calls=[SHOWN]),
    ),
    "a chunk": (AIMessageChunk(content="hi"), turn("assistant", "hi")),
    "a thought": (
        AIMessage([THOUGHT, {"type": "text", "text": "hi"}]),
        turn("assistant", "hi", reasoning="hm"),
    ),
    "a result": (
        ToolMessage("hi", tool_call_id="1", name="f", artifact={"a": 1}),
        turn("tool", "hi", tool_call_id="1", name="f", artifact={"a": 1}),
    ),
    "a failure": (
        ToolMessage("hi", tool_call_id="1", status="error"),
        turn("tool", "hi", tool_call_id="1", is_error=True),
    ),
    "an old result": (
        FunctionMessage(content="hi", name="f"),
        turn("tool", "hi", name="f"),
    ),
    "a role": (ChatMessage(content="hi", role="narrator"), turn("narrator", "hi")),
    "a removal": (RemoveMessage(id="1"), turn("remove", "", id="1")),
    "a type of its own": (Own(content="hi"), turn("own", "hi")),
    "results in a message": (
        HumanMessage([RESULT, {"type": "text", "text": "hi"}]),
        turn("user", [RESULT, {"type": "text", "text": "hi"}]),
    ),
    "a state": ({"messages": [HumanMessage("hi")]}, {"messages": [HI]}),
    "a prompt": (ChatPromptValue(messages=[HumanMessage("hi")]), {"messages": [HI]}),
    "a document": (
        DOCUMENT,
        {"page_content": "text", "metadata": {"password": "x"}},
    ),
    "a result of a model": (
        ChatResult(generations=[ChatGeneration(message=AIMessage("hi"))]),
        {
            "generations": [
                {
                    "text": "hi",
                    "generation_info": None,
                    "type": "ChatGeneration",
                    "message": turn("assistant", "hi"),
                }
            ],
            "llm_output": None,
        },
    ),
}


def told(value: Any, **options: Any) -> Any:
    """
    Give what a record tells of a result.
    """
    recorder = Recorder()
    with callbacks(recorder, **options):
        traced(lambda: value)()
    return recorder.events[-1].to_dict()["data"]["outputs"]


@pytest.mark.parametrize("name", VALUES)
def test_values(name: str) -> None:
    """
    A message is told as a turn, a document by its text and metadata.
    """
    value, shown = VALUES[name]

    assert told(value) == shown


@pytest.mark.parametrize("name", VALUES)
def test_values_redacted(name: str) -> None:
    """
    With a redactor the shape is the same; what is masked is masked in it.
    """
    value, shown = VALUES[name]
    masked = json.loads(json.dumps(shown).replace('word": "x"', 'word": "[redacted]"'))
    louder = json.loads(json.dumps(shown).replace('"hi"', '"HI"'))

    assert told(value, redact=["nothing"]) == shown
    assert told(value, redact=["password"]) == masked
    assert told(value, redact=lambda it, path: "HI" if it == "hi" else it) == louder


@pytest.mark.parametrize(
    "hidden",
    [
        HumanMessage("hi", additional_kwargs={"password": "x"}),
        AIMessage("hi", response_metadata={"password": "x"}),
        AIMessage([{"type": "text", "text": "hi", "password": "x"}]),
        ToolMessage("hi", tool_call_id="1", artifact={"password": "x"}),
        AIMessage("hi", invalid_tool_calls=[{**CALL, "args": '{"password": "x"}'}]),
    ],
)
def test_nothing_is_passed_by(hidden: Any) -> None:
    """
    What is not told of a message is masked all the same, where handlers get it.
    """
    heard: list[Any] = []

    with callbacks(on_chain_end=heard.append, redact=["password"]):
        traced(lambda: hidden)()

    assert '"x"' not in str(heard[0])
    assert "'x'" not in str(heard[0])


def test_langgraph() -> None:
    """
    Commands and sends of LangGraph tell the messages in them.
    """
    types = pytest.importorskip("langgraph.types")
    update = {"messages": [HumanMessage("hi")]}

    command = told(types.Command(update=update, goto="next"))
    send = told(types.Send("node", update))

    assert (command["goto"], command["update"]) == ("next", {"messages": [HI]})
    assert (send["node"], send["arg"]) == ("node", {"messages": [HI]})


def test_documents_found() -> None:
    """
    A retriever's documents are told so too, redacted or not.
    """
    for options in ({}, {"redact": ["nothing"]}):
        recorder = Recorder()
        with callbacks(recorder, **options):  # type: ignore[arg-type]
            traced.retriever(lambda query: [DOCUMENT])("q")
        found = recorder.events[-1].to_dict()["data"]["documents"]
        assert found == [VALUES["a document"][1]]
