"""
``python -m instrument demo``: a whole request as its reader and its event file see it.
"""

import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from instrument import Event, cli
from instrument._demo import library, ngrams, pipeline, ranking
from instrument._demo.library import Document

QUESTION = "How does a task wait for a queue?"

Demo = Callable[..., "subprocess.CompletedProcess[str]"]
Done = tuple["subprocess.CompletedProcess[str]", list[Event]]


@pytest.fixture
def demo(tmp_path: Path) -> Demo:
    """
    Run the demo with some words, outside the checkout.
    """
    return partial(_run, tmp_path)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    """
    Run it once for all that look at what it prints and writes when all goes well.
    """
    folder = tmp_path_factory.mktemp("demo")
    printed = _run(folder, QUESTION, "--events", "events.jsonl")
    return printed, events_in(folder / "events.jsonl")


def _run(folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "instrument", "demo", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def events_in(path: Path) -> list[Event]:
    """
    Read an events file; every line must be whole.
    """
    return [Event.from_json(line) for line in path.read_text("utf-8").splitlines()]


def ancestry(events: list[Event]) -> list[str]:
    """
    Write each started run as ``kind name < its parent's name``, in the order started.
    """
    names = {event.run_id: event.name for event in events}
    return [
        f"{event.kind} {event.name} < {parent and names[parent]}"
        for event in events
        if event.event.endswith("_start")
        for parent in [event.parent_run_id]
    ]


def test_demo_without_a_question(demo: Demo) -> None:
    """
    The demo asks a question of its own, and all goes well.
    """
    done = demo()

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(
        "Question: How do I wait for several tasks at once?\n"
    )


def test_demo_shows_every_run(done: Done) -> None:
    """
    Each run shows where it starts and where it ends, deeper runs further in.
    """
    lines = done[0].stdout.splitlines()

    for name in ("answer", "search", "shortlist", "rank", "train", "prompt", "write"):
        assert sum(bool(re.search(rf"\b{name}\b", line)) for line in lines) >= 2, name


def test_demo_says_what_the_model_is(done: Done) -> None:
    """
    The reader is told how little the text is worth and where the real text is.
    """
    end = " ".join(done[0].stdout.split())

    assert "The words are a toy's, an n-gram model trained just now on 12" in end
    assert "do not trust them." in end
    assert re.search(r"help\('asyncio\.\w+\.[\w.]+'\)", end)


def without_times(text: str) -> str:
    """
    Leave out how long things took, and how quickly tokens came, which may be too
    quickly to say.
    """
    text = re.sub(r"[\d,]+ tok/s, first after", "first after", text)
    return re.sub(r"[\d.]+ [mu]?s", "", text)


def test_demo_is_deterministic(demo: Demo, done: Done) -> None:
    """
    The same question gets the same text; times are of the moment.
    """
    again = demo(QUESTION, "--events", "events.jsonl")

    assert without_times(again.stdout) == without_times(done[0].stdout)


def test_demo_ends_with_something_to_do(demo: Demo) -> None:
    """
    Of the model it is told what it consumed, and last what to do next.
    """
    lines = demo(QUESTION).stdout.splitlines()

    assert any(
        re.search(r"< agent .* 1 model call, \d+ in, \d+ out", it) for it in lines
    )
    assert lines[-1] == "Now yours:  python -m instrument run your_program.py"


def test_demo_with_prices(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """
    With the package of prices it is said what such a call costs.
    """
    pytest.importorskip("genai_prices")
    cli.main(["demo"])
    told = capsys.readouterr().out
    monkeypatch.setitem(sys.modules, "genai_prices", None)
    cli.main(["demo"])
    untold = capsys.readouterr().out

    assert re.search(r"of this size costs \$0\.000\d+ with gpt-4o-mini\.", told)
    assert "costs" not in untold


def test_demo_of_a_question_that_nothing_matches(demo: Demo, tmp_path: Path) -> None:
    """
    Where nothing matches the demo says so, and asks no model.
    """
    done = demo("Привет?", "--events", "events.jsonl")

    assert done.returncode == 0
    assert "Nothing matched" in done.stdout
    kinds = {event.kind for event in events_in(tmp_path / "events.jsonl")}
    assert kinds == {"agent", "retriever", "tool"}


def test_events_form_one_tree(done: Done) -> None:
    """
    The events of a request are one tree, and each run in it ends once.
    """
    printed, events = done

    assert printed.returncode == 0
    assert "Events: events.jsonl" in printed.stdout
    assert len({event.trace_id for event in events}) == 1
    assert ancestry(events) == [
        "agent answer < None",
        "retriever search < answer",
        "tool shortlist < search",
        "tool rank < search",
        "tool train < answer",
        "chain prompt < answer",
        "chat_model write < answer",
    ]
    ends = Counter(e.run_id for e in events if e.event.endswith(("_end", "_error")))
    assert set(ends.values()) == {1}
    assert ends.keys() == {event.run_id for event in events}
    assert [event.seq for event in events] == sorted({event.seq for event in events})


def test_events_tell_what_the_model_did(done: Done) -> None:
    """
    Tokens, text, model and usage of the stream agree.
    """
    printed, events = done

    tokens = [e.data["token"] for e in events if e.event == "on_llm_new_token"]
    [end] = [event.data for event in events if event.event == "on_llm_end"]
    assert 60 <= len(tokens) <= 90
    assert end["text"] == "".join(tokens)
    assert "".join(tokens) in printed.stdout
    assert end["usage"]["output_tokens"] == len(tokens)
    assert end["usage"]["input_tokens"] > len(tokens)
    [start] = [e.data for e in events if e.event == "on_chat_model_start"]
    assert (start["model"], start["provider"]) == ("toy-trigrams", "instrument")
    assert start["messages"][-1]["content"] == QUESTION


def test_events_are_appended(demo: Demo, tmp_path: Path) -> None:
    """
    A file that exists is added to, never emptied.
    """
    demo("Привет?", "--events", "events.jsonl")
    once = (tmp_path / "events.jsonl").read_text("utf-8")

    demo("Привет?", "--events", "events.jsonl")

    assert (tmp_path / "events.jsonl").read_text("utf-8").startswith(once)
    assert len({e.trace_id for e in events_in(tmp_path / "events.jsonl")}) == 2


@pytest.mark.parametrize(
    "path, reason",
    [
        (".", "it is a folder"),
        ("no/such/folder.jsonl", "No such file or directory"),
        ("", "No such file or directory"),
    ],
)
def test_events_file_that_cannot_be_written(demo: Demo, path: str, reason: str) -> None:
    """
    An unwritable file is told in one line, before anything runs.
    """
    done = demo(QUESTION, "--events", path)

    error = f"instrument: error: cannot write events to {path!r}: {reason}\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", error)


def test_pipeline_without_a_listener() -> None:
    """
    The application gives the same answer where nobody listens.
    """
    answer = pipeline.answer(QUESTION)

    assert answer.text.endswith(".")
    assert len(answer.documents) == 12
    assert max(map(len, answer.text.splitlines())) <= 72


def test_library_is_read_and_never_imported() -> None:
    """
    A module that is searched is not loaded.
    """
    sys.modules.pop("sched", None)

    sources = {module.metadata["source"] for module in library.read_modules()}

    assert "sched" in sources
    assert "sched" not in sys.modules


def test_library_without_a_module() -> None:
    """
    A module that this Python lacks is left out.
    """
    modules = library.read_modules("no.such.module concurrent.futures._base")

    assert [module.metadata["source"] for module in modules] == ["concurrent.futures"]


def test_library_without_sources() -> None:
    """
    A Python without its sources is told, not searched in vain.
    """
    with pytest.raises(FileNotFoundError, match="nothing to search"):
        library.read_modules("no.such.module")


def test_docstrings_of_public_things() -> None:
    """
    Modules, classes and functions give documents; private ones give none.
    """
    source = '''"""Module."""
class Queue:
    """Class."""
    async def get(self):
        """Method."""
    def _private(self):
        """Hidden."""
def undocumented(): ...
'''

    found = library.docstrings(Document(source, {"source": "queue"}))

    assert [(d.metadata["source"], d.page_content) for d in found] == [
        ("queue", "Module."),
        ("queue.Queue", "Class."),
        ("queue.Queue.get", "Method."),
    ]


@pytest.mark.parametrize(
    "text, words",
    [
        ("How do I use the queues?", ["queue"]),
        ("classes, processes; directories", ["class", "process", "directory"]),
        ("status of this bus", ["status", "bus"]),
        ("task_done()", ["task", "done"]),
        ("?!", []),
    ],
)
def test_words(text: str, words: list[str]) -> None:
    """
    Words are lower case and singular; those that any question has are left out.
    """
    assert ranking.words(text) == words


def test_best_documents() -> None:
    """
    Rare words and short texts count more, a name counts too, and no match is no result.
    """
    texts = {
        "long": "put an item into the queue " + "of many words " * 20,
        "short": "put an item into the queue",
        "gzip.open": "open a file",
        "common": "put",
    }
    documents = [Document(text, {"source": name}) for name, text in texts.items()]

    def sources(question: str, limit: int = 9) -> list[str]:
        found = ranking.best(question, documents, limit)
        return [document.metadata["source"] for document in found]

    assert sources("put in queue") == ["short", "long", "common"]
    assert sources("put in queue", limit=1) == ["short"]
    assert sources("gzip") == ["gzip.open"]
    assert sources("bread") == []


def test_best_of_no_documents() -> None:
    """
    Where there is nothing to search, nothing is found.
    """
    assert ranking.best("queue", [], 3) == []


def test_model_learns_prose_only() -> None:
    """
    Code, lists and markup are not learnt.
    """
    model = ngrams.NgramModel(
        ["Return the `next` item.\n\n>>> next(it)\n\n- item\n\nToo short."]
    )

    assert repr(model) == "NgramModel(order=3, words=4)"
    assert list(model.write("")) == ["Return", "the", "next", "item."]


def test_model_opens_with_the_first_text() -> None:
    """
    What is written opens like the first text, and every word was read somewhere.
    """
    texts = ["Wait for the next task.", "Put the next item now. Wait for it then."]

    written = list(ngrams.NgramModel(texts).write("?"))

    assert written[0] == "Wait"
    assert set(written) <= set(" ".join(texts).split())


def test_model_stops_in_time() -> None:
    """
    A model that goes in circles is stopped.
    """
    model = ngrams.NgramModel(["so " * 500 + "on."])

    assert len(list(model.write("?"))) == 90
