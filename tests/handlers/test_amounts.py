"""
How much and when, for a person: durations, tokens, money, sizes, times.
"""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instrument import Usage, _ids
from instrument.handlers._shared import amounts
from instrument.testing import predictable

DURATIONS = {
    0.0: "0 ns",
    850e-9: "850 ns",
    999.6e-9: "1 us",
    683e-6: "683 us",
    999.6e-6: "1.0 ms",
    0.0046: "4.6 ms",
    0.00996: "10 ms",
    0.801: "801 ms",
    0.9996: "1.0 s",
    1.2: "1.2 s",
    12.4: "12.4 s",
    59.96: "1m 00s",
    125: "2m 05s",
    3599: "59m 59s",
    3599.6: "1h 00m",
    3720: "1h 02m",
    86_400 * 3 + 4 * 3_600: "3d 04h",
    86_400 * 200: "200d",
}
MONEY = {
    0: "$0",
    1e-10: "<$0.000000001",
    0.000035: "$0.000035",
    0.0000995: "$0.00010",
    0.012: "$0.012",
    0.1: "$0.10",
    0.24: "$0.24",
    0.996: "$1.00",
    1.2: "$1.20",
    1234.5: "$1,234.50",
}
SIZES = {
    0: "0 B",
    512: "512 B",
    999: "999 B",
    1_000: "1.0 kB",
    4_100: "4.1 kB",
    9_960: "10 kB",
    12_000: "12 kB",
    999_600: "1.0 MB",
    2_400_000: "2.4 MB",
    5_200_000_000: "5.2 GB",
    10**16: "10,000 TB",
}


@pytest.mark.parametrize("duration_s, text", list(DURATIONS.items()))
def test_duration(duration_s: float, text: str) -> None:
    """
    A duration is rounded first, then its unit is chosen.
    """
    assert amounts.duration(duration_s) == text


@given(st.floats(min_value=-1, max_value=1e9))
def test_duration_fits(duration_s: float) -> None:
    """
    Any duration has room in seven cells, also one that a clock turned back made.
    """
    assert len(amounts.duration(duration_s)) <= 7


@pytest.mark.parametrize("cost_usd, text", list(MONEY.items()))
def test_money(cost_usd: float, text: str) -> None:
    """
    Money below $1 has two digits that count; it is $0 only if it is free.
    """
    assert amounts.money(cost_usd) == text


@given(st.floats(min_value=1e-9, max_value=1e12))
def test_money_is_near(cost_usd: float) -> None:
    """
    No sum of money is written in powers of ten, or more than a twentieth off.
    """
    text = amounts.money(cost_usd)

    assert "e" not in text
    assert float(text[1:].replace(",", "")) == pytest.approx(cost_usd, rel=0.051)


@pytest.mark.parametrize("count, text", list(SIZES.items()))
def test_size(count: int, text: str) -> None:
    """
    A size is rounded first, then its unit is chosen.
    """
    assert amounts.size(count) == text


def test_usage() -> None:
    """
    What models consumed is counts and money; what is not known is left out.
    """
    usage = Usage(1_240, 96, cache_read_tokens=1_024, reasoning_tokens=64)

    assert amounts.usage(usage, 0.0012) == "1,240 in, 96 out, $0.0012"
    assert amounts.usage(usage, wide=True) == (
        "1,240 in (1,024 cached), 96 out (64 reasoning)"
    )
    assert amounts.usage(Usage(output_tokens=0), 0.0, wide=True) == "0 out, $0"
    assert amounts.usage(Usage()) == ""


def test_tokens() -> None:
    """
    Tokens are exact below a million.
    """
    assert amounts.tokens(999_999) == "999,999"
    assert amounts.tokens(1_234_567) == "1.2M"


def test_rate() -> None:
    """
    The rate of tokens is that between the first and the last; one alone has none.
    """
    assert amounts.rate(14, 0.722) == "18 tok/s"
    assert amounts.rate(1, 1.0) == amounts.rate(9, 0.0) == ""


def test_counted() -> None:
    """
    One of something is said as one.
    """
    assert amounts.counted(1, "run") == "1 run"
    assert amounts.counted(1_204, "request") == "1,204 requests"


def test_moment() -> None:
    """
    A time of today has no date, one of this year no year.
    """
    noon = time.struct_time((2026, 1, 2, 12, 0, 1, 0, 0, -1))
    last = time.struct_time((2025, 11, 27, 12, 0, 0, 0, 0, -1))
    with predictable():  # it begins on the first of January, 2026, in UTC
        now = _ids.wall_ns()
        clock = time.strftime("%H:%M:%S", time.localtime(now // 10**9))

        assert amounts.moment(now) == clock
        assert amounts.moment(int(time.mktime(last)) * 10**9) == "2025-11-27"
    with_year = time.localtime(now // 10**9).tm_year == 2026
    with predictable():
        later = amounts.moment(int(time.mktime(noon)) * 10**9)
    assert later == ("Jan 2" if with_year else "2026-01-02")
