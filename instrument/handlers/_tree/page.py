"""
Trees as HTML, for notebooks: what is folded and unfolded there survives saving, as there
is nothing in it but text and style.
"""

from html import escape

from instrument.handlers._shared.style import Marks
from instrument.handlers._tree.fold import Row
from instrument.handlers._tree.forest import Trees
from instrument.handlers._tree.rows import Page, is_below
from instrument.handlers._tree.told import Teller

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from instrument._runs.run import Run
    from instrument.handlers._shared.style import Segment
    from instrument.handlers._tree.forest import Node, Tree

_PAYLOAD = 120
_ENDLESS = 100_000
_OPEN_ROWS = 100
"""A tree of more rows is folded below its top."""
# of a contrast of 3 and more on white and on black
_STYLES = {
    "dim": "opacity:.7",
    "bold": "font-weight:bold",
    "red": "color:#e0393e",
    "green": "color:#1a8f3c",
    "yellow": "color:#a87900",
    "magenta": "color:#b94fc9",
    "cyan": "color:#1287a5",
}
# what notebooks call their font, so that it is that of the lines printed above
_BOX = (
    "position:relative;padding-left:11ch;text-align:left;white-space:pre-wrap;"
    "overflow-wrap:anywhere;line-height:1.4;"
    "font-family:var(--jp-code-font-family,monospace);"
    "font-size:var(--jp-code-font-size,13px)"
)
_TOOK = "position:absolute;left:0;width:7ch;text-align:right;text-indent:0"
# what goes on in a second row begins behind the sign
_ROW = "padding-left:2ch;text-indent:-2ch"
_TOP = f"{_ROW};cursor:pointer;list-style-position:outside"
_BELOW = "margin-left:.5ch;padding-left:3ch;border-left:1px solid rgba(128,128,128,.4)"
_NOTHING = '<div style="opacity:.7">nothing heard yet</div>'
_DEEPEST = 16
"""Levels that are indented; what is below stands as far to the right."""


def page(trees: "list[Tree]") -> str:
    """
    Write trees as one piece of HTML.
    """
    parts = "".join(part for tree in trees for part in _tree(tree))
    return f'<div style="{_BOX}">{parts}</div>' if parts else _NOTHING


def page_of(runs: "list[Run]") -> str:
    """
    Write runs as they are now.
    """
    trees, teller = Trees(), Teller(Marks(), _PAYLOAD)
    forest = trees.plant(_PAYLOAD)
    moments = [(run._started_ns, False, run) for run in runs]
    moments += [(run._ended_ns, True, run) for run in runs if run._ended_ns is not None]
    for _, has_ended, run in sorted(moments, key=lambda moment: moment[:2]):
        if has_ended:
            forest.end(run.id, teller.ended(run))
        else:
            ids = run.id, run.parent_id, run._root_run().id
            forest.start(*ids, teller.started(run))
    grown = [*trees.done, *trees.running]
    return page(sorted(grown, key=lambda tree: tree.top.began.started_ns))


def _tree(tree: "Tree") -> "Iterator[str]":
    """
    Write one tree; without recursion, as it may be deeper than Python goes.
    """
    written = Page(tree, Marks(), _ENDLESS)
    is_open = tree.kept <= _OPEN_ROWS
    waiting: list[tuple[Node, int] | None] = [(tree.top, 0)]
    while waiting:
        each = waiting.pop()
        if each is None:
            yield "</div></details>"
            continue
        node, depth = each
        row, below = _row(written, node), _below(written, node)
        if not node.children and not below:
            yield f'<div style="{_ROW}">{row}</div>'
            continue
        shown = " open" if is_open or node is tree.top else ""
        indent = f' style="{_BELOW}"' if depth < _DEEPEST else ""
        yield f'<details{shown}><summary style="{_TOP}">{row}</summary><div{indent}>'
        yield from (f"<div>{_spans(line)}</div>" for line in below)
        waiting.append(None)
        waiting += [(child, depth + 1) for child in reversed(node.children.values())]
    if tree.runs > 1 or tree.top.status == "error":
        yield f"<div>{_spans(written.footer()[1:])}</div>"


def _row(written: Page, node: "Node") -> str:
    """
    Write the row of a run; how long it took is a column, however deep the run is.
    """
    (took, style), *line = written.row(Row("", node), node)
    css = ";".join(filter(None, (_TOOK, _STYLES.get(style))))
    return f'<span style="{css}">{took.strip()}</span>{_spans(line)}'


def _below(written: Page, node: "Node") -> "list[list[Segment]]":
    """
    Write what stands below the row of a run: what it failed with, what is only counted.
    """
    row = Row("", node)
    errors = written.message(row, node) if is_below(row, node) else ()
    lines = [line[2:] for line in errors]  # without the columns of a terminal
    if node.more:
        lines.append(written.left_out(Row("", None, more=node.more))[1:])
    return lines


def _spans(line: "list[Segment]") -> str:
    return "".join(_span(text, style) for text, style in line)


def _span(text: str, style: str) -> str:
    if not (style and text):
        return escape(text)
    css = ";".join(_STYLES[name] for name in style.split())
    return f'<span style="{css}">{escape(text)}</span>'
