"""
What people see of runs as lines: the screens of the design, from the real handler.

To write them anew after a change that is meant: ``SCREENS=write pytest`` this file.
"""

import asyncio
import io
import logging
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextvars import Context, copy_context
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from instrument import Handler, Run, _ids, callbacks, current_run, traced
from instrument.handlers import (
    RequestLogger,
    StdOutCallbackHandler,
    StreamingStdOutCallbackHandler,
)
from instrument.testing import predictable

SCREENS = Path(__file__).parent / "screens"
QUESTION = "How is it in Rome, and should I go?"
ANSWER = "It is sunny in Rome and 2.8 million people enjoy it, in parks and on balconies. Go."
DOWN = (
    "the service is down: [Errno 111] Connection refused while calling"
    " https://weather.example.com/v1/forecast?city=Rome&units=metric&days=14"
)
ROME = {"city": "Rome"}


class Stream(io.TextIOWrapper):
    """
    A stream in memory, which may say that it is a terminal.
    """

    def __init__(self, encoding: str, *, is_terminal: bool) -> None:
        super().__init__(io.BytesIO(), encoding, newline="\n")
        self.is_terminal = is_terminal

    def isatty(self) -> bool:
        """
        Say whether it is one.
        """
        return self.is_terminal

    def text(self) -> str:
        """
        Give what was written.
        """
        self.flush()
        written: Any = self.buffer
        return str(written.getvalue(), self.encoding)


class RateLimitError(Exception):
    """
    What a provider refuses with.
    """


class Stage:
    """
    Requests whose runs start and end in any order, at times that are told.
    """

    def __init__(self, stream: Stream, logger: RequestLogger | None = None) -> None:
        self.stream = stream
        self._logger = logger
        self._now_ns = 0
        self._contexts: dict[str, Context] = {}
        self._blocks: dict[str, Any] = {}
        self._starts: dict[str, int] = {}
        self._ids: dict[str, str] = {}
        _ids.clock_ns = lambda: self._now_ns

    def request(self, key: str, id: str, *handlers: Handler) -> None:
        """
        Open the block of a request, whose root's key and id these are.
        """
        self._ids[key] = id
        context = self._contexts[""] = copy_context()
        printing = self._logger or StdOutCallbackHandler(self.stream)
        heard: tuple[Handler, ...] = printing, *handlers
        context.run(callbacks(*heard).__enter__)

    def start(
        self, key: str, named: str, inputs: Any, below: str = "", **more: Any
    ) -> None:
        """
        Start a run, known by its key: ``tool weather``.
        """
        kind, name = named.split()
        context = self._contexts[key] = self._contexts[below].run(copy_context)
        block = traced(name, kind=kind, inputs=inputs, **more)
        self._starts[key] = self._now_ns
        self._blocks[key] = block
        run = context.run(block.__enter__)
        self._ids[key] = self._ids.get(key, "")
        self._ids[run.trace_hex[:6]] = self._ids[key] or self._ids[run.trace_hex[:6]]

    def model(self, key: str, messages: list[Any], below: str = "agent") -> None:
        """
        Start a model.
        """
        name = "gpt-4o-mini"
        self.start(key, f"chat_model {name}", {"messages": messages}, below, model=name)

    def run(self, key: str) -> Run:
        """
        Give an open run.
        """
        return self._contexts[key].run(current_run)

    def within(self, key: str, function: Callable[..., Any], *args: Any) -> Any:
        """
        Do something inside an open run.
        """
        return self._contexts[key].run(function, *args)

    def end(
        self,
        key: str,
        took_s: float,
        outputs: object = None,
        error: BaseException | None = None,
        usage: tuple[int, int, float] | None = None,
    ) -> None:
        """
        End a run that took so long.
        """
        self._now_ns = self._starts[key] + round(took_s * 1e9)
        run = self.run(key)
        if usage is not None:
            run.record_usage(
                input_tokens=usage[0], output_tokens=usage[1], cost_usd=usage[2] / 1e6
            )
        run.outputs = outputs
        raised = (None, None, None) if error is None else (type(error), error, None)
        self._contexts[key].run(self._blocks[key].__exit__, *raised)

    def shown(self) -> str:
        """
        Give what was written, with the ids of the design.
        """
        text = self.stream.text()
        for real, id in self._ids.items():
            text = text.replace(real, id) if len(real) == 6 and id else text
        return text


def user(text: str) -> dict[str, str]:
    """
    Make a message.
    """
    return {"role": "user", "content": text}


SYSTEM = {"role": "system", "content": "Be brief."}
ASSISTANT = {"role": "assistant", "content": "One moment."}
TOOL = {"role": "tool", "content": "2800000"}
FIRST = 40, 12, 13.2
SECOND = 90, 14, 21.9


def calls(*named: str) -> dict[str, Any]:
    """
    Make a model's answer that calls tools.
    """
    functions = [{"name": it, "arguments": '{"city": "Rome"}'} for it in named]
    asked = [{"id": it["name"], "function": it} for it in functions]
    said = {"role": "assistant", "content": None, "tool_calls": asked}
    return {"choices": [{"message": said}]}


def documents(*sources: str) -> list[Any]:
    """
    Make what a retriever finds.
    """
    return [{"page_content": "x", "metadata": {"source": it}} for it in sources]


def one_request(stage: Stage) -> None:
    """
    An agent asks a model, two tools at once, and the model again.
    """
    stage.request("agent", "3fa9c1")
    stage.start("agent", "agent travel", {"messages": [user(QUESTION)]})
    stage.model("first", [SYSTEM, user(QUESTION)])
    stage.end("first", 1.2, calls("weather", "population"), usage=FIRST)
    stage.start("weather", "tool weather", ROME, "agent")
    stage.start("population", "tool population", ROME, "agent")
    query = {"query": "population of Rome"}
    stage.start("gazetteer", "retriever gazetteer", query, "population")
    stage.end("gazetteer", 0.012, documents("istat.md", "un.md", "wiki.md"))
    stage.end("population", 0.41, 2800000)
    stage.end("weather", 0.801, "Rome: sunny, 24 °C")
    stage.model("second", [SYSTEM, user(QUESTION), ASSISTANT, SYSTEM, TOOL])
    stage.end("second", 1.1, ANSWER, usage=SECOND)
    stage.end("agent", 3.1, ANSWER)


def two_requests(stage: Stage) -> None:
    """
    Two requests are open at once, and one of them fails.
    """
    stage.request("agent", "3fa9c1")
    rome = user("How is it in Rome?")
    stage.start("agent", "agent travel", {"messages": [rome]})
    stage.model("rome", [SYSTEM, rome])
    stage.request("other", "7c02d4")
    paris = user("And in Paris?")
    stage.start("other", "agent travel", {"messages": [paris]})
    stage.end("rome", 0.473, calls("weather", "population"), usage=FIRST)
    stage.start("weather", "tool weather", ROME, "agent")
    stage.model("paris", [SYSTEM, paris], "other")
    error = TimeoutError("no answer from 10.0.0.7")
    stage.end("weather", 0.052, error=error)
    stage.end("agent", 0.53, error=error)
    stage.end("paris", 1.1, "Rain, all week.", usage=SECOND)
    stage.end("other", 1.1, "Rain, all week.")


def failing(stage: Stage) -> None:
    """
    A tool fails, and with it its agent.
    """
    stage.request("agent", "7c02d4")
    stage.start("agent", "agent travel", {"messages": [user("Rome in two weeks?")]})
    stage.model("asking", [SYSTEM, user(QUESTION)])
    stage.end("asking", 0.2, calls("forecast"), usage=FIRST)
    asked = {"city": "Rome", "units": "metric", "days": 14}
    stage.start("forecast", "tool forecast", asked, "agent")
    error = ValueError(DOWN)
    stage.end("forecast", 0.202, error=error)
    stage.end("agent", 1.3, error=error)


def stopped(stage: Stage) -> None:
    """
    A request is sent again, its stream is left, and the run around it cancelled.
    """
    outcome: Future[None] = Future()
    outcome.set_exception(RateLimitError("429"))
    stage.request("chain", "7c02d4")
    question = "How is it in Rome?"
    stage.start("chain", "chain answer", {"question": question})
    stop = SimpleNamespace(max_attempt_number=3)
    state = SimpleNamespace(
        attempt_number=1,
        retry_object=SimpleNamespace(stop=stop),
        next_action=SimpleNamespace(sleep=2.0),
        outcome=outcome,
    )
    text = "It is sunny in Rome and 2.8 million people enj"

    @traced.chat_model("gpt-4o-mini", model="gpt-4o-mini")
    def model(messages: list[Any]) -> Iterator[str]:
        current_run().retry(state)
        yield from text[:33]
        yield text[33:]

    began = stage._now_ns
    stream = stage.within("chain", model, [user(question)])
    for _ in range(34):
        stage.within("chain", next, stream)
    stage._now_ns = began + 2_100_000_000
    stage.within("chain", stream.close)
    stage.end("chain", 2.1, error=asyncio.CancelledError())


def streamed(stage: Stage) -> None:
    """
    A model's tokens are written to the same stream.
    """
    stage.request("agent", "7c02d4", StreamingStdOutCallbackHandler(stage.stream))
    stage.start("agent", "agent travel", {})
    stage.model("model", [SYSTEM, user(QUESTION), ASSISTANT, SYSTEM, TOOL])
    pieces = ANSWER.removesuffix(" Go.").split()
    for index, piece in enumerate(pieces):
        stage._now_ns = 52_000_000 + round(index / (len(pieces) - 1) * 13 / 18 * 1e9)
        stage.within(
            "model", stage.run("model").token, piece + " " * (piece != pieces[-1])
        )
    stage.end("model", 1.1, ANSWER, usage=SECOND)


CONTEXT = " ".join(["Rome is sunny"] * 5)


def rag(stage: Stage) -> None:
    """
    A chain of LangChain's looks up and asks, two branches of it at once.
    """
    asked, named = "How is it?", "chain RunnableSequence"
    stage.request("chain", "b7710a")
    stage.start("chain", named, asked)
    both = "RunnableParallel<context,question>"
    stage.start("both", f"chain {both}", asked, "chain")
    stage.start("context", named, asked, "both")
    stage.start("question", "chain RunnablePassthrough", asked, "both")
    stage.start("R", "retriever R", {"query": asked}, "context")
    stage.end("question", 635e-6, asked)
    found = documents("rome.md", "rome.md", "rome.md")
    stage.end("R", 518e-6, found)
    stage.start("lambda", "chain RunnableLambda", found, "context")
    stage.end("lambda", 239e-6, CONTEXT)
    stage.end("context", 2.4e-3, CONTEXT)
    given = {"context": CONTEXT, "question": asked}
    stage.end("both", 4e-3, given)
    prompt = [user(CONTEXT)]
    stage.start("prompt", "prompt ChatPromptTemplate", given, "chain")
    stage.end("prompt", 500e-6, {"messages": prompt})
    stage.model("model", prompt, "chain")
    stage.end("model", 0.848, "It is sunny.", usage=SECOND)
    stage.start("parser", "parser StrOutputParser", "It is sunny.", "chain")
    stage.end("parser", 132e-6, "It is sunny.")
    stage.end("chain", 0.857, "It is sunny.")


@dataclass
class User:
    """
    Who logs in.
    """

    name: str
    role: str


def values(stage: Stage) -> None:
    """
    Wide characters, joined emoji, objects, secrets, bytes, control characters.
    """
    text = "東京の天気はどうですか。明日は傘が必要でしょうか、それとも晴れますか。"
    stage.request("translate", "7c02d4")
    stage.start("translate", "tool übersetzen", {"text": text})
    said = (
        "🌤️ In Tokyo it is 21 °C 👩‍👩‍👧 and no umbrella is needed, say all five stations"
    )
    stage.end("translate", 1.2, said)
    given = {"user": User("ada", "admin"), "api_key": "sk-1", "retries": None}
    avatar = {"avatar": b"x" * 2_400_000}
    stage.request("login", "7c02d5")
    stage.start("login", "tool login", {**given, **avatar})
    stage.end("login", 0.1)
    stage.request("read", "7c02d6")
    stage.start("read", "tool read", {})
    stage.end("read", 4.6e-3, "first line\nsecond line\x1b[31m" + "x" * 12_401)


SCENES: dict[str, tuple[Callable[[Stage], None], tuple[int, ...]]] = {
    "StdOutCallbackHandler: one request": (one_request, ()),
    "two requests at once": (two_requests, ()),
    "an error": (failing, (1, 2)),
    "a retry, a stream that was left, a run that was cancelled": (stopped, ()),
    "streamed to the same stream": (streamed, (0,)),
    "a LangChain RAG chain": (rag, ()),
    "values": (values, (3, 4)),
    "one request, 80": (one_request, ()),
    "one request, piped": (one_request, ()),
    "an error, piped": (failing, (1, 2)),
    "values, 80": (values, (3, 4)),
}
"""Each with the lines that the design leaves out."""


def drawn(title: str, stream: Stream) -> str:
    """
    Play a scene, and give what a terminal shows of it.
    """
    scene, left_out = SCENES[title]
    with predictable():
        stage = Stage(stream)
        scene(stage)
    lines = enumerate(stage.shown().splitlines(keepends=True))
    kept = "".join(line for index, line in lines if index not in left_out)
    return f"== {title}\n{kept}"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Have a terminal that can draw.
    """
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")


def compare(name: str, text: str) -> None:
    """
    Compare with a file, or write it.
    """
    path = SCREENS / name
    if os.environ.get("SCREENS") == "write":
        path.write_text(text, "utf-8")
    assert text == path.read_text("utf-8")


@pytest.mark.parametrize("width", ["80", "140"])
@pytest.mark.parametrize("suffix", ["txt", "ansi"])
def test_terminal(width: str, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    On a terminal lines are as wide as that, coloured unless NO_COLOR says otherwise.
    """
    monkeypatch.setenv("COLUMNS", width)
    if suffix == "txt":
        monkeypatch.setenv("NO_COLOR", "1")

    titles = [*SCENES][:7]
    text = "".join(drawn(it, Stream("utf-8", is_terminal=True)) for it in titles)

    compare(f"lines-{width}.{suffix}", text)


def test_ascii(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Where the stream knows no Unicode, our marks are ASCII; a pipe has no width.
    """
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")

    text = "".join(
        drawn(it, Stream("ascii", is_terminal=it.endswith("80")))
        for it in [*SCENES][7:]
    )

    compare("lines-ascii.txt", text)


def logged(stage: Stage) -> None:
    """
    A tool fails, and with it its agent; another request is cancelled.
    """
    stage.request("agent", "3fa9c1")
    rome = user("How is it in Rome?")
    stage.start("agent", "agent travel", {"messages": [rome]})
    stage.model("model", [SYSTEM, rome])
    named = {"name": "forecast", "arguments": '{"city": "Rome", "days": 14}'}
    said = {"content": "", "tool_calls": [{"id": "1", "function": named}]}
    stage.end("model", 1.2, {"choices": [{"message": said}]}, usage=FIRST)
    stage.start("forecast", "tool forecast", {**ROME, "days": 14}, "agent")
    error = ValueError(DOWN.partition(" while")[0])
    stage.end("forecast", 0.202, error=error)
    stage.end("agent", 1.3, error=error)
    stage.request("chain", "7c02d4")
    stage.start("chain", "chain answer", {})
    stage.model("left", [rome], "chain")
    for _ in range(34):
        stage.within("left", stage.run("left").token, "x")
    stage.end("left", 2.1, error=GeneratorExit())
    stage.end("chain", 2.1, error=asyncio.CancelledError())


def test_log() -> None:
    """
    Messages of a log have words instead of signs, and are the same wherever they go.
    """
    stream = Stream("utf-8", is_terminal=False)
    logger = logging.getLogger("app")
    logger.setLevel("INFO")
    logger.propagate = False
    output = logging.StreamHandler(stream)
    output.setFormatter(logging.Formatter("%(levelname)-7s %(name)s %(message)s"))
    logger.addHandler(output)

    text = ""
    for payload, title in ((0, "off"), (120, "=120")):
        stream.seek(0)
        stream.truncate()
        with predictable():
            stage = Stage(stream, RequestLogger(logger, payload=payload))
            logged(stage)
        shown = stage.shown().splitlines(keepends=True)
        # the design shows neither tracebacks nor the first lines of the second request
        kept = [it for it in shown if " app " in it]
        said = "".join(kept[:6] + kept[-1:])
        text += (
            f"== RequestLogger, logging, payload{' ' * (not payload)}{title}\n{said}"
        )

    logger.removeHandler(output)
    compare("log.txt", text)
