"""
The trees that are shown, as runs start and end: what is kept of each run, and how much.

A tree is a run whose parent is not open here, and all below it. It is done when nothing
in it runs any longer.
"""

from collections import Counter, deque

from instrument._payloads.event import Usage
from instrument._text import cut, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from uuid import UUID

KEPT = 2_000
"""How many runs of one tree are kept; of more, those that ended first are counted."""

MODELS = ("llm", "chat_model")
_WORD = 200
_NO_USAGE = Usage()


class Node:
    """
    What is kept of one run.

    Attributes:
        children: Those kept of the runs it called, in the order in which they started.
        more: The runs below it that are counted only, by status.
        ended_ns: None while it runs.
        tokens: How many pieces of an answer were heard.
        error: The type of what it failed with and, where that came from, the message.
    """

    __slots__ = (
        "children",
        "ended_ns",
        "error",
        "first_ns",
        "id",
        "kind",
        "model",
        "more",
        "name",
        "parent",
        "started_ns",
        "status",
        "tokens",
        "tree",
        "usage",
    )

    def __init__(
        self, tree: "Tree", parent: "Node | None", id: "UUID", kind: str, name: str
    ) -> None:
        self.tree = tree
        self.parent = parent
        self.id = id
        self.kind = word(kind)
        self.name = word(name)
        self.children: dict[UUID, Node] = {}
        self.more: Counter[str] = Counter()
        self.status = "running"
        self.started_ns = 0
        self.first_ns: int | None = None
        self.ended_ns: int | None = None
        self.tokens = 0
        self.model: str | None = None
        self.usage = _NO_USAGE
        self.error = ""


class Tree:
    """
    A run and all below it.

    Attributes:
        ended: The nodes that have ended, first come first.
        running: How many run.
        runs, models: How many there were, of any kind and of models.
        usage: What the models consumed, as far as it is known.
    """

    top: Node

    def __init__(self) -> None:
        self.ended: deque[Node] = deque()
        self.kept = self.running = self.runs = self.models = 0
        self.usage = _NO_USAGE


class Forest:
    """
    The runs that one handler hears, as they become trees. Not for threads at once.

    Args:
        running: Where trees are kept in which something runs, in order.
        done: Where they are put then.
    """

    def __init__(self, running: "dict[Tree, None]", done: "list[Tree]") -> None:
        self._running = running
        self._done = done
        self._nodes: dict[UUID, Node] = {}

    def start(
        self,
        id: "UUID",
        parent_id: "UUID | None",
        root_id: "UUID",
        kind: str,
        name: str,
        started_ns: int,
    ) -> None:
        """
        Put a run under its parent; under the root where the parent is not kept.
        """
        nodes = self._nodes
        if id in nodes:  # heard twice, through two wrappers
            return
        parent = nodes.get(parent_id or id) or nodes.get(root_id)
        tree = Tree() if parent is None else parent.tree
        node = nodes[id] = Node(tree, parent, id, kind, name)
        node.started_ns = started_ns
        if parent is None:
            tree.top = node
            self._running[tree] = None
        else:
            parent.children[id] = node
        tree.kept += 1
        tree.running += 1
        tree.runs += 1
        tree.models += kind in MODELS
        if tree.kept > KEPT:
            self._fold(tree)

    def token(self, id: "UUID", first_ns: int) -> None:
        """
        Count a piece of an answer.
        """
        node = self._nodes.get(id)
        if node is not None:
            node.first_ns = first_ns
            node.tokens += 1

    def end(
        self,
        id: "UUID",
        status: str,
        ended_ns: int,
        model: str | None,
        usage: Usage,
        error: str,
    ) -> None:
        """
        Note how a run has ended; its tree is done when it was the last one in it.
        """
        node = self._nodes.get(id)
        if node is None or node.ended_ns is not None:
            return
        tree = node.tree
        node.status, node.ended_ns, node.error = status, ended_ns, error
        node.model, node.usage = model and word(model), usage
        if node.kind in MODELS:
            tree.usage += usage
        tree.ended.append(node)
        tree.running -= 1
        if not tree.running:
            self._finish(tree)

    def _finish(self, tree: Tree) -> None:
        for node in tree.ended:
            del self._nodes[node.id]
        if self._running.pop(tree, tree) is None:  # it is shown still
            self._done.append(tree)

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
            node.parent.more += node.more
            node.parent.more[node.status] += 1
            tree.kept -= 1
            return


def word(text: str) -> str:
    """
    Make a name fit to be shown: printable, and at most 200 characters of it.
    """
    return printable(cut(str(text), _WORD))
