"""
The command line: ``python -m instrument COMMAND``.

Whatever a command needs is imported when it runs, so that ``--help`` is quick.
"""

import argparse
import contextlib
import io
import os
import sys
from collections.abc import Iterable, Sequence
from functools import partial
from typing import NoReturn

import instrument
from instrument._text import printable

COMMANDS = ("demo", "status")
_USAGE_ERROR = 2
_INTERRUPTED = 130  # 128 + SIGINT, as shells have it


def main(argv: Sequence[str] | None = None) -> int:
    """
    Run one command.

    Args:
        argv: The arguments after the program's name. None: those of the process.

    Returns:
        The exit code: 0 done, 1 failed, 130 stopped by Ctrl-C.

    Raises:
        SystemExit: With code 2 for wrong usage, with 0 after a help text.
    """
    _make_output_safe()
    try:
        _run(sys.argv[1:] if argv is None else argv)
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:  # the reader left, as `| head -1` does: no reason to shout
        _discard_output()
        return 1
    except OSError as exc:
        _say_error(f"cannot write: {exc.strerror}" if exc.strerror else str(exc))
        _discard_output()
        return 1
    return 0


def _run(words: Sequence[str]) -> None:
    parser = _parser()
    try:
        _check_command(parser, words)
        arguments = parser.parse_args(words)
        arguments.run(parser, arguments)
    finally:
        sys.stdout.flush()


class _Parser(argparse.ArgumentParser):
    """
    Errors in one line, and the nearest option for a misspelt one.
    """

    def parse_known_args(  # type: ignore[override]  # typeshed has four overloads
        self,
        args: Sequence[str] | None = None,
        namespace: argparse.Namespace | None = None,
    ) -> tuple[argparse.Namespace, list[str]]:
        """
        Refuse what is unknown here, where the options that could be meant are known.
        """
        known, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self._refuse(unknown)
        return known, unknown

    def error(self, message: str) -> NoReturn:
        """
        Say *message* in one line and exit with code 2.
        """
        _say_error(message)
        raise SystemExit(_USAGE_ERROR)

    def _cure_for_words(self) -> str:
        is_demo = self.prog.endswith(" demo")
        return "put the question in quotes" if is_demo else f"see {self.prog} --help"

    def _refuse(self, unknown: list[str]) -> NoReturn:
        options = [word for word in unknown if word.startswith("-")]
        if not options:
            self.error(f"unexpected {unknown[0]!r}: {self._cure_for_words()}")

        name = options[0].partition("=")[0]
        cure = _nearest(name, self._option_string_actions) or f"see {self.prog} --help"
        self.error(f"unknown option {name!r}: {cure}")


def _nearest(typed: str, known: Iterable[str]) -> str | None:
    import difflib

    long = [word for word in known if not word.startswith("-") or word[1] == "-"]
    begun = [word for word in long if word.lstrip("-").startswith(typed.lstrip("-"))]
    close = begun or difflib.get_close_matches(typed, long)
    return f"did you mean {close[0]}?" if close else None


class _Version(argparse.Action):
    """
    Look the version up only when asked: that reads the package's metadata.
    """

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        print(f"instrument {instrument.__version__}")
        raise SystemExit(0)


def _parser() -> _Parser:
    parser = _Parser(
        prog="python -m instrument",
        description="Listen to what an LLM application does, one request at a time.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--version", action=_Version, nargs=0, help="show the version and exit"
    )
    parser.set_defaults(run=_ask_for_command)
    commands = parser.add_subparsers(metavar="COMMAND", title="commands")

    demo = commands.add_parser(
        "demo",
        help="answer a question offline and show every run",
        description="Answer a question from the docstrings of Python's standard "
        "library, offline, with a toy model, and show every run as it happens.",
        allow_abbrev=False,
    )
    demo.add_argument("question", nargs="*", help="about Python's standard library")
    demo.add_argument(
        "--events",
        metavar="FILE",
        help="append the native events to FILE, one JSON object a line",
    )
    demo.add_argument(
        "--lines", action="store_true", help="show the runs as lines, not as a tree"
    )
    demo.set_defaults(run=_run_demo)

    status = commands.add_parser(
        "status",
        help="show which frameworks are heard, and how",
        description="Import each framework that is installed, and show what "
        "instrument.auto hears of it, or why nothing.",
        allow_abbrev=False,
    )
    status.set_defaults(run=_run_status)
    return parser


def _check_command(parser: _Parser, words: Sequence[str]) -> None:
    if words and words[0] not in COMMANDS and not words[0].startswith("-"):
        cure = _nearest(words[0], COMMANDS) or f"there is {', '.join(COMMANDS)}"
        parser.error(f"unknown command {words[0]!r}: {cure}")


def _ask_for_command(parser: _Parser, _: argparse.Namespace) -> NoReturn:
    parser.error(f"which command? {', '.join(COMMANDS)} (see {parser.prog} --help)")


def _run_demo(parser: _Parser, arguments: argparse.Namespace) -> None:
    from instrument import _demo

    question = " ".join(arguments.question).strip()
    if arguments.question and not question:
        parser.error("the question is empty: ask something, or leave it out")

    show = partial(_demo.show, question or _demo.QUESTION, lines=arguments.lines)
    try:
        if arguments.events is None:
            show()
            return
        with _demo.EventsFile(arguments.events) as file:
            show(file)
    except IsADirectoryError:
        parser.error(f"cannot write events to {arguments.events!r}: it is a folder")
    except OSError as exc:
        if arguments.events is None or exc.filename != arguments.events:
            raise
        parser.error(f"cannot write events to {arguments.events!r}: {exc.strerror}")
    print(f"Events: {printable(arguments.events)}")


def _run_status(parser: _Parser, _: argparse.Namespace) -> None:
    from instrument._cli import status

    status.show()


def _say_error(message: str) -> None:
    print(f"instrument: error: {printable(message)}", file=sys.stderr)


def _make_output_safe() -> None:
    """
    Let no character and no missing stream stop a command: write escapes, or nothing.
    """
    if sys.stdout is None:  # pythonw, or closed by the shell: `>&-`
        sys.stdout = os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _discard_output() -> None:
    """
    Let what is still buffered go nowhere, or the interpreter complains at its exit.

    Source: https://docs.python.org/3/library/signal.html#note-on-sigpipe
    """
    with contextlib.suppress(io.UnsupportedOperation):  # a stream without a file
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
