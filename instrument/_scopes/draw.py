"""
What a block draws that hears a share of requests: ``callbacks(handler, sample=0.1)``.
"""

from instrument import _ids
from instrument._audience.sampling import drawn
from instrument._runs.opening import framework_run

TYPE_CHECKING = False
if TYPE_CHECKING:
    from instrument._audience.plan import Plan
    from instrument._scopes.opened import Scope


def number_of_request(scope: "Scope") -> float:
    """
    Draw for the outermost block around *scope*, once: inner ones compare with the same.

    It is that which has come in from another process, or that of the trace where a run
    is open there, else as good as random.
    """
    outermost = scope
    link: Plan | None = scope
    while link is not None:
        if link.layer is not None and link.layer.rank == "block":
            outermost = link.layer  # type: ignore[assignment]
            if outermost.incoming is not None:
                break
        link = link.outer
    if outermost.number is None:
        run = outermost.run or framework_run()
        fresh = _ids.trace_hex_of(_ids.mint(_ids.wall_ns()))
        trace_hex = fresh if run is None else run.trace_hex
        # of two threads that come at once, one draws
        outermost.__dict__.setdefault("number", drawn(trace_hex))
    return outermost.number  # type: ignore[return-value]
