"""
What stands in a worker for the run that called it, which is in another process.
"""

from copy import copy
from uuid import UUID

from instrument._audience.plan import NOBODY
from instrument._runs.opening import Recipe
from instrument._runs.run import Run, begun

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from instrument._audience.sampling import Incoming

_DEEPEST = 1_000_000
_CALLER = Recipe("caller", "chain")


def run_above(carrier: "dict[str, Any]", incoming: "Incoming | None") -> Run | None:
    """
    Make the run whose children are those below `attach`; None where none has come.

    Nobody hears of it here. It holds no scope, as a scope holds it.
    """
    id, trace = carrier.get("run"), carrier.get("trace")
    if not (type(id) is str and type(trace) is list and len(trace) == 2):  # noqa: PLR2004
        return None
    root_id, depth = trace
    if type(root_id) is not str or type(depth) is not int or not 0 <= depth < _DEEPEST:
        return None
    try:
        ids = UUID(root_id), UUID(id)
    except ValueError:
        return None
    audience = copy(NOBODY.settle())
    audience.incoming, audience.listeners = incoming, ()
    root, run = (begun(Run(), _CALLER, None, NOBODY, audience, None, it) for it in ids)
    run.depth = depth
    if root.id == run.id:
        return run
    run._root = root
    return run
