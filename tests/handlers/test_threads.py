"""
Threads of handlers: an interrupt as one begins leaves it at work, or not begun at all.
"""

import threading
from typing import Any

import pytest

from instrument._delivery.threads import Server, serve


class Owner:
    """
    Is served by a thread.
    """

    def __init__(self) -> None:
        self._lock: Any = threading.Lock()
        self._thread: Any = None
        self.served = threading.Event()


def test_interrupted_before_it_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    One that was interrupted before it began never does, and another may be started.
    """
    owner = Owner()
    made: list[Server] = []

    def start(thread: Server) -> None:
        made.append(thread)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Server, "start", start)
        with pytest.raises(KeyboardInterrupt):
            serve(owner, owner.served.set, "of a test")
    made[0].run()

    assert owner._thread is None
    assert not owner.served.is_set()
    serve(owner, owner.served.set, "of a test")
    assert owner.served.wait(10)


def test_interrupted_as_it_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    One that has begun by then goes on, and stays its owner's.
    """
    owner = Owner()
    start = Server.start

    def interrupted(thread: Server) -> None:
        start(thread)
        assert owner.served.wait(10)
        raise KeyboardInterrupt

    monkeypatch.setattr(Server, "start", interrupted)
    with pytest.raises(KeyboardInterrupt):
        serve(owner, owner.served.set, "of a test")

    assert owner._thread is not None


def test_interrupted_before_it_is_made() -> None:
    """
    An interrupt before there is one reaches the caller.
    """

    class Lock:
        def __enter__(self) -> None:
            raise KeyboardInterrupt

        def __exit__(self, *_: object) -> None: ...

    owner = Owner()
    owner._lock = Lock()

    with pytest.raises(KeyboardInterrupt):
        serve(owner, owner.served.set, "of a test")

    assert owner._thread is None
