"""
Usage: what is read of it, and how it adds up.
"""

import math
import pickle
from typing import Any

import pytest

from instrument import Usage
from instrument._payloads.answers import Answer, take, usage_of

COUNTS = ("prompt_tokens", "completion_tokens")


def test_usage_adds_what_is_known() -> None:
    """
    Usages add field by field; what neither knows stays unknown.
    """
    total = Usage(1, None, 3) + Usage(10, 20, None, cost_usd=0.5)

    assert total == Usage(11, 20, 3, None, None, 0.5)
    assert total.reasoning_tokens is None
    assert total.to_dict() == {
        "input_tokens": 11,
        "output_tokens": 20,
        "cache_read_tokens": 3,
        "cost_usd": 0.5,
    }
    with pytest.raises(TypeError):
        total + 1  # type: ignore[operator]


def test_usage_basics() -> None:
    """
    A usage is immutable, hashable, copied by pickle, and false while nothing is known.
    """
    usage = Usage(input_tokens=1)

    assert not Usage()
    assert Usage(0)
    assert usage != Usage()
    assert usage != 1
    assert hash(usage) == hash(Usage(1))
    assert pickle.loads(pickle.dumps(usage)) == usage
    assert repr(usage) == "Usage(input_tokens=1)"
    with pytest.raises(AttributeError, match="immutable"):
        usage.input_tokens = 2


@pytest.mark.parametrize("value", ["1", 1.5, True, [1]])
def test_usage_refuses_other_types(value: Any) -> None:
    """
    A count is a whole number.
    """
    with pytest.raises(TypeError, match="input_tokens must be a number or None"):
        Usage(input_tokens=value)


@pytest.mark.parametrize("value", [-1, math.nan])
def test_usage_refuses_negative_numbers(value: Any) -> None:
    """
    Cost and counts are not negative.
    """
    with pytest.raises(ValueError, match="cost_usd cannot be negative"):
        Usage(cost_usd=value)


@pytest.mark.parametrize(
    "source",
    [
        None,
        "text",
        {},
        {"usage": None},
        {"usage": 3},
        {"usage": {"prompt_tokens": None}},
        {"usage": {"prompt_tokens": 0, "completion_tokens": 0}},
    ],
)
def test_no_usage(source: Any) -> None:
    """
    What tells no usage has none: nothing is guessed.
    """
    assert usage_of(source) is None


def test_usage_of_litellm() -> None:
    """
    litellm tells Anthropic's cached tokens beside a count that has them: no 21 of 11.
    """
    told = {"prompt_tokens": 11, "completion_tokens": 4, "cache_read_input_tokens": 10}

    assert usage_of({"usage": told}) == Usage(11, 4, 10)


def test_odd_usage() -> None:
    """
    Counts that are no counts are not known.
    """
    for odd in (True, -1, 1.5):
        assert usage_of({"usage": dict.fromkeys(COUNTS, odd)}) is None


@pytest.mark.parametrize("value", [2**63 + 1, 10**400, math.inf])
def test_usage_is_bounded(value: Any) -> None:
    """
    A count of more than 4,300 digits made every table and tree after it fail, and a cost
    beyond floats raised OverflowError out of the call that a budget guarded.
    """
    most = Usage(cost_usd=value) + Usage(cost_usd=0.5)

    assert most == most + most == Usage(cost_usd=2**63)
    if value != math.inf:
        assert Usage(value) + Usage(value) == Usage(2**63)


USED: dict[str, tuple[list[Any], Usage | None]] = {
    "all of the input from a cache": (
        [{"usage": {"input_tokens": 0, "cache_read_input_tokens": 9}}],
        Usage(9, None, 9),
    ),
    "thoughts without an answer": (
        [{"usage_metadata": {"prompt_token_count": 10, "thoughts_token_count": 90}}],
        Usage(10, 90, None, None, 90),
    ),
    "a prompt with what tools said": (
        [
            {
                "usage_metadata": {
                    "prompt_token_count": 10,
                    "tool_use_prompt_token_count": 5,
                    "candidates_token_count": 1,
                }
            }
        ],
        Usage(15, 1),
    ),
    "DeepSeek's cache": (
        [
            {
                "usage": {
                    "prompt_tokens": 10,
                    "completion_tokens": 1,
                    "prompt_cache_hit_tokens": 8,
                }
            }
        ],
        Usage(10, 1, 8),
    ),
    "Ollama without a prompt": ([{"eval_count": 4, "done": True}], Usage(None, 4)),
    "OpenRouter's cost": (
        [{"usage": {"prompt_tokens": 10, "completion_tokens": 1, "cost": 0.25}}],
        Usage(10, 1, cost_usd=0.25),
    ),
    "Perplexity's cost": (
        [{"usage": {"prompt_tokens": 10, "cost": {"total_cost": 0.5}}}],
        Usage(10, cost_usd=0.5),
    ),
    "litellm's cost": (
        [
            {
                "usage": {"prompt_tokens": 10, "completion_tokens": 1},
                "_hidden_params": {"response_cost": 0.125},
            }
        ],
        Usage(10, 1, cost_usd=0.125),
    ),
    "costs that are none": (
        [{"usage": {"prompt_tokens": 10, "cost": "much"}}],
        Usage(10),
    ),
    "a delta that repeats the input without the cache": (
        [
            {
                "type": "message_start",
                "message": {
                    "usage": {"input_tokens": 9, "cache_read_input_tokens": 1000}
                },
            },
            {
                "type": "message_delta",
                "delta": {},
                "usage": {"input_tokens": 9, "output_tokens": 16},
            },
        ],
        Usage(1009, 16, 1000),
    ),
    "zeros that are counts in the end": (
        [
            {"choices": [], "usage": {"prompt_tokens": 0, "completion_tokens": 0}},
            {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 0}},
        ],
        Usage(3, 0),
    ),
}


@pytest.mark.parametrize("name", list(USED))
def test_usage_of_answers(name: str) -> None:
    """
    What is told in several places or chunks is merged as it is told; sums come last.
    """
    chunks, usage = USED[name]
    answer = Answer()

    for chunk in chunks:
        take(answer, chunk)

    assert answer.usage == usage


def test_counts_that_are_told_beside_the_fields() -> None:
    """
    Counts are read of what an object holds beside its fields, and of kinds of ints.
    """

    class Count(int):
        pass

    class Told:
        def __init__(self) -> None:
            self.model = "m"
            self.__pydantic_extra__ = {
                "prompt_tokens": Count(3),
                "completion_tokens": 4,
            }

    assert usage_of({"usage": Told()}) == Usage(3, 4)
