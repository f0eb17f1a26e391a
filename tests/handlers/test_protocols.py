"""
Frames of each protocol: golden files, nothing that was asked, hostile text as text.

``python tests/handlers/test_protocols.py`` writes the golden files anew.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from instrument import callbacks, current_run, emit, traced
from instrument.handlers._protocols import PROTOCOLS, encoder
from instrument.testing import predictable

GOLDEN = Path(__file__).with_name("frames")
KEPT = "tiger"
"""Stands in all that is no page's business."""
HOSTILE = (
    "<script>alert(1)</script>&\"'\\\x00\x1b[31m\r\n\ndata: [DONE]\n\n\u2028\ud800"
)
every_protocol = pytest.mark.parametrize("protocol", [*PROTOCOLS])


class Frames:
    """
    A handler that keeps the frames of what it hears.
    """

    wants_tokens = True

    def __init__(self, protocol: str, *, shows_all: bool = False) -> None:
        self.encoder = encoder(protocol, shows_all=shows_all)
        self.lines: list[str] = []

    def on_event(self, event: Any) -> None:
        self.lines += self.encoder.lines(event)

    def ended(self, error: tuple[str, str] | None = None) -> list[Any]:
        """
        Give all frames, the last of the stream included.
        """
        frames = [json.loads(line) for line in self.lines]
        return [*frames, *self.encoder.ended(error)]


@traced.chat_model(model="fake-1")
async def say(text: str, thought: str = "") -> AsyncIterator[str]:
    """
    Stream the words of a text, after a thought.
    """
    if thought:
        current_run().token(thought, channel="reasoning")
    for word in text.split(" "):
        await asyncio.sleep(0)
        yield word
    current_run().token("", channel="text")
    current_run().record_usage(
        input_tokens=10, output_tokens=2, reasoning_tokens=1, cost_usd=0.5
    )


@traced.chat_model
async def quiet(question: str) -> dict[str, Any]:
    """
    Answer at once.
    """
    message = {"role": "assistant", "content": "at once"}
    return {"choices": [{"message": message, "finish_reason": "length"}]}


async def drain(stream: AsyncIterator[str]) -> str:
    """
    Give the whole of a stream.
    """
    return "".join([piece async for piece in stream])


@traced.tool
async def weather(city: str) -> dict[str, Any]:
    """
    Be a tool that is given, and gives, what is kept.
    """
    return {"city": city, "forecast": KEPT}


@traced.tool
async def broken(argument: str) -> None:
    """
    Fail.
    """
    message = "no such thing"
    raise ValueError(message)


@traced.agent
async def deep(question: str) -> str:
    """
    Be the third agent down.
    """
    return await drain(say("deepest words"))


@traced.tool
async def ask_deep(question: str) -> str:
    """
    Hand over to another agent.
    """
    return await deep(question)


@traced.agent
async def helper(question: str) -> str:
    """
    Call two tools at once, and think.
    """
    await asyncio.gather(weather(question), ask_deep(question))
    return await drain(say("helper says", "hm"))


@traced.tool
async def delegate(question: str) -> str:
    """
    Hand over to an agent.
    """
    return await helper(question)


@traced.retriever
async def look_up(query: str) -> list[dict[str, Any]]:
    """
    Find a document on the web and one that is not.
    """
    url = {"source": "https://example.org/a", "title": "A"}
    return [
        {"page_content": KEPT, "metadata": url},
        {"page_content": KEPT, "metadata": {"source": "b.txt"}},
        {"page_content": KEPT},
    ]


@traced
async def step(question: str) -> None:
    """
    Be a plain step, which fails.
    """
    raise LookupError(question)


@traced.agent
async def faulty(question: str) -> None:
    """
    Be an agent that fails.
    """
    raise LookupError(question)


@traced.agent
async def answer(question: str) -> str:
    """
    Do all that a stream can tell of.
    """
    await look_up(question)
    current_run().text(question)
    await asyncio.gather(drain(say("one two")), drain(say("three four")))
    await quiet(question)
    await delegate(question)
    for failing, given in ((broken, question), (step, "told"), (faulty, "told")):
        try:
            await failing(given)
        except (ValueError, LookupError):
            continue
    emit("progress", {"done": 3})
    return await drain(say("the end"))


def frames_of(protocol: str, **options: Any) -> list[Any]:
    """
    Give the frames of the request, in which nothing happens by chance.
    """

    async def main() -> None:
        async with callbacks(made, tags=[KEPT], metadata={"user": KEPT}):
            await answer(KEPT)

    with predictable():
        made = Frames(protocol, **options)
        asyncio.run(main())
        return made.ended()


def written(frames: list[Any]) -> str:
    """
    Write frames as a golden file has them.
    """
    return "".join(f"{json.dumps(frame)}\n" for frame in frames)


class Ticket:
    """
    An object that says what it knows.
    """

    def __repr__(self) -> str:
        return f"Ticket(password={KEPT!r})"


@every_protocol
def test_key_that_says_it(protocol: str) -> None:
    """
    What an object says that is a key is masked in the frames of all protocols.
    """
    page = Frames(protocol, shows_all=True)

    @traced.tool
    def sell(tickets: Any) -> Any:
        emit("sold", [tickets])
        return tickets

    with callbacks(page, redact=["password"]):
        sell({Ticket(): 1})

    assert page.lines
    assert KEPT not in "".join(page.lines)


@every_protocol
def test_golden(protocol: str) -> None:
    """
    The frames of a request with all that there is are those of the golden file.
    """
    golden = (GOLDEN / f"{protocol}.jsonl").read_text("utf-8")

    assert written(frames_of(protocol)) == golden


@every_protocol
def test_kept_from_the_page(protocol: str) -> None:
    """
    No frame holds a prompt, argument, result, document, tag or metadata by default.
    """
    assert KEPT not in written(frames_of(protocol))


@pytest.mark.parametrize("protocol", ["native", "ai-sdk", "ag-ui"])
def test_all_is_shown(protocol: str) -> None:
    """
    With all shown arguments and results of tools are in the frames.
    """
    told = written(frames_of(protocol, shows_all=True))

    assert told.count(KEPT) > 4


def test_sources() -> None:
    """
    With all shown the AI SDK is told the sources that a retriever has found.
    """
    frames = frames_of("ai-sdk", shows_all=True)

    found = [it for it in frames if it["type"].startswith("source-")]
    assert [(it["type"], it["title"]) for it in found] == [
        ("source-url", "A"),
        ("source-document", "b.txt"),
        ("source-document", "document"),
    ]


@every_protocol
def test_hostile_text(protocol: str) -> None:
    """
    HTML, scripts, control characters, lone surrogates are text, on one line of ASCII.
    """
    made = Frames(protocol)
    large = "x" * 1_000_000

    @traced.chat_model(HOSTILE)
    def hostile() -> Any:
        yield HOSTILE
        yield large
        emit("hostile", {"text": HOSTILE})

    with callbacks(made):
        list(hostile())

    assert all(line.isascii() and line.isprintable() for line in made.lines)
    texts = [*_texts([json.loads(line) for line in made.lines])]
    assert HOSTILE in texts
    assert large in texts


def _texts(value: Any) -> Any:
    if isinstance(value, str):
        yield value
    elif isinstance(value, (dict, list)):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _texts(each)


@every_protocol
@pytest.mark.parametrize("error", [("ValueError", "no"), ("cancelled", ""), None])
def test_ended_early(protocol: str, error: tuple[str, str] | None) -> None:
    """
    A stream that ends in mid-request closes what is open, and says why.
    """
    made = Frames(protocol)

    with callbacks(made), predictable(), traced("outer"):
        stream = write()
        with traced("inner", kind="agent"), traced("use", kind="tool"), traced("step"):
            next(stream)
            told = len(made.lines)
            frames = made.ended(error)
            assert made.ended(error) == frames[:told]
        stream.close()

    assert [it.get("type") for it in frames[told:]] == _ENDS[protocol](error)
    assert len(made.lines) == told or protocol == "native"


_ENDS: dict[str, Any] = {
    "native": lambda error: [],
    "openai": lambda error: [None] if error else [None, None],
    "ai-sdk": lambda error: [
        "text-end",
        "finish-step",
        {"ValueError": "error", "cancelled": "abort"}[error[0]] if error else "finish",
    ],
    "ag-ui": lambda error: [
        "TEXT_MESSAGE_END",
        "STEP_FINISHED",
        "SUBAGENT_FINISHED",
        "RUN_ERROR" if error and error[0] == "ValueError" else "RUN_FINISHED",
    ],
}


@traced.chat_model
def write() -> Any:
    """
    Write a word, and wait.
    """
    yield "word"


@every_protocol
@pytest.mark.parametrize("status", ["error", "abandoned"])
def test_failed_request(protocol: str, status: str) -> None:
    """
    A first run that fails, or is given up, is what the stream ends with.
    """
    made = Frames(protocol)

    with callbacks(made):
        if status == "error":
            with pytest.raises(ValueError, match="no such"):
                asyncio.run(broken("x"))
        else:
            stream = write()
            next(stream)
            stream.close()

    told = json.dumps(made.ended()[-1])
    expected = {"error": "no such thing", "abandoned": "abandoned"}
    if protocol == "ag-ui" and status == "abandoned":
        expected["abandoned"] = "cancelled"
    assert expected[status] in told


@every_protocol
def test_nothing_happened(protocol: str) -> None:
    """
    A stream of a request in which nothing was heard begins and ends all the same.
    """
    frames = Frames(protocol).ended()

    counts = {"native": 0, "ai-sdk": 2, "ag-ui": 2, "openai": 3}
    assert len(frames) == counts[protocol]


@every_protocol
def test_too_many_open(protocol: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Of runs whose end is not told only so many are known.
    """
    monkeypatch.setattr("instrument.handlers._protocols.encoder._MOST_OPEN", 2)
    made = Frames(protocol)

    with callbacks(made), traced("a"), traced("b"), traced("c"):
        assert len(made.encoder._open) == (0 if protocol == "native" else 2)


if __name__ == "__main__":
    for name in PROTOCOLS:
        path = GOLDEN / f"{name}.jsonl"
        path.write_text(written(frames_of(name)), "utf-8")
