"""
`FileCallbackHandler` while it writes: what happens from within, and in other threads.
"""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from instrument import Event, callbacks, emit, traced
from instrument.handlers import FileCallbackHandler
from instrument.handlers._file import lines
from instrument.testing import Recorder

ASK = """
import fcntl, sys
with open(sys.argv[1], "r+b") as file:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        print("held")
"""


def read(path: Path) -> list[Event]:
    """
    Read the events of a file.
    """
    return [Event.from_json(line) for line in path.read_text("ascii").splitlines()]


def work(text: str = "") -> str:
    """
    Be a run.
    """
    return text


def in_mid_line(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """
    Have *act* called once, when a half of the next line is in its file.
    """
    written: list[int] = []

    def write(file: int, line: bytes) -> int:
        written.append(os.write(file, line[:9]))
        if len(written) == 1:
            act()
        return written[-1]

    monkeypatch.setattr(lines, "os", SimpleNamespace(**{**vars(os), "write": write}))


def test_lock_is_reentrant(tmp_path: Path) -> None:
    """
    A generator that is collected while the handler writes is written too.
    """
    path = tmp_path / "events.jsonl"

    @traced("stream")
    def stream() -> Any:
        yield 1

    class Dropping:
        def __repr__(self) -> str:
            held.clear()
            return "dropped"

    held: list[Any] = []
    with callbacks(FileCallbackHandler(path)):
        held.append(stream())
        next(held[0])
        traced(lambda given: None)(Dropping())

    names = [(event.event, event.name) for event in read(path)]
    assert ("on_chain_error", "stream") in names


def test_written_from_within(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    What ends while a line is being written, as it is collected, is written behind it.
    """
    path = tmp_path / "events.jsonl"

    @traced("stream")
    def stream() -> Any:
        yield 1

    def collecting() -> float:
        held.clear()
        return 0.0

    with callbacks(FileCallbackHandler(path)):
        held = [stream()]
        next(held[0])
        monkeypatch.setattr(lines, "monotonic", collecting)
        traced(work)()

    assert [(event.event, event.name) for event in read(path)] == [
        ("on_chain_start", "stream"),
        ("on_chain_start", "work"),
        ("on_chain_error", "stream"),
        ("on_chain_end", "work"),
    ]


@pytest.mark.skipif(lines.fcntl is None, reason="no locks on files")
@pytest.mark.parametrize(
    "how", ["dropped", "closed", "made", "made and dropped", "read"]
)
def test_lock_is_kept(
    how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    While a line is half written other processes are kept out, also where another handler
    of the file goes, or is made, in that moment, or this process reads it; it is closed
    all the same.
    """
    path, answers = tmp_path / "events.jsonl", []
    others = [FileCallbackHandler(path)] if how in ("dropped", "closed") else []

    def act() -> None:
        if "made" in how:
            others.append(FileCallbackHandler(path))
        if how == "closed":
            others[0].close()
        if "dropped" in how:
            others.clear()
        if how == "read":
            path.read_bytes()
        command = [sys.executable, "-c", ASK, str(path)]
        answers.append(subprocess.check_output(command, text=True).strip())

    handler = FileCallbackHandler(path)
    with callbacks(handler):
        in_mid_line(monkeypatch, act)
        traced(work)()

    assert answers == ["held"]
    assert len(read(path)) == 2
    assert handler._lines._turns.waiting == []
    assert [other._lines.is_open for other in others] == [True] * (how == "made") + [
        False
    ] * (how == "closed")


def test_each_of_what_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reports: list[str]
) -> None:
    """
    What is asked for from within a write is done one by one: a line that cannot be
    written keeps back none of those behind it.
    """
    path, recorder = tmp_path / "events.jsonl", Recorder()
    traced(callbacks=[recorder])(work)()
    first, shut, last = [FileCallbackHandler(path) for _ in range(3)]

    def act() -> None:
        shut.close()
        for handler in (shut, last):
            handler.on_event(recorder.events[0])

    with callbacks(first):
        in_mid_line(monkeypatch, act)
        traced(work)()

    assert len(read(path)) == 3
    assert len(reports) == 1
    assert "closed" in reports[0]


def test_made_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Two threads that make the first handlers of one file have one lock between them.
    """
    meeting, made = threading.Barrier(2, timeout=0.1), []

    class Met(str):  # met by the other thread wherever it is looked up
        __slots__ = ()

        def __hash__(self) -> int:
            with suppress(threading.BrokenBarrierError):
                meeting.wait()
            return super().__hash__()

    monkeypatch.setattr(os.path, "realpath", Met)

    def make() -> None:
        made.append(FileCallbackHandler(tmp_path / "events.jsonl"))

    threads = [threading.Thread(target=make) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len({handler._lines._turns for handler in made}) == 1


def test_cannot_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Where the last line cannot be ended the handler is not made, and nothing stays open.
    """
    path = tmp_path / "events.jsonl"
    path.write_text("somebody's")
    closed: list[int] = []

    def full(file: int, line: bytes) -> int:
        raise OSError(28, "No space left on device")

    def close(file: int) -> None:
        closed.append(file)
        os.close(file)

    changed = {**vars(os), "write": full, "close": close}
    monkeypatch.setattr(lines, "os", SimpleNamespace(**changed))
    with pytest.raises(OSError, match="No space"):
        FileCallbackHandler(path)

    assert len(closed) == 1


FORKED = """
import os, sys, threading
from types import SimpleNamespace
from instrument.handlers._file import lines

def write(file, line):
    if not forked.is_set():
        file_of.write(b"from within\\n")
        within.set()
        forked.wait()
    return os.write(file, line)

within, forked = threading.Event(), threading.Event()
file_of = lines.Lines(sys.argv[1], "a", None, 1)
lines.os = SimpleNamespace(**{**vars(os), "write": write})
lines._PATIENCE_S = 30
thread = threading.Thread(target=file_of.write, args=(b"parent\\n",))
thread.start()
within.wait()
child = os.fork()
forked.set()
if child:
    thread.join()
    os.waitpid(child, 0)
else:
    file_of.write(b"child\\n")
os._exit(0)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_forked_in_mid_write(tmp_path: Path) -> None:
    """
    A child that is forked while another thread writes leaves to the parent what waits
    there: each line is written once.
    """
    path = tmp_path / "events.jsonl"

    command = [sys.executable, "-W", "ignore", "-c", FORKED, str(path)]
    subprocess.run(command, check=True)

    assert sorted(path.read_text().split("\n")) == [
        "",
        "child",
        "from within",
        "parent",
    ]


LOCKED = """
import os, sys
from instrument.handlers._file import lines

file_of = lines.Lines(sys.argv[1], "a", None, 1)
if sys.argv[2] == "moved":
    os.rename(sys.argv[1], sys.argv[1] + ".moved")
file_of._keep_out()
child = os.fork()
if child:
    os.waitpid(child, 0)
else:
    file_of._keep_out()
    print(file_of._is_alone, flush=True)
    file_of.write(b"child\\n")
os._exit(0)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.parametrize("how", ["in its place", "moved"])
def test_forked_child_has_no_lock(tmp_path: Path, how: str) -> None:
    """
    Nor has the child its parent's lock, also where the file cannot be opened once more.
    """
    path = tmp_path / "events.jsonl"

    command = [sys.executable, "-W", "ignore", "-c", LOCKED, str(path), how]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)

    assert done.stdout.strip() == "False"
    assert [file.read_text() for file in tmp_path.iterdir()] == ["child\n"]


@pytest.mark.rule(20)
def test_interrupted(tmp_path: Path) -> None:
    """
    An interrupt, in whichever function of it, leaves nobody deaf: what the same thread
    writes next is written.
    """
    before, deaf = sys.gettrace(), []
    others: list[FileCallbackHandler] = []

    def interrupted(at: int) -> bool:
        path, left = tmp_path / f"{at}.jsonl", at
        handler = FileCallbackHandler(path)

        def trace(frame: Any, what: str, argument: object) -> None:
            nonlocal left
            left -= what == "call" and frame.f_code.co_filename == lines.__file__
            if left == 0:
                left = -1
                raise KeyboardInterrupt

        with suppress(KeyboardInterrupt):
            sys.settrace(trace)
            try:
                handler._lines.write(b"{}\n")
                others.append(FileCallbackHandler(path))
            finally:
                sys.settrace(before)
        with callbacks(handler):
            traced(work)("later")
        if b"later" not in path.read_bytes():
            deaf.append(at)
        return left < 0

    count = next(at for at in range(1, 99) if not interrupted(at))

    assert count > 9
    assert deaf == []


@pytest.mark.skipif(lines.fcntl is None, reason="no locks on files")
def test_lock_that_cannot_be_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A handler that cannot be made, as its lock stays, leaves nothing open, and others hear.
    """
    path, closed = tmp_path / "events.jsonl", []
    handler = FileCallbackHandler(path)

    def flock(file: int, how: int) -> None:
        if how == fcntl.LOCK_UN:
            raise OSError(5, "Input/output error")

    def close(file: int) -> None:
        closed.append(file)
        os.close(file)

    fcntl = lines.fcntl
    with monkeypatch.context() as changed:
        changed.setattr(lines, "os", SimpleNamespace(**{**vars(os), "close": close}))
        changed.setattr(
            lines, "fcntl", SimpleNamespace(**{**vars(fcntl), "flock": flock})
        )
        with pytest.raises(OSError, match="Input/output"):
            FileCallbackHandler(path)
    with callbacks(handler):
        traced(work)()

    assert len(closed) == 1
    assert len(read(path)) == 2


@pytest.mark.parametrize("torn", ['{"v":1,"event":"on_ch', "a note"])
def test_nothing_is_glued_without_locks(
    torn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Where files cannot be locked, a line begins behind what is torn, which is not cut.
    """
    monkeypatch.setattr(lines, "fcntl", None)
    path = tmp_path / "events.jsonl"
    path.write_text(torn)

    with FileCallbackHandler(path) as handler, callbacks(handler):
        traced(work)()

    first, *rest = path.read_text().splitlines()
    assert first == torn
    assert [Event.from_json(line).event for line in rest] == [
        "on_chain_start",
        "on_chain_end",
    ]
    assert handler.lost == torn.startswith("{")


def test_line_that_is_being_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Where files cannot be locked, a line that another process is writing is not taken for
    a torn one.
    """
    path = tmp_path / "events.jsonl"
    path.write_text('{"v":1,"a')

    def sleep(_: float) -> None:
        with path.open("a") as file:
            file.write(rest.pop(0))

    rest = ['":', "1}\n"]
    monkeypatch.setattr(lines, "fcntl", None)
    monkeypatch.setattr(lines, "sleep", sleep)
    with FileCallbackHandler(path) as handler, callbacks(handler):
        traced(work)()

    first, *others = path.read_text().splitlines()
    assert first == '{"v":1,"a":1}'
    assert [Event.from_json(line).event for line in others] == [
        "on_chain_start",
        "on_chain_end",
    ]
    assert handler.lost == 0


def test_line_that_is_written_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Nor is it waited for without end: ours begins a line of its own.
    """
    path = tmp_path / "events.jsonl"
    path.write_text("words")

    def sleep(_: float) -> None:
        looks.append(None)
        assert len(looks) < 1_000
        with path.open("a") as file:
            file.write(" and words")

    looks: list[None] = []
    monkeypatch.setattr(lines, "fcntl", None)
    monkeypatch.setattr(lines, "sleep", sleep)
    with FileCallbackHandler(path) as handler, callbacks(handler):
        traced(work)()

    _, *others = path.read_text().splitlines()
    assert [Event.from_json(line).event for line in others] == [
        "on_chain_start",
        "on_chain_end",
    ]
    assert handler.lost == 0


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes")
def test_pipe_that_nobody_reads(tmp_path: Path, reports: list[str]) -> None:
    """
    What is for a pipe that nobody reads is lost and reported: no call waits for one who
    may never come.
    """
    path = tmp_path / "pipe"
    os.mkfifo(path)

    with FileCallbackHandler(path) as handler, callbacks(handler):
        traced(work)()

    assert handler.lost == 2
    assert all("Broken pipe" in line for line in reports)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes")
@pytest.mark.parametrize("kind", [KeyboardInterrupt, TimeoutError, LookupError])
@pytest.mark.parametrize("size", [9, 200_000])
def test_pipe_at_which_an_interrupt_comes(
    tmp_path: Path, kind: type[BaseException], size: int
) -> None:
    """
    Behind a line that an interrupt broke off in a full pipe another begins, and it is
    counted as lost; one so short that nothing of it is there leaves no empty line.
    """
    path, found = tmp_path / "pipe", b""
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)

    def interrupt(*args: object) -> None:
        raise kind

    with FileCallbackHandler(path) as handler, callbacks(handler):
        room = b"#" * 4095 + b"\n"  # of which as many go in as there is room for
        descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
        with suppress(BlockingIOError):
            while True:
                os.write(descriptor, room)
        os.read(reader, len(room) * (size > len(room)))
        before = signal.signal(signal.SIGALRM, interrupt)
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        try:
            with pytest.raises(kind):
                emit("n", "x" * size)
        finally:
            signal.signal(signal.SIGALRM, before)
        with suppress(BlockingIOError):
            while True:
                found += os.read(reader, 65_536)
        emit("n", 2)
        found += os.read(reader, 65_536)

    os.close(descriptor)
    os.close(reader)
    last = [line for line in found.splitlines() if not line.startswith(b"#")]
    assert len(last) == 1 + (size > len(room))
    assert Event.from_json(last[-1]).data["data"] == 2
    assert handler.lost == 1


@pytest.mark.usefixtures("reports")
@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes")
def test_pipe_whose_reader_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Behind a line of which only the beginning went into a pipe another begins.
    """
    path, room = tmp_path / "pipe", [9, 0]
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)

    def write(file: int, line: bytes) -> int:
        some = room.pop(0) if room else len(line)
        if some == 0:
            raise BrokenPipeError(32, "Broken pipe")
        return os.write(file, line[:some])

    monkeypatch.setattr(lines, "os", SimpleNamespace(**{**vars(os), "write": write}))
    with FileCallbackHandler(path) as handler, callbacks(handler):
        traced(work)()
        traced(work)()

    found = os.read(reader, 65_536).decode()
    os.close(reader)
    torn, *rest = found.splitlines()
    assert torn == '{"v":1,"e'
    assert [Event.from_json(line).event for line in rest] == [
        "on_chain_end",
        "on_chain_start",
        "on_chain_end",
    ]
    assert handler.lost == 1


@pytest.mark.usefixtures("reports")
def test_full_disk_without_locks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Nor is a line glued to the beginning that a full disk left there; it is lost, once.
    """
    room = [1_000, 9, 0, 0]

    def write(file: int, line: bytes) -> int:
        some = room.pop(0) if room else len(line)
        if some == 0:
            raise OSError(28, "No space left on device")
        return os.write(file, line[:some])

    monkeypatch.setattr(lines, "fcntl", None)
    monkeypatch.setattr(lines, "os", SimpleNamespace(**{**vars(os), "write": write}))
    path = tmp_path / "events.jsonl"

    with FileCallbackHandler(path) as handler, callbacks(handler):
        for _ in range(3):
            traced(work)()

    first, torn, *rest = path.read_text().splitlines()
    assert Event.from_json(first).event == "on_chain_start"
    assert torn == '{"v":1,"e'
    assert [Event.from_json(line).event for line in rest] == [
        "on_chain_end",
        "on_chain_start",
        "on_chain_end",
    ]
    assert handler.lost == 2


@pytest.mark.parametrize("max_bytes", [None, 1], ids=["one", "rotated"])
def test_process_goes_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, max_bytes: int | None
) -> None:
    """
    A file given by a relative path stays where it was begun.
    """
    for folder in ("first", "second"):
        (tmp_path / folder).mkdir()
    monkeypatch.chdir(tmp_path / "first")

    with (
        FileCallbackHandler("events.jsonl", max_bytes=max_bytes) as handler,
        callbacks(handler),
    ):
        traced(work)()
        monkeypatch.chdir(tmp_path / "second")
        traced(work)()

    kept = sorted((tmp_path / "first").iterdir())
    assert sum(len(path.read_text().splitlines()) for path in kept) == 4
    assert list((tmp_path / "second").iterdir()) == []
