"""
What ``python -m instrument show`` prints: a list of requests, or the tree of one.
"""

import re
import shlex
import shutil
import sys
from time import localtime, sleep, strftime

from instrument import _ids
from instrument._cli.request_rows import RequestRows
from instrument._cli.stored_trees import PAYLOAD, Replay, stored_tree
from instrument._cli.stores import found, of_now
from instrument._text import printable
from instrument.exceptions import StoreError
from instrument.handlers._shared.amounts import counted
from instrument.handlers._shared.open_runs import ID
from instrument.handlers._shared.style import is_terminal
from instrument.handlers._shared.terminal import Terminal
from instrument.handlers._tree.paper import paper_width
from instrument.handlers._tree.rows import Rows

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any

    from instrument.handlers._shared.style import Marks, Segment
    from instrument.handlers._store.reader import Reader

    Request = dict[str, Any]

_ROWS = 20
"""How many requests are listed where no terminal tells how many fit."""
_FEWEST_ROWS = 5
_AROUND = 4
"""The head, what is said below, and the prompt."""
_FOLLOWED = 200
"""How many of the newest are looked at for what has changed."""
_TICK_S = 0.2
_IDS = re.compile(r"[0-9a-fA-F]{4,32}|[0-9a-fA-F-]{13,36}")


def show(
    parser: "argparse.ArgumentParser",
    reader: "Reader",
    words: "list[str]",
    *,
    store: str | None,
    errors: bool,
    follow: bool,
) -> None:
    """
    Show what *words* ask for: one request, or all that match.

    Args:
        store: The file that was named, to name it again.
    """
    words = [it.encode("utf-8", "replace").decode() for it in words]  # as it is stored
    if errors or len(words) != 1 or not _is_id(words[0]):
        asked = " ".join([*words, *["status:error"] * errors])
        _List(reader, asked, store).show(parser, follow=follow)
        return
    show_one = _follow if follow else _one
    show_one(parser, reader, words[0])


def _is_id(word: str) -> bool:
    return word.upper() == "LAST" or _IDS.fullmatch(word) is not None


class _List:
    """
    Requests in the terminal, newest last.

    Args:
        asked: Words of the filter language; empty for all.
        store: The file that was named.
    """

    def __init__(self, reader: "Reader", asked: str, store: str | None) -> None:
        self._reader = reader
        self._asked = asked
        self._store = "" if store is None else f" --store {shlex.quote(store)}"
        self._terminal = Terminal()

    def show(self, parser: "argparse.ArgumentParser", *, follow: bool) -> None:
        """
        Write those that fit, and go on with those that come or end, if asked to.
        """
        try:
            requests = self._newest(_room())
        except ValueError as exc:  # of the filter
            parser.error(str(exc))
        terminal = self._terminal
        rows = RequestRows(requests, terminal.marks, terminal.width, _now_ms)
        if requests or follow:
            terminal.lines([rows.head(), *map(rows.row, requests)])
        if follow:
            try:
                self._follow(rows, requests)
            finally:
                self._reader.close()
        terminal.line([(self._summary(requests), "dim")])

    def _newest(self, most: int) -> "list[Request]":
        return self._reader.requests(self._asked, limit=most)[::-1]

    def _follow(self, rows: RequestRows, shown: "list[Request]") -> None:
        """
        Write a request when it comes, and again when it has ended; also of a store that
        comes in the place of this one.
        """
        known = {it["trace_id"]: it["status"] for it in self._newest(_FOLLOWED)}
        known |= {it["trace_id"]: it["status"] for it in shown}
        cursor = -1
        while True:
            reader, self._reader = self._reader, of_now(self._reader)
            if self._reader is not reader:
                known, cursor = {}, -1
            if self._reader.cursor() != cursor:
                cursor = self._reader.cursor()
                newest = self._newest(_FOLLOWED)
                for request in newest:
                    if known.get(request["trace_id"]) != request["status"]:
                        self._terminal.line(rows.row(request))
                known = {it["trace_id"]: it["status"] for it in newest}
            sleep(_TICK_S)

    def _summary(self, requests: "list[Request]") -> str:
        total = self._reader.about()["requests"]
        if not total:
            return (
                f"no requests in {self._reader.shown} yet. Keep some:"
                " python -m instrument run your_program.py"
            )
        if not requests:
            return f"none of {counted(total, 'request')} matches: {self._asked}"
        failed = [it for it in requests if it["status"] == "error"]
        one = (failed or requests)[-1]["hex"][:ID]
        store = printable(self._store)
        return (
            f"{len(requests):,} of {counted(total, 'request')}, newest last. One of"
            f" them: show {one}{store}, or show LAST{store}"
        )


def _one(parser: "argparse.ArgumentParser", reader: "Reader", word: str) -> None:
    terminal = Terminal()
    rows = Rows(terminal.marks, has_line=terminal.width is not None)
    with reader.at_one_state():  # it may be deleted meanwhile
        request = found(parser, reader, word)
        tree = stored_tree(reader, request, terminal.marks)
    width = terminal.width or paper_width()
    terminal.lines([_head(request, terminal.marks), *rows.whole(tree, width)])


def _follow(parser: "argparse.ArgumentParser", reader: "Reader", word: str) -> None:
    """
    Show one request as it goes on, until it has ended.
    """
    from instrument.handlers._tree.display import display_of

    request = found(parser, reader, word)
    try:
        display = display_of(sys.stdout)
    except ImportError:
        parser.error(
            'to follow one request needs rich: pip install "instrument-callbacks[rich]"'
        )
    terminal = Terminal()
    terminal.line(_head(request, terminal.marks))
    forest = display.trees.plant(PAYLOAD)
    replay = Replay(reader, request, terminal.marks, forest, display.tell)
    while request["status"] == "running":
        replay.tell_more()
        sleep(_TICK_S)
        if not reader.is_there():
            message = f"the store {str(reader.shown)!r} is not there any more"
            raise StoreError(message)
        request = found(parser, reader, request["trace_id"])
    replay.tell_more()
    display.settle()


def _head(request: "Request", marks: "Marks") -> "list[Segment]":
    """
    Say when it was, whose, and of which program.
    """
    then = localtime(request["started_ms"] / 1e3)
    told = [strftime("%Y-%m-%d %H:%M:%S", then)]
    if "user" in request:
        told.append(f"user_id={marks.name(request['user'])}")
    if request.get("tags"):
        told.append(f"tags {' '.join(map(marks.name, request['tags']))}")
    program = request.get("process", {}).get("argv0")
    if program:
        told.append(marks.shown("/".join(re.split(r"[\\/]", program)[-2:])))
    head = f"request {request['hex'][:ID]}"
    return [(head, "bold"), (f"  {', '.join(told)}", "dim")]


def _room() -> int:
    if not is_terminal(sys.stdout):
        return _ROWS
    return max(_FEWEST_ROWS, shutil.get_terminal_size().lines - _AROUND)


def _now_ms() -> float:
    return _ids.wall_ns() / 1e6
