"""
What was heard, as the page in a frame of a notebook: it survives saving, as all of it
stands in the notebook, and reaches nothing outside the frame.
"""

import sqlite3
from html import escape
from pathlib import Path
from tempfile import TemporaryDirectory

from instrument.handlers._shared.usual_names import USUAL
from instrument.handlers._store.ledger import Ledger
from instrument.handlers._store.reader import Reader
from instrument.handlers._store.tables import writing
from instrument.handlers._store.told import Told
from instrument.viewer.onefile import packed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from instrument._payloads.event import Event
    from instrument.viewer.onefile import Pair

_FRAME = (
    '<iframe srcdoc="{page}" sandbox="allow-scripts" title="What was heard"'
    ' style="width:100%;height:480px;border:1px solid rgba(128,128,128,.4)"></iframe>'
)
_BELOW = "<details><summary>The same as a tree of text</summary>{tree}</details>"


def framed(events: "Iterable[Event]", tree: str, text: str) -> str:
    """
    Write what was heard as HTML for a notebook.

    Args:
        tree: The same without script, for where a notebook shows no frames.
        text: The same, for where it shows frames and no scripts.
    """
    try:
        with TemporaryDirectory(prefix="instrument-") as folder:
            requests = _requests(Path(folder) / "heard.db", events)
    except (OSError, sqlite3.Error):  # there is no place for a store
        return tree
    page = packed(requests, redactor=USUAL, text=text)
    return _FRAME.format(page=escape(page)) + _BELOW.format(tree=tree)


def _requests(path: Path, events: "Iterable[Event]") -> "list[Pair]":
    ledger = Ledger(writing(path))
    try:
        ledger.write([Told(event, event.run) for event in events])
    finally:
        ledger.close()
    reader = Reader(path)
    try:
        return [
            (request, [reader.run(row["run_id"], row["seq"]) for row in rows])
            for request in reversed(reader.requests(limit=-1))
            for rows, _ in [reader.skeleton(request["trace_id"])]
        ]
    finally:
        reader.close()
