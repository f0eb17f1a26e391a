"""
Test what your chains do: a `Recorder` to look at afterwards, predictable ids and clock.

The pytest fixture ``recorder`` comes with the package; this module needs no pytest.
"""

from contextlib import contextmanager
from itertools import count
from uuid import UUID

import instrument  # noqa: F401 - whole first, though another thread is importing it
from instrument import _ids
from instrument._audience.handler import BaseCallbackHandler
from instrument._text import cut, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from instrument._payloads.event import Event
    from instrument._runs.run import Run

__all__ = ["Recorder", "predictable"]

_YEAR_2026_NS = 1_767_225_600_000_000_000
_STEP_NS = 1_000_000
_LONGEST = 1_000  # characters of a name, or of a kind
_MOST_FRAMED = 2_000
"""Runs that are shown as a page in a notebook; of more, the tree is."""


class Recorder(BaseCallbackHandler):
    """
    A handler that keeps what it hears; in a notebook it is shown as a tree.

    Attributes:
        events: Every `Event`, in order.
        runs: Every `Run`, in the order in which they started.
    """

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.runs: list[Run] = []

    def on_event(self, event: "Event", **kwargs: "Any") -> None:
        run, is_start = event.run, event.event.endswith("_start")
        started = [run] if is_start and run is not None else []
        # no calls: an interrupt comes before these, and it is told once more, or after
        self.events += [event]
        self.runs += started

    @property
    def roots(self) -> "list[Run]":
        """
        The runs whose parent it has not heard.
        """
        known = {run.id for run in list(self.runs)}
        return [run for run in list(self.runs) if run.parent_id not in known]

    def children(self, run: "Run") -> "list[Run]":
        """
        Give the runs that *run* called, in the order in which they started.
        """
        return [child for child in list(self.runs) if child.parent_id == run.id]

    def find(self, name: str | None = None, kind: str | None = None) -> "list[Run]":
        """
        Give the runs of that name and kind, in the order in which they started.
        """
        return [
            run
            for run in list(self.runs)
            if name in (None, run.name) and kind in (None, run.kind)
        ]

    def tree(self) -> str:
        """
        Write the runs as text that is the same each time: kind, name, status.

        ``chain answer: ok``, indented by two spaces a level; a status that is not ok
        names the exception.
        """
        lines: list[str] = []
        below: dict[UUID | None, list[Run]] = {}
        for run in list(self.runs):
            below.setdefault(run.parent_id, []).append(run)
        waiting = [(run, 0) for run in reversed(self.roots)]
        while waiting:
            run, depth = waiting.pop()
            what = f"{cut(run.kind, _LONGEST)} {cut(run.name, _LONGEST)}"
            lines.append("  " * depth + printable(f"{what}: {_status(run)}"))
            waiting += [(child, depth + 1) for child in reversed(below.get(run.id, []))]
        return "\n".join(lines)

    def __repr__(self) -> str:
        heard = len(self.runs)
        told = f"{heard:,} run{'s'[: heard > 1]}" if heard else "nothing heard yet"
        return f"<{type(self).__name__}: {told}>"

    def _repr_html_(self) -> str:
        from instrument.handlers._tree.page import page_of

        tree = page_of(list(self.runs))
        if not 0 < len(self.runs) <= _MOST_FRAMED:
            return tree
        from instrument.viewer.notebook import framed

        return framed(list(self.events), tree, self.tree())

    def clear(self) -> None:
        """
        Forget what it has heard.
        """
        self.events.clear()
        self.runs.clear()


@contextmanager
def predictable() -> "Iterator[None]":
    """
    Make ids count from 1, and every look at a clock take one millisecond.

    Ids are ``00000000-0000-7000-8000-000000000001`` and so on; time begins on
    2026-01-01. For the whole process: not for tests that run at the same time.
    """
    real = _ids.mint, _ids.wall_ns, _ids.clock_ns
    numbers = count(1)
    clock = count(_YEAR_2026_NS, _STEP_NS)
    _ids.mint = lambda _: UUID(int=(0x7 << 76) | (0b10 << 62) | next(numbers))
    _ids.wall_ns = _ids.clock_ns = clock.__next__
    try:
        yield
    finally:
        _ids.mint, _ids.wall_ns, _ids.clock_ns = real


def _status(run: "Run") -> str:
    if run.error is None or run.status in ("cancelled", "abandoned"):
        return run.status
    return f"{run.status} {type(run.error).__name__}"
