"""
The trees that are shown, as runs start and end: what is kept of each run, and how much.

A tree is a run whose parent is not open here, and all below it. It is done when nothing
in it runs any longer.
"""

from collections import Counter, deque
from typing import NamedTuple
from weakref import WeakSet

from instrument._payloads.event import Usage
from instrument.handlers._shared.open_runs import Totals, other_model

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

KEPT = 2_000
"""How many runs of one tree are kept; of more, those that ended first are counted."""

_KINDS = 50
"""How many kinds and statuses are told apart of those that are counted."""
_NO_USAGE = Usage()
_SAID = 500


class Started(NamedTuple):
    """
    What is told of a run that starts; all texts but the model can be printed.

    Attributes:
        hex: By what its request is told.
        model: The model it was asked for.
        given: What went in.
        started_ns: When, by the clock of durations.
    """

    kind: str
    name: str
    hex: str
    is_model: bool
    model: str
    given: str
    started_ns: int


class Ended(NamedTuple):
    """
    What is told of how a run has ended; all texts but the model can be printed.

    Attributes:
        model: The model that has answered.
        came: What came out.
        error: The type of what it failed with, and the lines of its message.
        error_id: By what it is known again.
        is_origin: Whether it was raised here.
    """

    status: str
    ended_ns: int
    model: str = ""
    usage: Usage = _NO_USAGE
    cost_usd: float | None = None
    came: str = ""
    error: "tuple[str, list[str]] | None" = None
    error_id: int = 0
    is_origin: bool = False


class Node:
    """
    What is kept of one run.

    Attributes:
        began: What was told as it started.
        end: What was told as it ended, None while it runs.
        children: Those kept of the runs it called, in the order in which they started.
        more: The runs below it that are counted only, by kind and status.
        spent: What these have consumed.
        tokens: How many pieces of an answer were heard.
        channel: Of which channel the last one was.
        said: The newest of them.
        retried: Which attempt was the last, if it was not the first.
        told: The last event of the application's own, while it runs.
        passed: Where what it failed with came from, if not from here.
    """

    __slots__ = (
        "began",
        "channel",
        "children",
        "end",
        "first_ns",
        "id",
        "last_ns",
        "more",
        "parent",
        "passed",
        "retried",
        "said",
        "spent",
        "tokens",
        "told",
        "tree",
    )

    def __init__(
        self, tree: "Tree", parent: "Node | None", id: "UUID", began: Started
    ) -> None:
        self.tree = tree
        self.parent = parent
        self.id = id
        self.began = began
        self.end: Ended | None = None
        self.children: dict[UUID, Node] = {}
        self.more: Counter[tuple[str, str]] = Counter()
        self.spent: Totals | None = None
        self.tokens = self.first_ns = self.last_ns = 0
        self.channel = self.said = self.told = self.retried = self.passed = ""

    @property
    def model(self) -> str:
        """
        The model that is said beside the name, if it is another: what answered, if
        that is not what was asked.
        """
        asked, name = self.began.model, self.began.name
        answered = "" if self.end is None else self.end.model
        if asked and answered:
            answered = other_model(answered, asked)
        return answered or other_model(asked, name)

    @property
    def status(self) -> str:
        """
        How it ended: ``ok`` and so on; ``running`` while it runs.
        """
        return "running" if self.end is None else self.end.status


class Tree:
    """
    A run and all below it.

    Attributes:
        payload: The cells that what went in and came out may take.
        is_odd: Whether it is every second of those that run together.
        ended: The nodes that have ended, first come first.
        running: How many run.
        runs, failed: How many there were, and how many an exception came from.
        totals: What the models consumed, as far as it is known.
        origins: Where an exception came from, by its id.
    """

    top: Node

    def __init__(self, payload: int, *, is_odd: bool) -> None:
        self.payload = payload
        self.is_odd = is_odd
        self.ended: deque[Node] = deque()
        self.kept = self.running = self.runs = self.failed = 0
        self.totals = Totals()
        self.origins: dict[int, str] = {}


class Trees:
    """
    The trees of one display.

    Attributes:
        running: Those in which something runs, in order.
        done: Those that are done and not shown yet.
    """

    def __init__(self) -> None:
        self.running: dict[Tree, None] = {}
        self.done: list[Tree] = []
        self._count = 0
        self._forests: WeakSet[Forest] = WeakSet()

    def plant(self, payload: int) -> "Forest":
        """
        Give a forest whose trees are shown here, for one handler.
        """
        forest = Forest(self, payload)
        self._forests.add(forest)
        return forest

    def made(self, payload: int) -> Tree:
        """
        Make one more tree; it is shown once it has a top.
        """
        self._count = self._count + 1 if self.running else 0
        return Tree(payload, is_odd=self._count % 2 == 1)

    def clear(self) -> None:
        """
        Forget them all.
        """
        self.running.clear()
        self.done.clear()
        for forest in list(self._forests):
            forest.clear()


class Forest:
    """
    The runs that one handler hears, as they become trees. Not for threads at once.

    Args:
        trees: Where they are shown.
        payload: The cells that what went in and came out may take.
    """

    def __init__(self, trees: Trees, payload: int) -> None:
        self._trees = trees
        self._payload = payload
        self._nodes: dict[UUID, Node] = {}

    def clear(self) -> None:
        """
        Forget all runs.
        """
        self._nodes.clear()

    def start(
        self, id: "UUID", parent_id: "UUID | None", root_id: "UUID", began: Started
    ) -> None:
        """
        Put a run under its parent; under the root where the parent is not kept.
        """
        nodes = self._nodes
        if id in nodes:  # heard twice, through two wrappers
            return
        parent = nodes.get(parent_id or id) or nodes.get(root_id)
        tree = self._trees.made(self._payload) if parent is None else parent.tree
        node = Node(tree, parent, id, began)
        if parent is None:
            tree.top = node
        else:
            parent.children[id] = node
        nodes[id] = node  # nothing is called from here on
        if parent is None:
            self._trees.running[tree] = None
        tree.kept += 1
        tree.running += 1
        tree.runs += 1
        if tree.kept > KEPT:
            self._fold(tree)

    def token(
        self,
        id: "UUID",
        first_ns: int,
        last_ns: int,
        text: str,
        channel: str,
        pieces: int = 1,
    ) -> None:
        """
        Count pieces of an answer, and keep the newest words.
        """
        node = self._nodes.get(id)
        if node is not None:
            node.first_ns, node.last_ns = first_ns, last_ns
            node.tokens += pieces
            said = text if channel != node.channel else node.said + text
            node.channel, node.said = channel, said[-_SAID:]

    def retry(self, id: "UUID", attempt: str) -> None:
        """
        Note that a run tries again.
        """
        node = self._nodes.get(id)
        if node is not None:
            node.retried = f"retry {attempt}"

    def tell(self, id: "UUID", told: str) -> None:
        """
        Note an event of the application's own.
        """
        node = self._nodes.get(id)
        if node is not None:
            node.told = told

    def end(self, id: "UUID", end: Ended) -> None:
        """
        Note how a run has ended; its tree is done when it was the last one in it.
        """
        node = self._nodes.get(id)
        if node is None:
            return
        tree = node.tree
        if node.end is None:
            if not end.is_origin and end.error is not None:
                node.passed = tree.origins.get(end.error_id, "within")
            if end.is_origin and len(tree.origins) >= KEPT:
                tree.origins.pop(next(iter(tree.origins)))
            if node.began.is_model:
                tree.totals.add(end.usage, end.cost_usd)
            # nothing is called from here on: an interrupt leaves no half of it
            if end.is_origin:
                tree.failed += 1
                tree.origins[end.error_id] = f"{node.began.kind} {node.began.name}"
            node.end, node.said, node.told = end, "", ""
            tree.ended += (node,)
            tree.running -= 1
        if not tree.running:
            self._finish(tree)

    def _finish(self, tree: Tree) -> None:
        if tree in self._trees.running:  # it is shown still
            self._trees.done += [tree]
            del self._trees.running[tree]
        for node in tree.ended:
            self._nodes.pop(node.id, None)

    def _fold(self, tree: Tree) -> None:
        """
        Count the run that ended first, and keep it no longer.

        One below which something is kept still waits for that: it is put last. Two are
        looked at for each run that starts, so that the waiting ones are got through.
        """
        for _ in range(min(2, len(tree.ended))):
            node = tree.ended.popleft()
            if node.children or node.parent is None:
                tree.ended.append(node)
                continue
            del self._nodes[node.id]
            del node.parent.children[node.id]
            _count(node.parent, node)
            tree.kept -= 1
            return


def counted(nodes: "list[Node]") -> "Counter[tuple[str, str]]":
    """
    Count nodes, and those counted below them, by kind and status.
    """
    found: Counter[tuple[str, str]] = Counter()
    for node in nodes:
        add_counts(found, node.more)
        add_counts(found, {(node.began.kind, node.status): 1})
    return found


def add_counts(
    known: "Counter[tuple[str, str]]", more: "Mapping[tuple[str, str], int]"
) -> None:
    """
    Add counts to those that are known; there are not too many kinds of them.
    """
    for (kind, status), times in more.items():
        is_told = (kind, status) in known or len(known) < _KINDS
        known[(kind if is_told else "(other)"), status] += times


def spent_by(nodes: "list[Node]") -> Totals:
    """
    Add up what nodes consumed, and those counted below them.
    """
    totals = Totals()
    for node in nodes:
        if node.spent is not None:
            totals.merge(node.spent)
        if node.began.is_model and node.end is not None:
            totals.add(node.end.usage, node.end.cost_usd)
    return totals


def _count(parent: Node, node: Node) -> None:
    """
    Have a node that is kept no longer be counted by its parent.
    """
    add_counts(parent.more, counted([node]))
    if parent.spent is None:
        parent.spent = Totals()
    parent.spent.merge(spent_by([node]))
