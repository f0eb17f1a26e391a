"""
What a store does where nothing can be written, or what is there is no store.
"""

import json
import re
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from instrument import Event, callbacks, current_run, traced
from instrument.exceptions import StoreError
from instrument.handlers import StoreHandler
from instrument.handlers._store import tables
from instrument.handlers._store.reader import Reader

WRITER: Any = import_module("instrument.handlers._store.writer")
OPENED: Any = import_module("instrument.handlers._store.opened")
ROWS: Any = import_module("instrument.handlers._store.rows")


@traced.tool
def echo(value: Any) -> Any:
    """
    Give back what it is given.
    """
    return value


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Try again at once.
    """
    monkeypatch.setattr(WRITER, "_TRY_AGAIN_S", 0.01)


def until(holds: Callable[[], Any]) -> Any:
    """
    Look again and again, until that holds.
    """
    end = time.monotonic() + 20
    while not (found := holds()):
        assert time.monotonic() < end
    return found


def test_nothing_can_be_written(tmp_path: Path, reports: list[str]) -> None:
    """
    Where there can be no file, that is reported once, and the calls go on; what waited is
    written when there can be one.
    """
    (tmp_path / "folder").touch()
    handler = StoreHandler(tmp_path / "folder" / "traces.db")
    with callbacks(handler):
        assert echo(1) == 1
        until(lambda: reports)
        assert echo(2) == 2
    assert not handler.drain(0.1)

    (tmp_path / "folder").unlink()

    assert handler.drain(20)
    assert handler.lost == 0
    assert len(reports) == 1
    assert "cannot write" in reports[0]
    assert "Traceback" not in reports[0]
    reader = Reader(handler.path)
    assert reader.about()["events"] == 4
    reader.close()


@pytest.mark.skipif(sys.platform != "linux", reason="a stack size that is refused")
def test_nothing_can_be_written_and_no_thread(
    tmp_path: Path, reports: list[str]
) -> None:
    """
    Whoever waits where no thread is to be had, and nothing can be written, waits no
    longer than was said; what is lost is counted.
    """
    (tmp_path / "folder").touch()
    handler = StoreHandler(tmp_path / "folder" / "traces.db")
    threading.stack_size(2**46)  # no system has as much
    try:
        with callbacks(handler):
            assert echo(1) == 1
        handler.drain(0.1)
    finally:
        threading.stack_size(0)

    assert handler.lost == 2
    assert len(reports) == 2
    (tmp_path / "folder").unlink()
    with callbacks(handler):
        assert echo(2) == 2
    assert handler.drain(20)
    reader = Reader(handler.path)
    assert reader.about()["events"] == 2
    reader.close()


DESCRIPTORS = """if True:
    import gc, importlib, os, resource, sys
    from instrument import callbacks, traced
    from instrument.handlers import StoreHandler

    importlib.import_module("instrument.handlers._store.writer")._TRY_AGAIN_S = 0.01
    gc.disable()

    def descriptors(): return len(os.listdir("/proc/self/fd"))

    handler = StoreHandler(sys.argv[1])
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    left = []
    for limit in [soft, *range(3, 25)]:
        before = descriptors()
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
        with callbacks(handler):
            traced(len)("some")
        handler.drain(0.1)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert handler.drain(20)
        handler._writer._close()
        left.append(descriptors() - before)
    print(handler.lost, sum(left))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="counts in /proc/self/fd")
def test_no_descriptor_left(tmp_path: Path) -> None:
    """
    However few descriptors there are, none is kept by what could not be opened whole.
    """
    path = tmp_path / "traces.db"

    done = subprocess.run(
        [sys.executable, "-B", "-c", DESCRIPTORS, str(path)],
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout == "0 0\n"
    reader = Reader(path)
    assert reader.about()["events"] == 46
    reader.close()


def test_full_disk(tmp_path: Path) -> None:
    """
    Where there is no room, a program ends as it would, says so once, and at exit that
    events were lost.
    """
    pytest.importorskip("resource")
    code = """
import atexit, resource, sys
no_limit = resource.getrlimit(resource.RLIMIT_FSIZE)
atexit.register(resource.setrlimit, resource.RLIMIT_FSIZE, no_limit)  # at the very end
from instrument import callbacks, traced
from instrument.handlers import StoreHandler
from instrument.handlers._store import writer
writer._TRY_AGAIN_S = 0.01
handler = StoreHandler(sys.argv[1])

@traced.tool
def echo(value):
    return value

with callbacks(handler): echo(1)
assert handler.drain(20)
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, no_limit[1]))
for number in range(2_000):
    with callbacks(handler): echo(str(number) * 100)
print("done")
from instrument.handlers._shared import worker
worker.EXIT_WAIT_S = 0.5
"""
    path = tmp_path / "traces.db"
    command = [sys.executable, "-B", "-W", "error", "-c", code, str(path)]

    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout) == (0, "done\n")
    assert done.stderr.count("cannot write") == 1
    assert "not written in time at exit" in done.stderr or "lost` counts" in done.stderr
    reader = Reader(path)
    assert reader.summary()["requests"] >= 1
    reader.close()


@pytest.mark.parametrize("what", ["made", "pruned"])
def test_full_disk_is_what_is_told(what: str, tmp_path: Path) -> None:
    """
    Where there is no room to make the tables, or to delete old requests, the report says
    that, and not that nothing could be undone.
    """
    pytest.importorskip("resource")
    code = """
import resource, sys
from pathlib import Path
from time import monotonic
from instrument import callbacks, traced
from instrument.handlers import StoreHandler
from instrument.handlers._store import pruning, tables
path, what = Path(sys.argv[1]), sys.argv[2]
bounds = pruning.Bounds()
bounds.tighten(None, 1)
no_limit = resource.getrlimit(resource.RLIMIT_FSIZE)
if what == "pruned":
    handler = StoreHandler(path)
    for number in range(9):
        with callbacks(handler), traced("call", inputs={"text": "x" * 9_000}): pass
    assert handler.drain(20)
    connection = tables.writing(path)
resource.setrlimit(resource.RLIMIT_FSIZE, (40_960, no_limit[1]))
try:
    if what == "pruned":
        pruning.prune(connection, bounds, monotonic() + 20)
    else:
        tables.writing(path)
except Exception as exc:
    print(exc.sqlite_errorname)
resource.setrlimit(resource.RLIMIT_FSIZE, no_limit)
"""
    command = [sys.executable, "-B", "-c", code, str(tmp_path / "traces.db"), what]

    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.stdout in {"SQLITE_IOERR\n", "SQLITE_IOERR_WRITE\n", "SQLITE_FULL\n"}


def test_disk_that_fills_up(tmp_path: Path) -> None:
    """
    What there is room for is kept, in order, and the rest is counted: nothing goes
    because it came together with what has no room.
    """
    pytest.importorskip("resource")
    code = """
import atexit, resource, sys
no_limit = resource.getrlimit(resource.RLIMIT_FSIZE)
from instrument import callbacks, traced
from instrument.handlers import StoreHandler
from instrument.handlers._shared import worker
from instrument.handlers._store import writer
writer._TRY_AGAIN_S = 0.01
worker.EXIT_WAIT_S = 2.0
handler = StoreHandler(sys.argv[1])

@traced.tool
def echo(value):
    return value

with callbacks(handler): echo("first")
assert handler.drain(20)
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, no_limit[1]))
with handler._writer.in_sqlite, callbacks(handler):
    for number in range(1_000):
        echo(f"{number} " + "x" * 1_000)
handler._writer.leave()
print(handler.lost)
resource.setrlimit(resource.RLIMIT_FSIZE, no_limit)
"""
    path = tmp_path / "traces.db"
    command = [sys.executable, "-B", "-W", "error", "-c", code, str(path)]

    done = subprocess.run(command, capture_output=True, text=True, check=False)

    reader = Reader(path)
    kept = [it["said"].split()[0] for it in reader.requests(limit=1_001)][::-1]
    events = reader.about()["events"]
    reader.close()
    assert len(kept) > 20
    assert kept[0] == "first"
    assert kept[1:] == sorted({*kept[1:]}, key=int)  # room may come back meanwhile
    assert events + int(done.stdout) == 2_002
    assert done.stderr.count("cannot write") == 1


def test_file_that_is_deleted(store: Any) -> None:
    """
    A file that is deleted while it is written to is made anew.
    """
    store.ask()
    store.close()
    for path in store.path.parent.iterdir():
        path.unlink()

    with callbacks(store.handler):
        echo("again")

    assert store.handler.drain(20)
    reader = Reader(store.path)
    assert [it["said"] for it in reader.requests()] == ["again"]
    reader.close()


def test_end_of_a_run_whose_start_is_gone(store: Any) -> None:
    """
    Of a run whose start is not in the file there is what its end tells.
    """

    @traced
    def works(value: str) -> str:
        assert store.handler.drain(20)
        for path in store.path.parent.iterdir():
            path.unlink()
        return value

    with callbacks(store.handler):
        works("x")

    request = store.newest
    assert (request["name"], request["status"]) == ("works", "ok")
    assert request["answered"] == "x"


def test_too_many_wait(
    store: Any, reports: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    What finds no place is counted, and that reported once; a call is not kept.
    """
    monkeypatch.setattr(WRITER, "_MOST_WAITING", 4)
    with store.handler._writer.in_sqlite, callbacks(store.handler):
        for number in range(5):
            assert echo(number) == number

    assert store.handler.drain(20)
    assert store.handler.lost >= 4
    assert sum("loses events" in it for it in reports) == 1


def test_too_much_waits(
    store: Any, reports: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Where too much waits, what events carry is left out; what ran, and how, is kept.
    """
    monkeypatch.setattr(WRITER, "_HELD_CHARS", 1_000)
    with callbacks(store.handler):
        echo("x" * 2_000)

    told = store.reader.run(store.newest["run_id"])
    assert (told["name"], told["status"]) == ("echo", "ok")
    assert "inputs" not in told
    assert "x" * 100 not in str(told)
    assert told["events"][0]["data"]["left_out"] > 2_000
    assert sum("leaves out" in it for it in reports) == 1

    @traced.llm
    def model(prompt: str) -> None:
        current_run().token("y" * 2_000)

    with callbacks(store.handler):
        model("?")
    assert store.reader.run(store.newest["run_id"])["text"] == "y" * 2_000


def test_many_wait(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Who tells more than can be written is slowed down, and nothing is lost.
    """
    waited: list[float] = []
    monkeypatch.setattr(WRITER, "_MANY_WAITING", 0)
    monkeypatch.setattr(WRITER, "sleep", waited.append)
    with callbacks(store.handler):
        echo(1)

    assert store.handler.drain(20)
    assert waited
    assert max(waited) <= 0.001


def test_record_that_cannot_be_read(
    store: Any, reports: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A record that cannot be is passed over, and counted; those beside it are written.
    """
    with callbacks(store.handler):
        echo(1)
    record = store.reader.events(store.newest["trace_id"])[1][1]
    record["data"]["output"] = "odd"
    answered_in = ROWS.answered_in

    def fails(data: Any) -> Any:
        return answered_in(data) if data["output"] != "odd" else None + data

    monkeypatch.setattr(ROWS, "answered_in", fails)  # no value is known that does so

    store.handler.on_event(Event.from_json(json.dumps(record)))
    with callbacks(store.handler):
        echo(2)

    assert store.handler.drain(20)
    assert store.handler.lost == 1
    assert store.reader.requests()[0]["said"] == "2"
    assert any("TypeError" in it for it in reports)


@pytest.mark.parametrize(
    "content",
    [
        b"no database",
        b"x" * 5_000,
        b"SQLite format 3\0",
        b"SQLite format 3\0".ljust(68, b"\0") + b"GPKG".ljust(32, b"\0"),
    ],
)
def test_file_that_is_no_store(tmp_path: Path, content: bytes) -> None:
    """
    A file that is no store is refused with what makes one, and left as it is.
    """
    path = tmp_path / "notes.txt"
    path.write_bytes(content)

    for make in (StoreHandler, Reader):
        with pytest.raises(StoreError, match=r"notes.txt' is no store"):
            make(path)

    assert path.read_bytes() == content


def test_database_of_others(tmp_path: Path, reports: list[str]) -> None:
    """
    A database of another program is refused, and left as it is.
    """
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    connection.close()
    path.chmod(0o664)
    content, mode = path.read_bytes(), path.stat().st_mode

    handler = StoreHandler(path)  # its head could be that of a store in the making
    with callbacks(handler):
        echo(1)
    until(lambda: reports)

    assert "is no store" in reports[0]
    assert ".." not in reports[0]
    with pytest.raises(StoreError, match="is no store"):
        Reader(path)
    assert (path.read_bytes(), path.stat().st_mode) == (content, mode)
    handler._writer._until = 0.0
    handler._writer._stopping.set()
    assert handler.drain(20)
    assert handler.lost == 2


def test_newer_store(store: Any) -> None:
    """
    A store of a newer version is refused, with what to do.
    """
    store.ask()
    store.close()
    store.handler._writer._close()
    with sqlite3.connect(store.path) as connection:
        connection.execute(f"PRAGMA user_version = {tables.VERSION + 1}")
    connection.close()

    for make in (StoreHandler, Reader):
        with pytest.raises(StoreError, match=r"has version 2, .* newer one"):
            make(store.path)


def test_older_store(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A store of an older version is made one of this by who opens it first, and what was in
    it is there.
    """
    store.ask()
    store.close()
    store.handler._writer._close()
    change = ("ALTER TABLE traces ADD COLUMN note TEXT",)
    monkeypatch.setattr(tables, "VERSION", 2)
    monkeypatch.setitem(tables._MIGRATIONS, 1, change)

    reader = Reader(store.path)
    assert len(reader.requests()) == 1
    reader.close()
    with callbacks(store.handler):
        echo(2)
    assert store.handler.drain(20)

    reader = Reader(store.path)
    assert len(reader.requests()) == 2
    reader.close()
    store.handler._writer._close()
    with sqlite3.connect(store.path) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (2,)
        assert connection.execute("SELECT note FROM traces").fetchone() == (None,)
    connection.close()


def test_older_store_that_stays(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A store that cannot be made one of this version stays as it was, and that is told.
    """
    store.ask()
    store.close()
    store.handler._writer._close()
    changes = ("ALTER TABLE traces ADD COLUMN note", "ALTER TABLE none ADD COLUMN x")
    monkeypatch.setattr(tables, "VERSION", 2)
    monkeypatch.setitem(tables._MIGRATIONS, 1, changes)

    with pytest.raises(StoreError, match=r"cannot be read: no such table: none"):
        Reader(store.path)

    with sqlite3.connect(store.path) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)
        with pytest.raises(sqlite3.OperationalError, match="no such column: note"):
            connection.execute("SELECT note FROM traces")
    connection.close()


def test_store_that_another_holds(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A store that another program has for itself alone is an error that names it.
    """
    store.ask()
    store.close()
    store.handler._writer._close()
    monkeypatch.setattr(OPENED, "_BUSY_S", 0.0)
    connection = sqlite3.connect(store.path, isolation_level=None)
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    connection.execute("DELETE FROM processes")

    with pytest.raises(StoreError, match=r"traces.db' cannot be read: .* locked"):
        Reader(store.path)

    connection.close()


def test_file_that_another_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Who begins a store while another reads the file tries again for a while, and then says
    so.
    """
    waited: list[float] = []
    monkeypatch.setattr(tables, "BUSY_S", 0.02)
    monkeypatch.setattr(tables, "sleep", waited.append)
    monkeypatch.setattr(tables, "monotonic", lambda: len(waited) * 0.01)
    other = sqlite3.connect(tmp_path / "traces.db", isolation_level=None)
    other.execute("CREATE TABLE x (y)")
    other.execute("BEGIN")
    other.execute("SELECT * FROM x").fetchall()
    ours = sqlite3.connect(tmp_path / "traces.db", timeout=0, isolation_level=None)

    with pytest.raises(sqlite3.OperationalError, match="locked"):
        tables._begin_wal(ours)

    assert waited == [0.005] * 3
    other.execute("ROLLBACK")
    tables._begin_wal(ours)
    assert ours.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    ours.close()
    other.close()


def test_no_store_yet(tmp_path: Path) -> None:
    """
    Who reads what is not there is told how it comes to be.
    """
    with pytest.raises(StoreError, match=r"no store '.*none.db' yet.*instrument run"):
        Reader(tmp_path / "none.db")


def test_reader_that_is_closed(store: Any) -> None:
    """
    A reader that is closed says so.
    """
    store.ask()
    store.reader.close()

    with pytest.raises(StoreError, match="is closed"):
        store.reader.requests()


def test_store_that_goes(store: Any) -> None:
    """
    A store that cannot be read any more is an error that names it.
    """
    store.ask()
    assert store.reader
    store.handler._writer._close()
    with sqlite3.connect(store.path) as connection:
        connection.execute("DROP TABLE traces")
    connection.close()

    with pytest.raises(
        StoreError, match=r"'.*traces.db' cannot be read: no such table"
    ):
        store.reader.requests()


def damage(path: Path, statement: str) -> None:
    """
    Have another program change a store.
    """
    with sqlite3.connect(path) as connection:
        connection.execute(statement)
    connection.close()


@pytest.mark.parametrize(
    "text", ["CAST(x'7b22ff227d' AS TEXT)", "'{\"a\"'", "x'00ff'"], ids=str
)
def test_text_that_is_damaged(store: Any, text: str) -> None:
    """
    Where a text in a store is no more what was written, the file is named in one line.
    """
    with callbacks(store.handler):
        echo(1)
    request = store.newest
    damage(store.path, f"UPDATE events SET data = {text}")

    for read in (store.reader.run, store.reader.events):
        with pytest.raises(StoreError, match=re.escape(str(store.path))):
            read(request["run_id"])


def test_row_that_is_damaged(store: Any) -> None:
    """
    Where a row has what no writer puts there, the file is named; so is it where a text
    is none, of which nothing is shown.
    """
    with callbacks(store.handler):
        echo("hunter2")
    assert store.reader.requests()
    store.handler._writer._close()
    damage(store.path, "UPDATE events SET data = CAST(data || x'ff' AS TEXT)")

    with pytest.raises(StoreError, match="cannot be read: Could not decode") as raised:
        store.reader.events(store.newest["trace_id"])
    assert "hunter2" not in str(raised.value)

    damage(store.path, "UPDATE traces SET started_ns = 'x'")
    with pytest.raises(StoreError, match=r"traces.db' cannot be read: "):
        store.reader.requests()


@pytest.mark.parametrize(
    "value", ['{"a": 1}', "[" * 5000, "1" * 5000], ids=["kind", "deep", "digits"]
)
def test_column_that_is_damaged(store: Any, value: str) -> None:
    """
    Where a column has JSON of another kind, or too deep, the file is named.
    """
    with callbacks(store.handler):
        echo(1)
    assert store.reader.requests()
    damage(store.path, f"UPDATE traces SET models = '{value}'")

    with pytest.raises(StoreError, match=r"traces.db' cannot be read: \w+Error$"):
        store.reader.requests()


@pytest.mark.parametrize("value", ["9e999", "-9e999"])
@pytest.mark.parametrize("where", ["", " WHERE id = 1"], ids=["all", "one"])
def test_time_that_is_damaged(store: Any, value: str, where: str) -> None:
    """
    Where a request began at a time without end, the file is named.
    """
    with callbacks(store.handler):
        echo(1)
        echo(2)
    assert store.reader.summary()["requests"] == 2
    damage(store.path, f"UPDATE traces SET started_ns = {value}{where}")

    with pytest.raises(StoreError, match=r"traces.db' cannot be read: TypeError$"):
        store.reader.summary()


def test_table_that_is_gone(store: Any, reports: list[str]) -> None:
    """
    Where a table is gone, no event is taken for one that cannot be read: all are tried
    again, and what failed is reported once.
    """
    with callbacks(store.handler):
        echo(1)
    end = store.reader.events(store.newest["trace_id"])[1][1]
    damage(store.path, "DROP TABLE runs")

    store.handler.on_event(Event.from_json(json.dumps(end)))

    until(lambda: reports)
    assert "cannot write: no such table: runs" in reports[0]
    assert store.handler.lost == 0
    store.handler._writer._until = 0.0
    store.handler._writer._stopping.set()
    assert store.handler.drain(20)
    assert store.handler.lost == 1


@pytest.mark.parametrize("cost_usd", [1e308, float("inf")])
def test_cost_that_cannot_be(store: Any, cost_usd: float) -> None:
    """
    What cost more than there is, as a provider may err, takes nothing else with it.
    """

    @traced.llm
    def model(prompt: str) -> None:
        current_run().record_usage(cost_usd=cost_usd)

    with callbacks(store.handler):
        echo(1)
        model("a")
        model("b")
    assert store.handler.drain(20)

    assert store.handler.lost == 0
    assert store.newest["said"] == "b"
    assert json.loads(json.dumps(store.newest, allow_nan=False))["cost_usd"] > 1e18


def test_sums_that_no_store_has(store: Any) -> None:
    """
    Sums that are larger than a store can say take nothing along, however they come.
    """

    @traced.llm
    def model(prompt: str) -> None:
        current_run().record_usage(input_tokens=2**63 - 1)

    with callbacks(store.handler), traced("both"):
        model("a")
        model("b")
        assert store.handler.drain(20)
        model("c")
    assert store.handler.drain(20)

    assert store.newest["input_tokens"] >= 2**63 - 1
    assert store.newest["runs"] == 4
    assert store.handler.lost == 0


def test_heartbeat_that_fails(
    store: Any, reports: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Where what is written besides events cannot be, that is reported, and events are
    written.
    """
    monkeypatch.setattr(WRITER, "HEARTBEAT_S", 0.0)
    store.ask()
    damage(store.path, "ALTER TABLE processes RENAME COLUMN seen_ns TO gone_ns")

    with callbacks(store.handler):
        echo(2)

    assert store.handler.drain(20)
    until(lambda: reports)
    assert "cannot write: no such column: seen_ns" in reports[0]
    with sqlite3.connect(store.path) as connection:
        assert connection.execute("SELECT said FROM traces").fetchall()[-1] == ("2",)
    connection.close()


def test_batch_at_which_writing_fails(
    store: Any, reports: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A batch at which what writes it fails itself is counted as lost; the next is written.
    """
    ledger: Any = WRITER.Ledger
    write, failed = ledger.write, list[int]()

    def fails(self: Any, batch: list[Any]) -> None:
        if not failed:
            failed.append(len(batch))
            raise LookupError("of our own")
        write(self, batch)

    monkeypatch.setattr(ledger, "write", fails)
    for number in (1, 2):
        with callbacks(store.handler):
            echo(number)
        assert store.handler.drain(20)

    assert store.handler.lost == failed[0]
    assert "of our own" in reports[0]
    assert store.reader.requests()[0]["said"] == "2"


def test_exit_while_a_batch_is_written(
    store: Any, reports: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    At exit one batch that is being written is waited for a moment; then what has not been
    is counted, and nothing is written any more.
    """
    monkeypatch.setattr(WRITER, "_TRY_AGAIN_S", 0.01)
    store.ask()
    writer = store.handler._writer

    with ThreadPoolExecutor(1) as other, writer.in_sqlite:
        with callbacks(store.handler):
            echo(1)
        other.submit(writer._lost_at_exit, 0).result(10)

    assert "lost 2 events that were not written in time at exit" in reports[0]
    assert writer._has_written([]) is False
    lost = store.handler.lost
    writer.lose(1, "it came too late")
    assert store.handler.lost == lost


def test_request_that_somebody_deletes(store: Any) -> None:
    """
    What goes on of a request that somebody has deleted meanwhile is a request again.
    """

    @traced
    def works(value: str) -> str:
        assert store.handler.drain(20)
        for table in ("traces", "runs", "events"):
            damage(store.path, f"DELETE FROM {table}")
        return value

    with callbacks(store.handler):
        works("x")

    request = store.newest
    runs, _ = store.reader.skeleton(request["trace_id"])
    assert (request["status"], request["answered"]) == ("ok", "x")
    assert [(it["name"], it["status"]) for it in runs] == [("works", "ok")]


def test_process_that_somebody_deletes(store: Any) -> None:
    """
    A request of a process of which nothing is told is there all the same.
    """
    with callbacks(store.handler):
        echo(1)
    assert store.handler.drain(20)
    damage(store.path, "DELETE FROM processes")

    assert store.newest["status"] == "ok"
    assert "process" not in store.newest


def test_what_is_not_there(store: Any) -> None:
    """
    A request or a run that is not there is a ``LookupError``.
    """
    store.ask()

    for ask in (store.reader.request, store.reader.skeleton, store.reader.events):
        with pytest.raises(LookupError, match="no request '00'"):
            ask("00")
    with pytest.raises(LookupError, match="no run '00'"):
        store.reader.run("00")


def test_empty_store(store: Any) -> None:
    """
    A store with nothing in it answers all the same.
    """
    store.handler._writer._opened()

    assert store.reader.requests() == store.reader.names() == []
    assert store.reader.summary() == {
        "requests": 0,
        "total": 0,
        "errors": 0,
        "running": 0,
        "histogram": [],
        "by_kind": {},
        "by_status": {},
    }
    assert store.reader.cursor() == 0
    with pytest.raises(LookupError, match="Nothing is in it yet"):
        store.reader.find("LAST")


def test_without_index_of_texts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Where SQLite is built without FTS5, words are looked for all the same, also in what
    is compressed.
    """
    monkeypatch.setattr(tables, "_TEXTS", "CREATE VIRTUAL TABLE texts USING fts99 (x)")
    handler = StoreHandler(tmp_path / "traces.db")
    with callbacks(handler):
        echo("plain words")
        echo("x" * 10_000 + " packed words")
    assert handler.drain(20)

    reader = Reader(handler.path)

    assert len(reader.requests("words")) == 2
    assert len(reader.requests("packed")) == 1
    assert reader.requests("-words") == []
    reader.close()
