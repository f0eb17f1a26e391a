"""
Which of its open entries an object leaves that is entered in several Contexts at once.

A ``with`` statement does not say, but it leaves from the Python frame from which it
entered. A frame's id may be another's by then, so its code counts as well.
"""

from sys import _getframe

from instrument._state import chain, get_state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import CodeType, FrameType

    from instrument._state import Frame

_OWN = (
    "instrument._scopes.entries",
    "instrument._scopes.scope",
    "instrument._traced.block",
)


def place(depth: int = 2) -> "tuple[int, CodeType] | tuple[()]":
    """
    Tell from where the caller's caller, or one further up, enters an object.
    """
    try:
        frame = _getframe(depth)
    except ValueError:  # called by the interpreter itself
        return ()
    return id(frame), frame.f_code


def leaving(owner: object, entries: "Mapping[int, Frame]") -> "Frame | None":
    """
    Choose which of several *entries* of *owner* is left now.

    Returns:
        The one entered from where it is left, else the innermost of this Context; as
        it stands in this Context's chain, if it does.
    """
    frames = [frame for frame in chain(get_state()) if frame._owner is owner]
    here = {id(frame.__dict__.get("_original") or frame): frame for frame in frames}
    caller = _caller()
    left = id(caller), caller.f_code
    for entry in [*here.values(), *reversed(list(entries.values()))]:
        if entry._place == left:
            return here.get(id(entry), entry)
    return frames[0] if frames else None


def _caller() -> "FrameType":
    frame = _getframe(1)
    while frame.f_globals.get("__name__") in _OWN and frame.f_back is not None:
        frame = frame.f_back
    return frame
