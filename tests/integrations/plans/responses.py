"""
OpenAI's Responses.
"""

from itertools import count
from typing import Any

from hypothesis import strategies as st

from . import WORDS, Body, Draw, Plan, as_json, cut, merged

USAGE = {
    "input_tokens": 11,
    "input_tokens_details": {"cached_tokens": 8, "cache_write_tokens": 1},
    "output_tokens": 4,
    "output_tokens_details": {"reasoning_tokens": 2},
    "total_tokens": 15,
}
SERVER: dict[str, Body] = {
    "web_search_call": {"action": {"type": "search", "query": "cats"}},
    "file_search_call": {"queries": ["cats"], "results": None},
    "image_generation_call": {"result": "QUJD"},
}
CLIENT: dict[str, Body] = {
    "computer_call": {"action": {"type": "wait"}, "pending_safety_checks": []},
    "local_shell_call": {"action": {"type": "exec", "command": ["ls"], "env": {}}},
    "shell_call": {"action": {"commands": ["ls"]}},
    "apply_patch_call": {"operation": {"type": "delete_file", "path": "x"}},
}
SILENT: dict[str, Body] = {
    "function_call_output": {"call_id": "c", "output": "x"},
    "computer_call_output": {"call_id": "c", "output": {"type": "computer_screenshot"}},
    "program": {"call_id": "c", "code": "x", "fingerprint": "f"},
    "program_output": {"call_id": "c", "result": "x"},
    "tool_search_output": {"tools": [], "execution": "server"},
    "additional_tools": {"tools": [], "role": "developer"},
    "compaction": {"encrypted_content": "x"},
    "local_shell_call_output": {"output": "x"},
    "shell_call_output": {"call_id": "c", "output": []},
    "apply_patch_call_output": {"call_id": "c", "output": "x"},
    "mcp_list_tools": {"server_label": "s", "tools": []},
    "mcp_approval_request": {"arguments": "{}", "name": "f", "server_label": "s"},
    "mcp_approval_response": {"approval_request_id": "a", "approve": True},
    "custom_tool_call_output": {"call_id": "c", "output": "x"},
}
ITEMS = (
    "message",
    "reasoning",
    "function_call",
    "custom_tool_call",
    "mcp_call",
    "code_interpreter_call",
    "tool_search_call",
    *SERVER,
    *CLIENT,
    *SILENT,
)
HOW = ("deltas", "done", "item")
"""Where a text or an input is told: in pieces, when it is done, or with its item."""


@st.composite
def responses(draw: Draw) -> Plan:
    """
    Make a response.
    """
    plan = Plan()
    items, lines = [], []
    for index, kind in enumerate(draw(st.lists(st.sampled_from(ITEMS), max_size=4))):
        item, begun, events = _item(draw, plan, kind, f"{kind}_{index}")
        item = {"type": kind, "id": f"{kind}_{index}", "status": "completed", **item}
        begun = {**item, **begun, "status": "in_progress"}
        at = {"output_index": index}
        done = [{"type": "response.output_item.done", **at, "item": item}]
        if draw(st.booleans()):
            done = []  # it is told at the end, then
        line = [{"type": "response.output_item.added", **at, "item": begun}]
        line += [{"item_id": item["id"], **at, **event} for event in events]
        lines.append([*line, *done])
        items.append(item)
    plan.whole = _response("completed", items, USAGE)
    empty = _response("in_progress", [], None)
    number = count()
    events = [
        {"type": "response.created", "response": empty},
        {"type": "response.in_progress", "response": empty},
        *merged(draw, lines),
        {"type": "response.completed", "response": plan.whole},
    ]
    plan.events = [{**event, "sequence_number": next(number)} for event in events]
    facts = {"finish_reason": "completed", "model": "m", "response_id": "resp_1"}
    plan.facts = facts
    plan.usage = {"input_tokens": 11, "output_tokens": 4, "cache_read_tokens": 8}
    plan.usage |= {"cache_write_tokens": 1, "reasoning_tokens": 2}
    return plan


def _response(status: str, output: list[Body], usage: Body | None) -> Body:
    told: Body = {"id": "resp_1", "object": "response", "created_at": 1, "model": "m"}
    told |= {"status": status, "output": output, "usage": usage, "tools": []}
    told |= {"parallel_tool_calls": True, "tool_choice": "auto", "metadata": {}}
    return {**told, "error": None, "incomplete_details": None, "instructions": None}


def _item(draw: Draw, plan: Plan, kind: str, id: str) -> tuple[Body, Body, list[Body]]:
    """
    Give an item, how it begins, and the events between.
    """
    if kind == "message":
        return _message(draw, plan)
    if kind == "reasoning":
        return _thoughts(draw, plan)
    if kind in SILENT:
        return SILENT[kind], {}, []
    if kind in SERVER or kind in CLIENT:
        item = SERVER.get(kind) or CLIENT[kind]
        name, given = next(iter(item.items()))
        call = {"name": kind.removesuffix("_call"), "arguments": given}
        if kind == "image_generation_call":
            call["arguments"] = {}
        if kind in SERVER:
            plan.server_calls.append({"id": id, **call, "server": True})
            return item, {name: None} if kind == "image_generation_call" else {}, []
        plan.calls.append({"id": f"c_{id}", **call})
        return {"call_id": f"c_{id}", **item}, {}, []
    return _call(draw, plan, kind, id)


def _call(draw: Draw, plan: Plan, kind: str, id: str) -> tuple[Body, Body, list[Body]]:
    given: Any
    given, pieces = as_json(draw)
    fields = {"name": "f", "call_id": f"c_{id}"}
    call = {"id": f"c_{id}", "name": "f"}
    if kind == "tool_search_call":
        plan.server_calls.append(
            {"id": id, "name": "tool_search", "arguments": given, "server": True}
        )
        return {"arguments": given, "execution": "server"}, {}, []
    if kind in ("custom_tool_call", "code_interpreter_call"):
        given = "".join(draw(WORDS))
        pieces = cut(draw, given)
    name, event, call, fields = {
        "function_call": ("arguments", "function_call_arguments", call, fields),
        "custom_tool_call": ("input", "custom_tool_call_input", call, fields),
        "mcp_call": (
            "arguments",
            "mcp_call_arguments",
            {"id": id, "name": "f"},
            {"name": "f", "server_label": "s"},
        ),
        "code_interpreter_call": (
            "code",
            "code_interpreter_call_code",
            {"id": id, "name": "code_interpreter"},
            {"container_id": "x"},
        ),
    }[kind]
    call["arguments"] = given
    if kind in ("mcp_call", "code_interpreter_call"):
        plan.server_calls.append({**call, "server": True})
    else:
        plan.calls.append(call)
    text = "".join(pieces)
    how, events = draw(st.sampled_from(HOW)), []
    if how == "deltas":
        events = [{"type": f"response.{event}.delta", "delta": it} for it in pieces]
    if how != "item":
        events.append({"type": f"response.{event}.done", name: text})
    begun = {} if how == "item" else {name: ""}
    return {**fields, name: text}, begun, events


def _message(draw: Draw, plan: Plan) -> tuple[Body, Body, list[Body]]:
    content, events = [], []
    for index in range(draw(st.integers(0, 2))):
        kind, name = draw(st.sampled_from([("output_text", "text"), ("refusal",) * 2]))
        text, told = _text(draw, kind, name, {"content_index": index})
        plan.text += text
        part: Body = {"type": kind, name: text}
        empty = {"type": kind, name: ""}
        if kind == "output_text":
            part |= {"annotations": []}
            empty |= {"annotations": []}
        content.append(part)
        at = {"content_index": index}
        events.append({"type": "response.content_part.added", **at, "part": empty})
        events += told
        events.append({"type": "response.content_part.done", **at, "part": part})
    return {"role": "assistant", "content": content}, {"content": []}, events


def _thoughts(draw: Draw, plan: Plan) -> tuple[Body, Body, list[Body]]:
    parts: dict[str, list[Body]] = {"summary": [], "content": []}
    events = []
    for name, told_parts in parts.items():
        kind = "summary_text" if name == "summary" else "reasoning_text"
        event = "reasoning_summary_text" if name == "summary" else kind
        for index in range(draw(st.integers(0, 2))):
            text, told = _text(draw, event, "text", {f"{name}_index": index})
            plan.reasoning += text
            told_parts.append({"type": kind, "text": text})
            events += _framed(name, index, told_parts[-1], told)
    return {**parts}, {"summary": [], "content": []}, events


def _framed(name: str, index: int, part: Body, told: list[Body]) -> list[Body]:
    """
    Put the events around those that tell a part of what was thought.
    """
    kind = "content_part" if name == "content" else "reasoning_summary_part"
    at = {f"{name}_index": index}
    return [
        {"type": f"response.{kind}.added", **at, "part": {**part, "text": ""}},
        *told,
        {"type": f"response.{kind}.done", **at, "part": part},
    ]


def _text(draw: Draw, kind: str, name: str, at: Body) -> tuple[str, list[Body]]:
    """
    Give a text, and the events that tell it.
    """
    words, how = draw(WORDS), draw(st.sampled_from(HOW))
    done = {"type": f"response.{kind}.done", **at, name: "".join(words)}
    events = [{"type": f"response.{kind}.delta", **at, "delta": it} for it in words]
    told = {"deltas": [*events, done], "done": [done], "item": []}[how]
    return "".join(words), [{**event, "logprobs": []} for event in told]


def accumulated(response: Any) -> Body:
    """
    Give what the SDK's own response tells.
    """
    told = response.to_dict()
    parts = [it["content"] for it in told["output"] if it["type"] == "message"]
    texts = [
        part.get("text") or part.get("refusal") or "" for it in parts for part in it
    ]
    return {
        "text": "".join(texts),
        "finish_reason": response.status,
        "output_tokens": response.usage.output_tokens,
    }
