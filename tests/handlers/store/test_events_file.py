"""
A file of events is looked at as a store is.
"""

import json
import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from instrument import callbacks, traced
from instrument.exceptions import StoreError
from instrument.handlers import FileCallbackHandler
from instrument.handlers._store.events_file import store_of
from instrument.handlers._store.reader import Reader
from instrument.testing import Recorder

EVENTS_FILE: Any = import_module("instrument.handlers._store.events_file")


@traced.llm
def model(prompt: str) -> Any:
    """
    Answer in two tokens.
    """
    yield "a "
    yield "b"


@traced
def answer(question: str) -> str:
    """
    Ask the model.
    """
    return "".join(model(question))


def until(holds: Callable[[], Any]) -> Any:
    """
    Look again and again, until that holds.
    """
    end = time.monotonic() + 20
    while not (found := holds()):
        assert time.monotonic() < end
    return found


def test_file_of_events(tmp_path: Path) -> None:
    """
    What was written to a file of events is read as from a store; lines that are none, and
    half a last one, are passed over.
    """
    path = tmp_path / "events.jsonl"
    recorder = Recorder()
    with callbacks(FileCallbackHandler(path), recorder, tags=["x"]):
        answer("How?")
        path.write_bytes(path.read_bytes() + b'not json\n{"v":9}\n')
        answer("And?")
    content = path.read_bytes()
    path.write_bytes(content + content[:50])

    reader = Reader(store_of(path))

    assert [it["said"] for it in reader.requests()] == ["And?", "How?"]
    assert {it["status"] for it in reader.requests()} == {"ok"}
    assert reader.about()["events"] == 2 * 5
    assert reader.run(reader.requests()[0]["run_id"])["tags"] == ["x"]
    reader.close()


def test_what_runs_in_a_file_of_events(tmp_path: Path) -> None:
    """
    What has not ended in a file is lost; where it is followed, it runs, and what is added
    is read.
    """
    path = tmp_path / "events.jsonl"
    with callbacks(FileCallbackHandler(path)):
        answer("How?")
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-1]) + lines[-1][:20])

    whole, followed = Reader(store_of(path)), Reader(store_of(path, follow=True))
    assert [it["status"] for it in whole.requests()] == ["lost"]
    assert [it["status"] for it in followed.requests()] == ["running"]
    with path.open("ab") as file:
        file.write(lines[-1][20:])

    until(lambda: followed.requests("status:ok"))
    whole.close()
    followed.close()


def _tears(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b'{"v":1,"event":"on_text",')


@pytest.mark.parametrize(
    "happens", [_tears, Path.unlink, lambda it: os.truncate(it, 0)]
)
def test_followed_file_changes(
    tmp_path: Path, happens: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A followed file that is torn and mended, taken away, or emptied is read on, whole.
    """
    monkeypatch.setattr(EVENTS_FILE, "_LOOK_S", 0.01)
    path = tmp_path / "events.jsonl"
    with callbacks(FileCallbackHandler(path)):
        answer("How?")
    threads = {*threading.enumerate()}
    reader = Reader(store_of(path, follow=True))
    (follower,) = {*threading.enumerate()} - threads
    looks: list[float] = []

    def look(wait_s: float) -> None:
        if threading.current_thread() is follower:  # those of other tests go on
            looks.append(wait_s)
        time.sleep(wait_s)

    happens(path)
    monkeypatch.setattr(EVENTS_FILE, "sleep", look)
    until(lambda: len(looks) > 2)
    with callbacks(FileCallbackHandler(path)):
        answer("And?")

    until(lambda: reader.about()["events"] == 10)
    reader.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows renames no open file")
def test_followed_file_is_put_aside(tmp_path: Path) -> None:
    """
    Whoever follows a file goes over to the new ones, and leaves out none between.
    """
    path = tmp_path / "events.jsonl"
    with callbacks(FileCallbackHandler(path)):
        answer("How?")
    reader = Reader(store_of(path, follow=True))

    with callbacks(FileCallbackHandler(path, max_bytes=2_000, keep=100)):
        for _ in range(5):
            answer("And?")

    until(lambda: reader.about()["events"] == 30)
    assert len(list(tmp_path.iterdir())) > 2
    reader.close()


def test_followed_file_is_put_aside_while_it_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    What is renamed once more just as it is looked at is looked for anew: none is left out.
    """
    place, moved = EVENTS_FILE._place, list[int]()

    def moves(source: Path, file: os.stat_result) -> int | None:
        found: int | None = place(source, file)
        if found and len(moved) < 2:
            moved.append(found)
            return found + len(moved) - 1
        return found

    monkeypatch.setattr(EVENTS_FILE, "_LOOK_S", 0.01)
    monkeypatch.setattr(EVENTS_FILE, "_place", moves)
    path = tmp_path / "events.jsonl"
    with callbacks(FileCallbackHandler(path)):
        answer("How?")
    reader = Reader(store_of(path, follow=True))

    path.rename(tmp_path / "events.jsonl.1")
    with callbacks(FileCallbackHandler(path)):
        answer("And?")

    until(lambda: reader.about()["events"] == 10)
    assert len(moved) == 2
    reader.close()


def test_file_that_has_gone_far(tmp_path: Path) -> None:
    """
    A file that is none of those that were put aside has no place among them.
    """
    path, other = tmp_path / "events.jsonl", tmp_path / "other.jsonl"
    other.touch()

    assert EVENTS_FILE._place(path, other.stat()) is None


def test_copy_that_cannot_be_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Where the copy cannot be begun, that is said, and it is closed.
    """
    opened: list[sqlite3.Connection] = []
    writing = EVENTS_FILE.writing

    def noted(store: Path) -> sqlite3.Connection:
        opened.append(writing(store))
        return opened[-1]

    def fail(*_: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(EVENTS_FILE, "writing", noted)
    monkeypatch.setattr(EVENTS_FILE, "Ledger", fail)
    path = tmp_path / "events.jsonl"
    path.touch()

    with pytest.raises(StoreError, match="disk I/O error"):
        store_of(path)
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        opened[0].execute("SELECT 1")


@pytest.mark.parametrize("at_once", [5_000, 4])
def test_file_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    """
    A run that is told of again, as in a file that was copied behind itself, is one run,
    with its events and in the sums once.
    """
    monkeypatch.setattr(EVENTS_FILE, "_AT_ONCE", at_once)
    path = tmp_path / "events.jsonl"
    with callbacks(FileCallbackHandler(path)):
        answer("How?")
    path.write_bytes(path.read_bytes() * 2)

    reader = Reader(store_of(path))

    assert (reader.about()["runs"], reader.about()["events"]) == (2, 5)
    assert [it["runs"] for it in reader.requests()] == [2]
    reader.close()


def test_file_that_goes_on_behind_a_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A run whose beginning is told of again, and then its end, has ended.
    """
    path = tmp_path / "events.jsonl"
    with callbacks(FileCallbackHandler(path)):
        answer("How?")
        answer("And?")
    lines = path.read_bytes().splitlines(keepends=True)
    half = len(lines) // 2 + 1  # the first request, and the start of the second
    path.write_bytes(b"".join(lines[:half] + lines))
    monkeypatch.setattr(EVENTS_FILE, "_AT_ONCE", half)

    reader = Reader(store_of(path))

    assert [(it["status"], it["runs"]) for it in reader.requests()] == [("ok", 2)] * 2
    assert reader.about()["events"] == 2 * 5
    reader.close()


def test_sums_that_no_store_has(tmp_path: Path) -> None:
    """
    Sums that are larger than a store can say are the largest that it can.
    """
    path = tmp_path / "events.jsonl"
    with callbacks(FileCallbackHandler(path)), traced("both"):
        for _ in range(2):
            with traced("model", kind="llm") as run:
                run.record_usage(input_tokens=2**63 - 1)

    with closing(Reader(store_of(path))) as reader:
        (request,) = reader.requests()

    assert request["input_tokens"] == 2**63 - 1


@pytest.mark.parametrize("content", [None, b"no events\n", b"{}\n"])
def test_file_without_events(tmp_path: Path, content: bytes | None) -> None:
    """
    A file that holds no events, or is not there, is refused.
    """
    path = tmp_path / "events.jsonl"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(StoreError, match=r"events.jsonl' (cannot be read|holds no)"):
        store_of(path)


def test_empty_file(tmp_path: Path) -> None:
    """
    An empty file is one in which nothing is yet.
    """
    path = tmp_path / "events.jsonl"
    path.touch()

    with closing(Reader(store_of(path))) as reader:
        assert reader.requests() == []


def test_hostile_records(tmp_path: Path) -> None:
    """
    Numbers that no database has, and fields of the wrong types, spoil nothing.
    """
    path = tmp_path / "events.jsonl"
    with callbacks(FileCallbackHandler(path)):
        answer("How?")
    first, *rest = [json.loads(it) for it in path.read_text().splitlines()]
    first |= {"seq": 2**70, "time_ns": 2**70, "tags": [1, None], "of_later": [1]}
    first["metadata"] = {"user_id": ["x"]}
    rest[-1] |= {"tags": first["tags"], "metadata": first["metadata"]}
    rest[-1]["data"] |= {"duration_s": "long", "status": 5, "usage": None}
    path.write_text("\n".join(map(json.dumps, [first, *rest])) + "\n")

    with closing(Reader(store_of(path))) as reader:
        request = reader.requests()[0]
        assert (request["status"], request["user"]) == ("5", "['x']")
        assert reader.events(request["trace_id"])[0][1]["of_later"] == [1]


NO_ROOM = """if True:
    import atexit, resource, sys
    no_limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    atexit.register(resource.setrlimit, resource.RLIMIT_FSIZE, no_limit)  # at the end
    from instrument import cli
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
    sys.exit(cli.main(["show", "--store", sys.argv[1]]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system limits no files")
def test_no_room_for_the_copy(tmp_path: Path) -> None:
    """
    Where there is no room to read a file into, that is told in one line.
    """
    path = tmp_path / "events.jsonl"
    with FileCallbackHandler(path) as handler, callbacks(handler):
        answer("How is Rome?")

    done = subprocess.run(
        [sys.executable, "-B", "-c", NO_ROOM, str(path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 2
    assert done.stderr.startswith("instrument: error: the events file")
    assert done.stderr.count("\n") == 1


def test_room_comes_later(tmp_path: Path, reports: list[str]) -> None:
    """
    Where what is added cannot be taken in, that is reported, and what was read is there;
    it is taken in when it can be, as there is room once more.
    """
    path = tmp_path / "events.jsonl"
    with callbacks(FileCallbackHandler(path)):
        answer("How?")
    store = store_of(path, follow=True)
    with closing(sqlite3.connect(store, isolation_level=None)) as connection:
        connection.execute("ALTER TABLE events RENAME TO gone")

        with callbacks(FileCallbackHandler(path)):
            answer("And?")
        until(lambda: any("no such table: events" in it for it in reports))
        with closing(Reader(store)) as reader:
            assert [it["said"] for it in reader.requests()] == ["How?"]
        connection.execute("ALTER TABLE gone RENAME TO events")

    reader = Reader(store)
    until(lambda: [it["said"] for it in reader.requests()] == ["And?", "How?"])
    reader.close()
