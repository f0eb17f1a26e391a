"""
A worker that ends: what its handlers have not sent yet, they send.
"""

import sys

from instrument._forks import in_child

TYPE_CHECKING = False
if TYPE_CHECKING:
    from instrument._audience.plan import Plan

WAIT_S = 5.0
"""How long each handler may take."""
_known: "set[object]" = set()


def drain_at_exit(plan: "Plan") -> None:
    """
    Have those who hear in *plan*, and have a sender of their own, be drained when this
    worker of multiprocessing ends: a forked one leaves without the interpreter's exit.
    """
    process = sys.modules.get("multiprocessing.process")
    if getattr(process, "parent_process", lambda: None)() is None:
        return
    from multiprocessing.util import Finalize

    for listener, _ in plan.settle().listeners:
        drain = listener.attribute("drain")
        if callable(drain) and listener.key not in _known:
            _known.add(listener.key)
            Finalize(None, drain, kwargs={"timeout_s": WAIT_S}, exitpriority=0)


in_child(_known.clear)
