"""
`StoreHandler`: every run into a file of SQLite, which the page, the command line and
people's own tools read.
"""

from instrument._audience.handler import BaseCallbackHandler
from instrument._delivery import loops as _loops
from instrument._interrupts import Taking
from instrument.handlers._shared.checks import checked_seconds, checked_size
from instrument.handlers._store.place import checked_path
from instrument.handlers._store.tables import check_file
from instrument.handlers._store.writer import writer_for

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    from pathlib import Path
    from typing import Any, Self

    from instrument._payloads.event import Event


class StoreHandler(BaseCallbackHandler):
    """
    Keep every run in a store: one file, that ``python -m instrument view`` shows.

    What happens is taken where it happens, and written by one thread for each file; a
    call does not wait for it. A run is there from its start; what a crash takes is the
    last tenth of a second. Several handlers and processes may write to one file. Where
    nothing can be written, that is reported once, and the calls go on. The interpreter's
    exit waits at most 5 s for what is left to write.

    Args:
        path: The file, for its owner alone; it is made where there is none. None is the
            user's own: what ``INSTRUMENT_STORE`` names, else ``instrument/traces.db`` in
            the user's data folder.
        keep_days: How old a request may be; older ones are deleted.
        keep_bytes: How large the store may grow; then the oldest are deleted.

    Raises:
        TypeError, ValueError: For what cannot be; names the value and the cure.
        StoreError: If the file is no store, or of a newer version.
    """

    remote = "local"

    def __init__(
        self,
        path: "str | os.PathLike[str] | None" = None,
        *,
        keep_days: float | None = None,
        keep_bytes: int | None = None,
    ) -> None:
        place = checked_path(path)
        check_file(place)
        if keep_days is not None:
            checked_seconds("StoreHandler(keep_days=...)", keep_days)
        if keep_bytes is not None:
            checked_size("StoreHandler(keep_bytes=...)", keep_bytes)
        self._writer = writer_for(place)
        self._writer.bounds.tighten(keep_days, keep_bytes)

    @property
    def path(self) -> "Path":
        """
        Where the store is.
        """
        return self._writer.path

    @property
    def lost(self) -> int:
        """
        How many events of this process will never be written.
        """
        return self._writer.lost

    def drain(self, timeout_s: float = _loops.WAIT_S) -> bool:
        """
        Wait until what was told has been written.

        Returns:
            Whether that was in time.
        """
        return self._writer.drain(
            checked_seconds("StoreHandler.drain(timeout_s=...)", timeout_s)
        )

    def on_event(self, event: "Event", **kwargs: "Any") -> None:
        taking = Taking()
        self._writer.tell(event, event.run, taking)

    def __repr__(self) -> str:
        return f"<StoreHandler of {str(self.path)!r}>"

    def __deepcopy__(self, memo: object) -> "Self":
        return self
