"""
Where the store lies, and that only its owner may read it.
"""

import os
import stat
import sys
from contextlib import suppress
from pathlib import Path

from instrument.exceptions import StoreError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

VARIABLE = "INSTRUMENT_STORE"
APPLICATION_ID = 0x494E5354  # "INST"
"""What tells ``file`` and us that it is a store."""
_ID_AT = 68
_FOLDER_MODE, _FILE_MODE = 0o700, 0o600
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def default_path() -> Path:
    """
    Give the store of this user: what ``INSTRUMENT_STORE`` names, else
    ``instrument/traces.db`` in the folder where programs of this user keep their data.
    """
    named = os.environ.get(VARIABLE)
    if named:
        return Path(named).expanduser()
    return _data_folder() / "instrument" / "traces.db"


def checked_path(path: "Any") -> Path:
    """
    Give *path*, or the default, as one that stays the same when the folder is changed.

    Raises:
        TypeError: If it is no path.
        StoreError: If it is a folder, or a device as ``/dev/null``.
    """
    whole = default_path() if path is None else Path(os.fsdecode(path)).expanduser()
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
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0)
    file = os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), _FILE_MODE)
    try:
        is_loose = os.name == "posix" and os.fstat(file).st_mode & _OTHERS
        if is_loose and _is_ours(file):
            with suppress(PermissionError):  # another's, who lets us write to it
                os.fchmod(file, _FILE_MODE)
    finally:
        os.close(file)


def _is_ours(file: int) -> bool:
    """
    Tell whether it is a store, or empty: what others keep, others may read.
    """
    head = os.pread(file, _ID_AT + 4, 0)
    return head[_ID_AT:] in (b"", APPLICATION_ID.to_bytes(4))


def _data_folder() -> Path:
    home = Path.home()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    if sys.platform == "darwin":
        return home / "Library" / "Application Support"
    return Path(os.environ.get("XDG_DATA_HOME") or home / ".local" / "share")
