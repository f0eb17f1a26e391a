"""
Where trees are written that nothing can be drawn on: a pipe, a file, a notebook.
"""

import os
import sys
from collections import deque

from instrument._forks import fork_lock
from instrument._interrupts import Taking, is_of_call
from instrument._report import Exit
from instrument.handlers._shared.terminal import Terminal
from instrument.handlers._tree.forest import Trees
from instrument.handlers._tree.page import page
from instrument.handlers._tree.rows import Rows

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TextIO

    from instrument.handlers._tree.forest import Tree

_WIDTH = 120


class Paper:
    """
    Write each tree once, when it is done; at exit those that are not.

    Args:
        file: A text stream.
        trees: Those of a display that can no longer draw.
    """

    def __init__(self, file: "TextIO", trees: Trees | None = None) -> None:
        self.trees = trees or Trees()
        self._terminal = Terminal(file)
        self.marks = self._terminal.marks
        self._rows = Rows(self.marks, has_line=False)
        self._is_notebook = is_notebook(file)
        self._lock = fork_lock()
        self._queue: deque[tuple[Callable[..., None], Any]] = deque()
        self._is_at_work = False

    def shows_on(self, terminal: int) -> bool:
        """
        Tell whether this draws on a terminal.
        """
        return False

    def tell(self, change: "Callable[..., None]", *facts: "Any") -> None:
        """
        Note a change of a forest, and write what is done.

        Raises:
            OSError: It cannot be written.
        """
        self._queue.append((change, facts))
        with self._lock:
            if self._is_at_work:  # what was collected meanwhile tells it
                return
            self._is_at_work = True
            try:
                self._work()
            finally:
                self._is_at_work = False

    def settle(self) -> None:
        """
        At exit write what still runs; no more is told of it.
        """
        if not Exit.has_begun:
            return
        with self._lock:
            self.trees.done.extend(self.trees.running)
            self._write_done()
            self.trees.clear()

    def forked(self) -> None:
        """
        Leave to the parent what the parent has begun; this is its child.
        """
        self._queue.clear()
        self._is_at_work = False
        self.trees.clear()

    def _work(self) -> None:
        """
        Take what was told, each whatever becomes of what was written before.
        """
        try:
            while self._queue:
                known, told = self._queue.popleft()
                known(*told)  # told once more, where an interrupt comes
                self._write_done()
        except Exception as exc:
            if not is_of_call(exc):  # pragma: no branch - else a signal came here
                self._work()
            raise

    def _write_done(self) -> None:
        done = self.trees.done
        while done:
            taking = Taking()
            try:
                self._write(done[0], taking)
            except BaseException as exc:
                taking.fails(exc)
                raise
            else:
                taking.is_taken = True
            finally:
                if taking.is_taken:
                    del done[0]

    def _write(self, tree: "Tree", taking: Taking) -> None:
        lines = self._rows.whole(tree, paper_width())
        if self._is_notebook:
            from IPython.display import display

            text = "\n".join("".join(part for part, _ in line) for line in lines)
            display({"text/html": page([tree]), "text/plain": text}, raw=True)
        else:
            self._terminal.lines(lines, taking)


def is_notebook(file: object) -> bool:
    """
    Tell whether what is written to a stream is seen in a notebook.
    """
    streams = sys.modules.get("ipykernel.iostream")
    return isinstance(file, getattr(streams, "OutStream", ()))


def paper_width() -> int:
    """
    Tell in how many columns is written what no terminal shows.
    """
    told = os.environ.get("COLUMNS", "")
    return int(told) if told.isdecimal() and int(told) > 0 else _WIDTH
