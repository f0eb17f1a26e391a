"""
What a store costs, and how quickly it is read. Not run by default: ``-m benchmark`` does.
"""

import pytest

from tests.benchmarks.store import (
    BYTES_BAR,
    COST_BAR,
    LIST_BAR_S,
    OPEN_BAR_S,
    bytes_per_event,
    cost_us,
    list_s,
    open_s,
)

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(300)]


def test_cost_of_a_run() -> None:
    """
    A run with a store costs little beside one with a handler that does nothing.
    """
    with_store, without = cost_us()

    assert with_store <= COST_BAR * without


def test_bytes_of_an_event() -> None:
    """
    An event takes little room, its rows and indexes included.
    """
    assert bytes_per_event() <= BYTES_BAR


def test_large_request_opens() -> None:
    """
    A request of 100,000 runs opens within three seconds.
    """
    assert open_s() <= OPEN_BAR_S


def test_list_of_many_requests() -> None:
    """
    Of 100,000 requests the first page and the summary take less than a second, whatever
    is looked for.
    """
    assert max(list_s().values()) <= LIST_BAR_S
