"""
A file of whole lines, to which several threads and processes append.

Whoever writes holds a lock on the file, and first looks whether it ends in mid-line: a
writer that the disk had no room for, or that was killed, leaves the beginning of one.
"""

import os
import stat
from _thread import get_ident
from contextlib import suppress
from importlib import import_module
from json import loads
from time import monotonic, sleep
from weakref import WeakSet, WeakValueDictionary

from instrument._forks import fork_lock, in_child
from instrument._interrupts import Taking, is_of_call, pass_on

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

fcntl: "Any" = import_module("fcntl") if os.name == "posix" else None
"""Where there is none, on Windows, lines of several processes are not kept apart."""

_OURS = b'{"v":'
"""How each record begins."""

_FLAGS = {
    "a": os.O_APPEND | os.O_CREAT,
    "w": os.O_APPEND | os.O_CREAT | os.O_TRUNC,
    "x": os.O_APPEND | os.O_CREAT | os.O_EXCL,
    "again": os.O_APPEND,
}
_PATIENCE_S = 0.1
"""How long to wait for another process: it writes a line, unless it was stopped."""
_LOOK_S, _MOST_LOOKS = 0.05, 10

_BLOCK = 65_536
_PIPE_BUF = getattr(import_module("select"), "PIPE_BUF", 512)
"""So much goes into a pipe at once or not at all."""


class Turns:
    """
    Whose turn it is to write to one file, among the threads and handlers of a process.

    Attributes:
        lock: Held by whoever writes.
        writer: The thread that does, if one does.
        waiting: What was asked for from within meanwhile: a line and whether it is
            taken, or None to close.
    """

    def __init__(self) -> None:
        self.lock = fork_lock()
        self.writer: int | None = None
        self.waiting: list[tuple[Lines, tuple[bytes, Taking] | None]] = []

    def take(self, work: "Callable[..., object]", *args: object) -> None:
        """
        Do *work* as the one who writes, and then what is waiting.

        An interrupt, wherever it falls, does not leave the file in this thread's hand.
        """
        try:
            self.writer = get_ident()
            work(*args)
        finally:
            try:
                self._end()
            finally:
                self.writer = None

    def _end(self) -> None:
        """
        Do what is waiting, each whatever becomes of the others.
        """
        try:
            while self.waiting:
                lines, told = self.waiting.pop(0)
                if told is None:
                    lines._shut()
                else:
                    lines._put(*told)
        finally:
            if self.waiting:
                self._end()


_turns: "WeakValueDictionary[Any, Turns]" = WeakValueDictionary()
_turns_lock = fork_lock()


def _turns_at(path: "str | bytes") -> Turns:
    key = os.path.realpath(path)
    with _turns_lock:  # `setdefault` may give two threads one each
        return _turns.setdefault(key, Turns())


_all: "WeakSet[Lines]" = WeakSet()


def _begin_anew() -> None:
    """
    Leave to the parent what its threads write and have waiting: here they are not.
    """
    for turns in [*_turns.values()]:
        turns.writer, turns.waiting = None, []
    for lines in [*_all]:
        lines._part()


in_child(_begin_anew)


class Lines:
    """
    Append whole lines to a file.

    Args:
        path: The file.
        mode: ``a`` to append, ``w`` to begin anew, ``x`` to refuse a file that exists.
        max_bytes: The size beyond which a new file is begun; None for no limit.
        keep: How many files of before are kept then, as ``path.1``, ``path.2`` ...

    Attributes:
        lost: How many lines could not be written, or were found torn and cut.
    """

    def __init__(
        self, path: "str | bytes", mode: str, max_bytes: int | None, keep: int
    ) -> None:
        self.path = path  # an error names what was given
        self.lost = 0
        self._max_bytes, self._keep = max_bytes, keep
        self._size = -1  # known while nobody else writes
        self._is_alone = self._has_left = False  # a line's beginning: it is counted
        self._is_shared = False
        self._descriptor: int | None = self._opened(mode)
        self.path = os.path.abspath(path)  # noqa: PTH100 - a path may be bytes
        _all.add(self)
        self._turns = turns = _turns_at(path)
        with turns.lock:
            if turns.writer != get_ident():  # it is mended before each line, too
                turns.take(self._begin)

    @property
    def is_open(self) -> bool:
        return self._descriptor is not None

    def write(self, line: bytes, taking: Taking | None = None) -> None:
        """
        Append *line*, whole or not at all.

        What is written from within, by a body that is collected just then, follows it.

        Args:
            taking: Told when it is done, for one that an interrupt keeps from it.

        Raises:
            ValueError: If it is closed.
            OSError: If there is no room. What was written of it is taken back.
        """
        turns, taking = self._turns, taking or Taking()
        with turns.lock:
            if turns.writer == get_ident():
                waits, taking.is_taken = (self, (line, taking)), True
                turns.waiting.append(waits)
            else:
                turns.take(self._put, line, taking)

    def misses(self, exc: Exception) -> None:
        """
        Count a line that *exc* kept from the file; one that an interrupt did comes again.
        """
        with self._turns.lock:
            self.lost += not is_of_call(exc)

    def close(self) -> None:
        """
        Close the file; what is written later raises.

        From within a write it is closed after that.
        """
        turns = self._turns
        with turns.lock:
            if turns.writer == get_ident():
                turns.waiting.append((self, None))
            else:
                self._shut()

    def _begin(self) -> None:
        try:
            try:
                self._mend()
            finally:
                self._let_go()
        except BaseException:
            self._shut()
            raise

    def _shut(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def _put(self, line: bytes, taking: Taking) -> None:
        if self._descriptor is None:
            message = f"the file {self.path!r} of this handler is closed"
            raise ValueError(message)
        try:
            failed = self._mend()
            if failed is None and self._is_alone and self._is_full(len(line)):
                failed = self._turn()
            self._append(line, taking)
        except Exception as exc:  # also where no memory is left
            self.misses(exc)
            raise
        finally:
            self._let_go()
        if failed is not None:
            raise failed

    def _mend(self) -> OSError | None:
        """
        Keep other processes out, and see to it that the file ends with a line.

        Returns:
            Why none could be begun in place of one put aside; then that one grows on.
        """
        failed: OSError | None = None
        self._keep_out()
        while self._max_bytes is not None and not (failed or self._is_current()):
            failed = self._succeeded()
            self._keep_out()
        self._end_last_line()
        return failed

    def _succeeded(self) -> OSError | None:
        """
        Go on in the file that is at the path now; give why, where there can be none.
        """
        file: Any = self._descriptor
        try:
            self._reopen()
        except OSError as exc:
            if not os.fstat(file).st_nlink:  # pragma: no cover - deleted just now
                raise  # nobody would find what is written there
            return exc
        return None

    def _append(self, line: bytes, taking: Taking) -> None:
        file: Any = self._descriptor
        left = line
        try:
            while left:
                taking.is_taken = True
                left = left[os.write(file, left) :]
        except BaseException as exc:
            if not is_of_call(exc):
                self._take_back(len(line) - len(left))
            elif not _is_file(file):  # nobody can look how much of it went in
                self.lost += 1
                self._has_left = len(line) > _PIPE_BUF
            raise
        self._size += len(line)  # a size that is not known stays none of the file's

    def _take_back(self, written: int) -> None:
        """
        Cut the beginning of a line that could not be written, and is counted as lost.
        """
        file: Any = self._descriptor
        self._has_left = written > 0  # until it is taken back
        if written and self._is_alone and _is_file(file):
            end = os.lseek(file, 0, os.SEEK_CUR)  # of what was written last
            # one who waited no longer may have written behind it
            if end == os.fstat(file).st_size:
                os.ftruncate(file, end - written)
                self._has_left = False

    def _end_last_line(self) -> None:
        """
        End the last line if it is whole or somebody else's text; cut it if it is torn.

        Where other processes could not be kept out nothing is cut: a line begins behind.
        """
        file: Any = self._descriptor
        size = os.fstat(file).st_size  # 0 for what is no file: a pipe, a terminal
        if self._has_left and not _is_file(file):
            os.write(file, b"\n")
        elif size == self._size:
            return
        if not self._is_alone:
            size = _size_at_rest(file, size)
        if not _ends_line(file, size):
            start = _line_start(file, size)
            is_torn = _is_torn(_read(file, start, size - start))
            if is_torn and self._is_alone:
                os.ftruncate(file, start)
                size = start
            else:
                os.write(file, b"\n")
                size += 1
            self.lost += is_torn and not self._has_left
        # only now: what could not be mended is looked at again
        self._size, self._has_left = size, False

    def _is_full(self, more: int) -> bool:
        return self._max_bytes is not None and 0 < self._size > self._max_bytes - more

    def _turn(self) -> OSError | None:
        """
        Begin a new file.

        Those of before move up as far as there is a place free: where one could not be
        put aside, again and again, it would cost them all.

        Returns:
            Why that failed; then the old one grows on.
        """
        try:
            numbers = range(1, self._keep)
            free = (it for it in numbers if not os.path.lexists(self._numbered(it)))
            for number in range(next(free, self._keep), 0, -1):
                with suppress(FileNotFoundError):  # there are fewer yet
                    os.replace(self._numbered(number - 1), self._numbered(number))  # noqa: PTH105 - a path may be bytes
            self._reopen()
        except OSError as exc:
            return exc
        return self._mend()

    def _numbered(self, number: int) -> "Any":
        path: Any = self.path
        if number == 0:
            return path
        return path + (
            f".{number}".encode() if isinstance(path, bytes) else f".{number}"
        )

    def _keep_out(self) -> None:
        """
        Lock the file; after a while, or where that cannot be, go on without.

        Not by `lockf`: a process loses that lock when any part of it that has read the
        file closes it.
        """
        self._is_alone = False
        end_s = monotonic() + _PATIENCE_S
        while fcntl is not None and not self._is_shared:
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as exc:  # somebody has it; or a file system without locks
                pass_on(exc)
                is_held = isinstance(exc, BlockingIOError | PermissionError)
                if not is_held or monotonic() > end_s:
                    return
                sleep(0.001)
            else:
                self._is_alone = True
                return

    def _let_go(self) -> None:
        if self._is_alone and self._descriptor is not None:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def _part(self) -> None:
        """
        Open the file for this process alone, which has just been forked: a lock on what
        it has inherited is the parent's, too.
        """
        before = self._descriptor
        if before is None:
            return
        self._size, self._is_shared = -1, True
        link = f"/proc/self/fd/{before}"  # leads there also where it has been renamed
        with suppress(OSError):  # it is shared, then, and never locked
            self._descriptor = self._opened(
                "again",
                link if os.path.exists(link) else "",  # noqa: PTH110
            )
            self._is_shared = False
            os.close(before)

    def _is_current(self) -> bool:
        file: Any = self._descriptor
        try:
            return os.path.samestat(os.stat(self.path), os.fstat(file))  # noqa: PTH116
        except OSError as exc:  # it is gone, or one may not look where it is any more
            pass_on(exc)
            return False

    def _opened(self, mode: str, path: "str | bytes" = "") -> int:
        path = path or self.path
        how = getattr(os, "O_CLOEXEC", 0) | _FLAGS[mode]
        file = os.open(path, os.O_RDWR | how, 0o666)
        if fcntl is None or not stat.S_ISFIFO(os.fstat(file).st_mode):
            return file
        try:  # who reads a pipe, too, is not told when nobody else does, and waits
            return os.open(path, os.O_WRONLY | getattr(os, "O_CLOEXEC", 0))
        finally:
            os.close(file)

    def _reopen(self) -> None:
        before: Any = self._descriptor
        self._descriptor, self._size = self._opened("a"), -1
        self._is_shared = False
        os.close(before)  # gives up its lock, too


def _is_file(descriptor: int) -> bool:
    return stat.S_ISREG(os.fstat(descriptor).st_mode)


def _is_torn(rest: bytes) -> bool:
    """
    Tell whether *rest*, with no line break behind it, is the beginning of a record; or
    nothing but zeros, which a machine that fell may leave where one was to stand.
    """
    if not rest.strip(b"\0"):
        return True
    if not (rest.startswith(_OURS) or _OURS.startswith(rest)):
        return False
    try:
        loads(rest, parse_int=str)  # one of many digits is whole, too
    except RecursionError:  # deeper than any of ours: another's
        return False
    except ValueError:
        return True
    return False


def _size_at_rest(file: int, size: int) -> int:
    """
    Give the size of *file* when it ends with a line, or does not change any more, or
    after a while: what looks torn may be a line that somebody is writing.
    """
    before = -1
    for _ in range(_MOST_LOOKS):
        if size == before or _ends_line(file, size):
            break
        sleep(_LOOK_S)
        before, size = size, os.fstat(file).st_size
    return size


def _ends_line(file: int, size: int) -> bool:
    return size == 0 or _read(file, size - 1, 1) == b"\n"


def _line_start(file: int, size: int) -> int:
    """
    Find where the last line begins, looking from the end.
    """
    end = size
    while end > 0:
        start = max(0, end - _BLOCK)
        found = _read(file, start, end - start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0


def _read(file: int, start: int, length: int) -> bytes:
    os.lseek(file, start, os.SEEK_SET)  # Windows has no `pread`
    found = b""
    while len(found) < length and (more := os.read(file, length - len(found))):
        found += more
    return found
