"""
`Metrics`: histograms of what model calls took and consumed, since the process began.

Source: https://github.com/open-telemetry/semantic-conventions/blob/v1.41.0/docs/gen-ai/gen-ai-metrics.md
"""

from bisect import bisect_left

from instrument import _ids
from instrument.handlers._otlp import wire
from instrument.handlers._shared.spans import gen_ai

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from instrument.handlers._shared.spans.told import Told

_SECONDS = tuple(0.01 * 2**power for power in range(14))
_TOKENS = tuple(float(4**power) for power in range(14))
_DURATION = "gen_ai.client.operation.duration"
_FIRST = "gen_ai.client.operation.time_to_first_chunk"
_USAGE = "gen_ai.client.token.usage"
_KINDS = {  # unit, buckets, and what it is
    _DURATION: ("s", _SECONDS, "How long a model's call took"),
    _FIRST: ("s", _SECONDS, "How long until the first piece of an answer came"),
    _USAGE: ("{token}", _TOKENS, "How many tokens a model's call consumed"),
}
_MODELS = ("chat_model", "embedding", "llm")
_MOST = 1_000
"""How many combinations of metric and attributes are kept."""
_NAMED = (
    "gen_ai.operation.name",
    "gen_ai.provider.name",
    "gen_ai.request.model",
    "gen_ai.response.model",
)


class Metrics:
    """
    What was measured; one thread adds to it, the one that sends it.

    Attributes:
        is_news: Whether something came since it was last given.
    """

    def __init__(self) -> None:
        self.is_news = False
        self._started_ns = _ids.wall_ns()
        self._points: dict[tuple[Any, ...], _Point] = {}

    def add(self, told: "Told") -> None:
        """
        Count a run that has ended, if it is a model's.
        """
        if told.kind not in _MODELS or told.ended_ns is None:
            return
        known = gen_ai.attributes(told)
        named = {name: known[name] for name in _NAMED if name in known}
        failed = {} if told.failure is None else {"error.type": told.failure.type}
        duration_s = (told.ended_ns - told.started_ns) / 1e9
        self._count(_DURATION, duration_s, named | failed)
        if told.first_token_s is not None:
            self._count(_FIRST, told.first_token_s, named)
        for kind in ("input", "output"):
            tokens = told.usage.get(f"{kind}_tokens")
            if tokens is not None:
                self._count(_USAGE, float(tokens), named | {"gen_ai.token.type": kind})

    def encoded(self) -> "list[bytes]":
        """
        Give all that was measured, a metric each.
        """
        self.is_news = False
        now_ns = _ids.wall_ns()
        made = []
        for name, (unit, _, what) in _KINDS.items():
            points = [
                point.encoded(dict(key[1:]), self._started_ns, now_ns)
                for key, point in self._points.items()
                if key[0] == name
            ]
            if points:
                made.append(wire.histogram(name, unit, what, points))
        return made

    def _count(self, name: str, value: float, named: "dict[str, Any]") -> None:
        key = (name, *named.items())
        point = self._points.get(key)
        if point is None:
            if len(self._points) >= _MOST:
                return
            point = self._points[key] = _Point(_KINDS[name][1])
        point.add(value)
        self.is_news = True


class _Point:
    def __init__(self, bounds: "tuple[float, ...]") -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._total = 0.0
        self._least, self._most = float("inf"), float("-inf")

    def add(self, value: float) -> None:
        self._counts[bisect_left(self._bounds, value)] += 1
        self._total += value
        self._least, self._most = min(self._least, value), max(self._most, value)

    def encoded(
        self, attributes: "dict[str, Any]", started_ns: int, now_ns: int
    ) -> bytes:
        return wire.point(
            attributes,
            started_ns,
            now_ns,
            self._bounds,
            self._counts,
            self._total,
            self._least,
            self._most,
        )
