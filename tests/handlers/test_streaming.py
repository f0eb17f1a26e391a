"""
`StreamingStdOutCallbackHandler`: tokens as they come.
"""

import io
from collections.abc import Iterator
from typing import Any

import pytest

from instrument import callbacks, traced
from instrument.handlers import StdOutCallbackHandler, StreamingStdOutCallbackHandler


@traced.llm("model")
def model(*tokens: str) -> Iterator[str]:
    """
    Stream what is given.
    """
    yield from tokens


class Flushed(io.StringIO):
    """
    Counts how often it was flushed.
    """

    flushes = 0

    def flush(self) -> None:
        self.flushes += 1


def test_tokens() -> None:
    """
    Each token is written at once, and nothing else.
    """
    out = Flushed()

    with callbacks(StreamingStdOutCallbackHandler(out)):
        stream = model("Hel", "lo\n", "\tworld")
        next(stream)
        assert out.getvalue() == "Hel"
        assert out.flushes == 1
        list(stream)

    assert out.getvalue() == "Hello\n\tworld"


def test_tokens_are_untrusted() -> None:
    """
    Line breaks and tabs are written; no other control character is.
    """
    out = io.StringIO()

    with callbacks(StreamingStdOutCallbackHandler(out)):
        list(model("a\x1b[2Jb\r\u202ec"))

    assert out.getvalue() == "a\\x1b[2Jb\\r\\u202ec"


def test_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    """
    By default it writes to ``sys.stdout``.
    """
    with callbacks(StreamingStdOutCallbackHandler()):
        list(model("Hi"))

    assert capsys.readouterr().out == "Hi"


def test_lines_stay_whole_beside_tokens() -> None:
    """
    Two handlers of one stream: a line ends what tokens left in mid-line.
    """
    out = io.StringIO()

    with callbacks(StreamingStdOutCallbackHandler(out), StdOutCallbackHandler(out)):
        list(model("Hi", "!"))
        list(model("done\n"))

    lines = out.getvalue().splitlines()
    assert [line.split("  ")[0] for line in lines] == [
        "> llm model",
        "Hi!",
        "< llm model",
        "> llm model",
        "done",
        "< llm model",
    ]


def test_empty_token() -> None:
    """
    An empty token leaves the line as it is.
    """
    out = io.StringIO()

    both = callbacks(StreamingStdOutCallbackHandler(out), StdOutCallbackHandler(out))
    with both, traced("run", kind="llm") as run:
        run.token("")

    assert "\n\n" not in out.getvalue()


@pytest.mark.parametrize("file", ["out.txt", 3])
def test_what_is_no_stream(file: Any) -> None:
    """
    What cannot be written to is refused.
    """
    with pytest.raises(TypeError, match="a text stream"):
        StreamingStdOutCallbackHandler(file)
