"""
What OpenAI answers, and those who took over its chat completions.
"""

from collections.abc import Iterator
from itertools import count
from typing import Any

WORDS = ["Hel", "lo ", "wor", "ld"]
TEXT = "".join(WORDS)
THOUGHTS = ["Let me ", "think."]
OBJECT = ['{"name":"Ada",', '"age":36}']
ARGUMENTS = ['{"city":', '"Oslo"}']
TOOL = "get_weather"

USAGE = {
    "prompt_tokens": 11,
    "completion_tokens": 4,
    "total_tokens": 15,
    "prompt_tokens_details": {"cached_tokens": 8},
    "completion_tokens_details": {"reasoning_tokens": 2},
}
RESPONSE_USAGE = {
    "input_tokens": 11,
    "input_tokens_details": {"cached_tokens": 8},
    "output_tokens": 4,
    "output_tokens_details": {"reasoning_tokens": 2},
    "total_tokens": 15,
}

Body = dict[str, Any]


def thinks(body: Body) -> bool:
    """
    Tell whether the model that was asked for reasons.
    """
    return "think" in body["model"]


def words_for(body: Body) -> list[str]:
    """
    Give the text of the answer: an object, where one is asked for.
    """
    wants = body.get("response_format") or (body.get("text") or {}).get("format")
    return OBJECT if wants else WORDS


def call_of(arguments: str) -> Body:
    """
    Write a call of the tool.
    """
    function = {"name": TOOL, "arguments": arguments}
    return {"id": "call_1", "type": "function", "function": function}


def chat(body: Body) -> Body:
    """
    Answer a chat completion.
    """
    message: Body = {"role": "assistant", "content": "".join(words_for(body))}
    if body.get("tools"):
        message["content"] = None
        message["tool_calls"] = [call_of("".join(ARGUMENTS))]
    if thinks(body):
        message["reasoning_content"] = "".join(THOUGHTS)
    reason = "tool_calls" if body.get("tools") else "stop"
    choices = [
        {"index": n, "message": message, "logprobs": None, "finish_reason": reason}
        for n in range(body.get("n") or 1)
    ]
    head = _head("chatcmpl-1", "chat.completion", body)
    return {**head, "choices": choices, "usage": USAGE}


def chat_stream(body: Body) -> Iterator[Body]:
    """
    Stream a chat completion; the usage comes as each of the family tells it.
    """
    head = _head("chatcmpl-1", "chat.completion.chunk", body)

    def chunk(delta: Body, reason: str | None = None, index: int = 0) -> Body:
        choice = {"index": index, "delta": delta, "finish_reason": reason}
        return {**head, "choices": [choice]}

    choices = range(body.get("n") or 1)
    yield chunk({"role": "assistant", "content": ""})
    if thinks(body):
        for thought in THOUGHTS:
            yield chunk({"reasoning_content": thought})
    if body.get("tools"):
        # Mistral's calls come whole
        begun = call_of("".join(ARGUMENTS) if body.get("told") == "mistral" else "")
        yield chunk({"tool_calls": [{**begun, "index": 0}]})
        for part in ARGUMENTS if body.get("told") != "mistral" else ():
            yield chunk({"tool_calls": [{"index": 0, "function": {"arguments": part}}]})
    else:
        for word in words_for(body):
            for index in choices:
                yield chunk({"content": word}, index=index)
    reason = "tool_calls" if body.get("tools") else "stop"
    last = [chunk({}, reason, index) for index in choices]
    told = body.get("told")
    if told == "groq":
        last[-1]["x_groq"] = {"id": "req_1", "usage": USAGE}
    elif told:
        last[-1]["usage"] = USAGE
    yield from last
    if (body.get("stream_options") or {}).get("include_usage"):
        yield {**head, "choices": [], "usage": USAGE}


def completion(body: Body) -> Body:
    """
    Answer a completion of text.
    """
    choice = {"index": 0, "text": TEXT, "logprobs": None, "finish_reason": "stop"}
    head = _head("cmpl-1", "text_completion", body)
    return {**head, "choices": [choice], "usage": USAGE}


def completion_stream(body: Body) -> Iterator[Body]:
    """
    Stream a completion of text.
    """
    head = _head("cmpl-1", "text_completion", body)
    for word in WORDS:
        choice = {"index": 0, "text": word, "logprobs": None, "finish_reason": None}
        yield {**head, "choices": [choice]}
    last = {"index": 0, "text": "", "logprobs": None, "finish_reason": "stop"}
    yield {**head, "choices": [last]}


def embeddings(body: Body) -> Body:
    """
    Embed each text in two numbers.
    """
    texts = body["input"] if isinstance(body["input"], list) else [body["input"]]
    data: list[Body] = [
        {"object": "embedding", "index": n, "embedding": [0.1, 0.2]}
        for n, _ in enumerate(texts)
    ]
    if body.get("encoding_format") == "base64":  # the SDK's own wish
        for item in data:
            item["embedding"] = "zczMPc3MTD4="
    usage = {"prompt_tokens": 3, "total_tokens": 3}
    head = {"id": "emb_1", "object": "list", "model": body["model"]}
    return {**head, "data": data, "usage": usage}


def response(body: Body) -> Body:
    """
    Answer a response.
    """
    return _response(body, "completed", [item for item, _ in _items(body)])


def response_stream(body: Body) -> Iterator[Body]:
    """
    Stream a response, as typed events.
    """
    number = count()

    def event(type: str, **told: Any) -> Body:
        return {"type": type, "sequence_number": next(number), **told}

    yield event("response.created", response=_response(body, "in_progress", []))
    for index, (item, parts) in enumerate(_items(body)):
        begun = {**item, "status": "in_progress"}
        begun.update({k: [] for k in ("content", "summary") if k in item})
        begun.update({k: "" for k in ("arguments",) if k in item})
        yield event("response.output_item.added", output_index=index, item=begun)
        at = {"item_id": item["id"], "output_index": index}
        yield from (event(type, **at, **told) for type, told in parts)
        yield event("response.output_item.done", output_index=index, item=item)
    done = _response(body, "completed", [item for item, _ in _items(body)])
    yield event("response.completed", response=done)


def _items(body: Body) -> Iterator[tuple[Body, list[tuple[str, Body]]]]:
    """
    Give the output's items, each with the events that stream it.
    """
    if thinks(body):
        summary = {"type": "summary_text", "text": "".join(THOUGHTS)}
        item: Body = {"type": "reasoning", "id": "rs_1", "summary": [summary]}
        name = "response.reasoning_summary_text.delta"
        begun = "response.reasoning_summary_part.added"
        empty = {"summary_index": 0, "part": {**summary, "text": ""}}
        deltas = [(name, {"summary_index": 0, "delta": part}) for part in THOUGHTS]
        yield item, [(begun, empty), *deltas]
    if body.get("tools"):
        arguments = "".join(ARGUMENTS)
        item = {"type": "function_call", "id": "fc_1", "call_id": "call_1"}
        item |= {"name": TOOL, "arguments": arguments, "status": "completed"}
        name = "response.function_call_arguments"
        deltas = [(f"{name}.delta", {"delta": part}) for part in ARGUMENTS]
        yield item, [*deltas, (f"{name}.done", {"arguments": arguments, "name": TOOL})]
        return
    words = words_for(body)
    part = {"type": "output_text", "text": "".join(words), "annotations": []}
    at = {"content_index": 0}
    item = {"type": "message", "id": "msg_1", "status": "completed"}
    item |= {"role": "assistant", "content": [part]}
    name = "response.output_text"
    yield (
        item,
        [
            ("response.content_part.added", {**at, "part": {**part, "text": ""}}),
            *((f"{name}.delta", {**at, "delta": w, "logprobs": []}) for w in words),
            (f"{name}.done", {**at, "text": part["text"], "logprobs": []}),
            ("response.content_part.done", {**at, "part": part}),
        ],
    )


def _response(body: Body, status: str, output: list[Body]) -> Body:
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "status": status,
        "model": body["model"],
        "output": output,
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "temperature": 1.0,
        "top_p": 1.0,
        "usage": RESPONSE_USAGE if output else None,
    }


def _head(id: str, object: str, body: Body) -> Body:
    return {"id": id, "object": object, "created": 1, "model": body["model"]}
