"""
`TreeHandler`: the live tree of a request in the terminal.
"""

import asyncio
import io
import re
import sys
import threading
from collections.abc import Iterator
from typing import Any

import anyio
import pytest

from instrument import bind, callbacks, current_run, traced
from instrument.handlers import (
    StdOutCallbackHandler,
    StreamingStdOutCallbackHandler,
    TreeHandler,
)
from instrument.testing import Recorder

pytest.importorskip("rich")


@traced.llm(model="fake-1")
def model(*tokens: str) -> Iterator[str]:
    """
    Stream what is given.
    """
    yield from tokens
    current_run().record_usage(input_tokens=1_200, output_tokens=3, cost_usd=0.5)


@traced.tool
def work() -> None:
    """
    Be a run.
    """


@traced("fail", kind="tool")
def fail(message: object = "no such index") -> None:
    """
    Fail.
    """
    raise LookupError(message)


def tree(screen: Any, function: Any, *args: Any) -> str:
    """
    Call *function* with the handler, and give what is seen then.
    """
    with callbacks(TreeHandler(screen.file)):
        function(*args)
    return str(screen.text())


def test_tree_that_is_done(screen: Any) -> None:
    """
    A request leaves its tree: each run with its duration, then what it came to.
    """

    @traced
    def answer() -> None:
        with traced("find", kind="retriever", inputs="what"):
            work()
        list(model("a", "b"))

    assert tree(screen, answer).splitlines() == [
        "1 s  ✓ chain answer",
        "1 s  ├─ ✓ retriever find  'what'",
        "1 s  │  └─ ✓ tool work",
        "1 s  └─ ✓ llm model  fake-1, 1,200 in, 3 out, $0.50  → 'ab'",
        "         4 runs, 1 model call, 1,200 in, 3 out, $0.50",
    ]


def test_one_run_is_one_row(screen: Any) -> None:
    """
    A request of one run needs no total.
    """
    assert tree(screen, work) == "1 s  ✓ tool work"


def test_tree_while_it_runs(screen: Any) -> None:
    """
    What runs is seen while it runs, its tokens and their speed too; then that is gone.
    """
    with callbacks(TreeHandler(screen.file)), traced("answer"):
        stream = model("a", "b", "c")
        next(stream), next(stream)
        screen.wait_for("2 out")
        seen = screen.text()
        list(stream)

    assert re.search(r"^1 s  [⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏] chain answer$", seen, re.MULTILINE)
    assert re.search(
        r"^1 s  └─ [⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏] llm model  fake-1, 2 out  ab$",
        seen,
        re.MULTILINE,
    )
    assert "2 out" not in screen.text()
    assert screen.text().count("chain answer") == 1


def test_failure(screen: Any) -> None:
    """
    What failed is told whole below the row it came from; above stands from where.
    """

    def failing() -> None:
        with pytest.raises(LookupError), traced("answer"):
            fail()

    seen = tree(screen, failing)

    assert seen.splitlines() == [
        "1 s  ✗ chain answer  LookupError from tool fail",
        "1 s  └─ ✗ tool fail  message='no such index'",
        "              LookupError: no such index",
        "         2 runs, 1 failed",
    ]
    assert b"\x1b[1;31mLookupError\x1b[m: no such index" in screen.read()


def test_left_early(screen: Any) -> None:
    """
    A stream that is given up is told as abandoned, and seen as neither good nor bad.
    """

    def leave() -> None:
        stream: Any = model("a", "b")
        next(stream)
        stream.close()

    assert tree(screen, leave).startswith("1 s  ■ llm model  abandoned")


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_cancelled(screen: Any) -> None:
    """
    A request that is cancelled is told as cancelled; the terminal is as before.
    """

    @traced
    async def wait() -> None:
        scope.cancel()
        await anyio.sleep_forever()

    with anyio.CancelScope() as scope:
        async with callbacks(TreeHandler(screen.file)):
            await wait()

    assert "■ chain wait  cancelled" in screen.text()
    assert screen.is_as_before


@pytest.mark.usefixtures("nothing_kept")
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_nothing_is_left(screen: Any, error: Any) -> None:
    """
    However a request ends, no thread is left, and the terminal and its stream are as before.
    """
    with pytest.raises(error), callbacks(TreeHandler(screen.file)), traced("answer"):
        screen.wait_for("chain answer")
        raise error

    assert not [it for it in threading.enumerate() if it.name == "TreeHandler"]
    assert "write" not in vars(screen.file)
    assert screen.is_as_before


def test_hostile_names(screen: Any) -> None:
    """
    No control character of a name or message is written; markup and emoji are text.
    """

    def failing() -> None:
        name = "a\x1b[2J[bold]b[/] :smile:\r\n{}\ud800<red>"
        with pytest.raises(LookupError), traced(name, kind="k\n"):
            fail("\x1b]0;x\x07[/red]")

    seen = tree(screen, failing)

    assert seen.splitlines()[:3] == [
        "1 s  ✗ k\\n a\\x1b[2J[bold]b[/] :smile:\\r\\n{}\\ud800<…  LookupError from tool …",
        "1 s  └─ ✗ tool fail  message='\\x1b]0;x\\x07[/red]'",
        "              LookupError: \\x1b]0;x\\x07[/red]",
    ]


def test_names_of_any_length(screen: Any) -> None:
    """
    A row is cut at the width of the terminal, whatever is in it; an error is whole, but
    not endless.
    """
    wide = "漢" * 1_000

    def failing() -> None:
        with pytest.raises(LookupError), traced(wide):
            fail("x" * 10_000_000)

    rows = tree(screen, failing).splitlines()

    assert [row[-1] for row in rows[:2]] == ["…", "…"]
    assert "+ 9,990,000 characters" in "".join(rows)
    assert len(screen.read()) < 15_000


class Mute:
    """
    An object that cannot be written.
    """

    def __repr__(self) -> str:
        raise RuntimeError("no")


def test_message_that_cannot_be_read(screen: Any) -> None:
    """
    An error whose text raises is told without it.
    """

    def failing() -> None:
        with pytest.raises(LookupError):
            fail(Mute())

    assert "LookupError: <no message: str raised RuntimeError>" in tree(screen, failing)


def test_message_of_itself(screen: Any) -> None:
    """
    An error that holds itself is told all the same.
    """
    cycle: list[Any] = []
    cycle.append(cycle)

    def failing() -> None:
        with pytest.raises(LookupError):
            fail(cycle)

    assert "LookupError: [[" in tree(screen, failing)


def test_messages_are_redacted(screen: Any) -> None:
    """
    A message that handlers may not see is not shown.
    """
    with callbacks(TreeHandler(screen.file), capture=False), pytest.raises(LookupError):
        fail()

    assert screen.text().splitlines()[0] == "1 s  ✗ tool fail  LookupError"


def test_no_colour(screen: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    ``NO_COLOR`` takes the colour, not the tree.
    """
    monkeypatch.setenv("NO_COLOR", "1")

    with callbacks(TreeHandler(screen.file)), traced("answer"):
        screen.wait_for("chain answer")

    assert not re.search(rb"\x1b\[[\d;]*3\dm", screen.read())


def failing_request() -> None:
    """
    Be a request with a failure in it.
    """
    with pytest.raises(LookupError), traced("answer"):
        work()
        fail()


def test_tree_without_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Where there is no terminal each tree is written once, when its request has ended.
    """
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    file = io.StringIO()

    with callbacks(TreeHandler(file)):
        failing_request()
        failed = file.getvalue()
        with traced("answer"):
            list(model("a"))
            assert file.getvalue() == failed

    assert [row[9:] for row in failed.splitlines()[:-1]] == [
        "✗ chain answer  LookupError from tool fail",
        "├─ ✓ tool work",
        "└─ ✗ tool fail  message='no such index'",
        "     LookupError: no such index",
    ]
    assert file.getvalue().startswith(failed)
    assert "✓ llm model  fake-1, 1,200 in, 3 out, $0.50  → 'a'" in file.getvalue()


@pytest.mark.parametrize("terminal", ["dumb", "unknown"])
def test_dumb_terminal(
    screen: Any, monkeypatch: pytest.MonkeyPatch, terminal: str
) -> None:
    """
    A terminal that cannot draw gets the tree when it is done, without colour.
    """
    monkeypatch.setenv("TERM", terminal)

    seen = tree(screen, work)

    assert seen == "1 s  ✓ tool work"
    assert b"\x1b[" not in screen.read()


def test_stdout(screen: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    By default it shows on what ``sys.stdout`` is when it is made.
    """
    monkeypatch.setattr(sys, "stdout", screen.file)
    handler = TreeHandler()
    monkeypatch.setattr(sys, "stdout", io.StringIO())

    with callbacks(handler):
        work()

    assert screen.text() == "1 s  ✓ tool work"


@pytest.mark.parametrize("file", ["out.txt", 3])
def test_what_is_no_stream(file: Any) -> None:
    """
    What cannot be written to is refused.
    """
    with pytest.raises(TypeError, match=r"a text stream with write\(\), not"):
        TreeHandler(file)


def test_without_rich(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Without its package it says at once which one to install.
    """
    monkeypatch.setitem(sys.modules, "rich", None)

    with pytest.raises(ImportError, match=r"pip install .instrument-callbacks\[rich\]"):
        TreeHandler()


def test_requests_at_once(screen: Any) -> None:
    """
    Several requests share the foot; one that is done is printed above and leaves it.
    """
    go_on, inside = threading.Event(), threading.Event()

    def slow() -> None:
        with traced("slow"):
            inside.set()
            go_on.wait(20)

    with callbacks(TreeHandler(screen.file)):
        thread = threading.Thread(target=bind(slow))
        thread.start()
        inside.wait(20)
        with traced("quick"):
            screen.wait_for("chain quick")
            both = screen.text()
        screen.wait_for("✓ chain quick")
        one = screen.text()
        go_on.set()
        thread.join()

    assert re.fullmatch(
        r"1 s  . chain slow  [0-9a-f]{6}\n1 s  . chain quick  [0-9a-f]{6}", both
    )
    assert re.match(r"1 s  ✓ chain quick\n1 s  [^✓] chain slow", one)
    assert screen.text() == "1 s  ✓ chain quick\n1 s  ✓ chain slow"


def test_handlers_share_a_terminal(screen: Any) -> None:
    """
    Two handlers, on two streams of one terminal, draw at one foot.
    """
    other = screen.opened()
    first, second = TreeHandler(screen.file), TreeHandler(other)

    with callbacks(first), traced("outer"), callbacks(second), traced("inner"):
        screen.wait_for("inner")
    other.close()

    assert sorted(screen.text().splitlines()) == [
        "         2 runs",
        "1 s  └─ ✓ chain inner",
        "1 s  ✓ chain inner",
        "1 s  ✓ chain outer",
    ]


def test_constructor_handler(screen: Any) -> None:
    """
    What hears only part of a request shows that part as a tree.
    """
    heard = traced("part", callbacks=[TreeHandler(screen.file)])(work)

    with callbacks(Recorder()), traced("answer"):
        heard()
        screen.wait_for("✓ tool part")

    assert screen.text().splitlines()[0] == "1 s  ✓ tool part"


def test_stream_that_outlives_its_caller(screen: Any) -> None:
    """
    A tree is done when nothing in it runs: a stream that is read later belongs to it.
    """
    with callbacks(TreeHandler(screen.file)):
        with traced("answer"):
            stream = model("a", "b")
            next(stream)
        screen.wait_for("✓ chain answer")
        list(stream)

    assert screen.text().splitlines()[1].startswith("1 s  └─ ✓ llm model  fake-1")


def test_stream_read_after_the_block(screen: Any) -> None:
    """
    Outside the block a stream is shown too; the thread goes when it has ended.
    """
    with callbacks(TreeHandler(screen.file)):
        stream = model("a", "b")
    next(stream)
    screen.wait_for("llm model")
    list(stream)

    screen.wait_for("✓ llm model")
    for thread in threading.enumerate():
        if thread.name == "TreeHandler":
            thread.join(10)
    assert "write" not in vars(screen.file)


def test_beside_other_handlers(screen: Any) -> None:
    """
    Tokens and lines of other handlers on the same terminal go above the tree.
    """
    others = (
        StreamingStdOutCallbackHandler(screen.file),
        StdOutCallbackHandler(screen.file),
    )

    with callbacks(TreeHandler(screen.file), *others), traced("answer"):
        stream = model("Hel", "lo")
        next(stream)
        screen.wait_for("Hel")
        screen.wait_for("─ ")
        seen = screen.text()
        list(stream)

    assert re.fullmatch(
        r"> chain answer\n  > llm model.*\nHel\n1 s  . chain answer\n1 s  └─ . llm model.*",
        seen,
    )
    lines = screen.text().splitlines()
    assert lines[2] == "Hello"
    assert lines[3].startswith("  < llm model")


@pytest.mark.timeout(180)  # 3 s of work, which a busy machine makes a minute of
def test_threads_and_tasks_at_once(screen: Any) -> None:
    """
    10,000 runs over 50 threads and 500 tasks: each is in the tree that it belongs to.
    """
    handler = TreeHandler(screen.file)

    def requests() -> None:
        for _ in range(10):
            with callbacks(handler), traced("thread"):
                for _ in range(9):
                    work()

    async def request() -> None:
        async with callbacks(handler):
            with traced("task"):
                for _ in range(9):
                    await asyncio.sleep(0)
                    work()

    async def tasks() -> None:
        await asyncio.gather(*(request() for _ in range(500)))

    threads = [threading.Thread(target=requests) for _ in range(50)]
    threads.append(threading.Thread(target=asyncio.run, args=(tasks(),)))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(re.findall(rb" 10 runs\x1b?", screen.read())) == 1_000
    assert not [it for it in threading.enumerate() if it.name == "TreeHandler"]


def test_what_is_collected_while_it_draws(
    screen: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A stream that is collected in mid-draw ends a run there, and leaves a block: no lock
    is waited for, nothing is lost.
    """
    handler: Any = TreeHandler(screen.file)
    rows = handler._display._rows
    live = rows.live

    def dropping(*args: Any, **options: Any) -> Any:
        held.clear()
        return live(*args, **options)

    @callbacks(handler)
    def request() -> Iterator[str]:
        yield from model("a", "b")

    held = [request()]
    next(held[0])
    monkeypatch.setattr(rows, "live", dropping)
    with callbacks(handler), traced("dropping"):
        screen.wait_for("abandoned")

    assert "✓ chain dropping" in screen.text()
