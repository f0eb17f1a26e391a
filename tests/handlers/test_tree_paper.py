"""
Trees where nothing can be drawn: each is written once.
"""

import gc
import io
import subprocess
import sys
import threading
from contextlib import ExitStack
from typing import Any

import pytest

from instrument import callbacks, current_run, traced
from instrument._report import Exit
from instrument.handlers import TreeHandler
from instrument.handlers._tree.display import Display

pytest.importorskip("rich")


def rows(file: io.StringIO) -> list[str]:
    """
    Give what was written, without durations.
    """
    return [row[9:].rstrip() for row in file.getvalue().splitlines()]


@pytest.fixture
def file(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """
    A stream that is no terminal.
    """
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    return io.StringIO()


@pytest.mark.parametrize(
    "data, payload, told",
    [(0.5, 120, "progress 0.5"), (None, 120, "progress"), (0.5, 0, "progress")],
)
def test_what_is_told_meanwhile(
    file: io.StringIO, data: object, payload: int, told: str
) -> None:
    """
    The last retry of a run stands in its row, and while it runs its last event.
    """
    handler: Any = TreeHandler(file, payload=payload)

    with callbacks(handler), traced("try", kind="tool") as run:
        run.retry(1)
        run.retry(2)
        run.emit("progress", data)
        (tree,) = handler._display.trees.running
        assert (tree.top.retried, tree.top.told) == ("retry 2", told)

    assert rows(file) == ["✓ tool try  retry 2"]


def test_no_payload(file: io.StringIO) -> None:
    """
    ``payload=0`` shows nothing of what went in, came out and was told.
    """
    with (
        callbacks(TreeHandler(file, payload=0)),
        traced("work", inputs={"a": 1}) as run,
    ):
        run.outputs = 7

    assert rows(file) == ["✓ chain work"]


@pytest.mark.parametrize("payload", ["many", -1, None])
def test_bad_payload(payload: Any) -> None:
    """
    What is no number of cells is refused.
    """
    with pytest.raises((TypeError, ValueError), match=r"TreeHandler\(payload=..."):
        TreeHandler(payload=payload)


def test_left_before_it_said_any(file: io.StringIO) -> None:
    """
    Of a stream that was left before its first piece no text is told.
    """

    @traced.llm(model="m")
    def model() -> Any:
        yield 1  # no token

    name = "test_left_before_it_said_any.<locals>.model"[:39] + "…"
    with callbacks(TreeHandler(file)):
        stream = model()
        next(stream)
        stream.close()

    assert [row.replace(name, "model") for row in rows(file)] == [
        "■ llm model  abandoned  m"
    ]


def test_width(file: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    It is 120 columns, or as many as ``COLUMNS`` says, if that is a number.
    """
    widths = []
    for columns in ("", "60", "none", "0"):
        monkeypatch.setenv("COLUMNS", columns)
        with callbacks(TreeHandler(file)):
            traced("run", kind="tool")(lambda text: None)("x" * 500)
        widths.append(len(file.getvalue().splitlines()[-1]))

    assert widths == [120, 60, 120, 120]


def test_collected_while_it_is_written() -> None:
    """
    A run that ends while a tree is written is written after it.
    """

    @traced
    def stream() -> Any:
        yield 1

    class Collecting(io.StringIO):
        def write(self, text: str) -> int:
            held.clear()
            gc.collect()
            return super().write(text)

    file = Collecting()
    with callbacks(TreeHandler(file)):
        held = [stream()]
        next(held[0])
        traced("first")(lambda: None)()

    written = file.getvalue()
    assert written.index("✓ chain first") < written.index("■ chain")


def test_failure_keeps_back_nothing_that_waits(reports: list[str]) -> None:
    """
    What was collected as a tree could not be written is written all the same, at once.
    """

    class Full(io.StringIO):
        def write(self, text: str) -> int:
            if suspended:
                suspended.pop().close()
                raise OSError("no room")
            return super().write(text)

    @traced
    def stream() -> Any:
        yield 1
        yield 2

    suspended: list[Any] = []
    file = Full()
    with callbacks(TreeHandler(file=file)):
        left = stream()
        next(left)
        suspended.append(left)
        traced("work")(lambda: None)()

    assert "stream" in file.getvalue()
    assert len(reports) == 1
    assert "no room" in reports[0]


def test_requests_stay_together(file: io.StringIO) -> None:
    """
    Handlers of several requests on one stream do not mix their trees.
    """
    first, second = TreeHandler(file), TreeHandler(file)

    def other() -> None:
        with callbacks(inherit=False), callbacks(second), traced("two"):
            traced("inner")(lambda: None)()

    with callbacks(first), traced("one"):
        other()

    assert [row.split("  ")[0] for row in rows(file)] == [
        "✓ chain two",
        "└─ ✓ chain inner",
        "2 runs",
        "✓ chain one",
    ]


def test_what_runs_at_exit(file: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    At exit what still runs is written, once; before that it is not.
    """
    handler = TreeHandler(file)
    with ExitStack() as stack:
        stack.enter_context(callbacks(handler))
        stack.enter_context(traced("answer"))
        handler.flush()
        assert file.getvalue() == ""
        monkeypatch.setattr(Exit, "has_begun", True)
        handler.flush()
        handler.flush()

    assert rows(file) == ["> chain answer"]


def test_streams_at_exit() -> None:
    """
    At the interpreter's exit a suspended stream ends before its tree is written.
    """
    code = """if True:
        from instrument import callbacks, traced
        from instrument.handlers import TreeHandler
        @traced.llm("model")
        def model():
            yield "a"
        callbacks(TreeHandler()).install()
        with traced("answer"):
            held = model()
            next(held)
        waits = traced("waits")
        waits.__enter__()
    """
    done = subprocess.run(
        [sys.executable, "-X", "utf8", "-c", code],
        capture_output=True,
        encoding="utf-8",
        check=True,
    )

    told = [row[9:].rstrip() for row in done.stdout.splitlines()]
    assert told[:2] == [
        "✓ chain answer",
        "└─ ■ llm model  abandoned after 1 token  → 'a'",
    ]
    assert told[-1] == "> chain waits"
    assert done.stderr == ""


def test_child_of_a_process_that_writes(file: io.StringIO) -> None:
    """
    In a forked child the trees of the parent are the parent's.
    """
    handler: Any = TreeHandler(file)

    with callbacks(handler), traced("parent"):
        handler._display.forked()
        traced("child")(lambda: None)()

    assert rows(file) == ["✓ chain child"]


def test_child_of_a_process_that_could_draw(screen: Any) -> None:
    """
    A forked child of a process that can draw writes trees that are done.
    """
    handler: Any = TreeHandler(screen.file)
    display: Display = handler._display
    for _ in range(2):  # the child's child too
        display.forked()

    with callbacks(handler), traced("child"):
        assert screen.text() == ""

    assert (display.mode, screen.text()) == ("done", "1 s  ✓ chain child")


def test_child_of_a_process_that_draws(screen: Any) -> None:
    """
    A forked child of a process that draws is silent.
    """
    handler: Any = TreeHandler(screen.file)
    display: Display = handler._display
    display._thread = threading.current_thread()
    display.forked()

    with callbacks(handler), traced("child"):
        pass

    assert (display.mode, screen.text()) == ("silent", "")


def test_paper_is_no_terminal(file: io.StringIO, screen: Any) -> None:
    """
    A terminal is not shared with what was written to a file.
    """
    first: Any = TreeHandler(file)
    second: Any = TreeHandler(screen.file)

    assert not first._display.shows_on(0)
    assert first._display is not second._display


def test_error_that_is_not_told(file: io.StringIO) -> None:
    """
    With ``capture=False`` only the type of an error is told.
    """

    def failing(text: str) -> None:
        raise ValueError(text)

    handler = TreeHandler(file)
    with pytest.raises(ValueError, match="x"), callbacks(handler, capture=False):
        traced("run")(failing)("x")

    assert rows(file)[0] == "✗ chain run  ValueError"


def test_cost_of_what_is_folded(file: io.StringIO) -> None:
    """
    The cost of runs that are counted only is in the sum.
    """
    with callbacks(TreeHandler(file)), traced("many"):
        for _ in range(2_200):
            with traced("m", kind="llm", model="m"):
                current_run().record_usage(input_tokens=1, cost_usd=0.001)

    assert "2,200 model calls, 2,200 in, $2.20" in rows(file)[-1]
