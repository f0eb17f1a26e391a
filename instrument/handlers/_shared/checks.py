"""
Check the bounds that a handler is given: an error at once, that names the cure.
"""

from collections.abc import Iterable

from instrument._audience.audience import CHANNELS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def checked_size(what: str, value: object) -> int:
    """
    Give *value* as a number of items.

    Raises:
        TypeError: If it is no int.
        ValueError: If it is less than 1.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        message = f"{what} is a whole number, not {value!r}."
        raise TypeError(message)
    if value < 1:
        message = f"{what} is 1 or more, not {value!r}: nothing would ever fit."
        raise ValueError(message)
    return value


def checked_seconds(what: str, value: object) -> float:
    """
    Give *value* as a duration.

    Raises:
        TypeError: If it is no number.
        ValueError: If it is not more than 0 seconds, or not finite.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        message = f"{what} is a number of seconds, not {value!r}."
        raise TypeError(message)
    if not 0 < value < float("inf"):
        message = f"{what} is more than 0 seconds and finite, not {value!r}."
        raise ValueError(message)
    return float(value)


def checked_channels(what: str, value: object) -> "frozenset[str]":
    """
    Give *value* as channels of an answer.

    Raises:
        TypeError: If it is no list of strings.
        ValueError: If there is none in it, or another.
    """
    try:
        channels: frozenset[Any] = frozenset(value)  # type: ignore[call-overload]
    except TypeError:
        channels = frozenset()
    if channels and not isinstance(value, str) and channels.issubset(CHANNELS):
        return channels
    message = f"{what} is a list of some of {', '.join(CHANNELS)}, not {value!r}."
    is_list = isinstance(value, Iterable) and not isinstance(value, str)
    raise (ValueError if is_list else TypeError)(message)


def checked_choice(what: str, value: object, *choices: str) -> str:
    """
    Give *value* if it is one of *choices*.

    Raises:
        ValueError: If it is none.
    """
    if not isinstance(value, str) or value not in choices:
        message = f"{what} is {' or '.join(map(repr, choices))}, not {value!r}."
        raise ValueError(message)
    return value


def checked_payload(handler: str, value: object) -> int:
    """
    Give *value* as the cells that a payload may take.

    Raises:
        TypeError: If it is no int.
        ValueError: If it is negative.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        message = f"{handler}(payload=...) is a number of cells, not {value!r}."
        raise TypeError(message)
    if value < 0:
        message = f"{handler}(payload=...) cannot be negative: {value!r}. 0 is none."
        raise ValueError(message)
    return value
