"""
`Framing`: events made into lines in one order, from whatever threads they come.
"""

from collections import deque

from instrument._forks import fork_lock
from instrument._payloads.jsonable import encoded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from instrument._payloads.event import Event
    from instrument.handlers._protocols.encoder import Encoder
    from instrument.handlers._shared.page_handler import Question

    Item = Callable[[], tuple[list[str], "Event | None"]]


class Framing:
    """
    One stream's encoder, and where its lines go.

    Args:
        put: Takes each line, and the event that it is of, if it is of one. It is called
            by one thread at a time, and does not wait.
    """

    def __init__(
        self, encoder: "Encoder", put: "Callable[[str, Event | None], None]"
    ) -> None:
        self._encoder = encoder
        self._put = put
        self._waiting: deque[Item] = deque()
        self._lock = fork_lock()
        self._is_busy = False

    def tell(self, event: "Event") -> None:
        """
        Put the lines of *event*.
        """
        if self._encoder.is_ordered:
            self._do(lambda: (self._encoder.lines(event), event))
            return
        for line in self._encoder.lines(event):
            self._put(line, event)

    def ask(self, question: "Question") -> None:
        """
        Put the lines that ask the page, or tell what it answered.
        """
        frames = self._encoder.question
        self._do(lambda: ([encoded(it) for it in frames(question)], None))

    def end(self, error: "tuple[str, str] | None") -> None:
        """
        Put the lines that the stream ends with.
        """
        frames = self._encoder.ended
        self._do(lambda: ([encoded(it) for it in frames(error)], None))

    def _do(self, item: "Item") -> None:
        self._waiting.append(item)
        with self._lock:
            if self._is_busy:  # re-entered by a collected generator: after that one
                return
            self._is_busy = True
            try:
                while self._waiting:
                    lines, event = self._waiting.popleft()()
                    for line in lines:
                        self._put(line, event)
            finally:
                self._is_busy = False
