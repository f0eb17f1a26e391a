"""
What tests of handlers share: a terminal, real but for the glass, and a forest in which
runs are numbers.
"""

import fcntl
import gc
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any, TextIO
from uuid import UUID

import pytest

from instrument import Usage
from instrument.handlers._tree.forest import Ended, Started, Tree, Trees


class Screen:
    """
    A pseudo-terminal whose output is read by a thread, and emulated when asked for.
    """

    def __init__(self, columns: int = 80, lines: int = 24) -> None:
        pyte = pytest.importorskip("pyte")
        self._raw = bytearray()
        self._master, self._slave = pty.openpty()
        self.columns, self.lines = columns, lines
        self._resize()
        self._screen = pyte.HistoryScreen(columns, lines, history=100_000)
        self._stream = pyte.ByteStream(self._screen)
        self._fed = 0
        self._changed = threading.Condition()
        self._marks = count(1)
        self._files = [self.opened()]
        self._processes: list[subprocess.Popen[bytes]] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def file(self) -> TextIO:
        """
        A text stream that writes to it.
        """
        return self._files[0]

    def opened(self, **options: Any) -> TextIO:
        """
        Open one more stream that writes to it.
        """
        given = {"encoding": "utf-8"} | options
        return os.fdopen(os.dup(self._slave), "w", **given)

    def resize(self, columns: int, lines: int) -> None:
        """
        Make it another size.
        """
        self.columns, self.lines = columns, lines
        self._resize()
        self._screen.resize(lines, columns)

    def run(self, code: str, **environment: str) -> subprocess.Popen[bytes]:
        """
        Run *code* in a process of its own whose standard streams are this terminal.
        """
        process = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", code],
            stdin=self._slave,
            stdout=self._slave,
            stderr=self._slave,
            env={**os.environ, "TERM": "xterm-256color", **environment},
        )
        self._processes.append(process)
        return process

    def read(self) -> bytes:
        """
        Give every byte that was written to it until now.
        """
        mark = f"\x1b]2;mark {next(self._marks)}\x07".encode()
        os.write(self._slave, mark)
        self.wait(lambda: mark in self._raw[-1_000:])
        return bytes(self._raw)

    def rows(self) -> list[str]:
        """
        Give what is seen on it now, all that has scrolled by first.
        """
        self.read()
        return self._seen()

    def text(self) -> str:
        """
        Give the same as one text, with every duration written as ``1 s``, without the id
        of a footer, which is another each time.
        """
        rows = (re.sub(r"^ *[\d.]+ [num]?s  ", "1 s  ", row) for row in self.rows())
        text = "\n".join(rows).rstrip("\n")
        return re.sub(r"  id [0-9a-f]{6}$", "", text, flags=re.MULTILINE)

    def wait(self, holds: Any) -> None:
        """
        Wait until *holds* is true, which is asked whenever something was written.
        """
        with self._changed:
            assert self._changed.wait_for(holds, 20)

    def wait_for(self, text: str) -> None:
        """
        Wait until *text* is seen.
        """
        self.wait(lambda: any(text in row for row in self._seen()))

    def hang_up(self) -> None:
        """
        Close the other end, as a lost connection does.
        """
        for file in self._files:
            file.flush()
        os.close(self._slave)
        os.close(self._master)

    @property
    def is_as_before(self) -> bool:
        """
        Whether the cursor is shown and long lines are wrapped.
        """
        self.rows()
        wraps = 7 << 5  # DECAWM, as pyte has it
        return not self._screen.cursor.hidden and wraps in self._screen.mode

    def close(self) -> None:
        """
        Close both ends, when nobody has the one and nobody reads from the other.
        """
        for process in self._processes:
            process.kill()
            process.wait()
        for file in self._files:
            file.close()
        os.close(self._slave)
        self._reader.join(10)
        # else it would read what is written to the next terminal, which gets this number
        assert not self._reader.is_alive()
        os.close(self._master)

    def _resize(self) -> None:
        size = struct.pack("HHHH", self.lines, self.columns, 0, 0)
        fcntl.ioctl(self._slave, termios.TIOCSWINSZ, size)

    def _read(self) -> None:
        while True:
            try:
                read = os.read(self._master, 1 << 16)
            except OSError:  # no one writes any longer
                return
            with self._changed:
                self._raw += read
                self._changed.notify_all()

    def _seen(self) -> list[str]:
        self._stream.feed(bytes(self._raw[self._fed :]))
        self._fed = len(self._raw)
        gone = [
            "".join(line[x].data for x in range(self.columns))
            for line in self._screen.history.top
        ]
        return [row.rstrip() for row in [*gone, *self._screen.display]]


class Garden:
    """
    A forest whose runs are numbers; each starts in the nanosecond of its number.
    """

    def __init__(self) -> None:
        self.trees = Trees()
        self._forest = self.trees.plant(120)

    @property
    def running(self) -> dict[Tree, None]:
        """
        The trees that grow.
        """
        return self.trees.running

    @property
    def done(self) -> list[Tree]:
        """
        Those that are done.
        """
        return self.trees.done

    def start(
        self, run: int, parent: int | None = None, root: int = 1, **told: Any
    ) -> None:
        """
        Start a run.
        """
        above = None if parent is None else UUID(int=parent)
        began = Started("llm", f"{run}", f"{run:06x}", True, "", "", run)
        ids = UUID(int=run), above, UUID(int=root)
        self._forest.start(*ids, began._replace(**told))

    def end(self, *runs: int, status: str = "ok", **told: Any) -> None:
        """
        End runs.
        """
        for run in runs:
            end = Ended(status, 2 * run, usage=Usage(input_tokens=run))
            self._forest.end(UUID(int=run), end._replace(**told))

    def token(
        self,
        run: int,
        text: str = "",
        channel: str = "text",
        *,
        first_ns: int = 1,
        last_ns: int = 1,
    ) -> None:
        """
        Tell a token.
        """
        self._forest.token(UUID(int=run), first_ns, last_ns, text, channel)

    def tell(self, run: int, told: str) -> None:
        """
        Tell something else.
        """
        self._forest.tell(UUID(int=run), told)

    def retry(self, run: int, attempt: str) -> None:
        """
        Tell that it is tried again.
        """
        self._forest.retry(UUID(int=run), attempt)


@pytest.fixture
def no_coroutine_is_left() -> Iterator[None]:
    """
    Have what was never awaited warn, which fails the test, before the test ends.
    """
    yield
    gc.collect()


@pytest.fixture(scope="session")
def plant() -> Callable[[], Garden]:
    """
    Give what makes a forest.
    """
    return Garden


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Iterator[Screen]:
    """
    Give a terminal of 80 by 24; the environment says nothing else about terminals.
    """
    for name in ("NO_COLOR", "FORCE_COLOR", "COLORTERM", "COLUMNS", "LINES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    made = Screen()
    yield made
    made.close()
