"""
How soon, and how many of, the events of a Ray task are heard here; beside Ray's own stream
of a generator, and `bind` over the socket of one machine.

``python tests/benchmarks/engine_ray.py`` prints a Markdown table. It needs Ray.
"""

import os
import platform
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from time import perf_counter_ns, sleep
from typing import Any

if not __package__:  # run as a script
    sys.path.append(str(Path(__file__).parents[2]))

import ray

from instrument import bind, callbacks, traced
from instrument._relay import sockets
from instrument.integrations.ray import remote
from tests.benchmarks.ways import HEAD, row, written

PACED, PAUSE_S = 200, 0.005
BURST, CALLS = 5_000, 50
Run = Callable[[int, float], "tuple[list[int], float]"]


def said(count: int, pause_s: float) -> Iterator[str]:
    """
    Tell when each piece was said, on the clock that all processes share.
    """
    for _ in range(count):
        yield str(perf_counter_ns())
        if pause_s:
            sleep(pause_s)


def read(count: int, pause_s: float) -> None:
    """
    Read a stream to its end.
    """
    for _ in traced.llm(said)(count, pause_s):
        pass


def apply(function: Any, *args: Any) -> Any:
    """
    Call what is sent along.
    """
    return function(*args)


own = ray.remote(said)
task = remote(read)
plain = ray.remote(apply)


def told(late: list[int]) -> Callable[..., None]:
    """
    Note how long each piece took.
    """

    def hear(token: str) -> None:
        late.append(perf_counter_ns() - int(token))

    return hear


def heard(send: Callable[[int, float], Any]) -> Run:
    """
    Measure a handler of what is sent so.
    """

    def run(count: int, pause_s: float) -> tuple[list[int], float]:
        late: list[int] = []
        with callbacks(on_llm_new_token=told(late)):
            ray.get(send(1, 0.0))  # it listens, and is connected
            late.clear()
            began = perf_counter_ns()
            ray.get(send(count, pause_s))
            return late, (perf_counter_ns() - began) / 1e9

    return run


def mailed(count: int, pause_s: float) -> tuple[list[int], float]:
    """
    Measure what comes from another machine: no socket is reached.
    """
    known, sockets.HOST_NAME = sockets.HOST_NAME, "another"
    try:
        return heard(task.remote)(count, pause_s)
    finally:
        sockets.HOST_NAME = known


def streamed(count: int, pause_s: float) -> tuple[list[int], float]:
    """
    Measure Ray's own: an object for each piece.
    """
    late: list[int] = []
    hear = told(late)
    list(own.remote(1, 0.0))
    began = perf_counter_ns()
    for ref in own.remote(count, pause_s):
        hear(ray.get(ref))
    return late, (perf_counter_ns() - began) / 1e9


def rows() -> Iterator[tuple[str, ...]]:
    """
    Measure each.
    """
    ways: dict[str, Run] = {
        "a handler here, `remote`": heard(task.remote),
        "the same, through the mailbox": mailed,
        "the same, `bind`": heard(lambda *args: plain.remote(bind(read), *args)),
        "Ray's own generator": streamed,
    }
    for name, run in ways.items():
        late, _ = run(PACED, PAUSE_S)
        _, took_s = run(BURST, 0.0)
        yield row(name, late, BURST / took_s)


def call_ms(*, is_heard: bool) -> float:
    """
    Give what a task takes that tells nothing, in milliseconds.
    """
    took = []
    with callbacks(on_llm_new_token=print) if is_heard else callbacks(tags=["none"]):
        for _ in range(CALLS):
            began = perf_counter_ns()
            ray.get(task.remote(0, 0.0))
            took.append((perf_counter_ns() - began) / 1e6)
    return median(took)


def table() -> str:
    """
    Write it as Markdown.
    """
    lines = [HEAD, *rows()]
    bare, sent = (call_ms(is_heard=is_heard) for is_heard in (False, True))
    return (
        f"{written(lines)}\n\nA task that tells next to nothing: {bare:.1f} ms, heard {sent:.1f} ms."
        f" Ray {ray.__version__}, Python {platform.python_version()}."
    )


if __name__ == "__main__":
    os.environ["PYTHONPATH"] = str(Path(__file__).parents[2])
    ray.init(
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="ERROR",
        object_store_memory=100 * 2**20,
    )
    print(table())
    ray.shutdown()
