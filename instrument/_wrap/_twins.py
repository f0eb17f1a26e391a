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
_classes: "dict[tuple[type, type], type]" = {}


class Twin:
    """
    What marks the class of a twin.
    """

    def __del__(self) -> None:
        """
        Close nothing: the connections are the other's, which is kept as long as this.
        """
        if "_instrument_twin_of" not in self.__dict__ and hasattr(super(), "__del__"):
            super().__del__()  # a copy, which has its own


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
        made.__dict__ = vars(other)
        return made
    made.__dict__.update(
        (name, value)
        for name, value in vars(other).items()
        if not isinstance(getattr(cls, name, None), cached_property)
    )
    made.__dict__["_instrument_twin_of"] = other
    return made


def class_over(cls: type, mixin: type) -> "Any":
    """
    Give the class *mixin* over *cls*, which looks like *cls*.
    """
    key = cls, mixin
    made = _classes.get(key)
    if made is None:
        names = {
            "__module__": cls.__module__,
            "__qualname__": cls.__qualname__,
            "__doc__": cls.__doc__,
        }
        made = type(cls.__name__, (mixin, cls), names)
        if len(_classes) < _MOST:
            _classes[key] = made
    return made
