"""
As long as this process has a store open, SQLite's locks on it are this process's: who has
none has its log done away with by the next who closes the file, and what it writes.
"""

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from instrument import callbacks, cli, traced
from instrument.handlers import StoreHandler
from instrument.handlers._store.reader import Reader
from instrument.handlers._store.tables import writing

FORKING: Any = import_module("instrument.handlers._store.forking")
PLACE: Any = import_module("instrument.handlers._store.place")

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork"),
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
]

_LOOK = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("SELECT * FROM traces").fetchall()
connection.close()
"""
"""What closes the file, and does away with the log if nobody else has it open."""


@traced.tool
def echo(value: str) -> str:
    """
    Give it back.
    """
    return value


def log_stays(path: Path) -> bool:
    """
    Tell whether the log is still there when somebody else has looked.
    """
    look = [sys.executable, "-S", "-c", _LOOK, str(path)]
    subprocess.run(look, check=True, timeout=60)
    return path.with_name(f"{path.name}-wal").exists()


def said(path: Path) -> list[str]:
    """
    Give what the requests in a store said, the first of them first.
    """
    reader = Reader(path)
    found = [it["said"] for it in reader.requests(limit=1_000)]
    reader.close()
    return found[::-1]


def made_loose(path: Path) -> None:
    """
    Have others read the file, and open it to write.
    """
    connection = writing(path)
    connection.execute("PRAGMA wal_checkpoint")  # the file's head says then whose it is
    path.chmod(0o644)
    writing(path).close()
    connection.close()
    assert path.stat().st_mode & 0o777 == 0o600


TOUCHES: dict[str, Callable[[Path], object]] = {
    "handler": StoreHandler,
    "reader": lambda path: Reader(path).requests(),
    "writer": lambda path: writing(path).close(),
    "prepare": PLACE.prepare,
    "loose": made_loose,
    "show": lambda path: cli.main(["show", "--store", str(path)]),
    "export": lambda path: cli.main(
        ["export", "LAST", "--to", f"{path}.md", "--store", str(path)]
    ),
}


@pytest.mark.parametrize("touch", TOUCHES.values(), ids=TOUCHES)
@pytest.mark.parametrize("how", ["writes", "reads"])
def test_locks_stay(store: Any, touch: Callable[[Path], object], how: str) -> None:
    """
    Whatever else opens and closes the file here, the locks on it stay.
    """
    store.ask()
    if how == "reads":
        store.handler._writer._close()
        store.reader.requests()
    assert log_stays(store.path)

    touch(store.path)

    assert log_stays(store.path)


@pytest.mark.parametrize("how", ["writes", "reads", "both"])
def test_child_writes_on(store: Any, how: str) -> None:
    """
    What a forked child writes is there, whoever closes the file meanwhile, and how often.
    """
    with callbacks(store.handler):
        echo("parent")
    assert store.handler.drain(20)
    if how != "writes":
        store.reader.requests()
    if how == "reads":
        store.handler._writer._close()
    asks, answers = os.pipe(), os.pipe()

    child = os.fork()
    if child == 0:
        for turn in range(3):
            with callbacks(store.handler):
                echo(f"child {turn}")
            is_written = store.handler.drain(20)
            os.write(answers[1], b"1" if is_written else b"0")
            os.read(asks[0], 1)
        os.kill(os.getpid(), 9)  # nothing is written as it goes
    for _ in range(3):
        assert os.read(answers[0], 1) == b"1"
        store.handler._writer._close()
        store.close()
        log_stays(store.path)
        os.write(asks[1], b"1")
    os.waitpid(child, 0)
    for pipe in (*asks, *answers):
        os.close(pipe)

    assert said(store.path) == ["parent", "child 0", "child 1", "child 2"]


def test_run_that_is_open_at_a_fork(store: Any) -> None:
    """
    What is open at a fork goes on: it is known, its sums hold what both have added.
    """
    with callbacks(store.handler), traced("work") as run:
        echo("before")
        assert store.handler.drain(20)
        child = os.fork()
        if child == 0:
            echo("child")
            os._exit(0 if store.handler.drain(20) else 1)
        assert os.waitpid(child, 0)[1] == 0
        is_known = store.handler._writer._has_more()
        echo("behind")
        run.outputs = "done"

    assert is_known
    assert (store.newest["runs"], store.newest["status"]) == (4, "ok")
    assert store.newest["name"] == "work"


def test_reader_at_a_fork(store: Any) -> None:
    """
    What reads goes on reading in the parent, and in the child by a connection of its own.
    """
    store.ask("first")
    before = store.reader.requests()

    child = os.fork()
    if child == 0:
        os._exit(0 if store.reader.requests() == before else 1)

    assert os.waitpid(child, 0)[1] == 0
    assert store.reader.requests() == before


def test_fork_while_somebody_reads(store: Any) -> None:
    """
    A fork waits until nobody is inside SQLite to read.
    """
    store.ask()
    begun, end = threading.Event(), threading.Event()

    def read() -> None:
        with store.reader.at_one_state():
            begun.set()
            end.wait(20)

    thread = threading.Thread(target=read)
    thread.start()
    begun.wait(20)
    threading.Timer(0.05, end.set).start()

    child = os.fork()
    if child == 0:
        with callbacks(store.handler):
            echo("child")
        os._exit(0 if store.handler.drain(20) else 1)
    thread.join()

    assert os.waitpid(child, 0)[1] == 0


_LEFT = """
import os, sys
from instrument import callbacks, traced
from instrument.handlers import StoreHandler
from instrument.handlers._store import forking

forking._WAIT_S = 0.01
handler = StoreHandler(sys.argv[1])
with callbacks(handler), traced("parent"): pass
assert handler.drain(20)
with handler._writer.in_sqlite:
    child = os.fork()
if not child:
    for _ in range(2):
        with callbacks(handler), traced("child"): pass
    assert not handler.drain(0.5)
    sys.exit()
code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
with callbacks(handler), traced("parent"): pass
assert handler.drain(20)
sys.exit(code)
"""


def test_child_that_cannot_write(tmp_path: Path) -> None:
    """
    Where somebody is inside SQLite for long, the child says that it writes nothing, and
    ends; its parent writes on.
    """
    path = tmp_path / "traces.db"
    given = [sys.executable, "-W", "ignore", "-c", _LEFT, str(path)]

    done = subprocess.run(
        given, check=False, capture_output=True, text=True, timeout=60
    )

    assert done.returncode == 0, done.stderr
    assert done.stderr.count("was forked while its parent was busy") == 1
    assert "loses events, `lost` counts them" in done.stderr
    assert len(said(path)) == 2


def test_threads_that_fork_at_once(store: Any, tmp_path: Path) -> None:
    """
    Of several threads that fork at the same time, each has a child that can write.
    """
    handlers = [store.handler, StoreHandler(tmp_path / "other.db")]
    codes = []

    def tell() -> bool:
        with callbacks(*handlers):
            echo("x")
        return all(it.drain(20) for it in handlers)

    def fork() -> None:
        for _ in range(5):
            child = os.fork()
            if child == 0:
                is_written = tell() and not sum(it.lost for it in handlers)
                os._exit(0 if is_written else 1)
            tell()
            codes.append(os.waitpid(child, 0)[1])

    assert tell()
    threads = [threading.Thread(target=fork) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert codes == [0] * 15


def test_one_thread_forks_at_a_time(
    store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A thread that forks while another does waits for that, however long: it would have a
    child that cannot write.
    """
    store.ask()
    monkeypatch.setattr(FORKING, "_WAIT_S", 0.01)
    codes = []

    def fork() -> None:
        child = os.fork()
        if child == 0:
            with callbacks(store.handler):
                echo("child")
            os._exit(0 if store.handler.drain(20) else 1)
        codes.append(os.waitpid(child, 0)[1])

    thread = threading.Thread(target=fork)
    FORKING._before()
    try:
        thread.start()
        thread.join(0.3)
        is_waiting = thread.is_alive() and not codes
    finally:
        FORKING._after_in_parent()
    thread.join()

    assert is_waiting
    assert codes == [0]


def test_fork_while_threads_begin_to_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A fork finds all that is connected, though other threads connect meanwhile.
    """
    opened = import_module("instrument.handlers._store.opened").Opened
    kept = [opened(tmp_path / "a.db") for _ in range(300)]
    failed: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", failed.append)
    interval, has_ended = sys.getswitchinterval(), threading.Event()

    def begin() -> None:
        while not has_ended.is_set():
            kept[:50] = [opened(tmp_path / "a.db") for _ in range(50)]

    thread = threading.Thread(target=begin)
    sys.setswitchinterval(1e-6)
    thread.start()
    for _ in range(40):
        child = os.fork()
        if child == 0:
            os._exit(0)
        os.waitpid(child, 0)
    has_ended.set()
    thread.join()
    sys.setswitchinterval(interval)

    assert failed == []


def test_another_file_behind_a_fork(
    store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Where another store is there behind a fork, on the very same inode, nothing in it is
    written over.
    """
    monkeypatch.setattr(type(store.handler._writer), "_is_there", lambda writer: True)
    with callbacks(store.handler), traced("outer"):
        echo("before")
        assert store.handler.drain(20)
        asks, tells = os.pipe()
        child = os.fork()
        if child == 0:
            os.read(asks, 1)
            with callbacks(store.handler):
                echo("child")
            os._exit(0 if store.handler.drain(20) else 1)
        for file in store.path.parent.glob(f"{store.path.name}*"):
            file.unlink()
        os.write(tells, b"1")
        assert os.waitpid(child, 0)[1] == 0
    with callbacks(store.handler):
        echo("behind")
    assert store.handler.drain(20)
    os.close(asks)
    os.close(tells)

    reader = Reader(store.path)
    assert reader.about()["runs"] == 3  # the child's, "outer" that ends, "behind"
    reader.close()
