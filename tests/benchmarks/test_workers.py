"""
How soon a worker's events are heard. Not run by default: ``-m benchmark`` does.
"""

from statistics import median

import pytest

from tests.benchmarks.workers import BURST, PACED, PAUSE_S, relayed

pytestmark = pytest.mark.benchmark


def test_events_come_soon() -> None:
    """
    On a quiet machine half of a stream's pieces are heard within 2 ms, and a burst at
    10,000 a second and more.
    """
    late, _ = relayed(PACED, PAUSE_S)
    _, took_s = relayed(BURST, 0.0)

    assert len(late) == PACED
    assert median(late) < 2e6
    assert BURST / took_s > 10_000
