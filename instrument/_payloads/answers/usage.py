"""
Read what a model call consumed, under whatever names its provider tells it.
"""

from functools import partial

from instrument._payloads.event import Usage
from instrument._payloads.messages import (
    extra_of,
    fields_of,
    get,
    is_pydantic,
    model_fields,
    plain,
    reader,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from typing import Any

    Counts = dict[str, float]
    """What was told, by the names under which it was."""

_PLACES = (
    "usage_metadata",
    "usage",
    "x_groq.usage",
    "metadata.usage",
    "meta.tokens",
    "meta.billed_units",
)
"""Where an answer tells it, if not beside the text."""
_BESIDE = ("prompt_eval_count", "eval_count")


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
        "prompt_cache_hit_tokens",
    ),
    "cache_write_tokens": (
        "prompt_tokens_details.cache_write_tokens",
        "input_tokens_details.cache_write_tokens",
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
    "cost_usd": ("cost", "cost.total_cost"),
}
"""Of each field of `Usage`, how providers call it; the first that is told counts."""

_APART: "dict[str, tuple[str, ...]]" = {
    "input_tokens": (
        "cache_read_input_tokens",
        "cache_creation_input_tokens",
        "cacheReadInputTokens",
        "cacheWriteInputTokens",
        "tool_use_prompt_token_count",
    ),
    "output_tokens": ("thoughts_token_count",),
}
"""What is not counted in the field though it belongs there."""

_COUNTED = ("input_tokens", "output_tokens")
_EVERY = {*sum((*_NAMES.values(), *_APART.values()), ())}


def _plan(fields: "Collection[str] | None" = None) -> "list[tuple[str, str, str]]":
    """
    Say which names are looked for in what has these *fields*; None for any object.
    """
    split = [(name, *_split(name)) for name in sorted(_EVERY)]
    return [it for it in split if fields is None or it[1] in fields]


_ANY = _plan()
_MOST_TYPES = 500
_plans: "dict[int, tuple[type, list[tuple[str, str, str]]]]" = {}
"""
Of the types of pydantic models, by their ids, as a type may have a hash of its own; to
look for all names costs 3 us.
"""


def usage_of(source: object) -> Usage | None:
    """
    Read the usage that a result or a chunk tells, or None.
    """
    counts = counts_of(source)
    return None if counts is None else usage_from(counts)


def counts_of(source: object) -> "Counts | None":
    """
    Read what a result or a chunk tells of its usage, as it tells it.
    """
    read = reader(source)
    found = None
    for head, rest in _HEADS:
        told = read(head)
        if told is not None:
            counts = _counts(get(told, rest) if rest else told)
            if counts and any(counts.values()):
                return _with_cost(counts, source)
            found = found or counts
    if found is None and any(read(name) is not None for name in _BESIDE):
        found = _counts(source)
    return found or None


def usage_from(counts: "Counts") -> Usage | None:
    """
    Make the sums of what was told: what belongs to a field is told in several ways.
    """
    made: dict[str, Any] = {}
    for field, names in _NAMES.items():
        told = [counts[name] for name in names if name in counts]
        # litellm tells Anthropic's names beside OpenAI's, which count everything
        apart = () if "prompt_tokens" in counts else _APART.get(field, ())
        more = [counts[name] for name in apart if name in counts]
        if told or (more and field in _COUNTED):
            made[field] = sum(more, told[0] if told else 0)
    if not any(made.get(field) for field in _COUNTED):
        return None  # also where both are 0: litellm's way to say that it knows none
    return Usage(**made)


def _with_cost(counts: "Counts", source: object) -> "Counts":
    """
    Add what litellm has reckoned, beside the fields of its results.
    """
    private = get(source, "__pydantic_private__")
    hidden = get(source if private is None else private, "_hidden_params")
    cost = _count(get(hidden, "response_cost"), is_whole=False)
    return counts if cost is None else {"cost": cost, **counts}


def _counts(told: object) -> "Counts | None":
    if told is None:
        return None
    read, plan = _reading(told)
    counts: Counts = {}
    held: dict[str, Any] = {}
    for name, head, rest in plan:
        value = held[head] if head in held else held.setdefault(head, read(head))
        if value is None:
            continue
        count = _count(get(value, rest) if rest else value, is_whole=head != "cost")
        if count is not None:
            counts[name] = count
    return counts


def _reading(
    told: object,
) -> "tuple[Callable[[str], Any], list[tuple[str, str, str]]]":
    """
    Give what reads its fields, and the plan for its type.
    """
    if not is_pydantic(told):
        if not issubclass(type(told), dict) and (extra := extra_of(told)):
            return {**fields_of(told), **extra}.get, _ANY
        return partial(get, told), _ANY
    kind = type(told)
    fields: Any = plain(told)
    known = _plans.get(id(kind))
    plan = _plan(model_fields(kind)) if known is None else known[1]
    if known is None and len(_plans) < _MOST_TYPES:
        _plans[id(kind)] = kind, plan
    return fields.get, plan if fields is fields_of(told) else _ANY


def _count(value: "Any", *, is_whole: bool = True) -> float | None:
    """
    Give a number that is one and not negative; None for anything else.

    Args:
        is_whole: Whether it counts, and so has no fraction.
    """
    kind = type(value)
    if kind is not int:
        if issubclass(kind, float):
            value = float.__float__(value)
            if is_whole and not value.is_integer():
                return None
            value = int(value) if value.is_integer() and is_whole else value
        elif issubclass(kind, int) and kind is not bool:
            value = int.__int__(value)
        else:
            return None
    return value if value >= 0 else None
