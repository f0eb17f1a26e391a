"""
Where the demo writes. A disk that is full, or a reader that left, is told when all is
over: a request does not suffer from those who listen.
"""

from collections.abc import Callable
from typing import TextIO

from instrument import Event
from instrument.handlers import FileCallbackHandler


class Output:
    """
    A text stream that keeps its first error and writes no more.

    Attributes:
        error: Why nothing is written any longer; None while all is well.
    """

    def __init__(self, stream: TextIO) -> None:
        self.error: OSError | None = None
        self._stream = stream

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """
        Write *text*, or nothing once that failed.
        """
        self._try(lambda: self._stream.write(text))
        return len(text)

    def flush(self) -> None:
        """
        Hand on what is buffered.
        """
        self._try(self._stream.flush)

    def _try(self, action: Callable[[], object]) -> None:
        if self.error is None:
            try:
                action()
            except OSError as exc:
                self.error = exc


class EventsFile(FileCallbackHandler):
    """
    A file of events that keeps its first error and writes no more.

    Attributes:
        error: Why nothing is written any longer; it names the file.
    """

    error: OSError | None = None

    def on_event(self, event: Event, **kwargs: object) -> None:
        """
        Write *event*, or nothing once that failed.
        """
        if self.error is None:
            try:
                super().on_event(event, **kwargs)
            except OSError as exc:
                exc.filename = self.path
                self.error = exc
