"""
Gemini, Mistral, Cohere, Ollama and Bedrock.
"""

import json
from typing import Any

from hypothesis import strategies as st

from . import ARGUMENTS, SOME_WORDS, WORDS, Body, Draw, Plan, as_json, merged

GEMINI = (
    "text",
    "thought",
    "functionCall",
    "toolCall",
    "executableCode",
    "codeExecutionResult",
    "inlineData",
    "fileData",
    "partialArgs",
)
MISTRAL = ("content", "blocks", "thinking", "tool_calls")
COHERE = ("text", "thinking", "tool_plan", "tool_calls")
OLLAMA = ("content", "thinking", "tool_calls")
BEDROCK = ("text", "reasoningContent", "toolUse", "server", "image", "citationsContent")


@st.composite
def geminis(draw: Draw) -> Plan:
    """
    Make an answer of Gemini's: its chunks are answers themselves.
    """
    plan = Plan()
    parts: list[Body] = []
    chunks: list[list[Body]] = []
    for kind in draw(st.lists(st.sampled_from(GEMINI), max_size=5)):
        whole, told = _gemini(draw, plan, kind)
        parts.append(whole)
        chunks += [[part] for part in told]
    used = {"promptTokenCount": 11, "cachedContentTokenCount": 8}
    used |= {"toolUsePromptTokenCount": 2, "thoughtsTokenCount": 3}
    all_used = {**used, "candidatesTokenCount": 4, "totalTokenCount": 20}
    plan.whole = _candidate(parts, all_used, "STOP")
    plan.events = [_candidate(each, used) for each in chunks]
    plan.events.append(_candidate([], all_used, "STOP"))
    plan.facts = {"finish_reason": "STOP", "model": "m", "response_id": "gem_1"}
    plan.usage = {"input_tokens": 13, "output_tokens": 7, "cache_read_tokens": 8}
    plan.usage["reasoning_tokens"] = 3
    return plan


def _candidate(parts: list[Body], used: Body, reason: str | None = None) -> Body:
    candidate: Body = {"content": {"role": "model", "parts": parts}, "index": 0}
    candidate |= {"finishReason": reason} if reason else {}
    told = {"usageMetadata": used, "modelVersion": "m", "responseId": "gem_1"}
    return {"candidates": [candidate], **told}


def _gemini(draw: Draw, plan: Plan, kind: str) -> tuple[Body, list[Body]]:
    if kind in ("text", "thought"):
        words = draw(SOME_WORDS)
        more = {"thought": True} if kind == "thought" else {}
        if more:
            plan.reasoning += "".join(words)
        else:
            plan.text += "".join(words)
        told = [{"text": word, **more} for word in words]
        return {"text": "".join(words), **more}, told
    given = draw(ARGUMENTS)
    if kind == "functionCall":
        part: Body = {kind: {"id": "c", "name": "f", "args": given}}
        plan.calls.append({"id": "c", "name": "f", "arguments": given})
        return part, [part]
    if kind == "partialArgs":
        plan.calls.append({"id": "p", "name": "f", "arguments": _PARTIAL})
        told = [
            {"functionCall": {"id": "p", "name": "f", "willContinue": True}},
            *({"functionCall": {"partialArgs": [it]}} for it in _PIECES),
        ]
        return {"functionCall": {"id": "p", "name": "f", "args": _PARTIAL}}, told
    if kind == "toolCall":
        part = {kind: {"id": "s", "toolType": "GOOGLE_SEARCH_WEB", "args": given}}
        call = {"id": "s", "name": "GOOGLE_SEARCH_WEB", "arguments": given}
        plan.server_calls.append({**call, "server": True})
        return part, [part]
    if kind == "executableCode":
        part = {kind: {"code": "1 + 1", "language": "PYTHON"}}
        call = {"id": None, "name": "code_execution", "arguments": "1 + 1"}
        plan.server_calls.append({**call, "server": True})
        return part, [part]
    part = {
        "codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "2"},
        "inlineData": {"mimeType": "image/png", "data": "QUJD"},
        "fileData": {"mimeType": "image/png", "fileUri": "gs://x"},
    }
    return {kind: part[kind]}, [{kind: part[kind]}]


_PARTIAL = {"city": "Oslo", "at": {"days": [1.0, 2.0]}, "dry": True}
_PIECES: list[Body] = [
    {"jsonPath": "$.city", "stringValue": "Os"},
    {"jsonPath": "$.city", "stringValue": "lo"},
    {"jsonPath": "$.at.days[0]", "numberValue": 1},
    {"jsonPath": "$.at.days[1]", "numberValue": 2},
    {"jsonPath": "$['dry']", "boolValue": True},
]


@st.composite
def mistrals(draw: Draw) -> Plan:
    """
    Make a chat completion of Mistral's, whose content may be blocks.
    """
    plan = Plan()
    message: Body = {"role": "assistant", "content": ""}
    deltas: list[Body] = [{"role": "assistant", "content": ""}]
    content: list[Body] = []
    for kind in draw(st.lists(st.sampled_from(MISTRAL), unique=True)):
        words = draw(WORDS)
        text = "".join(words)
        if kind == "tool_calls":
            calls = [_mistral_call(draw, plan, n) for n in range(2)]
            message["tool_calls"] = calls
            deltas += [{"content": "", "tool_calls": [call]} for call in calls]
        elif kind == "thinking":
            plan.reasoning += text
            parts = [{"type": "text", "text": word} for word in words]
            content.append({"type": "thinking", "thinking": parts})
            deltas += [
                {"content": [{"type": "thinking", "thinking": [part]}]}
                for part in parts
            ]
        else:
            plan.text += text
            content.append({"type": "text", "text": text})
            blocks = ([{"type": "text", "text": word}] for word in words)
            deltas += [
                {"content": it} for it in (words if kind == "content" else blocks)
            ]
    message["content"] = content
    return _mistral(plan, message, deltas)


def _mistral(plan: Plan, message: Body, deltas: list[Body]) -> Plan:
    used = {"prompt_tokens": 11, "completion_tokens": 4, "total_tokens": 15}
    used["num_cached_tokens"] = 8
    head = {"id": "mi_1", "created": 1, "model": "m"}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    plan.whole = {**head, "object": "chat.completion", "choices": [choice]}
    plan.whole["usage"] = used
    told: list[Body] = [
        {"index": 0, "delta": it, "finish_reason": None} for it in deltas
    ]
    told.append({"index": 0, "delta": {"content": ""}, "finish_reason": "stop"})
    plan.events = [{**head, "object": "chunk", "choices": [it]} for it in told]
    plan.events[-1]["usage"] = used
    plan.facts = {"finish_reason": "stop", "model": "m", "response_id": "mi_1"}
    plan.usage = {"input_tokens": 11, "output_tokens": 4, "cache_read_tokens": 8}
    return plan


def _mistral_call(draw: Draw, plan: Plan, number: int) -> Body:
    given = draw(ARGUMENTS)
    told = draw(st.sampled_from([given, json.dumps(given)]))
    plan.calls.append({"id": f"c{number}", "name": "f", "arguments": given})
    # the SDK says index 0 of each that has none
    return {"id": f"c{number}", "function": {"name": "f", "arguments": told}}


@st.composite
def coheres(draw: Draw) -> Plan:
    """
    Make an answer of Cohere's.
    """
    plan = Plan()
    message: Body = {"role": "assistant", "content": []}
    planned: list[Body] = []
    lines: list[list[Body]] = []
    number = 0
    kinds = draw(st.lists(st.sampled_from(COHERE), max_size=4))
    for kind in sorted(kinds, key=["tool_plan", *COHERE].index):
        if kind == "tool_plan":
            if planned:
                continue
            words = draw(SOME_WORDS)
            message["tool_plan"] = "".join(words)
            plan.reasoning += "".join(words)
            planned = [_cohere("tool-plan-delta", None, tool_plan=it) for it in words]
        elif kind == "tool_calls":
            index = len(message.setdefault("tool_calls", []))
            lines.append(_cohere_call(draw, plan, message, index))
        else:
            words = draw(WORDS)
            block = {"type": kind, kind: "".join(words)}
            message["content"].append(block)
            if kind == "text":
                plan.text += "".join(words)
            else:
                plan.reasoning += "".join(words)
            begun = {"type": kind, kind: ""}
            if words and draw(st.booleans()):
                begun[kind], *words = words
            lines.append(
                [
                    _cohere("content-start", number, content=begun),
                    *(
                        _cohere("content-delta", number, content={kind: word})
                        for word in words
                    ),
                    {"type": "content-end", "index": number},
                ]
            )
            number += 1
    used = {"tokens": {"input_tokens": 11, "output_tokens": 4}, "cached_tokens": 8}
    end: Body = {"finish_reason": "COMPLETE", "usage": used}
    plan.whole = {"id": "co_1", "message": message, **end}
    start = {"message": {"role": "assistant", "content": []}}
    plan.events = [
        {"type": "message-start", "id": "co_1", "delta": start},
        *planned,
        *merged(draw, lines),
        {"type": "message-end", "delta": end},
    ]
    plan.facts = {"finish_reason": "COMPLETE", "response_id": "co_1", "model": "m"}
    plan.usage = {"input_tokens": 11, "output_tokens": 4, "cache_read_tokens": 8}
    return plan


def _cohere(kind: str, index: int | None, **message: Any) -> Body:
    at = {} if index is None else {"index": index}
    return {"type": kind, **at, "delta": {"message": message}}


def _cohere_call(draw: Draw, plan: Plan, message: Body, index: int) -> list[Body]:
    given, (first, *later) = as_json(draw)
    id = f"c{index}"
    call: Body = {"id": id, "type": "function"}
    text = "".join([first, *later])
    message["tool_calls"].append({**call, "function": {"name": "f", "arguments": text}})
    plan.calls.append({"id": id, "name": "f", "arguments": given})
    begun = {**call, "function": {"name": "f", "arguments": first}}
    return [
        _cohere("tool-call-start", index, tool_calls=begun),
        *(
            _cohere(
                "tool-call-delta", index, tool_calls={"function": {"arguments": it}}
            )
            for it in later
        ),
        {"type": "tool-call-end", "index": index},
    ]


@st.composite
def ollamas(draw: Draw) -> Plan:
    """
    Make an answer of Ollama's: its chunks are answers themselves.
    """
    plan = Plan()
    message: Body = {"role": "assistant", "content": ""}
    deltas: list[Body] = []
    for kind in draw(st.lists(st.sampled_from(OLLAMA), unique=True)):
        if kind == "tool_calls":
            calls = []
            for _ in range(draw(st.integers(1, 2))):
                given = draw(ARGUMENTS)
                calls.append({"function": {"name": "f", "arguments": given}})
                plan.calls.append({"id": None, "name": "f", "arguments": given})
            message["tool_calls"] = calls
            deltas += [{"content": "", "tool_calls": [call]} for call in calls]
            continue
        words = draw(WORDS)
        message[kind] = "".join(words)
        if kind == "content":
            plan.text = "".join(words)
            deltas += [{"content": word} for word in words]
        else:
            plan.reasoning = "".join(words)
            deltas += [{"content": "", "thinking": word} for word in words]
    head: Body = {"model": "m", "created_at": "2026-01-01T00:00:00Z"}
    # one whose prompt was cached leaves its count out
    counts = draw(st.sampled_from([{"prompt_eval_count": 11}, {}]))
    end = {"done": True, "done_reason": "stop", "eval_count": 4, **counts}
    plan.whole = {**head, "message": message, **end}
    last = {"role": "assistant", "content": ""}
    plan.events = [
        *(
            {**head, "message": {"role": "assistant", **delta}, "done": False}
            for delta in deltas
        ),
        {**head, "message": last, **end},
    ]
    plan.facts = {"finish_reason": "stop", "model": "m"}
    plan.usage = {"input_tokens": 11} if counts else {}
    plan.usage["output_tokens"] = 4
    return plan


@st.composite
def bedrocks(draw: Draw) -> Plan:
    """
    Make an answer of Bedrock's.
    """
    plan = Plan()
    blocks, lines = [], []
    for index, kind in enumerate(draw(st.lists(st.sampled_from(BEDROCK), max_size=4))):
        block, begun, deltas = _bedrock(draw, plan, kind, f"t{index}")
        at: Body = {"contentBlockIndex": index}
        line = [{"contentBlockStart": {**at, "start": begun}}] if begun else []
        line += [{"contentBlockDelta": {**at, "delta": delta}} for delta in deltas]
        lines.append([*line, {"contentBlockStop": at}])
        blocks.append(block)
    used = {"inputTokens": 1, "outputTokens": 4, "totalTokens": 15}
    used |= {"cacheReadInputTokens": 8, "cacheWriteInputTokens": 2}
    output = {"message": {"role": "assistant", "content": blocks}}
    metrics = {"latencyMs": 5}
    plan.whole = {"output": output, "stopReason": "end_turn", "usage": used}
    plan.whole["metrics"] = metrics
    plan.events = [
        {"messageStart": {"role": "assistant"}},
        *merged(draw, lines),
        {"messageStop": {"stopReason": "end_turn"}},
        {"metadata": {"usage": used, "metrics": metrics}},
    ]
    plan.facts = {"finish_reason": "end_turn", "model": "m"}
    plan.usage = {"input_tokens": 11, "output_tokens": 4}
    plan.usage |= {"cache_read_tokens": 8, "cache_write_tokens": 2}
    return plan


def _bedrock(
    draw: Draw, plan: Plan, kind: str, id: str
) -> tuple[Body, Body | None, list[Body]]:
    words = draw(WORDS)
    text = "".join(words)
    if kind == "text":
        plan.text += text
        return {"text": text}, None, [{"text": word} for word in words]
    if kind == "citationsContent":
        plan.text += text
        told: list[Body] = [{"text": word} for word in words]
        return {kind: {"content": [{"text": text}], "citations": []}}, None, told
    if kind == "reasoningContent":
        plan.reasoning += text
        deltas = [{kind: {"text": word}} for word in words]
        return {kind: {"reasoningText": {"text": text}}}, None, deltas
    if kind == "image":
        image = {"format": "png", "source": {"bytes": "QUJD"}}
        return {kind: image}, None, [{kind: {"source": {"bytes": "QUJD"}}}]
    given, pieces = as_json(draw)
    use: Body = {"toolUseId": id, "name": "f"}
    call = {"id": id, "name": "f", "arguments": given}
    if kind == "server":
        use["type"] = "server_tool_use"
        plan.server_calls.append({**call, "server": True})
    else:
        plan.calls.append(call)
    told = [{"toolUse": {"input": piece}} for piece in pieces]
    return {"toolUse": {**use, "input": given}}, {"toolUse": use}, told
