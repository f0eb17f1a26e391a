"""
``python -m instrument`` as a shell sees it: exit codes, streams, one-line errors.
"""

import os
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest

from instrument import _demo, cli

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
        ([], "which command? demo (see python -m instrument --help)"),
        (["dmo"], "unknown command 'dmo': did you mean demo?"),
        (["What is a deque?"], "unknown command 'What is a deque?': there is demo"),
        (["--verison"], "unknown option '--verison': did you mean --version?"),
        (["-x"], "unknown option '-x': see python -m instrument --help"),
        (["demo", "--evnts", "f"], "unknown option '--evnts': did you mean --events?"),
        (["demo", "--event=f"], "unknown option '--event': did you mean --events?"),
        (["demo", "-e", "f"], "unknown option '-e': did you mean --events?"),
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

    assert done.stdout == f"instrument {version('instrument-callbacks')}\n"
    assert done.returncode == 0


def test_interrupt(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Ctrl-C ends a command quietly with code 130.
    """

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(_demo, "show", interrupted)

    assert cli.main(["demo"]) == 130


@pytest.mark.parametrize("words", [["demo"], ["--help"]])
def test_reader_that_left(shell: Shell, words: list[str]) -> None:
    """
    A closed pipe, as ``| head -1`` leaves behind, ends a command without a word.
    """
    reading_end, writing_end = os.pipe()
    os.close(reading_end)
    done = shell(*words, stdout=writing_end)
    os.close(writing_end)

    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_full_disk(shell: Shell) -> None:
    """
    Output that cannot be written is an error in one line.
    """
    with Path("/dev/full").open("w") as full:
        done = shell("demo", stdout=full)

    assert done.returncode == 1
    assert done.stderr == "instrument: error: [Errno 28] No space left on device\n"


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
