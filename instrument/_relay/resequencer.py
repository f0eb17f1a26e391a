"""
`Resequencer`: what a transport has lost, doubled or put in another order, made right.
"""

from heapq import heappop, heappush

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

MOST_HELD = 10_000
"""How many wait for an earlier one; with more, that is given up."""


class Resequencer:
    """
    One stream: gives each item once, in the order of the numbers from 0 on.

    What was sent is numbered by its sender; the end tells how many there are. Work that is
    done once more has a higher attempt, begins at 0, and all of an earlier one is passed
    over from then on. It knows nothing of clocks, threads or transports.

    Attributes:
        attempt: The latest that has begun.
        lost: How many were given up.
    """

    def __init__(self, most_held: int = MOST_HELD) -> None:
        self.attempt = 0
        self.lost = 0
        self._most_held = most_held
        self._begin()

    def _begin(self) -> None:
        self._next = 0
        self._held: dict[int, Any] = {}
        self._waiting: list[int] = []  # their numbers, as a heap
        self._count: int | None = None

    @property
    def is_whole(self) -> bool:
        """
        Whether the end has come, and all before it was given or given up.
        """
        return self._count is not None and self._next >= self._count

    @property
    def is_waiting(self) -> bool:
        """
        Whether an earlier item than some that are here has not come.
        """
        return bool(self._held) or (self._count or 0) > self._next

    def begin(self, attempt: int) -> bool:
        """
        Tell whether a higher attempt begins: nothing more is given of the one before.
        """
        if attempt <= self.attempt:
            return False
        self.attempt = attempt
        self._begin()
        return True

    def take(self, first: int, items: "Sequence[Any]", attempt: int = 0) -> "list[Any]":
        """
        Take items with consecutive numbers; give those whose turn it is.

        Args:
            first: The number of the first.
        """
        if attempt != self.attempt:
            return []
        ready: list[Any] = []
        for number, item in enumerate(items, first):
            if number != self._next:
                self._hold(number, item, ready)
            elif self._count is None or number < self._count:
                ready.append(item)
                self._next += 1
                self._give(ready)
        return ready

    def end(self, count: int, attempt: int = 0) -> None:
        """
        Note that there are *count* in all. The first end counts.
        """
        if attempt == self.attempt and self._count is None:
            self._count = max(count, 0)
            self._held = {n: it for n, it in self._held.items() if n < count}
            self._waiting = sorted(self._held)

    def give_up(self) -> "list[Any]":
        """
        Give what is here, and count what is missing before or between as lost.
        """
        ready: list[Any] = []
        while self._waiting:
            self._skip(self._waiting[0], ready)
        if self._count is not None and self._next < self._count:
            self._skip(self._count, ready)
        return ready

    def _hold(self, number: int, item: "Any", ready: "list[Any]") -> None:
        """
        Keep one that is before its turn, if it is new; with too many go on with the first.
        """
        is_within = self._count is None or number < self._count
        if number < self._next or number in self._held or not is_within:
            return
        self._held[number] = item
        heappush(self._waiting, number)
        if len(self._held) > self._most_held:
            self._skip(self._waiting[0], ready)

    def _give(self, ready: "list[Any]") -> None:
        while self._waiting and self._waiting[0] == self._next:
            ready.append(self._held.pop(heappop(self._waiting)))
            self._next += 1

    def _skip(self, number: int, ready: "list[Any]") -> None:
        self.lost += number - self._next
        self._next = number
        self._give(ready)
