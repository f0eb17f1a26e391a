"""
Where trees are shown: one display for each terminal, whoever shows them there.

A handler appends a fact to a queue and goes on. A thread, which lives while something
runs, takes what is queued and draws, ten times a second. What others write to the
terminal meanwhile goes above the trees: ``write`` of the standard streams is caught.
Whatever becomes of the drawing, others write as they would without it.
"""

import atexit
import os
import sys
import threading
import weakref
from collections import deque

from instrument._delivery.flush import abandon_streams
from instrument._delivery.threads import Server
from instrument._forks import fork_lock, in_child
from instrument._interrupts import is_of_call, pass_on
from instrument._report import Exit, complain
from instrument.handlers._shared.style import has_colour, painted, plain
from instrument.handlers._tree.forest import Trees
from instrument.handlers._tree.paper import Paper
from instrument.handlers._tree.rows import Rows
from instrument.handlers._tree.screen import Screen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TextIO

    from instrument.handlers._shared.style import Segment
    from instrument.handlers._tree.forest import Tree

_BUSY: "Any" = object()
_TICK_S = 0.1
_PATIENCE_S = 1.0
_QUEUED = (
    10_000  # facts, 3 MB; who has more to tell draws himself, as slowly as that is
)


class Display:
    """
    Show trees at the foot of one terminal.

    Args:
        file: The terminal.

    Attributes:
        mode: ``live``; only one process can draw, so that a forked child writes trees
            that are ``done``, or is ``silent`` if its parent was drawing when it was
            forked.
        trees: What is shown.
    """

    mode = "live"

    def __init__(self, file: "TextIO") -> None:
        self.file = file
        self.trees = Trees()
        self._screen = Screen(file)
        self.marks = self._screen.marks
        self._rows = Rows(self.marks)
        self._caught: list[_Caught] = []
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._queue: deque[tuple[Callable[..., None], Any]] = deque()
        self._drawn: dict[Tree | None, list[str]] = {}
        self._error: Exception | None = None
        self._pen = threading.RLock()
        self._is_drawing = False
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None

    def shows_on(self, terminal: int) -> bool:
        """
        Tell whether this draws, and on that terminal: its stream may be closed by now,
        and the terminal's name be another's.
        """
        return self.mode == "live" and _terminal_of(self.file) == terminal

    def tell(self, change: "Callable[..., None]", *facts: "Any") -> None:
        """
        Note a change of a forest; it is seen at the next tick.

        Raises:
            OSError: The terminal could not be written to, the last time.
        """
        if self.mode != "live":
            if self.mode == "done":
                self._paper.tell(change, *facts)
            return
        self._queue.append((change, facts))
        is_at_work = self._thread is not None  # which looks once more when it has ended
        if Exit.has_begun or len(self._queue) > _QUEUED:
            self.settle(redraw=True)
        elif not is_at_work:
            self._start()
        self._complain()

    def settle(self, *, redraw: bool = False) -> None:
        """
        Draw what is done, and end the thread if nothing runs any longer.

        Args:
            redraw: Whether to draw what runs too, which takes a while where that is much.

        Raises:
            OSError: The terminal cannot be written to.
        """
        thread = self._with_pen(lambda: self._settled(redraw=redraw), _BUSY)
        if thread is _BUSY:
            return
        is_left = thread not in (self._thread, threading.current_thread())
        if thread is not None and is_left and thread.is_alive():
            self._wake.set()
            thread.join(_PATIENCE_S)
        self._go_on()
        self._complain()

    def write(self, write: "Callable[[str], int]", text: str) -> int:
        """
        Write what others write, above the trees and after those that are done.
        """

        def put() -> bool:
            if not (self._caught and isinstance(text, str)):
                return False
            self._update(redraw=False)
            self._screen.write(write, text)
            return True

        return len(text) if self._with_pen(put, False) else write(text)

    def forked(self) -> None:
        """
        Leave the terminal to the parent; this is its child.
        """
        if self.mode == "live":
            self.mode = "done" if self._thread is None else "silent"
        self._release()
        self._begin_anew()
        self.trees.clear()
        self._paper = Paper(self.file, self.trees)

    @property
    def _is_over(self) -> bool:
        return Exit.has_begun or not self.trees.running

    def _with_pen(self, act: "Callable[[], Any]", busy: "Any") -> "Any":
        """
        Do *act* with the pen in hand. It is no block of our own: an interrupt as that is
        left would have the pen stay here.

        Args:
            busy: What is given where this very thread holds it already: what is
                collected while it draws may end runs, write, or leave a block.
        """
        with self._pen:
            if self._is_drawing:
                return busy
            try:
                self._is_drawing = True
                return act()
            finally:
                self._is_drawing = False

    def _settled(self, *, redraw: bool) -> "threading.Thread | None":
        self._update(redraw=redraw)
        thread = self._thread
        if thread is not None and self._is_over:
            self._leave()
        return thread

    def _start(self) -> None:
        streams = _streams(self.file)
        thread = Server(self._run, "TreeHandler")
        try:
            with self._pen:
                if self._thread is not None:
                    return
                self._thread = thread
                self._caught = [_Caught(stream, self) for stream in streams]
            thread.start()
        except BaseException as exc:  # no more threads, too late for one, an interrupt
            if thread.forgo():
                with self._pen:
                    if self._thread is thread:
                        self._end()
            if not isinstance(exc, RuntimeError):
                raise
            self.settle(redraw=True)

    def _run(self) -> None:
        while self._work_on():
            pass
        self._go_on()

    def _go_on(self) -> None:
        """
        Begin once more for what was told in the very moment of the end.
        """
        if self._queue and self._thread is None and not Exit.has_begun:
            self._start()

    def _work_on(self) -> bool:
        """
        Wait and draw; False when that was the last time.
        """
        self._wake.wait(_TICK_S)
        self._wake.clear()
        return bool(self._with_pen(self._worked, True))

    def _worked(self) -> bool:
        if self._thread is not threading.current_thread():  # who settled has left
            return False
        self._update()
        return not (self._is_over and self._leave())

    def _leave(self) -> bool:
        """
        Leave the terminal, and end, unless something was told since the last look.
        """
        try:
            if self.trees.running:  # nothing moves any longer
                self._draw(moves=False)
            self._screen.leave()
        except (OSError, ValueError) as exc:
            pass_on(exc)
            self._error = exc
        if self._queue and not Exit.has_begun:
            return False
        self._end()
        return True

    def _end(self) -> None:
        self._release()
        self._thread = None

    def _release(self) -> None:
        for caught in self._caught:
            caught.release()
        self._caught = []

    def _update(self, *, redraw: bool = True) -> None:
        """
        Take what was told, and draw: what runs, and above it, to stay, what is done.

        Args:
            redraw: Whether to draw again what runs; else it stays as it was drawn.
        """
        try:
            for _ in range(len(self._queue)):
                change, facts = self._queue[0]
                try:
                    change(*facts)
                except BaseException as exc:  # pragma: no cover - an interrupt
                    if is_of_call(exc):  # it is done once more
                        raise
                    self._queue.popleft()
                    raise
                self._queue.popleft()
            if redraw:
                self._draw()
            elif self.trees.done:
                self._put(self._screen.size[0])
            elif self.trees.running:
                self.file.flush()  # it may be closed
        except Exception as exc:  # hung up, closed: told to who tells something next
            pass_on(exc)
            self._error = exc
            self.trees.running.clear()
            self._drawn = {}

    def _draw(self, *, moves: bool = True) -> None:
        width, height = self._screen.size
        running = list(self.trees.running)
        written = self._rows.live(running, width, height, moves=moves)
        self._drawn = {tree: self._painted(lines) for tree, lines in written}
        self._put(width)

    def _put(self, width: int) -> None:
        """
        Draw what is done, to stay, and below it what was drawn of what runs.
        """
        done = self.trees.done.copy()
        self.trees.done.clear()
        for tree in done:
            self._drawn.pop(tree, None)
        above = [line for tree in done for line in self._rows.whole(tree, width)]
        foot = [row for rows in self._drawn.values() for row in rows]
        self._screen.draw(foot, self._painted(above))

    def _painted(self, lines: "list[list[Segment]]") -> list[str]:
        return list(map(painted if has_colour(self.file) else plain, lines))

    def _complain(self) -> None:
        error, self._error = self._error, None
        if error is not None:
            raise error


class _Caught:
    """
    The ``write`` of a stream while it goes to a display.

    It is the stream itself that is changed, not ``sys.stdout``: what holds the stream
    since long, as loggers do, is caught too, and there is no other to be put back.
    """

    def __init__(self, stream: "Any", display: Display) -> None:
        self._stream = stream
        self._display: Display | None = display
        with _catching:
            self._write: Callable[[str], int] = stream.write
            self._before = vars(stream).get("write")
            # not by setattr(), which a stream may pass on to another
            vars(stream)["write"] = self

    def __call__(self, text: str) -> int:
        display = self._display
        if display is None or getattr(self._stream, "closed", False):
            return self._write(text)
        return display.write(self._write, text)

    def release(self) -> None:
        """
        Put back what was there, as soon as nobody has caught it in turn.

        Who did may let it go later than this does, or never. Then a display that catches
        it the next time puts back what was there before this.
        """
        self._display = None
        names = vars(self._stream)
        with _catching:
            while _is_released(names.get("write")):
                before = names["write"]._before
                if before is None:
                    del names["write"]
                else:
                    names["write"] = before


def _is_released(write: object) -> bool:
    return isinstance(write, _Caught) and write._display is None


_displays: "weakref.WeakSet[Display | Paper]" = weakref.WeakSet()
_lock = fork_lock()
_catching = fork_lock()


def display_of(file: "TextIO") -> "Display | Paper":
    """
    Find or make the display on a terminal; where *file* is none that can draw, paper.
    """
    from rich.console import detect_legacy_windows

    terminal = _terminal_of(file)
    if terminal is None or detect_legacy_windows():
        paper = Paper(file)
        _displays.add(paper)
        return paper
    with _lock:
        for display in list(_displays):
            if display.shows_on(terminal):
                return display
        display = Display(file)
        _displays.add(display)
        return display


def _terminal_of(stream: object) -> int | None:
    """
    Name the terminal behind a stream: by its device, so that two streams may share it.
    """
    if os.environ.get("TERM", "") in ("dumb", "unknown"):
        return None
    try:
        if not stream.isatty():  # type: ignore[attr-defined]
            return None
        return os.fstat(stream.fileno()).st_rdev or id(stream)  # type: ignore[attr-defined]
    except (AttributeError, OSError, ValueError) as exc:
        pass_on(exc)
        return None


def _streams(file: "TextIO") -> "list[Any]":
    """
    List the streams that write to the terminal of *file* and can be caught.

    None where it was closed or hung up: nothing is drawn there.
    """
    terminal = _terminal_of(file)
    if terminal is None:
        return []
    known = [file, sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__]
    unique = {id(stream): stream for stream in known}.values()
    return [
        stream
        for stream in unique
        if _terminal_of(stream) == terminal
        and isinstance(getattr(stream, "__dict__", None), dict)
    ]


@atexit.register
def _at_exit() -> None:
    abandon_streams()  # what they end with is to be seen
    with _lock:
        displays = list(_displays)
    for display in displays:
        try:
            display.settle()
        except Exception as exc:  # the others are settled all the same
            complain("TreeHandler failed at exit", exc)


def _forked() -> None:
    for display in list(_displays):
        display.forked()


in_child(_forked)
