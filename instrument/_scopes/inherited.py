"""
What a forked child has of the blocks that were open in its parent: copies, which are of the
request that was in hand there, and of none whose work comes to the child later.
"""

from instrument._delivery.loops import FORKS
from instrument._state import Frame

TYPE_CHECKING = False
if TYPE_CHECKING:
    from instrument._audience.plan import Layer, Plan


def own(plan: "Plan") -> "Plan":
    """
    Give *plan* less what was open when this process was forked off.
    """
    layers: list[Layer] = []
    link: Plan | None = FORKS.state._plan if isinstance(FORKS.state, Frame) else None
    while link is not None:
        if link.layer is not None:
            layers.append(link.layer)
        link = link.outer
    return plan.without(tuple(layers), {}) if layers else plan
