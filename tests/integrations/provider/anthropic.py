"""
What Anthropic answers.
"""

import json
from collections.abc import Iterator
from typing import Any

from .openai import ARGUMENTS, TEXT, THOUGHTS, TOOL, WORDS, thinks

# it counts cached tokens apart: 11 in all
USAGE = {
    "input_tokens": 1,
    "cache_creation_input_tokens": 2,
    "cache_read_input_tokens": 8,
    "output_tokens": 4,
}

Body = dict[str, Any]


def message(body: Body) -> Body:
    """
    Answer a message.
    """
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": body["model"],
        "content": [block for block, _ in _blocks(body)],
        "stop_reason": "tool_use" if body.get("tools") else "end_turn",
        "stop_sequence": None,
        "usage": USAGE,
    }


def message_stream(body: Body) -> Iterator[Body]:
    """
    Stream a message.
    """
    whole = message(body)
    begun = {**whole, "content": [], "stop_reason": None}
    begun["usage"] = {**USAGE, "output_tokens": 1}
    yield {"type": "message_start", "message": begun}
    for index, (block, deltas) in enumerate(_blocks(body)):
        empty = dict(block)
        for name in ("text", "thinking", "signature"):
            if name in empty:
                empty[name] = ""
        if "input" in empty:
            empty["input"] = {}
        yield {"type": "content_block_start", "index": index, "content_block": empty}
        for delta in deltas:
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    delta = {"stop_reason": whole["stop_reason"], "stop_sequence": None}
    yield {"type": "message_delta", "delta": delta, "usage": {"output_tokens": 4}}
    yield {"type": "message_stop"}


def _blocks(body: Body) -> Iterator[tuple[Body, list[Body]]]:
    """
    Give the content's blocks, each with the deltas that stream it.
    """
    if thinks(body):
        block = {"type": "thinking", "thinking": "".join(THOUGHTS), "signature": "sig"}
        deltas = [{"type": "thinking_delta", "thinking": part} for part in THOUGHTS]
        yield block, [*deltas, {"type": "signature_delta", "signature": "sig"}]
    if body.get("tools"):
        given = json.loads("".join(ARGUMENTS))
        block = {"type": "tool_use", "id": "toolu_1", "name": TOOL, "input": given}
        parts = ({"type": "input_json_delta", "partial_json": p} for p in ARGUMENTS)
        yield block, list(parts)
    else:
        words = [{"type": "text_delta", "text": word} for word in WORDS]
        yield {"type": "text", "text": TEXT}, words
