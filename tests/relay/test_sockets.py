"""
Frames come by a socket on loopback, from who knows its key and from nobody else.
"""

import os
import resource
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from instrument._relay import sockets
from instrument._relay.sockets import SocketLine, Sockets


def echo(line: Any) -> None:
    """
    Send back what comes, until the other side leaves.
    """
    with suppress(OSError):
        while True:
            line.send(line.receive())


@pytest.fixture
def transport() -> Iterator[Sockets]:
    """
    Give one that echoes.
    """
    made = Sockets()
    made.listen(echo)
    yield made
    made.stop()


def until(holds: Callable[[], object]) -> None:
    """
    Wait until something holds, 5 s at most.
    """
    last = monotonic() + 5
    while not holds():
        assert monotonic() < last, threading.enumerate()
        threading.Event().wait(0.001)


def opened() -> set[str]:
    """
    Give what this process has open: earlier tests may close some of theirs meanwhile.
    """
    found = set()
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # the one of this look itself
            found.add(str(descriptor.readlink()))
    return found


def connected(transport: Sockets) -> socket.socket:
    """
    Come as a stranger.
    """
    port = transport.address()["port"]
    return socket.create_connection((sockets.HOST, port), 5)


def left(stranger: socket.socket) -> bytes:
    """
    Give all that a stranger is told until they are let go.
    """
    told = b""
    with suppress(ConnectionResetError):
        while more := stranger.recv(1_000):
            told += more
    return told


@pytest.mark.parametrize("size", [0, 1, 70_000, 3_000_000])
def test_frames_arrive_whole(transport: Sockets, size: int) -> None:
    """
    Frames of any size come and go whole, in order.
    """
    line = transport.open(transport.address())

    def send() -> None:
        line.send(bytes(size))
        line.send(b"x")

    sender = threading.Thread(target=send)
    sender.start()
    received = [line.receive(), line.receive(5)]
    sender.join()
    line.close()

    assert received == [bytes(size), b"x"]
    assert transport.address() == transport.address()


def test_nothing_is_left() -> None:
    """
    No thread and no descriptor is left of a transport that has been stopped.
    """
    threads, before, made = {*threading.enumerate()}, opened(), Sockets()
    made.listen(echo)

    line = made.open(made.address())
    first = made.address()
    made.stop()
    made.stop()
    line.close()

    until(lambda: not {*threading.enumerate()} - threads)
    until(lambda: opened() <= before)
    assert made.address() != first
    made.stop()


@pytest.mark.parametrize("theirs", [bytes(64), os.urandom(64), bytes(10_000_000)])
def test_stranger_is_let_go(transport: Sockets, theirs: bytes) -> None:
    """
    Whoever has not the key is told a number that means nothing, and let go.
    """
    stranger = connected(transport)

    with suppress(BrokenPipeError, ConnectionResetError):
        stranger.sendall(theirs)

    assert len(left(stranger)) <= 32
    stranger.close()


def test_silent_stranger_is_let_go(
    transport: Sockets, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    One that says nothing is let go in time, and keeps nobody from coming in meanwhile.
    """
    monkeypatch.setattr(sockets, "PROOF_S", 0.5)
    stranger = connected(transport)

    line = transport.open(transport.address())
    line.send(b"heard")

    assert line.receive(5) == b"heard"
    assert len(left(stranger)) == 32
    line.close()
    stranger.close()


def test_many_strangers(transport: Sockets, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    No more than so many are here at once; when they have gone, others come in.
    """
    monkeypatch.setattr(sockets, "MOST_STRANGERS", 3)
    strangers = [connected(transport) for _ in range(3)]
    until(lambda: transport._strangers == 3)

    one_more = connected(transport)
    assert left(one_more) == b""
    for stranger in (*strangers, one_more):
        stranger.close()
    until(lambda: transport._strangers == 0)

    transport.open(transport.address()).close()


def test_stranger_that_listens() -> None:
    """
    Who listens at an address without its key is found out, and told nothing.
    """
    with socket.create_server((sockets.HOST, 0)) as listener:
        heard: list[bytes] = []

        def listen() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.sendall(bytes(32))
                heard.append(connection.recv(1_000))
                connection.sendall(bytes(32))
                heard.append(left(connection))

        thread = threading.Thread(target=listen)
        thread.start()
        address = {"port": listener.getsockname()[1], "key": "ab" * 32}

        with pytest.raises(PermissionError, match="stranger"):
            Sockets().open(address)
        thread.join()

    assert [len(each) for each in heard] == [64, 0]


@pytest.mark.parametrize(
    "address",
    [
        {},
        {"port": "80", "key": "ab" * 32},
        {"port": 0, "key": "ab" * 32},
        {"port": 1 << 16, "key": "ab" * 32},
        {"port": True, "key": "ab" * 32},
        {"port": 80},
        {"port": 80, "key": "ab"},
        {"port": 80, "key": "zz" * 32},
        {"port": 80, "key": ["ab"] * 64},
    ],
)
def test_no_address(address: dict[str, Any]) -> None:
    """
    What is no address is refused before anybody is called.
    """
    with pytest.raises(ValueError):
        Sockets().open(address)


def test_nobody_listens(transport: Sockets) -> None:
    """
    Where nobody listens any more, that is an error at once.
    """
    address = transport.address()
    transport.stop()

    with pytest.raises(OSError):
        transport.open(address)


def test_other_side_leaves(transport: Sockets) -> None:
    """
    When the other side leaves, who waits is told, and sees that there is news.
    """
    held: list[Any] = []
    transport.listen(held.append)
    line = transport.open(transport.address())
    until(lambda: held)

    until(line.has_news)
    with pytest.raises(ConnectionResetError):
        line.receive()
    line.close()
    line.close()
    assert line.has_news()


def test_slow_reader(transport: Sockets) -> None:
    """
    Who sends waits where the other side takes nothing, and goes on when it does.
    """
    release, sizes = threading.Event(), []

    def slow(line: Any) -> None:
        release.wait(5)
        sizes.append(len(line.receive()))

    transport.listen(slow)
    line = transport.open(transport.address())
    sender = threading.Thread(target=line.send, args=(bytes(30_000_000),))
    sender.start()
    sender.join(0.1)
    assert sender.is_alive()
    release.set()
    sender.join(10)

    until(lambda: sizes == [30_000_000])
    line.close()


def test_late_answer(transport: Sockets) -> None:
    """
    An answer that does not come in time is not waited for.
    """
    release = threading.Event()
    waits: Any = lambda _: release.wait(5)  # noqa: E731
    transport.listen(waits)
    line = transport.open(transport.address())

    with pytest.raises(TimeoutError):
        line.receive(0.01)
    assert not line.has_news()
    release.set()
    line.close()


def test_frame_that_is_too_large(
    transport: Sockets, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A frame over the limit is neither sent nor read.
    """
    line = transport.open(transport.address())

    with pytest.raises(OSError, match="the most is"):
        line.send(bytes(sockets.MOST_FRAME + 1))
    line.write((sockets.MOST_FRAME + 1).to_bytes(4, "big"))

    with pytest.raises(ConnectionResetError):
        line.receive()
    line.close()


@contextmanager
def no_descriptors() -> Iterator[list[int]]:
    """
    Have none left in this process; give those that were taken.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    count = len([*Path("/proc/self/fd").iterdir()])
    resource.setrlimit(resource.RLIMIT_NOFILE, (count + 5, hard))
    taken: list[int] = []
    try:
        with pytest.raises(OSError):
            while True:
                taken.append(os.dup(0))
        yield taken
    finally:
        for each in taken:
            os.close(each)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_no_descriptor_is_left_for_a_while(transport: Sockets) -> None:
    """
    Where no descriptor is left, a worker waits until one is.
    """
    address = transport.address()
    client = socket.socket()

    with no_descriptors():
        client.connect((sockets.HOST, address["port"]))
        threading.Event().wait(sockets._PAUSE_S * 1.5)

    line = SocketLine(client)
    sockets._prove(line, bytes.fromhex(address["key"]), monotonic() + 5)
    line.close()


def test_no_descriptor_is_left_for_long(
    transport: Sockets, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Where none is left for longer, each worker is let go of at once, and goes on unheard;
    who comes when there are some again is served.
    """
    monkeypatch.setattr(sockets, "_SHORT_S", 0)
    address = transport.address()
    clients = [socket.socket() for _ in range(3)]

    with no_descriptors():
        for each in clients:
            each.settimeout(5)
            each.connect((sockets.HOST, address["port"]))
            assert left(each) == b""

    for each in clients:
        each.close()
    line = transport.open(address)
    line.send(b"x")
    assert line.receive(5) == b"x"
    line.close()


def test_the_last_descriptor_is_taken_by_another(
    transport: Sockets, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Without the descriptor that is kept to let go of workers they wait, as for a while.
    """
    monkeypatch.setattr(sockets, "_SHORT_S", 0)
    address = transport.address()
    client = socket.socket()
    spare: Any = transport._spare

    with no_descriptors() as taken:
        spare.close()
        taken.append(os.dup(0))
        client.connect((sockets.HOST, address["port"]))
        until(lambda: transport._spare is None)

    line = SocketLine(client)
    sockets._prove(line, bytes.fromhex(address["key"]), monotonic() + 5)
    line.close()


def test_no_thread_is_to_be_had(
    transport: Sockets, monkeypatch: pytest.MonkeyPatch, reports: list[str]
) -> None:
    """
    Where no thread can be started nothing listens, or who comes is let go, and it is
    said once.
    """

    def refused(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    other, address = Sockets(), transport.address()
    monkeypatch.setattr(sockets, "_in_thread", refused)

    with pytest.raises(RuntimeError):
        other.address()
    for _ in range(2):
        with pytest.raises(OSError):
            transport.open(address)

    assert other._listener is None
    assert transport._strangers == 0
    assert len(reports) == 1
