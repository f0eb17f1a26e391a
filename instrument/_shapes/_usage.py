"""
Read what a model call consumed, under whatever names its provider tells it.
"""

from instrument._event import Usage
from instrument._messages import get, plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_PLACES = (
    "usage_metadata",
    "usage",
    "x_groq.usage",
    "metadata.usage",
    "meta.tokens",
    "meta.billed_units",
)
"""Where an answer tells it; Ollama tells it beside the text."""


def _split(path: str) -> "tuple[str, str]":
    """
    Part a path at its dot, once for all; empty is what has none.
    """
    head, _, rest = path.partition(".")
    return head, rest


_HEADS = [_split(place) for place in _PLACES]

_NAMES: "dict[str, tuple[str, ...]]" = {
    "input_tokens": (
        "prompt_tokens",
        "input_tokens",
        "prompt_token_count",
        "inputTokens",
        "tokens.input_tokens",
        "prompt_eval_count",
    ),
    "output_tokens": (
        "completion_tokens",
        "output_tokens",
        "candidates_token_count",
        "outputTokens",
        "tokens.output_tokens",
        "eval_count",
    ),
    "cache_read_tokens": (
        "prompt_tokens_details.cached_tokens",
        "input_tokens_details.cached_tokens",
        "input_token_details.cache_read",
        "cache_read_input_tokens",
        "cached_content_token_count",
        "cacheReadInputTokens",
        "cached_tokens",
        "num_cached_tokens",
    ),
    "cache_write_tokens": (
        "input_token_details.cache_creation",
        "cache_creation_input_tokens",
        "cacheWriteInputTokens",
    ),
    "reasoning_tokens": (
        "completion_tokens_details.reasoning_tokens",
        "output_tokens_details.reasoning_tokens",
        "output_tokens_details.thinking_tokens",
        "output_token_details.reasoning",
        "thoughts_token_count",
    ),
}
"""Of each field of `Usage`, how providers call it; the first that is told counts."""

_APART: "dict[str, tuple[str, ...]]" = {
    "input_tokens": (
        "cache_read_input_tokens",
        "cache_creation_input_tokens",
        "cacheReadInputTokens",
        "cacheWriteInputTokens",
    ),
    "output_tokens": ("thoughts_token_count",),
}
"""What is not counted in the field though it belongs there."""


_SPLIT = {field: [_split(name) for name in names] for field, names in _NAMES.items()}


def usage_of(source: object) -> Usage | None:
    """
    Read the usage that a result or a chunk tells, or None.
    """
    source = plain(source)
    for head, rest in _HEADS:
        told = get(source, head)
        if told is not None:
            usage = _usage(get(told, rest) if rest else told)
            if usage is not None:
                return usage
    return _usage(source) if get(source, "prompt_eval_count") is not None else None


def _usage(told: object) -> Usage | None:
    if told is None:
        return None
    fields = _fields(told)
    counts = {field: _first(fields, names) for field, names in _SPLIT.items()}
    if not (counts["input_tokens"] or counts["output_tokens"]):
        return None  # also where both are 0: litellm's way to say that it knows none
    for field, names in _APART.items():
        count = counts[field]
        # litellm tells Anthropic's names beside OpenAI's, which count everything
        if count is not None and fields.get("prompt_tokens") is None:
            apart = (_count(fields.get(name)) or 0 for name in names)
            counts[field] = count + sum(apart)
    return Usage(**counts)


def _fields(told: object) -> "dict[str, Any]":
    """
    Give the fields of an object; to ask a pydantic model for one it lacks costs 1 us.
    """
    if isinstance(told, dict):
        return told
    extra = getattr(told, "__pydantic_extra__", None) or {}
    return {**getattr(told, "__dict__", {}), **extra}


def _first(fields: "dict[str, Any]", names: "list[tuple[str, str]]") -> int | None:
    for head, rest in names:
        told = fields.get(head)
        if told is not None:
            count = _count(get(told, rest) if rest else told)
            if count is not None:
                return count
    return None


def _count(value: object) -> int | None:
    if isinstance(value, float) and value.is_integer():  # Cohere's are floats
        value = int(value)
    known = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    return value if known else None  # type: ignore[return-value]
