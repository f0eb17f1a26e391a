"""
What a receiver that hangs does to a call. Not run by default: ``-m benchmark`` does.
"""

import pytest

from tests.benchmarks.otlp import p99_hung_us

pytestmark = pytest.mark.benchmark


def test_hung_receiver_costs_no_call() -> None:
    """
    With a receiver that hangs, and its queue full, the slowest call in a hundred takes
    no longer than with one that takes all.
    """
    hung, willing, _ = p99_hung_us()

    assert hung <= 1.2 * willing + 100
