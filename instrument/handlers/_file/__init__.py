"""
`FileCallbackHandler`: every event as a line of JSON.
"""

import errno
import os

from instrument._audience.handler import BaseCallbackHandler
from instrument._interrupts import Taking
from instrument.handlers._file.lines import Lines
from instrument.handlers._shared.checks import checked_choice, checked_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any, Self

    from instrument._payloads.event import Event


class FileCallbackHandler(BaseCallbackHandler):
    """
    Write every event to a file, one `Event` as JSON a line.

    Each line is appended whole and at once, so that several threads and processes may
    write to one file, and what was written is there after a crash. Where a full disk or
    a killed process leaves the beginning of a record, that is cut before the next line.

    Args:
        path: The file. Its folder must exist.
        mode: ``a`` to append, ``w`` to begin anew, ``x`` to refuse a file that exists.
        max_bytes: The size beyond which the file is put aside, as ``path.1``, and a new
            one begun; None for no limit. Every process that writes to it says the same.
        keep: How many files that were put aside are kept.

    Raises:
        TypeError: If a limit is no whole number.
        ValueError: For another mode, or a limit below 1.
        OSError: If the file cannot be written.
    """

    def __init__(
        self,
        path: "str | os.PathLike[str]",
        mode: str = "a",
        *,
        max_bytes: int | None = None,
        keep: int = 3,
    ) -> None:
        checked_choice("FileCallbackHandler: mode", mode, "a", "w", "x")
        if max_bytes is not None:
            checked_size("FileCallbackHandler: max_bytes", max_bytes)
        checked_size("FileCallbackHandler: keep", keep)
        self.path = os.fspath(path)
        if os.path.isdir(self.path):  # noqa: PTH112 - a path may be bytes
            message = (
                f"FileCallbackHandler needs a file, and {self.path!r} is a folder."
            )
            raise IsADirectoryError(errno.EISDIR, message, self.path)
        self._lines = Lines(self.path, mode, max_bytes, keep)

    @property
    def lost(self) -> int:
        """
        How many records could not be written, or were found torn and cut.
        """
        return self._lines.lost

    def on_event(self, event: "Event", **kwargs: "Any") -> None:
        taking = Taking()
        try:
            line = f"{event.to_json()}\n".encode("ascii")
        except Exception as exc:
            self._lines.misses(exc)
            raise
        self._lines.write(line, taking)

    def close(self) -> None:
        """
        Close the file; later events raise, and so are reported once.
        """
        self._lines.close()

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
        lines = getattr(self, "_lines", None)
        if lines is not None and lines.is_open:
            self.close()
