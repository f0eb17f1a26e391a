"""
The foot of a terminal: rows that are drawn anew in place, below what scrolls by.
"""

import os

from instrument._interrupts import pass_on
from instrument.handlers._shared.terminal import Terminal, mid_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TextIO

_SIZE = (80, 24)  # of a terminal that does not know its own
_LONGEST = 4_096

# The cursor is hidden and long rows are clipped within a frame only: whatever becomes
# of this process, the terminal is left as it was.
_BEGIN, _CLIP, _END = "\x1b[?25l\x1b[m", "\x1b[?7l", "\x1b[?7h\x1b[?25h"


class Screen:
    """
    Draw at the foot of a terminal.

    A line that others have not ended yet is the first row of the foot. The cursor
    stands below the last row, so that what goes past this class stays legible.

    Args:
        file: The terminal.
    """

    def __init__(self, file: "TextIO") -> None:
        self.file = file
        self._write = file.write  # as it is now: others' writes are caught later
        self._terminal = Terminal(file)
        self.marks = self._terminal.marks
        self._put: Callable[[str], object] = self._write
        self._line = ""
        self._foot: list[str] = []
        self._drawn: list[str] = []
        self._may_be_mid_line = True

    @property
    def size(self) -> tuple[int, int]:
        """
        The width and height that rows may have now.

        One more row is for a line that is not ended, one for the cursor.
        """
        try:
            width, height = os.get_terminal_size(self.file.fileno())
        except (AttributeError, OSError, ValueError) as exc:
            pass_on(exc)
            width = height = 0
        width, height = width or _SIZE[0], height or _SIZE[1]
        return width, max(1, height - 2)

    def draw(self, foot: list[str], above: list[str]) -> None:
        """
        Write the rows *above*, to stay, and below them *foot* in place of the last one.
        Those above may be wider than the terminal, which wraps them.
        """
        self._foot = foot
        if above and self._line:
            line, self._line = self._line, ""
            self._frame(foot=[])
            self._give(f"{line}\n")
            mid_line.discard(self.file)
        self._frame(above)

    def write(self, write: "Callable[[str], object]", text: str) -> None:
        """
        Write what others write, above the foot.

        Nothing but *write* fails here: what fails of the drawing is met again by the
        next `draw` or `leave`.

        Args:
            write: Their own way to write.
            text: What may be part of a line.
        """
        head, end, tail = (self._line + text).rpartition("\n")
        self._line = ""
        lines = self._clipped(tail)
        head += end + "".join(f"{line}\n" for line in lines[:-1])
        if head:
            try:
                self._frame(foot=[])
            except (OSError, ValueError) as exc:  # hung up, closed: not their failure
                pass_on(exc)
            write(head)
        self._put = write
        self._line = lines[-1]
        try:
            self.file.flush()
            self._frame()
        except (OSError, ValueError) as exc:
            pass_on(exc)

    def leave(self) -> None:
        """
        Draw no more: the foot stays, if there is one; a line is left as it was written.
        """
        line, self._line = self._line, ""
        try:
            self._frame()
        finally:
            self._drawn = self._foot = []
            self._may_be_mid_line = True
            if line:
                self._give(line)

    def _give(self, line: str) -> None:
        """
        Write a line that was held back: as its writer does, if that can still be done.
        """
        try:
            self._put(line)
        except ValueError:  # closed
            self._write(self._terminal._encodable(line))
        self.file.flush()

    def _clipped(self, tail: str) -> list[str]:
        """
        Cut a line that is not ended into rows; the last one may still grow.

        Of a line that begins anew, as progress bars do, only what is seen is kept.
        """
        tail = tail[tail.rstrip("\r").rfind("\r") + 1 :]
        if len(tail) > _LONGEST:
            return [tail, ""]
        if "\x1b" in tail:
            return [tail]

        from rich.cells import chop_cells

        return chop_cells(tail, self.size[0]) or [""]

    def _frame(
        self, above: "list[str] | None" = None, foot: "list[str] | None" = None
    ) -> None:
        if foot is None:
            foot = self._unended() + self._foot[: self.size[1]]
        if not above and foot == self._drawn:
            return
        up = f"\x1b[{len(self._drawn)}A\r\x1b[J" if self._drawn else ""
        if self._may_be_mid_line:
            # a row of blanks goes on in the next row, unless the cursor is at its start
            up = f"{' ' * self.size[0]}\r\x1b[K"
            self._may_be_mid_line = False
        stays = "".join(f"{row}\n" for row in above or [])
        rows = "".join(f"{row}\n" for row in foot)
        self._drawn = foot
        frame = f"{_BEGIN}{up}{stays}{_CLIP}{rows}{_END}"
        self._write(self._terminal._encodable(frame))
        self.file.flush()

    def _unended(self) -> list[str]:
        if not self._line:
            return []
        from rich.console import Console
        from rich.text import Text

        text = Text.from_ansi(self._line.expandtabs(), no_wrap=True)
        text.truncate(self.size[0])
        if "\x1b" not in self._line:
            return [text.plain]
        console = Console(file=self.file, force_terminal=True)
        with console.capture() as captured:
            console.print(text, end="", soft_wrap=True)
        return captured.get().split("\n")
