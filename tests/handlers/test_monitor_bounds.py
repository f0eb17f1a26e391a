"""
`MonitorHandler`: hostile names, bounded memory, threads and tasks.
"""

import asyncio
import gc
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from instrument import bind, callbacks, traced
from instrument.handlers import MonitorHandler
from instrument.handlers._monitor import MOST_NAMES, RunStats, _Tally

MB = 1_000_000


@pytest.fixture
def monitor() -> MonitorHandler:
    """
    A monitor of time alone.
    """
    return MonitorHandler(memory=False)


@traced
def answer(error: BaseException | None = None) -> None:
    """
    Raise what is given.
    """
    if error is not None:
        raise error


def test_hostile_names(monitor: MonitorHandler) -> None:
    """
    No name breaks the table, drives a terminal, becomes HTML, or is kept at length.
    """
    names = ["\x1b[2J", "{}", "<red>", "a\r\nb", "\ud800", "<b>" + "x" * 10_000_000]

    with callbacks(monitor):
        for name in names:
            with traced(name):
                pass

    assert len(monitor.report().split("\n")) == 1 + len(names)
    assert monitor.report().replace("\n", "").isprintable()
    assert "<b>" not in monitor._repr_html_()
    assert "&lt;red&gt;" in monitor._repr_html_()
    assert max(map(len, monitor.stats)) < 300


def test_hostile_payloads(monitor: MonitorHandler, reports: list[str]) -> None:
    """
    Payloads are nothing to it: cyclic ones, and such as raise when they are shown.
    """

    class Rude:
        def __repr__(self) -> str:
            raise SystemExit

    cyclic: list[Any] = []
    cyclic.append(cyclic)

    @traced
    def take(*given: object) -> object:
        return given

    with callbacks(monitor):
        take(Rude(), cyclic, "x" * 10_000_000)

    assert monitor.stats["take"].count == 1
    assert reports == []


def test_names_are_bounded(monitor: MonitorHandler) -> None:
    """
    After 1,000 names the runs of further ones count as ``(other)``.
    """
    with callbacks(monitor):
        for i in range(MOST_NAMES + 50):
            with traced(f"run {i}"):
                pass
        with traced("run 0"):
            pass

    stats = monitor.stats
    assert len(stats) == MOST_NAMES + 1
    assert (stats["(other)"].count, stats["run 0"].count) == (50, 2)


def test_runs_that_end_unheard(monitor: MonitorHandler) -> None:
    """
    A run that is never told to end is forgotten with the run.
    """
    with callbacks(monitor), traced("lost") as run:
        pass
    monitor.run_started(run)
    assert len(monitor._open) == 1

    del run
    gc.collect()

    assert len(monitor._open) == 0


def test_end_without_a_start(monitor: MonitorHandler) -> None:
    """
    Of a run whose start was not heard, time counts and CPU does not.
    """
    with callbacks(monitor), traced("late"):
        monitor._open.clear()

    assert (monitor.stats["late"].count, monitor.stats["late"].cpu_s) == (1, 0)


def test_generator_collected_while_it_counts(monitor: MonitorHandler) -> None:
    """
    A run that ends while the lock is held, in the same thread, is counted too.
    """

    @traced
    def stream() -> Iterator[int]:
        yield from range(3)

    with callbacks(monitor):
        items = stream()
        next(items)
        with monitor._lock:
            del items
            gc.collect()
            answer()

    assert {name: s.count for name, s in monitor.stats.items()} == {
        "stream": 1,
        "answer": 1,
    }


def test_run_that_ends_while_it_is_read(
    monitor: MonitorHandler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A run of a new name that ends while the statistics are made is in the next ones.
    """
    stats = _Tally.stats

    def slow(tally: _Tally, name: str) -> RunStats:
        with callbacks(monitor), traced("new"):
            pass
        return stats(tally, name)

    with callbacks(monitor):
        answer()
    monkeypatch.setattr(_Tally, "stats", slow)

    assert list(monitor.stats) == ["answer"]
    assert "new" in monitor.stats


@pytest.mark.parametrize("memory", [False, True])
def test_threads_and_tasks(memory: bool) -> None:
    """
    10,000 runs over 50 threads and 500 tasks at once are counted exactly.
    """
    monitor = MonitorHandler(memory=memory)

    def call() -> None:
        for _ in range(100):
            with traced("thread") as run:
                run.record_usage(input_tokens=1)

    async def task() -> None:
        for _ in range(10):
            with traced("task"):
                await asyncio.sleep(0)

    async def tasks() -> None:
        await asyncio.gather(*(task() for _ in range(500)))

    with callbacks(monitor), ThreadPoolExecutor(51) as pool:
        jobs: list[Callable[[], object]] = [lambda: asyncio.run(tasks())]
        done = [pool.submit(bind(job)) for job in jobs + [call] * 50]
        for future in done:
            future.result()

    stats = monitor.stats
    assert (stats["thread"].count, stats["task"].count) == (5_000, 5_000)
    assert stats["thread"].input_tokens == 5_000
    assert len(monitor._open) == 0
    assert sum(monitor._tallies["task"].quantiles._counts.values()) == 5_000


def test_reading_while_others_write(monitor: MonitorHandler) -> None:
    """
    What it knows may be read in one thread while others run.
    """

    def call() -> None:
        for i in range(500):
            with traced(f"run {i}"):
                pass

    with callbacks(monitor):
        threads = [threading.Thread(target=bind(call)) for _ in range(4)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            monitor.report()
            repr(monitor)

    assert sum(s.count for s in monitor.stats.values()) == 2_000
