"""
``python -m instrument demo``: one real request, offline, and what is heard of it.
"""

from functools import partial

from instrument._text import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

HELP = "answer a question offline and show every run"
DESCRIPTION = (
    "Answer a question from the docstrings of Python's standard library, offline, with"
    " a toy model, and show every run as it happens."
)


def add_arguments(parser: "argparse.ArgumentParser") -> None:
    """
    Say what it takes.
    """
    parser.add_argument("question", nargs="*", help="about Python's standard library")
    parser.add_argument(
        "--events",
        metavar="FILE",
        help="append the native events to FILE, one JSON object a line",
    )
    parser.add_argument(
        "--lines", action="store_true", help="show the runs as lines, not as a tree"
    )


def run(parser: "argparse.ArgumentParser", arguments: "argparse.Namespace") -> None:
    """
    Answer the question.
    """
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
