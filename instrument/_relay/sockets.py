"""
Events come home by a socket on loopback, which each side has to prove itself at.

One listener a process, opened when first asked where it is. Whoever does not know its key
is let go before anything of theirs is read but a proof of fixed length, and is told nothing.
"""

import atexit
import hmac
import os
import selectors
import socket
import threading
import weakref
from contextlib import suppress
from time import monotonic, sleep

from instrument import _interrupts, _report
from instrument._forks import fork_lock, in_child
from instrument._relay.transport import Elsewhere

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

HOST = "127.0.0.1"
HOST_NAME = hmac.digest(b"host", socket.gethostname().encode(), "sha256").hex()[:8]
"""Tells this machine from others, whose loopback is another."""
MOST_FRAME = 64_000_000
"""Bytes of one frame: a record holds 4 million characters, each at most 12 when escaped."""
PROOF_S = 5.0
"""How long a stranger may take to prove itself, and a worker to reach its caller."""
MOST_STRANGERS = 64
"""How many may be at it at once; more are let go."""
_KEY, _NONCE = 32, 32
_PAUSE_S = 0.1
_SHORT_S = 1.0
"""How long one waits for a descriptor before who comes is let go of at once."""
_HEAD = 4
_CHUNK = 1 << 16
_READ, _WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE
_Selector = getattr(selectors, "PollSelector", selectors.SelectSelector)


class SocketLine:
    """
    A connection, in frames: their length in four bytes, then that many.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._read = bytearray()
        self._lock = fork_lock()
        self._users = 0
        self._is_closed = False
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        _open.add(self)

    def send(self, frame: bytes) -> None:
        if len(frame) > MOST_FRAME:
            message = f"a frame of {len(frame):,} bytes; the most is {MOST_FRAME:,}"
            raise OSError(message)
        self.write(len(frame).to_bytes(_HEAD, "big") + frame)

    def receive(self, timeout_s: float | None = None) -> bytes:
        until = None if timeout_s is None else monotonic() + timeout_s
        size = int.from_bytes(self.read(_HEAD, until), "big")
        if size > MOST_FRAME:
            message = f"a frame of {size:,} bytes comes; the most is {MOST_FRAME:,}"
            raise OSError(message)
        return self.read(size, until)

    def has_news(self) -> bool:
        try:
            with self:
                return bool(self._read) or _is_ready(self._socket, _READ, 0)
        except OSError as exc:  # closed
            _interrupts.pass_on(exc)
            return True

    def close(self) -> None:
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
            try:
                self._socket.shutdown(socket.SHUT_RDWR)  # who waits in it goes on
            except OSError as exc:  # the other side was first
                _interrupts.pass_on(exc)
            finally:
                self._close_unused()

    def __enter__(self) -> None:
        """
        Keep the descriptor: closed while a thread is in it, it may be another's then.
        """
        with self._lock:
            if self._is_closed:
                raise ConnectionAbortedError("it is closed")
            self._users += 1

    def __exit__(self, *exc: object) -> None:
        with self._lock:
            self._users -= 1
            self._close_unused()

    def _close_unused(self) -> None:
        if self._is_closed and not self._users:
            self._socket.close()

    def write(self, data: bytes, until: float | None = None) -> None:
        """
        Send all of it, until then at the latest.
        """
        left = memoryview(data)
        with self:
            while left:
                try:
                    left = left[self._socket.send(left) :]
                except BlockingIOError:
                    _wait(self._socket, _WRITE, until)

    def read(self, size: int, until: float | None = None) -> bytes:
        """
        Wait for that many bytes.
        """
        with self:
            while len(self._read) < size:
                try:
                    more = self._socket.recv(_CHUNK)
                except BlockingIOError:
                    _wait(self._socket, _READ, until)
                    continue
                if not more:
                    raise ConnectionResetError("the other side has left")
                self._read += more
        data = bytes(self._read[:size])
        del self._read[:size]
        return data

    def forget(self) -> None:
        """
        Close what a forked child has inherited; the parent's own goes on.
        """
        self._is_closed = True
        self._socket.close()


class Sockets:
    """
    A `Transport` by sockets of the standard library.
    """

    def __init__(self) -> None:
        self._lock = fork_lock()
        self._serve: Callable[[Any], None] | None = None
        self._begin()

    def _begin(self) -> None:
        self._listener: socket.socket | None = None
        self._spare: socket.socket | None = None
        self._thread: threading.Thread | None = None
        self._key = b""
        self._strangers = 0

    def listen(self, serve: "Callable[[Any], None]") -> None:
        self._serve = serve

    def address(self) -> "dict[str, Any]":
        with self._lock:
            if self._listener is None:
                self._start()
            _, port = self._listener.getsockname()  # type: ignore[union-attr]
            key = self._key.hex()
            made = {"kind": "socket", "host": HOST_NAME, "pid": os.getpid()}
            return {**made, "port": port, "key": key}

    def open(self, address: "dict[str, Any]") -> SocketLine:
        if address.get("host", HOST_NAME) != HOST_NAME:
            raise Elsewhere("a queue has brought it to another machine")
        port, key = address.get("port"), address.get("key")
        is_port = type(port) is int and 0 < port < 1 << 16
        if not is_port or type(key) is not str or len(key) != 2 * _KEY:
            raise ValueError("no address of a socket")
        proof_key, until = bytes.fromhex(key), monotonic() + PROOF_S
        line = SocketLine(socket.create_connection((HOST, port), PROOF_S))
        try:
            _prove(line, proof_key, until)
        except BaseException:
            line.close()
            raise
        return line

    def stop(self) -> None:
        """
        Listen no more, until asked for the address again.
        """
        with self._lock:
            listener, thread, spare = self._listener, self._thread, self._spare
            self._begin()
        if spare is not None:
            spare.close()
        if listener is not None and thread is not None:
            try:  # one more, so that who waits for one sees it
                socket.create_connection(listener.getsockname(), PROOF_S).close()
            except OSError as exc:
                _interrupts.pass_on(exc)
            thread.join(PROOF_S)

    def forget(self) -> None:
        """
        Begin anew in a forked child: the parent listens there.
        """
        for line in [*_open]:
            line.forget()
        _open.clear()
        for each in (self._listener, self._spare):
            if each is not None:
                each.close()
        self._begin()

    def _start(self) -> None:
        key = os.urandom(_KEY)
        listener = socket.create_server((HOST, 0), backlog=128)
        listener.setblocking(False)
        self._listener, self._key = listener, key
        try:
            self._spare = socket.socket()
            self._thread = _in_thread("instrument relay", self._accept, listener, key)
        except BaseException:  # no descriptor or thread is to be had
            if self._spare is not None:
                self._spare.close()
            self._begin()
            listener.close()
            raise

    def _accept(self, listener: socket.socket, key: bytes) -> None:
        until: float | None = None
        with listener:  # closed here: its descriptor may be another's as soon as it is
            while self._listener is listener:
                try:
                    connection, _ = listener.accept()
                except BlockingIOError:
                    until = None
                    _wait(listener, _READ, None)
                except OSError:  # no descriptor is left: it waits
                    until = monotonic() + _SHORT_S if until is None else until
                    if monotonic() < until or not self._turn_away(listener):
                        sleep(_PAUSE_S)
                else:
                    until = None
                    self._take(connection, key)

    def _turn_away(self, listener: socket.socket) -> bool:
        """
        Let go of one who waits, by the descriptor that is kept for that: it goes on at
        once. Then wait for the next; False is without that descriptor.
        """
        with self._lock:
            if self._listener is not listener or self._spare is None:
                return False
            self._spare.close()
            self._spare = None
            try:
                with suppress(BlockingIOError):  # nobody is there
                    listener.accept()[0].close()
                self._spare = socket.socket()
            except OSError:  # another thread has taken it
                return False
        _wait(listener, _READ, None)
        return True

    def _take(self, connection: socket.socket, key: bytes) -> None:
        """
        Serve a connection in a thread of its own, unless too many strangers are here.
        """
        if self._strangers >= MOST_STRANGERS:
            connection.close()
            return
        self._count_strangers(1)
        try:
            line = SocketLine(connection)
            _in_thread("instrument relay line", self._serve_one, line, key)
        except Exception as exc:  # no thread is to be had, or it has left again
            self._count_strangers(-1)
            connection.close()
            _report.failed_apart(self, "a worker's connection", exc)

    def _count_strangers(self, more: int) -> None:
        with self._lock:
            self._strangers += more

    def _serve_one(self, line: SocketLine, key: bytes) -> None:
        try:
            try:
                _check(line, key, monotonic() + PROOF_S)
            except (OSError, ValueError):
                return
            finally:
                self._count_strangers(-1)
            self._serve(line)  # type: ignore[misc]
        finally:
            line.close()


def _in_thread(
    name: str, act: "Callable[..., None]", *args: object
) -> threading.Thread:
    thread = threading.Thread(target=act, args=args, name=name, daemon=True)
    thread.start()
    return thread


def _check(line: SocketLine, key: bytes, until: float) -> None:
    """
    Have a stranger prove that it knows *key*, and prove it in turn.
    """
    nonce = os.urandom(_NONCE)
    line.write(nonce, until)
    theirs, proof = line.read(_NONCE, until), line.read(_NONCE, until)
    if not hmac.compare_digest(proof, _proof(key, b"worker", nonce, theirs)):
        raise PermissionError("a stranger")
    line.write(_proof(key, b"caller", nonce, theirs), until)


def _prove(line: SocketLine, key: bytes, until: float) -> None:
    """
    Do so as the one who comes: whoever listens there now may be a stranger too.
    """
    nonce, own = line.read(_NONCE, until), os.urandom(_NONCE)
    line.write(own + _proof(key, b"worker", nonce, own), until)
    if not hmac.compare_digest(
        line.read(_NONCE, until), _proof(key, b"caller", nonce, own)
    ):
        raise PermissionError("a stranger listens there")


def _proof(key: bytes, side: bytes, nonce: bytes, own: bytes) -> bytes:
    return hmac.digest(key, b"instrument relay 1 " + side + nonce + own, "sha256")


def _wait(connection: socket.socket, how: int, until: float | None) -> None:
    left = None if until is None else max(until - monotonic(), 0)
    if not _is_ready(connection, how, left):
        raise TimeoutError("the other side says nothing")


def _is_ready(connection: socket.socket, how: int, timeout_s: float | None) -> bool:
    with _Selector() as selector:
        selector.register(connection, how)
        return bool(selector.select(timeout_s))


_open: "weakref.WeakSet[SocketLine]" = weakref.WeakSet()
SOCKETS = Sockets()
atexit.register(SOCKETS.stop)
in_child(SOCKETS.forget)
