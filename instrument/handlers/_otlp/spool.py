"""
`Spool`: a folder in which batches wait, each a file, until they have been sent.

A file comes into being whole, by being renamed. Whoever sends one has a lock on it, which
the system takes back when that process goes, however it goes: then the next one sends it.
What is sent to another address, or with other headers, lies in a folder of its own.
"""

import os
import re
import stat
from contextlib import suppress
from errno import ENOTDIR
from hashlib import blake2b
from importlib import import_module
from itertools import count as counting
from pathlib import Path
from time import time, time_ns

from instrument._text import safe_repr

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

fcntl: "Any" = import_module("fcntl") if os.name == "posix" else None
"""Where there is none, on Windows, two processes may send one batch twice."""

MOST_BYTES = 100_000_000
"""How much a folder holds; beyond that the oldest goes."""
_NAME = re.compile(r"\d{20}-(\d+)-\d+-(\d+)\.otlp")
_AS_IT_IS = sum(
    getattr(os, name, 0) for name in ("O_CLOEXEC", "O_NOFOLLOW", "O_NONBLOCK")
)
"""Others may write to the folder: through no link, and waiting at no pipe."""
_TORN_S = 60.0
"""How old the beginning of a file is that its writer, killed, will not finish."""


class Claim:
    """
    A batch that this process has to itself, until it is removed or let go.

    Attributes:
        count: How many spans it holds.
        size: How many bytes.
    """

    def __init__(self, path: Path, descriptor: int, count: int) -> None:
        self._path, self._descriptor = path, descriptor
        self.count, self.size = count, 0

    def read(self) -> bytes:
        """
        Give what it holds.
        """
        with os.fdopen(self._descriptor, "rb", closefd=False) as file:
            file.seek(0)
            return file.read()

    def remove(self) -> None:
        """
        Forget it: it was sent, or never will be.

        Raises:
            OSError: If it cannot be removed; it is empty then, so that none sends it again.
        """
        try:
            with suppress(FileNotFoundError):
                self._path.unlink()
        except OSError:
            os.truncate(self._descriptor, 0)
            raise
        finally:
            self.let_go()

    def let_go(self) -> None:
        """
        Leave it to whoever comes next.
        """
        try:
            if fcntl is not None:  # a child that was forked meanwhile has it open, too
                fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        finally:
            os.close(self._descriptor)


class Spool:
    """
    What waits for one receiver.

    Args:
        folder: Where batches are kept; it is made where there is none.
        key: What tells the receiver from others; only its hash is written.
        most_bytes: How much is kept.

    Raises:
        TypeError: If *folder* is no path.
        OSError: If nothing can be written there.
    """

    def __init__(
        self, folder: object, key: object, most_bytes: int = MOST_BYTES
    ) -> None:
        if not isinstance(folder, (str, os.PathLike)):
            message = f"OTLPHandler(spool=...) is a folder, not {safe_repr(folder)}."
            raise TypeError(message)
        digest = blake2b(repr(key).encode(), digest_size=8).hexdigest()
        self._folder = Path(folder).absolute() / digest
        self._most_bytes = most_bytes
        self._numbers = counting()
        self._lost = 0
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._write(b"", "tried").unlink()
        except OSError as exc:
            message = (
                f"OTLPHandler(spool={os.fspath(folder)!r}): nothing can be kept there,"
                f" {exc.strerror}. Give a folder that this process may write to."
            )
            raise OSError(exc.errno, message) from None
        self._sweep()

    def add(self, body: bytes, count: int) -> int:
        """
        Keep a batch of *count* spans.

        Returns:
            How many older ones had to go for it.

        Raises:
            OSError: If it could not be written.
        """
        self._make_room(len(body))
        name = f"{time_ns():020d}-{os.getpid()}-{next(self._numbers)}-{count}.otlp"
        self._write(body, name)
        lost, self._lost = self._lost, 0  # also by one that could not be written
        return lost

    def oldest(self) -> Claim | None:
        """
        Take the oldest batch that nobody else is sending; None where there is none.
        """
        for path, _, count in self._batches():
            claim = _claimed(path, count)
            if claim is None:
                continue
            if 0 < claim.size <= MOST_BYTES:
                return claim
            with suppress(OSError):  # none of ours, or one that could not be removed
                claim.remove()
        return None

    def is_empty(self, *, of_all: bool = False) -> bool:
        """
        Tell whether nothing waits that this process has kept; or anybody, *of_all*.
        """
        here = os.getpid()
        return not any(of_all or pid == here for _, pid, _ in self._batches())

    def _batches(self) -> "Iterator[tuple[Path, int, int]]":
        paths: list[Path] = []
        with suppress(OSError):  # the folder was taken away
            self._check_folder()
            paths = sorted(self._folder.iterdir())
        for path in paths:
            found = _NAME.fullmatch(path.name)
            if found:
                yield path, int(found[1]), int(found[2])

    def _write(self, body: bytes, name: str) -> Path:
        path = self._folder / name
        torn = self._folder / f".{name}.{os.getpid()}.torn"
        try:
            self._check_folder()
            with suppress(FileNotFoundError):  # a process of the same number was killed
                torn.unlink()
            with open(torn, "xb", opener=_opened) as file:
                file.write(body)
            return torn.replace(path)
        except OSError:
            with suppress(OSError):
                torn.unlink()
            raise

    def _check_folder(self) -> None:
        """
        Look whether it is a folder: others may put a link there, which leads elsewhere.
        """
        if not stat.S_ISDIR(os.lstat(self._folder).st_mode):
            raise NotADirectoryError(ENOTDIR, os.strerror(ENOTDIR), str(self._folder))

    def _make_room(self, size: int) -> None:
        sizes = {}
        for path, _, count in self._batches():
            with suppress(OSError):  # sent meanwhile
                sizes[path] = path.stat().st_size, count
        over = sum(each for each, _ in sizes.values()) + size - self._most_bytes
        for path, (each, count) in sizes.items():
            if over <= 0:
                break
            claim = _claimed(path, count)
            if claim is not None:
                self._lost, over = self._lost + count, over - each
                claim.remove()

    def _sweep(self) -> None:
        """
        Remove what writers that were killed had begun.
        """
        for path in self._folder.glob(".*.torn"):
            with suppress(OSError):
                if path.stat().st_mtime < time() - _TORN_S:
                    path.unlink()


def _opened(path: str, how: int) -> int:
    return os.open(path, how | _AS_IT_IS, 0o600)


def _claimed(path: Path, count: int) -> Claim | None:
    try:
        descriptor = os.open(path, os.O_RDWR | _AS_IT_IS)
    except OSError:  # sent meanwhile
        return None
    claim = Claim(path, descriptor, count)
    try:
        if fcntl is not None:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        found = os.fstat(descriptor)
        if stat.S_ISREG(found.st_mode) and os.path.samestat(found, path.stat()):
            claim.size = found.st_size
            return claim
    except OSError:  # somebody has it, or has just sent it
        pass
    claim.let_go()
    return None
