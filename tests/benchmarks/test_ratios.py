"""
The limits of section 7 of the design. Not run by default: ``-m benchmark`` does.
"""

import pytest

from tests.benchmarks.ratios import RATIOS

pytestmark = pytest.mark.benchmark

TOLERANCE = 1.1
"""What a busy machine moves a ratio by; a regression is more."""


@pytest.mark.parametrize("what", list(RATIOS))
def test_ratio(what: str) -> None:
    """
    What the library costs stays within its bar, as a multiple of the floor.
    """
    measured = RATIOS[what]()

    assert measured.value <= measured.bar * TOLERANCE, measured
