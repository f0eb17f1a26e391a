"""
The highest resident memory of this process since some moment.

Resident memory is the process's: what other threads allocate meanwhile is in it.
"""

from bisect import bisect_left
from contextlib import suppress
from operator import itemgetter
from threading import RLock
from time import perf_counter_ns, sleep
from weakref import WeakSet

from instrument._delivery.threads import serve
from instrument._forks import in_child

TYPE_CHECKING = False
if TYPE_CHECKING:
    from threading import Thread

PERIOD_S = 0.01
_FRESH_NS = 1_000_000
_IDLE_S = 1.0
_MOST = 4_096
_time = itemgetter(0)


class Moment:
    """
    The memory of the moment at which it was made; samples are taken while it lives.
    """

    __slots__ = ("__weakref__", "size_bytes", "time_ns")

    def __init__(self, time_ns: int, size_bytes: int) -> None:
        self.time_ns = time_ns
        self.size_bytes = size_bytes


class Gauge:
    """
    Reads the process's memory every 10 ms, in a thread, while there is a `Moment`.

    It keeps samples that no later one has reached: falling, so that the first of them
    after a moment is the peak since then. Of the older half of more than 4,096, every
    second is dropped.
    """

    def __init__(self) -> None:
        import psutil  # 25 ms, and of use here only

        self._read = psutil.Process().memory_info
        self._peaks: list[tuple[int, int]] = []
        self._moments: WeakSet[Moment] = WeakSet()
        self._thread: Thread | None = None
        self._lock = RLock()

    def begin(self) -> Moment:
        """
        Begin to look, from the memory of now.
        """
        with self._lock:
            moment = Moment(*self._sample())
            self._moments.add(moment)
            if self._thread is None:
                self._start()
        return moment

    def growth_bytes(self, moment: Moment) -> int:
        """
        Tell by how much memory has exceeded that of *moment* since; at least 0.
        """
        with self._lock:
            self._sample()
            first = bisect_left(self._peaks, moment.time_ns, key=_time)
            return max(0, self._peaks[first][1] - moment.size_bytes)

    def _sample(self) -> tuple[int, int]:
        """
        Take a sample; one that is younger than 1 ms serves again, as it costs 10 us.
        """
        peaks = self._peaks
        if peaks and perf_counter_ns() - peaks[-1][0] < _FRESH_NS:
            return peaks[-1]
        size_bytes = self._read().rss
        while peaks and peaks[-1][1] <= size_bytes:
            peaks.pop()
        if len(peaks) >= _MOST:
            del peaks[: _MOST // 2 : 2]
        peaks.append((perf_counter_ns(), size_bytes))
        return peaks[-1]

    def _start(self) -> None:
        with suppress(RuntimeError, MemoryError):  # at exit, or there is no thread left
            serve(self, self._look, "instrument-memory-sampler")

    def _look(self) -> None:
        idle_s = 0.0
        while True:
            sleep(PERIOD_S)
            with self._lock:
                if self._moments:
                    idle_s = 0.0
                    with suppress(OSError):  # no descriptor is to be had just now
                        self._sample()
                    continue
                idle_s += PERIOD_S
                if idle_s > _IDLE_S:
                    self._thread = None
                    return


_gauge: Gauge | None = None


def gauge() -> Gauge:
    """
    Give the one of this process.
    """
    global _gauge
    if _gauge is None:
        _gauge = Gauge()
    return _gauge


def _forget() -> None:
    """
    Leave the parent's to the parent: its thread is not here, its lock may be taken.
    """
    global _gauge
    _gauge = None


in_child(_forget)
