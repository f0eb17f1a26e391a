"""
How soon, and how many of, a worker's events are heard here; beside a bare `SimpleQueue`,
which carries small tuples from a worker to a thread that does nothing with them.

``python tests/benchmarks/workers.py`` prints a Markdown table.
"""

import platform
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from statistics import median, quantiles
from time import perf_counter_ns, sleep
from typing import Any

if not __package__:  # run as a script
    sys.path.append(str(Path(__file__).parents[2]))

from instrument import bind, callbacks, traced

PACED, PAUSE_S = 200, 0.005
BURST, CALLS = 5_000, 200
_CONTEXT = get_context("fork")
_queue: Any = None


@traced.llm
def stream(count: int, pause_s: float) -> Iterator[str]:
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
    for _ in stream(count, pause_s):
        pass


def nothing(_: object) -> None:
    """
    Be a call without events.
    """


def put(count: int, pause_s: float) -> None:
    """
    Say the same to the bare queue.
    """
    for _ in range(count):
        _queue.put(("on_llm_new_token", str(perf_counter_ns())))
        if pause_s:
            sleep(pause_s)


def start_queue(queue: Any) -> None:
    """
    Give a worker its queue.
    """
    global _queue
    _queue = queue


@contextmanager
def pool(*args: Any) -> Iterator[ProcessPoolExecutor]:
    """
    Give a pool of one worker that has begun.
    """
    with ProcessPoolExecutor(1, _CONTEXT, *args) as made:
        made.submit(int).result()
        yield made


def told(said: list[int]) -> Callable[..., None]:
    """
    Note how long each piece took.
    """

    def hear(token: str) -> None:
        said.append(perf_counter_ns() - int(token))

    return hear


def relayed(count: int, pause_s: float) -> tuple[list[int], float]:
    """
    Give how long each took to be heard by a handler, and all together in seconds.
    """
    late: list[int] = []
    with pool() as workers, callbacks(on_llm_new_token=told(late)):
        workers.submit(bind(read), 1, 0.0).result()  # it listens, and is connected
        late.clear()
        began = perf_counter_ns()
        workers.submit(bind(read), count, pause_s).result()
        return late, (perf_counter_ns() - began) / 1e9


def queued(count: int, pause_s: float) -> tuple[list[int], float]:
    """
    Give the same of the queue.
    """
    late: list[int] = []
    queue = _CONTEXT.SimpleQueue()
    hear = told(late)

    def pump() -> None:
        for _ in range(count):
            hear(queue.get()[1])

    with pool(start_queue, (queue,)) as workers:
        thread = threading.Thread(target=pump)
        thread.start()
        began = perf_counter_ns()
        workers.submit(put, count, pause_s).result()
        thread.join()
        return late, (perf_counter_ns() - began) / 1e9


def call_us(*, is_bound: bool) -> float:
    """
    Give what a call of a pool takes, bound or not, in microseconds.
    """
    with pool() as workers, callbacks(on_llm_new_token=print):
        call = bind(nothing) if is_bound else nothing
        workers.submit(call, 0).result()
        took = []
        for _ in range(CALLS):
            began = perf_counter_ns()
            workers.submit(call, 0).result()
            took.append((perf_counter_ns() - began) / 1e3)
        return median(took)


def rows() -> Iterator[tuple[str, str, str, str]]:
    """
    Measure each.
    """
    for name, run in (("a handler here", relayed), ("bare SimpleQueue", queued)):
        late, _ = run(PACED, PAUSE_S)
        p50, p99 = median(late) / 1e6, quantiles(late, n=100)[98] / 1e6
        _, took_s = run(BURST, 0.0)
        yield name, f"{p50:.2f} ms", f"{p99:.2f} ms", f"{BURST / took_s:,.0f}"


def table() -> str:
    """
    Write it as Markdown.
    """
    head = ("", "p50", "p99", "events a second, of a burst")
    lines = [head, ("---", "--:", "--:", "--:"), *rows()]
    plain, bound = (call_us(is_bound=is_bound) for is_bound in (False, True))
    written = ["| " + " | ".join(line) + " |" for line in lines]
    return (
        "\n".join(written)
        + f"\n\nA call of a pool that tells nothing: {plain:.0f} us, bound {bound:.0f}"
        f" us. Python {platform.python_version()}."
    )


if __name__ == "__main__":
    print(table())
