"""
What brings events home: an engine's own way, or a socket of the machine's.
"""

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class Elsewhere(OSError):  # noqa: N818 - nothing is wrong
    """
    What is not to be reached from here, as it should be: all goes on, and events stay.
    """


class Line(Protocol):
    """
    One way there and back, for one worker at a time; frames arrive whole and in order.
    """

    def send(self, frame: bytes) -> None:
        """
        Send a frame; waits where the other side is slow.

        Raises:
            OSError: If it is broken.
        """

    def receive(self, timeout_s: float | None = None) -> bytes:
        """
        Wait for a frame.

        Raises:
            OSError: If it is broken, or the other side has left.
            TimeoutError: If none came in time, which is one.
        """

    def has_news(self) -> bool:
        """
        Tell whether `receive` would not wait.
        """

    def close(self) -> None:
        """
        Have the other side see that there is nothing more; from any thread, any time.
        """


class Transport(Protocol):
    """
    How frames come from another process to this one, and answers back.

    One of an engine's is added to `relay.TRANSPORTS` by the engine's integration.
    """

    def listen(self, serve: "Callable[[Line], None]") -> None:
        """
        From now on have *serve* called, in a thread of its own, for each line that is
        opened to here; it is closed when that returns.
        """

    def address(self) -> "dict[str, Any]":
        """
        Give where to: a small JSON object, which no stranger may see.
        """

    def open(self, address: "dict[str, Any]") -> Line:
        """
        Open a line to what listens at an *address*, in another process.

        Raises:
            OSError: If nothing that can be trusted listens there; `Elsewhere` where that
                is no fault.
            ValueError: For what is no address.
        """
