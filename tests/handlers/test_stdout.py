"""
`StdOutCallbackHandler`: the runs of a request as lines.
"""

import gc
import io
import re
import sys
from contextvars import copy_context
from importlib.util import find_spec
from types import SimpleNamespace
from typing import Any

import pytest

from instrument import callbacks, current_run, emit, traced
from instrument._runs.ending import finish
from instrument._runs.opening import Recipe, open_run
from instrument._runs.starting import start
from instrument.handlers import StdOutCallbackHandler, filtered
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
    return re.sub(r"\d+(\.\d)? ms", "1.0 ms", out.getvalue())


def test_lines() -> None:
    """
    A start and an end are a line each, indented by depth, and so is what the
    application tells; success says nothing.
    """

    @traced("answer")
    def answer() -> None:
        emit("told", {"done": 3})
        emit("pause")
        traced.tool("search")(lambda: None)()

    assert printed(answer) == (
        "> chain answer\n"
        "* event told  {'done': 3}\n"
        "* event pause\n"
        "  > tool search\n"
        "  < tool search  1.0 ms\n"
        "< chain answer  1.0 ms\n"
    )


def test_payload() -> None:
    """
    What went in and what came out ends at so many cells; at 0 it is not said.
    """

    @traced.tool
    def weather(city: str) -> str:
        return f"{city}: sunny"

    def lines(payload: int) -> str:
        out = io.StringIO()
        with predictable(), callbacks(StdOutCallbackHandler(out, payload=payload)):
            weather("Rome")
        return out.getvalue()

    assert lines(120) == (
        "> tool weather  city='Rome'\n< tool weather  1.0 ms  'Rome: sunny'\n"
    )
    assert "city='R…\n" in lines(8)
    assert lines(0) == lines(7) == ("> tool weather\n< tool weather  1.0 ms\n")


def test_nothing_captured() -> None:
    """
    With ``capture=False`` nothing is said of payloads, nor of what an error says.
    """
    out = io.StringIO()

    @traced.tool
    def failing(city: str) -> None:
        raise ValueError(city)

    with callbacks(StdOutCallbackHandler(out), capture=False):
        traced.retriever("found")(lambda query: [query])("Rome")
        with pytest.raises(ValueError, match="Rome"):
            failing("Rome")

    assert "Rome" not in out.getvalue()
    assert out.getvalue().endswith("ValueError\n")


@pytest.mark.parametrize("payload", [True, 1.5, "120", -1])
def test_wrong_payload(payload: Any) -> None:
    """
    What is no number of cells is refused, with the cure.
    """
    with pytest.raises(
        (TypeError, ValueError), match=r"payload=\.\.\.\) (is a|cannot be)"
    ):
        StdOutCallbackHandler(payload=payload)


def test_failure() -> None:
    """
    A failure is told whole and on one line where it was raised, and by its type above.
    """

    @traced("outer")
    def outer() -> None:
        traced.tool("fails")(fail)()

    def failing() -> None:
        with pytest.raises(ValueError, match="a"):
            outer()

    *_, origin, passed = printed(failing).splitlines()

    said = "a\\x1b[2Jb\\nc" + "x" * 300
    assert origin == f"  ! tool fails  1.0 ms  ValueError: {said}"
    assert passed == "! chain outer  3.0 ms  ValueError from tool fails".replace(
        "3.0 ms", "1.0 ms"
    )


def test_event_of_a_usual_name() -> None:
    """
    What is emitted under a name that usually is a secret's is masked.
    """

    @traced
    def answer() -> None:
        emit("api_key", "hunter2")
        emit("password")

    told = printed(answer).splitlines()

    assert told[1:3] == ["* event api_key  [redacted]", "* event password"]


@pytest.mark.parametrize("name", ["password", "token"])
def test_failure_that_is_masked_already(name: str) -> None:
    """
    Behind what a block has masked, the rest of a failure's message is told.
    """
    out = io.StringIO()

    with (
        callbacks(StdOutCallbackHandler(out), redact=[name]),
        callbacks(redact=["token", "password"]),
        pytest.raises(ValueError, match="a"),
        traced("fails"),
    ):
        raise ValueError("password='a', token=b, user=ada")

    told = "password=[redacted], token=[redacted], user=ada"
    assert out.getvalue().splitlines()[-1].endswith(told)


def test_long_failure() -> None:
    """
    Of a message without end the rest is counted, and what is usually secret masked.
    """

    def failing() -> None:
        with pytest.raises(ValueError, match="x"), traced("fails"):
            raise ValueError("api_key=abc, " + "x" * 20_000)

    last = printed(failing).splitlines()[-1]

    assert "ValueError: api_key=[redacted], xxx" in last
    assert last.endswith("x… + 10,013 characters")


def test_failure_that_was_not_heard() -> None:
    """
    Of an error that came from what the handler does not hear only the type is known.
    """
    out = io.StringIO()
    handler = filtered(StdOutCallbackHandler(out), kinds=["chain"])

    with callbacks(handler), pytest.raises(ValueError, match="a"), traced("outer"):
        traced.tool("inner")(fail)()

    assert out.getvalue().endswith("  ValueError from within\n")


def test_names_are_untrusted() -> None:
    """
    No control character of a name or kind is written.
    """
    out = printed(traced("a\x1b[2J\nb", kind="k\r")(lambda: None))

    assert out.splitlines()[0] == "> k\\r a\\x1b[2J\\nb"
    assert "\x1b" not in out


def test_endless_name() -> None:
    """
    A name ends at forty cells.
    """
    named = traced.tool("n" * 1_000_000)(lambda: None)

    first, last = printed(named).splitlines()

    assert first == f"> tool {'n' * 39}…"
    assert last.startswith(first.replace(">", "<"))


def test_deep() -> None:
    """
    The indent stops at a third of the width.
    """

    @traced("down")
    def down(levels: int) -> None:
        if levels:
            down(levels - 1)

    lines = printed(lambda: down(30)).splitlines()

    assert lines[19].startswith(" " * 38 + "> chain down")
    assert lines[30].startswith(" " * 40 + "> chain down")


def test_abandoned() -> None:
    """
    A run that was stopped early has a sign and a word, and a model's what it told.
    """

    @traced("stream")
    def stream() -> Any:
        yield 1

    @traced.llm("model")
    def model() -> Any:
        yield "It is"
        yield " sunny"

    def leave() -> None:
        for generator in (stream(), model(), model()):
            next(generator)
            generator.close()
        model().close()

    lines = printed(leave).splitlines()

    assert lines[1] == "~ chain stream  1.0 ms  abandoned"
    assert lines[3] == "~ llm model  1.0 ms  abandoned after 1 token  'It is'"


class Tty(io.StringIO):
    """
    A stream that says that it is a terminal.
    """

    def isatty(self) -> bool:
        return True


def test_colour_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    On a terminal there is colour: green is the sign of what ended well, red that of an
    error and its type.
    """
    monkeypatch.setenv("TERM", "xterm")

    def both() -> None:
        traced("good")(lambda: None)()
        with pytest.raises(ValueError, match="a"):
            traced("bad")(fail)()

    out = printed(both, Tty())

    assert "\x1b[36m>\x1b[m \x1b[2mchain \x1b[m\x1b[1mgood\x1b[m\n" in out
    assert "\x1b[32m<\x1b[m \x1b[2mchain \x1b[mgood  1.0 ms\n" in out
    assert "\x1b[1;31m  ValueError\x1b[m: a" in out


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


@pytest.mark.parametrize(
    "name, asked, answered, start, end",
    [
        ("gpt", "gpt-4o", None, "gpt", "gpt  1.0 ms  gpt-4o"),
        ("gpt", None, "gpt-4o-2024-07-18", "gpt", "gpt  1.0 ms  gpt-4o-2024-07-18"),
        ("gpt", None, None, "gpt", "gpt  1.0 ms"),
        ("gpt-4o", "gpt-4o", "gpt-4o-2024-07-18", "gpt-4o", "gpt-4o  1.0 ms"),
        ("gpt-4o", "gpt-4o", "openai/gpt-4o", "gpt-4o", "gpt-4o  1.0 ms"),
        ("gpt-4o", "gpt-4o", "gpt-4.1", "gpt-4o", "gpt-4o  1.0 ms  gpt-4.1"),
    ],
)
def test_model(
    name: str, asked: str | None, answered: str | None, start: str, end: str
) -> None:
    """
    A decorated model keeps its name, and what answered follows, if it is another.
    """

    @traced.chat_model(name, model=asked)
    def model(messages: list[Any]) -> dict[str, Any]:
        message = {"role": "assistant", "content": "Hi"}
        return {"choices": [{"message": message}], "model": answered}

    first, last = printed(lambda: model([])).splitlines()

    assert first == f"> chat_model {start}"
    assert last == f"< chat_model {end}  'Hi'"


def test_model_of_a_framework() -> None:
    """
    A run whose name is a framework's operation has that of the model it was asked for.
    """
    named = Recipe("openai.chat", "chat_model", {"_model": "gpt-4o-mini"})
    message = {"role": "assistant", "content": "Hi"}

    def call() -> None:
        run = open_run(named)
        assert run is not None
        run._inputs = []
        start(run)
        finish(run, {"choices": [{"message": message}], "model": "gpt-4o-mini-2024"})

    assert printed(call) == (
        "> chat_model gpt-4o-mini\n< chat_model gpt-4o-mini  1.0 ms  'Hi'\n"
    )


def test_sums() -> None:
    """
    What the models of a request have consumed is said on the line of its end.
    """

    @traced.llm("model")
    def model(**usage: Any) -> None:
        current_run().record_usage(**usage)

    @traced("answer")
    def answer() -> None:
        model(input_tokens=1_240, output_tokens=96, cache_read_tokens=1_024)
        traced("inner")(lambda: model(input_tokens=10, cost_usd=0.002))()
        model()

    lines = printed(answer).splitlines()

    assert lines[2] == "  < llm model  1.0 ms  1,240 in (1,024 cached), 96 out"
    assert lines[5] == "    < llm model  1.0 ms  10 in, $0.0020"
    assert lines[6] == "  < chain inner  1.0 ms"
    assert lines[-1] == (
        "< chain answer  1.0 ms  3 model calls, 1,250 in (1,024 cached), 96 out,"
        " $0.0020, 1 call without a price"
    )


@pytest.mark.parametrize(
    "state, told",
    [
        (2, "* retry 2"),
        (SimpleNamespace(attempt_number=1), "* retry 1"),
        (
            SimpleNamespace(
                attempt_number=1, next_action=SimpleNamespace(sleep=2.0), outcome=None
            ),
            "* retry 1  again in 2.0 s",
        ),
    ],
)
def test_retry(state: Any, told: str) -> None:
    """
    That a run tries again is a line, with what is known of it.
    """

    @traced("run")
    def run() -> None:
        current_run().retry(state)

    assert printed(run).splitlines()[1] == told


def test_retry_of_a_branch() -> None:
    """
    Of several branches the one that tries again is named.
    """

    @traced("outer")
    def outer() -> None:
        with traced("a", kind="tool"):
            context = copy_context()
        first = traced("a", kind="tool")
        second = traced("b", kind="tool")
        contexts = copy_context(), copy_context()
        contexts[0].run(first.__enter__)
        run = contexts[1].run(second.__enter__)
        run.retry(2)
        contexts[0].run(first.__exit__, None, None, None)
        contexts[1].run(second.__exit__, None, None, None)
        context.run(str)

    assert "  * retry 2 in b #2\n" in printed(outer)


def test_heard_twice() -> None:
    """
    Two handlers on one stream count tokens and sums once each.
    """
    out = io.StringIO()

    @traced.llm("model")
    def model() -> Any:
        current_run().record_usage(output_tokens=2)
        yield "a"
        yield "b"

    several = [StdOutCallbackHandler(out) for _ in range(2)]
    with predictable(), callbacks(*several), traced("answer"):
        stream = model()
        next(stream)
        stream.close()

    lines = out.getvalue().splitlines()
    assert lines[4].endswith("2 out  abandoned after 1 token  'a'")
    assert lines[6].endswith("1 model call, 2 out")


def test_nothing_is_kept() -> None:
    """
    Nothing is kept of runs that have ended, nor of one that goes without an end.
    """
    out = io.StringIO()
    handler = StdOutCallbackHandler(out)

    def left_open() -> None:
        copy_context().run(traced("left").__enter__)

    with callbacks(handler):
        for _ in range(3):
            traced("outer")(traced("inner")(lambda: None))()
        left_open()
        gc.collect()
        traced("alone")(lambda: None)()
    kept = handler._terminal.open_runs

    assert not kept._requests
    assert "\n> chain alone\n< chain alone" in out.getvalue()


def test_ids_of_requests() -> None:
    """
    Of requests that are open at once each line has an id; the next one alone has none.
    """
    out = io.StringIO()

    def opened(name: str) -> Any:
        context, block = copy_context(), traced(name)
        context.run(callbacks(StdOutCallbackHandler(out)).__enter__)
        run = context.run(block.__enter__)
        return run.trace_hex[:6], lambda: context.run(block.__exit__, None, None, None)

    with predictable():
        first, end_first = opened("first")
        second, end_second = opened("second")
        end_first()
        end_second()
        _, end_third = opened("third")
        end_third()

    heads = [line.split("  ")[0] for line in out.getvalue().splitlines()]
    third = ["> chain third", "< chain third"]
    assert heads == ["> chain first", second, first, second, *third]
    assert len({first, second}) == 2


@pytest.mark.skipif(find_spec("genai_prices") is None, reason="the extra `prices`")
def test_prices() -> None:
    """
    With the extra ``prices`` a model's cost is said, where its provider told none.
    """

    @traced.chat_model("m", model="gpt-4o-mini", provider="openai")
    def model(messages: list[Any]) -> None:
        current_run().record_usage(input_tokens=40, output_tokens=12)

    assert "40 in, 12 out, $0.000013" in printed(lambda: model([]))
