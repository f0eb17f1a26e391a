"""
``python -m instrument`` as a shell sees it: exit codes, streams, one-line errors.
"""

import contextlib
import importlib
import io
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import instrument
from instrument import Event, _demo, auto, cli
from instrument._cli import frameworks
from instrument._demo import library
from instrument._hearing import sys_monitoring
from instrument.handlers._shared.style import Marks, plain

FULL_DISK = Path("/dev/full")
needs_full_disk = pytest.mark.skipif(
    not FULL_DISK.exists(), reason=f"needs {FULL_DISK}, which Linux has"
)

Shell = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """
    Run ``python -m instrument`` with some words, outside the checkout.
    """

    def run(*words: str, **options: object) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "instrument", *words]
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        return subprocess.run(  # type: ignore[call-overload, no-any-return]
            command, cwd=tmp_path, text=True, timeout=60, check=False, **streams
        )

    return run


@pytest.mark.parametrize(
    "words, error",
    [
        ([], "which command? run, view, show, export, status, demo (see python -m instrument --help)"),
        (["dmo"], "unknown command 'dmo': did you mean demo?"),
        (["What is a deque?"], "unknown command 'What is a deque?': there is run, view, show, export, status, demo"),
        (["stats"], "unknown command 'stats': did you mean status?"),
        (["status", "langchain"], "unexpected 'langchain': see python -m instrument status --help"),
        (["status", "--zzz"], "unknown option '--zzz': see python -m instrument status --help"),
        (["--verison"], "unknown option '--verison': did you mean --version?"),
        (["-x"], "unknown option '-x': see python -m instrument --help"),
        (["demo", "--evnts", "f"], "unknown option '--evnts': did you mean --events?"),
        (["demo", "--event=f"], "unknown option '--event': did you mean --events?"),
        (["demo", "-e", "f"], "unknown option '-e': did you mean --events?"),
        (["demo", "--line"], "unknown option '--line': did you mean --lines?"),
        (["show", "--last"], "unknown option '--last': see python -m instrument show --help"),
        (["demo", "--zzz"], "unknown option '--zzz': see python -m instrument demo --help"),
        (["demo", "--events"], "argument --events: expected one argument"),
        (["demo", "a", "--events", "f", "b"], "unexpected 'b': put the question in quotes"),
        (["demo", ""], "the question is empty: ask something, or leave it out"),
        (["demo", " \t"], "the question is empty: ask something, or leave it out"),
    ],
)  # fmt: skip
def test_wrong_usage(
    words: list[str], error: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """
    Wrong usage is told in one line, with the cure, and exits with code 2.
    """
    with pytest.raises(SystemExit) as exit_info:
        cli.main(words)

    assert exit_info.value.code == 2
    assert capsys.readouterr() == ("", f"instrument: error: {error}\n")


def test_wrong_usage_as_process(shell: Shell) -> None:
    """
    The process itself exits with code 2 and says nothing on standard output.
    """
    done = shell("demo", "--evnts", "f.jsonl")

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1


def test_help(shell: Shell) -> None:
    """
    Help names every command.
    """
    done = shell("--help")

    assert (done.returncode, done.stderr) == (0, "")
    assert all(command in done.stdout for command in cli.COMMANDS)


def test_help_loads_little(shell: Shell) -> None:
    """
    Help imports neither the demo nor a handler nor asyncio.
    """
    code = (
        "import sys; from instrument.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )

    loaded = set(done.stdout.split())
    assert not loaded & {"asyncio", "instrument._demo", "instrument.handlers"}


def test_version(shell: Shell) -> None:
    """
    ``--version`` prints the version of the installed distribution.
    """
    done = shell("--version")

    assert done.stdout == f"instrument {instrument.__version__}\n"
    assert done.returncode == 0


FOUND = [
    auto.Status(
        "langchain",
        "1.8.3",
        "register_configure_hook",
        ("chains", "models", "tokens", "tools", "retrievers", "custom events"),
        None,
        package="langchain-core",
        tested=("0.3.0", "1.8.3"),
    ),
    auto.Status(
        "openai",
        "3.57.0",
        "sys.monitoring",
        ("chat completions", "responses", "completions", "embeddings", "tokens"),
        None,
        tested=("2.0.0", "3.54.1"),
    ),
    auto.Status("mcp", None, None, (), "not installed"),
    auto.Status(
        "litellm",
        "1.109.0",
        "sys.monitoring",
        ("completions", "embeddings", "tokens"),
        None,
        tested=("1.100.0", "1.110.2"),
        unheard=("threads inside batch_completion",),
    ),
    auto.Status(
        "cohere",
        "4.0.1",
        "sys.monitoring",
        (),
        "this version has no V2Client.chat and 4 more",
        tested=("6.0.0", "7.3.1"),
    ),
    auto.Status(
        "groq",
        "2.0",
        "sys.monitoring",
        ("chat completions",),
        "this version has no Stream.close",
        tested=("1.0.0", "1.7.0"),
    ),
    auto.Status("google_genai", None, None, (), "x", package="google-genai\x1b"),
    auto.Status("shop:Cart.pay", None, "sys.monitoring", ("tool",), None),
    auto.Status("m:f", None, "sys.monitoring", (), "m has not been imported yet"),
]


def test_status(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """
    ``status`` prints what is installed, under its own name, and what is heard of it, or
    why nothing; then functions by path, then what is not installed.
    """
    monkeypatch.setattr(auto, "status", lambda *, importing: FOUND)
    monkeypatch.setattr(instrument, "__version__", "0.1.0", raising=False)
    monkeypatch.setattr(sys_monitoring, "MONITORING", None)

    code = cli.main(["status"])

    assert code == 0
    assert capsys.readouterr().out.splitlines() == [
        f"instrument 0.1.0, Python {platform.python_version()}, hearing by hooks",
        "",
        "✓ langchain-core   1.8.3     chains, models, tokens, tools, retrievers, custom events",
        "✓ openai           3.57.0    chat completions, responses, completions, embeddings, tokens",
        "                             newer than what was tested (2.0 to 3.54); heard all the same",
        "✓ litellm          1.109.0   completions, embeddings, tokens",
        "                             not heard: threads inside batch_completion",
        "✗ cohere           4.0.1     this version has no V2Client.chat and 4 more; cohere 6.0 to 7.3 is heard",
        "✓ groq             2.0       chat completions",
        "                             not all of it: this version has no Stream.close",
        "                             newer than what was tested (1.0 to 1.7)",
        "✓ shop:Cart.pay              tool",
        "✗ m:f                        m has not been imported yet",
        "",
        r"not installed: google-genai\x1b, mcp",
    ]  # fmt: skip


def test_status_in_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Texts are wrapped at words to the terminal's width, in colours by name; where it is
    not UTF-8 the signs are ASCII.
    """
    monkeypatch.setattr(sys_monitoring, "MONITORING", object())

    told = list(frameworks.lines([*FOUND[1:3], FOUND[4]], Marks("latin-1"), 44))

    assert "".join(map(plain, told[:1])).endswith("by hooks and sys.monitoring")
    assert [plain(line).rstrip() for line in told[1:]] == [
        "",
        "+ openai   3.57.0   chat completions,",
        "                    responses, completions,",
        "                    embeddings, tokens",
        "                    newer than what was",
        "                    tested (2.0 to 3.54);",
        "                    heard all the same",
        "x cohere   4.0.1    this version has no",
        "                    V2Client.chat and 4",
        "                    more; cohere 6.0 to 7.3",
        "                    is heard",
        "",
        "not installed: mcp",
    ]
    assert [style for _, style in told[2]] == ["green", "bold", ""]
    assert told[5][-1][1] == "dim"
    assert told[8][0][1] == "bold red"


def test_status_where_nothing_is_installed() -> None:
    """
    Where nothing is installed that line alone is said; where all is, that is not.
    """
    assert [plain(it) for it in frameworks.lines(FOUND[2:3], Marks(), 80)][1:] == [
        "",
        "",
        "not installed: mcp",
    ]
    assert len(list(frameworks.lines(FOUND[:1], Marks(), 90))) == 3


def test_status_as_process(shell: Shell) -> None:
    """
    The process names every framework that there is an adapter for.
    """
    done = shell("status")

    assert done.returncode == 0
    assert [it.package for it in auto.status() if it.package not in done.stdout] == []


def test_interrupt(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Ctrl-C ends a command quietly with code 130.
    """

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(_demo, "show", interrupted)

    assert cli.main(["demo"]) == 130


@pytest.mark.parametrize(
    "words, unbuffered", [(["demo"], ""), (["demo"], "1"), (["--help"], "")]
)
def test_reader_that_left(shell: Shell, words: list[str], unbuffered: str) -> None:
    """
    A closed pipe, as ``| head -1`` leaves behind, ends a command without a word.
    """
    environment = os.environ | {"PYTHONUNBUFFERED": unbuffered}
    reading_end, writing_end = os.pipe()
    os.close(reading_end)

    done = shell(*words, stdout=writing_end, env=environment)

    os.close(writing_end)

    assert (done.returncode, done.stderr) == (1, "")


@needs_full_disk
@pytest.mark.parametrize("events", [[], ["--events", "events.jsonl"]])
def test_output_to_full_disk(shell: Shell, events: list[str]) -> None:
    """
    Output that cannot be written is an error in one line.
    """
    with FULL_DISK.open("w") as full:
        done = shell("demo", *events, stdout=full)

    assert done.returncode == 1
    assert done.stderr == "instrument: error: cannot write: No space left on device\n"


@needs_full_disk
def test_events_to_full_disk(shell: Shell) -> None:
    """
    Events that cannot be written are told in one line, after the request was served.
    """
    done = shell("demo", "--events", str(FULL_DISK))

    error = f"cannot write events to '{FULL_DISK}': No space left on device"
    assert (done.returncode, done.stderr) == (2, f"instrument: error: {error}\n")
    assert "do not\ntrust them." in done.stdout


def test_events_survive_a_reader_that_left(shell: Shell, tmp_path: Path) -> None:
    """
    Where nobody reads the output, the events are kept to the last.
    """
    reading_end, writing_end = os.pipe()
    os.close(reading_end)

    shell("demo", "--events", "events.jsonl", stdout=writing_end)

    os.close(writing_end)
    last = (tmp_path / "events.jsonl").read_text("utf-8").splitlines()[-1]
    assert Event.from_json(last).parent_run_id is None


def test_output_that_is_no_file() -> None:
    """
    A program may have the command line write to a stream of its own.
    """
    with contextlib.redirect_stdout(io.StringIO()) as output:
        code = cli.main(["demo", "Привет?"])

    assert code == 0
    assert output.getvalue().startswith("Question: Привет?")


def test_library_without_sources(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """
    A Python that came without sources is told in one line.
    """
    monkeypatch.setattr(library, "_STANDARD_LIBRARY", tmp_path)

    code = cli.main(["demo"])

    error = capsys.readouterr().err
    assert (code, error.count("\n")) == (1, 1)
    assert error.startswith("instrument: error: no source of the standard library in")


def test_import_of_main() -> None:
    """
    Importing ``instrument.__main__``, as tools do that walk packages, runs nothing.
    """
    assert importlib.import_module("instrument.__main__").main is cli.main


def test_closed_output(tmp_path: Path) -> None:
    """
    A command whose standard output the shell closed still does its work.
    """
    command = ["sh", "-c", '"$0" -m instrument demo >&-', sys.executable]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, timeout=60, check=False
    )

    assert (done.returncode, done.stderr) == (0, b"")


def test_ascii_terminal(shell: Shell) -> None:
    """
    A terminal that knows only ASCII gets escapes, not a crash.
    """
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    done = shell("demo", "wait für tasks → \x1b[31m", env=environment)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(r"Question: wait f\xfcr tasks \u2192 \x1b[31m")
