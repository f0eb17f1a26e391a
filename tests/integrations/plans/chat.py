"""
Chat completions, of OpenAI and those who took them over.
"""

import json
from typing import Any

from hypothesis import strategies as st

from . import ARGUMENTS, SOME_WORDS, WORDS, Body, Draw, Plan, as_json, cut, merged

USAGE = {
    "prompt_tokens": 11,
    "completion_tokens": 4,
    "total_tokens": 15,
    "prompt_tokens_details": {"cached_tokens": 8},
    "completion_tokens_details": {"reasoning_tokens": 2},
}
USED = {
    "input_tokens": 11,
    "output_tokens": 4,
    "cache_read_tokens": 8,
    "reasoning_tokens": 2,
}
PARTS = (
    "content",
    "refusal",
    "reasoning_content",
    "tool_calls",
    "function_call",
    "audio",
    "custom",
    "executed_tools",
    "reasoning_details",
    "images",
)
OPENAI = PARTS[:6]
GROQ = ("content", "reasoning", "tool_calls", "function_call", "executed_tools")
TOGETHER = ("content", "reasoning", "tool_calls", "function_call")
HUGGINGFACE = ("content", "tool_calls")
IMAGE = "data:image/png;base64,QUJD"


@st.composite
def chats(draw: Draw, kinds: tuple[str, ...], told: str = "", most: int = 2) -> Plan:
    """
    Make a chat completion.

    Args:
        kinds: What its message may have.
        told: Who tells the usage in a place of his own.
        most: How many choices it may have.
    """
    plan = Plan()
    head: Body = {"id": "chat_1", "created": 1, "model": "m"}
    choices, lines = [], []
    for index in range(draw(st.integers(1, most))):
        chosen = draw(st.lists(st.sampled_from(kinds), unique=True, max_size=4))
        said = Plan()
        message: Body = {"role": "assistant", "content": None}
        deltas = [
            _PARTS[kind](draw, said, message) for kind in sorted(chosen, key=PLACE)
        ]
        begun = {"role": "assistant", "content": None}
        choices.append({"index": index, "message": message, "finish_reason": "stop"})
        line = [begun, *merged(draw, deltas)]
        lines.append([_choice(index, delta) for delta in line])
        lines[-1].append(_choice(index, {}, "stop"))
        if index == 0:
            plan = said
    chunk = {**head, "object": "chat.completion.chunk"}
    plan.events = [{**chunk, "choices": [it]} for it in merged(draw, lines)]
    if told == "groq":
        plan.events[-1]["x_groq"] = {"id": "r", "usage": USAGE}
    elif told:
        plan.events[-1]["usage"] = USAGE
    else:
        plan.events.append({**chunk, "choices": [], "usage": USAGE})
    plan.whole = {**head, "object": "chat.completion"}
    plan.whole |= {"choices": choices, "usage": USAGE}
    plan.facts = {"finish_reason": "stop", "model": "m", "response_id": "chat_1"}
    plan.usage = USED
    return plan


def PLACE(kind: str) -> int:  # noqa: N802
    """
    Say where a part stands: text, refusals, and what is spoken.
    """
    return [*PARTS, "reasoning"].index(kind)


def _choice(index: int, delta: Body, reason: str | None = None) -> Body:
    return {"index": index, "delta": delta, "finish_reason": reason}


def _content(draw: Draw, plan: Plan, message: Body) -> list[Body]:
    words = draw(SOME_WORDS)
    message["content"] = "".join(words)
    plan.text += "".join(words)
    return [{"content": word} for word in words]


def _refusal(draw: Draw, plan: Plan, message: Body) -> list[Body]:
    words = draw(SOME_WORDS)
    message["refusal"] = "".join(words)
    plan.text += "".join(words)
    return [{"refusal": word} for word in words]


def _reasoning_content(draw: Draw, plan: Plan, message: Body) -> list[Body]:
    return _reasoning(draw, plan, message, "reasoning_content")


def _reasoning(
    draw: Draw, plan: Plan, message: Body, name: str = "reasoning"
) -> list[Body]:
    words = draw(SOME_WORDS)
    message[name] = "".join(words)
    plan.reasoning += "".join(words)
    return [{name: word} for word in words]


def _reasoning_details(draw: Draw, plan: Plan, message: Body) -> list[Body]:
    if "reasoning_content" in message:
        return []
    words = draw(SOME_WORDS)
    details = [{"type": "reasoning.text", "text": word, "index": 0} for word in words]
    details.append({"type": "reasoning.encrypted", "data": "x", "index": 1})
    message["reasoning_details"] = details
    plan.reasoning += "".join(words)
    return [{"reasoning_details": [detail]} for detail in details]


def _tool_calls(draw: Draw, plan: Plan, message: Body) -> list[Body]:
    calls, lines = [], []
    for index in range(draw(st.integers(1, 3))):
        given, pieces = as_json(draw)
        id, name = f"call_{index}", f"tool_{index}"
        if not given and draw(st.booleans()):
            pieces = [""]  # of a tool that has none
        text = "".join(pieces)
        call: Body = {"id": id, "type": "function"}
        calls.append({**call, "function": {"name": name, "arguments": text}})
        plan.calls.append({"id": id, "name": name, "arguments": given})
        first: Body = {**call, "function": {"name": name, "arguments": pieces[0]}}
        later: list[Body] = [{"function": {"arguments": piece}} for piece in pieces[1:]]
        lines.append(
            [{"tool_calls": [{"index": index, **it}]} for it in (first, *later)]
        )
    message["tool_calls"] = calls
    return list(merged(draw, lines))


def _custom(draw: Draw, plan: Plan, message: Body) -> list[Body]:
    if "tool_calls" in message:
        return []
    text = "".join(draw(WORDS))
    call = {"id": "call_c", "type": "custom"}
    plan.calls.append({"id": "call_c", "name": "sql", "arguments": text})
    message["tool_calls"] = [{**call, "custom": {"name": "sql", "input": text}}]
    first, *later = cut(draw, text)
    told: list[Body] = [{**call, "custom": {"name": "sql", "input": first}}]
    told += [{"custom": {"input": piece}} for piece in later]
    return [{"tool_calls": [{"index": 0, **it}]} for it in told]


def _function_call(draw: Draw, plan: Plan, message: Body) -> list[Body]:
    given, pieces = as_json(draw)
    first, *later = cut(draw, "old_tool")
    message["function_call"] = {"name": "old_tool", "arguments": "".join(pieces)}
    plan.calls.append({"id": None, "name": "old_tool", "arguments": given})
    told = [{"name": first}, *({"name": it} for it in later)]
    told += [{"arguments": piece} for piece in pieces]
    return [{"function_call": it} for it in told]


def _audio(draw: Draw, plan: Plan, message: Body) -> list[Body]:
    words = draw(SOME_WORDS)
    plan.text += "".join(words)
    message["audio"] = {"id": "a", "transcript": "".join(words), "data": "QUJD"}
    told = [{"id": "a"}, {"data": "QU"}, *({"transcript": it} for it in words)]
    return [{"audio": it} for it in (*told, {"data": "JD"})]


def _executed_tools(draw: Draw, plan: Plan, message: Body) -> list[Body]:
    given = draw(ARGUMENTS)
    tool = {"index": 0, "type": "search", "arguments": json.dumps(given)}
    call = {"id": None, "name": "search", "arguments": given, "server": True}
    plan.server_calls.append(call)
    message["executed_tools"] = [{**tool, "output": "x"}]
    return [{"executed_tools": [it]} for it in (tool, {**tool, "output": "x"})]


def _images(draw: Draw, plan: Plan, message: Body) -> list[Body]:
    image = {"type": "image_url", "image_url": {"url": IMAGE}, "index": 0}
    message["images"] = [image]
    return [{"images": [image]}]


_PARTS: dict[str, Any] = {
    "content": _content,
    "refusal": _refusal,
    "reasoning_content": _reasoning_content,
    "reasoning": _reasoning,
    "reasoning_details": _reasoning_details,
    "tool_calls": _tool_calls,
    "custom": _custom,
    "function_call": _function_call,
    "audio": _audio,
    "executed_tools": _executed_tools,
    "images": _images,
}


def accumulated(completion: Any) -> Body:
    """
    Give what the SDK's own completion tells.
    """
    message = completion.choices[0].message.to_dict()
    calls = [it["function"]["arguments"] for it in message.get("tool_calls") or []]
    legacy = message.get("function_call")
    return {
        "text": (message.get("content") or "")
        + (message.get("refusal") or "")
        + ((message.get("audio") or {}).get("transcript") or ""),
        "reasoning": message.get("reasoning_content") or "",
        "calls": [json.loads(it or "{}") for it in calls]
        + ([json.loads(legacy["arguments"])] if legacy else []),
        "finish_reason": completion.choices[0].finish_reason,
        "output_tokens": completion.usage.completion_tokens,
    }
