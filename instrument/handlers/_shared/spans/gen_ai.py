"""
OpenTelemetry's semantic conventions for generative AI, version 1.41.

``cache_write`` stands beside ``cache_creation``, as the releases after it call it.

Source: https://github.com/open-telemetry/semantic-conventions/tree/v1.41.0/docs/gen-ai
"""

from instrument.handlers._shared.spans.told import LIMIT, within

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from instrument.handlers._shared.spans.told import Told

    Table = dict[str, Callable[[Told], Any]]

OPERATIONS = {
    "agent": "invoke_agent",
    "chain": "invoke_workflow",
    "chat_model": "chat",
    "embedding": "embeddings",
    "llm": "text_completion",
    "retriever": "retrieval",
    "tool": "execute_tool",
}
CLIENTS = ("chat_model", "embedding", "llm", "retriever")
"""The kinds that ask somebody else."""
PROVIDERS = {
    "amazon_bedrock": "aws.bedrock",
    "aws": "aws.bedrock",
    "azure": "azure.ai.openai",
    "azure_openai": "azure.ai.openai",
    "bedrock": "aws.bedrock",
    "bedrock_converse": "aws.bedrock",
    "gemini": "gcp.gemini",
    "google": "gcp.gen_ai",
    "google_genai": "gcp.gemini",
    "google_vertexai": "gcp.vertex_ai",
    "ibm": "ibm.watsonx.ai",
    "mistral": "mistral_ai",
    "mistralai": "mistral_ai",
    "vertex_ai": "gcp.vertex_ai",
    "watsonx": "ibm.watsonx.ai",
    "xai": "x_ai",
}
_FINISHES = {"function_call": "tool_call", "tool_calls": "tool_call"}
_FINISHES |= {"tool_use": "tool_call", "end_turn": "stop", "max_tokens": "length"}
_SESSIONS = ("session_id", "session", "conversation_id", "thread_id")
_USERS = ("user_id", "user")


def attributes(told: "Told") -> "dict[str, Any]":
    """
    Give what this dialect says of a run, as far as it is known.
    """
    read = Reading(told)
    table = _OF_ALL | _OF_KINDS.get(told.kind, {})
    return {name: value for name in table if (value := table[name](read)) is not None}


def name(told: "Told") -> str:
    """
    Give the name of a span: what is done, and with what.
    """
    operation = OPERATIONS.get(told.kind)
    if operation is None:
        return told.name
    if told.kind == "retriever":
        return f"{operation} {told.name}"
    of = told.request_model if told.kind in CLIENTS else told.name
    return f"{operation} {of}" if of else operation


def session_of(metadata: "dict[str, Any]") -> str | None:
    """
    Tell which conversation that is, where the application says it.
    """
    return _named(metadata, _SESSIONS)


def user_of(metadata: "dict[str, Any]") -> str | None:
    """
    Tell for whom that is, where the application says it.
    """
    return _named(metadata, _USERS)


class Reading:
    """
    What was told of a run, opened once for all attributes.
    """

    def __init__(self, told: "Told") -> None:
        self.told = told
        self.asked, self.answered = told.asked, told.answered
        self.metadata, self.usage = told.metadata, told.usage
        params = self.asked.get("params")
        self.params = params if type(params) is dict else {}

    def written(self, value: object) -> str | None:
        """
        Write a payload, cut where it is too long.
        """
        return None if value is None else within(value, self.told.limit or LIMIT)


def _named(metadata: "dict[str, Any]", names: "tuple[str, ...]") -> str | None:
    found = next((it for name in names if (it := metadata.get(name)) is not None), None)
    return None if found is None or type(found) in (dict, list) else str(found)


def messages(read: Reading) -> "list[dict[str, Any]] | None":
    """
    Give what a model was asked, as messages with their parts.
    """
    turns, prompts = read.asked.get("messages"), read.asked.get("prompts")
    if type(turns) is list:
        return [_message(turn) for turn in turns if type(turn) is dict]
    if type(prompts) is list:
        return [_message({"role": "user", "content": each}) for each in prompts]
    return None


def _answer(read: Reading) -> "list[dict[str, Any]] | None":
    answered = read.answered
    if answered.get("text") is None:
        return None
    turn = {"role": "assistant", "content": answered["text"] or None}
    turn |= {"tool_calls": answered.get("tool_calls")}
    turn |= {"reasoning": answered.get("reasoning")}
    reason = str(answered.get("finish_reason") or "unknown")
    told = _FINISHES.get(reason, reason)
    if read.told.status == "error":
        told = "error"
    return [{**_message(turn), "finish_reason": told}]


def _message(turn: "dict[str, Any]") -> "dict[str, Any]":
    role = turn.get("role")
    content = turn.get("content")
    made: list[dict[str, Any]] = []
    if turn.get("reasoning"):
        made.append({"type": "reasoning", "content": turn["reasoning"]})
    if role == "tool":
        id = turn.get("tool_call_id")
        made.append({"type": "tool_call_response", "id": id, "response": content})
    elif type(content) is list:
        made += [_part(block) for block in content]
    elif content is not None:
        made.append(_part(content))
    for call in turn.get("tool_calls") or ():
        told = {key: call.get(key) for key in ("id", "name", "arguments")}
        made.append({"type": "tool_call", **told})
    named = {"name": turn["name"]} if turn.get("name") else {}
    return {"role": role, "parts": made, **named}


def _part(block: object) -> "dict[str, Any]":
    if type(block) is not dict:
        return {"type": "text", "content": block}
    kind = block.get("type")
    url = block.get("image_url")
    if type(block.get("text")) is str:
        return {"type": "text", "content": block["text"]}
    if url is not None:
        uri = url.get("url") if type(url) is dict else url
        return {"type": "uri", "modality": "image", "uri": uri}
    return {**block, "type": kind if type(kind) is str else "unknown"}


def _param(*names: str, of: type[int | float] = float) -> "Callable[[Any], Any]":
    """
    Read an argument of a model's, where it is a number of that type.
    """

    def found(read: Reading) -> int | float | None:
        for name in names:
            value = read.params.get(name)
            if type(value) is int or (of is float and type(value) is float):
                return of(value)
        return None

    return found


def _usage(name: str) -> "Callable[[Any], Any]":
    return lambda read: read.usage.get(name)


def _payload(side: str, name: str) -> "Callable[[Any], Any]":
    return lambda read: read.written(getattr(read, side).get(name))


def _choices(read: Reading) -> int | None:
    count = read.params.get("n")
    return count if type(count) is int and count != 1 else None


def _stops(read: Reading) -> list[str] | None:
    stops = read.params.get("stop", read.params.get("stop_sequences"))
    stops = [stops] if type(stops) is str else stops
    is_told = type(stops) is list and all(type(it) is str for it in stops)
    return stops if is_told else None


def _finishes(read: Reading) -> list[str] | None:
    reason = read.answered.get("finish_reason")
    return [reason] if type(reason) is str else None


def _provider(read: Reading) -> str | None:
    provider = read.told.provider
    return None if provider is None else PROVIDERS.get(provider, provider)


def _stream(read: Reading) -> bool | None:
    is_told = read.params.get("stream") is True or read.told.first_token_s is not None
    return True if is_told else None


def _size(read: Reading) -> "Any":
    vectors = read.answered.get("vectors")
    return vectors.get("size") if type(vectors) is dict else None


_OF_ALL: "dict[str, Callable[[Any], Any]]" = {
    "gen_ai.usage.input_tokens": _usage("input_tokens"),
    "gen_ai.usage.output_tokens": _usage("output_tokens"),
    "gen_ai.usage.cache_read.input_tokens": _usage("cache_read_tokens"),
    "gen_ai.usage.cache_creation.input_tokens": _usage("cache_write_tokens"),
    "gen_ai.usage.cache_write.input_tokens": _usage("cache_write_tokens"),
    "gen_ai.usage.reasoning.output_tokens": _usage("reasoning_tokens"),
    "gen_ai.conversation.id": lambda read: session_of(read.metadata),
    "session.id": lambda read: session_of(read.metadata),
    "user.id": lambda read: user_of(read.metadata),
    "error.type": lambda read: read.told.failure and read.told.failure.type,
    "gen_ai.operation.name": lambda read: OPERATIONS.get(read.told.kind),
}
"""The last of these tell what a span is: whoever has no place for all keeps the last."""

_OF_CALLS: "dict[str, Callable[[Any], Any]]" = {
    "gen_ai.response.model": lambda read: (
        None if read.told.ended_ns is None else read.told.model
    ),
    "gen_ai.request.model": lambda read: read.told.request_model,
    "gen_ai.provider.name": _provider,
}
_OF_MODELS: "dict[str, Callable[[Any], Any]]" = {
    "gen_ai.input.messages": lambda read: read.written(messages(read)),
    "gen_ai.output.messages": lambda read: read.written(_answer(read)),
    "gen_ai.tool.definitions": lambda read: read.written(read.params.get("tools")),
    "gen_ai.request.temperature": _param("temperature"),
    "gen_ai.request.top_p": _param("top_p"),
    "gen_ai.request.top_k": _param("top_k"),
    "gen_ai.request.frequency_penalty": _param("frequency_penalty"),
    "gen_ai.request.presence_penalty": _param("presence_penalty"),
    "gen_ai.request.max_tokens": _param(
        "max_tokens", "max_completion_tokens", "max_output_tokens", of=int
    ),
    "gen_ai.request.seed": _param("seed", of=int),
    "gen_ai.request.choice.count": _choices,
    "gen_ai.request.stop_sequences": _stops,
    "gen_ai.request.stream": _stream,
    "gen_ai.response.time_to_first_chunk": lambda read: read.told.first_token_s,
    "gen_ai.response.finish_reasons": _finishes,
    "gen_ai.response.id": lambda read: read.answered.get("response_id"),
    **_OF_CALLS,
}
_OF_KINDS = {
    "agent": {"gen_ai.agent.name": lambda read: read.told.name},
    "chain": {"gen_ai.workflow.name": lambda read: read.told.name},
    "chat_model": _OF_MODELS,
    "embedding": {"gen_ai.embeddings.dimension.count": _size, **_OF_CALLS},
    "llm": _OF_MODELS,
    "retriever": {
        "gen_ai.retrieval.query.text": _payload("asked", "query"),
        "gen_ai.retrieval.documents": _payload("answered", "documents"),
    },
    "tool": {
        "gen_ai.tool.call.arguments": _payload("asked", "inputs"),
        "gen_ai.tool.call.result": _payload("answered", "output"),
        "gen_ai.tool.description": lambda read: read.told.description,
        "gen_ai.tool.type": lambda _: "function",
        "gen_ai.tool.name": lambda read: read.told.name,
    },
}
