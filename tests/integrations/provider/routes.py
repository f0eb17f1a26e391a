"""
From a path and a body to the reply: which dialect, whole or streamed, and how framed.
"""

import json
import re
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from . import anthropic, google, openai, others

Body = dict[str, Any]
Script = tuple[Body, list[Body]]


@dataclass(frozen=True, slots=True)
class Reply:
    """
    What is sent: a whole body, or the pieces of a stream.
    """

    media_type: str
    pieces: "bytes | Iterator[bytes]"


def reply_to(path: str, body: Body, script: "Script | None" = None) -> "Reply | None":
    """
    Find what answers *path*; None where nothing does.

    Args:
        script: What to answer instead: a whole body, and the events of a stream.
    """
    for pattern, whole, stream, framed in ROUTES:
        match = re.search(pattern, path)
        if match is None:
            continue
        body = {**body, **match.groupdict()}
        if whole is None or (stream is not None and body.get("stream")):
            assert stream is not None
            return framed(script[1] if script else stream(body))
        told = script[0] if script else whole(body)
        return Reply("application/json", json.dumps(told).encode())
    return None


def sse(events: Iterable[Body], *, done: bool = True, named: bool = False) -> Reply:
    """
    Frame events as server-sent ones.
    """

    def pieces() -> Iterator[bytes]:
        for event in events:
            name = f"event: {event['type']}\n" if named else ""
            yield f"{name}data: {json.dumps(event)}\n\n".encode()
        if done:
            yield b"data: [DONE]\n\n"

    return Reply("text/event-stream", pieces())


def sse_named(events: Iterable[Body]) -> Reply:
    """
    Frame events under their types.
    """
    return sse(events, done=False, named=True)


def sse_bare(events: Iterable[Body]) -> Reply:
    """
    Frame events with no last one that says so.
    """
    return sse(events, done=False)


def ndjson(rows: Iterable[Body]) -> Reply:
    """
    Frame rows as lines.
    """
    return Reply(
        "application/x-ndjson", (f"{json.dumps(row)}\n".encode() for row in rows)
    )


def aws(events: Iterable[Body]) -> Reply:
    """
    Frame ``{name: payload}`` as Amazon's binary event stream.
    """
    frames = (_frame(name, told) for event in events for name, told in event.items())
    return Reply("application/vnd.amazon.eventstream", frames)


def _frame(name: str, payload: Body) -> bytes:
    headers = b"".join(
        bytes([len(key)]) + key + b"\x07" + struct.pack(">H", len(value)) + value
        for key, value in (
            (b":event-type", name.encode()),
            (b":content-type", b"application/json"),
            (b":message-type", b"event"),
        )
    )
    content = json.dumps(payload).encode()
    size = 16 + len(headers) + len(content)
    prelude = struct.pack(">II", size, len(headers))
    prelude += struct.pack(">I", zlib.crc32(prelude))
    message = prelude + headers + content
    return message + struct.pack(">I", zlib.crc32(message))


Route = tuple[
    str,
    "Callable[[Body], Body] | None",
    "Callable[[Body], Iterable[Body]] | None",
    "Callable[[Iterable[Body]], Reply]",
]

ROUTES: list[Route] = [
    (
        "^/(?P<told>mistral|groq|together)/.*chat/completions$",
        openai.chat,
        openai.chat_stream,
        sse,
    ),
    ("/chat/completions$", openai.chat, openai.chat_stream, sse),
    ("/completions$", openai.completion, openai.completion_stream, sse),
    ("/responses$", openai.response, openai.response_stream, sse_named),
    ("/embeddings$", openai.embeddings, None, sse),
    ("/v1/messages$", anthropic.message, anthropic.message_stream, sse_named),
    ("/models/(?P<model>[^/]+):generateContent$", google.content, None, sse),
    (
        "/models/(?P<model>[^/]+):streamGenerateContent$",
        None,
        google.content_stream,
        sse_bare,
    ),
    (
        "/models/(?P<model>[^/]+):(batchEmbedContents|embedContent)$",
        google.embedding,
        None,
        sse,
    ),
    ("/v2/chat$", others.cohere, others.cohere_stream, sse_named),
    ("/v2/embed$", others.cohere_embedding, None, sse),
    ("/api/chat$", others.ollama_chat, others.ollama_chat_stream, ndjson),
    ("/api/generate$", others.ollama_generate, others.ollama_generate_stream, ndjson),
    ("/api/embed$", others.ollama_embedding, None, ndjson),
    ("/model/(?P<model>[^/]+)/converse$", others.converse, None, aws),
    ("/model/(?P<model>[^/]+)/converse-stream$", None, others.converse_stream, aws),
]
