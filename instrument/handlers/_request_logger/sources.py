"""
Where a record comes from: the function that the application has decorated.
"""

from instrument._report import Source
from instrument._text import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from instrument._runs.run import Run

_LONGEST = 100  # characters of a kind


def source_of(run: "Run") -> Source:
    """
    Give where the function of *run* stands, of a framework's run that of the nearest
    one above; else ``instrument:<kind>:0``.
    """
    above: Run | None = run
    while above is not None:
        source = above._recipe.source
        if type(source) is Source:  # most have no function
            return source
        above = above._parent
    return Source("instrument", printable(run.kind[:_LONGEST]), 0, "instrument")
