"""
How soon, and how many of, a worker's events are heard here; beside a bare `SimpleQueue`,
which carries small tuples from a worker to a thread that does nothing with them.

``python tests/benchmarks/workers.py`` prints a Markdown table, and one of what an event
costs.
"""

import platform
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from time import perf_counter_ns, process_time, sleep
from typing import Any

import psutil

if not __package__:  # run as a script
    sys.path.append(str(Path(__file__).parents[2]))

from instrument import bind, callbacks, traced
from tests.benchmarks.simulation import Told
from tests.benchmarks.ways import HEAD, row, written

PACED, PAUSE_S = 200, 0.005
BURST, EVENTS, CALLS = 5_000, 50_000, 200
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


@traced
def step(query: str) -> str:
    """
    Be a small run: two events.
    """
    return query


def steps(count: int, pause_s: float) -> None:
    """
    Make so many events by small runs.
    """
    for _ in range(count // 2):
        step("a small question")


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


def cpu_s(job: Any, pause_s: float, *, is_heard: bool) -> tuple[float, float]:
    """
    Give what CPU it takes in the worker, and here, to do a job and hear of it.
    """
    block = callbacks(lambda event: None) if is_heard else callbacks(tags=["none"])
    with pool() as workers, block:
        (pid,) = workers._processes
        workers.submit(bind(job), 100, 0.0).result()
        worker, began_s = psutil.Process(pid), process_time()
        before = sum(worker.cpu_times()[:2])
        for _ in range(EVENTS // BURST if not pause_s else 1):
            workers.submit(bind(job), BURST, pause_s).result()
        return sum(worker.cpu_times()[:2]) - before, process_time() - began_s


def bytes_of(job: Any) -> float:
    """
    Give how long what goes over the line is, per event.
    """
    told = Told()
    with callbacks(told):
        job(BURST, 0.0)
    return sum(len(event) + 1 for event in told.events) / len(told.events)


def costs() -> Iterator[tuple[str, ...]]:
    """
    Measure what an event costs, over the same with nobody who hears it.
    """
    for name, job, pause_s in (
        ("a piece of an answer, each for itself", read, 0.001),
        ("a piece of an answer, of a burst", read, 0.0),
        ("a start or an end, of a burst", steps, 0.0),
    ):
        heard, alone = (cpu_s(job, pause_s, is_heard=it) for it in (True, False))
        events = BURST if pause_s else EVENTS
        there, here = ((heard[it] - alone[it]) / events * 1e6 for it in (0, 1))
        rate = f"{1e6 / max(there, here):,.0f}"
        yield name, f"{bytes_of(job):.0f}", f"{there:.0f} us", f"{here:.0f} us", rate


def rows() -> Iterator[tuple[str, ...]]:
    """
    Measure each.
    """
    for name, run in (("a handler here", relayed), ("bare SimpleQueue", queued)):
        late, _ = run(PACED, PAUSE_S)
        _, took_s = run(BURST, 0.0)
        yield row(name, late, BURST / took_s)


def table() -> str:
    """
    Write it as Markdown.
    """
    soon = [HEAD, *rows()]
    head = ("", "bytes", "CPU in the worker", "CPU here", "a second, per core")
    plain, bound = (call_us(is_bound=is_bound) for is_bound in (False, True))
    return (
        f"{written(soon)}\n\n{written([head, *costs()])}\n\n"
        f"A call of a pool that tells nothing: {plain:.0f} us, bound {bound:.0f}"
        f" us. Python {platform.python_version()}."
    )


if __name__ == "__main__":
    print(table())
