"""
Quantiles of durations in bounded memory.
"""

from collections import defaultdict
from math import ceil, log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_ERROR = 0.01
_GROWTH = (1 + _ERROR) / (1 - _ERROR)
_PER_E = 1 / log(_GROWTH)
_LEAST_S = 1e-7
_MOST_S = 1e5
_LAST = int(log(_MOST_S / _LEAST_S) * _PER_E)


class Quantiles:
    """
    How often values of each size were seen, in buckets that are each 2 % wide.

    Every value counts, the same values give the same answer in any order, and a
    quantile is at most 1 % off a value that was there. From 100 ns to 28 hours there
    are 1,382 buckets, of which those in use take memory; what lies outside counts as
    the nearest of them.
    """

    __slots__ = ("counts",)

    def __init__(self) -> None:
        self.counts: defaultdict[int, int] = defaultdict(int)

    def add(self, value_s: float) -> None:
        """
        Count a value (s).
        """
        self.counts[bucket_of(value_s)] += 1

    def merge(self, counts: "Mapping[str, int]") -> None:
        """
        Count what another one has counted, as `to_dict` gives it.
        """
        for bucket, count in counts.items():
            self.counts[min(max(int(bucket), 0), _LAST)] += count

    def to_dict(self) -> dict[str, int]:
        """
        Give how many values are in each bucket, for JSON.
        """
        return {str(bucket): count for bucket, count in sorted(self.counts.items())}

    def at(self, *shares: float) -> list[float]:
        """
        Give the value (s) at each share, 0 to 1; 0.0 of nothing.
        """
        buckets = sorted(self.counts.items())
        total = sum(count for _, count in buckets)
        ranks = [ceil(share * total) for share in shares]
        values = [0.0] * len(ranks)
        seen = 0
        for bucket, count in buckets:
            for i, rank in enumerate(ranks):
                if seen < rank <= seen + count:
                    values[i] = _value(bucket)
            seen += count
        return values


def bucket_of(value_s: float) -> int:
    """
    Tell in which bucket a value (s) is counted.
    """
    above = value_s / _LEAST_S
    return min(int(log(above) * _PER_E) if above > 1 else 0, _LAST)


def _value(bucket: int) -> float:
    """
    Give what is at most 1 % off either edge of *bucket*.
    """
    return float(_LEAST_S * _GROWTH**bucket * (1 + _ERROR))
