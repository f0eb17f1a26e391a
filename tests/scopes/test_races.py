"""
What all threads share is changed by several at once: nothing stays, nobody is missed.
"""

import asyncio
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import Context, copy_context
from types import FrameType
from typing import Any

import pytest

from instrument import AsyncCallbackHandler, callbacks, emit, traced
from instrument._scopes import opened, scope
from instrument._state import PROCESS
from instrument.testing import Recorder


def in_thread(work: Callable[..., object], *args: object) -> None:
    """
    Do *work* in a thread of its own, and wait for it; raise what it raised.
    """
    errors: list[BaseException] = []

    def guarded() -> None:
        try:
            work(*args)
        except BaseException as exc:
            errors.append(exc)

    thread = threading.Thread(target=guarded)
    thread.start()
    thread.join()
    for error in errors:
        raise error


def at_line(
    number: int, act: Callable[[], object], meanwhile: Callable[[], object]
) -> bool:
    """
    Do *act*, and all of *meanwhile* in another thread when *act* comes to that line of
    the modules of `callbacks` and of what it opens.

    Returns:
        Whether it came so far.
    """
    lines = 0

    def trace(frame: FrameType, event: str, arg: object) -> Any:
        nonlocal lines
        if frame.f_code.co_filename not in (scope.__file__, opened.__file__):
            return None
        lines += event == "line"
        if event == "line" and lines == number:
            in_thread(meanwhile)
        return trace

    def traced_act() -> None:
        sys.settrace(trace)
        try:
            act()
        finally:
            sys.settrace(None)

    in_thread(traced_act)
    return lines >= number


@contextmanager
def often_switching() -> Iterator[None]:
    """
    Have threads take turns every microsecond.
    """
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        yield
    finally:
        sys.setswitchinterval(interval)


def heard_by(recorder: Recorder) -> bool:
    """
    Tell whether it hears an event of a Context that nothing is in.
    """
    recorder.clear()
    Context().run(emit, "hello")
    return len(recorder.events) == 1


@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("act", ["install", "uninstall"])
@pytest.mark.parametrize("meanwhile", ["install", "uninstall", "both"])
def test_install_between_any_two_lines(before: bool, act: str, meanwhile: str) -> None:
    """
    One object that another thread installs or uninstalls between any two lines of that
    is heard when it is installed, and leaves nothing when it is uninstalled.
    """
    recorder = Recorder()
    shared = callbacks(recorder)
    shared.install().uninstall()
    heard: list[bool] = []

    def other() -> None:
        if meanwhile != "install":
            shared.uninstall()
        if meanwhile != "uninstall":
            shared.install()
            heard.append(heard_by(recorder))

    number = 0
    is_reached = True
    while is_reached:
        number += 1
        if before:
            shared.install()
        is_reached = at_line(number, getattr(shared, act), other)
        if act == meanwhile == "install":
            heard.append(heard_by(recorder))
        shared.uninstall()
        assert not PROCESS
        assert not heard_by(recorder)

    assert number > 3
    assert all(heard)


class Handing(dict[int, Any]):
    """
    A dict that lets another thread work behind each change.
    """

    def __init__(self, method: str, meanwhile: Callable[[], object]) -> None:
        self.method = method
        self.meanwhile: list[Callable[[], object]] = [meanwhile]

    def _let(self, method: str) -> None:
        if method == self.method and self.meanwhile:
            in_thread(self.meanwhile.pop())

    def setdefault(self, *args: Any) -> Any:
        value = super().setdefault(*args)
        self._let("setdefault")
        return value

    def get(self, *args: Any) -> Any:
        value = super().get(*args)
        self._let("get")
        return value


def test_uninstalled_while_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    What is uninstalled by another thread before it is all there is taken out again.
    """
    recorder = Recorder()
    shared = callbacks(recorder)
    monkeypatch.setattr(scope, "_installed", Handing("setdefault", shared.uninstall))

    shared.install()

    assert not PROCESS
    assert not heard_by(recorder)


def test_uninstalled_by_two(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Of two threads that uninstall one object at once, one flushes its handlers.
    """

    class Flushed(Recorder):
        flushes = 0

        def flush(self) -> None:
            self.flushes += 1

    recorder = Flushed()
    shared = callbacks(recorder)
    handing = Handing("get", lambda: None)
    monkeypatch.setattr(scope, "_installed", handing)
    shared.install()
    handing.meanwhile.append(shared.uninstall)

    shared.uninstall()

    assert not PROCESS
    assert recorder.flushes == 1


def test_install_by_many_at_once() -> None:
    """
    However often threads take turns, an object that all have uninstalled has gone, and
    so has the same handler that two objects give.
    """
    recorder = Recorder()
    pair = callbacks(recorder), callbacks(recorder)
    errors: list[BaseException] = []

    def work(shared: callbacks) -> None:
        try:
            for _ in range(200):
                shared.install()
                emit("hello")
                shared.uninstall()
        except BaseException as exc:
            errors.append(exc)

    with often_switching():
        threads = [threading.Thread(target=work, args=(it,)) for it in pair * 3]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert errors == []
    assert not PROCESS
    assert not heard_by(recorder)


def test_installed_while_a_call_is_on_its_way() -> None:
    """
    Who is installed while a call goes on hears the runs that start from then on, each
    to its end, and nothing of those before.
    """
    before, recorder = Recorder(), Recorder()
    late = callbacks(recorder)

    @traced("inner")
    def inner() -> None: ...

    @traced("outer")
    def outer() -> None:
        in_thread(late.install)
        inner()

    @traced("last")
    def last() -> None:
        in_thread(late.uninstall)
        inner()

    with callbacks(before):
        outer()
        last()

    told = [it.event for it in recorder.events]
    assert told == ["on_chain_start", "on_chain_end"] * 2
    assert [run.name for run in recorder.runs] == ["inner", "last"]


class Async(AsyncCallbackHandler):
    """
    Counts the starts that it hears.
    """

    starts = 0

    async def on_chain_start(self, *args: Any, **kwargs: Any) -> None:
        self.starts += 1


def test_lane_made_twice_at_once() -> None:
    """
    What comes while the queue of an async handler is made waits in the same one.
    """
    meanwhile: list[Callable[[], object]] = []

    class Loop(asyncio.SelectorEventLoop):
        def is_running(self) -> bool:
            while meanwhile:
                meanwhile.pop()()
            return super().is_running()

    @traced("call")
    def call() -> None: ...

    async def request() -> None:
        handler = Async()
        async with callbacks(handler) as scope:
            meanwhile.append(lambda: copy.run(call))
            copy = copy_context()
            call()
            lanes: Any = scope.lanes
            assert [len(lane._items) for lane in lanes.values()] == [2]
        assert handler.starts == 2

    with asyncio.Runner(loop_factory=Loop) as runner:
        runner.run(request())


def test_async_handler_in_many_threads_at_once() -> None:
    """
    A block that is left has had its async handler hear what any thread has told it.
    """

    @traced("call")
    def call() -> None: ...

    for _ in range(20):
        handler = Async()
        with often_switching(), callbacks(handler):
            threads = [
                threading.Thread(target=copy_context().run, args=(call,))
                for _ in range(6)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert handler.starts == 6
