"""
`Gauge`: the highest resident memory since a moment.
"""

import os
import threading
from collections.abc import Callable
from time import monotonic, perf_counter_ns, sleep
from typing import Any

import psutil
import pytest

from instrument.handlers._monitor import memory as _memory
from instrument.handlers._monitor.memory import Gauge, gauge

MB = 1_000_000


class Told:
    """
    Memory as a test says it is.
    """

    rss = 0


def told(*sizes: int, watched_from: int = 0) -> tuple[Gauge, int]:
    """
    Let a gauge see *sizes*; give it, and the growth seen by who came at one of them.
    """
    memory: Any = Told()
    made, moment = Gauge(), None
    made._read = lambda: memory
    made._start = lambda: None  # type: ignore[method-assign]
    for i, size in enumerate(sizes):
        memory.rss = size
        if i == watched_from:
            moment = made.begin()
        else:
            made._sample()
    assert moment is not None
    return made, made.growth_bytes(moment)


@pytest.fixture
def always_fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    No sample serves twice.
    """
    monkeypatch.setattr(_memory, "_FRESH_NS", 0)


def until(condition: Callable[[], bool]) -> None:
    """
    Wait for another thread, at most 10 s.
    """
    end = monotonic() + 10
    while not condition():
        assert monotonic() < end
        sleep(0.005)


@pytest.mark.usefixtures("always_fresh")
@pytest.mark.parametrize(
    "sizes, watched_from, growth",
    [
        ((10, 50, 20), 0, 40),
        ((90, 10, 50, 20), 1, 40),  # a peak before it does not count
        ((10, 50, 20), 2, 0),
        ((50, 20, 10), 0, 0),  # memory that shrinks is no growth
        ((10, 20, 90, 40, 30, 35), 3, 0),
        ((10, 20, 90, 40, 30, 35), 4, 5),
    ],
)
def test_peak_since_a_moment(
    sizes: tuple[int, ...], watched_from: int, growth: int
) -> None:
    """
    The growth is the peak since the moment over what there was then.
    """
    assert told(*sizes, watched_from=watched_from)[1] == growth


@pytest.mark.usefixtures("always_fresh")
def test_samples_are_bounded() -> None:
    """
    Memory that only shrinks leaves at most 4,096 samples, and the newest among them.
    """
    made, growth = told(*range(10_000, 0, -1), watched_from=9_990)

    assert len(made._peaks) <= 4_096
    assert made._peaks[-1][1] == 1
    assert growth == 0


def test_a_young_sample_serves_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Within a millisecond memory is read once.
    """
    monkeypatch.setattr(_memory, "_FRESH_NS", 10**12)
    made = Gauge()
    read, reads = made._read, []
    made._read = lambda: reads.append(read()) or reads[-1]  # type: ignore[func-returns-value,redundant-expr]

    watches = [made.begin() for _ in range(10)]
    made.growth_bytes(watches[0])

    assert len(reads) == 1
    del watches


def test_thread_looks_while_somebody_watches(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A peak between two moments is seen; when nobody watches, the thread ends, and it
    begins anew with the next.
    """
    monkeypatch.setattr(_memory, "_IDLE_S", 0.05)
    made = Gauge()
    moment = made.begin()

    block = bytearray(50 * MB)
    seen_from = perf_counter_ns()
    until(lambda: made._peaks[-1][0] > seen_from)
    del block

    assert made.growth_bytes(moment) > 45 * MB
    first = made._thread
    del moment
    until(lambda: made._thread is None)
    moment = made.begin()
    assert made._thread is not first
    del moment
    until(lambda: made._thread is None)


def test_no_thread_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Where no thread can be started, starts and ends are sampled all the same.
    """

    def start(thread: threading.Thread) -> None:
        raise RuntimeError

    monkeypatch.setattr(threading.Thread, "start", start)
    made = Gauge()

    moment = made.begin()

    assert made._thread is None
    assert made.growth_bytes(moment) >= 0


def test_memory_is_psutils() -> None:
    """
    What is sampled is the resident memory of this process.
    """
    moment = Gauge().begin()

    now = psutil.Process().memory_info().rss
    assert moment.size_bytes == pytest.approx(now, rel=0.2)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_fork() -> None:
    """
    A forked child has a gauge of its own, and a moment of its parent's still answers.
    """
    parents, moment = gauge(), gauge().begin()

    child = os.fork()
    if child == 0:
        is_own = gauge() is not parents
        answers = gauge().growth_bytes(moment) >= 0
        looks = gauge().begin() is not None and gauge()._thread is not None
        os._exit(0 if is_own and answers and looks else 1)

    assert os.waitpid(child, 0)[1] == 0
    assert gauge() is parents
