"""
What RQ's workers are asked to do in tests.
"""

import os
import signal
from pathlib import Path
from threading import Event

from instrument import current_run, emit, traced


@traced.llm
def said_until(path: str) -> str:
    """
    Tell a piece, and go on when a file is there.
    """
    current_run().token("first")
    while not Path(path).exists():
        Event().wait(0.01)
    current_run().token("last")
    return "done"


def answer(path: str) -> str:
    """
    Be a job: no run of its own, one below.
    """
    emit("begun", os.getpid())
    return said_until(path)


@traced
def inner(what: str) -> None:
    """
    Fail.
    """
    raise ValueError(f"no {what}")


@traced
def fails(what: str) -> None:
    """
    Let a failure through.
    """
    inner(what)


@traced
def fails_once(path: str) -> str:
    """
    Fail at the first attempt.
    """
    file = Path(path)
    if not file.exists():
        file.touch()
        raise OSError(5, "not yet")
    return "done"


@traced
def killed_once(path: str) -> str:
    """
    Be killed at the first attempt.
    """
    file = Path(path)
    if not file.exists():
        file.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return "done"


@traced
def never_ends() -> None:
    """
    Wait until it is too late.
    """
    while True:
        Event().wait(0.01)


@traced
async def later(number: int) -> int:
    """
    Be async.
    """
    return number


class Chain:
    """
    Has a method to be done.
    """

    @traced
    def run(self, number: int) -> int:
        """
        Tell fifty events: a start, 48 of the application's own, an end.
        """
        for at in range(48):
            emit("progress", [number, at])
        return number
