"""
What ``python -m instrument export`` writes: a page, records, or text for a model.
"""

import json
import os
import stat
from pathlib import Path
from secrets import token_hex

from instrument._cli.markdown import Markdown
from instrument._cli.stored_trees import stored_tree
from instrument._text import printable
from instrument.handlers._shared.amounts import size
from instrument.handlers._shared.style import Marks, plain
from instrument.handlers._tree.rows import Rows
from instrument.viewer.onefile import masked, names_with, packed

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any

    from instrument._payloads.names import Names
    from instrument.handlers._store.reader import Reader

    Request = dict[str, Any]

_WIDTH = 120
_PAGE = 10_000

redactor_of = names_with


def page(reader: "Reader", request: "Request", redactor: "Names") -> str:
    """
    Write the page, with all that was kept.
    """
    text = _tree(reader, request, redactor)
    return packed([(request, _runs(reader, request))], redactor=redactor, text=text)


def records(reader: "Reader", request: "Request", redactor: "Names") -> str:
    """
    Write the native records, one a line.
    """
    lines, cursor = [], 0
    while True:
        found = reader.events(request["trace_id"], after=cursor, limit=_PAGE)
        for _, record in found:
            lines.append(json.dumps(masked(record, redactor), separators=(",", ":")))
        if len(found) < _PAGE:
            return "".join(f"{line}\n" for line in lines)
        cursor = found[-1][0]


def text(reader: "Reader", request: "Request", redactor: "Names") -> str:
    """
    Write Markdown: the tree, then each run, those that failed first.
    """
    runs = [masked(it, redactor) for it in _runs(reader, request)]
    written = Markdown(masked(request, redactor), runs)
    return written.text(_tree(reader, request, redactor))


WRITERS = {"html": page, "jsonl": records, "md": text}


def save(parser: "argparse.ArgumentParser", path: str, text: str) -> None:
    """
    Write the file, and say so.
    """
    content = text.encode("utf-8", "backslashreplace")
    try:
        _write(Path(path), content)
    except OSError as exc:
        parser.error(f"cannot write {path!r}: {exc.strerror}")
    print(f"Written: {printable(path)}, {size(len(content))}")


def _write(path: Path, content: bytes) -> None:
    """
    Write a file whole, or leave what is there: beside it first, then in its place.
    """
    if path.exists() and not path.is_file():  # a pipe, or a device as /dev/stdout
        path.write_bytes(content)
        return
    path = Path(os.path.realpath(path))  # a link stays one
    beside = path.with_name(f".{token_hex(8)}.part")
    try:
        beside.write_bytes(content)
        if path.exists():
            beside.chmod(stat.S_IMODE(path.stat().st_mode))
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def _runs(reader: "Reader", request: "Request") -> "list[dict[str, Any]]":
    rows, _ = reader.skeleton(request["trace_id"])
    return [reader.run(row["run_id"], row["seq"]) for row in rows]


def _tree(reader: "Reader", request: "Request", redactor: "Names") -> str:
    marks = Marks()
    rows = Rows(marks, has_line=False)
    tree = stored_tree(reader, request, marks, lambda it: masked(it, redactor))
    lines = rows.whole(tree, _WIDTH)
    return "\n".join(plain(line).rstrip() for line in lines)
