"""
Any value as JSON types, cut at a limit.
"""

import json
import math
from datetime import UTC, datetime
from enum import Enum, IntEnum, StrEnum
from types import SimpleNamespace
from typing import Any

import pytest

from instrument._payloads.jsonable import (
    ALL_TEXT_LIMIT,
    DEPTH_LIMIT,
    NODE_LIMIT,
    TEXT_LIMIT,
    encoded,
    jsonable,
)


class Colour(StrEnum):
    """
    An enum of strings.
    """

    RED = "red"


class Size(IntEnum):
    """
    An enum of numbers.
    """

    BIG = 3


class Score(float):
    """
    A float of somebody's own, as NumPy's are.
    """

    def __repr__(self) -> str:
        return f"Score({float(self)})"


class NoRepr:
    """
    Its ``repr`` raises.
    """

    def __repr__(self) -> str:
        raise ValueError


class NoItems(dict[str, Any]):
    """
    A dict whose own method fails; it is read as a dict.
    """

    def items(self) -> Any:
        raise ValueError


VALUES = [
    (None, None),
    (True, True),
    (10**40, 10**40),
    (1.5, 1.5),
    (math.nan, "nan"),
    (-math.inf, "-inf"),
    ("ü", "ü"),
    (b"ab", "<2 bytes>"),
    ((1, 2), [1, 2]),
    ({1}, [1]),
    (frozenset(["a"]), ["a"]),
    ({1: "a", None: "b"}, {"1": "a", "null": "b"}),
    (Colour.RED, "red"),
    ({Colour.RED: 1}, {"red": 1}),
    (Size.BIG, 3),
    (Score(0.5), 0.5),
    (datetime(2026, 1, 1, tzinfo=UTC), "2026-01-01T00:00:00+00:00"),
    (Enum("Other", "A").A, 1),  # type: ignore[attr-defined]
    (NoRepr(), "<unreadable NoRepr>"),
    (NoItems(a=1), {"a": 1}),
]


@pytest.mark.parametrize("value, expected", VALUES, ids=range(len(VALUES)))
def test_jsonable(value: object, expected: object) -> None:
    """
    JSON's types stay, containers become lists and dicts, all else text.
    """
    assert jsonable(value) == expected
    json.dumps(jsonable(value), allow_nan=False)


def test_jsonable_of_huge_numbers() -> None:
    """
    A number with more digits than Python writes is said to be one.
    """
    assert isinstance(jsonable(10**10_000), str)


def test_long_text_is_cut() -> None:
    """
    Text beyond the limit is cut, and says how much is missing.
    """
    cut = jsonable("x" * (TEXT_LIMIT + 7))

    assert cut.endswith("… [7 more characters]")
    assert jsonable("x" * TEXT_LIMIT) == "x" * TEXT_LIMIT


def test_many_values_are_cut() -> None:
    """
    Lists and dicts beyond the limit are cut, and say how much is missing.
    """
    items = jsonable(list(range(NODE_LIMIT + 10)))
    entries = jsonable(dict.fromkeys(map(str, range(NODE_LIMIT + 10)), 0))

    assert items[-1] == "… 11 more items"
    assert entries["…"] == "11 more entries"
    assert jsonable([[1, 2], list(range(NODE_LIMIT)), [3]])[0] == [1, 2]


def test_cycles_end() -> None:
    """
    Data that holds itself ends at the depth limit.
    """
    cycle: list[Any] = []
    cycle.append(cycle)
    bush: list[Any] = []
    bush += [bush, bush]

    assert json.dumps(jsonable(cycle)).count("[") == DEPTH_LIMIT
    assert "<list nested too deep>" in json.dumps(jsonable(cycle))
    assert len(json.dumps(jsonable(bush))) < 100 * NODE_LIMIT


def holding_itself(kind: str) -> Any:
    """
    Give what is wide, and holds itself: once, or in all its places.
    """
    if kind == "list":
        items: list[Any] = [1] * NODE_LIMIT
        items[0] = items
        return items
    if kind == "dict":
        entries: dict[str, Any] = dict.fromkeys(map(str, range(NODE_LIMIT)), 1)
        entries["0"] = entries
        return entries
    if kind == "object":
        held = SimpleNamespace(**{f"a{number}": 1 for number in range(20_000)})
        held.a0 = [held] * 1_000
        return held
    bush: list[Any] = []
    bush += [bush] * 1_000
    return bush


def values_in(told: Any) -> int:
    """
    Count what was told, all levels together.
    """
    count, level = 0, [told]
    while level:
        count += len(level)
        inner = [it for it in level if type(it) in (list, dict)]
        level = [
            held for it in inner for held in (it.values() if type(it) is dict else it)
        ]
    return count


@pytest.mark.parametrize("kind", ["list", "dict", "object", "bush"])
def test_wide_cycles_end_at_the_most_values(kind: str) -> None:
    """
    Of what is wide and holds itself, no more values are told than of anything else.
    """
    told = jsonable(holding_itself(kind))

    assert values_in(told) < 1.2 * NODE_LIMIT
    assert jsonable({"long": [1] * NODE_LIMIT, "model": "m"})["model"] == "m"


def test_long_keys_are_text() -> None:
    """
    What long keys hold counts to the text of a record; short ones are told whole.
    """
    long = {f"{number}{'k' * 9_000}": 1 for number in range(2_000)}

    told = jsonable({"long": long, "model": 1})

    assert len(json.dumps(told)) < 1.2 * ALL_TEXT_LIMIT
    assert len(told["long"]) == len(long)
    assert told["model"] == 1


@pytest.mark.parametrize(
    "value",
    [
        {7: "a", None: "b", True: [], 2.5: (1, 2)},
        {"set": {3}, "object": object, "text": "é\ud800\n"},
        {"nan": float("nan"), "long": 10**5_000},
        {("a", "key"): 1},
        ["x" * 300_000],
        [[]] * 1_000,
    ],
)
def test_encoded_as_jsonable(value: object) -> None:
    """
    The quick way to JSON gives what the way through `jsonable` gives.
    """
    assert json.loads(encoded(value)) == jsonable(value)


def test_encoded_cycle() -> None:
    """
    What holds itself is written as far as it goes.
    """
    cycle: list[object] = []
    cycle.append(cycle)

    assert json.loads(encoded(cycle)) == jsonable(cycle)


def test_more_entries_than_are_plain() -> None:
    """
    Of more entries than json's encoder is given as they are, all are told.
    """
    given = {"rows": {str(number): number for number in range(5_000)}}

    assert json.loads(encoded(given)) == given
