"""
Where trees are shown: one display for each terminal.
"""

import logging
import os
import signal
import sys
import threading
from contextvars import Context
from typing import Any

import pytest

from instrument import BaseCallbackHandler, callbacks, traced
from instrument.handlers import TreeHandler
from instrument.handlers._tree.display import Display
from instrument.handlers._tree.screen import Screen

pytest.importorskip("rich")

HEAD = """if True:
    import sys
    from instrument import callbacks, traced
    from instrument.handlers import TreeHandler
"""


@pytest.fixture
def drawing(screen: Any) -> Any:
    """
    Have a request run and be seen; give how to end it.
    """
    from contextlib import ExitStack

    stack = ExitStack()
    stack.enter_context(callbacks(TreeHandler(screen.file)))
    stack.enter_context(traced("answer"))
    screen.wait_for("chain answer")
    yield stack.close
    stack.close()


def test_prints(screen: Any, drawing: Any) -> None:
    """
    What is printed while a request runs goes above its tree; a line is ended for it.
    """
    print("a line", file=screen.file)
    print("a part", end="", file=screen.file)
    seen = screen.text()
    drawing()
    print(", another", file=screen.file)

    assert seen.splitlines()[:2] == ["a line", "a part"]
    assert seen.endswith(" chain answer")
    assert screen.text() == "a line\na part\n1 s  ✓ chain answer\n, another"


def test_line_that_has_begun_before(screen: Any) -> None:
    """
    What stands in the row of the cursor when a tree begins is not drawn over.
    """
    print("a part", end="", file=screen.file)
    with callbacks(TreeHandler(screen.file)), traced("answer"):
        screen.wait_for("chain answer")

    assert screen.text() == "a part\n1 s  ✓ chain answer"


def test_order_of_prints(screen: Any) -> None:
    """
    What is printed behind a request comes after its tree, in and after the block.
    """
    with callbacks(TreeHandler(screen.file)):
        traced("first")(lambda: print("inside", file=screen.file))()
        print("between", file=screen.file)
        traced("second")(lambda: None)()
    print("after", file=screen.file)

    assert screen.text().splitlines()[-3:] == [
        "between",
        "1 s  ✓ chain second",
        "after",
    ]
    assert "1 s  ✓ chain first\nbetween" in screen.text()


def test_print_at_once(screen: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    What is printed behind a run is below its tree, however late the drawing thread is.
    """
    may_draw = threading.Event()
    run = Display._run
    monkeypatch.setattr(Display, "_run", lambda self: may_draw.wait() and run(self))

    with callbacks(TreeHandler(screen.file)):
        traced("answer")(lambda: None)()
        print("behind", file=screen.file)
        may_draw.set()

    assert screen.text() == "1 s  ✓ chain answer\nbehind"


def test_told_while_it_ends(screen: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A run that ends while the drawing thread does is above what is printed behind it.
    """
    told = threading.Event()
    leave = Screen.leave

    class Told(BaseCallbackHandler):
        def on_chain_end(self, outputs: Any, **kwargs: Any) -> None:
            told.set()

    def late() -> None:
        with callbacks(TreeHandler(screen.file), Told()):
            traced("late")(lambda: None)()
            print("behind", file=screen.file)

    thread = threading.Thread(target=late)

    def leave_slowly(self: Screen) -> None:
        leave(self)
        if not told.is_set():
            thread.start()
            told.wait()

    monkeypatch.setattr(Screen, "leave", leave_slowly)
    with callbacks(TreeHandler(screen.file)):
        traced("answer")(lambda: None)()
    thread.join()

    assert screen.text() == "1 s  ✓ chain answer\n1 s  ✓ chain late\nbehind"


def test_standard_streams(screen: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Standard output and error are caught if they are of this terminal, for those too
    who have held them since long.
    """
    out, error = screen.opened(), screen.opened()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", error)
    logger, held = logging.getLogger("test_tree"), logging.StreamHandler()
    logger.addHandler(held)

    with callbacks(TreeHandler(screen.file)), traced("answer"):
        screen.wait_for("chain answer")
        print("printed")  # noqa: T201 - as an application does
        logger.error("logged")
        error.writelines(["written\n"])
        rows = screen.text().splitlines()

    assert rows[:3] == ["printed", "logged", "written"]
    assert rows[3].endswith("chain answer")
    assert not vars(out).get("write")
    assert not vars(error).get("write")
    logger.removeHandler(held)
    out.close()
    error.close()


def test_count_of_what_is_written(screen: Any, drawing: Any) -> None:
    """
    A stream that is caught answers as it does else.
    """
    assert screen.file.write("four") == 4
    with pytest.raises(TypeError):
        screen.file.write(b"four")


def test_stream_caught_by_others(screen: Any) -> None:
    """
    Who has caught a stream before has it back; who catches it after keeps it.
    """
    file, heard = screen.file, []
    write = file.write

    def before(text: str) -> int:
        heard.append(text)
        return int(write(text))

    file.write = before
    with callbacks(TreeHandler(file)), traced("answer"):
        screen.wait_for("chain answer")
        print("told", file=file)
        ours = file.write

        def after(text: str) -> int:
            return int(ours(text))

        file.write = after
    assert file.write is after
    print("passed on", file=file)

    file.write = before
    with callbacks(TreeHandler(file)), traced("answer"):
        screen.wait_for("chain answer")
    assert file.write is before
    assert {"told\n", "passed on"} <= set(heard)
    assert screen.text().startswith(
        "told\n1 s  ✓ chain answer\npassed on\n1 s  ✓ chain"
    )
    del file.write


class Slotted:
    """
    A stream that cannot be changed.
    """

    __slots__ = ("closed", "encoding", "fileno", "flush", "isatty", "write")

    def __init__(self, file: Any) -> None:
        for name in self.__slots__:
            setattr(self, name, getattr(file, name))


def test_stream_that_cannot_be_caught(screen: Any) -> None:
    """
    A stream that cannot be changed is drawn on all the same.
    """
    file: Any = Slotted(screen.file)

    with callbacks(TreeHandler(file)), traced("answer"):
        screen.wait_for("chain answer")

    assert screen.text() == "1 s  ✓ chain answer"


def test_hung_up(screen: Any, reports: list[str]) -> None:
    """
    A terminal that goes is reported, and the request goes on.
    """
    file, nowhere = screen.opened(), os.open(os.devnull, os.O_RDONLY)
    terminal = os.dup(file.fileno())
    with callbacks(TreeHandler(file)), traced("answer"):
        screen.wait_for("chain answer")
        print("a part", end="", file=file)
        (thread,) = [it for it in threading.enumerate() if it.name == "TreeHandler"]
        os.dup2(nowhere, file.fileno())
        thread.join(10)
        traced("later")(lambda: None)()

    assert reports[0].startswith("TreeHandler failed at on_chain_start")
    assert "Bad file descriptor" in reports[0]
    os.dup2(terminal, file.fileno())
    file.close()
    os.close(terminal)
    os.close(nowhere)


def test_more_than_can_be_drawn(screen: Any) -> None:
    """
    Who tells more than the thread takes draws himself: the queue is bounded.
    """
    handler: Any = TreeHandler(screen.file)
    display = handler._display

    with callbacks(handler), traced("answer"):
        screen.wait_for("chain answer")
        display._queue.extend([(lambda: None, ())] * 10_001)
        traced("one more")(lambda: None)()
        queued = len(display._queue)

    assert queued < 10
    assert "one more" in screen.text()


def test_told_at_the_last_moment(screen: Any) -> None:
    """
    What is told while the thread ends is seen by the next one.
    """
    handler: Any = TreeHandler(screen.file)
    display = handler._display

    def late() -> None:
        with callbacks(handler):
            traced("late")(lambda: None)()

    class Late:
        def release(self) -> None:
            Context().run(late)

    with callbacks(handler), traced("answer"):
        screen.wait_for("chain answer")
        display._caught.append(Late())

    screen.wait_for("chain late")
    assert "1 s  ✓ chain answer\n1 s  ✓ chain late" in screen.text()


def test_one_thread(screen: Any, drawing: Any) -> None:
    """
    However many start at once, one thread draws.
    """
    other: Any = TreeHandler(screen.file)

    other._display._start()

    assert [it.name for it in threading.enumerate()].count("TreeHandler") == 1


@pytest.mark.parametrize("has_begun", [False, True])
def test_interrupted_as_the_thread_starts(
    has_begun: bool, screen: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    An interrupt as the thread that draws is started reaches the call; the next request
    is shown.
    """
    start = threading.Thread.start

    def interrupt(thread: threading.Thread) -> None:
        if has_begun:
            start(thread)
        raise KeyboardInterrupt

    handler = TreeHandler(screen.file)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", interrupt)
        with callbacks(handler), pytest.raises(KeyboardInterrupt):
            traced("first")(lambda: None)()
    with callbacks(handler):
        traced("second")(lambda: None)()

    assert "chain second" in screen.text()


def test_no_thread_to_be_had(screen: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Where no thread can be started, the tree is drawn where things are told.
    """

    def start(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)

    with callbacks(TreeHandler(screen.file)), traced("answer"):
        screen.wait_for("chain answer")

    assert screen.text() == "1 s  ✓ chain answer"


def test_terminal_of_the_same_name(screen: Any) -> None:
    """
    A display whose stream was closed is not used for another one.
    """
    with screen.opened() as file:
        first: Any = TreeHandler(file)
    second: Any = TreeHandler(screen.file)

    with callbacks(second):
        traced("answer")(lambda: None)()

    assert first._display is not second._display
    assert screen.text() == "1 s  ✓ chain answer"


def test_streams_without_a_file() -> None:
    """
    A stream that only says that it is a terminal gets trees that are done.
    """
    import io

    class Tty(io.StringIO):
        def isatty(self) -> bool:
            return True

    file = Tty()
    with callbacks(TreeHandler(file)):
        traced("answer")(lambda: None)()

    assert "answer\n" in file.getvalue()


def test_legacy_console(screen: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    On a console of Windows that knows no escape sequences nothing is drawn.
    """
    monkeypatch.setattr("rich.console.detect_legacy_windows", lambda: True)

    with callbacks(TreeHandler(screen.file)):
        traced("answer")(lambda: None)()

    assert screen.text() == "1 s  ✓ chain answer"
    assert b"\x1b[?" not in screen.read()


def test_exit_with_a_stream_that_is_open(screen: Any) -> None:
    """
    At the interpreter's exit what still runs is seen, and how it ends then.
    """
    process = screen.run(
        HEAD
        + """
    @traced.llm("model")
    def model():
        yield 1
    with callbacks(TreeHandler()):
        with traced("answer"):
            print("said")
            held = model()
            next(held)
    """
    )

    assert process.wait(45) == 0
    assert screen.text().splitlines()[0] == "said"
    seen = "1 s  └─ ■ llm model  abandoned\n         2 runs, 1 model call"
    assert seen in screen.text()
    assert screen.is_as_before


def test_exit_with_a_request_that_runs(screen: Any) -> None:
    """
    A request that runs in a thread that exit does not wait for is left as it was seen.
    """
    process = screen.run(
        HEAD
        + """
    import threading, time
    from instrument import bind
    inside = threading.Event()
    def wait():
        with traced("answer"):
            inside.set()
            time.sleep(60)
    with callbacks(TreeHandler()):
        threading.Thread(target=bind(wait), daemon=True).start()
        inside.wait()
    """
    )

    assert process.wait(45) == 0
    assert screen.text() == "1 s  > chain answer"
    assert screen.is_as_before


def test_interrupt(screen: Any) -> None:
    """
    Ctrl-C ends the request: its tree is printed, then Python's own traceback.
    """
    process = screen.run(
        HEAD
        + """
    import signal, time
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a job may ignore it
    with callbacks(TreeHandler()), traced("answer"):
        time.sleep(60)
    """
    )
    screen.wait_for("chain answer")

    process.send_signal(signal.SIGINT)

    assert process.wait(45) == -signal.SIGINT
    assert screen.text().startswith(
        "1 s  ✗ chain answer  KeyboardInterrupt\n         1 run, 1 failed\nTraceback"
    )
    assert screen.is_as_before


@pytest.mark.parametrize("when", ["drawing", "before"])
def test_fork(screen: Any, when: str) -> None:
    """
    A forked child never draws: it is silent where the parent does, else it writes each
    tree when it is done.
    """
    process = screen.run(
        HEAD
        + f"""
    import os, warnings
    warnings.simplefilter("ignore", DeprecationWarning)
    handler = TreeHandler()
    def fork(generations):
        child = os.fork()
        if not child:
            with callbacks(handler), traced("child"):
                pass
            sys.stdout.write("said by the child\\n")
            sys.stdout.flush()
            if generations > 1:
                fork(generations - 1)
            os._exit(0)
        os.waitpid(child, 0)
    if {when!r} == "before":
        fork(2)
    with callbacks(handler), traced("parent"):
        if {when!r} == "drawing":
            fork(2)
    """
    )

    assert process.wait(45) == 0
    tree = "1 s  ✓ chain child\n" if when == "before" else ""
    assert screen.text() == (tree + "said by the child\n") * 2 + "1 s  ✓ chain parent"


def test_handler_of_the_whole_process(screen: Any) -> None:
    """
    Without a block to be left, the tree is there at exit, and the thread goes by itself.
    """
    process = screen.run(
        HEAD
        + """
    import threading
    callbacks(TreeHandler()).install()
    traced("answer")(lambda: None)()
    for thread in threading.enumerate():
        if thread.name == "TreeHandler":
            thread.join()
    print("alone")
    traced("last")(lambda: None)()
    """
    )

    assert process.wait(45) == 0
    assert screen.text() == "1 s  ✓ chain answer\nalone\n1 s  ✓ chain last"
