"""
The comparison with other libraries that the guide has. It is measured by
``tests/benchmarks/peers.py``, which makes environments, and not here.
"""

from tests.benchmarks import guide, picture
from tests.benchmarks.peer import PEERS
from tests.benchmarks.peers import LIBRARIES, OURS, PART, PICTURE


def test_guide_has_every_library() -> None:
    """
    The guide's table has the libraries that are measured, in the versions that are.
    """
    versions = [
        f"{name} {it.version}" for name, it in LIBRARIES.items() if name != OURS
    ]

    assert [cells[0] for cells in guide.rows(PART)[1:]] == [OURS, *versions]
    assert list(PEERS) == list(LIBRARIES)


def test_picture() -> None:
    """
    The picture shows what the table says.
    """
    assert PICTURE.read_text("utf-8") == picture.drawn(guide.rows(PART))
