"""
What becomes of the streams that a display has caught, whatever becomes of the display.
"""

import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any
from weakref import WeakSet

import pytest
import wrapt

from instrument import callbacks, traced
from instrument._report import Exit
from instrument.handlers import TreeHandler
from instrument.handlers._tree import display as displays
from instrument.handlers._tree.display import Display
from instrument.handlers._tree.screen import Screen

pytest.importorskip("rich")


@pytest.fixture
def late(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """
    Have the drawing thread be late: it does nothing before what is given is called.
    """
    may_draw = threading.Event()
    run = Display._run
    monkeypatch.setattr(Display, "_run", lambda self: may_draw.wait() and run(self))
    monkeypatch.setattr(displays, "_PATIENCE_S", 0)
    yield may_draw.set
    may_draw.set()
    for thread in threading.enumerate():
        if thread.name == "TreeHandler":
            thread.join(10)


@pytest.fixture
def opened(screen: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], Any]]:
    """
    Have standard output be a stream of its own on the terminal, when that is called: what
    a fixture puts there itself pytest replaces before the test.
    """
    file = screen.opened()

    def put() -> Any:
        monkeypatch.setattr(sys, "stdout", file)
        return file

    yield put
    file.close()


def request(file: Any) -> Callable[[], None]:
    """
    Begin a request that is shown on *file*; give what ends it.
    """
    stack = ExitStack()
    stack.enter_context(callbacks(TreeHandler(file)))
    stack.enter_context(traced("answer"))
    return stack.close


def test_terminal_closed_before(
    screen: Any,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    late: Any,
    reports: list[str],
) -> None:
    """
    Where the terminal was closed before the request, no stream is caught: what is no
    terminal is not of that terminal either. That it was closed is reported.
    """
    file = screen.opened()
    handler = TreeHandler(file)
    file.close()

    with (tmp_path / "out.txt").open("w") as other:
        monkeypatch.setattr(sys, "stdout", other)
        with callbacks(handler), traced("answer"):
            assert "write" not in vars(other)
            print("said")  # noqa: T201 - as an application does
            late()

    assert (tmp_path / "out.txt").read_text() == "said\n"
    assert "I/O operation on closed file" in "".join(reports)


def test_terminal_closed_while_it_is_drawn_on(
    screen: Any, opened: Any, late: Any, reports: list[str]
) -> None:
    """
    What is printed on another stream of the terminal is written and raises nothing,
    before the display has seen that its own is closed; a line without an end too.
    """
    out = opened()
    file = screen.opened()
    end = request(file)
    file.close()

    print("said", file=out)
    print("a part", end="", file=out)
    end()
    out.flush()

    assert screen.text() == "said\na part"
    assert "write" not in vars(out)
    assert "I/O operation on closed file" in "".join(reports)


def test_stream_that_is_closed(
    screen: Any, opened: Any, late: Any, reports: list[str]
) -> None:
    """
    A stream that is closed while it is caught refuses what is written, as it does else;
    the line that it has not ended is seen all the same.
    """
    out = opened()
    end = request(screen.file)
    print("a part", end="", file=out)
    out.close()

    with pytest.raises(ValueError, match="closed file"):
        out.write("more")
    end()

    assert screen.text() == "a part\n1 s  ✓ chain answer"
    assert "write" not in vars(out)
    assert not reports


def test_block_that_is_left_before_the_thread_ends(screen: Any, late: Any) -> None:
    """
    However late the drawing thread is, behind the block the terminal is as before, and
    its stream too.
    """
    request(screen.file)()

    assert "write" not in vars(screen.file)
    assert screen.text() == "1 s  ✓ chain answer"
    assert screen.is_as_before


@pytest.mark.parametrize("first_ends", ["first", "last"])
def test_displays_of_one_terminal(
    screen: Any, opened: Any, late: Any, first_ends: str
) -> None:
    """
    Where two displays have caught a stream, whoever goes first, what was there at first
    is there in the end.
    """
    out = opened()
    file = screen.opened()
    end_first = request(file)
    file.close()  # so that another display is made
    end_second = request(screen.file)
    assert vars(out)["write"]._before is not None

    for end in [end_first, end_second][:: 1 if first_ends == "first" else -1]:
        end()

    assert "write" not in vars(out)


def test_stream_and_its_proxy(
    screen: Any, opened: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A stream and a proxy of it, both caught, are the stream as it was in the end.
    """
    out = opened()
    monkeypatch.setattr(sys, "stderr", wrapt.ObjectProxy(out))
    end = request(screen.file)

    print("said", file=sys.stderr)  # noqa: T201 - as an application does
    end()

    assert screen.text() == "said\n1 s  ✓ chain answer"
    assert "write" not in vars(out)


class Wrapper:
    """
    A stream that passes on to another what is set on it, as tqdm's wrapper does.
    """

    def __init__(self, file: Any) -> None:
        vars(self).update(file=file, write=file.write)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)

    def __setattr__(self, name: str, value: object) -> None:
        setattr(self.file, name, value)


def test_stream_that_passes_on_what_is_set(
    screen: Any, opened: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A stream that sets its attributes elsewhere has its own back, and so has the other.
    """
    out = opened()
    wrapper = Wrapper(out)
    before = dict(vars(wrapper))
    monkeypatch.setattr(sys, "stdout", wrapper)
    end = request(screen.file)

    print("said")  # noqa: T201 - as an application does
    end()

    assert screen.text() == "said\n1 s  ✓ chain answer"
    assert vars(wrapper) == before
    assert "write" not in vars(out)


def test_forked_where_two_displays_draw(screen: Any, opened: Any, late: Any) -> None:
    """
    A forked child has the streams as they were from each display, not from the last one.
    """
    out = opened()
    file = screen.opened()
    end_first = request(file)
    file.close()
    end_second = request(screen.file)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if not child:
        os._exit("write" in vars(out))
    _, status = os.waitpid(child, 0)
    end_second()
    end_first()

    assert status == 0


def test_exit_with_a_terminal_that_is_closed(
    screen: Any,
    late: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """
    At exit a display that fails is reported, and the others are settled all the same.
    """
    monkeypatch.setattr(displays, "_displays", WeakSet())
    files = [screen.opened() for _ in range(3)]
    ends = []
    for file in files:
        ends.append(request(file))
        file.close()
    ends.append(request(screen.file))
    monkeypatch.setattr(Exit, "has_begun", False)

    displays._at_exit()
    seen = screen.text()
    for end in ends:
        end()

    assert seen.endswith(" chain answer")
    assert "write" not in vars(screen.file)
    assert capsys.readouterr().err.count("TreeHandler failed at exit") == 3


def test_told_while_the_terminal_is_left(
    screen: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Who leaves the terminal waits for nobody who tells something just then, and who tells
    it does not wait for him: that is shown, and then the terminal left.
    """
    handler: Any = TreeHandler(screen.file)
    tells = threading.Event()
    leave = Screen.leave

    def tell() -> None:
        with callbacks(handler):
            traced("late")(tells.set)()
            print("said", file=screen.file)

    teller = threading.Thread(target=tell, daemon=True)

    def leave_meanwhile(self: Screen) -> None:
        leave(self)
        if not tells.is_set():
            teller.start()
            assert tells.wait(20)

    monkeypatch.setattr(Screen, "leave", leave_meanwhile)
    with callbacks(handler):
        traced("answer")(lambda: None)()
    teller.join(20)
    for thread in threading.enumerate():
        if thread.name == "TreeHandler":
            thread.join(20)

    assert "write" not in vars(screen.file)
    told = ["1 s  ✓ chain answer", "1 s  ✓ chain late", "said"]
    assert sorted(screen.text().split("\n")) == told


def test_settled_in_the_drawing_thread(
    screen: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    What is collected in the drawing thread may leave a block: it does not wait for that
    very thread.
    """
    has_ended, is_settled = threading.Event(), threading.Event()
    work_on = Display._work_on

    def settle_first(self: Display) -> bool:
        has_ended.wait(20)
        self.settle()
        is_settled.set()
        return work_on(self)

    monkeypatch.setattr(Display, "_work_on", settle_first)
    with callbacks(TreeHandler(screen.file)):
        traced("answer")(lambda: None)()
        has_ended.set()
        assert is_settled.wait(20)
        assert "write" not in vars(screen.file)

    assert screen.text() == "1 s  ✓ chain answer"


def test_settled_before_its_thread_starts(
    screen: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A display that is over before its thread could not be started is over only once.
    """
    file = screen.opened()
    handler: Any = TreeHandler(file)

    def start(self: threading.Thread) -> None:
        file.close()
        with suppress(ValueError):  # the terminal is closed
            handler._display.settle()
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    with callbacks(handler), traced("answer"):
        assert handler._display._thread is None

    assert "write" not in vars(file)
