"""
Hundreds of calls in workers, whose events come home through a transport that loses, doubles
and reorders them, while workers and the transport restart: simulated, by a seed, on a clock
of its own. What puts the events right is what does so in production: `Resequencer`, and
`Mirrors`, which tells the handlers.

``python tests/benchmarks/simulation.py`` prints a Markdown table.
"""

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count
from pathlib import Path
from random import Random
from time import process_time_ns
from typing import Any

if not __package__:  # run as a script
    sys.path.append(str(Path(__file__).parents[2]))

from instrument import callbacks, emit, traced
from instrument._relay import errors, relay
from instrument._relay.mirror import Mirrors
from instrument._relay.resequencer import MOST_HELD, Resequencer
from instrument._scopes.binding import captured
from instrument._state import get_state
from instrument.testing import Recorder

WITHIN_S = 2.0
"""In which time all calls begin."""
BATCH, PAUSE_S = 20, 0.02
"""How many events go in one frame at most, and how long until the next on average."""
HOP_S = 0.001
RETRY_S, ATTEMPTS = 0.5, 4
"""How long after a worker is lost its call begins anew, and how often it is tried."""


@dataclass(frozen=True, slots=True)
class Weather:
    """
    What happens to frames and to workers.

    Attributes:
        lost, doubled: The share of frames that are.
        spread_s: How long a frame is under way on average, besides `HOP_S`.
        outage_s: How long the transport is away, once: what is in it is gone.
        dying: The share of attempts whose worker dies, or is taken for dead and goes on.
        patience_s: How long is waited for what is missing.
        most_held: How many events of a call may wait for an earlier one.
    """

    name: str
    lost: float = 0.0
    doubled: float = 0.0
    spread_s: float = 0.0
    outage_s: float = 0.0
    dying: float = 0.0
    patience_s: float = 1.0
    most_held: int = MOST_HELD


WEATHERS = (
    Weather("nothing happens"),
    Weather("frames overtake each other", spread_s=0.05),
    Weather("one in five comes twice", doubled=0.2, spread_s=0.005),
    Weather("one in a hundred is lost", lost=0.01, spread_s=0.005),
    Weather("the transport restarts", outage_s=0.3, spread_s=0.005),
    Weather("workers die, calls are retried", dying=0.3, spread_s=0.05),
    Weather("all of it", 0.01, 0.2, 0.05, 0.3, 0.3),
    Weather("all of it, 50 may wait", 0.01, 0.2, 0.05, 0.3, 0.3, most_held=50),
    Weather("all of it, 20 ms of patience", 0.01, 0.2, 0.05, 0.3, 0.3, 0.02),
)


@dataclass(frozen=True, slots=True)
class Frame:
    """
    Some events of one attempt, or how many there are.
    """

    attempt: int
    first: int
    events: list[str]
    count: int | None = None


@dataclass(slots=True)
class Figures:
    """
    What came of it.

    Attributes:
        sent: Events of all attempts.
        came: Those that came home, each as often as it did.
        told: Those that handlers heard.
        lost: Those that were counted as given up.
        left: Those of attempts that another one took the place of.
        held: How many of a call waited at most.
        window_s: How long one waited at most.
        ordering_ns, telling_ns: What it took to put them in order, and to tell them.
        faults: What should not be.
    """

    sent: int = 0
    came: int = 0
    told: int = 0
    lost: int = 0
    left: int = 0
    held: int = 0
    window_s: float = 0.0
    ordering_ns: int = 0
    telling_ns: int = 0
    lasted_s: float = 0.0
    faults: list[str] = field(default_factory=list)


class Clock:
    """
    What happens when, without waiting for it.
    """

    def __init__(self) -> None:
        self.now_s = 0.0
        self._plans: list[tuple[float, int, Callable[..., None], Any]] = []
        self._number = count()

    def after(self, delay_s: float, act: Callable[..., None], *args: Any) -> None:
        """
        Have something happen then.
        """
        at_s = self.now_s + delay_s
        heappush(self._plans, (at_s, next(self._number), act, args))

    def run(self) -> None:
        """
        Let all of it happen.
        """
        while self._plans:
            self.now_s, _, act, args = heappop(self._plans)
            act(*args)


class Network:
    """
    The transport, and what its weather is.
    """

    def __init__(self, clock: Clock, weather: Weather, chance: Random) -> None:
        self.clock = clock
        self.weather = weather
        self.chance = chance
        self._away_at_s = WITHIN_S / 2 if weather.outage_s else float("inf")

    def send(self, home: "Home", frame: Frame) -> None:
        """
        Bring a frame home, or not, or twice, and some time.
        """
        if self.chance.random() < self.weather.lost or self._is_away():
            return
        for _ in range(1 + (self.chance.random() < self.weather.doubled)):
            late_s = self.chance.expovariate(1) * self.weather.spread_s
            sent_s = self.clock.now_s
            self.clock.after(HOP_S + late_s, self._bring, home, frame, sent_s)

    def _bring(self, home: "Home", frame: Frame, sent_s: float) -> None:
        if not sent_s <= self._away_at_s <= self.clock.now_s:
            home.arrive(frame)

    def _is_away(self) -> bool:
        since_s = self.clock.now_s - self._away_at_s
        return 0 <= since_s < self.weather.outage_s


class Worker:
    """
    Does one call, and once more where that is lost; its result comes by another way, which
    loses nothing, as an engine's does.
    """

    def __init__(self, network: Network, home: "Home") -> None:
        self._network = network
        self._home = home
        self._chance = network.chance
        self._length = self._chance.randrange(5, 200)
        self.sent: dict[int, list[str]] = {}

    def begin(self, attempt: int = 0) -> None:
        """
        Do it.
        """
        events = self.sent[attempt] = events_of(self._length)
        fate = self._chance.random() if attempt + 1 < ATTEMPTS else 1.0
        dying = self._network.weather.dying
        is_dead = fate < dying / 2
        end = self._chance.randrange(len(events)) if is_dead else len(events)
        if fate < dying:  # at the latest a little after it was to end
            lasts_s = PAUSE_S * (2 * end / BATCH + 2)
            delay_s = lasts_s + RETRY_S if is_dead else self._chance.random() * lasts_s
            self._network.clock.after(delay_s, self.begin, attempt + 1)
        self._go_on(attempt, 0, end, is_dead=is_dead)

    def _go_on(self, attempt: int, first: int, end: int, *, is_dead: bool) -> None:
        """
        Send a batch: the first event at once, the next a little later.
        """
        network, home = self._network, self._home
        size = 1 if first == 0 else self._chance.randrange(1, BATCH)
        batch = self.sent[attempt][first : min(first + size, end)]
        if batch:
            network.send(home, Frame(attempt, first, batch))
            pause_s = self._chance.expovariate(1) * PAUSE_S
            then = (attempt, first + len(batch), end)
            network.clock.after(pause_s, lambda: self._go_on(*then, is_dead=is_dead))
        elif is_dead:
            self.sent[attempt] = self.sent[attempt][:end]
        else:
            network.send(home, Frame(attempt, end, [], end))
            network.clock.after(HOP_S, home.result, attempt, end)


class Home:
    """
    Where the events of one call come to: what an engine's transport does with `Resequencer`.
    """

    def __init__(self, network: Network, figures: Figures) -> None:
        self._network = network
        self._figures = figures
        self.recorder = Recorder()
        with callbacks(self.recorder, inherit=False), traced("request"):
            self._mirrors = Mirrors(captured(get_state()))
        self.order = Resequencer(network.weather.most_held)
        self.given: dict[int, list[str]] = {}
        self.lost: Counter[int] = Counter()
        self.count: int | None = None
        self.is_closed = self._is_looking = False

    def arrive(self, frame: Frame) -> None:
        """
        Take a frame.
        """
        self._figures.came += len(frame.events)
        if self.is_closed:
            return
        self._begin(frame.attempt)
        came_s = self._network.clock.now_s
        events = [(came_s, event) for event in frame.events]
        self._tell(lambda: self.order.take(frame.first, events, frame.attempt))
        if frame.count is not None:
            self._end(frame.attempt, frame.count)
        held = len(self.order._held)
        self._figures.held = max(self._figures.held, held)
        if held > self._network.weather.most_held:
            self._figures.faults.append(f"{held} wait")
        self._settle()

    def result(self, attempt: int, count: int) -> None:
        """
        Hear that the call has ended: what is missing then is waited for, not long.
        """
        if not self.is_closed:
            self._begin(attempt)
            self._end(attempt, count)
            self._settle()

    def _begin(self, attempt: int) -> None:
        if self.order.begin(attempt):
            self._mirrors.end_all(errors.lost("worker lost"))

    def _end(self, attempt: int, count: int) -> None:
        if attempt == self.order.attempt:
            self.order.end(count, attempt)
            self.count = count

    def _settle(self) -> None:
        """
        Close what is whole; look again, in a while, at what is not.
        """
        if self.order.is_whole:
            self.is_closed = True
            self._mirrors.end_all(GeneratorExit())
        elif self.order.is_waiting and not self._is_looking:
            self._is_looking = True
            since = (self.order.attempt, self.order._next)
            patience_s = self._network.weather.patience_s
            self._network.clock.after(patience_s, self._look, since)

    def _look(self, since: tuple[int, int]) -> None:
        self._is_looking = False
        if not self.is_closed and since == (self.order.attempt, self.order._next):
            self._tell(self.order.give_up)
        if not self.is_closed:
            self._settle()

    def _tell(self, order: Callable[[], list[tuple[float, str]]]) -> None:
        """
        Tell what *order* gives.
        """
        figures, attempt, lost = self._figures, self.order.attempt, self.order.lost
        began_ns = process_time_ns()
        ready = order()
        figures.ordering_ns += process_time_ns() - began_ns
        self.lost[attempt] += self.order.lost - lost
        given = self.given.setdefault(attempt, [])
        now_s = self._network.clock.now_s
        for came_s, event in ready:
            figures.window_s = max(figures.window_s, now_s - came_s)
            given.append(event)
            told = json.loads(event)
            began_ns = process_time_ns()
            self._mirrors.tell(told)
            figures.telling_ns += process_time_ns() - began_ns


class Told:
    """
    Keeps what a worker would send, as `Relay` writes it.
    """

    def __init__(self) -> None:
        self.events: list[str] = []

    def on_event(self, event: Any, *, run: Any) -> None:
        is_token = event.event == "on_llm_new_token"
        more = relay._more(event, run)
        told = f'{{"event":{event.to_json()}{more}}}'
        self.events.append(relay._token(event) if is_token else told)


@traced.chat_model
def answer(messages: list[dict[str, str]], length: int) -> Iterator[str]:
    """
    Stream an answer.
    """
    for number in range(length):
        yield f"{number} "


@traced.tool
def search(query: str) -> str:
    """
    Be called in between.
    """
    emit("progress", query)
    return query


@traced
def call(length: int) -> None:
    """
    Do what an agent does.
    """
    for _ in answer([{"role": "user", "content": "?"}], length):
        pass
    search("x")
    search("y")


def events_of(length: int) -> list[str]:
    """
    Give what a call tells: so many pieces of an answer, and some others.
    """
    told = Told()
    with callbacks(told, inherit=False):
        call(length)
    return told.events


def faults_of(worker: Worker, home: Home) -> Iterator[str]:
    """
    Say what should not be of one call.
    """
    if not home.is_closed:
        yield "it never ends"
    for attempt, given in home.given.items():
        at = {event: number for number, event in enumerate(worker.sent[attempt])}
        numbers = [at.get(event, -1) for event in given]
        if numbers != sorted({*numbers} - {-1}):
            yield f"twice, in another order, or of another attempt: {numbers}"
        if len(given) + home.lost[attempt] > len(at):
            yield "more is told and lost than was sent"
    last = home.order.attempt
    told = len(home.given.get(last, ())) + home.lost[last]
    if told != home.count:
        yield f"{told} told and lost of {home.count}"
    ends = Counter(
        it.run_id
        for it in home.recorder.events
        if it.event.endswith(("_end", "_error")) and it.name != "request"
    )
    if {*ends.values()} - {1}:
        yield "a run ends twice"
    if any(it.status == "running" for it in home.recorder.runs):
        yield "a run does not end"


def simulated(weather: Weather, calls: int, seed: int) -> Figures:
    """
    Let so many calls be done in such weather.
    """
    chance, clock, figures = Random(seed), Clock(), Figures()
    network = Network(clock, weather, chance)
    homes = [Home(network, figures) for _ in range(calls)]
    workers = [Worker(network, home) for home in homes]
    for worker in workers:
        clock.after(chance.random() * WITHIN_S, worker.begin)
    clock.run()
    for worker, home in zip(workers, homes, strict=True):
        sent = sum(map(len, worker.sent.values()))
        told = sum(map(len, home.given.values()))
        figures.sent += sent
        figures.told += told
        figures.lost += home.order.lost
        figures.left += sent - told - home.order.lost
        figures.faults += faults_of(worker, home)
    figures.lasted_s = clock.now_s
    return figures


def table(calls: int = 300, seed: int = 1) -> str:
    """
    Simulate each, and write it as Markdown.
    """
    head = ("", "sent", "came", "told", "lost", "others'", "held", "waited", "cost")
    lines = [head, ("---", *["--:"] * 8)]
    for weather in WEATHERS:
        it = simulated(weather, calls, seed)
        assert it.faults == [], it.faults
        counts = (it.sent, it.came, it.told, it.lost, it.left, it.held)
        cost = f"{it.ordering_ns / it.telling_ns:.1%}"
        written = [f"{figure:,}" for figure in counts]
        lines.append((weather.name, *written, f"{it.window_s:.2f} s", cost))
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


if __name__ == "__main__":
    print(table())
