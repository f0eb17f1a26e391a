"""
How much and when, in one line for a person: durations, tokens, money, sizes, times.

What is not known is written as nothing, never as 0.
"""

import time
from math import floor, log10

from instrument import _ids

TYPE_CHECKING = False
if TYPE_CHECKING:
    from instrument._payloads.event import Usage

_S = 1_000_000_000
_MILLION = 1_000_000
_LONG_DAYS = 100
_LEAST_USD = 1e-9
_CENTS_FROM = 0.995
_STEP = 1_000
_LEAST_S = 0.005
"""In less than that no tokens come: they were there."""


def duration(duration_s: float) -> str:
    """
    Write a duration in at most 7 cells: ``683 us``, ``4.6 ms``, ``1.2 s``, ``2m 05s``.
    """
    ns = max(duration_s, 0.0) * _S
    for unit, size in (("ns", 1.0), ("us", 1e3), ("ms", 1e6)):
        amount = ns / size
        if unit == "ms" and amount < 9.95:  # noqa: PLR2004 - rounds to 10
            return f"{amount:.1f} ms"
        if amount < 999.5:  # noqa: PLR2004 - rounds to 1,000
            return f"{amount:.0f} {unit}"
    seconds = ns / _S
    if seconds < 59.95:  # noqa: PLR2004 - rounds to 60
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:  # noqa: PLR2004 - an hour
        return f"{whole // 60}m {whole % 60:02}s"
    minutes = round(seconds / 60)
    if minutes < 1440:  # noqa: PLR2004 - a day
        return f"{minutes // 60}h {minutes % 60:02}m"
    hours = round(seconds / 3600)
    days = hours // 24
    return f"{days}d {hours % 24:02}h" if days < _LONG_DAYS else f"{days}d"


def money(cost_usd: float) -> str:
    """
    Write dollars: two digits that count below $1, cents from there; ``$0`` is free.
    """
    if cost_usd == 0:
        return "$0"
    if cost_usd < _LEAST_USD:
        return "<$0.000000001"
    if cost_usd >= _CENTS_FROM:
        return f"${cost_usd:,.2f}"
    rounded = float(f"{cost_usd:.1e}")
    return f"${rounded:.{max(1 - floor(log10(rounded)), 2)}f}"


def tokens(count: int) -> str:
    """
    Write a number of tokens, from a million on as ``1.2M``.
    """
    return f"{count:,}" if count < _MILLION else f"{count / _MILLION:,.1f}M"


def usage(
    consumed: "Usage", cost_usd: float | None = None, *, wide: bool = False
) -> str:
    """
    Write what models consumed: ``1,240 in (1,024 cached), 96 out, $0.0012``.

    Args:
        consumed: Counts that are None are left out.
        cost_usd: What it cost, None if that is not known.
        wide: Whether there is room for what was cached and reasoned.
    """
    told = []
    for count, what, part, of_it in (
        (consumed.input_tokens, "in", consumed.cache_read_tokens, "cached"),
        (consumed.output_tokens, "out", consumed.reasoning_tokens, "reasoning"),
    ):
        if count is not None:
            more = f" ({tokens(part)} {of_it})" if wide and part else ""
            told.append(f"{tokens(count)} {what}{more}")
    if cost_usd is not None:
        told.append(money(cost_usd))
    return ", ".join(told)


def rate(count: int, streamed_s: float) -> str:
    """
    Write how quickly tokens came, ``18 tok/s``; nothing where that cannot be told.

    Args:
        count: How many came, the first of them included.
        streamed_s: Seconds from the first to the last.
    """
    if count < 2 or streamed_s < _LEAST_S:  # noqa: PLR2004 - of one there is no rate
        return ""
    return f"{(count - 1) / streamed_s:,.0f} tok/s"


def counted(count: int, what: str) -> str:
    """
    Write how many of something: ``1 run``, ``2 model calls``, ``1,204 requests``.
    """
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def size(count: int) -> str:
    """
    Write a number of bytes: ``512 B``, ``4.1 kB``, ``12 kB``, ``2.4 MB``.
    """
    if count < _STEP:
        return f"{count} B"
    amount = float(count)
    for unit in ("kB", "MB", "GB", "TB"):
        amount /= _STEP
        if amount < 9.95:  # noqa: PLR2004 - rounds to 10
            return f"{amount:.1f} {unit}"
        if amount < 999.5:  # noqa: PLR2004 - rounds to 1,000
            break
    return f"{amount:,.0f} {unit}"


def moment(time_ns: int) -> str:
    """
    Write when something was, in local time: ``14:03:22`` today, ``Nov 27`` this year,
    else ``2025-11-27``.
    """
    then = time.localtime(time_ns // _S)
    now = time.localtime(_ids.wall_ns() // _S)
    if then[:3] == now[:3]:
        return time.strftime("%H:%M:%S", then)
    if then.tm_year == now.tm_year:
        return f"{_MONTHS[3 * then.tm_mon - 3 : 3 * then.tm_mon]} {then.tm_mday}"
    return time.strftime("%Y-%m-%d", then)


_MONTHS = "JanFebMarAprMayJunJulAugSepOctNovDec"
"""Not by ``%b``, which speaks the language of the machine."""
