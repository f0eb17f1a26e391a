"""
Arrays of numpy: what they are is told, not what they hold.
"""

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
