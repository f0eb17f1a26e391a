"""
`Event` and `Usage`: what they are, and as JSON.
"""

import json
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instrument import Event, Usage, callbacks, current_run, traced
from instrument.exceptions import EventFormatError, InstrumentError
from instrument.propagation import attach, carrier
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
    return json.dumps(
        {name: value for name, value in whole.items() if value is not ...}
    )


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
    name: str,
    kind: str,
    tags: list[str],
    metadata: dict[str, Any],
    data: dict[str, Any],
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


def test_tokens_are_small() -> None:
    """
    A token's record has no tags and metadata, which its run's start has told.
    """
    recorder = Recorder()
    with callbacks(recorder, tags=["t"], metadata={"user": "ada"}):
        traced.llm(lambda: current_run().token("a"))()

    (token,) = [it for it in recorder.events if it.event == "on_llm_new_token"]
    written = token.to_json()

    assert not {"tags", "metadata"} & json.loads(written).keys()
    assert Event.from_json(written) == token
    old = {**json.loads(written), "tags": ["t"], "metadata": {"user": "ada"}}
    read = Event.from_json(json.dumps(old))
    assert (read.tags, read.to_dict()["metadata"]) == (["t"], {"user": "ada"})


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


@pytest.mark.parametrize("field, value", WRONG)
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


def test_usage_in_an_event() -> None:
    """
    A usage in an event's data is written as its fields.
    """
    assert event(data={"usage": Usage(1)}).to_dict()["data"] == {
        "usage": {"input_tokens": 1}
    }


MANY: list[Any] = [[[0] * 1_000 for _ in range(110)], list(range(150_000))]
LONG = ["x" * 1_000_000] * 5
LARGE = [*MANY, {str(it): it for it in range(110_000)}, LONG]


@pytest.mark.parametrize("large", LARGE, ids=["lists", "list", "dict", "texts"])
@pytest.mark.parametrize("place", ["metadata", "outputs"])
def test_what_an_event_is_beside_large_values(place: str, large: object) -> None:
    """
    What an event tells of its run stands in its record, however much else it holds.
    """
    metadata = {"vectors": large} if place == "metadata" else {}
    heard = callbacks(recorder := Recorder(), metadata=metadata)
    with heard, traced("a", kind="chat_model") as run:
        run.record_usage(input_tokens=1, output_tokens=2)
        run.outputs = {"tool_calls": large} if place == "outputs" else "text"

    data = recorder.events[-1].to_dict()["data"]
    assert (data["status"], data["usage"]["output_tokens"]) == ("ok", 2)
    assert data["duration_s"] > 0


def test_large_metadata_of_what_a_worker_does() -> None:
    """
    A run elsewhere has an end also where its metadata is more than a record holds.
    """
    heard = callbacks(recorder := Recorder(), metadata={"vectors": MANY[1]})
    with heard, attach(carrier()), traced("there"):
        pass

    assert recorder.tree() == "chain there: ok"
