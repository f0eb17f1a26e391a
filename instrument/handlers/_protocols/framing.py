"""
`Framing`: events made into lines in one order, from whatever threads they come.
"""

from collections import deque

from instrument._forks import fork_lock
from instrument._interrupts import Taking, is_of_call
from instrument._payloads.jsonable import encoded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from instrument._payloads.event import Event
    from instrument.handlers._protocols.encoder import Encoder
    from instrument.handlers._shared.page_handler import Question

    Make = Callable[[], list[dict[str, Any]]]


class Framing:
    """
    One stream's encoder, and where its lines go.

    Args:
        put: Takes each line, and the event that it is of, if it is of one, and tells
            that it has. It is called by one thread at a time, and does not wait.
    """

    def __init__(
        self, encoder: "Encoder", put: "Callable[[str, Event | None, Taking], None]"
    ) -> None:
        self._encoder = encoder
        self._put = put
        self._waiting: deque[_Item] = deque()
        self._lock = fork_lock()
        self._is_busy = False

    def tell(self, event: "Event", taking: Taking) -> None:
        """
        Put the lines of *event*, and tell that to *taking*.
        """
        if self._encoder.is_ordered:
            self._do(_Item(lambda: self._encoder.frames(event), event), taking)
            return
        for line in self._encoder.lines(event):
            self._put(line, event, taking)

    def ask(self, question: "Question") -> None:
        """
        Put the lines that ask the page, or tell what it answered.
        """
        frames = self._encoder.question
        self._do(_Item(lambda: frames(question)), Taking())

    def end(self, error: "tuple[str, str] | None") -> None:
        """
        Put the lines that the stream ends with.
        """
        frames = self._encoder.ended
        self._do(_Item(lambda: frames(error)), Taking())

    def _do(self, item: "_Item", taking: Taking) -> None:
        taking.is_taken = True
        self._waiting.append(item)
        with self._lock:
            if self._is_busy:  # re-entered by a collected generator: after that one
                return
            self._is_busy = True
            try:
                while self._waiting:
                    self._write(self._waiting[0])
            finally:
                self._is_busy = False

    def _write(self, item: "_Item") -> None:
        """
        Put the lines of *item*; after an interrupt it waits for what is told next, with
        those that are left.
        """
        try:
            if item.frames is None:
                item.frames = item.make()
            while item.frames:
                taking = Taking()
                try:
                    self._put(encoded(item.frames[0]), item.event, taking)
                finally:
                    if taking.is_taken:
                        del item.frames[0]
        except BaseException as exc:  # pragma: no cover - an interrupt, or no memory
            if is_of_call(exc):
                raise
            self._waiting.popleft()
            raise
        self._waiting.popleft()


class _Item:
    """
    What is still to be put.

    Attributes:
        frames: None until they are made.
    """

    def __init__(self, make: "Make", event: "Event | None" = None) -> None:
        self.make = make
        self.event = event
        self.frames: list[dict[str, Any]] | None = None
