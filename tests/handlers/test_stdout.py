"""
`StdOutCallbackHandler`: the runs of a request as lines.
"""

import io
import re
import sys
from typing import Any

import pytest

from instrument import callbacks, emit, traced
from instrument.handlers import StdOutCallbackHandler
from instrument.handlers._stdout import written_duration
from instrument.testing import predictable


@pytest.fixture(autouse=True)
def no_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Have no environment decide on colour.
    """
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.delenv("FORCE_COLOR", raising=False)


def fail() -> None:
    """
    Fail with a message that is up to no good.
    """
    raise ValueError("a\x1b[2Jb\nc" + "x" * 300)


def printed(function: Any, file: Any = None) -> str:
    """
    Call *function* with the handler, and give what it wrote; durations are made equal.
    """
    out = file or io.StringIO()
    with predictable(), callbacks(StdOutCallbackHandler(out)):
        function()
    return re.sub(r"\d+\.\d ms", "1.0 ms", out.getvalue())


def test_lines() -> None:
    """
    A start and an end are a line each, indented by depth; other events are none.
    """

    @traced("answer")
    def answer() -> None:
        emit("told")
        traced.tool("search")(lambda: None)()

    assert printed(answer) == (
        "> chain answer\n"
        "  > tool search\n"
        "  < tool search  1.0 ms  ok\n"
        "< chain answer  1.0 ms  ok\n"
    )


def test_failure() -> None:
    """
    A failure is told with its type and the beginning of its message, on one line.
    """

    def failing() -> None:
        with pytest.raises(ValueError, match="a"):
            traced("fails")(fail)()

    out = printed(failing)

    last = out.splitlines()[-1]
    assert out.count("\n") == 2
    assert last.startswith("< chain fails  1.0 ms  error ValueError: a\\x1b[2Jb\\nc")
    assert last.endswith("more characters]")
    assert len(last) < 300


def test_names_are_untrusted() -> None:
    """
    No control character of a name or kind is written.
    """
    out = printed(traced("a\x1b[2J\nb", kind="k\r")(lambda: None))

    assert out.splitlines()[0] == "> k\\r a\\x1b[2J\\nb"
    assert "\x1b" not in out


def test_endless_name() -> None:
    """
    Of a name of any length a line has no more than 200 characters.
    """
    named = traced.tool("n" * 1_000_000)(lambda: None)

    first, last = printed(named).splitlines()

    assert first == f"> tool {'n' * 200}… [999800 more characters]"
    assert last.startswith(first.replace(">", "<"))


def test_abandoned() -> None:
    """
    A status that is neither ok nor error is said as it is.
    """

    @traced("stream")
    def stream() -> Any:
        yield 1

    def leave() -> None:
        left = stream()
        next(left)
        left.close()

    assert printed(leave).endswith("abandoned\n")


class Tty(io.StringIO):
    """
    A stream that says that it is a terminal.
    """

    def isatty(self) -> bool:
        return True


def test_colour_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    On a terminal there is colour: green for ok, red for an error.
    """
    monkeypatch.setenv("TERM", "xterm")

    def both() -> None:
        traced("good")(lambda: None)()
        with pytest.raises(ValueError, match="a"):
            traced("bad")(fail)()

    out = printed(both, Tty())

    assert "> \x1b[35mchain\x1b[0m good\n" in out
    assert "\x1b[2m1.0 ms\x1b[0m  \x1b[32mok\x1b[0m\n" in out
    assert "\x1b[31merror ValueError" in out


@pytest.mark.parametrize(
    "environment, stream, coloured",
    [
        ({"NO_COLOR": "1", "TERM": "xterm"}, Tty, False),
        ({"NO_COLOR": "", "TERM": "xterm"}, Tty, True),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, Tty, False),
        ({"FORCE_COLOR": "1"}, io.StringIO, True),
        ({"TERM": "dumb"}, Tty, False),
        ({"TERM": "xterm"}, io.StringIO, False),
    ],
)
def test_colour_switches(
    environment: dict[str, str],
    stream: Any,
    coloured: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """
    ``NO_COLOR`` turns colour off, ``FORCE_COLOR`` on; a dumb terminal has none.
    """
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    out = printed(traced("run")(lambda: None), stream())

    assert ("\x1b" in out) is coloured


def test_stdout_of_now(capsys: pytest.CaptureFixture[str]) -> None:
    """
    By default it writes to what ``sys.stdout`` is at the time.
    """
    handler = StdOutCallbackHandler()
    before, out = sys.stdout, io.StringIO()

    with callbacks(handler):
        traced("captured")(lambda: None)()
        sys.stdout = out
        traced("replaced")(lambda: None)()
        sys.stdout = before

    assert "captured" in capsys.readouterr().out
    assert "replaced" in out.getvalue()


def test_stream_that_is_false() -> None:
    """
    A stream given is used, also one that is false.
    """

    class Empty(io.StringIO):
        def __bool__(self) -> bool:
            return False

    out = Empty()
    with callbacks(StdOutCallbackHandler(out)):
        traced("run")(lambda: None)()

    assert "run" in out.getvalue()


def test_stream_that_cannot_encode() -> None:
    """
    Characters that a stream's encoding lacks are written as escapes.
    """
    raw = io.BytesIO()
    out = io.TextIOWrapper(raw, encoding="ascii")

    with callbacks(StdOutCallbackHandler(out)):
        traced("müde")(lambda: None)()
    out.flush()

    assert raw.getvalue().startswith(b"> chain m\\xfcde\n")


def test_stream_without_encoding() -> None:
    """
    Anything with a ``write`` is a stream.
    """

    class Lines:
        def __init__(self) -> None:
            self.text = ""

        def write(self, text: str) -> None:
            self.text += text

    out: Any = Lines()
    with callbacks(StdOutCallbackHandler(out)):
        traced("run")(lambda: None)()

    assert out.text.startswith("> chain run\n< chain run")


@pytest.mark.parametrize("file", ["out.txt", 3])
def test_what_is_no_stream(file: Any) -> None:
    """
    What cannot be written to is refused.
    """
    with pytest.raises(TypeError, match=r"a text stream with write\(\), not"):
        StdOutCallbackHandler(file)


def test_event_without_a_run() -> None:
    """
    An event read from a file is written too, without its depth.
    """
    from instrument import Event
    from instrument.testing import Recorder

    recorder, out = Recorder(), io.StringIO()
    with callbacks(recorder):
        traced("run")(lambda: None)()

    StdOutCallbackHandler(out).on_event(Event.from_json(recorder.events[0].to_json()))

    assert out.getvalue() == "> chain run\n"


@pytest.mark.parametrize(
    "duration_s, written",
    [
        (0.00085, "850 us"),
        (0.0123, "12.3 ms"),
        (1.254, "1.25 s"),
        (0.0, "0 us"),
        (100, "100.00 s"),
    ],
)
def test_durations(duration_s: float, written: str) -> None:
    """
    A duration is written in the unit that suits it.
    """
    assert written_duration(duration_s) == written
