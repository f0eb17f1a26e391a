"""
Which runs of a tree get a row of their own, when there is not room for all.

What is done is folded first, the oldest first: whole subtrees to one row each, then
siblings to a row that counts them. Rows of what still runs are left out last of all.
"""

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

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
        left_out: What is left out.
    """

    guide: str
    node: "Node | None"
    runs: int = 1
    left_out: str = ""


class _Part:
    """
    A node and what is below it, as it is shown.

    Attributes:
        rows: How many rows it takes.
        runs, running: How many runs it is, and how many of them run.
        more: Those counted in a row below *node*, by status.
    """

    rows: int
    runs: int
    running: int

    def __init__(self, node: "Node", below: "list[_Part]") -> None:
        self.node = node
        self.more = node.more
        self.is_closed = self.is_hidden = False
        self.rows = 1 + bool(node.more) + sum(part.rows for part in below)
        self.runs = 1 + node.more.total() + sum(part.runs for part in below)
        self.running = (node.ended_ns is None) + sum(part.running for part in below)


class Fold:
    """
    One tree, folded as far as there is need.
    """

    def __init__(self, tree: "Tree") -> None:
        self._tree = tree
        self._parts: dict[Node, _Part] = {}
        for node in reversed(_all(tree.top)):
            below = [self._parts[child] for child in node.children.values()]
            self._parts[node] = _Part(node, below)
        self._top = self._parts[tree.top]

    @property
    def height(self) -> int:
        """
        How many rows it takes as it is.
        """
        return self._top.rows

    def rows(self, height: int | None = None) -> list[Row]:
        """
        Give its rows, at most *height* of them but always the first.
        """
        if height is None:
            return list(self._rows())
        height = max(1, height)
        for fold in (self._close, self._hide):
            for node in self._tree.ended:
                if self.height <= height:
                    break
                if not self._parts[node].running and self._is_shown(node):
                    fold(self._parts[node])
        rows = list(self._rows())
        if len(rows) <= height or height < _LEAST:
            return rows[:height]
        newest = rows[2 - height :]
        left_out = f"{len(rows) - len(newest) - 1:,} rows"
        return [rows[0], Row(GAP, None, left_out=left_out), *newest]

    def _close(self, part: _Part) -> None:
        """
        Leave one row of a part.
        """
        if part.rows == 1:
            return
        part.is_closed = True
        self._shrink(part, part.rows - 1)

    def _hide(self, part: _Part) -> None:
        """
        Count a part in a row of its parent.
        """
        above = self._parts[part.node.parent]  # type: ignore[index]
        self._shrink(part, part.rows if above.more else part.rows - 1)
        part.is_hidden = True
        above.more = above.more + _statuses(part.node)

    def _shrink(self, part: _Part, rows: int) -> None:
        part.rows -= rows
        for node in _above(part.node):
            self._parts[node].rows -= rows

    def _is_shown(self, node: "Node") -> bool:
        return not any(self._parts[above].is_closed for above in _above(node))

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
            yield row
            stem = row.guide.replace(BRANCH, BAR).replace(LAST, GAP)
            guide = LAST
            for below in reversed(list(self._below(part))):
                waiting.append(below._replace(guide=stem + guide))
                guide = BRANCH

    def _below(self, part: _Part) -> "Iterator[Row]":
        if part.more:
            each = ", ".join(
                f"{n:,} {status}" for status, n in sorted(part.more.items())
            )
            yield Row("", None, left_out=f"{part.more.total():,} more: {each}")
        for child in part.node.children.values():
            if not self._parts[child].is_hidden:
                yield Row("", child)


def _all(top: "Node") -> "list[Node]":
    """
    List a node and all below it, each after its parent.
    """
    nodes = [top]
    for node in nodes:
        nodes.extend(node.children.values())
    return nodes


def _above(node: "Node") -> "Iterator[Node]":
    above = node.parent
    while above is not None:
        yield above
        above = above.parent


def _statuses(top: "Node") -> "Counter[str]":
    statuses: Counter[str] = Counter()
    for node in _all(top):
        statuses += node.more
        statuses[node.status] += 1
    return statuses
