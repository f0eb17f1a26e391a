"""
``@traced`` against an undecorated function, row by row of the probe.
"""

import pytest

from tests.benchmarks.checking import Check
from tests.benchmarks.probe import CHECKS, idle, ours, undecorated

OF_CALLS = [check for check in CHECKS if not check.sees_runs]


def each(checks: list[Check]) -> pytest.MarkDecorator:
    """
    Run a test once for each check.
    """
    return pytest.mark.parametrize(
        "check", checks, ids=[check.what for check in checks]
    )


@each(CHECKS)
def test_traced(check: Check) -> None:
    """
    What is traced behaves as if it were not, and its runs are heard.
    """
    with ours() as adapter:
        assert check.run(adapter) == check.right


@each(OF_CALLS)
def test_traced_idle(check: Check) -> None:
    """
    Where nobody listens it behaves so too.
    """
    assert check.run(idle()) == check.right


@each(OF_CALLS)
def test_undecorated(check: Check) -> None:
    """
    The value held to be right is the one that an undecorated function gives.
    """
    assert check.run(undecorated()) == check.right
