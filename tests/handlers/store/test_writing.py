"""
What a store takes, and how: any text, of any size, from everywhere, once.
"""

import copy
import json
import os
import socket
import sqlite3
import stat
import threading
from contextlib import closing
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from instrument import callbacks, current_run, emit, traced
from instrument.exceptions import StoreError
from instrument.handlers import StoreHandler
from instrument.handlers._store.place import default_path
from instrument.handlers._store.reader import Reader
from instrument.testing import Recorder

RECORDS: Any = import_module("instrument.handlers._store.records")
ROWS: Any = import_module("instrument.handlers._store.rows")
WRITER: Any = import_module("instrument.handlers._store.writer")
LEDGER: Any = import_module("instrument.handlers._store.ledger")
HOSTILE = "nul \0 lone \ud800 ansi \x1b[31m bidi \u202e html <script>'\"\\ \U0001f600"


@traced.tool
def echo(value: Any) -> Any:
    """
    Give back what it is given.
    """
    return value


def test_hostile_text_comes_back(store: Any) -> None:
    """
    NUL, lone surrogates and control characters come back as they were, also in names,
    tags, metadata and errors.
    """

    @traced(HOSTILE, kind=HOSTILE)
    def fails(value: str) -> None:
        echo(value)
        raise ValueError(value)

    with (
        callbacks(store.handler, tags=[HOSTILE], metadata={"user": HOSTILE}),
        pytest.raises(ValueError, match="nul"),
    ):
        fails(HOSTILE)

    request = store.newest
    runs, _ = store.reader.skeleton(request["trace_id"])
    told = store.reader.run(runs[1]["run_id"])
    assert told["inputs"] == {"value": HOSTILE}
    assert told["outputs"] == HOSTILE
    assert told["tags"] == [HOSTILE]
    assert told["metadata"] == {"user": HOSTILE}
    assert store.reader.run(runs[0]["run_id"])["error"]["message"] == HOSTILE
    for word in ("said", "name", "kind", "error_message"):
        assert "\0" not in request[word]
        assert "nul" in request[word]
    assert store.reader.requests("script") == [request]


def test_long_values(store: Any) -> None:
    """
    A value of a million characters comes back whole, in a file that is much smaller; what
    is longer is cut, and where, and by how much, is told.
    """
    whole, more = "all work and no play " * 47_619, 1_234
    with callbacks(store.handler):
        echo(whole)
        echo("x" * (1_000_000 + more))

    long, cut = (store.reader.run(it["run_id"]) for it in store.reader.requests()[::-1])
    assert long["inputs"]["value"] == long["outputs"] == whole
    assert "cut" not in long
    recorded = 1_000_000 - len(f"… [{more} more characters]")
    assert [it["path"] for it in cut["cut"]] == ["inputs.value", "outputs"]
    assert {it["whole"] for it in cut["cut"]} == {1_000_000 + more}
    assert cut["cut"][0]["recorded"] in range(recorded, 1_000_001)
    assert store.reader.about()["bytes"] < 500_000


def test_what_is_changed_later(store: Any) -> None:
    """
    What is kept is what was there when it happened.
    """
    given = {"city": "Rome"}
    with callbacks(store.handler):
        echo(given)
        given["city"] = "Oslo"

    assert store.reader.run(store.newest["run_id"])["outputs"] == {"city": "Rome"}


def test_secrets_are_not_in_the_file(store: Any) -> None:
    """
    What is redacted never comes to the file, nor do arguments that are not captured.
    """
    with callbacks(store.handler, redact=["password"]):
        echo({"password": "hunter2"})
    with callbacks(store.handler, capture=False):
        echo("hunter2")

    assert store.reader.summary()["requests"] == 2
    for path in store.path.parent.iterdir():
        assert b"hunter2" not in path.read_bytes()


@pytest.mark.skipif(os.name != "posix", reason="files have no such modes")
def test_file_is_its_owners(tmp_path: Path) -> None:
    """
    The file and those beside it are for their owner alone, whatever the umask, also
    where the file was there before, and in a folder that is made for it.
    """
    path = tmp_path / "new" / "traces.db"
    before = os.umask(0)
    try:
        handler = StoreHandler(path)
        with callbacks(handler):
            echo(1)
        assert handler.drain(20)
    finally:
        os.umask(before)

    names = {it.name for it in path.parent.iterdir()}
    assert names >= {"traces.db", "traces.db-wal", "traces.db-shm"}
    assert {stat.S_IMODE(it.stat().st_mode) for it in path.parent.iterdir()} == {0o600}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    loose = tmp_path / "loose.db"
    loose.touch(0o644)
    loose.chmod(0o644)
    with callbacks(StoreHandler(loose)) as _, callbacks(handler := StoreHandler(loose)):
        echo(1)
    assert handler.drain(20)
    assert stat.S_IMODE(loose.stat().st_mode) == 0o600


def test_two_handlers_of_one_store(store: Any, tmp_path: Path) -> None:
    """
    Two handlers of one file, by whatever name, tell of each run once.
    """
    link = tmp_path / "link.db"
    link.symlink_to(store.path)
    other = StoreHandler(link)

    with callbacks(store.handler, other):
        echo(1)

    assert other.drain(20)
    assert store.reader.about()["events"] == 2
    assert other.path == store.path


def test_threads_of_two_handlers_of_one_store(
    store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    The same holds in very many threads.
    """
    monkeypatch.setattr(WRITER, "_MOST_THREADS", 1)
    other = StoreHandler(store.path)

    def works() -> None:
        with callbacks(store.handler, other):
            echo(1)

    works()
    thread = threading.Thread(target=works)
    thread.start()
    thread.join()

    assert other.drain(20)
    assert store.reader.about()["events"] == 4


def test_very_many_open_runs(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Of very many open runs all that end are told of, also those that are no more at hand.
    """
    monkeypatch.setattr(LEDGER, "_MOST_OPEN", 1)

    @traced
    def deep(levels: int) -> int:
        assert store.handler.drain(20)
        return deep(levels - 1) if levels else 0

    with callbacks(store.handler):
        deep(2)

    request = store.newest
    runs, _ = store.reader.skeleton(request["trace_id"])
    assert (request["runs"], request["status"]) == (3, "ok")
    assert [(it["status"], it["said"]) for it in runs] == [
        ("ok", "2"),
        ("ok", "1"),
        ("ok", "0"),
    ]


def test_deepcopy_is_the_handler(store: Any) -> None:
    """
    A deep copy of a handler is the handler, which says where its store is.
    """
    assert copy.deepcopy(store.handler) is store.handler
    assert repr(store.handler) == f"<StoreHandler of {str(store.path)!r}>"
    assert store.handler.remote == "local"


@pytest.mark.parametrize("name", ["XDG_DATA_HOME", "INSTRUMENT_STORE"])
def test_default_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """
    Without a path, the store is what ``INSTRUMENT_STORE`` names, else a file in the
    user's data folder.
    """
    monkeypatch.delenv("INSTRUMENT_STORE", raising=False)
    place = tmp_path / "x.db" if name == "INSTRUMENT_STORE" else tmp_path
    monkeypatch.setenv(name, str(place))
    monkeypatch.setattr("sys.platform", "linux")

    with callbacks(handler := StoreHandler()):
        echo(1)

    assert handler.drain(20)
    assert handler.path == default_path().resolve()
    assert handler.path.is_relative_to(tmp_path.resolve())


@pytest.mark.parametrize(
    "platform, folder",
    [
        ("win32", "AppData/Local"),
        ("darwin", "Library/Application Support"),
        ("linux", ".local/share"),
    ],
)
def test_data_folder(
    monkeypatch: pytest.MonkeyPatch, platform: str, folder: str
) -> None:
    """
    The user's data folder is where programs of that system keep their data.
    """
    for name in ("XDG_DATA_HOME", "INSTRUMENT_STORE", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("sys.platform", platform)

    assert default_path() == Path.home() / folder / "instrument" / "traces.db"


@pytest.mark.parametrize("named", [None, "~/x.db", "in the environment"])
def test_no_home(monkeypatch: pytest.MonkeyPatch, named: str | None) -> None:
    """
    A user without a home, as in some containers, is told to name a file.
    """

    def expanduser(self: Path) -> Path:
        if self.parts[0] == "~":
            raise RuntimeError
        return self

    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    monkeypatch.delenv("INSTRUMENT_STORE", raising=False)
    monkeypatch.setattr(Path, "expanduser", expanduser)
    monkeypatch.setattr("sys.platform", "linux")
    if named is not None and not named.startswith("~"):
        monkeypatch.setenv("INSTRUMENT_STORE", "~/x.db")
        named = None

    with pytest.raises(StoreError, match=r"no home .* Name another file"):
        StoreHandler(named)


@pytest.mark.parametrize(
    "options, error",
    [
        ({"keep_days": 0}, "keep_days=...) is more than 0"),
        ({"keep_days": "7"}, "keep_days=...) is a number"),
        ({"keep_bytes": 0.5}, "keep_bytes=...) is a whole number"),
    ],
)
def test_options_that_cannot_be(tmp_path: Path, options: Any, error: str) -> None:
    """
    An option that cannot be is refused with what it takes.
    """
    with pytest.raises((TypeError, ValueError)) as refused:
        StoreHandler(tmp_path / "traces.db", **options)

    assert error in str(refused.value)


def test_folder_as_store(tmp_path: Path) -> None:
    """
    A folder is refused, by who writes and by who reads.
    """
    for make in (StoreHandler, Reader):
        with pytest.raises(StoreError, match="is a folder"):
            make(tmp_path)


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="needs such a file")
def test_device_as_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    What is no plain file, as a socket or ``/dev/null``, is refused: its mode stays.
    """
    monkeypatch.chdir(tmp_path)
    with closing(socket.socket(socket.AF_UNIX)) as listener:
        listener.bind("there")
        for make in (StoreHandler, Reader):
            with pytest.raises(StoreError, match="there' is no plain one"):
                make("there")


def test_marks_and_retries(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    What a run tells meanwhile, and that it tries again, are marks of its row; of very many
    marks and events the first are told.
    """

    @traced
    def work() -> None:
        current_run().retry(2)
        emit("progress", {"done": 0.5})
        emit("progress", {"done": 0.9})
        current_run().text("half")

    monkeypatch.setattr(ROWS, "_MOST_MARKS", 2)
    monkeypatch.setattr(RECORDS, "_MOST_EVENTS", 3)
    with callbacks(store.handler):
        work()

    request = store.newest
    runs, _ = store.reader.skeleton(request["trace_id"])
    marks = [(it["kind"], it.get("name")) for it in runs[0]["marks"]]
    assert marks == [("retry", None), ("custom", "progress")]
    assert runs[0]["retries"] == request["retries"] == 1
    events = store.reader.run(request["run_id"])["events"]
    assert [it.get("event") for it in events[1:3]] == ["on_retry", "on_custom_event"]
    assert events[3:] == [{"more": 3}]


def test_event_of_no_run(store: Any) -> None:
    """
    What is told outside any run, or in one that began before anybody heard, is over as it
    is told: it does not run for ever, nor is it lost when its process goes.
    """
    with callbacks(store.handler):
        emit("progress", {"done": 0.5})
    with callbacks(Recorder()), traced("work"), callbacks(store.handler):
        emit("progress", {"done": 0.9})
        echo(1)
        emit("progress", {"done": 1.0})
    with callbacks(store.handler), traced("own", kind="custom"):
        emit("progress", None)
        store.handler.drain()
        running = store.reader.requests("status:running")

    requests = store.reader.requests()
    told = [(it["kind"], it["name"], it["status"], it["runs"]) for it in requests]
    assert sorted(told) == [
        ("chain", "work", "ok", 2),
        ("custom", "own", "ok", 1),
        ("custom", "progress", "ok", 1),
    ]
    assert [it["name"] for it in running] == ["own"]
    work = next(it for it in requests if it["name"] == "work")
    events = store.reader.run(work["run_id"])["events"]
    assert [it["data"]["data"] for it in events] == [{"done": 0.9}, {"done": 1.0}]


def test_channels_are_told_apart(store: Any) -> None:
    """
    Pieces of an answer are kept by channel; what was thought is read apart from the text.
    """

    @traced.llm
    def think(prompt: str) -> None:
        run = current_run()
        for text, channel in (("hm", "reasoning"), ("A", "text"), ("B", "text")):
            run.token(text, channel=channel)

    with callbacks(store.handler):
        think("?")

    told = store.reader.run(store.newest["run_id"])
    tokens = [it["data"] for it in told["events"] if it["event"] == "on_llm_new_token"]
    assert tokens == [
        {"token": "hm", "channel": "reasoning"},
        {"token": "AB", "channel": "text", "count": 2},
    ]
    assert told["reasoning"] == "hm"


def test_hidden_pieces_of_tool_calls(store: Any) -> None:
    """
    Pieces of a call that redaction hides are kept with their length, one by one.
    """

    @traced.llm
    def call(prompt: str) -> None:
        current_run().token('{"a"', channel="tool_call")
        current_run().token(":1}", channel="tool_call")

    with callbacks(store.handler, redact=["password"]):
        call("?")

    told = store.reader.run(store.newest["run_id"])
    tokens = [it["data"] for it in told["events"] if it["event"] == "on_llm_new_token"]
    assert [it["length"] for it in tokens] == [4, 3]


def test_hints(store: Any) -> None:
    """
    A row says how much came out: documents, vectors, calls.
    """

    @traced.retriever
    def find(query: str) -> list[str]:
        return ["a", "b"]

    @traced.embedding
    def embed(texts: list[str]) -> list[list[float]]:
        return [[0.5, 0.5, 0.5]]

    with callbacks(store.handler):
        find("x")
        embed(["x"])

    found = []
    for request in store.reader.requests():
        runs, _ = store.reader.skeleton(request["trace_id"])
        found.append(runs[0]["hint"])
    assert found == ["1 vector of 3", "2 documents"]


def test_request_of_another_trace(store: Any) -> None:
    """
    A request whose trace came in from elsewhere is known by the id that others see.
    """
    from instrument.propagation import attach, extract

    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    headers = {"traceparent": f"00-{trace}-00f067aa0ba902b7-01"}
    with attach(extract(headers)), callbacks(store.handler):
        echo(1)

    assert store.newest["hex"] == trace


def test_tables_are_plain(store: Any) -> None:
    """
    The views are read by anybody who knows SQL.
    """
    store.ask(metadata={"user_id": "ada"})
    assert store.handler.drain(20)

    with sqlite3.connect(store.path) as connection:
        (request,) = connection.execute("SELECT name, status, user FROM requests")
        (model,) = connection.execute("SELECT model, calls, cost_usd FROM models")
        (error,) = connection.execute("SELECT name, error_type FROM errors")
        (data,) = connection.execute(
            "SELECT data FROM events WHERE event = 'on_tool_start'"
        ).fetchone()
    connection.close()

    assert request == ("answer", "ok", "ada")
    assert model == ("fake-1", 1, 0.25)
    assert error == ("search", "LookupError")
    assert json.loads(data) == {"inputs": {"query": "How is Rome?"}}


def test_threads_that_tell_at_once(store: Any) -> None:
    """
    Threads of one request that tell at once are all written.
    """
    from instrument.propagation import bind

    @traced
    def fan() -> None:
        threads = [threading.Thread(target=bind(echo), args=(n,)) for n in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    with callbacks(store.handler):
        fan()

    assert store.newest["runs"] == 21
