"""
The rows of trees as text in colour, each fitted to the width of the terminal.
"""

from instrument import _ids
from instrument.handlers._shared.amounts import duration as written_duration
from instrument.handlers._tree.fold import Fold

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.text import Text

    from instrument._payloads.event import Usage
    from instrument.handlers._tree.fold import Row
    from instrument.handlers._tree.forest import Node, Tree

_SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_SIGNS = {"ok": "✓", "error": "✗"}
# magenta and not blue: that is hardly seen on black in some terminals
_COLOURS = {"ok": "green", "error": "red", "running": "cyan"}
_ASCII = str.maketrans(
    {"…": "~", "├": "|", "─": "-", "└": "`", "│": "|", "✓": "+", "✗": "x", "■": "-"}
    | dict(zip(_SPINNER, "|/-\\|/-\\|/", strict=True))
)
_FRAME_NS = 100_000_000


class Rows:
    """
    Write trees, one `rich.text.Text` a row.

    Args:
        ascii_only: For a stream that can encode no other characters.
    """

    def __init__(self, *, ascii_only: bool = False) -> None:
        from rich.text import Text

        self._text = Text
        self._ascii_only = ascii_only

    def live(self, trees: "list[Tree]", width: int, height: int) -> "list[Text]":
        """
        Write what fits: the newest trees, each with a fair share of the height.
        """
        shown = trees[-max(1, height - 1) :] if len(trees) > height else trees
        rows = []
        if len(shown) < len(trees):
            left_out = f"… {len(trees) - len(shown):,} more requests"
            rows.append(self.fitted(self._text(left_out, "dim"), width))
        height -= len(rows)
        folds = [Fold(tree) for tree in shown]
        shares = {}
        for index, fold in enumerate(sorted(folds, key=lambda fold: fold.height)):
            shares[fold] = min(fold.height, height // (len(folds) - index))
            height -= shares[fold]
        for fold in folds:
            rows += [self._row(row, width) for row in fold.rows(shares[fold])]
        return rows

    def whole(self, tree: "Tree", width: int) -> "list[Text]":
        """
        Write all that is kept of a tree and, of more than one run, what it comes to.
        """
        rows = [self._row(row, width) for row in Fold(tree).rows()]
        if tree.runs > 1:
            rows.append(self.fitted(self._text(f"  {_total(tree)}", "dim"), width))
        return rows

    def fitted(self, text: "Text", width: int) -> "Text":
        """
        Cut a row to *width* cells; a wide character is never halved.
        """
        text.truncate(width, overflow="ellipsis")
        if self._ascii_only:
            text.plain = text.plain.translate(_ASCII)
        return text

    def _row(self, row: "Row", width: int) -> "Text":
        text = self._text(no_wrap=True)
        text.append(_guide(row.guide, width // 2), "dim")
        node = row.node
        if node is None:
            text.append(f"… {row.left_out}", "dim")
            return self.fitted(text, width)
        colour = _COLOURS.get(node.status, "yellow")
        is_running = node.ended_ns is None
        text.append(_spinner() if is_running else _SIGNS.get(node.status, "■"), colour)
        text.append(f" {node.kind} ", "magenta")
        text.append(node.name, "bold" if is_running else "")
        text.append(f"  {_duration(node)}", "dim")
        if node.error:
            text.append(f"  {node.error}", "red" if node.status == "error" else "")
        for told in _details(row, node):
            text.append(f"  {told}", "dim")
        return self.fitted(text, width)


def _guide(guide: str, width: int) -> str:
    """
    Leave room for what the lines lead to, however deep it is.
    """
    return guide if len(guide) <= width else f"…{guide[1 - width :]}"


def _spinner() -> str:
    return _SPINNER[_ids.clock_ns() // _FRAME_NS % len(_SPINNER)]


def _duration(node: "Node") -> str:
    if node.ended_ns is None:
        return f"{(_ids.clock_ns() - node.started_ns) / 1e9:.1f} s"
    return written_duration((node.ended_ns - node.started_ns) / 1e9)


def _details(row: "Row", node: "Node") -> "Iterator[str]":
    if row.runs > 1:
        yield f"{row.runs:,} runs"
    if node.model:
        yield node.model
    consumed = _consumed(node.usage)
    if consumed:
        yield ", ".join(consumed)
    elif node.tokens:
        yield f"{node.tokens:,} token{'s' * (node.tokens > 1)}"
    if node.first_ns is not None:
        ended_ns = _ids.clock_ns() if node.ended_ns is None else node.ended_ns
        streamed_s = (ended_ns - node.first_ns) / 1e9
        if node.tokens > 1 and streamed_s > 0:
            yield f"{(node.tokens - 1) / streamed_s:,.0f} tokens/s"


def _consumed(usage: "Usage") -> list[str]:
    told = []
    if usage.input_tokens is not None:
        told.append(f"{usage.input_tokens:,} in")
    if usage.output_tokens is not None:
        told.append(f"{usage.output_tokens:,} out")
    if usage.cost_usd is not None:
        told.append(f"${usage.cost_usd:.4f}")
    return told


def _total(tree: "Tree") -> str:
    ended_ns = max(node.ended_ns or 0 for node in tree.ended)
    duration = written_duration((ended_ns - tree.top.started_ns) / 1e9)
    told = [f"{tree.runs:,} runs", duration]
    if tree.models:
        told.append(f"{tree.models:,} model call{'s' * (tree.models > 1)}")
    consumed = _consumed(tree.usage)
    return "  ".join([*told, ", ".join(consumed)] if consumed else told)
