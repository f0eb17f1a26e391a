"""
What Ray's workers are asked to do in tests.
"""

import asyncio
import os
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

from instrument import callbacks, current_run, emit, traced
from instrument.integrations.ray import remote
from instrument.testing import Recorder


def wait_for(path: str) -> None:
    """
    Wait until a file is there.
    """
    until = time.monotonic() + 30
    while not Path(path).exists():
        assert time.monotonic() < until, path
        threading.Event().wait(0.01)


def has_begun(path: str) -> bool:
    """
    Tell whether this is done once more; note that it is done.
    """
    before = Path(path).exists()
    Path(path).touch()
    return before


@traced.llm(model="m-1")
def stream(name: str, count: int) -> Iterator[str]:
    """
    Tell so many pieces.
    """
    for number in range(count):
        yield f"{name}{number}"


def read(name: str, count: int) -> str:
    """
    Read a stream, for a pool's way of sending.
    """
    return "".join(stream(name, count))


@remote
@traced
def work(name: str, count: int = 3, *, end: str = "") -> str:
    """
    Read a stream.
    """
    return read(name, count) + end


@remote(num_cpus=0.5, max_retries=0)
@traced.llm
def waits(path: str) -> Iterator[str]:
    """
    Tell a piece, and the next once a file is there.
    """
    yield "first"
    wait_for(path)
    yield "last"


@remote(num_cpus=0.5)
def many(name: str) -> int:
    """
    Tell fifty events: a start, 48 of the application's own, an end.
    """
    with traced(name):
        for number in range(48):
            emit(name, number)
    return os.getpid()


@remote(num_returns=2)
@traced
def two() -> tuple[int, int]:
    """
    Give two things.
    """
    return 1, 2


@remote
@traced
def fails(what: str) -> None:
    """
    Fail.
    """
    raise ValueError(f"no {what}")


@remote(max_retries=2, retry_exceptions=[ValueError])
@traced
def fails_once(path: str) -> str:
    """
    Fail, and do well when it is done once more.
    """
    if has_begun(path):
        return "well"
    raise ValueError("no luck")


@remote(max_retries=1)
@traced
def killed_once(path: str) -> str:
    """
    Be killed two runs deep, and do well when it is done once more.
    """
    if has_begun(path):
        return "well"
    for _ in stream("said", 1):
        wait_for(f"{path}.heard")
        os.kill(os.getpid(), signal.SIGKILL)
    return "never"


@remote
@traced
def outer(depth: int) -> list[str]:
    """
    Send tasks on, so many deep; those of the last are two.
    """
    import ray

    if depth == 0:
        return ray.get([work.remote("a", 1), work.remote("b", 1)])  # type: ignore[no-any-return]
    return ray.get(outer.remote(depth - 1))  # type: ignore[no-any-return]


@remote
@traced
def sends_and_leaves() -> list[Any]:
    """
    Send a task on, and be done before it is.
    """
    return [work.remote("late ", 2)]


@remote
def hears_itself() -> str:
    """
    Hear what it sends on, where nobody else does.
    """
    import ray

    recorder = Recorder()
    with callbacks(recorder), traced("own"):
        ray.get(work.remote("own ", 1))
    return recorder.tree()


@remote
def loaded() -> list[str]:
    """
    Tell which threads of ours this process has, and what it was sent.
    """
    names = [it.name for it in threading.enumerate() if "instrument" in it.name]
    return [*names, f"a run: {bool(current_run())}"]


@remote
@traced
def pieces(count: int) -> Iterator[str]:
    """
    Be a generator, whose items Ray streams.
    """
    yield from stream("item ", count)


@traced.llm(model="m-1")
def call(prompt: str) -> dict[str, Any]:
    """
    Use five tokens.
    """
    usage = {"prompt_tokens": 2, "completion_tokens": 3, "cost": 0.25}
    return {"choices": [{"text": prompt}], "usage": usage, "model": "m-1"}


@remote(num_cpus=0.5)
def calls(count: int) -> tuple[int, list[str]]:
    """
    Make calls until one is refused; tell how many bodies ran, and what was raised.
    """
    ran, raised = 0, []
    for number in range(count):
        try:
            call(str(number))
            ran += 1
        except Exception as exc:
            raised.append(type(exc).__name__)
    return ran, raised


class Base:
    """
    Has a method that an actor inherits.
    """

    @traced
    def inherited(self) -> str:
        return "inherited"


@remote(num_cpus=0, max_restarts=1, max_task_retries=1)
class Sync(Base):
    """
    An actor, one call at a time.
    """

    def __init__(self, name: str = "it") -> None:
        self.name = name

    @traced
    def say(self, what: str) -> str:
        """
        Tell two pieces.
        """
        return f"{self.name}: {read(what, 2)}"

    def __call__(self, what: str) -> str:
        """
        Do the same.
        """
        return self.say(what)

    @traced
    def items(self, count: int) -> Iterator[int]:
        """
        Be a generator.
        """
        for number in range(count):  # noqa: UP028 - Ray steps by `send`
            yield number

    @staticmethod
    def sum(*numbers: int) -> int:
        """
        Be nothing that is told.
        """
        return sum(numbers)

    @traced
    def killed_once(self, path: str) -> str:
        """
        Be killed, and do well when it is done once more.
        """
        if has_begun(path):
            return "well"
        emit("here", None)
        wait_for(f"{path}.heard")
        os.kill(os.getpid(), signal.SIGKILL)
        return "never"

    @traced
    def waits(self, path: str) -> None:
        """
        Tell that it has begun, and wait for a file.
        """
        emit("begun", None)
        wait_for(path)


@remote(num_cpus=0, max_concurrency=4)
class Threaded:
    """
    An actor whose calls run in threads.
    """

    def __init__(self) -> None:
        self._barrier = threading.Barrier(2)

    @traced
    def meet(self, name: str) -> str:
        """
        Be here when another call is.
        """
        emit("before", name)
        self._barrier.wait(30)
        return read(name, 2)


@remote(num_cpus=0)
class Async:
    """
    An actor with coroutines.
    """

    def __init__(self) -> None:
        self._met = 0

    @traced
    async def meet(self, name: str, others: int = 1) -> str:
        """
        Be here when another call is.
        """
        self._met += 1
        emit("before", name)
        while self._met <= others:  # noqa: ASYNC110 - not all of them wait
            await asyncio.sleep(0.01)
        return read(name, 2)

    @traced
    async def forever(self) -> None:
        """
        Wait until it is cancelled.
        """
        emit("begun", None)
        await asyncio.Event().wait()

    @traced
    async def items(self, count: int) -> AsyncIterator[int]:
        """
        Be an async generator.
        """
        for number in range(count):
            yield number

    @traced
    async def sends_on(self) -> str:
        """
        Send a task on.
        """
        return str(await work.remote("on ", 1))


@remote(num_cpus=0.5, max_retries=0)
@traced
def sleeps(path: str) -> None:
    """
    Tell that it has begun, and wait in short steps.
    """
    emit("begun", None)
    wait_for(path)
    sys.exit("never")
