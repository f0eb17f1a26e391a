"""
Several processes write to one store, and some of them do not end well.
"""

import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from instrument import callbacks, current_run, traced
from instrument.handlers._store import processes
from instrument.testing import Recorder

FORKING: Any = import_module("instrument.handlers._store.forking")
WRITER: Any = import_module("instrument.handlers._store.writer")
WORKER: Any = import_module("instrument.handlers._shared.worker")

_BEGINS = """
import os, sys
from instrument import callbacks, current_run, traced
from instrument.handlers import StoreHandler

handler = StoreHandler(sys.argv[1])

@traced.tool
def echo(value):
    return value

"""
forks = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork"),
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
]


class Process(subprocess.Popen[str]):
    """
    One that is killed when its block is left.
    """

    def __exit__(self, *exc: object) -> None:
        self.kill()
        super().__exit__(*exc)  # type: ignore[arg-type]


def begin(code: str, path: Path) -> Process:
    """
    Begin a process that may write to the store at *path*.
    """
    return Process(
        [sys.executable, "-W", "error", "-c", _BEGINS + code, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(code: str, path: Path) -> str:
    """
    Run one to its end, and give what it wrote to its standard error.
    """
    with begin(code, path) as process:
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
    return errors


def until(holds: Callable[[], Any]) -> Any:
    """
    Look again and again, until that holds.
    """
    end = time.monotonic() + 20
    while not (found := holds()):
        assert time.monotonic() < end
    return found


@traced.tool
def echo(value: Any) -> Any:
    """
    Give back what it is given.
    """
    return value


def test_killed_process(store: Any) -> None:
    """
    What a process was told is in the store soon, with nobody's help; when it is killed,
    what ran is lost, and what had ended is there.
    """
    code = """
    @traced.chat_model
    def model(question):
        yield "first"
        sys.stdin.read()

    with callbacks(handler):
        echo("done")
        "".join(model("How?"))
    """
    store.ask()
    with begin(code.replace("\n    ", "\n"), store.path) as process:
        request = until(
            lambda: next(iter(store.reader.requests("status:running name:model")), None)
        )
        until(lambda: "text" in store.reader.run(request["run_id"]))
        process.kill()

    until(lambda: store.reader.request(request["trace_id"])["status"] == "lost")
    assert store.reader.run(request["run_id"])["text"] == "first"
    assert store.reader.requests("status:running") == []
    assert [it["name"] for it in store.reader.requests("status:lost")] == ["model"]
    assert store.reader.summary()["by_status"] == {"lost": 1, "ok": 2}
    assert run("with callbacks(handler): echo(1)", store.path) == ""
    with sqlite3.connect(store.path) as connection:
        rows = connection.execute("SELECT status FROM runs WHERE name = 'model'")
        assert [it for (it,) in rows.fetchall()].count("lost") == 1
    connection.close()


def test_exit_writes_what_waits(store: Any) -> None:
    """
    A process that ends has written all, leaves one file, and says nothing.
    """
    code = "with callbacks(handler):\n    for number in range(3_000): echo(number)"

    assert run(code, store.path) == ""

    assert [it.name for it in store.path.parent.iterdir()] == [store.path.name]
    assert store.reader.about()["runs"] == 3_000


@forks[0]
@forks[1]
@pytest.mark.parametrize("way", ["Process", "Pool", "ProcessPoolExecutor"])
@pytest.mark.parametrize("where", ["before", "in the worker"])
def test_forked_worker_writes_what_waits(store: Any, way: str, where: str) -> None:
    """
    A worker that was forked by multiprocessing has written all when it has ended.
    """
    code = f"""
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
fork = multiprocessing.get_context("fork")

def work(value):
    if {where!r} == "before":
        return echo(value)
    with callbacks(StoreHandler(sys.argv[1])): return echo(value)

if {where!r} == "before": callbacks(handler).install()
if {way!r} == "Process":
    worker = fork.Process(target=work, args=(1,))
    worker.start(); worker.join()
elif {way!r} == "Pool":
    pool = fork.Pool(1)
    pool.map(work, [1]); pool.close(); pool.join()
else:
    with ProcessPoolExecutor(1, fork) as pool: pool.submit(work, 1).result()
"""
    quiet = "import warnings; warnings.simplefilter('ignore')"

    assert run(quiet + code, store.path) == ""

    assert store.reader.about()["runs"] == 1


def test_several_processes(store: Any) -> None:
    """
    Processes that begin one store together, and write to it together, lose nothing.
    """
    code = "for number in range(500):\n    with callbacks(handler): echo(number)"
    with ExitStack() as stack:
        begun = [stack.enter_context(begin(code, store.path)) for _ in range(4)]
        errors = [process.communicate(timeout=60)[1] for process in begun]

    assert errors == [""] * 4
    assert store.reader.summary()["by_status"] == {"ok": 2_000}
    assert store.reader.about()["events"] == 4_000
    assert {it["process"]["argv0"] for it in store.reader.requests()} == {"-c"}


@forks[0]
@forks[1]
def test_request_of_two_processes(store: Any) -> None:
    """
    A request that goes on in a forked child is one, with the runs and sums of both, and
    what the one says last does not undo what the other said.
    """
    begins, ends = os.pipe(), os.pipe()

    @traced.llm(model="fake-1")
    def model(question: str) -> str:
        current_run().record_usage(input_tokens=1, output_tokens=1)
        return question

    @traced
    def asks() -> str:
        model("here")
        assert store.handler.drain(20)
        child = os.fork()
        if child == 0:
            model("there")
            is_written = store.handler.drain(20)
            os.write(begins[1], b".")
            os.read(ends[0], 1)
            model("there again")
            os._exit(0 if store.handler.drain(20) and is_written else 1)
        os.read(begins[0], 1)
        children.append(child)
        return "done"

    children: list[int] = []
    with callbacks(store.handler):
        asks()
    assert store.newest["status"] == "ok"
    os.write(ends[1], b".")
    assert os.waitpid(children[0], 0)[1] == 0

    request = store.newest
    assert (request["name"], request["status"]) == ("asks", "ok")
    assert (request["runs"], request["input_tokens"]) == (4, 3)
    assert (request["model"], request["answered"]) == ("fake-1", "done")
    runs, _ = store.reader.skeleton(request["trace_id"])
    assert [it["said"] for it in runs[1:]] == ["here", "there", "there again"]
    assert {it.get("parent_run_id") for it in runs[1:]} == {runs[0]["run_id"]}


@pytest.mark.parametrize("way", ["carrier", "headers"])
def test_request_that_goes_on_elsewhere(store: Any, way: str) -> None:
    """
    What another process does by a carrier is of the same request; by headers it is a
    request of its own with the same id for people, by which the first is found.
    """
    from instrument.propagation import attach, carrier, extract, inject

    given: list[Any] = []

    @traced
    def asks() -> None:
        given.append(carrier() if way == "carrier" else extract(inject({})))

    with callbacks(store.handler):
        asks()
    with attach(given[0]), callbacks(store.handler):
        echo("far")

    if way == "carrier":
        runs, _ = store.reader.skeleton(store.newest["trace_id"])
        assert [it["name"] for it in runs] == ["asks", "echo"]
        return
    far, near = store.reader.requests()
    assert far["hex"] == near["hex"]
    assert store.reader.find(near["hex"]) == near["trace_id"]


def test_request_whose_beginning_is_elsewhere(store: Any) -> None:
    """
    A run whose parent is in no store that is read stands at the top.
    """
    from instrument.propagation import attach, carrier

    with callbacks(Recorder()), traced("asks"):
        given = carrier()
    with attach(given), callbacks(store.handler):
        echo("far")

    (run,), _ = store.reader.skeleton(store.newest["trace_id"])
    assert run["name"] == "echo"
    assert "parent_run_id" not in run
    assert "parent_run_id" not in store.reader.run(run["run_id"])


@forks[0]
@forks[1]
def test_forked_child(store: Any) -> None:
    """
    A forked child writes to the same store by a connection of its own, while its parent
    goes on writing.
    """
    with callbacks(store.handler):
        echo("parent")
        child = os.fork()
        if child == 0:
            echo("child")
            os._exit(0 if store.handler.drain(20) else 1)
        echo("parent")
        assert os.waitpid(child, 0)[1] == 0

    pids = [it["process"]["pid"] for it in store.reader.requests()]
    assert sorted(map(pids.count, set(pids))) == [1, 2]
    assert store.reader.summary()["by_status"] == {"ok": 3}


@forks[0]
@forks[1]
def test_fork_while_it_writes(store: Any) -> None:
    """
    A fork waits until nobody is inside SQLite, whose locks a child could never take.
    """
    code = """
import threading
stop = threading.Event()
with callbacks(handler): echo(0)  # what it imports once, it has imported

def work():
    while not stop.is_set():
        with callbacks(handler): echo(1)
        handler.drain(20)

thread = threading.Thread(target=work)
thread.start()
for _ in range(10):
    child = os.fork()
    if child == 0:
        with callbacks(handler): echo("child")
        os._exit(0 if handler.drain(20) else 1)
    assert os.waitpid(child, 0)[1] == 0
stop.set()
thread.join()
"""
    quiet = "import warnings; warnings.simplefilter('ignore')"

    assert run(quiet + code, store.path) == ""

    assert len(store.reader.requests("child")) == 10


@forks[0]
@forks[1]
def test_fork_while_somebody_writes_long(
    store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A fork does not wait for ever for who is inside SQLite; its parent goes on writing.
    """
    monkeypatch.setattr(FORKING, "_WAIT_S", 0.01)
    with store.handler._writer.in_sqlite:
        child = os.fork()
        if child == 0:
            os._exit(3)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3

    with callbacks(store.handler):
        echo("parent")

    assert store.newest["said"] == "parent"


def test_process_says_that_it_lives(
    store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    While something runs, its process says again and again that it is there, though nothing
    is told.
    """
    monkeypatch.setattr(WRITER, "HEARTBEAT_S", 0.0)
    monkeypatch.setattr(WORKER, "_IDLE_S", 0.01)

    def seen_ns() -> int:
        with sqlite3.connect(store.path) as connection:
            (found,) = connection.execute("SELECT seen_ns FROM processes").fetchone()
        connection.close()
        return int(found)

    @traced
    def running() -> None:
        assert store.handler.drain(20)
        before = seen_ns()
        until(lambda: seen_ns() > before)

    with callbacks(store.handler):
        running()

    assert store.newest["status"] == "ok"


def test_process_of_another_machine(store: Any, monkeypatch: Any) -> None:
    """
    Of a process of another machine it is known by its heartbeat whether it lives.
    """

    @traced
    def running() -> list[str]:
        assert store.handler.drain(20)
        found = []
        for silent_s in (0, 10**6):
            with sqlite3.connect(store.path, isolation_level=None) as connection:
                connection.execute(
                    "UPDATE processes SET host = 'elsewhere', seen_ns = ?",
                    (time.time_ns() - silent_s * 10**9,),
                )
            connection.close()
            monkeypatch.setattr(store.reader._gone, "_until", 0.0)
            found.append(store.newest["status"])
        return found

    with callbacks(store.handler):
        assert running() == ["running", "lost"]


def test_zombie_is_gone() -> None:
    """
    A process that has ended is gone, also while nobody has asked how.
    """
    with subprocess.Popen([sys.executable, "-c", ""], stdin=subprocess.PIPE) as child:
        until(lambda: processes._created(child.pid) is None)
