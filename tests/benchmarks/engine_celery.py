"""
How soon, and how many of, a Celery task's events are heard by a handler of its caller;
beside what Celery has itself, `update_state` there and ``get(on_message=...)`` here.

``python tests/benchmarks/engine_celery.py`` prints a Markdown table. It starts a Redis and a
worker of its own.
"""

import os
import platform
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from time import perf_counter_ns, sleep
from typing import Any

if not __package__:  # run as a script, or a worker's tasks
    sys.path.append(str(Path(__file__).parents[2]))

import redis
from celery import Celery

import instrument.integrations.celery  # noqa: F401
from instrument import callbacks, current_run, traced
from tests.benchmarks.ways import HEAD, row, written

URL = os.environ.get("BENCHMARK_REDIS_URL", "")
PACED, PAUSE_S, BURST, CALLS = 200, 0.005, 5_000, 100
WAIT_S = 60
app = Celery("engine_celery", broker=URL, backend=URL)
app.conf.worker_prefetch_multiplier = 1


@app.task
@traced.llm("stream")
def stream(count: int, pause_s: float) -> None:
    """
    Tell when each piece was said, on the clock that all processes share.
    """
    run = current_run()
    for _ in range(count):
        run.token(str(perf_counter_ns()))
        if pause_s:
            sleep(pause_s)


@app.task(bind=True)
def states(self: Any, count: int, pause_s: float) -> None:
    """
    Tell the same by Celery's own means.
    """
    for _ in range(count):
        self.update_state(state="SAID", meta=perf_counter_ns())
        if pause_s:
            sleep(pause_s)


@app.task
def nothing() -> None:
    """
    Be a task without events.
    """


@contextmanager
def engine() -> Iterator[None]:
    """
    Run a Redis without persistence, and a worker of two processes.
    """
    with tempfile.TemporaryDirectory() as folder:
        place = f"{folder}/redis.sock"
        server = ["redis-server", "--port", "0", "--unixsocket", place, "--save", ""]
        os.environ["BENCHMARK_REDIS_URL"] = url = f"redis+socket://{place}"
        app.conf.broker_url = app.conf.result_backend = url
        worker = [sys.executable, "-m", "celery", "-A", "engine_celery", "worker"]
        ended = []
        for command in (server, [*worker, "-c", "2"]):
            ended.append(
                subprocess.Popen(
                    command,
                    cwd=Path(__file__).parent,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                )
            )
            while not Path(place).exists():
                sleep(0.01)
        try:
            yield
        finally:
            for process in reversed(ended):
                process.send_signal(signal.SIGTERM)
                process.wait()


def heard(count: int, pause_s: float) -> tuple[list[int], float]:
    """
    Give how long each piece took to be heard by a handler, and all together in seconds.
    """
    late: list[int] = []

    def hear(token: str) -> None:
        late.append(perf_counter_ns() - int(token))

    with callbacks(on_llm_new_token=hear):
        began = perf_counter_ns()
        stream.delay(count, pause_s).get(timeout=WAIT_S)
    return late, (perf_counter_ns() - began) / 1e9


def by_states(count: int, pause_s: float) -> tuple[list[int], float]:
    """
    Give the same of Celery's own states.
    """
    late: list[int] = []

    def hear(message: dict[str, Any]) -> None:
        if message["status"] == "SAID":
            late.append(perf_counter_ns() - message["result"])

    began = perf_counter_ns()
    states.delay(count, pause_s).get(timeout=WAIT_S, on_message=hear)
    return late, (perf_counter_ns() - began) / 1e9


def call_us(*, is_heard: bool) -> float:
    """
    Give what a task that tells nothing takes, in microseconds.
    """

    def timed() -> float:
        began = perf_counter_ns()
        nothing.delay().get(timeout=WAIT_S)
        return (perf_counter_ns() - began) / 1e3

    if not is_heard:
        return median([timed() for _ in range(CALLS)])
    with callbacks(on_llm_new_token=print):
        return median([timed() for _ in range(CALLS)])


WAYS: dict[str, Callable[[int, float], tuple[list[int], float]]] = {
    "a handler here": heard,
    "`update_state`, `get(on_message=)`": by_states,
}


def rows() -> Iterator[tuple[str, ...]]:
    """
    Measure each.
    """
    for name, run in WAYS.items():
        for _ in range(4):
            run(1, 0.0)  # each process of the worker is connected
        late, _ = run(PACED, PAUSE_S)
        said, took_s = run(BURST, 0.0)
        yield *row(name, late, len(said) / took_s), f"{len(said):,} of {BURST:,}"


def table() -> str:
    """
    Write it as Markdown.
    """
    lines = [(*HEAD, "heard of it"), *rows()]
    bare, told = (call_us(is_heard=is_heard) for is_heard in (False, True))
    return (
        f"{written(lines)}\n\nA task that tells nothing: {bare:,.0f} us, heard {told:,.0f} us."
        f" Python {platform.python_version()}, redis-py {redis.__version__}."
    )


if __name__ == "__main__":
    with engine():
        print(table())
