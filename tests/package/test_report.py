"""
Reports of what failed: once with the traceback, then counted; never local values.
"""

import gc
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from loguru import logger

from instrument import _report, callbacks, emit, traced
from instrument._ids import trace_hex_of
from instrument._report import complain, described, failed, failures
from instrument.testing import predictable


class Handler:
    """
    Fails at everything, with a secret at hand.
    """

    def on_custom_event(self, name: str, data: Any) -> None:
        password = "hunter2"  # noqa: F841 - must not be shown
        raise ValueError(name)


def test_report_has_no_local_values(capsys: pytest.CaptureFixture[str]) -> None:
    """
    The traceback shows no value of a variable, also with loguru's ``diagnose``.
    """
    lines: list[str] = []
    sink = logger.add(
        lambda text: lines.append(str(text)), diagnose=True, backtrace=True
    )

    with callbacks(Handler()):
        emit("told", {"key": "hunter3"})
    logger.remove(sink)

    assert "ValueError: told" in lines[0]
    assert "hunter3" not in lines[0]
    assert "'hunter2'" not in lines[0].replace('password = "hunter2"', "")


def test_report_is_framed(reports: list[str]) -> None:
    """
    Each line of the traceback stands behind a bar, so that no line can be faked.
    """
    with callbacks(Handler()):
        emit("told")

    first, *lines = reports[0].rstrip().split("\n")
    assert re.fullmatch(
        "Handler failed at on_custom_event of custom told, request [0-9a-f]{6}:"
        " ValueError: told; the call goes on without it",
        first,
    )
    assert all(line.startswith("  | ") for line in lines)
    assert lines[-1] == "  | ValueError: told"


def test_report_is_of_the_handler_alone(reports: list[str]) -> None:
    """
    That a stream had ended when its handler failed is no part of what went wrong.
    """

    @traced.llm
    def model() -> Iterator[str]:
        yield "word"

    def fail(response: Any) -> None:
        raise ValueError("my own")

    with callbacks(on_llm_end=fail):
        list(model())

    assert "ValueError: my own" in reports[0]
    assert "StopIteration" not in reports[0]


class Wrong:
    """
    Takes something else than it is given.
    """

    raise_error = False

    def on_chain_start(self, a: Any, b: Any, c: Any) -> None: ...

    def on_chain_end(self, outputs: Any) -> None:
        len(3)  # type: ignore[arg-type]


class WrongEvent:
    """
    So does this.
    """

    def on_event(self, event: Any, other: Any) -> None: ...


def test_handler_that_cannot_be_called(reports: list[str]) -> None:
    """
    A method that takes something else than it is given is told what that is.
    """

    @traced
    def work() -> None: ...

    with callbacks(Wrong(), WrongEvent()):
        work()

    start, event, end, _ = reports
    said = "on_chain_start gives serialized, inputs, run_id, parent_run_id, tags,"
    assert f"{said} metadata, name, run. **kwargs takes" in start
    assert "on_event gives event, run. **kwargs takes" in event
    assert "len()" in end
    assert "gives" not in end


def test_handler_that_cannot_be_called_and_stops(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """
    So is the caller, where the handler stops the call.
    """
    monkeypatch.setattr(Wrong, "raise_error", True)

    with callbacks(Wrong()), pytest.raises(TypeError) as caught:
        traced(len)("")

    assert caught.value.__notes__[0].startswith("on_chain_start gives serialized, ")


@pytest.mark.parametrize(
    "char", ["\x1b", "\r", "\x00", "\u202e", "\u2028", "\x9b", "\ud800"]
)
def test_report_has_no_control_characters(char: str, reports: list[str]) -> None:
    """
    What a message could do to a terminal or a log is written as an escape.
    """
    with callbacks(Handler()):
        emit(f"a{char}b{{}}<red>")

    text = reports[0]
    assert char not in text
    assert "{}<red>" in text
    assert all(c.isprintable() or c == "\n" for c in text)


def test_report_is_counted(reports: list[str]) -> None:
    """
    After the first, failures are told at 10, 100, 1,000 and so on.
    """
    handler = Handler()

    with callbacks(handler):
        for _ in range(1_000):
            emit("told")

    assert [line.strip() for line in reports[1:]] == [
        f"Handler has failed {count} times at on_custom_event, last by ValueError: told"
        for count in ("10", "100", "1,000")
    ]
    assert failures(handler) == {"on_custom_event": 1_000}


def test_bound_methods_are_one_handler(reports: list[str]) -> None:
    """
    A bound method is made at each access; its failures are its object's.
    """
    handler = Handler()

    for _ in range(3):
        failed(handler.on_custom_event, "on_text", KeyError("x"))

    assert len(reports) == 1
    assert "Handler.on_custom_event failed at on_text" in reports[0]
    assert failures(handler) == {"on_text": 3}


def test_counts_are_forgotten_with_the_handler() -> None:
    """
    The counts of a handler go when it goes.
    """
    handler = Handler()
    failed(handler, "on_text", KeyError("x"))
    key = id(handler)
    assert key in _report._counts

    del handler
    gc.collect()

    assert key not in _report._counts


def test_counts_are_bounded() -> None:
    """
    Handlers that take no weak reference are counted too, at most a thousand of them.
    """

    class Closed:
        __slots__ = ()

    handlers = [Closed() for _ in range(1_100)]
    for handler in handlers:
        failed(handler, "on_text", KeyError("x"))

    assert len(_report._counts) <= 1_000
    assert failures(handlers[-1]) == {"on_text": 1}


def test_slips_are_bounded(monkeypatch: pytest.MonkeyPatch, reports: list[str]) -> None:
    """
    What bodies have told wrongly is counted for so many runs; then counting begins anew.
    """
    monkeypatch.setattr(_report, "_MOST", 2)
    _report._slips.clear()

    with callbacks(print):
        for name in "abcca":
            with traced(name) as run:
                run.usage = 3  # type: ignore[assignment]

    said = [report.partition(" is a Usage")[0][-1] for report in reports]
    assert len(_report._slips) == 2
    assert len(said) == 4


def test_report_without_a_caller(
    monkeypatch: pytest.MonkeyPatch, reports: list[str]
) -> None:
    """
    Where no line of anybody's is behind it, as Python itself calls, it is written too.
    """
    monkeypatch.setattr(_report, "module_of", lambda frame: "instrument.ours")

    complain("something", None)

    assert "something" in reports[0]


def test_request_that_cannot_be_named() -> None:
    """
    Where what names a request cannot be imported, a report goes without it.
    """

    class Run:
        kind = name = "x"

        @property
        def trace_hex(self) -> str:
            raise OSError("no descriptor is left")

    assert _report._of(Run()) == " of x x"


def test_signal_while_a_run_is_named() -> None:
    """
    What a signal's handler raises while a report names a run is no failure of that.
    """

    class Run:
        kind = name = "x"

        @property
        def trace_hex(self) -> str:
            signal.raise_signal(signal.SIGINT)
            return "7"

    def late(number: int, frame: Any) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGINT, late)
    try:
        with pytest.raises(TimeoutError):
            _report._of(Run())
    finally:
        signal.signal(signal.SIGINT, before)


def test_traceback_that_cannot_be_written() -> None:
    """
    Where what writes tracebacks cannot be loaded any more, a failure is reported all the
    same, once: by its line alone.
    """
    code = """if True:
        import sys
        from instrument import callbacks, traced

        class Finder:
            def find_spec(self, name, path=None, target=None):
                if name in ("traceback", "loguru"):
                    raise OSError(24, "no descriptor is left")

        class Handler:
            def on_chain_start(self, serialized, inputs, **kwargs):
                raise KeyError("told")

        sys.modules.pop("traceback", None)  # what measures coverage has loaded it
        sys.meta_path.insert(0, Finder())
        with callbacks(Handler()):
            for _ in range(3):
                with traced("run"):
                    print("goes on")
    """
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )

    assert done.stdout == "goes on\n" * 3
    first, why = done.stderr.splitlines()
    assert "Handler failed at on_chain_start of chain run" in first
    assert "KeyError: 'told'" in first
    assert why == "  | its traceback cannot be written: OSError"


def test_broken_sink() -> None:
    """
    A log that fails hurts nobody.
    """

    def fail(text: object) -> None:
        raise OSError

    sink = logger.add(fail, catch=False)
    complain("something", KeyError("x"))
    logger.remove(sink)


def test_message_that_cannot_be_written(reports: list[str]) -> None:
    """
    An exception whose ``str`` raises is reported all the same.
    """

    class NoTextError(Exception):
        def __str__(self) -> str:
            raise ValueError

    failed(Handler(), "on_text", NoTextError())

    assert len(reports) == 1
    assert "NoTextError" in reports[0]


def test_described() -> None:
    """
    A function is named by its qualified name, an object by its class.
    """
    assert described(test_described) == "test_described"
    assert described(Handler()) == "Handler"


def test_handler_that_cannot_be_asked(reports: list[str]) -> None:
    """
    A handler that raises whatever attribute it is asked for is reported too.
    """

    class Odd:
        def __getattr__(self, name: str) -> Any:
            raise OSError(name)

    failed(Odd(), "on_text", KeyError("x"))

    assert "Odd failed at on_text" in reports[0]


def test_report_of_a_handler() -> None:
    """
    A report says in its first line who failed where, of which run and request, and by
    what; it comes from the handler's own line, and its traceback begins there.
    """
    records: list[Any] = []
    sink = logger.add(lambda message: records.append(message.record), format="")

    class PageSink:
        def on_tool_start(self, *args: Any, **kwargs: Any) -> None:
            raise KeyError("socket")

    with predictable(), callbacks(PageSink()):
        traced("weather", kind="tool")(lambda: None)()
    logger.remove(sink)

    (record,) = records
    line = PageSink.on_tool_start.__code__.co_firstlineno + 1
    assert (record["name"], record["function"], record["line"]) == (
        __name__,
        "on_tool_start",
        line,
    )
    first, *rest = record["message"].splitlines()
    name = PageSink.__qualname__
    run = f"tool weather, request {trace_hex_of(UUID(int=7 << 76 | 2 << 62 | 1))[:6]}"
    assert first == (
        f"{name} failed at on_tool_start of {run}: KeyError: 'socket'; the call goes on"
        " without it"
    )
    assert rest == [
        "  | Traceback (most recent call last):",
        f'  |   File "{__file__}", line {line}, in on_tool_start',
        '  |     raise KeyError("socket")',
        "  | KeyError: 'socket'",
    ]


def test_report_of_a_long_name(reports: list[str]) -> None:
    """
    A name without end, and an error without a message, take little of a line.
    """

    class Failing:
        def on_chain_start(self, *args: Any, **kwargs: Any) -> None:
            raise KeyError

    with callbacks(Failing()):
        traced("n" * 1_000)(lambda: None)()

    first = reports[0].splitlines()[0]
    assert f" of chain {'n' * 39}…, request " in first
    assert first.endswith(": KeyError; the call goes on without it")


def test_report_of_a_long_message(reports: list[str]) -> None:
    """
    A message that is cut is not gone through line by line before.
    """
    steps = Counter[str]()

    class Failing:
        def on_chain_start(self, *args: Any, **kwargs: Any) -> None:
            raise ValueError("\n" * 150_000)

    profiled = sys.getprofile()
    with callbacks(Failing()):
        sys.setprofile(lambda frame, *_: steps.update([frame.f_globals["__name__"]]))
        try:
            traced("n")(lambda: None)()
        finally:
            sys.setprofile(profiled)

    assert "more characters]" in reports[0]
    assert 0 < steps["traceback"] < 1_000


class Cyclic:
    """
    Goes with a collection alone.
    """

    def __init__(self) -> None:
        self.itself = self


def test_counts_go_in_the_midst_of_a_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A collection that takes handlers whose failures were counted, wherever it comes in a
    report, stops no report.
    """
    monkeypatch.setattr(_report, "_counts", {})
    monkeypatch.setattr(_report, "_MOST", 3)
    monkeypatch.setattr(_report, "complain", lambda *_, **__: True)
    thresholds = gc.get_threshold()
    try:
        for later in range(60):
            gc.disable()
            for handler in [Cyclic() for _ in range(3)]:
                _report.failed_apart(handler, "on_event", ValueError())
            last, handler = Cyclic(), None  # type: ignore[assignment]
            gc.set_threshold(gc.get_count()[0] + later)
            gc.enable()
            _report.failed_apart(last, "on_event", ValueError())
    finally:
        gc.set_threshold(*thresholds)
        gc.enable()
