"""
The errors of this library that a caller may want to catch.

    InstrumentError
     +-- BudgetExceeded
     +-- EventFormatError (also a ValueError)
     +-- RemoteError
     +-- RequestStopped
     +-- StoreError
     +-- ToolRefused

Wrong arguments raise ``TypeError`` and ``ValueError`` as everywhere in Python.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from instrument import Run

__all__ = [
    "BudgetExceeded",
    "EventFormatError",
    "InstrumentError",
    "RemoteError",
    "RequestStopped",
    "StoreError",
    "ToolRefused",
]


class InstrumentError(Exception):
    """
    The root of every error that only this library raises.
    """


class BudgetExceeded(InstrumentError):  # noqa: N818 - it is no mistake of anybody's
    """
    Raised by `BudgetHandler` to stop a request.

    Attributes:
        limit: The argument that stopped it, for instance ``max_tokens``.
        value: What was reached: calls made, tokens used, the tool's name; None where
            a cost is not known.
        maximum: What was allowed.
        run: The run that was refused or stopped; None after pickling.
    """

    def __init__(
        self,
        message: str,
        limit: str,
        value: object,
        maximum: object,
        run: "Run | None" = None,
    ) -> None:
        super().__init__(message)
        self.limit = limit
        self.value = value
        self.maximum = maximum
        self.run = run

    def __reduce__(self) -> "tuple[Any, ...]":
        return type(self), (str(self), self.limit, self.value, self.maximum)


class EventFormatError(InstrumentError, ValueError):
    """
    Raised by ``Event.from_json`` for text that is no event of a known version.
    """


class RemoteError(InstrumentError):
    """
    What a run in another process failed with, as handlers here are told: an exception
    of a class that is not Python's own, or that the process was lost.

    Attributes:
        type: The name of the exception's class there; ``WorkerLost`` of a process that
            ended, or could not be heard any more, in the middle of a run.
        traceback: As text, where it was told.
    """

    def __init__(self, message: str, type: str, traceback: str = "") -> None:
        super().__init__(message)
        self.type = type
        self.traceback = traceback

    def __reduce__(self) -> "tuple[Any, ...]":
        return RemoteError, (str(self), self.type, self.traceback)


class RequestStopped(InstrumentError):  # noqa: N818 - it is no mistake of anybody's
    """
    Raised in sync code whose page has gone, or has said that it is to stop.

    Attributes:
        run: The run that was not begun, or was writing; None after pickling.
    """

    def __init__(self, message: str, run: "Run | None" = None) -> None:
        super().__init__(message)
        self.run = run

    def __reduce__(self) -> "tuple[Any, ...]":
        return type(self), (str(self),)


class StoreError(InstrumentError):
    """
    Raised for a file that cannot be read as a store; says which, and what to do.
    """


class ToolRefused(InstrumentError):  # noqa: N818 - it is no mistake of anybody's
    """
    Raised by `approval` in place of a tool that the page did not let run.

    Attributes:
        reason: What the page said, or why it could not be asked.
        run: The tool's run; None after pickling.
    """

    def __init__(
        self, message: str, reason: str = "", run: "Run | None" = None
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.run = run

    def __reduce__(self) -> "tuple[Any, ...]":
        return type(self), (str(self), self.reason)
