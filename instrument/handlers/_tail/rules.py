"""
What a request must be to be told: ``"error"``, ``"slow>5s"``, ``"cost>0.10"``, or what a
function says.
"""

import re
from dataclasses import dataclass

from instrument._text import safe_repr

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any, TypeAlias

    from instrument._runs.run import Run

    Rule: TypeAlias = Callable[[list[Run]], object]
    Given: TypeAlias = str | Rule

_NUMBER = r"\s*>\s*{}(\d+\.?\d*|\.\d+)"
_LIMIT = re.compile(
    rf"\s*(?:slow{_NUMBER.format('')}\s*(ms|s|m|h)|cost{_NUMBER.format('[$]?')})\s*"
)
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_CURE = 'A rule is "error", "slow>5s", "cost>0.10", or a function of a list of runs.'


@dataclass(frozen=True, slots=True)
class Rules:
    """
    The rules of one `tail`, read; any of them is enough.

    Attributes:
        slow_s: The least of those given, None where none is.
        cost_usd: Likewise.
        asked: Functions of the application's own.
    """

    error: bool
    slow_s: float | None
    cost_usd: float | None
    asked: "tuple[Rule, ...]"


def checked_rules(keep: "Given | Iterable[Given]") -> Rules:
    """
    Read the rules.

    Raises:
        TypeError: For what is neither a string nor a function.
        ValueError: For a string that cannot be read.
    """
    given: Any = keep
    if isinstance(keep, str) or callable(keep):
        given = (keep,)
    try:
        rules = tuple(given)
    except TypeError:
        rules = (given,)
    asked: list[Rule] = []
    limits: dict[str, list[float]] = {"slow": [], "cost": []}
    error = False
    for rule in rules:
        if callable(rule) and not isinstance(rule, type):
            asked.append(rule)
        elif not isinstance(rule, str):
            message = f"tail(keep=...): {safe_repr(rule)} is no rule. {_CURE}"
            raise TypeError(message)
        elif rule.strip() == "error":
            error = True
        else:
            name, limit = _limit(rule)
            limits[name].append(limit)
    slow, cost = (min(limits[name], default=None) for name in ("slow", "cost"))
    return Rules(error, slow, cost, tuple(asked))


def _limit(rule: str) -> tuple[str, float]:
    """
    Read ``"slow>5s"`` or ``"cost>0.10"``.
    """
    found = _LIMIT.fullmatch(rule)
    if found is None:
        message = f"tail(keep=...): {rule!r} cannot be read. {_CURE}"
        raise ValueError(message)
    slow, unit, cost = found.groups()
    return ("cost", float(cost)) if cost else ("slow", float(slow) * _SECONDS[unit])
