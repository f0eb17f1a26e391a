"""
Where trees are shown: one display for each terminal, whoever shows them there.

A handler appends a fact to a queue and goes on. A thread, which lives while something
runs, takes what is queued and draws, ten times a second. What others write to the
terminal meanwhile goes above the trees: ``write`` of the standard streams is caught.
"""

import atexit
import os
import sys
import threading
import weakref
from collections import deque
from contextlib import contextmanager

from instrument._forks import fork_lock, in_child
from instrument._report import Exit
from instrument.handlers._tree.forest import Forest
from instrument.handlers._tree.rows import Rows
from instrument.handlers._tree.screen import Screen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any, TextIO

    from instrument.handlers._tree.forest import Tree

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
        mode: ``live``; only one process can draw, so that a forked child writes
            ``lines``, or is ``silent`` if its parent was drawing when it was forked.
    """

    mode = "live"

    def __init__(self, file: "TextIO") -> None:
        self.file = file
        self._screen = Screen(file)
        self._rows = Rows(ascii_only=self._screen.ascii_only)
        self._caught: list[_Caught] = []
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._queue: deque[tuple[Callable[..., None], Any]] = deque()
        self._running: dict[Tree, None] = {}
        self._done: list[Tree] = []
        self._error: Exception | None = None
        self._pen = threading.RLock()
        self._is_drawing = False
        self._wake = threading.Event()
        # never waited for: it is held while the thread is at work, and released by that
        self._work = threading.Lock()
        # held for a moment: to queue a fact, and to end the thread when there is none
        self._gate = threading.RLock()
        self._thread: threading.Thread | None = None

    def shows_on(self, terminal: int) -> bool:
        """
        Tell whether this draws, and on that terminal: its stream may be closed by now,
        and the terminal's name be another's.
        """
        return self.mode == "live" and _terminal_of(self.file) == terminal

    def forest(self) -> Forest:
        """
        Plant a forest that is shown here, for one handler.
        """
        return Forest(self._running, self._done)

    def tell(self, change: "Callable[..., None]", *facts: "Any") -> None:
        """
        Note a change of a forest; it is seen at the next tick.

        Raises:
            OSError: The terminal could not be written to, the last time.
        """
        if self.mode != "live":
            return
        with self._gate:
            self._queue.append((change, facts))
            is_at_work = self._work.locked()
        if Exit.has_begun or len(self._queue) > _QUEUED:
            self.settle()
        elif not is_at_work:
            self._start()
        self._complain()

    def settle(self) -> None:
        """
        Draw what is done, and end the thread if nothing runs any longer.

        Raises:
            OSError: The terminal cannot be written to.
        """
        with self._at_work() as is_free:
            if not is_free:
                return
            self._update()
            is_idle = Exit.has_begun or not self._running
        thread = self._thread
        if is_idle and thread is not None and thread is not threading.current_thread():
            self._wake.set()
            thread.join(_PATIENCE_S)
        self._complain()

    def write(self, write: "Callable[[str], int]", text: str) -> int:
        """
        Write what others write, above the trees and after those that are done.
        """
        with self._at_work() as is_free:
            if not (is_free and self._caught and isinstance(text, str)):
                return write(text)
            self._update(redraw=False)
            self._screen.write(write, text)
        return len(text)

    def forked(self) -> None:
        """
        Leave the terminal to the parent; this is its child.
        """
        if self.mode == "live":
            self.mode = "silent" if self._work.locked() else "lines"
        self._release()
        self._begin_anew()

    @contextmanager
    def _at_work(self) -> "Iterator[bool]":
        """
        Hold the pen.

        False where this very thread holds it already: what is collected while it draws
        may end runs, write, or leave a block.
        """
        with self._pen:
            if self._is_drawing:
                yield False
                return
            try:
                self._is_drawing = True
                yield True
            finally:
                self._is_drawing = False

    def _start(self) -> None:
        if not self._work.acquire(blocking=False):
            return
        with self._at_work():
            self._caught = [_Caught(stream, self) for stream in _streams(self.file)]
        thread = threading.Thread(target=self._run, name="TreeHandler", daemon=True)
        self._thread = thread
        try:
            thread.start()
        except RuntimeError:  # no more threads, or too late for one
            self._thread = None
            self._release()
            self._work.release()
            self.settle()

    def _run(self) -> None:
        while self._work_on():
            pass
        if self._queue:  # told by what was collected in the very moment of the end
            self._start()

    def _work_on(self) -> bool:
        """
        Wait and draw; False when that was the last time.
        """
        self._wake.wait(_TICK_S)
        self._wake.clear()
        with self._at_work():
            self._update()
            if self._running and not Exit.has_begun:
                return True
            try:
                self._screen.leave()
            except (OSError, ValueError) as exc:
                self._error = exc
            return not self._ends()

    def _ends(self) -> bool:
        """
        End, unless something was told since the last look.
        """
        with self._gate:
            if self._queue and not Exit.has_begun:
                return False
            self._release()
            self._thread = None
            self._work.release()
            return True

    def _release(self) -> None:
        for caught in self._caught:
            caught.release()
        self._caught = []

    def _update(self, *, redraw: bool = True) -> None:
        """
        Take what was told, and draw: what runs, and above it, to stay, what is done.
        """
        try:
            for _ in range(len(self._queue)):
                change, facts = self._queue.popleft()
                change(*facts)
            if redraw or self._done:
                self._draw()
        except Exception as exc:  # hung up, closed: told to who tells something next
            self._error = exc
            self._running.clear()

    def _draw(self) -> None:
        width, height = self._screen.size
        done, running = self._done.copy(), list(self._running)
        self._done.clear()
        above = [row for tree in done for row in self._rows.whole(tree, width)]
        self._screen.draw(self._rows.live(running, width, height), above)

    def _complain(self) -> None:
        error, self._error = self._error, None
        if error is not None:
            raise error


class _Caught:
    """
    A stream whose ``write`` goes to a display.

    It is the stream itself that is changed, not ``sys.stdout``: what holds the stream
    since long, as loggers do, is caught too, and there is no other to be put back.
    """

    def __init__(self, stream: "Any", display: Display) -> None:
        write = stream.write
        self._stream = stream
        self._before = vars(stream).get("write")
        self._write = stream.write = lambda text: display.write(write, text)

    def release(self) -> None:
        names = vars(self._stream)
        if names.get("write") is not self._write:
            return  # caught by another in turn, who may let it go or not
        del self._stream.write
        if self._before is not None:
            self._stream.write = self._before


_displays: "weakref.WeakValueDictionary[int, Display]" = weakref.WeakValueDictionary()
_lock = fork_lock()


def display_of(file: "TextIO") -> Display | None:
    """
    Find or make the display on a terminal; None where *file* is none that can draw.
    """
    from rich.console import detect_legacy_windows

    terminal = _terminal_of(file)
    if terminal is None or detect_legacy_windows():
        return None
    with _lock:
        display = _displays.get(terminal)
        if display is None or not display.shows_on(terminal):
            display = _displays[terminal] = Display(file)
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
    except (AttributeError, OSError, ValueError):
        return None


def _streams(file: "TextIO") -> "list[Any]":
    """
    List the streams that write to the terminal of *file* and can be caught.
    """
    terminal = _terminal_of(file)
    known = [file, sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__]
    unique = {id(stream): stream for stream in known}.values()
    return [
        stream
        for stream in unique
        if hasattr(stream, "__dict__") and _terminal_of(stream) == terminal
    ]


@atexit.register
def _at_exit() -> None:
    Exit.has_begun = True
    for display in list(_displays.values()):
        display.settle()


def _forked() -> None:
    for display in list(_displays.values()):
        display.forked()


in_child(_forked)
