"""
The command line: ``python -m instrument COMMAND``, and how it tells what is wrong.

A command is a module of `_cli`; what it needs is imported when it runs, so that
``--help`` is quick.
"""

import argparse
import contextlib
import io
import os
import sys
from collections.abc import Iterable, Sequence
from importlib import import_module
from typing import Any, NoReturn

import instrument
from instrument._text import printable

COMMANDS = ("run", "view", "show", "export", "status", "demo")
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
    parser = _parser(words)
    try:
        _check_command(parser, words)
        own, rest = _split(words)
        arguments = parser.parse_args(own)
        arguments.rest = rest
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
    bare, meant = {word.lstrip("-"): word for word in long}, typed.lstrip("-")
    begun = [word for word in bare if word.startswith(meant)]
    close = begun or difflib.get_close_matches(meant, bare)
    return f"did you mean {bare[close[0]]}?" if close else None


class _Version(argparse.Action):
    """
    Look the version up only when asked: that reads the package's metadata.
    """

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        print(f"instrument {instrument.__version__}")
        raise SystemExit(0)


def _parser(words: Sequence[str]) -> _Parser:
    """
    Make the parser of the command in *words*; with none of its own all are told.
    """
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
    for name in words[:1] if words and words[0] in COMMANDS else COMMANDS:
        module = _module(name)
        command = commands.add_parser(
            name,
            help=module.HELP,
            description=module.DESCRIPTION,
            allow_abbrev=False,
        )
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    return parser


def _split(words: Sequence[str]) -> tuple[Sequence[str], Sequence[str]]:
    """
    Part a command's words from those of the program that it runs.
    """
    name = words[0] if words else ""
    split = getattr(_module(name), "split", None) if name in COMMANDS else None
    return (words, ()) if split is None else split(words)


def _module(name: str) -> Any:
    """
    Give the module of a command: ``HELP``, ``DESCRIPTION``, ``add_arguments`` and
    ``run``; it imports what it needs when it runs.
    """
    return import_module(f"instrument._cli.{name}")


def _check_command(parser: _Parser, words: Sequence[str]) -> None:
    if words and words[0] not in COMMANDS and not words[0].startswith("-"):
        cure = _nearest(words[0], COMMANDS) or f"there is {', '.join(COMMANDS)}"
        parser.error(f"unknown command {words[0]!r}: {cure}")


def _ask_for_command(parser: _Parser, _: argparse.Namespace) -> NoReturn:
    parser.error(f"which command? {', '.join(COMMANDS)} (see {parser.prog} --help)")


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
