"""
Which runs of a tree get a row of their own, when there is not room for all.

What ended well is folded first, the oldest first: whole subtrees to one row each, then
siblings to a row that counts them. What failed comes after that, and rows of what still
runs are left out last of all.
"""

from collections import Counter
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from instrument.handlers._tree.forest import add_counts, counted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from instrument.handlers._tree.forest import Node, Tree

BRANCH, LAST, BAR, GAP = "├─ ", "└─ ", "│  ", "   "
_LEAST = 3  # a top, what is left out, and a newest row


class Row(NamedTuple):
    """
    One row of a tree.

    Attributes:
        guide: The lines that lead to it from the left.
        node: The run; None in a row that tells what is left out.
        runs: How many runs are folded into it, itself included.
        more: The runs that it counts, by kind and status.
        rows: How many rows are left out in it.
        is_whole: Whether there is room below it for what it failed with.
        has_below: Whether rows of runs come below it.
    """

    guide: str
    node: "Node | None"
    runs: int = 1
    more: "Counter[tuple[str, str]] | None" = None
    rows: int = 0
    is_whole: bool = True
    has_below: bool = False


class _Part:
    """
    A node and what is below it, as it is shown.

    Attributes:
        rows: How many rows it takes.
        runs, running, bad: How many runs it is, how many of them run, and how many have
            not ended well.
        more: Those counted in a row below *node*.
    """

    rows: int
    runs: int
    running: int
    bad: int

    def __init__(self, node: "Node", below: "list[_Part]") -> None:
        self.node = node
        self.more = node.more
        self.is_closed = self.is_hidden = False
        self.rows = 1 + bool(node.more) + sum(part.rows for part in below)
        self.runs = 1 + node.more.total() + sum(part.runs for part in below)
        self.running = (node.end is None) + sum(part.running for part in below)
        self.bad = (node.status != "ok") + sum(part.bad for part in below)
        for (_, status), times in node.more.items():
            self.bad += times * (status != "ok")

    def may_fold(self, *, may_be_bad: bool) -> bool:
        """
        Tell whether it has ended, well or also not.
        """
        return not self.running and (may_be_bad or not self.bad)


class Fold:
    """
    One tree, folded as far as there is need.

    Args:
        extra: Tells how many rows a node needs below its own, at a depth.
    """

    def __init__(
        self, tree: "Tree", extra: "Callable[[Node, int], int] | None" = None
    ) -> None:
        self._tree = tree
        self._parts: dict[Node, _Part] = {}
        self._extra = 0
        for node, depth in reversed(_all(tree.top)):
            below = [self._parts[child] for child in node.children.values()]
            self._parts[node] = _Part(node, below)
            if extra is not None:
                self._extra += extra(node, depth)
        self._top = self._parts[tree.top]

    @property
    def height(self) -> int:
        """
        How many rows it takes as it is.
        """
        return self._top.rows + self._extra

    def rows(self, height: int | None = None) -> list[Row]:
        """
        Give its rows, at most *height* of them but always the first.
        """
        if height is None or self.height <= height:
            return list(self._rows())
        self._extra = 0
        height = max(1, height)
        for may_be_bad in (False, True):
            for fold in (self._close, self._hide):
                self._each(fold, height, may_be_bad=may_be_bad)
        rows = [row._replace(is_whole=False) for row in self._rows()]
        if len(rows) <= height or height < _LEAST:
            return rows[:height]
        newest = rows[2 - height :]
        left_out = len(rows) - len(newest) - 1
        return [rows[0], Row(GAP, None, rows=left_out), *newest]

    def _each(
        self, fold: "Callable[..., None]", height: int, *, may_be_bad: bool
    ) -> None:
        """
        Fold what has ended, well or also not, the oldest first, until there is room.
        """
        for node in self._tree.ended:
            if self._top.rows <= height:
                return
            part = self._parts[node]
            if part.may_fold(may_be_bad=may_be_bad) and self._is_shown(node):
                fold(part, may_be_bad=may_be_bad)

    def _close(self, part: _Part, *, may_be_bad: bool) -> None:
        """
        Leave one row of a part.
        """
        if part.rows == 1:
            return
        part.is_closed = True
        self._shrink(part, part.rows - 1)

    def _hide(self, part: _Part, *, may_be_bad: bool) -> None:
        """
        Count a part in a row of its parent; alone it would take as much room there.
        """
        above = self._parts[part.node.parent]  # type: ignore[index]
        if not above.more:
            beside = (self._parts[it] for it in above.node.children.values())
            folding = (it for it in beside if it.may_fold(may_be_bad=may_be_bad))
            if len(list(islice(folding, 2))) == 1:
                return
        self._shrink(part, part.rows if above.more else part.rows - 1)
        part.is_hidden = True
        more = above.more.copy()
        add_counts(more, counted([node for node, _ in _all(part.node)]))
        above.more = more

    def _shrink(self, part: _Part, rows: int) -> None:
        part.rows -= rows
        for node in _above(part.node):
            self._parts[node].rows -= rows

    def _is_shown(self, node: "Node") -> bool:
        """
        Tell whether it has a row of its own, not counted or folded into another one.
        """
        if self._parts[node].is_hidden:
            return False
        above = [self._parts[above] for above in _above(node)]
        return not any(part.is_closed or part.is_hidden for part in above)

    def _rows(self) -> "Iterator[Row]":
        waiting = [Row("", self._tree.top)]
        while waiting:
            row = waiting.pop()
            if row.node is None:
                yield row
                continue
            part = self._parts[row.node]
            if part.is_closed:
                yield row._replace(runs=part.runs)
                continue
            below = list(self._below(part))
            yield row._replace(has_below=bool(below))
            stem = row.guide.replace(BRANCH, BAR).replace(LAST, GAP)
            guide = LAST
            for each in reversed(below):
                waiting.append(each._replace(guide=stem + guide))
                guide = BRANCH

    def _below(self, part: _Part) -> "Iterator[Row]":
        if part.more:
            yield Row("", None, more=part.more)
        for child in part.node.children.values():
            if not self._parts[child].is_hidden:
                yield Row("", child)


def all_below(top: "Node") -> "list[Node]":
    """
    List a node and all below it, each after its parent.
    """
    return [node for node, _ in _all(top)]


def _all(top: "Node") -> "list[tuple[Node, int]]":
    nodes = [(top, 0)]
    for node, depth in nodes:
        nodes.extend((child, depth + 1) for child in node.children.values())
    return nodes


def _above(node: "Node") -> "Iterator[Node]":
    above = node.parent
    while above is not None:
        yield above
        above = above.parent
