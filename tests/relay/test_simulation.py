"""
What the simulation of many calls through a bad transport states of each of them.
"""

from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

from instrument._relay.resequencer import Resequencer

if TYPE_CHECKING:
    from tests.benchmarks import simulation
else:
    simulation = import_module("simulation")

CALLS = 12
COUNTS = ("sent", "came", "told", "lost", "left", "held")
every_weather = pytest.mark.parametrize(
    "weather", simulation.WEATHERS, ids=[it.name for it in simulation.WEATHERS]
)


@every_weather
@pytest.mark.parametrize("most_held", [None, 7])
def test_each_call(weather: Any, most_held: int | None) -> None:
    """
    Whatever happens each call ends, and so does each of its runs, once; of its last attempt
    each event is told once, in order, or counted as lost; no more wait than may.
    """
    given = weather if most_held is None else replace(weather, most_held=most_held)

    for seed in (1, 2):
        figures = simulation.simulated(given, CALLS, seed)

        assert figures.faults == []
        assert figures.told + figures.lost + figures.left == figures.sent
        assert figures.held <= given.most_held
        assert weather.dying or figures.left == 0


def test_nothing_is_lost_that_comes() -> None:
    """
    What only overtakes, comes twice, or is done once more is all told in the end.
    """
    weather = simulation.Weather("", doubled=0.3, spread_s=0.05, dying=0.3)

    figures = simulation.simulated(weather, CALLS, 1)

    assert figures.lost == 0
    assert figures.held > 0
    assert figures.came > figures.sent > figures.told > 0


def test_weather_is_what_it_says() -> None:
    """
    Frames are lost where they should be; one seed is one story.
    """
    told = {}
    for weather in simulation.WEATHERS:
        one, other = (simulation.simulated(weather, CALLS, 1) for _ in range(2))
        assert [getattr(one, it) for it in COUNTS] == [
            getattr(other, it) for it in COUNTS
        ]
        told[weather.name] = one

    quiet = told["nothing happens"]
    assert (quiet.lost, quiet.held, quiet.window_s) == (0, 0, 0)
    assert quiet.came == quiet.sent == quiet.told
    assert told["one in a hundred is lost"].lost > 0
    assert told["the transport restarts"].lost > 0
    assert told["workers die, calls are retried"].left > 0


class Trusting(Resequencer):
    """
    Gives all as it comes.
    """

    def take(self, first: int, items: Sequence[Any], attempt: int = 0) -> list[Any]:
        self._next += len(items)
        return [*items]


class Careless(Resequencer):
    """
    Counts nothing.
    """

    def _skip(self, number: int, ready: list[Any]) -> None:
        super()._skip(number, ready)
        self.lost = 0


@pytest.mark.parametrize("kind", [Trusting, Careless])
def test_what_is_wrong_is_seen(
    kind: type[Resequencer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A resequencer that does not do what it should has faults.
    """
    monkeypatch.setattr(simulation, "Resequencer", kind)
    weather = simulation.Weather("", 0.05, 0.2, 0.05, dying=0.3)

    assert simulation.simulated(weather, CALLS, 1).faults
