"""
How soon, and how many of, the events of a Dask worker are heard here; beside Dask's own
ways: its events (`log_event`), its `Queue`, and the result of a task.

``python tests/benchmarks/engine_dask.py`` prints a Markdown table.
"""

import platform
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from time import perf_counter_ns, sleep
from typing import Any

if not __package__:  # run as a script
    sys.path.append(str(Path(__file__).parents[2]))

from instrument import callbacks, current_run, traced
from instrument.integrations.dask import hear
from tests.benchmarks.ways import HEAD, row, written

PACED, PAUSE_S = 200, 0.005
BURST, BURST_OF_QUEUE, CALLS = 5_000, 500, 100
TOPIC = "benchmark"

Late = tuple[list[int], float]


@traced.llm
def stream(count: int, pause_s: float) -> str:
    """
    Tell when each piece was said, on the clock that all processes of a machine share.
    """
    for _ in range(count):
        current_run().token(str(perf_counter_ns()))
        if pause_s:
            sleep(pause_s)
    return "all"


def log(count: int, pause_s: float) -> None:
    """
    Say the same by Dask's events.
    """
    from distributed import get_worker

    for _ in range(count):
        get_worker().log_event(TOPIC, str(perf_counter_ns()))
        if pause_s:
            sleep(pause_s)


def put(count: int, pause_s: float) -> None:
    """
    Say the same by its queue.
    """
    from distributed import Queue

    queue = Queue(TOPIC)
    for _ in range(count):
        queue.put(str(perf_counter_ns()))
        if pause_s:
            sleep(pause_s)


def nothing(_: int) -> None:
    """
    Be a task that tells nothing.
    """


def told(late: list[int]) -> Callable[[str], None]:
    """
    Note how long each piece took.
    """

    def hear_token(token: str) -> None:
        late.append(perf_counter_ns() - int(token))

    return hear_token


def timed(act: Callable[[], object]) -> float:
    """
    Give what it takes, in seconds.
    """
    began = perf_counter_ns()
    act()
    return (perf_counter_ns() - began) / 1e9


def relayed(client: Any, count: int, pause_s: float) -> Late:
    """
    Give how long each took to a handler here, and all together.
    """
    late: list[int] = []
    with callbacks(on_llm_new_token=told(late)):

        def ask() -> None:
            client.submit(stream, count, pause_s, pure=False).result()

        return late, timed(ask)


def logged(client: Any, count: int, pause_s: float) -> Late:
    """
    Give the same of events.
    """
    late: list[int] = []
    note = told(late)
    client.subscribe_topic(TOPIC, lambda event: note(event[1]))

    def ask() -> None:
        client.submit(log, count, pause_s, pure=False).result()
        while len(late) < count:
            sleep(0.001)

    return late, timed(ask)


def queued(client: Any, count: int, pause_s: float) -> Late:
    """
    Give the same of a queue.
    """
    from distributed import Queue

    late: list[int] = []
    note, queue = told(late), Queue(TOPIC, client=client)

    def ask() -> None:
        future = client.submit(put, count, pause_s, pure=False)
        for _ in range(count):
            note(queue.get(timeout=30))
        future.result()

    return late, timed(ask)


def call_ms(client: Any, function: Any) -> float:
    """
    Give what a task takes, in milliseconds.
    """
    took = [
        timed(client.submit(function, number, pure=False).result)
        for number in range(CALLS)
    ]
    return median(took) * 1e3


def rows(client: Any) -> Iterator[tuple[str, ...]]:
    """
    Measure each.
    """
    ways = (
        ("a handler here", relayed, BURST),
        ("`log_event`, bare", logged, BURST),
        ("`Queue`, bare", queued, BURST_OF_QUEUE),
    )
    for name, run, count in ways:
        run(client, 1, 0.0)  # it is connected
        late, _ = run(client, PACED, PAUSE_S)
        _, took_s = run(client, count, 0.0)
        yield row(name, late, count / took_s)


def table() -> str:
    """
    Write it as Markdown.
    """
    from distributed import Client, LocalCluster, __version__

    options: dict[str, Any] = {"threads_per_worker": 1, "silence_logs": 50}
    with (
        LocalCluster(2, dashboard_address="127.0.0.1:0", **options) as cluster,
        hear(Client(cluster)) as client,
    ):
        lines = [HEAD, *rows(client)]
        bare = call_ms(client, nothing)
        with callbacks(on_llm_new_token=print):
            heard = call_ms(client, nothing)
    return (
        f"{written(lines)}\n\nA task that tells nothing: {bare:.1f} ms, heard {heard:.1f} ms."
        f" Python {platform.python_version()}, distributed {__version__}."
    )


if __name__ == "__main__":
    print(table())
