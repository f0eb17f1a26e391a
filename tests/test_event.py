"""
`Event` and `Usage`: what they are, and as JSON.
"""

import json
import math
import pickle
from datetime import UTC, datetime
from enum import Enum, IntEnum, StrEnum
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instrument import Event, Usage, callbacks, traced
from instrument._json import DEPTH_LIMIT, NODE_LIMIT, TEXT_LIMIT, jsonable
from instrument.exceptions import EventFormatError, InstrumentError
from instrument.testing import Recorder, predictable

ID = UUID(int=(7 << 76) | (2 << 62) | 1)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


def event(**fields: Any) -> Event:
    """
    Make an event.
    """
    given: dict[str, Any] = {"seq": 1, "time_ns": 2, "trace_id": ID, "run_id": ID}
    return Event("on_chain_start", **{**given, **fields})


def line(**fields: Any) -> str:
    """
    Write an event as JSON with some fields replaced, or left out by Ellipsis.
    """
    whole = {**json.loads(event().to_json()), **fields}
    return json.dumps({name: value for name, value in whole.items() if value is not ...})


def test_json_of_a_run() -> None:
    """
    An event as JSON is one ASCII line with the fields of version 1, in order.
    """
    recorder = Recorder()
    with predictable(), callbacks(recorder, tags=["t"], metadata={"user": "ü"}):
        traced("answer")(lambda q: q)("?")

    written = recorder.events[0].to_json()
    assert written == (
        '{"v":1,"event":"on_chain_start","seq":1,'
        f'"time_ns":{recorder.events[0].time_ns},'
        '"trace_id":"00000000-0000-7000-8000-000000000001",'
        '"run_id":"00000000-0000-7000-8000-000000000001","parent_run_id":null,'
        '"kind":"chain","name":"answer","tags":["t"],"metadata":{"user":"\\u00fc"},'
        '"data":{"inputs":{"q":"?"}}}'
    )


@given(
    st.text(),
    st.text(),
    st.lists(st.text()),
    st.dictionaries(st.text(), JSON),
    st.dictionaries(st.text(), JSON),
)
def test_round_trip(
    name: str, kind: str, tags: list[str], metadata: dict[str, Any], data: dict[str, Any]
) -> None:
    """
    Whatever JSON can hold comes back equal, on one line of ASCII.
    """
    made = event(name=name, kind=kind, tags=tags, metadata=metadata, data=data)

    written = made.to_json()

    assert written.isascii()
    assert "\n" not in written
    assert Event.from_json(written) == made
    assert Event.from_json(written.encode()).to_json() == written


@given(st.recursive(st.builds(object) | st.binary() | st.floats(), st.tuples))
def test_any_value_becomes_json(value: object) -> None:
    """
    What JSON lacks is written all the same, and stays the same from then on.
    """
    written = event(data={"value": value}).to_json()

    assert Event.from_json(written).to_json() == written


@given(st.text() | st.binary())
def test_any_line_is_read_or_refused(text: "str | bytes") -> None:
    """
    Text that is no event raises `EventFormatError`, never anything else.
    """
    with pytest.raises(EventFormatError):
        Event.from_json(text)


def test_unknown_field_is_kept() -> None:
    """
    A field of a later release is kept, and written again.
    """
    read = Event.from_json(line(colour="red"))

    assert read.extra == {"colour": "red"}
    assert json.loads(read.to_json())["colour"] == "red"


@pytest.mark.parametrize("version", [0, 2, "1", None, ..., 1.5, [1], True])
def test_unknown_version_is_refused(version: Any) -> None:
    """
    Another version is refused, and the error says which this release reads.
    """
    with pytest.raises(EventFormatError, match="this release reads version 1"):
        Event.from_json(line(v=version))


WRONG = [
    ("event", 1),
    ("seq", "1"),
    ("seq", True),
    ("seq", 1.5),
    ("time_ns", None),
    ("trace_id", "no uuid"),
    ("trace_id", None),
    ("run_id", 7),
    ("parent_run_id", "x"),
    ("kind", None),
    ("name", ["a"]),
    ("tags", "abc"),
    ("tags", {}),
    ("metadata", []),
    ("data", None),
]


@pytest.mark.parametrize(("field", "value"), WRONG)
def test_wrong_field_is_refused(field: str, value: object) -> None:
    """
    A field of another type is refused by its name.
    """
    with pytest.raises(EventFormatError, match=f"'{field}'"):
        Event.from_json(line(**{field: value}))


@pytest.mark.parametrize("field", ["event", "seq", "trace_id", "parent_run_id", "data"])
def test_missing_field_is_refused(field: str) -> None:
    """
    A field that is missing is named.
    """
    with pytest.raises(EventFormatError, match=f"'{field}' is missing"):
        Event.from_json(line(**{field: ...}))


def test_half_a_line_is_refused() -> None:
    """
    Every beginning of a line is refused as no whole line of JSON.
    """
    whole = event().to_json()

    for length in range(len(whole)):
        with pytest.raises(EventFormatError, match="no whole line of JSON"):
            Event.from_json(whole[:length])


@pytest.mark.parametrize(
    "text", ["[]", "1", '"a"', "null", "[" * 100_000, b"\xff\xfe", "1" * 5_000, "NaN"]
)
def test_hostile_lines(text: "str | bytes") -> None:
    """
    Deep, huge and broken lines raise the same error, with a short message.
    """
    with pytest.raises(EventFormatError) as caught:
        Event.from_json(text)

    assert len(str(caught.value)) < 500
    assert isinstance(caught.value, InstrumentError)
    assert isinstance(caught.value, ValueError)


def test_event_basics() -> None:
    """
    Events compare by what they say, have no hash, and show it in short.
    """
    assert event() == event()
    assert event() != event(seq=2)
    assert event() != "event"
    assert repr(event(name="a\n")) == "<Event 1 on_chain_start chain 'a\\n'>"
    assert event(parent_run_id=ID).to_dict()["parent_run_id"] == str(ID)
    with pytest.raises(TypeError, match="unhashable"):
        hash(event())


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
    A dict that cannot be read.
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
    (b"ab", "b'ab'"),
    ((1, 2), [1, 2]),
    ({1}, [1]),
    (frozenset(["a"]), ["a"]),
    ({1: "a", None: "b"}, {"1": "a", "None": "b"}),
    (Colour.RED, "red"),
    ({Colour.RED: 1}, {"red": 1}),
    (Size.BIG, 3),
    (Score(0.5), 0.5),
    (datetime(2026, 1, 1, tzinfo=UTC), repr(datetime(2026, 1, 1, tzinfo=UTC))),
    (Enum("Other", "A").A, "<Other.A: 1>"),  # type: ignore[attr-defined]
    (NoRepr(), "<NoRepr whose repr raised ValueError>"),
    (NoItems(a=1), "{'a': 1}"),
]


@pytest.mark.parametrize(("value", "expected"), VALUES, ids=range(len(VALUES)))
def test_jsonable(value: object, expected: object) -> None:
    """
    JSON's types stay, containers become lists and dicts, all else its ``repr``.
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


def test_usage_in_an_event() -> None:
    """
    A usage in an event's data is written as its fields.
    """
    assert event(data={"usage": Usage(1)}).to_dict()["data"] == {
        "usage": {"input_tokens": 1}
    }
