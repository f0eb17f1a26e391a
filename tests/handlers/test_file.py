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
from instrument.handlers._file import lines
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

    with pytest.raises(ValueError, match="mode is 'a' or 'w' or 'x', not 'r'"):
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


@pytest.mark.parametrize("torn", ['{"v":1,"ev', '{"v"', "{", "\0\0", '{"v":1,"e\0\0'])
def test_after_a_crash(tmp_path: Path, torn: str) -> None:
    """
    The beginning of a record that a crash left at the end of a file is cut.
    """
    path = tmp_path / "events.jsonl"
    path.write_text(f"before\n{torn}")

    with FileCallbackHandler(path) as handler, callbacks(handler):
        traced(work)()

    before, *lines = path.read_text().splitlines()
    assert before == "before"
    assert [Event.from_json(line).event for line in lines] == [
        "on_chain_start",
        "on_chain_end",
    ]
    assert handler.lost == 1


@pytest.mark.parametrize(
    "last",
    [
        *('{"v":1}', "{}", "a note", "n" * 100_000),
        *('{"v":' + "[" * 100_000, '{"v":' + "1" * 5_000 + "}"),
    ],
    ids=["whole", "object", "note", "long", "deep", "digits"],
)
def test_last_line_is_not_ours(tmp_path: Path, last: str) -> None:
    """
    A last line without its line break that is whole, or another's text, is ended.
    """
    path = tmp_path / "events.jsonl"
    path.write_text(last)

    with FileCallbackHandler(path) as handler, callbacks(handler):
        traced(work)()

    first, *lines = path.read_text().splitlines()
    assert first == last
    assert len(lines) == 2
    assert handler.lost == 0


FULL = """if True:
    import os, resource, signal, sys
    from instrument import callbacks, traced
    from instrument.handlers import FileCallbackHandler
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    unlimited = resource.RLIM_INFINITY
    handler = FileCallbackHandler(sys.argv[1])
    with callbacks(handler):
        resource.setrlimit(resource.RLIMIT_FSIZE, (64_000, unlimited))
        for _ in range(10):
            traced(lambda text: text)("x" * 10_000)
        resource.setrlimit(resource.RLIMIT_FSIZE, (unlimited, unlimited))
        for number in range(3):
            traced(lambda text: text)(f"later {number}")
    print(handler.lost)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system limits no files")
def test_full_disk(tmp_path: Path) -> None:
    """
    What a full disk has no room for is lost whole, counted, and reported.
    """
    path = tmp_path / "events.jsonl"

    done = subprocess.run(
        [sys.executable, "-B", "-c", FULL, str(path)],
        capture_output=True,
        text=True,
        check=True,
    )

    events = read(path)
    assert int(done.stdout) == 26 - len(events) > 0
    assert sum("later" in event.to_json() for event in events) == 6
    assert "FileCallbackHandler failed at on_chain_" in done.stderr


NO_ROOM_TO_MEND = """if True:
    import resource, signal, sys
    from instrument import callbacks, traced
    from instrument.handlers import FileCallbackHandler
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    unlimited = resource.RLIM_INFINITY
    with callbacks(FileCallbackHandler(sys.argv[1])) as scope:
        with open(sys.argv[1], "a") as other:
            other.write("a note")
        resource.setrlimit(resource.RLIMIT_FSIZE, (6, unlimited))
        traced(len)("full")
        resource.setrlimit(resource.RLIMIT_FSIZE, (unlimited, unlimited))
        traced(len)("room")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system limits no files")
def test_full_disk_behind_a_note(tmp_path: Path) -> None:
    """
    A last line that could not be ended, since the disk was full, is ended later.
    """
    path = tmp_path / "events.jsonl"

    subprocess.run(
        [sys.executable, "-B", "-c", NO_ROOM_TO_MEND, str(path)],
        capture_output=True,
        check=True,
    )

    first, *lines = path.read_text().splitlines()
    assert first == "a note"
    assert [Event.from_json(line).event for line in lines] == [
        "on_chain_start",
        "on_chain_end",
    ]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no such signal")
def test_killed(tmp_path: Path) -> None:
    """
    What another process had written of a record when it was killed is cut.
    """
    path = tmp_path / "events.jsonl"
    code = """if True:
        import os, signal, sys
        file = os.open(sys.argv[1], os.O_APPEND | os.O_WRONLY)
        os.write(file, b'{"v":1,"event":"on_chain_st')
        os.kill(os.getpid(), signal.SIGKILL)
    """

    with FileCallbackHandler(path) as handler, callbacks(handler):
        traced(work)()
        subprocess.run([sys.executable, "-c", code, str(path)], check=False)
        traced(work)()

    assert len(read(path)) == 4
    assert handler.lost == 1


def test_two_handlers_of_one_file(tmp_path: Path) -> None:
    """
    Two handlers of one file write whole lines, also from threads and when one closes.
    """
    path = tmp_path / "events.jsonl"
    first, second = FileCallbackHandler(path), FileCallbackHandler(path)

    def many(handler: FileCallbackHandler) -> None:
        with callbacks(handler):
            for _ in range(50):
                traced(work)("x" * 5_000)
        handler.close()

    threads = [threading.Thread(target=many, args=(it,)) for it in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(read(path)) == 200


def test_rotation(tmp_path: Path) -> None:
    """
    At its limit a file is put aside whole, and so many of them are kept.
    """
    path = tmp_path / "events.jsonl"

    with (
        FileCallbackHandler(path, max_bytes=2_000, keep=2) as handler,
        callbacks(handler),
    ):
        for number in range(20):
            traced(work)(f"number {number}, {'x' * 300}")

    files = [path.with_name(f"events.jsonl{end}") for end in (".2", ".1", "")]
    assert sorted(tmp_path.iterdir()) == sorted(files)
    assert all(0 < file.stat().st_size <= 2_000 for file in files)
    last = [event.time_ns for file in files for event in read(file)]
    assert last == sorted(last)
    assert "number 19" in path.read_text()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows may refuse a link")
def test_rotation_where_it_is_not_seen_what_is_there(tmp_path: Path) -> None:
    """
    What was put aside and cannot be looked at just now, as behind a link that leads to a
    disk which is not there, is put aside further, and not written over.
    """
    path, aside = tmp_path / "events.jsonl", tmp_path / "events.jsonl.1"
    aside.symlink_to(tmp_path / "archive" / "events.jsonl.1")

    with FileCallbackHandler(path, max_bytes=10) as handler, callbacks(handler):
        traced(work)()

    assert (tmp_path / "events.jsonl.2").is_symlink()
    assert len(read(aside)) == 1
    assert handler.lost == 0


def test_record_over_the_limit(tmp_path: Path) -> None:
    """
    A record that is longer than the limit is written all the same, to a file of its own.
    """
    path = tmp_path / "events.jsonl"

    with FileCallbackHandler(path, max_bytes=10) as handler, callbacks(handler):
        traced(work)()

    assert [event.event for event in read(path)] == ["on_chain_end"]
    assert len(read(tmp_path / "events.jsonl.1")) == 1


def test_rotation_by_bytes(tmp_path: Path) -> None:
    """
    A path of bytes is put aside under a name of bytes.
    """
    path: Any = os.fsencode(tmp_path / "events.jsonl")

    with FileCallbackHandler(path, max_bytes=10) as handler, callbacks(handler):
        traced(work)()

    assert (tmp_path / "events.jsonl.1").exists()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows renames no open file")
def test_rotation_in_several_processes(tmp_path: Path) -> None:
    """
    Several processes that write to one file go over to the new one together.
    """
    path = tmp_path / "events.jsonl"
    code = """if True:
        import sys
        from instrument import callbacks, traced
        from instrument.handlers import FileCallbackHandler
        from instrument.handlers._file import lines
        lines._PATIENCE_S = 30  # on a busy machine too none goes on without the lock
        with callbacks(FileCallbackHandler(sys.argv[1], max_bytes=20_000, keep=100)):
            for _ in range(100):
                traced(lambda text: text)("x" * 300)
    """
    command = [sys.executable, "-c", code, str(path)]

    at_once = [subprocess.Popen(command) for _ in range(3)]

    assert [process.wait() for process in at_once] == [0, 0, 0]
    files = list(tmp_path.iterdir())
    assert len(files) > 5
    assert all(file.stat().st_size <= 20_000 for file in files)
    assert sum(len(read(file)) for file in files) == 600


def test_rotation_that_fails(tmp_path: Path, reports: list[str]) -> None:
    """
    Where no new file can be begun the old one grows on, and that is reported once.
    """
    path = tmp_path / "events.jsonl"
    (tmp_path / "events.jsonl.1" / "in the way").mkdir(parents=True)

    with FileCallbackHandler(path, max_bytes=10, keep=1) as handler, callbacks(handler):
        traced(work)()
        traced(work)()

    assert len(read(path)) == 4
    assert handler.lost == 0
    assert len([line for line in reports if "failed at on_chain_end" in line]) == 1


NO_DESCRIPTOR = """if True:
    import resource, sys
    from instrument import callbacks, traced
    from instrument.handlers import FileCallbackHandler
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    handler = FileCallbackHandler(sys.argv[1], max_bytes=10)
    with callbacks(handler):
        traced(len)("some")
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
        for _ in range(5):
            traced(len)("none is left")
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        traced(len)("some again")
    print(handler.lost)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system limits no descriptors")
def test_rotation_without_a_descriptor(tmp_path: Path) -> None:
    """
    Where a file was put aside and no descriptor is left for a new one, it grows on.
    """
    path = tmp_path / "events.jsonl"

    done = subprocess.run(
        [sys.executable, "-B", "-c", NO_DESCRIPTOR, str(path)],
        capture_output=True,
        text=True,
        check=True,
    )

    aside = [tmp_path / f"events.jsonl.{number}" for number in (1, 2, 3)]
    assert done.stdout == "0\n"
    assert [len(read(it)) for it in (path, *aside)] == [1, 1, 11, 1]
    assert done.stderr.count("FileCallbackHandler failed at") == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows renames no open file")
def test_file_is_taken_away(tmp_path: Path) -> None:
    """
    With a limit, a file that another program took away is begun anew.
    """
    path = tmp_path / "events.jsonl"

    with FileCallbackHandler(path, max_bytes=10_000) as handler, callbacks(handler):
        traced(work)()
        path.rename(tmp_path / "away")
        traced(work)()

    assert len(read(path)) == len(read(tmp_path / "away")) == 2


@pytest.mark.parametrize(
    "limits, said",
    [
        ({"max_bytes": 0}, "max_bytes is 1 or more, not 0"),
        ({"max_bytes": "1 MB"}, "max_bytes is a whole number, not '1 MB'"),
        ({"keep": 0}, "keep is 1 or more, not 0"),
    ],
)
def test_wrong_limits(tmp_path: Path, limits: dict[str, Any], said: str) -> None:
    """
    A limit that is none is refused, and no file is made.
    """
    with pytest.raises((TypeError, ValueError), match=said):
        FileCallbackHandler(tmp_path / "events.jsonl", **limits)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(lines.fcntl is None, reason="this system has no such locks")
def test_another_process_keeps_the_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A process that was stopped while it wrote does not stop the others.
    """
    monkeypatch.setattr(lines, "_PATIENCE_S", 0.01)
    path = tmp_path / "events.jsonl"
    code = """if True:
        import fcntl, sys
        file = open(sys.argv[1], "a")
        fcntl.flock(file, fcntl.LOCK_EX)
        print("locked", flush=True)
        sys.stdin.read()
    """
    command = [sys.executable, "-c", code, str(path)]

    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        with FileCallbackHandler(path) as handler, callbacks(handler):
            traced(work)()
        found = read(path)
        process.communicate("")

    assert len(found) == 2


def test_no_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Where files cannot be locked lines are written, and nothing of the file is cut.
    """
    monkeypatch.setattr(lines, "fcntl", None)
    path = tmp_path / "events.jsonl"
    path.write_text("before\n")

    with FileCallbackHandler(path, max_bytes=10) as handler, callbacks(handler):
        traced(work)()

    assert path.read_text().splitlines()[0] == "before"
    assert len(path.read_text().splitlines()) == 3


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes")
def test_pipe(tmp_path: Path) -> None:
    """
    A pipe with a name is written to as it is.
    """
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)

    with FileCallbackHandler(path) as handler, callbacks(handler):
        traced(work)()

    found = os.read(reader, 65_536)
    os.close(reader)
    assert [Event.from_json(line).event for line in found.splitlines()] == [
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


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_fork_behind_a_file_put_aside(tmp_path: Path) -> None:
    """
    A forked child goes on with the file that its parent has open, whatever stands in its
    place by then; of a handler that is closed it opens none.
    """
    path = tmp_path / "events.jsonl"
    code = """if True:
        import os, sys
        from instrument import callbacks, traced
        from instrument.handlers import FileCallbackHandler
        closed = FileCallbackHandler(sys.argv[1] + ".closed")
        closed.close()
        with callbacks(FileCallbackHandler(sys.argv[1])):
            os.rename(sys.argv[1], sys.argv[1] + ".old")
            open(sys.argv[1], "w").close()
            child = os.fork()
            for _ in range(200):
                traced(lambda text: text)("x" * 5_000)
            if child == 0:
                os.unlink(sys.argv[1] + ".closed")
                sys.exit()
            os.wait()
    """
    subprocess.run([sys.executable, "-c", code, str(path)], check=True)

    assert len(read(tmp_path / "events.jsonl.old")) == 800
    assert path.read_text() == ""
    assert not (tmp_path / "events.jsonl.closed").exists()


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
