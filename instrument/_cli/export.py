"""
``python -m instrument export``: one request as a file, to look at or to send.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

HELP = "write one request to a file: a page, records, or text for a model"
DESCRIPTION = (
    "Write one request to a file: .html, a page that opens without a server; .jsonl,"
    " the native records; .md, text to paste into a chat with a model. What is usually"
    " secret, by its name, is masked."
)


def add_arguments(parser: "argparse.ArgumentParser") -> None:
    """
    Say what it takes.
    """
    parser.add_argument(
        "request", metavar="REQUEST", help="the first digits of its id, or LAST"
    )
    parser.add_argument(
        "--to", metavar="FILE", required=True, help="x.html, x.jsonl or x.md"
    )
    parser.add_argument(
        "--redact",
        metavar="NAME",
        nargs="+",
        action="extend",
        default=[],
        help="mask what stands under that name, too",
    )
    parser.add_argument(
        "--store",
        metavar="FILE",
        help="a store, or a file of events (.jsonl); by default what INSTRUMENT_STORE"
        " names, else instrument/traces.db in the user's data folder",
    )


def run(parser: "argparse.ArgumentParser", arguments: "argparse.Namespace") -> None:
    """
    Write it.
    """
    from instrument._cli import exported
    from instrument._cli.stores import found, opened

    ending = arguments.to.rpartition(".")[2].lower()
    write = exported.WRITERS.get(ending)
    if write is None:
        known = ", ".join(f"x.{it}" for it in exported.WRITERS)
        parser.error(f"--to {arguments.to!r}: the file's name says its form: {known}")
    try:
        redactor = exported.redactor_of(arguments.redact)
    except ValueError:
        names = " ".join(arguments.redact)
        parser.error(f"--redact {names}: a name has letters or digits")
    with opened(parser, arguments.store) as reader, reader.at_one_state():
        request = found(parser, reader, arguments.request)
        text = write(reader, request, redactor)
    exported.save(parser, arguments.to, text)
