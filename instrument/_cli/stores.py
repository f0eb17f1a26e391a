"""
How a command opens a store, or a file of events, to read.
"""

from contextlib import contextmanager
from pathlib import Path

from instrument.exceptions import StoreError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator
    from typing import Any

    from instrument.handlers._store.reader import Reader

ENDINGS = (".jsonl", ".ndjson")
_ODD = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""What is raised of values, as of a damaged page, that no writer of ours has put there."""


@contextmanager
def opened(
    parser: "argparse.ArgumentParser", path: str | None, *, follow: bool = False
) -> "Iterator[Reader]":
    """
    Give a reader of the store at *path*, or of the default one; what cannot be read is
    told in one line.
    """
    from instrument.handlers._store.place import default_path
    from instrument.handlers._store.reader import Reader

    try:
        whole = default_path() if path is None else Path(path)
        if whole.suffix in ENDINGS:
            from instrument.handlers._store.events_file import store_of

            reader = Reader(store_of(whole, follow=follow), shown=whole)
        else:
            reader = Reader(whole)
    except (StoreError, OSError) as exc:
        parser.error(str(exc))
    try:
        yield reader
    except StoreError as exc:
        parser.error(str(exc))
    except _ODD as exc:
        parser.error(
            f"the store {str(reader.shown)!r} holds what cannot be shown"
            f" ({type(exc).__name__}): it is damaged, or others have written to it"
        )
    finally:
        reader.close()


def of_now(reader: "Reader") -> "Reader":
    """
    Give a reader of what is at the path now: *reader*, or where another store has come
    there, one of that, and *reader* is closed.
    """
    from instrument.handlers._store.reader import Reader

    if reader.is_there():
        return reader
    try:
        made = Reader(reader.path, shown=reader.shown)
    except StoreError:  # none yet: it is looked for again
        return reader
    reader.close()
    return made


def found(
    parser: "argparse.ArgumentParser", reader: "Reader", word: str
) -> "dict[str, Any]":
    """
    Give the request that *word* names.
    """
    try:
        with reader.at_one_state():
            return reader.request(reader.find(word))
    except LookupError as exc:
        parser.error(str(exc.args[0]))
