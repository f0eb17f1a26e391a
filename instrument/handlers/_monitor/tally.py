"""
What is counted of the runs of one name, and what is told of it.
"""

from dataclasses import dataclass

from instrument._interrupts import Taking
from instrument.handlers._monitor.quantiles import Quantiles, bucket_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from instrument._runs.run import Run

_SUMS = ("count", "errors", "total_s", "cpu_s")
_KNOWN = ("input_tokens", "output_tokens", "cost_usd")


@dataclass(frozen=True, slots=True)
class RunStats:
    """
    What the ended runs of one name took.

    Attributes:
        group: What the metadata say under `group_by`; None without one.
        errors: Those with status ``error``; cancelled and abandoned ones are none.
        p50_s, p95_s, p99_s: Half, 95 % and 99 % took no longer (s), within 1 %.
        cpu_s: Seconds of CPU of the thread that ran it, between start and end; in
            async code also what other tasks took there meanwhile. A run that ends in
            another thread than it started in is not in it, nor one in another process.
        memory_bytes_max: The most by which resident memory rose above its start while
            one run lasted. It is that of the process: what runs beside it is in it, and
            runs in another process are not.
        first_token_p50_s, first_token_p95_s: Until the first piece of an answer came.
        tokens_per_s: Output tokens a second, from a stream's first piece to its end.
        input_tokens, output_tokens: Sums of what is known; None where nothing is.
        cost_usd: What is known of the cost; None where nothing is.
    """

    name: str
    count: int
    errors: int
    total_s: float
    mean_s: float
    p50_s: float
    p95_s: float
    p99_s: float
    max_s: float
    cpu_s: float
    memory_bytes_max: int | None
    first_token_p50_s: float | None
    first_token_p95_s: float | None
    tokens_per_s: float | None
    input_tokens: int | None
    output_tokens: int | None
    cost_usd: float | None
    group: str | None = None


class Tally:
    """
    The runs of one name so far.

    Nothing is called between the reading and the writing of a sum: there a generator
    may be collected, whose run ends here too, and an interrupt would leave half of it.
    """

    __slots__ = (
        "cost_usd",
        "count",
        "cpu_s",
        "errors",
        "first_tokens",
        "input_tokens",
        "max_s",
        "memory_bytes_max",
        "output_tokens",
        "quantiles",
        "streamed_s",
        "streamed_tokens",
        "total_s",
    )

    def __init__(self) -> None:
        self.count = self.errors = self.streamed_tokens = 0
        self.total_s = self.max_s = self.cpu_s = self.streamed_s = 0.0
        self.memory_bytes_max: int | None = None
        self.input_tokens: int | None = None
        self.output_tokens: int | None = None
        self.cost_usd: float | None = None
        self.quantiles = Quantiles()
        self.first_tokens: Quantiles | None = None

    def add(
        self,
        run: "Run",
        cpu_ns: int,
        growth: int | None,
        cost_usd: float | None,
        taking: Taking,
    ) -> None:
        """
        Count a run that has ended.

        Args:
            taking: Told when it is counted.
        """
        duration_s, usage = run.duration_s, run.usage
        bucket, durations = bucket_of(duration_s), self.quantiles.counts
        first_s, first_bucket = run.time_to_first_token_s, None
        if first_s is not None:
            first_bucket = bucket_of(first_s)
            self.first_tokens = self.first_tokens or Quantiles()
            firsts = self.first_tokens.counts
        taking.is_taken = True  # nothing is called from here on
        self.count += 1
        self.total_s += duration_s
        if duration_s > self.max_s:  # noqa: PLR1730 - max() would be a call
            self.max_s = duration_s
        if run.status == "error":
            self.errors += 1
        if cpu_ns > 0:  # a fork sets a thread's clock back
            self.cpu_s += cpu_ns / 1e9
        if growth is not None and growth >= (self.memory_bytes_max or 0):
            self.memory_bytes_max = growth
        if usage.input_tokens is not None:
            self.input_tokens = (self.input_tokens or 0) + usage.input_tokens
        if usage.output_tokens is not None:
            self.output_tokens = (self.output_tokens or 0) + usage.output_tokens
        if cost_usd is not None:
            self.cost_usd = (self.cost_usd or 0.0) + cost_usd
        durations[bucket] += 1
        if first_bucket is not None:
            firsts[first_bucket] += 1
            rest_s = duration_s - first_s  # type: ignore[operator]
            tokens = usage.output_tokens
            if tokens is not None and tokens > 1 and rest_s > 0:
                self.streamed_tokens += tokens - 1
                self.streamed_s += rest_s

    def stats(self, name: str, group: str | None) -> RunStats:
        """
        Tell what is known now.
        """
        p50, p95, p99 = self.quantiles.at(0.50, 0.95, 0.99)
        first = self.first_tokens
        first_p50, first_p95 = (None, None) if first is None else first.at(0.50, 0.95)
        rate = self.streamed_tokens / self.streamed_s if self.streamed_s else None
        return RunStats(
            name,
            self.count,
            self.errors,
            self.total_s,
            self.total_s / self.count,
            min(p50, self.max_s),
            min(p95, self.max_s),
            min(p99, self.max_s),
            self.max_s,
            self.cpu_s,
            self.memory_bytes_max,
            first_p50,
            first_p95,
            rate,
            self.input_tokens,
            self.output_tokens,
            self.cost_usd,
            group,
        )

    def counts(self) -> "dict[str, Any]":
        """
        Give what `merge` needs beside the statistics.
        """
        first = self.first_tokens
        return {
            "streamed_tokens": self.streamed_tokens,
            "streamed_s": self.streamed_s,
            "durations": self.quantiles.to_dict(),
            "first_tokens": {} if first is None else first.to_dict(),
        }

    def merge(self, told: "Mapping[str, Any]") -> None:
        """
        Add what another one has counted.
        """
        for name in (*_SUMS, "streamed_tokens", "streamed_s"):
            setattr(self, name, getattr(self, name) + told[name])
        for name in _KNOWN:
            if told[name] is not None:
                setattr(self, name, (getattr(self, name) or 0) + told[name])
        self.max_s = max(self.max_s, told["max_s"])
        growth = told["memory_bytes_max"]
        if growth is not None:
            self.memory_bytes_max = max(self.memory_bytes_max or 0, growth)
        self.quantiles.merge(told["durations"])
        if told["first_tokens"]:
            self.first_tokens = self.first_tokens or Quantiles()
            self.first_tokens.merge(told["first_tokens"])
