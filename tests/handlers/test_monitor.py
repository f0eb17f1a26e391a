"""
`MonitorHandler`: execution time and memory by name; hostile names, bounded memory,
threads and tasks.
"""

import asyncio
import gc
import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from time import monotonic, perf_counter_ns, sleep, thread_time
from typing import Any

import pytest

from instrument import bind, callbacks, current_run, traced
from instrument.handlers import MonitorHandler
from instrument.handlers._monitor import MOST_NAMES
from instrument.handlers._monitor.memory import gauge
from instrument.handlers._monitor.tally import RunStats, Tally
from instrument.testing import predictable

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


@traced.chat_model
def model(**usage: int) -> None:
    """
    Consume what is given.
    """
    current_run().record_usage(**usage)


def wait_for_a_sample() -> None:
    """
    Wait until the gauge's thread has looked once more.
    """
    now, end = perf_counter_ns(), monotonic() + 10
    while gauge()._peaks[-1][0] < now:
        assert monotonic() < end
        sleep(0.002)


def test_times(monitor: MonitorHandler) -> None:
    """
    Count, sum, mean and maximum are exact, quantiles within 1 %.
    """
    with callbacks(monitor), predictable():
        for _ in range(10):
            answer()
        with traced("answer"):
            for _ in range(90):
                answer()

    stats = monitor.stats["answer"]
    assert (stats.name, stats.count, stats.errors) == ("answer", 101, 0)
    assert stats.total_s == pytest.approx(0.1 + stats.max_s)
    assert stats.mean_s == pytest.approx(stats.total_s / 101)
    assert stats.p50_s == stats.p95_s == pytest.approx(0.001, rel=0.0101)
    assert stats.max_s > 0.09


def test_quantiles_are_not_beyond_the_maximum(monitor: MonitorHandler) -> None:
    """
    No quantile exceeds the longest run.
    """
    with callbacks(monitor):
        answer()

    stats = monitor.stats["answer"]
    assert 0 < stats.p50_s == stats.p99_s <= stats.max_s == stats.total_s


def test_errors_are_errors(monitor: MonitorHandler) -> None:
    """
    Cancelled and abandoned runs count, and are no errors.
    """

    @traced("answer")
    def stream() -> Iterator[int]:
        yield from range(9)

    with callbacks(monitor):
        for error in (ValueError(), KeyboardInterrupt(), asyncio.CancelledError()):
            with pytest.raises(type(error)):
                answer(error)
        for _ in stream():
            break
        gc.collect()

    stats = monitor.stats["answer"]
    assert (stats.count, stats.errors) == (4, 2)


def test_tokens(monitor: MonitorHandler) -> None:
    """
    Tokens are summed as far as they are known, and None where nothing is.
    """
    with callbacks(monitor):
        model(input_tokens=5)
        model(input_tokens=2, output_tokens=1)
        model()
        answer()

    stats = monitor.stats
    assert (stats["model"].input_tokens, stats["model"].output_tokens) == (7, 1)
    assert stats["answer"].input_tokens is stats["answer"].output_tokens is None


def test_cpu(monitor: MonitorHandler) -> None:
    """
    CPU time is that of the run's thread: work counts, waiting does not.
    """
    event = threading.Event()
    with callbacks(monitor):
        with traced("work"):
            end = thread_time() + 0.05
            while thread_time() < end:
                pass
        with traced("wait"):
            event.wait(0.05)

    assert monitor.stats["work"].cpu_s == pytest.approx(0.05, rel=0.5)
    assert monitor.stats["wait"].cpu_s < 0.02


def test_cpu_of_a_run_that_ends_elsewhere(monitor: MonitorHandler) -> None:
    """
    The CPU time of a run that ends in another thread than it started in is left out.
    """

    @traced
    def stream() -> Iterator[int]:
        yield from range(3)

    with callbacks(monitor):
        items = stream()
        next(items)
        thread = threading.Thread(target=lambda: list(items))
        thread.start()
        thread.join()

    assert monitor.stats["stream"].count == 1
    assert monitor.stats["stream"].cpu_s == 0


def test_clock_set_back(
    monitor: MonitorHandler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A thread's clock that was set back, as by a fork, takes nothing away.
    """
    clock = iter([10**9, 5])
    monkeypatch.setattr(
        "instrument.handlers._monitor.thread_time_ns", lambda: next(clock)
    )

    with callbacks(monitor):
        answer()

    assert monitor.stats["answer"].cpu_s == 0


def test_memory_within_a_run() -> None:
    """
    100 MB that a run allocates and frees inside itself are seen; a run after it that
    allocates nothing shows little.
    """
    monitor = MonitorHandler()

    with callbacks(monitor):
        with traced("big"):
            block = bytearray(100 * MB)
            wait_for_a_sample()
            del block
            wait_for_a_sample()
        with traced("small"):
            wait_for_a_sample()

    stats = monitor.stats
    assert 90 * MB <= (stats["big"].memory_bytes_max or 0) < 300 * MB
    assert (stats["small"].memory_bytes_max or 0) < 30 * MB


def test_memory_is_the_process() -> None:
    """
    What one thread allocates is also in the figure of runs beside it.
    """
    monitor = MonitorHandler()

    with callbacks(monitor), traced("beside"), traced("big"):
        block = bytearray(50 * MB)
        wait_for_a_sample()
        del block

    assert (monitor.stats["beside"].memory_bytes_max or 0) >= 40 * MB


def test_without_memory(monitor: MonitorHandler) -> None:
    """
    ``memory=False`` measures none, and watches none.
    """
    gc.collect()
    watched = len(gauge()._moments)

    with callbacks(monitor), traced("run"):
        assert len(gauge()._moments) == watched

    assert monitor.stats["run"].memory_bytes_max is None
    assert "memory" not in monitor.report()


def test_report(monitor: MonitorHandler) -> None:
    """
    The report is a table, busiest first, without columns of which nothing is known.
    """
    with callbacks(monitor), traced("long"), traced("short"):
        pass

    head, *rows = monitor.report().split("\n")
    columns = "run calls errors p50 p95 p99 max total mean cpu"
    assert head.split() == columns.split()
    assert [row.split()[0] for row in rows] == ["long", "short"]
    assert repr(monitor) == "<MonitorHandler: 2 runs of 2 names>"


def test_report_of_memory_and_tokens() -> None:
    """
    Memory and tokens are columns as soon as something is known of them.
    """
    monitor = MonitorHandler()

    with callbacks(monitor):
        model(input_tokens=1_234)

    assert monitor.report().split("\n")[0].split()[-3:] == ["in", "cpu", "memory"]
    assert "  1,234  " in monitor.report()


def test_nothing_heard(monitor: MonitorHandler) -> None:
    """
    Where nothing was heard there is nothing to report.
    """
    assert monitor.stats == {}
    assert monitor.to_dicts() == []
    assert monitor.report() == "run"


def test_to_dicts(monitor: MonitorHandler) -> None:
    """
    `to_dicts` is JSON: the attributes of the statistics by name.
    """
    with callbacks(monitor):
        model(output_tokens=3)

    (told,) = json.loads(json.dumps(monitor.to_dicts()))
    assert told["name"] == "model"
    assert told["output_tokens"] == 3
    assert list(told["durations"].values()) == [1]
    assert {*RunStats.__slots__} < {*told}


def test_reset(monitor: MonitorHandler) -> None:
    """
    After `reset` it begins anew; a run that was open then counts when it ends.
    """
    with callbacks(monitor), traced("open"):
        answer()
        monitor.reset()

    assert list(monitor.stats) == ["open"]


@pytest.mark.parametrize("memory", ["yes", None, 3])
def test_bad_memory(memory: Any) -> None:
    """
    What is neither True nor False is refused.
    """
    with pytest.raises(TypeError, match="memory is True or False, not"):
        MonitorHandler(memory)


def test_report_of_some_columns(monitor: MonitorHandler) -> None:
    """
    A report shows the columns asked for, in that order.
    """
    with callbacks(monitor):
        answer()

    head, row = monitor.report("max", "calls").split("\n")

    assert head.split() == ["run", "max", "calls"]
    assert row.split()[0] == "answer"
    assert row.split()[-1] == "1"


def test_report_of_an_unknown_column(monitor: MonitorHandler) -> None:
    """
    A column that does not exist is refused, with those that do.
    """
    with pytest.raises(ValueError, match=r"columns calls, .*, not 'p42'"):
        monitor.report("p42")


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
    stats = Tally.stats

    def slow(tally: Tally, name: str, group: str | None) -> RunStats:
        with callbacks(monitor), traced("new"):
            pass
        return stats(tally, name, group)

    with callbacks(monitor):
        answer()
    monkeypatch.setattr(Tally, "stats", slow)

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
    assert sum(monitor._tallies[None, "task"].quantiles.counts.values()) == 5_000


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
