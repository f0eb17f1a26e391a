"""
A twin of somebody's object: the same state under a class that hears some of its calls.

The class is made from the object's own, with its name, so that `isinstance` holds and
whatever the SDK calls on ``self`` is heard, too. The object itself is not touched.
"""

from functools import cached_property

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_MOST = 500
_classes: "dict[tuple[type, Any], type]" = {}


class Twin:
    """
    What marks the class of a twin.
    """

    _instrument_hears = True

    def __del__(self) -> None:
        """
        Close nothing: the connections are the other's, which is kept as long as this.
        """
        if "_instrument_twin_of" not in self.__dict__ and hasattr(super(), "__del__"):
            super().__del__()  # type: ignore[misc]  # a copy, which has its own


def twin_of(other: "Any", mixin: type, *, is_live: bool = False) -> "Any":
    """
    Make a twin of *other*, whose class is *mixin* over the class of *other*.

    What *other* has cached of its own parts is left behind: it would lead back.

    Args:
        is_live: Share the state itself, from now on, instead of a copy of it.
    """
    cls = type(other)
    made: Any = object.__new__(class_over(cls, mixin))
    if is_live:
        # a dict that no object has made: Python 3.13 clears what is in one of its objects
        # when that goes, whoever else has the dict
        made.__dict__ = other.__dict__ = dict(vars(other))
        return made
    made.__dict__.update(
        (name, value)
        for name, value in vars(other).items()
        if not isinstance(getattr(cls, name, None), cached_property)
    )
    made.__dict__["_instrument_twin_of"] = other
    return made


def class_over(cls: type, over: "Any") -> "Any":
    """
    Give a class over *cls*, which looks like it.

    Args:
        over: A mixin, or a function that makes such a class: an object of *cls* can
            become one of a class that has no other base.
    """
    key = cls, over
    made = _classes.get(key)
    if made is None:
        made = type("Heard", (over, cls), {}) if isinstance(over, type) else over(cls)
        for name in ("__name__", "__qualname__", "__module__", "__doc__"):
            setattr(made, name, getattr(cls, name))
        if len(_classes) < _MOST:
            _classes[key] = made
    return made
