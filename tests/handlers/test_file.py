"""
`FileCallbackHandler`: every event as a line of JSON.
"""

import gc
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from instrument import Event, bind, callbacks, traced
from instrument.handlers import FileCallbackHandler
from instrument.testing import Recorder


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


def test_events(tmp_path: Path) -> None:
    """
    Each event is one line, which reads back as what other handlers heard.
    """
    path, recorder = tmp_path / "events.jsonl", Recorder()

    with callbacks(FileCallbackHandler(path), recorder):
        traced(work)("line\nbreak, ü")

    assert read(path) == recorder.events
    assert path.read_bytes().count(b"\n") == 2


def test_written_at_once(tmp_path: Path) -> None:
    """
    A line is there as soon as its event was heard: nothing is kept back.
    """
    path = tmp_path / "events.jsonl"

    with callbacks(FileCallbackHandler(path)), traced("run"):
        assert [event.event for event in read(path)] == ["on_chain_start"]


@pytest.mark.parametrize("letter, kept", [("a", True), ("w", False)])
def test_modes(tmp_path: Path, letter: str, kept: bool) -> None:
    """
    ``a`` appends, ``w`` begins anew.
    """
    path = tmp_path / "events.jsonl"
    path.write_text("before\n")

    with FileCallbackHandler(path, letter) as handler, callbacks(handler):
        traced(work)()

    lines = path.read_text().splitlines()
    assert ("before" in lines) is kept
    assert len(lines) == 2 + kept


def test_mode_x(tmp_path: Path) -> None:
    """
    ``x`` refuses a file that exists.
    """
    path = tmp_path / "events.jsonl"
    FileCallbackHandler(path, "x").close()

    with pytest.raises(FileExistsError):
        FileCallbackHandler(path, "x")


def test_unknown_mode(tmp_path: Path) -> None:
    """
    Another mode is refused, and no file is made.
    """
    path = tmp_path / "events.jsonl"

    with pytest.raises(ValueError, match="mode is 'a', 'w' or 'x', not 'r'"):
        FileCallbackHandler(path, "r")
    assert not path.exists()


def test_folder(tmp_path: Path) -> None:
    """
    A folder is refused where it is given, and so is a folder that is missing.
    """
    with pytest.raises(IsADirectoryError, match=r"needs a file, and .* is a folder"):
        FileCallbackHandler(tmp_path)
    with pytest.raises(FileNotFoundError):
        FileCallbackHandler(tmp_path / "missing" / "events.jsonl")


@pytest.mark.parametrize("torn", ['{"v":1,"ev', "{}"])
def test_after_a_crash(tmp_path: Path, torn: str) -> None:
    """
    A file that a crash left in mid-line gets that line ended first.
    """
    path = tmp_path / "events.jsonl"
    path.write_text(torn)

    with FileCallbackHandler(path) as handler, callbacks(handler):
        traced(work)()

    first, *lines = path.read_text().splitlines()
    assert first == torn
    assert [Event.from_json(line).event for line in lines] == [
        "on_chain_start",
        "on_chain_end",
    ]


def test_threads(tmp_path: Path) -> None:
    """
    Threads that write at once leave whole lines.
    """
    path = tmp_path / "events.jsonl"

    def many() -> None:
        for _ in range(50):
            traced(work)("x" * 5_000)

    with callbacks(FileCallbackHandler(path)):
        threads = [threading.Thread(target=bind(many)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert len(read(path)) == 400


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_fork(tmp_path: Path) -> None:
    """
    A forked child and its parent write whole lines to one file.
    """
    path = tmp_path / "events.jsonl"
    code = """if True:
        import os, sys
        from instrument import callbacks, traced
        from instrument.handlers import FileCallbackHandler
        with callbacks(FileCallbackHandler(sys.argv[1])):
            child = os.fork()
            for _ in range(200):
                traced(lambda text: text)("x" * 5_000)
            if child == 0:
                os._exit(0)
            os.wait()
    """
    subprocess.run([sys.executable, "-c", code, str(path)], check=True)

    assert len(read(path)) == 800


def test_crash(tmp_path: Path) -> None:
    """
    What was heard is in the file though the process died at once.
    """
    path = tmp_path / "events.jsonl"
    code = """if True:
        import os, sys
        from instrument import callbacks, traced
        from instrument.handlers import FileCallbackHandler
        with callbacks(FileCallbackHandler(sys.argv[1])), traced("run"):
            os._exit(1)
    """
    done = subprocess.run([sys.executable, "-c", code, str(path)], check=False)

    assert done.returncode == 1
    assert [event.event for event in read(path)] == ["on_chain_start"]


def test_closed(tmp_path: Path, reports: list[str]) -> None:
    """
    A handler that is closed hears no more, which is reported once.
    """
    path = tmp_path / "events.jsonl"
    handler = FileCallbackHandler(path)
    handler.close()
    handler.close()

    with callbacks(handler):
        traced(work)()
        traced(work)()

    assert path.read_text() == ""
    assert len([line for line in reports if "of this handler is closed" in line]) == 2


def test_collected(tmp_path: Path) -> None:
    """
    A handler that is dropped closes its file.
    """
    path, opened = tmp_path / "events.jsonl", Path("/proc/self/fd")
    if not opened.exists():
        pytest.skip("this system does not list open files")
    handler: Any = FileCallbackHandler(path)
    assert any(link.resolve() == path for link in opened.iterdir())

    del handler
    gc.collect()

    assert not any(link.resolve() == path for link in opened.iterdir())


def test_path_of_bytes(tmp_path: Path) -> None:
    """
    A path may be text, a `Path` or bytes.
    """
    path: Any = os.fsencode(tmp_path / "events.jsonl")

    FileCallbackHandler(path).close()

    assert (tmp_path / "events.jsonl").exists()


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
