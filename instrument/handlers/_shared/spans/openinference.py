"""
OpenInference 0.1.42: what Phoenix and Arize read, and MLflow and Langfuse as well.

Lists are flat: ``llm.input_messages.0.message.role``.

Source: https://github.com/Arize-ai/openinference/tree/main/spec
"""

from instrument.handlers._shared.spans.gen_ai import Reading, session_of, user_of
from instrument.handlers._shared.spans.told import LIMIT, within

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from instrument.handlers._shared.spans.told import Told

    Pairs = Iterator[tuple[str, object]]

KINDS = {
    "agent": "AGENT",
    "chain": "CHAIN",
    "chat_model": "LLM",
    "decision": "DECISION",
    "embedding": "EMBEDDING",
    "evaluator": "EVALUATOR",
    "guardrail": "GUARDRAIL",
    "llm": "LLM",
    "prompt": "PROMPT",
    "reranker": "RERANKER",
    "retriever": "RETRIEVER",
    "tool": "TOOL",
}
"""Any other is a chain's."""

_PROVIDERS = {
    "amazon_bedrock": "aws",
    "azure_openai": "azure",
    "bedrock": "aws",
    "bedrock_converse": "aws",
    "gemini": "google",
    "google_genai": "google",
    "google_vertexai": "google",
    "mistral": "mistralai",
    "vertex_ai": "google",
    "x_ai": "xai",
}
_SYSTEMS = {
    "azure": "openai",
    "azure_openai": "openai",
    "google_vertexai": "vertexai",
    "mistral": "mistralai",
    "vertex_ai": "vertexai",
}
_MOST = 128
"""How many messages, documents or texts of one run are told."""
_TEXT, _JSON = "text/plain", "application/json"


def attributes(told: "Told") -> "dict[str, Any]":
    """
    Give what this dialect says of a run, as far as it is known.
    """
    read = Reading(told)
    flat = _FLAT.get(told.kind)
    found = {} if flat is None else dict(flat(read))
    found |= {name: value(read) for name, value in _TABLE.items()}
    found["openinference.span.kind"] = KINDS.get(told.kind, "CHAIN")
    return {name: value for name, value in found.items() if value is not None}


def _given(read: Reading) -> "Any":
    asked = read.asked
    for name in ("messages", "query", "texts"):
        if name in asked:
            return asked[name]
    prompts = asked.get("prompts")
    if type(prompts) is list:
        return prompts[0] if len(prompts) == 1 else prompts
    inputs: Any = asked.get("inputs")
    is_single = type(inputs) is dict and len(inputs) == 1
    only = next(iter(inputs.values())) if is_single else None
    is_text = type(only) is str and read.told.kind != "tool"
    return only if is_text else inputs


def _got(read: Reading) -> "Any":
    answered = read.answered
    for name in ("outputs", "output", "documents", "vectors"):
        if name in answered:
            return answered[name]
    if answered.get("tool_calls"):
        told = {name: answered.get(name) for name in ("text", "tool_calls")}
        return {"role": "assistant", **told}
    return answered.get("text")


def _mime(value: object) -> str | None:
    if value is None:
        return None
    return _TEXT if type(value) is str else _JSON


def _of_model(read: Reading) -> "Pairs":
    yield from _messages("llm.input_messages", read.asked.get("messages"), read)
    prompts = read.asked.get("prompts")
    for number, prompt in _numbered(prompts):
        yield f"llm.prompts.{number}.prompt.text", read.written(prompt)
    answered = read.answered
    if answered.get("text") is not None:
        turn = {"role": "assistant", "content": answered["text"]}
        turn |= {"tool_calls": answered.get("tool_calls")}
        yield from _messages("llm.output_messages", [turn], read)
    for number, tool in _numbered(read.params.get("tools")):
        yield f"llm.tools.{number}.tool.json_schema", read.written(tool)
    params = {key: it for key, it in read.params.items() if key != "tools"} or None
    yield "llm.invocation_parameters", read.written(params)
    yield "llm.finish_reason", answered.get("finish_reason")
    told = read.told
    yield "llm.request.model_name", told.request_model
    yield "llm.response.model_name", told.model if told.ended_ns else None
    yield "llm.model_name", told.model or told.request_model
    provider = told.provider
    yield "llm.provider", provider and _PROVIDERS.get(provider, provider)
    yield "llm.system", provider and _SYSTEMS.get(provider, provider)


def _messages(prefix: str, turns: object, read: Reading) -> "Pairs":
    for number, turn in _numbered(turns):
        if type(turn) is not dict:
            continue
        at = f"{prefix}.{number}.message"
        yield f"{at}.role", turn.get("role")
        content = turn.get("content")
        if type(content) is list:
            for place, block in _numbered(content):
                yield from _block(f"{at}.contents.{place}.message_content", block, read)
        else:
            yield f"{at}.content", read.written(content)
        yield f"{at}.name", turn.get("name")
        yield f"{at}.tool_call_id", turn.get("tool_call_id")
        for place, call in _numbered(turn.get("tool_calls")):
            called = f"{at}.tool_calls.{place}.tool_call"
            yield f"{called}.id", call.get("id")
            yield f"{called}.function.name", call.get("name")
            arguments = read.written(call.get("arguments"))
            yield f"{called}.function.arguments", arguments


def _block(at: str, block: object, read: Reading) -> "Pairs":
    known: dict[str, Any] = block if type(block) is dict else {}
    url = known.get("image_url")
    if url is not None:
        yield f"{at}.type", "image"
        address = url.get("url") if type(url) is dict else url
        yield f"{at}.image.image.url", read.written(address)
        return
    yield f"{at}.type", "text"
    yield f"{at}.text", read.written(known.get("text", block))


def _of_retriever(read: Reading) -> "Pairs":
    for number, document in _numbered(read.answered.get("documents")):
        at = f"retrieval.documents.{number}.document"
        told = document if type(document) is dict else {"content": document}
        content = told.get("page_content", told.get("content", told.get("text")))
        yield f"{at}.content", read.written(document if content is None else content)
        yield f"{at}.id", _plain(told.get("id"))
        score = told.get("score")
        yield f"{at}.score", score if type(score) in (int, float) else None
        metadata = told.get("metadata")
        yield f"{at}.metadata", read.written(metadata) if metadata else None


def _of_embedding(read: Reading) -> "Pairs":
    for number, text in _numbered(read.asked.get("texts")):
        at = f"embedding.embeddings.{number}.embedding.text"
        yield at, read.written(text)
    yield "embedding.model_name", read.told.model


def _of_tool(read: Reading) -> "Pairs":
    yield "tool.description", read.told.description
    yield "tool.name", read.told.name


def _of_agent(read: Reading) -> "Pairs":
    yield "agent.name", read.told.name


_FLAT: "dict[str, Callable[[Reading], Pairs]]" = {
    "agent": _of_agent,
    "chat_model": _of_model,
    "embedding": _of_embedding,
    "llm": _of_model,
    "retriever": _of_retriever,
    "tool": _of_tool,
}


def _numbered(several: "Any") -> "list[tuple[int, Any]]":
    """
    Number some of a list: the first, and of the others the last, as many as are told.
    """
    if type(several) is not list:
        return []
    if len(several) > _MOST:
        several = [several[0], *several[1 - _MOST :]]
    return list(enumerate(several))


def _plain(value: object) -> str | None:
    return None if value is None else str(value)


def _count(name: str) -> "Callable[[Reading], Any]":
    return lambda read: read.usage.get(name)


def _total(read: Reading) -> "Any":
    counts = [read.usage.get("input_tokens"), read.usage.get("output_tokens")]
    known = [count for count in counts if count is not None]
    return sum(known) if known else None


def _metadata(read: Reading) -> str | None:
    told = read.metadata
    return within(told, read.told.limit or LIMIT) if told else None


_TABLE: "dict[str, Callable[[Reading], Any]]" = {
    "input.value": lambda read: read.written(_given(read)),
    "input.mime_type": lambda read: _mime(_given(read)),
    "output.value": lambda read: read.written(_got(read)),
    "output.mime_type": lambda read: _mime(_got(read)),
    "metadata": _metadata,
    "tag.tags": lambda read: read.told.tags or None,
    "session.id": lambda read: session_of(read.metadata),
    "user.id": lambda read: user_of(read.metadata),
    "llm.token_count.prompt": _count("input_tokens"),
    "llm.token_count.completion": _count("output_tokens"),
    "llm.token_count.total": _total,
    "llm.token_count.prompt_details.cache_read": _count("cache_read_tokens"),
    "llm.token_count.prompt_details.cache_write": _count("cache_write_tokens"),
    "llm.token_count.completion_details.reasoning": _count("reasoning_tokens"),
    "llm.cost.total": _count("cost_usd"),
}
