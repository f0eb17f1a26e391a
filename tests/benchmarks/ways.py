"""
What the ways home from workers have in common: how their figures are written.
"""

from collections.abc import Sequence
from statistics import median, quantiles

HEAD = ("", "p50", "p99", "events a second, of a burst")


def row(name: str, late_ns: list[int], a_second: float) -> tuple[str, ...]:
    """
    Write a way's figures.

    Args:
        late_ns: By how much each piece was late, of those that come one by one.
        a_second: How many came, of a burst.
    """
    p50, p99 = median(late_ns) / 1e6, quantiles(late_ns, n=100)[98] / 1e6
    return name, f"{p50:.2f} ms", f"{p99:.2f} ms", f"{a_second:,.0f}"


def written(lines: Sequence[tuple[str, ...]]) -> str:
    """
    Write a table as Markdown, whose first line is its head.
    """
    rule = ("---", *["--:"] * (len(lines[0]) - 1))
    return "\n".join(
        "| " + " | ".join(line) + " |" for line in [lines[0], rule, *lines[1:]]
    )
