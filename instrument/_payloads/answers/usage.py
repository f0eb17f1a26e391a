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

_PLACES = (
    "usage_metadata",
    "usage",
    "x_groq.usage",
    "metadata.usage",
    "meta.tokens",
    "meta.billed_units",
)
"""Where an answer tells it; one of `prompt_eval_count` tells it beside the text."""


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


class _Plan:
    """
    Where the counts are in what has certain fields.

    Attributes:
        places: Of each field of `Usage`, in its order, where it may be told.
        apart: What is to be added to the first two.
    """

    __slots__ = ("apart", "places")

    def __init__(self, fields: "Collection[str] | None" = None) -> None:
        """
        Args:
            fields: Their names; None for those of any object.
        """
        split = [[_split(name) for name in names] for names in _NAMES.values()]
        self.places = [
            [(head, rest) for head, rest in names if fields is None or head in fields]
            for names in split
        ]
        self.apart = [
            (list(_NAMES).index(field), name)
            for field, names in _APART.items()
            for name in names
            if fields is None or name in fields
        ]


_ANY = _Plan()
_MOST_TYPES = 500
_plans: "dict[int, tuple[type, _Plan]]" = {}
"""
Of the types of pydantic models, by their ids, as a type may have a hash of its own; to
look for all names costs 3 us.
"""


def usage_of(source: object) -> Usage | None:
    """
    Read the usage that a result or a chunk tells, or None.
    """
    read = reader(source)
    for head, rest in _HEADS:
        told = read(head)
        if told is not None:
            usage = _usage(get(told, rest) if rest else told)
            if usage is not None:
                return usage
    return _usage(source) if read("prompt_eval_count") is not None else None


def _usage(told: object) -> Usage | None:
    if told is None:
        return None
    read, plan = _reading(told)
    counts = [_first(read, names) if names else None for names in plan.places]
    if not (counts[0] or counts[1]):
        return None  # also where both are 0: litellm's way to say that it knows none
    # litellm tells Anthropic's names beside OpenAI's, which count everything
    for index, name in plan.apart if read("prompt_tokens") is None else ():
        count = counts[index]
        if count is not None:
            counts[index] = count + (_count(read(name)) or 0)
    return Usage(*counts)


def _reading(told: object) -> "tuple[Callable[[str], Any], _Plan]":
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
    plan = _Plan(model_fields(kind)) if known is None else known[1]
    if known is None and len(_plans) < _MOST_TYPES:
        _plans[id(kind)] = kind, plan
    return fields.get, plan if fields is fields_of(told) else _ANY


def _first(read: "Callable[[str], Any]", names: "list[tuple[str, str]]") -> int | None:
    for head, rest in names:
        told = read(head)
        if told is not None:
            count = _count(get(told, rest) if rest else told)
            if count is not None:
                return count
    return None


def _count(value: "Any") -> int | None:
    kind = type(value)
    if kind is not int:
        if issubclass(kind, float) and float.is_integer(value):
            value = float.__int__(value)  # some are floats
        elif issubclass(kind, int) and kind is not bool:
            value = int.__int__(value)
        else:
            return None
    return value if value >= 0 else None
