"""
What Cohere, Ollama and Bedrock answer.
"""

import json
from collections.abc import Iterator
from typing import Any

from .openai import ARGUMENTS, TEXT, THOUGHTS, TOOL, WORDS, call_of, thinks

Body = dict[str, Any]

COHERE_USAGE = {
    "billed_units": {"input_tokens": 5, "output_tokens": 4},
    "tokens": {"input_tokens": 11, "output_tokens": 4},
    "cached_tokens": 8,
}
OLLAMA_END = {
    "done": True,
    "done_reason": "stop",
    "total_duration": 5,
    "load_duration": 1,
    "prompt_eval_count": 11,
    "prompt_eval_duration": 1,
    "eval_count": 4,
    "eval_duration": 3,
}
BEDROCK_USAGE = {
    "inputTokens": 1,
    "outputTokens": 4,
    "totalTokens": 15,
    "cacheReadInputTokens": 8,
    "cacheWriteInputTokens": 2,
}


def cohere(body: Body) -> Body:
    """
    Answer a chat.
    """
    message: Body = {"role": "assistant"}
    if body.get("tools"):
        message["tool_calls"] = [call_of("".join(ARGUMENTS))]
    else:
        message["content"] = [{"type": "text", "text": TEXT}]
    reason = "TOOL_CALL" if body.get("tools") else "COMPLETE"
    told = {"finish_reason": reason, "usage": COHERE_USAGE}
    return {"id": "co_1", "message": message, **told}


def cohere_stream(body: Body) -> Iterator[Body]:
    """
    Stream a chat.
    """

    def event(type: str, **message: Any) -> Body:
        return {"type": type, "index": 0, "delta": {"message": message}}

    start = {"role": "assistant", "content": []}
    yield {"type": "message-start", "id": "co_1", "delta": {"message": start}}
    if body.get("tools"):
        yield event("tool-call-start", tool_calls=call_of(""))
        for part in ARGUMENTS:
            yield event("tool-call-delta", tool_calls={"function": {"arguments": part}})
        yield {"type": "tool-call-end", "index": 0}
    else:
        yield event("content-start", content={"type": "text", "text": ""})
        for word in WORDS:
            yield event("content-delta", content={"text": word})
        yield {"type": "content-end", "index": 0}
    reason = "TOOL_CALL" if body.get("tools") else "COMPLETE"
    end = {"finish_reason": reason, "usage": COHERE_USAGE}
    yield {"type": "message-end", "delta": end}


def cohere_embedding(body: Body) -> Body:
    """
    Embed each text in two numbers.
    """
    texts = body["texts"]
    vectors = {"float": [[0.1, 0.2] for _ in texts]}
    meta = {"api_version": {"version": "2"}, "billed_units": {"input_tokens": 3}}
    told = {"response_type": "embeddings_by_type", "meta": meta}
    return {"id": "co_1", "embeddings": vectors, "texts": texts, **told}


def ollama_chat(body: Body) -> Body:
    """
    Answer a chat.
    """
    message: Body = {"role": "assistant", "content": TEXT}
    if body.get("tools"):
        message = {"role": "assistant", "content": "", "tool_calls": [_ollama_call()]}
    if thinks(body):
        message["thinking"] = "".join(THOUGHTS)
    return {**_row(body), "message": message, **OLLAMA_END}


def ollama_chat_stream(body: Body) -> Iterator[Body]:
    """
    Stream a chat.
    """
    deltas: list[Body] = []
    if thinks(body):
        deltas += [{"content": "", "thinking": part} for part in THOUGHTS]
    if body.get("tools"):
        deltas += [{"content": "", "tool_calls": [_ollama_call()]}]
    else:
        deltas += [{"content": word} for word in WORDS]
    for delta in deltas:
        message = {"role": "assistant", **delta}
        yield {**_row(body), "message": message, "done": False}
    last = {"role": "assistant", "content": ""}
    yield {**_row(body), "message": last, **OLLAMA_END}


def ollama_generate(body: Body) -> Body:
    """
    Answer a prompt.
    """
    return {**_row(body), "response": TEXT, **OLLAMA_END}


def ollama_generate_stream(body: Body) -> Iterator[Body]:
    """
    Stream the answer to a prompt.
    """
    for word in WORDS:
        yield {**_row(body), "response": word, "done": False}
    yield {**_row(body), "response": "", **OLLAMA_END}


def ollama_embedding(body: Body) -> Body:
    """
    Embed each text in two numbers.
    """
    texts = body["input"] if isinstance(body["input"], list) else [body["input"]]
    vectors = [[0.1, 0.2] for _ in texts]
    return {"model": body["model"], "embeddings": vectors, "prompt_eval_count": 3}


def converse(body: Body) -> Body:
    """
    Answer a conversation.
    """
    content: list[Body] = []
    if thinks(body):
        text = {"text": "".join(THOUGHTS), "signature": "sig"}
        content.append({"reasoningContent": {"reasoningText": text}})
    if body.get("toolConfig"):
        given = json.loads("".join(ARGUMENTS))
        use = {"toolUseId": "tool_1", "name": TOOL, "input": given}
        content.append({"toolUse": use})
    else:
        content.append({"text": TEXT})
    return {
        "output": {"message": {"role": "assistant", "content": content}},
        "stopReason": "tool_use" if body.get("toolConfig") else "end_turn",
        "usage": BEDROCK_USAGE,
        "metrics": {"latencyMs": 5},
    }


def converse_stream(body: Body) -> Iterator[Body]:
    """
    Stream a conversation.
    """
    index = 0

    def delta(**told: Any) -> Body:
        return {"contentBlockDelta": {"contentBlockIndex": index, "delta": told}}

    yield {"messageStart": {"role": "assistant"}}
    if thinks(body):
        for part in THOUGHTS:
            yield delta(reasoningContent={"text": part})
        yield {"contentBlockStop": {"contentBlockIndex": index}}
        index += 1
    if body.get("toolConfig"):
        use = {"toolUse": {"toolUseId": "tool_1", "name": TOOL}}
        yield {"contentBlockStart": {"contentBlockIndex": index, "start": use}}
        for part in ARGUMENTS:
            yield delta(toolUse={"input": part})
    else:
        for word in WORDS:
            yield delta(text=word)
    yield {"contentBlockStop": {"contentBlockIndex": index}}
    reason = "tool_use" if body.get("toolConfig") else "end_turn"
    yield {"messageStop": {"stopReason": reason}}
    yield {"metadata": {"usage": BEDROCK_USAGE, "metrics": {"latencyMs": 5}}}


def _row(body: Body) -> Body:
    return {"model": body["model"], "created_at": "2026-01-01T00:00:00Z"}


def _ollama_call() -> Body:
    given = json.loads("".join(ARGUMENTS))
    return {"function": {"name": TOOL, "arguments": given}}
