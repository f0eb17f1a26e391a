"""
What workers of Dask are asked to do in tests.
"""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest

from instrument import BaseCallbackHandler, callbacks, current_run, emit, traced
from instrument._relay.transport import Elsewhere
from instrument.integrations.dask import DASK, hear

WAIT_S = 20.0


def wait_for(path: str) -> None:
    """
    Wait until there is such a file.
    """
    until = monotonic() + WAIT_S
    while not Path(path).exists():
        assert monotonic() < until, path
        sleep(0.005)


@traced.llm(provider="acme", model="m-1")
def model(prompt: str) -> Iterator[str]:
    """
    Stream an answer.
    """
    yield from ["one ", "two ", prompt]


@traced.llm(provider="acme", model="m-1")
def whole(prompt: str) -> dict[str, Any]:
    """
    Answer at once, and tell what was used.
    """
    usage = {"prompt_tokens": 10, "completion_tokens": 5}
    return {"choices": [{"text": prompt}], "usage": usage}


@traced.tool
def tool(query: str) -> str:
    """
    Look something up.
    """
    return f"<{query}>"


@traced
def work(number: int) -> int:
    """
    Call a model and a tool, and tell something.
    """
    list(model(f"{number}"))
    tool(f"query {number}")
    emit("progress", {"number": number})
    return number * 2


def plain(number: int) -> int:
    """
    Call a model and a tool, as what is no run itself.
    """
    return work(number)


async def work_later(number: int) -> int:
    """
    Do the same in async code, on the worker's loop.
    """
    return work(number)


@traced
def total(numbers: list[int]) -> int:
    """
    Add up what others gave.
    """
    return sum(numbers)


@traced
def use(number: int) -> int:
    """
    Call a model that tells what it used.
    """
    whole(f"{number}")
    return number


@traced.llm
def stream(count: int) -> Iterator[str]:
    """
    Stream so many pieces.
    """
    for number in range(count):
        yield f"{number} "


@traced
def burst(count: int) -> int:
    """
    Tell as much as that, as fast as can be.
    """
    return len(list(stream(count)))


@traced.llm
def paused(path: str) -> Iterator[str]:
    """
    Stream one piece, and go on when there is such a file.
    """
    yield "first"
    wait_for(path)
    yield "second"


def read_paused(path: str) -> str:
    """
    Read that.
    """
    return "".join(paused(path))


@traced
def is_there(path: str) -> str:
    """
    Begin, and end when there is such a file.
    """
    Path(f"{path}.begun").touch()
    wait_for(path)
    return "there"


@traced
def die_once(path: str) -> str:
    """
    Be killed with the worker in the middle of a run, and be done by another.
    """
    if Path(path).exists():
        return "done"
    Path(path).touch()
    with traced("last words"):
        wait_for(f"{path}.heard")
        os.kill(os.getpid(), signal.SIGKILL)
        sleep(WAIT_S)
    return "never"


@traced
def fail_once(path: str) -> str:
    """
    Fail, and be done once more.
    """
    if Path(path).exists():
        return "done"
    Path(path).touch()
    raise ValueError("no luck")


async def fail_once_later(path: str) -> str:
    """
    Do the same on the worker's loop.
    """
    return fail_once(path)


@traced
def fail(number: int) -> None:
    """
    Fail.
    """
    message = f"no luck with {number}"
    raise ValueError(message)


class OwnError(Exception):
    """
    One that the application has made.
    """


@traced
def fail_own() -> None:
    """
    Fail in a way of its own.
    """
    raise OwnError("own")


@traced
def send_on(number: int) -> int:
    """
    Have the work done by others.
    """
    from distributed import get_client, worker_client

    first = hear(get_client()).submit(work, number, pure=False).result()
    with worker_client() as client:
        second = hear(client).submit(work, number + 1, pure=False).result()
    return int(first) + int(second)


@traced
def leave_behind(path: str) -> None:
    """
    Have something done by others, and do not wait.
    """
    from distributed import fire_and_forget, get_client

    fire_and_forget(hear(get_client()).submit(is_there, path, pure=False))


class Own(BaseCallbackHandler):
    """
    Hears in a worker.
    """

    def __init__(self) -> None:
        self.names: list[str] = []

    def on_chain_start(self, *args: Any, **kwargs: Any) -> None:
        self.names.append(kwargs["run"].name)


def hear_own() -> list[str]:
    """
    Hear, in a task that nobody hears, what it sends on.
    """
    from distributed import get_client

    own = Own()
    with callbacks(own), traced("above"):
        assert hear(get_client()).map(work, [1, 2], pure=False)[1].result() == 4
        hear(get_client()).gather([])
    return own.names


def token_in_function(count: int) -> str:
    """
    Say pieces of an answer in a function that is no generator.
    """
    with traced("said", kind="llm", inputs="x") as run:
        for number in range(count):
            run.token(f"{number} ")
    return current_run().name


class Counter:
    """
    An actor.
    """

    def __init__(self) -> None:
        self.count = 0

    def add(self) -> int:
        """
        Count.
        """
        self.count += 1
        return self.count


@traced
def what_is_heard_here() -> list[str]:
    """
    Name the threads of the worker that are ours.
    """
    import threading

    return [it.name for it in threading.enumerate() if it.name.startswith("instrument")]


async def use_later(number: int) -> int:
    """
    Call a model that tells what it used, on the worker's loop.
    """
    return use(number)


def call_behind_the_block(number: int) -> int:
    """
    Call what was bound in a block that has been left.
    """
    from distributed import get_client

    with callbacks(Own()):
        bound = hear(get_client()).bind(work)
    with pytest.raises(Elsewhere):
        DASK.open(bound.carrier["return"])
    return int(bound(number))
