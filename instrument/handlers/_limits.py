"""
The limits of a budget: what may be given, and what is said when one is reached.
"""

from math import isfinite

from instrument._text import safe_repr
from instrument.exceptions import BudgetExceeded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from instrument._runs.run import Run


def check_limit(name: str, value: "Any", *, whole: bool = False) -> None:
    """
    Refuse what is no limit.

    Args:
        whole: True where only whole numbers make sense.

    Raises:
        TypeError, ValueError: Names the value and the cure.
    """
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
        what = "a whole number" if whole else "a number"
        message = f"BudgetHandler: {name} must be {what}, not {safe_repr(value)}."
        raise TypeError(message)
    if not (value >= 0 and isfinite(value)):
        message = (
            f"BudgetHandler: {name} cannot be {value!r}: give 0 or more, or leave it"
            " out for no limit."
        )
        raise ValueError(message)


def checked_tools(tools: "Iterable[str] | None") -> "tuple[str, ...] | None":
    """
    Take the names of the tools that may be called.

    Raises:
        TypeError: For anything but a collection of strings.
    """
    if tools is None:
        return None
    if isinstance(tools, str):
        message = f"BudgetHandler: tools is a list of names. Did you mean [{tools!r}]?"
        raise TypeError(message)
    names = tuple(tools) if hasattr(tools, "__iter__") else None
    if names is None or not all(isinstance(name, str) for name in names):
        message = (
            "BudgetHandler: tools is a list of names, such as ['search'], not"
            f" {safe_repr(tools)}."
        )
        raise TypeError(message)
    return names


def hold(
    run: "Run", limit: str, maximum: float | None, value: float, unit: str
) -> None:
    """
    Refuse *run* if *value* has reached *maximum*.

    Raises:
        BudgetExceeded: Then.
    """
    if maximum is not None and value >= maximum:
        raise exceeded(run, limit, maximum, value, unit)


def exceeded(
    run: "Run", limit: str, maximum: float, value: float, unit: str
) -> BudgetExceeded:
    """
    Say that a limit stops *run*.

    Args:
        unit: What *value* counts: ``tokens were used``.
    """
    message = (
        f"{limit}={maximum!r} stops the request at {named(run)}:"
        f" {safe_repr(round(value, 6))} {unit}."
        f" Raise {limit}, or give each request a block of its own."
    )
    return BudgetExceeded(message, limit, value, maximum, run)


def unpriced(run: "Run", maximum: float, model: str) -> BudgetExceeded:
    """
    Say that a limit of cost cannot be held, as the cost of *model* is not known.
    """
    message = (
        f"max_cost_usd={maximum!r} stops the request at {named(run)}: the cost of"
        f" {model} is not known. Give prices={{'model': {{'input': 3.0, 'output': 15.0}}}}"
        " in US dollars per million tokens, install genai-prices, or have the call"
        " record its usage or cost_usd."
    )
    return BudgetExceeded(message, "max_cost_usd", None, maximum, run)


def not_allowed(run: "Run", tools: tuple[str, ...]) -> BudgetExceeded:
    """
    Say that a tool is not among those allowed.
    """
    message = (
        f"tools={safe_repr(list(tools))} stops the request at {named(run)}."
        " Add its name to tools if it may be called."
    )
    return BudgetExceeded(message, "tools", run.name, tools, run)


def named(run: "Run") -> str:
    """
    Name a run in a message; names are untrusted.
    """
    return f"{safe_repr(run.kind)[1:-1]} {safe_repr(run.name)}"
