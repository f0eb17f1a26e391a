"""
Arrays of numpy: what they are is told, not what they hold.
"""

from types import SimpleNamespace
from typing import Any

import pytest

from instrument import callbacks, traced
from instrument._payloads.jsonable import jsonable
from instrument.testing import Recorder

numpy = pytest.importorskip("numpy")


def test_arrays_are_told_by_their_size() -> None:
    """
    An array of numpy is told by its size, its numbers as numbers.
    """
    assert jsonable(numpy.zeros((2, 3))) == "<ndarray of 48 bytes>"
    assert jsonable(numpy.int64(3)) == 3


@pytest.mark.parametrize(
    "vectors", [numpy.zeros((2, 3)), [numpy.zeros(3), numpy.zeros(3)]]
)
def test_vectors_are_measured(vectors: Any) -> None:
    """
    An embedding that gives arrays tells how many vectors there are, and how long.
    """
    recorder = Recorder()

    with callbacks(recorder):
        traced.embedding(lambda texts: vectors)(["a", "b"])

    assert recorder.events[-1].data["vectors"] == {"count": 2, "size": 3}


def records(names: list[tuple[str, Any]]) -> Any:
    """
    Make an array of one record that has *names*.
    """
    return numpy.array([tuple(["hunter2"] * len(names))], dtype=names)


def test_records_are_told_by_their_names() -> None:
    """
    A record is told, and masked, by the names that its type gives; a raw one by its size.
    """
    recorder = Recorder()
    record = records([("user", "U9"), ("password", "U9")])[0]

    with callbacks(recorder, redact=["password"]):
        traced.tool(lambda given: given)(record)

    assert recorder.events[0].data["inputs"]["given"] == {
        "user": "hunter2",
        "password": "[redacted]",
    }
    assert jsonable(numpy.rec.array(records([("a", "U9")]))[0]) == {"a": "hunter2"}
    assert jsonable(numpy.void(b"abc")) == "<3 bytes>"


@pytest.mark.parametrize(
    "array",
    [
        numpy.array([{"password": "hunter2"}], dtype=object),
        numpy.array(['{"password": "hunter2"}']),
        records([("password", "U9")]),
        records([("password", "O")]),
    ],
    ids=["objects", "texts", "records", "records of objects"],
)
@pytest.mark.parametrize("redact", [["password"], lambda value, _: value])
def test_arrays_are_not_looked_into(array: Any, redact: Any) -> None:
    """
    An array that may lead to anything is not shown by what holds it where something is
    masked, nor given to a handler; one of numbers is.
    """
    recorder = Recorder()
    numbers = numpy.array([1.5])

    with callbacks(recorder, redact=redact):
        traced.tool(lambda given: given)(array)
        traced(lambda given, _: given)(SimpleNamespace(held=array), numbers)

    for event in recorder.events:
        assert "hunter2" not in event.to_json() + repr(event.data)
    assert recorder.runs[1].inputs["_"] is numbers


@pytest.mark.parametrize(
    "redact",
    [["data", "size"], lambda value, path: "***" if path[-1] == "data" else value],
)
def test_numbers_are_told_whatever_numpy_calls_them(redact: Any) -> None:
    """
    All numbers and arrays have ``data`` and ``size``: what is masked is what is called so.
    """
    recorder = Recorder()
    given = {
        "score": numpy.float64(0.5),
        "vector": numpy.zeros(3),
        "data": numpy.int64(3),
    }

    with callbacks(recorder, redact=redact):
        traced.tool(lambda given: given)(given)

    shown = jsonable(recorder.events[0].data["inputs"]["given"])
    assert shown["score"] == 0.5
    assert shown["vector"] == "<ndarray of 24 bytes>"
    assert shown["data"] != 3
