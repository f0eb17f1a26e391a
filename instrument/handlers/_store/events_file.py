"""
A file of events, as `FileCallbackHandler` writes it, as a store: to look at it likewise.
"""

import atexit
import os
import shutil
import sqlite3
import tempfile
from contextlib import ExitStack
from pathlib import Path
from threading import Thread
from time import sleep

from instrument import _report
from instrument._payloads.event import Event
from instrument.exceptions import EventFormatError, StoreError
from instrument.handlers._shared.worker import be_quiet
from instrument.handlers._store import processes
from instrument.handlers._store.ledger import Ledger
from instrument.handlers._store.tables import writing
from instrument.handlers._store.told import Told

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO

_AT_ONCE = 5_000
_LOOK_S = 0.1
_MISSING = 2
"""How many in a row there are none of behind the last: while files move up, one is not."""


def store_of(path: "str | os.PathLike[str]", *, follow: bool = False) -> Path:
    """
    Read a file of events into a store in a temporary folder, which goes with the process.

    Lines of several processes may stand between each other. A line that is none, and the
    half one at the end, are passed over.

    Args:
        follow: Whether a thread goes on reading what is added later. What runs shows as
            running then, else as lost.

    Raises:
        StoreError: If there is no such file, or no event in it.
    """
    source = Path(path)
    try:
        file = source.open("rb")
    except OSError as exc:
        message = f"the events file {str(source)!r} cannot be read: {exc}"
        raise StoreError(message) from exc
    try:
        return _read(file, source, follow=follow)
    except (OSError, sqlite3.Error) as exc:
        message = (
            f"the events file {str(source)!r} cannot be read: its copy in"
            f" {tempfile.gettempdir()!r}: {exc}"
        )
        raise StoreError(message) from exc


def _read(file: "BinaryIO", source: Path, *, follow: bool) -> Path:
    with ExitStack() as opened:
        opened.callback(file.close)
        folder = Path(tempfile.mkdtemp(prefix="instrument-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        store = folder / f"{source.stem}.db"
        following = _Following(file, source, store, is_live=follow)
        opened.callback(following.close)
        following.begin()
        if follow:
            work = following.go_on
            Thread(target=work, name="instrument events", daemon=True).start()
            opened.pop_all()
    return store


class _Following:
    """
    Reads a file as far as it goes, and on.
    """

    def __init__(
        self, file: "BinaryIO", source: Path, store: Path, *, is_live: bool
    ) -> None:
        self._file, self._source = file, source
        self._batch: list[Told] = []
        self._count = 0
        connection = writing(store)
        try:
            process = None if is_live else processes.enter_unknown(connection)
            self._ledger = Ledger(connection, process)
        except BaseException:
            connection.close()
            raise

    def begin(self) -> None:
        """
        Read what is there.

        Raises:
            StoreError: If that is no event.
        """
        if self.read() and not self._count:
            message = f"{self._file.name!r} holds no events, nor is it a store."
            raise StoreError(message)

    def read(self) -> bool:
        """
        Read what is there, and tell whether that was anything.
        """
        self._write()  # what found no room the last time
        has_read = False
        for line in self._file:
            has_read = True
            if not line.endswith(b"\n"):  # who writes next may cut it
                self._seek(self._file.tell() - len(line))
                break
            told = _told(line)
            if told is not None:
                self._batch.append(told)
            if len(self._batch) >= _AT_ONCE:
                self._write()
        self._write()
        return has_read

    def go_on(self) -> None:
        """
        Read what is added, for as long as the process is there.
        """
        be_quiet()
        while True:
            sleep(_LOOK_S)
            try:
                self.read()
                while self._goes_over():
                    self.read()
            except Exception as exc:  # nobody is above to hear of it
                _report.failed_apart(self, "read", exc)

    def _goes_over(self) -> bool:
        """
        Go over to what was begun when this file was put aside, taken away or emptied.
        """
        here = os.fstat(self._file.fileno())
        if here.st_size < self._file.tell():
            self._seek(0)
            return True
        try:
            place = _place(self._source, here)
            if place == 0:
                return False
            newer = _numbered(self._source, (place or 1) - 1).open("rb")
        except FileNotFoundError:  # not yet begun
            return False
        if place != _place(self._source, here):  # renamed meanwhile: look again
            newer.close()
            return True
        self.read()  # what came to it before it was put aside
        self._file.close()
        self._file = newer
        return True

    def _seek(self, position: int) -> None:
        self._file.seek(0, os.SEEK_END)  # which forgets what was read ahead
        self._file.seek(position)

    def close(self) -> None:
        self._ledger.close()

    def _write(self) -> None:
        batch, self._batch = self._batch, []
        if not batch:
            return
        try:
            self._ledger.write(batch)
        except sqlite3.OperationalError:  # there may be room the next time
            self._batch = batch
            raise
        self._count += len(batch)


def _place(source: Path, file: os.stat_result) -> int | None:
    """
    Tell as which number *file* was put aside: 0 for the one in use, None if it has gone.
    """
    number = missing = 0
    while missing < _MISSING:
        try:
            found = _numbered(source, number).stat()
        except FileNotFoundError:
            missing += 1
        else:
            missing = 0
            if os.path.samestat(found, file):
                return number
        number += 1
    return None


def _numbered(source: Path, number: int) -> Path:
    return source.with_name(f"{source.name}.{number}") if number else source


def _told(line: bytes) -> Told | None:
    try:
        return Told(Event.from_json(line))
    except EventFormatError:
        return None
