"""
``python -m instrument show``: the stored requests, or one of them, in the terminal.
"""

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

HELP = "show the requests that were kept, or one of them"
DESCRIPTION = (
    "Show the requests of a store, newest last; with ID or LAST, one of them as a tree;"
    " with other words, those that match: status:error, name:answer, cost:>0.01,"
    " duration:>5s, or what was said; a - before a word leaves out."
)
_LEAVES_OUT = re.compile(r"-(?!-|h$)")


def add_arguments(parser: "argparse.ArgumentParser") -> None:
    """
    Say what it takes.
    """
    parser.add_argument("words", nargs="*", metavar="ID|LAST|WORD", help="what to show")
    parser.add_argument(
        "--errors", action="store_true", help="only requests that have failed"
    )
    parser.add_argument(
        "--follow", action="store_true", help="go on as requests come; Ctrl-C ends it"
    )
    parser.add_argument(
        "--store",
        metavar="FILE",
        help="a store, or a file of events (.jsonl); by default what INSTRUMENT_STORE"
        " names, else instrument/traces.db in the user's data folder",
    )


def split(words: "Sequence[str]") -> "tuple[list[str], list[str]]":
    """
    Part the options from the words that leave something out: ``-status:error``.
    """
    left_out = [it for it in words if _LEAVES_OUT.match(it)]
    return [it for it in words if it not in left_out], left_out


def run(parser: "argparse.ArgumentParser", arguments: "argparse.Namespace") -> None:
    """
    Show them.
    """
    from instrument._cli.shown import show
    from instrument._cli.stores import opened

    with opened(parser, arguments.store, follow=arguments.follow) as reader:
        show(
            parser,
            reader,
            [*arguments.words, *arguments.rest],
            store=arguments.store,
            errors=arguments.errors,
            follow=arguments.follow,
        )
