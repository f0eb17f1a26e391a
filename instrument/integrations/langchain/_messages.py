"""
LangChain's own messages, made of anybody's.
"""

from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    ChatMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.messages.tool import tool_call_chunk

from instrument._payloads.jsonable import jsonable, text_of
from instrument._payloads.messages import get, items, read_arguments, string
from instrument._payloads.turns import turns_in
from instrument._text import is_callers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from instrument._payloads.turns import Turn

REASONING = "reasoning_content"
"""Where LangChain keeps what a model thought, if the content is text."""
MOST_TEXT = 10_000
"""The most characters that stand for a value that is no message or document."""


def messages_of(given: object) -> "list[BaseMessage]":
    """
    Give what *given* says; the results of tools in it are messages of their own.
    """
    if issubclass(type(given), BaseMessage):
        return [given]  # type: ignore[list-item]
    try:
        return [_made(turn) for turn in turns_in(given)]
    except BaseException as exc:  # of values that LangChain does not take
        if is_callers(exc):
            raise
        return [HumanMessage(text_of(given, MOST_TEXT))]


def answer_of(turn: "Turn", **facts: "Any") -> AIMessage:
    """
    Make the message of a model.

    Args:
        turn: Its content, its calls of tools and what it thought before.
        facts: What else LangChain keeps of it.
    """
    calls, odd, ran = _calls(turn.get("tool_calls"))
    content = _content(turn["content"])
    if ran:
        content = [*ran, *([content] if type(content) is str and content else [])]
    reasoning = turn.get("reasoning")
    return AIMessage(
        content=content,
        tool_calls=calls,
        invalid_tool_calls=odd,
        additional_kwargs={REASONING: reasoning} if reasoning else {},
        **facts,
    )


def chunk_of(text: str, channel: str, calls: "list[Any]") -> AIMessageChunk:
    """
    Make a chunk of a piece of an answer, so that they add up to that.

    Args:
        text: What it says.
        channel: What it is.
        calls: What has been told of tools so far; a piece of one is of the last.
    """
    if channel == "text":
        return AIMessageChunk(content=text)
    if channel == "reasoning":
        return AIMessageChunk(content="", additional_kwargs={REASONING: text})
    call = calls[-1] if calls else {"id": None, "name": None, "arguments": None}
    is_first = call["arguments"] == read_arguments(text)
    piece = tool_call_chunk(
        name=call["name"] if is_first else None,
        args=text,
        id=call["id"] if is_first else None,
        index=max(len(calls) - 1, 0),
    )
    return AIMessageChunk(content="", tool_call_chunks=[piece])


def _made(turn: "Turn") -> BaseMessage:
    role, content = turn["role"], turn["content"]
    if role == "assistant":
        return answer_of(turn)
    if role == "tool":
        return ToolMessage(
            content=_content(content),
            tool_call_id=string(turn.get("tool_call_id")) or "",
            name=turn.get("name"),
            status="error" if turn.get("is_error") else "success",
        )
    if role == "system":
        return SystemMessage(_content(content))
    if role == "developer":  # as LangChain writes it
        return SystemMessage(
            _content(content), additional_kwargs={"__openai_role__": role}
        )
    if role in ("user", "unknown"):
        return HumanMessage(_content(content))
    return ChatMessage(role=role, content=_content(content))


def _content(content: object) -> "Any":
    if content is None:
        return ""
    if issubclass(type(content), str):
        return str.__str__(content)
    if type(content) is not list:
        content = [content]
    blocks = [_block(block) for block in content]
    return blocks if dict in map(type, blocks) else "".join(blocks)


def _block(block: object) -> "Any":
    """
    Give a block of a message as LangChain has them: a dict, or text.
    """
    told = block if type(block) is dict else jsonable(block)
    if type(told) is dict:
        return {name: item for name, item in told.items() if item is not None}
    return told if type(told) is str else text_of(told, MOST_TEXT)


def _calls(calls: object) -> "tuple[list[Any], list[Any], list[Any]]":
    """
    Part the calls that the caller is to run from those whose arguments are no object,
    and from those that the provider has run.
    """
    good, odd, ran = [], [], []
    for call in items(calls):
        told = {"id": string(get(call, "id")), "name": string(get(call, "name")) or ""}
        arguments = get(call, "arguments")
        kind = type(arguments)
        if arguments is None or ((kind is str or kind is list) and not arguments):
            arguments = {}
        if get(call, "server") is True:
            ran.append({"type": "server_tool_call", "args": arguments, **told})
        elif type(arguments) is dict:
            good.append({"type": "tool_call", "args": arguments, **told})
        else:
            text = (
                arguments if type(arguments) is str else text_of(arguments, MOST_TEXT)
            )
            odd.append(
                {"type": "invalid_tool_call", "args": text, "error": None, **told}
            )
    return good, odd, ran
