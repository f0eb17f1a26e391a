"""
To which scope of this process what comes from another belongs: by an id that went along.

Nothing is kept alive by it: who hears is found as long as the block or run is there.
"""

import os
import weakref
from functools import partial

from instrument._audience.plan import NOBODY, View
from instrument._forks import fork_lock, in_child
from instrument._state import Frame

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_GROUND = View(NOBODY, None)
"""Outside every block: process-wide handlers hear."""
_ID = "_relay_id"
_frames: "dict[str, weakref.ref[Any]]" = {}
_lock = fork_lock()


def kept(state: "Any") -> str:
    """
    Give the id under which *state* is found; no other process can guess it.
    """
    frame = state if isinstance(state, Frame) else _GROUND
    if type(frame) is View and frame.run is not None:
        frame = frame.run  # the view may have been made for this call alone
    with _lock:
        id: str | None = frame.__dict__.get(_ID)
        if id is None or id not in _frames:
            id = frame.__dict__[_ID] = os.urandom(16).hex()
            _frames[id] = weakref.ref(frame, partial(_frames.pop, id))
    return id


def found(id: object) -> "Any":
    """
    Find the frame of that *id*; None where it has gone, or is another process's.
    """
    known = _frames.get(id) if type(id) is str else None
    return None if known is None else known()


in_child(_frames.clear)
