"""
Turn any value into JSON types: what JSON lacks becomes its ``repr``, and what is cut
at a limit says how much was cut.
"""

from functools import partial

from instrument import _text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

TEXT_LIMIT = 1_000_000
"""The most characters that one string holds."""
NODE_LIMIT = 100_000
"""The most values, all levels together."""
DEPTH_LIMIT = 40
_PLAIN: "dict[type, Any]" = {
    str: str.__str__,
    int: int.__int__,
    float: float.__float__,
}
_KEYS = {None: "null", True: "true", False: "false"}  # as json writes them
_SMALL = 200_000  # characters: too few for any limit to be reached
_INT_BITS = 4_096  # int -> str refuses more than 4,300 digits


def jsonable(
    value: object, *, nodes: int = NODE_LIMIT, text: int = TEXT_LIMIT
) -> "Any":
    """
    Give *value* as dicts with string keys, lists, strings, finite numbers, bools, None.

    Never raises, ends on cyclic data, and reads nothing but builtin containers.

    Args:
        value: Anything.
        nodes: The most values, all levels together.
        text: The most characters that one string holds.
    """
    return _jsonable(value, _Budget(nodes, text), DEPTH_LIMIT)


def encoded(value: object) -> str:
    """
    Give `jsonable` of *value* as one line of ASCII.

    Most values fit as they are: json's own encoder then takes a fifth of the time.
    """
    from json import dumps  # not needed where nobody writes events

    written = partial(dumps, separators=(",", ":"), allow_nan=False)
    try:
        text = written(value, default=_plain)
    except Exception:  # what JSON lacks, cycles, and what a payload's own code raises
        text = None
    if text is None or len(text) > _SMALL:
        return written(jsonable(value))
    return text


def _plain(value: object) -> "Any":
    if isinstance(value, (set, frozenset)):
        return list(value)
    return _text.safe_repr(value, limit=TEXT_LIMIT)


class _Budget:
    """
    How many more values may be written, and how long a string.
    """

    __slots__ = ("left", "text")

    def __init__(self, left: int, text: int) -> None:
        self.left = left
        self.text = text


def _jsonable(value: object, budget: _Budget, depth: int) -> "Any":
    budget.left -= 1
    kind = type(value)
    if value is None or kind is bool:
        return value
    if kind is int:
        is_long = value.bit_length() >= _INT_BITS  # type: ignore[attr-defined]
        return _text.safe_repr(value) if is_long else value
    if kind is str:
        return _text.cut(value, budget.text)  # type: ignore[arg-type]
    if kind is float:
        return value if value - value == 0 else repr(value)  # type: ignore[operator]
    if isinstance(value, (dict, list, tuple, set, frozenset)):
        if depth <= 0:
            return f"<{kind.__name__} nested too deep>"
        return _container(value, budget, depth - 1)
    for plain in _PLAIN:  # subclasses: enum members, numpy's floats
        if isinstance(value, plain):
            return _jsonable(_PLAIN[plain](value), budget, depth)
    return _text.safe_repr(value, limit=budget.text)


def _container(value: "Any", budget: _Budget, depth: int) -> "Any":
    try:
        items = list(value.items() if isinstance(value, dict) else value)
    except Exception:
        return _text.safe_repr(value)
    room = max(budget.left, 0)
    cut = len(items) - room
    if isinstance(value, dict):
        whole = {
            _key(key): _jsonable(item, budget, depth) for key, item in items[:room]
        }
        return whole if cut <= 0 else {**whole, "…": f"{cut} more entries"}
    listed = [_jsonable(item, budget, depth) for item in items[:room]]
    return listed if cut <= 0 else [*listed, f"… {cut} more items"]


def _key(key: object) -> str:
    if isinstance(key, str):
        return str.__str__(key)
    if key is None or isinstance(key, bool):
        return _KEYS[key]
    return _text.safe_repr(key)
