"""
How tests of engines wait for what other processes do.
"""

from collections.abc import Callable
from time import monotonic, sleep

WAIT_S = 30.0


def until(is_so: Callable[[], object]) -> None:
    """
    Wait until that holds.
    """
    end = monotonic() + WAIT_S
    while not is_so():
        assert monotonic() < end
        sleep(0.005)
