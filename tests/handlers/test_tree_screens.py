"""
What is seen of trees, character for character, at a clock that is set by hand.
"""

import io
import json
from collections.abc import Callable
from contextvars import copy_context
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from instrument import _ids, callbacks, traced
from instrument.handlers import TreeHandler

pytest.importorskip("rich")

QUESTION = "How is it in Rome, and should I go?"
ANSWER = (
    "It is sunny in Rome and 2.8 million people enjoy it, in parks and on balconies."
    " Go."
)
SOURCES = ("istat.md", "un.md", "wiki.md")
DOWN = (
    "the service is down: [Errno 111] Connection refused while calling"
    " https://weather.example.com/v1/forecast?city=Rome&units=metric&days=14"
)
ROMA = {"city": "Rome"}
CALLS = [
    {"name": "weather", "arguments": ROMA},
    {"name": "population", "arguments": ROMA},
]
FORECAST = {"city": "Rome", "units": "metric", "days": 14}
BASE_NS = 10**15 + 7 * 10**8  # at whose spinner the pictures were taken
_FIRST = (0x7 << 76) | (0b10 << 62)


class Stage:
    """
    Plays a request: runs start and end when it is said, at the second that is said.
    """

    def __init__(self) -> None:
        self.base_ns = self.now_ns = BASE_NS
        self._id = 0
        self._hex: dict[UUID, str] = {}
        self._open: dict[str, Any] = {}

    def mint(self, _: int) -> UUID:
        """
        Give the next id.
        """
        self._id += 1
        return UUID(int=_FIRST | self._id)

    def at(self, seconds: float) -> None:
        """
        Have it be so late.
        """
        self.now_ns = self.base_ns + round(seconds * 1e9)

    def request(self, hex: str) -> None:
        """
        Have the next run be the root of that request.
        """
        self._hex[UUID(int=_FIRST | (self._id + 1))] = hex.ljust(32, "0")

    def trace_hex_of(self, id: UUID) -> str:
        """
        Give what a request is told by.
        """
        return self._hex.get(id, "0" * 32)

    def start(self, name: str, kind: str, inputs: Any, above: str = "") -> Any:
        """
        Start a run below another one.
        """
        context = copy_context() if not above else self._open[above][0].copy()
        options = {"model": name} if kind == "chat_model" else {}
        block: Any = traced(name, kind=kind, inputs=inputs, **options)  # type: ignore[call-overload]
        run = context.run(block.__enter__)
        self._open[name] = (context, block, run)
        return run

    def end(self, name: str, outputs: Any = None, error: Any = None) -> None:
        """
        End it.
        """
        context, block, run = self._open.pop(name)
        if error is not None:
            context.run(block.__exit__, type(error), error, None)
            return
        if outputs is not None:
            run.outputs = outputs
        context.run(block.__exit__, None, None, None)

    def model(self, outputs: Any, above: str, *used: Any, until: float) -> None:
        """
        Have a model be called.
        """
        run = self.start("gpt-4o-mini", "chat_model", [user(QUESTION)], above)
        self.at(until)
        run.record_usage(input_tokens=used[0], output_tokens=used[1], cost_usd=used[2])
        self.end("gpt-4o-mini", outputs)

    def stream(self, above: str, pieces: list[str]) -> Any:
        """
        Have a model stream nine pieces in 0.444 s, of 0.598 s.
        """
        began = (self.now_ns - self.base_ns) / 1e9
        run = self.start("gpt-4o-mini", "chat_model", [user(QUESTION)], above)
        for index, piece in enumerate(pieces):
            self.at(began + 0.15 + index * 0.444 / 8)
            run.token(piece)
        self.at(began + 0.598)
        return run


def user(text: str) -> dict[str, str]:
    """
    Give what a user says.
    """
    return {"role": "user", "content": text}


def calling(*calls: Any) -> dict[str, Any]:
    """
    Give the answer of a model that calls tools.
    """
    told = [
        {
            "id": call["name"],
            "type": "function",
            "function": {**call, "arguments": json.dumps(call["arguments"])},
        }
        for call in calls
    ]
    return {"role": "assistant", "content": None, "tool_calls": told}


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Stage:
    """
    Have ids and the clock be the stage's.
    """
    made = Stage()
    monkeypatch.setattr(_ids, "mint", made.mint)
    monkeypatch.setattr(_ids, "trace_hex_of", made.trace_hex_of)
    monkeypatch.setattr(_ids, "clock_ns", lambda: made.now_ns)
    return made


def golden(name: str, part: str) -> list[str]:
    """
    Read what is to be seen.
    """
    text = (Path(__file__).parent / "screens" / f"{name}.txt").read_text("utf-8")
    parts = dict(part.split("\n", 1) for part in ("\n" + text).split("\n== ")[1:])
    return [line.rstrip() for line in parts[part].rstrip("\n").split("\n")]


def to_the_answer(stage: Stage) -> None:
    """
    Play a request until it answers: a model, and two tools at once.
    """
    stage.request("3fa9c1")
    stage.start("travel", "agent", {"messages": [user(QUESTION)]})
    stage.model(calling(*CALLS), "travel", 40, 12, 0.000013, until=1.17)
    stage.start("weather", "tool", ROMA, "travel")
    stage.start("population", "tool", ROMA, "travel")
    stage.at(1.2)
    stage.start("gazetteer", "retriever", "population of Rome", "population")
    stage.at(1.212)
    found = [{"page_content": "", "metadata": {"source": it}} for it in SOURCES]
    stage.end("gazetteer", found)
    stage.at(1.58)
    stage.end("population", 2800000)
    stage.at(1.971)
    stage.end("weather", "Rome: sunny, 24 °C")


def finished(stage: Stage) -> None:
    """
    Play a request to its end.
    """
    to_the_answer(stage)
    stage.model(ANSWER, "travel", 90, 14, 0.000022, until=3.071)
    stage.end("travel", ANSWER)


def failed(stage: Stage) -> None:
    """
    Play a request of which a tool fails.
    """
    stage.request("7c02d4")
    stage.start("travel", "agent", {"messages": [user(QUESTION)]})
    calls = calling(CALLS[0], {"name": "forecast", "arguments": FORECAST})
    stage.model(calls, "travel", 40, 12, 0.000013, until=0.493)
    stage.start("weather", "tool", ROMA, "travel")
    stage.start("forecast", "tool", FORECAST, "travel")
    stage.at(0.695)
    error = ValueError(DOWN)
    stage.end("forecast", error=error)
    stage.at(1.294)
    stage.end("weather", "Rome: sunny, 24 °C")
    stage.at(1.31)
    stage.end("travel", error=error)


CONTEXT = " ".join(["Rome is sunny"] * 5)


def rag(stage: Stage) -> None:
    """
    Play a chain of LangChain's that looks up and asks, two branches of it at once.
    """
    asked, both = "How is it?", "RunnableParallel<context,question>"
    found = [{"page_content": "", "metadata": {"source": "rome.md"}}] * 3
    given = {"context": CONTEXT, "question": asked}
    stage.request("b7710a")
    stage.start("RunnableSequence", "chain", asked)
    stage._open["chain"] = stage._open["RunnableSequence"]
    stage.start(both, "chain", asked, "chain")
    stage.start("RunnableSequence", "chain", asked, both)
    stage.start("RunnablePassthrough", "chain", asked, both)
    stage.start("R", "retriever", asked, "RunnableSequence")
    stage.at(518e-6)
    stage.end("R", found)
    stage.at(635e-6)
    stage.end("RunnablePassthrough", asked)
    stage.at(2.161e-3)
    stage.start("RunnableLambda", "chain", found, "RunnableSequence")
    stage.at(2.4e-3)
    stage.end("RunnableLambda", CONTEXT)
    stage.end("RunnableSequence", CONTEXT)
    stage.at(4e-3)
    stage.end(both, given)
    stage.start("ChatPromptTemplate", "prompt", given, "chain")
    stage.at(4.5e-3)
    stage.end("ChatPromptTemplate", {"messages": [user(CONTEXT)]})
    stage.model("It is sunny.", "chain", 90, 14, 0.000022, until=0.8525)
    stage.at(0.856868)
    stage.start("StrOutputParser", "parser", "It is sunny.", "chain")
    stage.at(0.857)
    stage.end("StrOutputParser", "It is sunny.")
    stage.end("chain", "It is sunny.")


def many(stage: Stage) -> None:
    """
    Play a request of many runs, of which two models run and a tool has failed.
    """
    stage.base_ns += 5 * 10**8
    stage.at(0)
    stage.request("3fa9c1")
    question = "Compare the ten largest cities"
    stage.start("research", "agent", {"messages": [user(question)]})
    for number in range(57):
        kind = "tool" if number % 2 == 0 else "chat_model"
        stage.start(f"part {number}", kind, {}, "research")
        stage.end(f"part {number}")
    stage.at(22)
    stage.start("search", "tool", {}, "research")
    stage.at(22.02)
    message = "quota exceeded for this key while calling the search provider"
    stage.end("search", error=RuntimeError(message))
    stage.at(28.8)
    stage._open["outer"] = stage._open["research"]
    stage.start("research", "chain", {"city": "Lagos"}, "outer")
    for number in range(33):
        kind = "chat_model" if number == 0 else "tool"
        run = stage.start(f"step {number}", kind, {}, "research")
        if number == 0:
            run.record_usage(input_tokens=12_400, output_tokens=801, cost_usd=0.0023)
        stage.end(f"step {number}")
    stage.at(41.2)
    stage.end("research")
    stage.at(68.8)
    stage.start("gpt-4o", "chat_model", [user(question)], "outer")
    stage._open["waiting"] = stage._open["gpt-4o"]
    stage.at(69.6)
    run = stage.start("gpt-4o", "chat_model", [user(question)], "outer")
    for number in range(212):
        stage.at(69.7 + number * 2.244 / 211)
        run.token(NEWEST if number == 211 else "so ", channel="reasoning")
    stage.at(72)


NEWEST = "so the second figure must be of the metropolitan area, not of the city"


@pytest.mark.parametrize("columns", [80, 140])
@pytest.mark.parametrize("play", [finished, failed, rag])
def test_what_is_left(
    screen: Any, stage: Stage, play: Callable[[Stage], None], columns: int
) -> None:
    """
    A tree that is done stands whole: times, words, what failed, what it came to.
    """
    screen.resize(columns, 24)

    with callbacks(TreeHandler(screen.file)):
        play(stage)

    assert seen(screen) == golden(f"tree-{columns}", play.__name__)


def seen(screen: Any) -> list[str]:
    """
    Give what is seen, a row that the terminal has wrapped as one.
    """
    rows: list[str] = []
    for row in "\n".join(screen.rows()).rstrip("\n").split("\n"):
        if rows and len(rows[-1]) == screen.columns and row[:1] != " ":
            rows[-1] += row
        else:
            rows.append(row)
    return rows


@pytest.mark.parametrize("columns", [80, 140])
def test_what_runs(screen: Any, stage: Stage, columns: int) -> None:
    """
    A tree that grows shows the newest words of the model that answers.
    """
    screen.resize(columns, 24)

    with callbacks(TreeHandler(screen.file)):
        to_the_answer(stage)
        words = "It| is| sunny| in| Rome| and| 2.8 million| people| enjoy it"
        stage.stream("travel", words.split("|"))
        screen.wait_for("enjoy it")
        drawn = seen(screen)
        stage.end("gpt-4o-mini")
        stage.end("travel")

    assert drawn == golden(f"tree-{columns}", "running")


@pytest.mark.parametrize("columns", [80, 140])
def test_two_at_once(screen: Any, stage: Stage, columns: int) -> None:
    """
    Of requests that run at once each has its id at its top.
    """
    screen.resize(columns, 24)

    with callbacks(TreeHandler(screen.file)):
        stage.request("3fa9c1")
        ask = {"messages": [user("How is it in Rome?")]}
        stage.start("travel", "agent", ask)
        stage.model(calling(*CALLS), "travel", 40, 12, 0.000013, until=1.17)
        stage.start("weather", "tool", ROMA, "travel")
        stage._open["first"] = stage._open["travel"]
        stage.at(1.972)
        stage.request("7c02d4")
        stage.start("travel", "agent", {"messages": [user("And in Paris?")]})
        stage.at(1.973)
        words = "It| ra|ins| in| Paris|,| and| it| will"
        stage.stream("travel", words.split("|"))
        stage.at(2.57)
        screen.wait_for("it will")
        drawn = seen(screen)
        for name in ("gpt-4o-mini", "travel", "weather", "first"):
            stage.end(name)

    assert drawn == golden(f"tree-{columns}", "two requests at once")


@pytest.mark.parametrize("columns", [80, 140])
def test_little_room(screen: Any, stage: Stage, columns: int) -> None:
    """
    Where there is little room what ended well is counted, and what failed and what runs
    has a row.
    """
    screen.resize(columns, 8)

    with callbacks(TreeHandler(screen.file)):
        many(stage)
        screen.wait_for("212 out")
        drawn = seen(screen)[-6:]
        for name in ("gpt-4o", "waiting", "outer"):
            stage.end(name)

    assert drawn == golden(f"tree-{columns}", "little room")


@pytest.mark.parametrize(
    "columns, play, part",
    [(80, finished, "80"), (80, failed, "failed"), (140, finished, "140")],
)
def test_ascii(
    screen: Any, stage: Stage, columns: int, play: Callable[[Stage], None], part: str
) -> None:
    """
    A stream that knows no other characters gets plain ones, before widths are measured.
    """
    screen.resize(columns, 24)

    with screen.opened(encoding="ascii") as file, callbacks(TreeHandler(file)):
        play(stage)

    assert seen(screen) == golden("tree-ascii", part)


def test_piped(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Where there is no terminal the tree is written once, without colours and a time line.
    """
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    file = io.StringIO()

    with callbacks(TreeHandler(file)):
        finished(stage)

    assert file.getvalue().splitlines() == golden("tree-80", "finished")
