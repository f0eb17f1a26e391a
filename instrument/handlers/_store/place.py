"""
Where the store lies, and that only its owner may read it.
"""

import errno
import os
import stat
import sys
from contextlib import closing, suppress
from pathlib import Path

from instrument.exceptions import StoreError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

VARIABLE = "INSTRUMENT_STORE"
APPLICATION_ID = 0x494E5354  # "INST"
"""What tells ``file`` and us that it is a store."""
_FOLDER_MODE, _FILE_MODE = 0o700, 0o600
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def default_path() -> Path:
    """
    Give the store of this user: what ``INSTRUMENT_STORE`` names, else
    ``instrument/traces.db`` in the folder where programs of this user keep their data.

    Raises:
        StoreError: If the user has no home, as in some containers.
    """
    named = os.environ.get(VARIABLE)
    if named:
        return _whole(Path(named))
    return _data_folder() / "instrument" / "traces.db"


def checked_path(path: "Any") -> Path:
    """
    Give *path*, or the default, as one that stays the same when the folder is changed.

    Raises:
        TypeError: If it is no path.
        StoreError: If it is a folder, or a device as ``/dev/null``; if there is no home.
    """
    whole = default_path() if path is None else _whole(Path(os.fsdecode(path)))
    whole = Path(os.path.realpath(whole))
    # these do not raise where one may not look
    if os.path.isdir(whole):  # noqa: PTH112
        message = (
            f"a store is a file, and {str(whole)!r} is a folder. Add a name to it."
        )
        raise StoreError(message)
    if os.path.exists(whole) and not os.path.isfile(whole):  # noqa: PTH110, PTH113
        message = f"a store is a file, and {str(whole)!r} is no plain one."
        raise StoreError(message)
    return whole


def prepare(path: Path) -> None:
    """
    Make the file, and its folder where that is ours, for its owner's eyes alone.

    SQLite gives the files beside it the same mode.

    Raises:
        OSError: If that cannot be.
    """
    if not path.parent.exists():
        path.parent.mkdir(parents=True, mode=_FOLDER_MODE, exist_ok=True)
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        _make(path)
        return
    if stat.S_ISLNK(mode):
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
    if not os.access(path, os.R_OK | os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
    if os.name == "posix" and mode & _OTHERS and _is_ours(path):
        with suppress(PermissionError):  # another's, who lets us write to it
            path.chmod(_FILE_MODE)


def head_of(path: Path) -> "tuple[int, int] | None":
    """
    Give which application's a database is, and its version; None if that cannot be seen.

    Read by SQLite, and without its locks: whoever else opens a file and closes it takes
    away all locks that SQLite has on it in this process, and as long as it does not know,
    another process may do away with what it writes.

    Raises:
        DatabaseError: If it is none.
    """
    import sqlite3

    uri = f"{path.as_uri()}?mode=ro&immutable=1"
    try:
        with closing(sqlite3.connect(uri, uri=True)) as connection:
            (application,) = connection.execute("PRAGMA application_id").fetchone()
            (version,) = connection.execute("PRAGMA user_version").fetchone()
    except sqlite3.OperationalError:  # there is none, or it may not be read
        return None
    return application, version


def _make(path: Path) -> None:
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0)
    with suppress(FileExistsError):  # by another, just now
        os.close(os.open(path, flags, _FILE_MODE))


def _is_ours(path: Path) -> bool:
    """
    Tell whether it is a store, or empty: what others keep, others may read.
    """
    from sqlite3 import DatabaseError

    try:
        head = head_of(path)
    except DatabaseError:
        return False
    empty = head is not None and not os.stat(path).st_size  # noqa: PTH116
    return empty or (head is not None and head[0] == APPLICATION_ID)


def _data_folder() -> Path:
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or _home("AppData/Local"))
    if sys.platform == "darwin":
        return _home("Library/Application Support")
    return Path(os.environ.get("XDG_DATA_HOME") or _home(".local/share"))


def _home(folder: str) -> Path:
    return _whole(Path("~", folder))


def _whole(path: Path) -> Path:
    try:
        return path.expanduser()
    except RuntimeError:
        message = (
            f"no home of a user is known here, and the store is to be in {str(path)!r}."
            f" Name another file, whole: StoreHandler(FILE), --store FILE or {VARIABLE}."
        )
        raise StoreError(message) from None
