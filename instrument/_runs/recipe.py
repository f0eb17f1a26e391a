"""
What the runs of one function, or of one block, have in common.
"""

from instrument._payloads.kinds import kind_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from instrument._payloads.kinds import Kind


class Recipe:
    """
    A name, a kind, and what goes with them.

    Attributes:
        tells: What runs of this kind tell.
        facts: Attributes that each run begins with.
        outputs: What makes the recorded outputs of the result; False for nothing.
    """

    __slots__ = ("facts", "kind", "name", "outputs", "tells")

    def __init__(
        self,
        name: str,
        kind: str,
        facts: "dict[str, Any] | None" = None,
        outputs: "Any" = None,
        tells: "Kind | None" = None,
    ) -> None:
        self.name = name
        self.kind = kind
        self.tells = tells or kind_of(kind)
        self.facts = facts
        self.outputs = outputs
