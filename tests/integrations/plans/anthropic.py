"""
Anthropic's messages.
"""

from typing import Any

from hypothesis import strategies as st

from . import WORDS, Body, Draw, Plan, as_json, merged

RESULTS = (
    "web_search_tool_result",
    "web_fetch_tool_result",
    "code_execution_tool_result",
    "bash_code_execution_tool_result",
    "text_editor_code_execution_tool_result",
    "tool_search_tool_result",
)
BETA_RESULTS = (
    "mcp_tool_result",
    "advisor_tool_result",
    "fallback",
    "mcp_tool_listing",
)
SPOKEN = ("text", "thinking", "redacted_thinking", "container_upload")
CALLS = ("tool_use", "server_tool_use")
BLOCKS = (*SPOKEN, *CALLS, *RESULTS)
BETA_BLOCKS = (*BLOCKS, *BETA_RESULTS, "mcp_tool_use", "compaction")
DELTAS = (
    "text_delta",
    "input_json_delta",
    "citations_delta",
    "thinking_delta",
    "signature_delta",
)
BETA_DELTAS = (*DELTAS, "compaction_delta")
USAGE = {"input_tokens": 9, "cache_read_input_tokens": 5}


@st.composite
def messages(draw: Draw, kinds: tuple[str, ...] = BLOCKS) -> Plan:
    """
    Make a message.
    """
    plan = Plan()
    blocks, lines = [], []
    for index, kind in enumerate(draw(st.lists(st.sampled_from(kinds), max_size=5))):
        block, begun, deltas = _block(draw, plan, kind, f"id_{index}")
        at: Body = {"index": index}
        lines.append(
            [
                {"type": "content_block_start", **at, "content_block": begun},
                *({"type": "content_block_delta", **at, "delta": it} for it in deltas),
                {"type": "content_block_stop", **at},
            ]
        )
        blocks.append(block)
    head: Body = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m"}
    used = {**USAGE, "output_tokens": 7}
    ended: Body = {"stop_reason": "end_turn", "stop_sequence": None}
    plan.whole = {**head, "content": blocks, **ended, "usage": used}
    repeated = draw(st.sets(st.sampled_from(sorted(USAGE))))
    begun_used = {**USAGE, "output_tokens": 1}
    start = {**plan.whole, "content": [], "stop_reason": None, "usage": begun_used}
    last = {"output_tokens": 7, **{name: USAGE[name] for name in repeated}}
    plan.events = [
        {"type": "message_start", "message": start},
        {"type": "ping"},
        *merged(draw, lines),
        {"type": "message_delta", "delta": ended, "usage": last},
        {"type": "message_stop"},
    ]
    facts = {"finish_reason": "end_turn", "model": "m", "response_id": "msg_1"}
    plan.facts = facts
    plan.usage = {"input_tokens": 14, "output_tokens": 7, "cache_read_tokens": 5}
    return plan


def _block(draw: Draw, plan: Plan, kind: str, id: str) -> tuple[Body, Body, list[Body]]:
    """
    Give a block, how it begins, and the deltas that follow.
    """
    if kind == "text":
        words = draw(WORDS)
        plan.text += "".join(words)
        deltas: list[Body] = [{"type": "text_delta", "text": it} for it in words]
        deltas.append({"type": "citations_delta", "citation": _CITATION})
        return _begun(draw, {"type": "text", "citations": None}, "text", words, deltas)
    if kind == "thinking":
        words = draw(WORDS)
        plan.reasoning += "".join(words)
        deltas = [{"type": "thinking_delta", "thinking": it} for it in words]
        deltas.append({"type": "signature_delta", "signature": "s"})
        empty = {"type": "thinking", "signature": ""}
        return _begun(draw, empty, "thinking", words, deltas)
    if kind.endswith("tool_use"):
        given, pieces = as_json(draw)
        block: Body = {"type": kind, "id": id, "name": "web_search", "input": given}
        block |= {"server_name": "s"} if kind == "mcp_tool_use" else {}
        call = {"id": id, "name": "web_search", "arguments": given}
        if kind == "tool_use":
            plan.calls.append(call)
        else:
            plan.server_calls.append({**call, "server": True})
        if draw(st.booleans()):  # all of it when it begins
            return block, block, []
        told = [{"type": "input_json_delta", "partial_json": it} for it in pieces]
        return block, {**block, "input": {}}, told
    if kind == "compaction":
        told = [{"type": "compaction_delta", "content": "so far"}]
        return (
            {"type": kind, "content": "so far"},
            {"type": kind, "content": None},
            told,
        )
    block = {"type": kind, "tool_use_id": id, "content": [], "is_error": False}
    block |= {"data": "x", "file_id": "f", "from": {"model": "a"}, "to": {"model": "b"}}
    return block, block, []


def _begun(
    draw: Draw, block: Body, name: str, words: list[str], deltas: list[Body]
) -> tuple[Body, Body, list[Body]]:
    """
    Let the first piece of a text come when its block begins, or not.
    """
    whole = {**block, name: "".join(words)}
    if words and draw(st.booleans()):
        return whole, {**block, name: words[0]}, deltas[1:]
    return whole, {**block, name: ""}, deltas


_CITATION: Any = {
    "type": "char_location",
    "cited_text": "x",
    "document_index": 0,
    "document_title": None,
    "start_char_index": 0,
    "end_char_index": 1,
    "file_id": None,
}


def accumulated(message: Any) -> Body:
    """
    Give what the SDK's own message tells.
    """
    blocks = [block.to_dict() for block in message.content]
    return {
        "text": "".join(b["text"] for b in blocks if b["type"] == "text"),
        "reasoning": "".join(b["thinking"] for b in blocks if b["type"] == "thinking"),
        "calls": [b["input"] for b in blocks if b["type"] == "tool_use"],
        "finish_reason": message.stop_reason,
        "output_tokens": message.usage.output_tokens,
    }
