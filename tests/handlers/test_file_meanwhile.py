"""
`FileCallbackHandler` while it writes: what happens from within, and in other threads.
"""

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from instrument import Event, callbacks, traced
from instrument.handlers import FileCallbackHandler
from instrument.handlers._file import lines
from instrument.testing import Recorder

ASK = """
import fcntl, sys
with open(sys.argv[1], "r+b") as file:
    try:
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
@pytest.mark.parametrize("how", ["dropped", "closed", "made", "made and dropped"])
def test_lock_is_kept(
    how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    While a line is half written other processes are kept out, also where another handler
    of the file goes, or is made, in that moment; it is closed all the same.
    """
    path, answers = tmp_path / "events.jsonl", []
    others = [] if "made" in how else [FileCallbackHandler(path)]

    def act() -> None:
        if "made" in how:
            others.append(FileCallbackHandler(path))
        if how == "closed":
            others[0].close()
        if "dropped" in how:
            others.clear()
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
