"""
`FileCallbackHandler`: every event as a line of JSON.
"""

import errno
import os

from instrument._audience.handler import BaseCallbackHandler
from instrument._forks import fork_lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any, Self

    from instrument._payloads.event import Event

_FLAGS = {
    "a": os.O_APPEND | os.O_CREAT,
    "w": os.O_APPEND | os.O_CREAT | os.O_TRUNC,
    "x": os.O_APPEND | os.O_CREAT | os.O_EXCL,
}


class FileCallbackHandler(BaseCallbackHandler):
    """
    Write every event to a file, one `Event` as JSON a line.

    Each line goes to the system whole and at once, so that several threads and
    processes may write to one file, and what was written is there after a crash.

    Args:
        path: The file. Its folder must exist.
        mode: ``a`` to append, ``w`` to begin anew, ``x`` to refuse a file that exists.

    Raises:
        ValueError: For another mode.
        OSError: If the file cannot be written.
    """

    def __init__(self, path: "str | os.PathLike[str]", mode: str = "a") -> None:
        if mode not in _FLAGS:
            message = f"FileCallbackHandler: mode is 'a', 'w' or 'x', not {mode!r}."
            raise ValueError(message)
        self.path = os.fspath(path)
        if os.path.isdir(self.path):  # noqa: PTH112 - a path may be bytes
            message = (
                f"FileCallbackHandler needs a file, and {self.path!r} is a folder."
            )
            raise IsADirectoryError(errno.EISDIR, message, self.path)
        flags = os.O_RDWR | getattr(os, "O_CLOEXEC", 0) | _FLAGS[mode]
        self._descriptor: int | None = os.open(self.path, flags, 0o666)
        self._lock = fork_lock()
        if self._is_torn():
            self._write(b"\n")

    def on_event(self, event: "Event", **kwargs: "Any") -> None:
        self._write(f"{event.to_json()}\n".encode("ascii"))

    def close(self) -> None:
        """
        Close the file; later events raise, and so are reported once.
        """
        with self._lock:
            descriptor, self._descriptor = self._descriptor, None
            if descriptor is not None:
                os.close(descriptor)

    def __enter__(self) -> "Self":
        return self

    def __exit__(
        self,
        exc_type: "type[BaseException] | None",
        exc: BaseException | None,
        traceback: "TracebackType | None",
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_descriptor", None) is not None:
            self.close()

    def _write(self, line: bytes) -> None:
        with self._lock:
            if self._descriptor is None:
                message = f"the file {self.path!r} of this handler is closed"
                raise ValueError(message)
            while line:
                line = line[os.write(self._descriptor, line) :]

    def _is_torn(self) -> bool:
        """
        Tell whether a crash left the file in mid-line.
        """
        file: Any = self._descriptor
        if os.fstat(file).st_size == 0:
            return False
        os.lseek(file, -1, os.SEEK_END)
        return os.read(file, 1) != b"\n"
