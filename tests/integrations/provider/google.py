"""
What Gemini answers.
"""

import json
from collections.abc import Iterator
from typing import Any

from .openai import ARGUMENTS, TEXT, THOUGHTS, TOOL, WORDS, thinks

USAGE = {
    "promptTokenCount": 11,
    "cachedContentTokenCount": 8,
    "candidatesTokenCount": 2,
    "thoughtsTokenCount": 2,
    "totalTokenCount": 15,
}

Body = dict[str, Any]


def content(body: Body) -> Body:
    """
    Answer with one candidate.
    """
    parts = [{"text": "".join(THOUGHTS), "thought": True}] if thinks(body) else []
    return _answer(body, [*parts, *_last(body, TEXT)], last=True)


def content_stream(body: Body) -> Iterator[Body]:
    """
    Stream the candidate; each piece is an answer of its own.
    """
    if thinks(body):
        for part in THOUGHTS:
            yield _answer(body, [{"text": part, "thought": True}])
    if body.get("tools"):
        yield _answer(body, _last(body, ""), last=True)
        return
    for word in WORDS:
        yield _answer(body, [{"text": word}], last=word == WORDS[-1])


def embedding(body: Body) -> Body:
    """
    Embed each text in two numbers.
    """
    count = len(body.get("requests", [0]))
    return {"embeddings": [{"values": [0.1, 0.2]} for _ in range(count)]}


def _last(body: Body, text: str) -> list[Body]:
    if not body.get("tools"):
        return [{"text": text}]
    call = {"id": "call_1", "name": TOOL, "args": json.loads("".join(ARGUMENTS))}
    return [{"functionCall": call}]


def _answer(body: Body, parts: list[Body], *, last: bool = False) -> Body:
    candidate: Body = {"content": {"role": "model", "parts": parts}, "index": 0}
    if last:
        candidate["finishReason"] = "STOP"
    return {
        "candidates": [candidate],
        "usageMetadata": USAGE,
        "modelVersion": body["model"],
        "responseId": "gem_1",
    }
