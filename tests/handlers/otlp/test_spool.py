"""
`OTLPHandler(spool=...)`: what cannot be sent waits on disk, whole, for whoever comes next.
"""

import os
import signal
import stat
import subprocess
import sys
import threading
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from instrument import callbacks, traced
from instrument.handlers import OTLPHandler

if TYPE_CHECKING:
    from tests.handlers.otlp.otlp_receiver import Receiver

TOOLS: Any = pytest.importorskip("otlp_receiver")
SPOOL: Any = import_module("instrument.handlers._otlp.spool")
COURIER: Any = import_module("instrument.handlers._otlp.courier")
POST: Any = import_module("instrument.handlers._otlp.post")

WORKER = """if True:
    import sys
    from instrument import callbacks, traced
    from instrument.handlers import OTLPHandler

    @traced
    def work(number): ...

    url, folder, first, count = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:])
    handler = OTLPHandler(url, spool=folder)
    with callbacks(handler):
        for number in range(first, first + count):
            work(number)
"""
STAYS = """
    while not handler.drain(0.2) and handler._sender._waiting:
        pass
    print("kept", flush=True)
    sys.stdin.read()
"""


@traced
def work(number: int) -> None:
    """
    Be a run.
    """


def numbers(receiver: "Receiver") -> list[int]:
    """
    Give what the runs were called with whose spans have come.
    """
    given = [TOOLS.plain(span.attributes)["input.value"] for span in receiver.spans]
    return sorted(int(text.partition(":")[2].rstrip("}")) for text in given)


def files(folder: Path) -> list[Path]:
    """
    Give the batches that wait.
    """
    return sorted(folder.glob("*/*.otlp"))


def command(code: str, *args: object) -> list[str]:
    """
    Give what runs *code* in a process of its own.
    """
    return [sys.executable, "-c", code, *map(str, args)]


def unwilling(each: Any) -> None:
    """
    Take nothing now.
    """
    TOOLS.answered(each, 503)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Have a courier try again at once.
    """
    sender: Any = import_module("instrument.handlers._otlp.sender")
    monkeypatch.setattr(sender, "_LONGEST_S", 0.01)


def test_receiver_dead_for_a_while(
    receiver: "Receiver", tmp_path: Path, reports: list[str]
) -> None:
    """
    While a receiver takes nothing, what it was sent waits in files; then all arrives,
    once, and the folder is empty.
    """
    receiver.answer = unwilling
    handler = OTLPHandler(receiver.url, spool=tmp_path)
    with callbacks(handler):
        for number in range(600):
            work(number)
    receiver.wait_for(lambda: bool(receiver.requests))
    assert not handler.drain(0.05)

    receiver.answer = TOOLS.taken
    assert handler.drain(20)

    assert numbers(receiver) == list(range(600))
    assert (handler.sent, handler.dropped) == (600, 0)
    assert handler.failures
    assert files(tmp_path) == []
    assert "they wait in the spool" in reports[0]


def test_process_goes_elsewhere(
    receiver: "Receiver", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A folder given by a relative path stays where it was.
    """
    receiver.answer = unwilling
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "first")
    handler = OTLPHandler(receiver.url, spool="spool")
    monkeypatch.chdir(tmp_path / "second")

    with callbacks(handler):
        for number in range(600):
            work(number)
    receiver.wait_for(lambda: bool(receiver.requests))
    handler.drain(0.05)

    assert files(tmp_path / "first" / "spool")
    assert list((tmp_path / "second").iterdir()) == []
    receiver.answer = TOOLS.taken
    assert handler.drain(20)


@pytest.mark.skipif(os.name != "posix", reason="needs signals")
@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGTERM])
def test_killed(receiver: "Receiver", tmp_path: Path, sign: signal.Signals) -> None:
    """
    What was kept when a process is killed is sent by the next one, whole.
    """
    receiver.answer = unwilling
    program = command(WORKER + STAYS, receiver.url, tmp_path, "0", "700")
    with subprocess.Popen(program, stdin=-1, stdout=-1, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "kept\n"
        process.send_signal(sign)
        assert process.wait(20) == -sign
    assert files(tmp_path)

    receiver.answer = TOOLS.taken
    handler = OTLPHandler(receiver.url, spool=tmp_path)
    receiver.wait_for(lambda: len(receiver.spans) == 700)

    assert numbers(receiver) == list(range(700))
    assert handler.drain(20)


def test_killed_in_the_middle(receiver: "Receiver", tmp_path: Path) -> None:
    """
    A process that is killed while it works loses at most what it was gathering: no file
    is torn, and each span that was kept arrives.
    """
    receiver.answer = unwilling
    code = WORKER + "\n    print('done', flush=True); sys.stdin.read()"
    program = command(code, receiver.url, tmp_path, "0", "4000")  # none is dropped
    with subprocess.Popen(program, stdin=-1, stdout=-1, text=True) as process:
        receiver.wait_for(lambda: len(receiver.requests) > 0)
        process.kill()
        process.wait(20)
    kept = sum(int(path.stem.rpartition("-")[2]) for path in files(tmp_path))
    assert kept

    receiver.answer = TOOLS.taken
    handler = OTLPHandler(receiver.url, spool=tmp_path)
    receiver.wait_for(lambda: len(receiver.spans) >= kept)

    assert numbers(receiver) == list(range(kept))
    assert handler.dropped == 0


def test_several_processes(receiver: "Receiver", tmp_path: Path) -> None:
    """
    Several processes keep in one folder, and one of them may send what another has kept,
    or the next one, what they had no time for at their end: each span arrives once.
    """
    commands = [
        command(WORKER, receiver.url, tmp_path, f"{first}", "300")
        for first in range(0, 900, 300)
    ]
    processes = [subprocess.Popen(command) for command in commands]
    for process in processes:
        assert process.wait(50) == 0
    handler = OTLPHandler(receiver.url, spool=tmp_path)
    receiver.wait_for(lambda: len(receiver.spans) >= 900)

    assert numbers(receiver) == list(range(900))
    assert handler.drain(20)
    assert files(tmp_path) == []


def test_dead_at_exit(receiver: "Receiver", tmp_path: Path) -> None:
    """
    A process whose receiver takes nothing goes at once, and leaves all to the next.
    """
    receiver.answer = unwilling
    program = command(WORKER, receiver.url, tmp_path, "0", "10")
    done = subprocess.run(program, check=True, capture_output=True, timeout=50)
    assert b"lost" not in done.stderr
    assert len(files(tmp_path)) == 1

    receiver.answer = TOOLS.taken
    handler = OTLPHandler(receiver.url, spool=tmp_path)
    receiver.wait_for(lambda: len(receiver.spans) == 10)

    assert handler.drain(20)


def test_no_thread_at_exit(receiver: "Receiver", tmp_path: Path) -> None:
    """
    What comes so late that no thread can be started is kept and sent all the same.
    """
    code = """if True:
    import sys, threading
    from instrument import callbacks, traced
    from instrument.handlers import OTLPHandler

    @traced
    def work(number):
        yield 1

    start = threading.Thread.start
    def cannot(thread):
        raise RuntimeError("can't start new thread")

    handler = OTLPHandler(sys.argv[1], spool=sys.argv[2])
    threading.Thread.start = cannot
    with callbacks(handler):
        left = work(0)
        next(left)
    """
    program = command(code, receiver.url, tmp_path)
    done = subprocess.run(program, check=True, capture_output=True, timeout=50)

    assert done.stderr == b""
    assert numbers(receiver) == [0]
    assert files(tmp_path) == []


def test_tenants_apart(receiver: "Receiver", tmp_path: Path) -> None:
    """
    One folder for two tenants: what is kept for one is never sent with the headers of
    the other, and no value of a header stands in the folder.
    """
    receiver.answer = unwilling
    secrets = {"A": "sk-secret-a", "B": "sk-secret-b"}

    def handler_of(tenant: str) -> OTLPHandler:
        headers = {"x-tenant": tenant, "authorization": secrets[tenant]}
        return OTLPHandler(receiver.url, headers=headers, spool=tmp_path)

    for tenant, number in (("A", 1), ("B", 2)):
        handler = handler_of(tenant)
        with callbacks(handler, metadata={"user_id": tenant}):
            work(number)
        handler.drain(0.05)
        receiver.wait_for(lambda: bool(receiver.requests))
    written = [path.read_bytes() for path in files(tmp_path)]
    written += [str(path).encode() for path in tmp_path.rglob("*")]
    receiver.answer = TOOLS.taken
    for tenant in "AB":
        assert handler_of(tenant).drain(20)

    for tenant in "AB":
        (span,) = receiver.by_header[tenant]
        assert TOOLS.plain(span.attributes)["user.id"] == tenant
        assert not any(secrets[tenant].encode() in each for each in written)


def test_private(receiver: "Receiver", tmp_path: Path) -> None:
    """
    What is kept is read by its owner alone.
    """
    receiver.answer = unwilling
    handler = OTLPHandler(receiver.url, spool=tmp_path / "new" / "spool")
    with callbacks(handler):
        work(1)
    receiver.wait_for(lambda: bool(receiver.requests))

    (path,) = files(tmp_path / "new" / "spool")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize("code, is_kept", [(400, False), (413, False), (401, True)])
def test_refused(
    receiver: "Receiver", tmp_path: Path, code: int, *, is_kept: bool
) -> None:
    """
    What a receiver will never take is dropped and counted; where it is not what was sent
    that is wrong, it waits.
    """
    receiver.answer = lambda each: TOOLS.answered(each, code)
    handler = OTLPHandler(receiver.url, spool=tmp_path)

    with callbacks(handler):
        work(1)
    assert handler.drain(0.5 if is_kept else 20) is not is_kept

    assert bool(files(tmp_path)) is is_kept
    assert handler.dropped == (0 if is_kept else 1)


def test_full_folder(
    receiver: "Receiver",
    tmp_path: Path,
    reports: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """
    A folder holds so much; the oldest goes for what is newer, counted and reported.
    """
    spool = SPOOL.Spool(tmp_path, "key", most_bytes=1_000)

    lost = [spool.add(bytes(400), 3) for _ in range(4)]

    assert lost == [0, 0, 3, 3]
    assert sum(path.stat().st_size for path in files(tmp_path)) == 800
    handler = OTLPHandler(receiver.url, spool=tmp_path / "other")
    of_handler: Any = handler._sender._courier._spool  # type: ignore[union-attr]
    of_handler.add(bytes(400), 3)
    monkeypatch.setattr(of_handler, "_most_bytes", 0)
    with callbacks(handler):
        work(1)
    assert handler.drain(20)
    assert (handler.sent, handler.dropped) == (1, 3)
    assert "the spool is full" in reports[0]
    spool.add(bytes(400), 3)
    claim = spool.oldest()
    assert spool.add(bytes(400), 3) == 3
    assert claim.read() == bytes(400)
    claim.let_go()


def test_full_folder_and_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    What had to go for a batch that then could not be written is counted with the next.
    """

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    spool = SPOOL.Spool(tmp_path, "key", most_bytes=1_000)
    spool.add(bytes(900), 3)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", full)
        with pytest.raises(OSError, match="No space left"):
            spool.add(bytes(900), 1)

    assert spool.add(bytes(900), 1) == 3
    assert spool.add(bytes(900), 1) == 1


def test_refused_and_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    What a receiver will never take is counted also where its file cannot be removed.
    """

    def stays(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    refusal = POST.Refusal("no", is_passing=False, is_kept=False)
    spool, lost = SPOOL.Spool(tmp_path, "key"), []
    courier = COURIER.Courier(
        spool,
        lambda *_: refusal,
        lambda count, _: lost.append(count),
        lambda *_: True,
        lambda: None,
    )
    spool.add(b"one", 3)
    monkeypatch.setattr(Path, "unlink", stays)

    with pytest.raises(PermissionError):
        courier._send_one()

    assert lost == [3]
    assert [path.stat().st_size for path in files(tmp_path)] == [0]


def test_one_sends_at_a_time(tmp_path: Path) -> None:
    """
    A batch that somebody sends is nobody else's, until it is let go or gone.
    """
    spool, other = (SPOOL.Spool(tmp_path, "key") for _ in range(2))
    spool.add(b"one", 1)
    spool.add(b"two", 1)

    first = spool.oldest()
    second = other.oldest()
    assert (first.read(), second.read()) == (b"one", b"two")
    assert spool.oldest() is None
    first.let_go()
    again = other.oldest()
    assert again.read() == b"one"
    again.remove()
    second.remove()

    assert spool.oldest() is None
    assert spool.is_empty(of_all=True)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_forked_while_it_is_sent(tmp_path: Path) -> None:
    """
    What is let go is sent again, also while a child lives that was forked meanwhile.
    """
    spool = SPOOL.Spool(tmp_path, "key")
    spool.add(b"one", 1)
    claim = spool.oldest()
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(write)
        os.read(read, 1)
        os._exit(0)
    try:
        claim.let_go()
        again = spool.oldest()
    finally:
        os.close(write)
        os.waitpid(child, 0)
        os.close(read)

    assert again.read() == b"one"
    again.remove()


def test_sent_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A file that goes while it is looked at is passed over.
    """
    spool = SPOOL.Spool(tmp_path, "key")
    spool.add(b"one", 1)
    (path,) = files(tmp_path)
    descriptor = os.open(path, os.O_RDONLY)
    os.close(descriptor)
    path.unlink()

    assert SPOOL._claimed(path, 1) is None
    path.write_bytes(b"one")
    gone = SimpleNamespace(
        LOCK_EX=1, LOCK_NB=2, LOCK_UN=8, flock=lambda *_: path.unlink(missing_ok=True)
    )
    with monkeypatch.context() as patched:
        patched.setattr(SPOOL, "fcntl", gone)
        assert SPOOL._claimed(path, 1) is None
        path.write_bytes(b"one")
        gone.flock = lambda *_: (path.replace(f"{path}.x"), path.write_bytes(b""))
        assert SPOOL._claimed(path, 1) is None
        patched.setattr(SPOOL, "fcntl", None)
        SPOOL._claimed(path, 1).remove()
    claim_of_what_is_gone = SPOOL.Claim(path, os.open(tmp_path, os.O_RDONLY), 1)
    claim_of_what_is_gone.remove()


@pytest.mark.skipif(os.name != "posix", reason="needs links and pipes")
def test_what_others_put_there(tmp_path: Path) -> None:
    """
    A link is not followed, neither to be sent nor to be written through; a pipe is not
    waited for, and what is larger than a whole folder may be goes unread.
    """
    spool = SPOOL.Spool(tmp_path, "key")
    folder, apart = spool._folder, tmp_path / "apart"
    apart.write_bytes(b"not to be sent")
    begun = folder / f".tried.{os.getpid()}.torn"
    link, pipe, huge, empty = (
        folder / f"{number:020d}-1-1-1.otlp" for number in range(4)
    )
    link.symlink_to(apart)
    begun.symlink_to(apart)
    os.mkfifo(pipe)
    huge.touch()
    os.truncate(huge, SPOOL.MOST_BYTES + 1)
    empty.touch()

    again = SPOOL.Spool(tmp_path, "key", most_bytes=SPOOL.MOST_BYTES * 2)
    again.add(b"one", 1)
    claim = again.oldest()

    assert claim.read() == b"one"
    claim.remove()
    assert apart.read_bytes() == b"not to be sent"
    assert [it.exists() for it in (link, pipe, huge, empty)] == [
        True,
        True,
        False,
        False,
    ]


def test_link_in_place_of_the_folder(
    receiver: "Receiver", tmp_path: Path, reports: list[str]
) -> None:
    """
    Where others have put a link, nothing is written behind it, nor sent from there; what
    is told goes straight to the receiver.
    """
    apart = tmp_path / "apart"
    apart.mkdir()
    strange = apart / f"{0:020d}-1-1-1.otlp"
    strange.write_bytes(b"of somebody else")
    handler = OTLPHandler(receiver.url, spool=tmp_path / "spool")
    folder = handler._sender._courier._spool._folder  # type: ignore[union-attr]
    folder.rmdir()
    folder.symlink_to(apart)

    with callbacks(handler):
        work(1)
    assert handler.drain(20)

    assert numbers(receiver) == [1]
    assert [*apart.iterdir()] == [strange]
    assert strange.read_bytes() == b"of somebody else"
    assert "Not a directory" in reports[0]
    with pytest.raises(OSError, match="nothing can be kept there, Not a directory"):
        SPOOL.Spool(tmp_path / "spool", handler._sender.target.key)


def test_sent_and_not_to_be_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    What was sent, and stays as its folder cannot be written to any more, is not sent again.
    """
    spool = SPOOL.Spool(tmp_path, "key")
    spool.add(b"one", 1)
    claim = spool.oldest()

    def refused(*_: object, **__: object) -> None:
        raise PermissionError

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", refused)
        with pytest.raises(PermissionError):
            claim.remove()
        assert spool.oldest() is None

    assert spool.oldest() is None
    assert files(tmp_path) == []


def test_torn_files_go(tmp_path: Path) -> None:
    """
    What a killed writer had begun is removed when it is old, and never sent.
    """
    folder = SPOOL.Spool(tmp_path, "key")._folder
    old, new = folder / ".1.otlp.1.torn", folder / ".2.otlp.2.torn"
    for path in (old, new):
        path.write_bytes(b"\x0a")
    os.utime(old, (0, 0))

    spool = SPOOL.Spool(tmp_path, "key")

    assert spool.oldest() is None
    assert [path.exists() for path in (old, new)] == [False, True]


@pytest.mark.skipif(os.name != "posix", reason="needs a folder that is none")
def test_unwritable(tmp_path: Path) -> None:
    """
    A folder that cannot be written to is an error at once, with the cure.
    """
    (tmp_path / "file").write_text("no folder")

    with pytest.raises(OSError, match="nothing can be kept there, Not a directory"):
        OTLPHandler("http://127.0.0.1:1", spool=tmp_path / "file")
    with pytest.raises(TypeError, match=r"spool=...\) is a folder, not 3"):
        OTLPHandler("http://127.0.0.1:1", spool=3)  # type: ignore[arg-type]


def test_disk_full(
    receiver: "Receiver",
    tmp_path: Path,
    reports: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """
    What cannot be kept is sent at once, and the failure reported; nothing of it is left.
    """
    handler = OTLPHandler(receiver.url, spool=tmp_path)

    def fails(*args: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(SPOOL.Path, "replace", fails)
        with callbacks(handler):
            work(1)
        assert handler.drain(20)

    assert numbers(receiver) == [1]
    assert "No space left" in reports[0]
    assert [*tmp_path.glob("*/*"), *tmp_path.glob("*/.*")] == []


def test_folder_is_taken_away(
    receiver: "Receiver", tmp_path: Path, reports: list[str]
) -> None:
    """
    Where the folder goes, what comes is sent at once.
    """
    handler = OTLPHandler(receiver.url, spool=tmp_path / "spool")
    handler._sender._courier._spool._folder.rmdir()  # type: ignore[union-attr]

    with callbacks(handler):
        work(1)
    assert handler.drain(20)

    assert numbers(receiver) == [1]


def test_idle_courier_ends(
    receiver: "Receiver", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    The thread that empties the folder ends when nothing comes, and begins again.
    """
    monkeypatch.setattr(COURIER, "_IDLE_S", 0.01)
    handler = OTLPHandler(receiver.url, spool=tmp_path)
    for number in range(2):
        with callbacks(handler):
            work(number)
        assert handler.drain(20)
        thread = handler._sender._courier._thread  # type: ignore[union-attr]
        if thread is not None:
            thread.join(20)
        assert handler._sender._courier._thread is None  # type: ignore[union-attr]

    assert numbers(receiver) == [0, 1]


@pytest.mark.skipif(sys.platform != "linux", reason="a stack size that is refused")
def test_courier_that_comes_later(
    receiver: "Receiver", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    What no thread could be had to send is sent when somebody waits for it, and one can.
    """
    monkeypatch.setattr(COURIER, "_IDLE_S", 0.01)
    handler = OTLPHandler(receiver.url, spool=tmp_path)
    courier: Any = handler._sender._courier
    with callbacks(handler):
        work(1)
    assert handler.drain(20)
    while (idle := courier._thread) is not None:
        idle.join(20)

    threading.stack_size(2**46)  # no system has as much
    try:
        with callbacks(handler):
            work(2)
        assert not handler.drain(0.5)
    finally:
        threading.stack_size(0)

    assert handler.drain(20)
    assert numbers(receiver) == [1, 2]


@pytest.mark.parametrize("error", [OSError(5, "I/O error"), MemoryError("I/O error")])
def test_courier_that_fails(
    receiver: "Receiver", tmp_path: Path, reports: list[str], error: Exception
) -> None:
    """
    A file that cannot be read, or whatever else, is reported, stays, and keeps nobody
    from the rest.
    """
    handler = OTLPHandler(receiver.url, spool=tmp_path)
    courier: Any = handler._sender._courier
    attempt, failing = courier._attempt, threading.Event()

    def fails(body: bytes, count: int) -> None:
        if not failing.is_set():
            failing.set()
            raise error
        return attempt(body, count)  # type: ignore[no-any-return]

    courier._attempt = fails
    with callbacks(handler):
        work(1)
    assert failing.wait(20)
    with callbacks(handler):
        work(2)
    assert handler.drain(20)

    assert numbers(receiver) == [1, 2]
    assert "I/O error" in reports[0]


def test_fork(receiver: "Receiver", tmp_path: Path) -> None:
    """
    A forked child keeps and sends its own.
    """
    code = (
        WORKER
        + """
    import os
    assert handler.drain(20)
    child = os.fork()
    if not child:
        with callbacks(handler):
            work(77)
        assert handler.drain(20) and handler.sent == 1
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    """
    )
    program = command(code, receiver.url, tmp_path, "0", "1")

    subprocess.run(program, check=True, timeout=50)

    assert numbers(receiver) == [0, 77]
