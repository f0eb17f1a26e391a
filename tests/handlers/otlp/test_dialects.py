"""
Runs as spans, in each dialect: what is written is kept in `golden`, and read by people.

``INSTRUMENT_WRITE_GOLDEN=1`` writes it anew.
"""

import json
import os
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from instrument import callbacks, current_run, traced
from instrument.handlers._shared.run_handler import RunHandler
from instrument.handlers._shared.spans import gen_ai, openinference
from instrument.handlers._shared.spans.dialects import (
    DIALECTS,
    attributes_of,
    events_of,
    is_client,
    name_of,
)
from instrument.handlers._shared.spans.told import LIMIT, Told, within
from instrument.testing import predictable

GOLDEN = Path(__file__).parent / "golden"
ASKED: list[Any] = [
    {"role": "system", "content": "Be short."},
    {
        "role": "user",
        "content": [
            {"type": "text", "text": "What is on it?"},
            {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}},
            {"type": "input_audio", "input_audio": {"format": "wav"}},
        ],
    },
    {
        "role": "assistant",
        "content": None,
        "reasoning_content": "A search may help.",
        "tool_calls": [
            {
                "id": "call_1",
                "type": "function",
                "function": {"name": "search", "arguments": '{"query": "Paris"}'},
            }
        ],
    },
    {"role": "tool", "tool_call_id": "call_1", "content": "The capital of France."},
]
ANSWER: dict[str, Any] = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "model": "gpt-4o-2024-08-06",
    "choices": [
        {
            "index": 0,
            "finish_reason": "tool_calls",
            "message": {
                "role": "assistant",
                "content": "Paris.",
                "tool_calls": [
                    {
                        "id": "call_2",
                        "type": "function",
                        "function": {"name": "show", "arguments": '{"city": "Paris"}'},
                    }
                ],
            },
        }
    ],
    "usage": {
        "prompt_tokens": 1000,
        "completion_tokens": 200,
        "prompt_tokens_details": {"cached_tokens": 800},
        "completion_tokens_details": {"reasoning_tokens": 50},
    },
}


class Kept(RunHandler):
    """
    Keeps what is told of runs.
    """

    def __init__(self, limit: int = LIMIT) -> None:
        self.limit = limit
        self.told: dict[Any, Told] = {}

    def run_started(self, run: Any) -> None:
        above = run._parent
        parent = above if above in self.told else None
        self.told[run] = Told(run, self.limit, parent)

    def run_ended(self, run: Any) -> None:
        self.told[run].ends(run)


@traced.retriever
def search(query: str) -> list[Any]:
    """
    Find what is known.
    """
    return [
        {"page_content": "Paris is the capital", "metadata": {"page": 1}, "id": 7},
        {"text": "Rome is another", "score": 0.5},
        "a plain one",
    ]


@traced.embedding(model="embed-1", provider="mistral")
def embed(texts: list[str]) -> list[list[float]]:
    """
    Give vectors.
    """
    current_run().record_usage(input_tokens=3)
    return [[0.0, 1.0, 2.0] for _ in texts]


@traced.tool
def look_up(city: str, *, deep: bool = False) -> dict[str, str]:
    """
    Look a city up.
    """
    if city == "Atlantis":
        raise LookupError("no such city: \ud800")
    return {"city": city}


@traced.chat_model(model="gpt-4o", provider="azure_openai")
def chat(
    messages: list[Any],
    *,
    temperature: float = 0.2,
    max_tokens: int = 100,
    stop: str = "END",
    n: int = 2,
    tools: Any = ({"type": "function", "function": {"name": "search"}},),
) -> Any:
    """
    Answer.
    """
    return ANSWER


@traced.llm(model="old-1", provider="bedrock")
def complete(prompt: str) -> Any:
    """
    Answer in pieces.
    """
    yield from ("Yes", ".")
    current_run().record_usage(cost_usd=0.5, cache_write_tokens=4)


@traced.chat_model
def breaks(messages: list[str]) -> Any:
    """
    Fail in the midst of an answer.
    """
    yield "Par"
    raise ConnectionError("reset")


@traced(kind="reranker")
def rank(items: list[str]) -> list[str]:
    """
    Be of a kind that OpenInference knows.
    """
    return items[::-1]


@traced(kind="errand")
def run_errand() -> None:
    """
    Be of a kind that nobody knows.
    """
    current_run().text("on the way")


@traced.agent
def agent(question: str) -> str:
    """
    Do all of it.
    """
    search(question)
    embed(["a", "b"])
    look_up("Rome")
    with pytest.raises(LookupError):
        look_up("Atlantis", deep=True)
    chat(ASKED)
    next(pieces := complete("Is it?"))
    pieces.close()
    with pytest.raises(ConnectionError):
        list(breaks(["Hello"]))
    rank(["a", "b"])
    run_errand()
    return "Paris"


@traced
def answer(question: str) -> str:
    """
    Be the root.
    """
    return agent(question)


def told_of_all(limit: int = LIMIT) -> list[Told]:
    """
    Give what is told of one request.
    """
    kept = Kept(limit)
    metadata = {"user_id": "u1", "session_id": "s1", "plan": {"tier": 2}}
    with predictable(), callbacks(kept, tags=["t1"], metadata=metadata):
        answer("Which capital?")
    return list(kept.told.values())


def shown(told: Told, dialect: str) -> dict[str, Any]:
    """
    Give a span as it is kept in a file, without what is where the code is.
    """
    events = [(name, given) for name, _, given in events_of(told)]
    for _, given in events:
        stack = given.pop("exception.stacktrace", "")
        assert stack.count("\n") > 1 or not stack
    return {
        "name": name_of(told, dialect),
        "span": told.span_hex,
        "parent": told.parent_hex,
        "is_client": is_client(told),
        "status": told.status,
        "ns": (told.ended_ns or 0) - told.started_ns,
        "attributes": attributes_of(told, dialect),
        "events": events,
    }


@pytest.mark.parametrize("dialect", DIALECTS)
def test_golden(dialect: str) -> None:
    """
    What is said of each kind of run is what is kept: names, kinds, messages, usage.
    """
    spans = [shown(told, dialect) for told in told_of_all()]

    text = json.dumps(spans, indent=1) + "\n"
    path = GOLDEN / f"{dialect}.json"
    if "INSTRUMENT_WRITE_GOLDEN" in os.environ:
        path.write_text(text)
    assert text == path.read_text()


def test_both_is_the_sum() -> None:
    """
    What both say together is what each says, and a receiver counts no token twice: each
    name is one dialect's.
    """
    for told in told_of_all():
        both = attributes_of(told, "both")
        apart = openinference.attributes(told) | gen_ai.attributes(told)
        assert {name: both[name] for name in apart} == apart
        assert all(it.startswith("instrument.") for it in set(both) - set(apart))


@pytest.mark.parametrize("dialect", DIALECTS)
def test_no_payload(dialect: str) -> None:
    """
    Without payload nothing is told that was asked or answered, and all else is: model,
    usage, settings, what failed.
    """
    spans = [shown(told, dialect) for told in told_of_all(0)]

    text = json.dumps(spans)
    words = ("capital", "Paris", "Rome", "search?", "Be short", "Yes", "Hello", "way")
    assert [word for word in words if word in text] == []
    for word in ("gpt-4o-2024-08-06", "1000", "0.2", "LookupError", "s1", "t1"):
        assert word in text


def test_payload_left_out_later() -> None:
    """
    A payload that finds no place is left out, and what is told without one stays.
    """
    late, never = told_of_all(), told_of_all(0)

    for told in late:
        told.without_payload()

    for told, bare in zip(late, never, strict=True):
        kept = attributes_of(told, "both")
        assert (
            kept.items()
            >= {
                name: value
                for name, value in attributes_of(bare, "both").items()
                if not name.startswith(("gen_ai.request.", "llm.invocation"))
            }.items()
        )
        assert "input.value" not in kept


def test_payload_as_it_was() -> None:
    """
    What was asked is told as it was at the start, whatever the body does to it.
    """

    @traced
    def appends(history: list[str]) -> list[str]:
        history.append("later")
        return history

    kept = Kept()
    with callbacks(kept):
        given = appends(["before"])
    given.append("after")

    (told,) = kept.told.values()
    attributes = attributes_of(told, "openinference")
    assert attributes["input.value"] == '{"history":["before"]}'
    assert attributes["output.value"] == '["before","later"]'


def test_inputs_that_are_told_anew() -> None:
    """
    What a body sets as its inputs is told in place of its arguments.
    """

    @traced
    def renames(question: str) -> None:
        current_run().inputs = {"asked": question.upper()}

    kept = Kept()
    with callbacks(kept):
        renames("why")

    (told,) = kept.told.values()
    assert attributes_of(told, "openinference")["input.value"] == "WHY"


@pytest.mark.parametrize(
    "value",
    [
        "x" * 100_000,
        ["x" * 10_000] * 20,
        [{"content": "x" * 100} for _ in range(1_000)],
        {f"{number}" * 5_000: number for number in range(30)},
        [[[[["x" * 50] * 20] * 20] * 20] * 2],
    ],
)
def test_within(value: Any) -> None:
    """
    What is too long is cut, says so, and is JSON still where it was.
    """
    text = within(value, 1_000)

    assert len(text) <= 1_000
    assert "more" in text or "…" in text
    if type(value) is list:
        json.loads(text)


def test_long_payload() -> None:
    """
    A long conversation is told by its first message and its last ones, in few characters.
    """

    @traced.chat_model
    def talk(messages: list[Any]) -> str:
        return "z" * 1_000_000

    kept = Kept(1_000)
    with callbacks(kept):
        talk([{"role": "user", "content": f"{n} " + "y" * 500} for n in range(500)])

    (told,) = kept.told.values()
    assert told.size < 20_000
    attributes = attributes_of(told, "both")
    assert max(len(it) for it in attributes.values() if type(it) is str) <= 1_000
    assert len(attributes) < 300


def test_many_messages() -> None:
    """
    Of more than 128 messages the first and the last are told, one by one.
    """

    @traced.chat_model
    def talk(messages: list[Any]) -> str:
        return "ok"

    kept = Kept()
    with callbacks(kept):
        talk([{"role": "user", "content": f"{number}"} for number in range(200)])

    (told,) = kept.told.values()
    attributes = attributes_of(told, "openinference")
    said = "llm.input_messages.{}.message.content".format
    assert [attributes[said(it)] for it in (0, 1, 127)] == ["0", "73", "199"]
    assert said(128) not in attributes


def test_most_events() -> None:
    """
    Of more than 128 events of one run the rest is counted.
    """

    @traced
    def talks() -> None:
        for number in range(130):
            current_run().emit("step", {"number": number})

    handler: Any = import_module("instrument.handlers").OTLPHandler(
        "http://127.0.0.1:1"
    )
    told: list[Told] = []
    handler._sender.put = lambda it, _: told.append(it)
    with callbacks(handler):
        talks()

    assert len(told[0].events) == 128
    assert told[0].lost_events == 2


def test_nothing_beside() -> None:
    """
    Where there is neither metadata nor tags, none are told.
    """
    kept = Kept()
    with callbacks(kept):
        rank(["a"])

    (told,) = kept.told.values()
    assert set(attributes_of(told, "gen_ai")) == {
        "instrument.kind",
        "instrument.run_id",
    }


def test_unheard_parent() -> None:
    """
    A run above that the handler was not told is no parent, and is named.
    """
    kept = Kept()

    @traced
    def inner() -> None: ...

    @traced
    def outer() -> None:
        with callbacks(kept):
            inner()
        parents.append(str(current_run().id))

    parents: list[str] = []
    with callbacks(Kept()):
        outer()

    (told,) = kept.told.values()
    assert told.parent_hex is None
    assert attributes_of(told, "both")["instrument.parent_run_id"] == parents[0]


def test_official_names() -> None:
    """
    Every name that is used is one that the two conventions have.
    """
    pytest.importorskip("openinference.semconv")
    pytest.importorskip("opentelemetry.semconv")
    known = _names(import_module("openinference.semconv.trace"))
    known |= _names(
        import_module("opentelemetry.semconv._incubating.attributes.gen_ai_attributes")
    )
    known |= {"error.type", "gen_ai.usage.cache_write.input_tokens", "metadata"}
    parts = sorted({part for name in known for part in name.split(".")})

    unknown = set()
    for told in told_of_all():
        for name in attributes_of(told, "both"):
            flat = ".".join(it for it in name.split(".") if not it.isdigit())
            is_flat = flat.startswith(("llm.", "retrieval.", "embedding.embeddings"))
            is_known = flat in known or (is_flat and set(flat.split(".")) <= {*parts})
            if not is_known and not name.startswith("instrument."):
                unknown.add(name)

    assert unknown == set()
    kinds = import_module("openinference.semconv.trace").OpenInferenceSpanKindValues
    assert set(openinference.KINDS.values()) == {it.value for it in kinds} - {"UNKNOWN"}


def _names(module: Any) -> set[str]:
    """
    Give the names that a module of constants holds, itself or in its classes.
    """
    holders = [module, *(it for it in vars(module).values() if isinstance(it, type))]
    return {
        value
        for holder in holders
        for value in vars(holder).values()
        if type(value) is str and "." in value
    }


@pytest.mark.parametrize("dialect", DIALECTS)
def test_provider_that_is_no_text(dialect: str) -> None:
    """
    A body may say anything of its provider: what is no text is not looked at.
    """

    class Odd:
        def __bool__(self) -> bool:
            raise RuntimeError

        __hash__ = None  # type: ignore[assignment]

    told: list[Told] = []

    def hear(outputs: Any, *, run: Any, **_: Any) -> None:
        told.append(Told(run, LIMIT, None))
        told[0].ends(run)

    with callbacks(on_llm_end=hear), traced("ask", kind="llm") as run:
        run.provider = Odd()  # type: ignore[assignment]

    written = json.dumps(attributes_of(told[0], dialect))
    assert "ask" in written or "llm" in written.lower()
    assert "Odd" not in written
