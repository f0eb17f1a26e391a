"""
`Mailbox`: a bounded queue of frames for one reader, who may come back for the latest.
"""

from collections import deque
from contextlib import suppress

from instrument._forks import fork_lock
from instrument._interrupts import Taking

TYPE_CHECKING = False
if TYPE_CHECKING:
    from instrument.handlers._shared.waiters import Waiter


class Mailbox:
    """
    Frames in order, of which the first have been read.

    Args:
        maxsize: How many wait before those who put more are to be held up.
        kept: How many that have been read are kept.

    Attributes:
        dropped: How many events found no place.
        is_ended: Whether no more will come.
    """

    def __init__(self, maxsize: int, kept: int) -> None:
        self._maxsize, self._kept = maxsize, kept
        self._frames: deque[tuple[str | None, bytes]] = deque()
        self._read = 0  # of these so many
        self._reader: Waiter | None = None
        self._held: deque[Waiter] = deque()
        self._lock = fork_lock()
        self.dropped = 0
        self.is_ended = False

    @property
    def is_full(self) -> bool:
        """
        Whether whoever puts one is to be held up.
        """
        return self._waiting() > self._maxsize and not self.is_ended

    @property
    def is_done(self) -> bool:
        """
        Whether all has been read that will ever come.
        """
        return self.is_ended and not self._waiting()

    def takes(self, *, is_expendable: bool) -> bool:
        """
        Tell whether one event more has a place, with room for those who cannot wait.
        """
        if self._waiting() < self._maxsize * (2 if is_expendable else 3):
            return True
        with self._lock:
            self.dropped += 1
        return False

    def put(self, id: str | None, frame: bytes, taking: Taking) -> None:
        """
        Add a frame, and tell that to *taking*.
        """
        taking.is_taken = True
        self._frames.append((id, frame))
        self.wake()

    def end(self, *, discard: bool = False) -> None:
        """
        Let nothing more come; *discard* also what is here.
        """
        self.is_ended = True
        if discard:
            with self._lock:
                self._frames.clear()
                self._read = 0
        self.wake()
        self._release()

    def take(self) -> bytes | None:
        """
        Give the next frame, if there is one.
        """
        with self._lock:
            if not self._waiting():
                return None
            frame = self._frames[self._read][1]
            self._read += 1
            if self._read > self._kept:
                self._frames.popleft()
                self._read -= 1
        self._release()
        return frame

    def go_back(self, id: str) -> bool:
        """
        Have what comes after the frame of that id read again, if that is still here.
        """
        with self._lock:
            for index in range(self._read - 1, -1, -1):
                if self._frames[index][0] == id:
                    self._read = index + 1
                    return True
        return False

    def go_to_start(self) -> None:
        """
        Have all that is still here read again.
        """
        with self._lock:
            self._read = 0

    def sleeps(self, reader: "Waiter") -> bool:
        """
        Have *reader* woken when something comes; tell whether it is to sleep till then.
        """
        self._reader = reader
        return not (self._waiting() or self.is_ended)

    def hold(self, waiter: "Waiter") -> None:
        """
        Have *waiter* woken when there is place.
        """
        self._held.append(waiter)
        self._release()

    def let_go(self, waiter: "Waiter") -> None:
        """
        Forget one that waits no more.
        """
        with suppress(ValueError):
            self._held.remove(waiter)

    def wake(self) -> None:
        """
        Wake the reader.
        """
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.wake()

    def _waiting(self) -> int:
        return len(self._frames) - self._read

    def _release(self) -> None:
        with suppress(IndexError):  # another thread lets go as well
            while self.is_ended or self._waiting() <= self._maxsize:
                self._held.popleft().wake()
