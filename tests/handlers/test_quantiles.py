"""
`Quantiles`: within 1 %, bounded, the same in any order.
"""

import random
from statistics import quantiles

import pytest

from instrument.handlers._monitor.quantiles import Quantiles


def test_error_is_one_percent() -> None:
    """
    Quantiles of 10,000 values over ten decades are within 1 % of the exact ones.
    """
    values = [10 ** random.Random(i).uniform(-6, 4) for i in range(10_000)]
    seen = Quantiles()

    for value in values:
        seen.add(value)

    exact = sorted(values)
    got = seen.at(0.50, 0.95, 0.99)
    assert got == pytest.approx([exact[4_999], exact[9_499], exact[9_899]], rel=0.0101)
    assert got[0] == pytest.approx(quantiles(values, n=2)[0], rel=0.05)


def test_order_does_not_matter() -> None:
    """
    The same values give the same answer in any order.
    """
    one, other = Quantiles(), Quantiles()

    for i in range(1_000):
        one.add(i / 100)
        other.add((999 - i) / 100)

    assert one.at(0.1, 0.5, 1.0) == other.at(0.1, 0.5, 1.0)


def test_buckets_are_bounded() -> None:
    """
    However far values are spread, there are at most 1,382 buckets.
    """
    seen = Quantiles()

    for tenth in range(-200, 200):
        for i in range(10):
            seen.add(10 ** (tenth / 10) * (1 + i))

    assert len(seen.counts) <= 1_382


@pytest.mark.parametrize("value, shown", [(0.0, 1e-7), (-1.0, 1e-7), (1e300, 1e5)])
def test_what_lies_outside(value: float, shown: float) -> None:
    """
    What lies outside counts as the nearest bucket.
    """
    seen = Quantiles()

    seen.add(value)

    assert seen.at(0.5) == pytest.approx([shown], rel=0.021)


def test_nothing() -> None:
    """
    Where there is nothing, every quantile is 0.
    """
    assert Quantiles().at(0.5, 0.9) == [0.0, 0.0]
