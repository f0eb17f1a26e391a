"""
What `StoreHandler` costs a run, how large a store grows, and how long it takes to read.

``python tests/benchmarks/store.py`` prints a Markdown table; it takes a minute.
"""

import platform
import sqlite3
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from time import process_time, time
from typing import Any
from uuid import UUID

if not __package__:  # run as a script
    sys.path.append(str(Path(__file__).parents[2]))

from instrument import Event, callbacks, current_run, traced
from instrument.handlers import StoreHandler
from instrument.handlers._shared.run_handler import RunHandler
from instrument.handlers._store.ledger import Ledger
from instrument.handlers._store.reader import Reader
from instrument.handlers._store.tables import writing
from instrument.handlers._store.told import Told

BYTES_BAR = 750
"""Of a request that is one model's run with little to say: its row, indexes and words."""
COST_BAR = 14.0
"""CPU time of a run with a store, all threads together, as multiples of one without."""
OPEN_BAR_S = 3.0  # CPU time, as all here: the machine may be busy
LIST_BAR_S = 1.0
RUNS = REQUESTS = 100_000
_CALLS = 1_000
_SLICES = 7


@traced.chat_model(model="fake-1", provider="nobody")
def model(messages: list[dict[str, str]]) -> str:
    """
    Be a model's call.
    """
    current_run().record_usage(input_tokens=3, output_tokens=1, cost_usd=0.001)
    return "It is sunny in Rome, and will be so all day."


_MESSAGES = [{"role": "user", "content": "How is the weather in Rome today?"}]


def cost_us() -> tuple[float, float]:
    """
    Tell the CPU time of a run, of all threads, with a store and with a handler that does
    nothing.
    """
    with tempfile.TemporaryDirectory() as folder:
        store = StoreHandler(Path(folder) / "traces.db")
        nothing = RunHandler()
        pairs = [
            (_slice(store, store.drain), _slice(nothing, lambda: None))
            for _ in range(_SLICES)
        ]
        store._writer.leave()
    return median(pair[0] for pair in pairs), median(pair[1] for pair in pairs)


def bytes_per_event() -> float:
    """
    Tell how much a store grows by an event of a model's run.
    """
    with tempfile.TemporaryDirectory() as folder:
        store = StoreHandler(Path(folder) / "traces.db")
        for _ in range(5 * _CALLS):
            with callbacks(store):
                model(_MESSAGES)
        store.drain()
        store._writer.leave()
        return store.path.stat().st_size / (5 * _CALLS * 2)


def open_s() -> float:
    """
    Tell how long it takes to read all runs of a request that has very many.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = _filled(Path(folder), requests=1, runs=RUNS)
        reader = Reader(path)
        began = process_time()
        request = reader.request(reader.find("LAST"))
        runs, _ = reader.skeleton(request["trace_id"])
        lasted = process_time() - began
        assert len(runs) == request["runs"] == RUNS
        reader.close()
        return lasted


def list_s() -> dict[str, float]:
    """
    Tell how long the list of very many requests takes: its first page, its summary, and
    both for some filters.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = _filled(Path(folder), requests=REQUESTS, runs=1)
        reader = Reader(path)
        words = (
            "",
            "status:error",
            "name:work",
            "request duration:>1s",
            "number 77777",
        )
        told = {it: _timed(partial(_listed, reader, it)) for it in words}
        reader.close()
        return told


def _listed(reader: Reader, filter: str) -> object:
    return reader.requests(filter), reader.summary(filter)


def _timed(call: Callable[[], object]) -> float:
    began = process_time()
    call()
    return process_time() - began


def _slice(handler: Any, settle: Callable[[], object]) -> float:
    began = process_time()
    with callbacks(handler):
        for _ in range(_CALLS):
            model(_MESSAGES)
    settle()
    return (process_time() - began) / _CALLS * 1e6


def _filled(folder: Path, *, requests: int, runs: int) -> Path:
    """
    Make a store of so many requests with so many runs each.
    """
    path = folder / "traces.db"
    connection: sqlite3.Connection = writing(path)
    ledger = Ledger(connection)
    batch: list[Told] = []
    now, number = round(time() * 1e9), 0
    for request in range(requests):
        root = number + 1
        for _ in range(runs):
            number += 1
            batch += _told(number, root, now + number * 1_000_000, request)
        if len(batch) > 10_000:
            ledger.write(batch)
            batch = []
    ledger.write(batch)
    ledger.close()
    return path


def _told(number: int, root: int, time_ns: int, request: int) -> list[Told]:
    common: dict[str, Any] = {
        "trace_id": UUID(int=root),
        "run_id": UUID(int=number),
        "parent_run_id": None if number == root else UUID(int=root),
        "name": f"work {number % 50}",
    }
    asked = {"inputs": {"question": f"request number {request}"}}
    ended = {"outputs": "done", "status": "ok", "duration_s": 0.5, "usage": {}}
    events: Any = (("on_chain_start", asked), ("on_chain_end", ended))
    return [
        Told(Event(name, seq=at, time_ns=time_ns + at, data=data, **common))
        for at, (name, data) in enumerate(events)
    ]


def main() -> None:
    """
    Print the rows.
    """
    with_store, without = cost_us()
    print(f"Python {platform.python_version()}, {platform.machine()}\n")
    print("| what | is | bar |\n|---|--:|--:|")
    print(
        f"| a model's run, CPU of all threads | {with_store:.0f} us, {with_store / without:.1f} x"
        f" a handler that does nothing | {COST_BAR} x |"
    )
    print(f"| a model's run, an event | {bytes_per_event():.0f} bytes | {BYTES_BAR} |")
    print(f"| a request of {RUNS:,} runs opens | {open_s():.2f} s | {OPEN_BAR_S} s |")
    for words, lasted in list_s().items():
        what = f"the list of {REQUESTS:,} requests, `{words}`"
        print(f"| {what} | {lasted:.2f} s | {LIST_BAR_S} s |")


if __name__ == "__main__":
    main()
