"""
What is known of handlers by their class, for as long as there is that class: one made for
a request goes with it, and with what its methods hold.
"""

import weakref
from functools import partial

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeVar

    T = TypeVar("T")

_MOST = 512
_classes: "dict[int, weakref.ref[type]]" = {}
_known: "list[dict[int, object]]" = []


def by_class() -> "dict[int, T]":
    """
    Make what is found by the id of a class, and put there by `keep`; no hash is asked of
    a metaclass. It must not hold the class.
    """
    made: dict[int, T] = {}
    _known.append(made)  # type: ignore[arg-type]
    return made


def keep(known: "dict[int, T]", cls: type, value: "T") -> None:
    """
    Put *value* into *known* for *cls*; where there are too many, the others go.
    """
    key = id(cls)
    if key not in _classes:  # before the value: the id is another's once it has gone
        _classes[key] = weakref.ref(cls, partial(_forget, key))
    if len(known) >= _MOST and key not in known:
        known.clear()
    known[key] = value


def _forget(key: int, gone: "weakref.ref[type]") -> None:
    if _classes.get(key) is gone:
        for known in _known:
            known.pop(key, None)
        _classes.pop(key, None)
