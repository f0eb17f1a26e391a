"""
The rows of trees as segments, each fitted to a width.

From the left: how long, the lines of the tree, how it ended, what it is, what it
consumed, and what went in and came out. Where there is room a time line is at the right.
"""

from instrument import _ids
from instrument.handlers._shared import amounts
from instrument.handlers._shared.style import (
    LEAST,
    WIDE,
    Marks,
    cells,
    kind_style,
    width_of,
)
from instrument.handlers._tree.fold import Fold, all_below
from instrument.handlers._tree.forest import counted, spent_by

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterator

    from instrument.handlers._shared.style import Segment
    from instrument.handlers._tree.fold import Row
    from instrument.handlers._tree.forest import Node, Tree

    Line = list[Segment]

_SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_PLAIN_SPINNER = "|/-\\"
_FRAME_NS = 100_000_000
_TOOK = 7
_LEFT = _TOOK + 2
_STEP = 3  # the cells of one level
_LINE = 22
_APART = 2
_SIGNS = {"ok": ("✓", "+", "green"), "error": ("✗", "x", "bold red")}
_STOPPED = ("■", "~", "yellow")
_GUIDE = str.maketrans("├└│─", "|`|-")
_FEWEST_WORDS = 20
_CHANNELS = {"reasoning": "thinking", "tool_call": "calling"}


class Rows:
    """
    Write trees, each row as segments.

    Args:
        marks: The characters that the stream knows.
        has_line: Whether wide rows have a time line.
    """

    def __init__(self, marks: Marks, *, has_line: bool = True) -> None:
        self._marks = marks
        self._has_line = has_line

    def live(
        self, trees: "list[Tree]", width: int, height: int, *, moves: bool = True
    ) -> "list[tuple[Tree | None, list[Line]]]":
        """
        Write what fits, by tree: the newest trees, each with a fair share of the height.

        Args:
            moves: Whether it is drawn again, so that what runs has a spinner.
        """
        shown = trees[-max(1, height - 1) :] if len(trees) > height else trees
        written: list[tuple[Tree | None, list[Line]]] = []
        if len(shown) < len(trees):
            told = f"{self._marks.ellipsis} {len(trees) - len(shown):,} more requests"
            line = [(" " * _LEFT, ""), (told, "dim")]
            written.append((None, [self._marks.fitted(line, width)]))
            height -= 1
        has_ids = len(trees) > 1
        pages = [
            Page(tree, self._marks, width, moves=moves, has_line=True, has_id=has_ids)
            for tree in shown
        ]
        shares = {}
        for index, page in enumerate(sorted(pages, key=lambda it: it.fold.height)):
            shares[page] = min(page.fold.height, height // (len(pages) - index))
            height -= shares[page]
        return [*written, *((page.tree, page.lines(shares[page])) for page in pages)]

    def whole(self, tree: "Tree", width: int) -> "list[Line]":
        """
        Write all that is kept of a tree and, of more than one run, what it comes to.
        """
        page = Page(tree, self._marks, width, has_line=self._has_line)
        lines = page.lines()
        if tree.runs > 1 or tree.top.status == "error":
            lines.append(page.footer())
        return lines


class Page:
    """
    One tree, as it is written now, in some width.

    Args:
        moves: Whether it is drawn again soon, so that what runs has a spinner.
        has_line: Whether there may be a time line.
        has_id: Whether its id is said at its top.
    """

    def __init__(
        self,
        tree: "Tree",
        marks: Marks,
        width: int,
        *,
        moves: bool = False,
        has_line: bool = False,
        has_id: bool = False,
    ) -> None:
        self.tree = tree
        self._marks = marks
        self._payload = tree.payload
        self._moves = moves
        self._has_id = has_id
        self._whole_width = self._width = width
        self._is_wide = width >= WIDE
        is_telling = moves or tree.runs > 1
        self._has_line = has_line and self._is_wide and is_telling
        if self._has_line:
            self._width -= _LINE + _APART
        self._now_ns = _ids.clock_ns()
        self._began_ns = tree.top.began.started_ns
        self._ended_ns = max(map(self._end_of, (tree.top, *tree.ended)))
        if tree.running:
            self._ended_ns = max(self._ended_ns, self._now_ns)
        few = tree.failed <= 10 * _TOOK  # to wrap the messages of many takes a while
        self.fold = Fold(tree, self._rows_below if few else None)

    def lines(self, height: int | None = None) -> "list[Line]":
        """
        Write its rows, at most so many.
        """
        lines = []
        for row in self.fold.rows(height):
            if row.node is None:
                lines.append(self.left_out(row))
                continue
            lines.append(self._timed(self.row(row, row.node), row.node))
            if is_below(row, row.node):
                lines += self.message(row, row.node)
        return lines

    def footer(self) -> "Line":
        """
        Say what it comes to.
        """
        tree = self.tree
        failed = tree.failed or tree.top.status == "error"
        told = [amounts.counted(tree.runs, "run")]
        if failed:
            told.append(f"{failed:,} failed")
        if tree.totals.calls:
            calls = amounts.counted(tree.totals.calls, "model call")
            told.append(tree.totals.written(wide=self._is_wide) or calls)
        known = (
            f"  id {tree.top.began.hex}"  # it is not lost where there is little room
        )
        room = max(0, self._width - _LEFT - len(known))
        said = self._marks.cropped(", ".join(told), room)
        style = "bold" if failed else ""
        line = [(" " * _LEFT, ""), (said, style), (known, "dim")]
        line = self._marks.fitted(line, self._width)
        if self._has_line:
            took = amounts.duration(self._duration_s(tree.top))
            line.append((" " * (self._width + _APART - width_of(line)), ""))
            line.append((f"0{took:>{_LINE - 1}}", "dim"))
        return line

    def row(self, row: "Row", node: "Node") -> "Line":
        """
        Write the row of a run.
        """
        began, end = node.began, node.end
        line: Line = [
            (
                f"{amounts.duration(self._duration_s(node)):>{_TOOK}}  ",
                "" if end else "bold",
            ),
            (self._guide(row.guide), "dim"),
            self._sign(node),
            (f"{began.kind} ", kind_style(began.kind)),
            (began.name, "" if end else "bold"),
        ]
        if self._has_id and node.parent is None:
            style = "bold magenta" if self.tree.is_odd else ""
            line.append((f"  {began.hex}", style))
        line += self._ending(row, node)
        consumed = self._consumed(row, node)
        if consumed:
            line.append((f"  {consumed}", ""))
        room = self._width - width_of(line) - 2
        if room >= LEAST:
            words = self._words(row, node, min(room, self._payload))
            if words:
                line.append((f"  {words}", "dim"))
        return self._marks.fitted(line, self._width)

    def left_out(self, row: "Row") -> "Line":
        """
        Write the row of runs that are only counted.
        """
        if row.more is None:
            told = amounts.counted(row.rows, "row")
        else:
            told = f"{row.more.total():,} more: {_kinds(row.more)}"
        guide = self._guide(row.guide)
        line = [(" " * _LEFT, ""), (f"{guide}{self._marks.ellipsis} {told}", "dim")]
        return self._marks.fitted(line, self._width)

    def message(self, row: "Row", node: "Node") -> "Iterator[Line]":
        """
        Write what a run failed with, whole, on rows of its own.
        """
        stem = row.guide.replace("├─", "│ ").replace("└─", "  ")
        stem = self._guide(stem + ("│ " if row.has_below else "  "))
        kind, said = _message_of(node)
        for index, text in enumerate(self._wrapped(kind, said, cells(stem))):
            line: Line = [(" " * _LEFT, ""), (stem, "dim")]
            if index:
                yield [*line, (text, "")]
            else:
                yield [*line, (kind, "bold red"), (text[len(kind) :], "")]

    def _sign(self, node: "Node") -> "Segment":
        if node.end is not None:
            sign, plain, style = _SIGNS.get(node.end.status, _STOPPED)
            return f"{plain if self._marks.is_ascii else sign} ", style
        frames = _PLAIN_SPINNER if self._marks.is_ascii else _SPINNER
        frame = frames[self._now_ns // _FRAME_NS % len(frames)]
        return f"{frame if self._moves else '>'} ", "cyan"

    def _ending(self, row: "Row", node: "Node") -> "Iterator[Segment]":
        """
        Say what went wrong, what is tried again, and what is told meanwhile.
        """
        end = node.end
        for told in filter(None, (node.retried, node.told)):
            yield f"  {told}", ""
        if end is None or end.status == "ok":
            return
        if end.error is None:
            after = amounts.counted(node.tokens, "token")
            yield f"  {end.status}{f' after {after}' * bool(node.tokens)}", "bold"
            return
        if node.passed:
            yield f"  {end.error[0]}", "bold red"
            yield f" from {node.passed}", ""
        elif not is_below(row, node):
            yield f"  {end.error[0]}", "bold red"
            yield ": " * bool(end.error[1]) + " ".join(end.error[1]), ""

    def _consumed(self, row: "Row", node: "Node") -> str:
        began, end = node.began, node.end
        if row.runs > 1:
            return self._sums(row, node)
        if not began.is_model:
            return ""
        model = self._marks.name(node.model)
        rate = amounts.rate(node.tokens, (node.last_ns - node.first_ns) / 1e9)
        if end is None:
            told = [model, _CHANNELS.get(node.channel, "")]
            if node.tokens:
                told += [f"{amounts.tokens(node.tokens)} out", rate]
            elif began.kind != "embedding":
                told.append("waiting for the first token")
        else:
            used = amounts.usage(end.usage, end.cost_usd, wide=self._is_wide)
            if not used and node.tokens and end.status == "ok":
                used = amounts.counted(node.tokens, "token")
            told = [model, used, rate]
        return ", ".join(filter(None, told))

    def _sums(self, row: "Row", node: "Node") -> str:
        below = all_below(node)
        failed = sum(
            times
            for (_, status), times in counted(below).items()
            if status not in ("ok", "running")
        )
        told = [amounts.counted(row.runs, "run"), f"{failed:,} failed" * bool(failed)]
        told.append(spent_by(below).consumed(wide=self._is_wide))
        return ", ".join(filter(None, told))

    def _words(self, row: "Row", node: "Node", room: int) -> str:
        """
        Give what went in and what came out, the first of them in two fifths of the
        room if need be; of a model only what came out, of one that runs the newest.
        """
        marks, began, end = self._marks, node.began, node.end
        is_said = end is not None and end.error and not is_below(row, node)
        if room < LEAST or is_said:
            return ""
        if began.is_model:
            if end is not None:
                came = end.came.removeprefix("-> ")  # what it calls
                return marks.cropped(came and f"{marks.arrow} {came}", room)
            is_shown = node.channel != "tool_call"
            said = marks.shown(" ".join(node.said.split("\n")))
            return marks.cropped_left(said, room) if is_shown else ""
        came = end.came if end is not None else ""
        return marks.passed(began.given, came, room)

    def _timed(self, line: "Line", node: "Node") -> "Line":
        """
        Add when it was to a row.
        """
        if not self._has_line:
            return line
        whole_ns = max(1, self._ended_ns - self._began_ns)
        from_ns = node.began.started_ns - self._began_ns
        until_ns = self._end_of(node) - self._began_ns
        first = min(int(from_ns / whole_ns * _LINE), _LINE - 1)
        last = max(first + 1, round(until_ns / whole_ns * _LINE))
        style = "dim"
        if node.status == "error" and not node.passed:
            style = "red"
        elif node.began.is_model:
            style = "magenta"
        elif node.end is None:
            style = "cyan"
        before = self._width + _APART - width_of(line) + first
        bar = "=" if self._marks.is_ascii else "━"
        return [*line, (" " * before, ""), (bar * (last - first), style)]

    def _rows_below(self, node: "Node", depth: int) -> int:
        kind, said = _message_of(node)
        indent = min(_STEP * depth, self._deepest) + 2
        return len(self._wrapped(kind, said, indent)) if said else 0

    def _wrapped(self, kind: str, message: list[str], indent: int) -> list[str]:
        """
        Break an error into rows, within no word: addresses can be copied.
        """
        said = [f"{kind}: {message[0]}", *message[1:]]
        room = max(_FEWEST_WORDS, self._width - _LEFT - indent)
        return [row for line in said for row in _rows_of(line, room)]

    @property
    def _deepest(self) -> int:
        return self._width // 3

    def _guide(self, guide: str) -> str:
        """
        Leave room for what the lines lead to, however deep it is.
        """
        deepest, mark = self._deepest, self._marks.ellipsis
        if len(guide) > deepest:
            guide = (mark + guide[len(guide) - deepest + len(mark) :])[:deepest]
        return guide.translate(_GUIDE) if self._marks.is_ascii else guide

    def _end_of(self, node: "Node") -> int:
        return self._now_ns if node.end is None else node.end.ended_ns

    def _duration_s(self, node: "Node") -> float:
        return (self._end_of(node) - node.began.started_ns) / 1e9


def _message_of(node: "Node") -> tuple[str, list[str]]:
    """
    Give the type and the message of the exception that came from a run.
    """
    return (node.end and node.end.error) or ("", [])


def is_below(row: "Row", node: "Node") -> bool:
    """
    Tell whether the error stands below the row.
    """
    return row.is_whole and row.runs == 1 and bool(_message_of(node)[1])


def _kinds(more: "Counter[tuple[str, str]]") -> str:
    """
    Say of which kinds those are that are only counted, and how they ended.
    """
    kinds: dict[str, int] = {}
    others: dict[str, int] = {}
    for (kind, status), times in sorted(more.items()):
        kinds[kind] = kinds.get(kind, 0) + times
        if status != "ok":
            word = "failed" if status == "error" else status
            others[word] = others.get(word, 0) + times
    told = [f"{times:,} {kind}" for kind, times in kinds.items()]
    told += [f"{times:,} {word}" for word, times in others.items()] or ["all ok"]
    return ", ".join(told)


def _rows_of(line: str, room: int) -> "Iterator[str]":
    text = line.lstrip(" ")
    first, *words = text.split(" ")
    row = line[: len(line) - len(text)] + first
    taken = cells(row)
    for word in words:
        wide = cells(word)
        if taken + 1 + wide > room:
            yield row
            row, taken = word, wide
        else:
            row, taken = f"{row} {word}", taken + 1 + wide
    yield row
