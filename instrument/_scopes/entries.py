"""
What one object has open, and which of that is left when it is left somewhere.
"""

from sys import _getframe

from instrument._forks import fork_lock
from instrument._state import chain, get_state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType, FrameType
    from typing import Any, Protocol

    Place = tuple[int, CodeType] | tuple[()]

    class Owner(Protocol):
        """
        What may be entered many times at once.

        Attributes:
            _open: Its open scopes or runs, each under itself.
            _places: The same by where they were entered, in order; None until one is
                left from elsewhere than where it was entered, which few ever are.
        """

        _open: dict[Any, Any]
        _places: dict[Place, dict[int, Any]] | None


_OWN = (__name__, "instrument._scopes.scope", "instrument._traced.block")
"""Modules whose frames stand between a ``with`` statement and its object."""

_LOCK = fork_lock()
"""Held to look at the places of an owner, and to change them."""


def note(owner: "Owner", entry: "Any") -> None:
    """
    Add *entry*, which is open, to the places of *owner*, if it has any.
    """
    place = entry._entered_from
    with _LOCK:
        if owner._places is not None and place and entry in owner._open:
            owner._places.setdefault(place, {})[id(entry)] = entry


def forget(owner: "Owner", entry: "Any") -> None:
    """
    Take *entry*, which is no longer open, from the places of *owner*.
    """
    place = entry._entered_from
    with _LOCK:
        places = owner._places or {}
        known = places.get(place, {})
        known.pop(id(entry), None)
        if not known:
            places.pop(place, None)
        if not owner._open:
            owner._places = None


def _entered_at(owner: "Owner", place: "Place") -> "Any":
    """
    Give the last that was entered there and is still open, or None.
    """
    with _LOCK:
        if owner._places is None:
            owner._places = {}
            for entry in list(owner._open.values()):
                note(owner, entry)
        return next(reversed(owner._places.get(place, {}).values()), None)


def entered_from(depth: int = 2) -> "Place":
    """
    Tell from where the caller's caller, or one further up, enters an object.
    """
    try:
        frame = _getframe(depth)
    except ValueError:  # called by the interpreter itself
        return ()
    return id(frame), frame.f_code


def leaving(owner: "Owner") -> "Any":
    """
    Choose which of several entries of *owner* is left now.

    Returns:
        The one entered from where it is left, else the innermost of this Context; as
        it stands in this Context's chain, if it does.
    """
    caller = _caller()
    left = id(caller), caller.f_code
    here = (frame for frame in chain(get_state()) if frame._owner is owner)
    innermost = next(here, None)
    if innermost is not None and innermost._entered_from == left:
        return innermost
    known = _entered_at(owner, left)
    if known is None:  # as from a function that enters and leaves for others
        return innermost
    return next((frame for frame in here if frame._entered_from == left), known)


def _caller() -> "FrameType":
    frame = _getframe(1)
    while frame.f_globals.get("__name__") in _OWN and frame.f_back is not None:
        frame = frame.f_back
    return frame
