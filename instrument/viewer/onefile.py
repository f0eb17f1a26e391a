"""
One request as one HTML file: the page's own modules and styles, and the data, in it.

It opens from ``file://`` and in a frame of a notebook. Nothing in it is fetched: its
policy lets run only the script that it was written with. The data are text to it.
"""

import gzip
import json
import re
from base64 import b64encode
from functools import cache
from hashlib import sha256
from html import escape
from pathlib import Path

from instrument._payloads.names import MASK
from instrument._payloads.redact import redacted
from instrument._payloads.walk import STORED
from instrument._text import printable
from instrument.handlers._shared.amounts import counted
from instrument.handlers._shared.usual_names import USUAL_NAMES
from instrument.handlers._store.facts import answered_in, asked_in, line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

    from instrument._payloads.names import Names

    Pair = tuple[dict[str, Any], list[dict[str, Any]]]

PAGE = Path(__file__).parent / "page"
_FIRST = "main"
_IMPORT = re.compile(r'^import\s*(\{[^}]*\})\s*from\s*"\./(\w+)\.js";$', re.MULTILINE)
_EXPORT = re.compile(
    r"^export (?=(?:async )?(?:function\*?|class|const|let) (\w+))", re.MULTILINE
)
_POLICY = (
    "default-src 'none'; script-src {script}; style-src {style}; img-src data:;"
    " base-uri 'none'; form-action 'none'"
)
_HOLDERS = ("error", "data", "events")
_TEXTS = ("said", "answered", "error_message", "message", "traceback")


def packed(requests: "Sequence[Pair]", *, redactor: "Names", text: str = "") -> str:
    """
    Write requests as one HTML file: a single one is shown, several are a list.

    Args:
        requests: Each with its row and all its runs, whole, as a store's reader gives them.
        redactor: Masks by name, once more: what is sent to somebody may be seen by many.
        text: What is shown where there is no JavaScript.
    """
    pairs = [_pair(request, runs, redactor) for request, runs in requests]
    one = pairs[0] if len(pairs) == 1 else None
    name = counted(len(pairs), "request") if one is None else one["request"]["name"]
    data = {"requests": pairs} if one is None else one
    raw = json.dumps(data, separators=(",", ":")).encode()
    script, style = joined(), _read("style.css")
    policy = _POLICY.format(script=_hash(script), style=_hash(style))
    return _HTML.format(
        policy=escape(policy),
        title=escape(printable(f"{name} - instrument")),
        style=style,
        script=script,
        data=b64encode(gzip.compress(raw, mtime=0)).decode(),
        text=escape(printable(text, also="\n")),
    )


def _pair(
    request: "dict[str, Any]", runs: "list[dict[str, Any]]", redactor: "Names"
) -> "dict[str, Any]":
    row = masked(request, redactor)
    shown = [masked(run, redactor) for run in runs]
    for run, told in zip(runs, shown, strict=True):
        # what a row says of a run is a value without the name that it stands under
        changed = {
            name: line(words_in(told)) or ""
            for name, words_in in _WORDS.items()
            if words_in(told) != words_in(run)
        }
        told |= {name: text for name, text in changed.items() if name in told}
        if run["run_id"] == request["run_id"]:
            row |= {name: text for name, text in changed.items() if name in row}
    return {"request": row, "runs": shown}


_WORDS = {"said": asked_in, "answered": answered_in}


_HTML = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<title>{title}</title>
<link rel="icon" href="data:,">
<style>{style}</style>
</head>
<body>
<div id="app"></div>
<noscript><pre>{text}</pre></noscript>
<script type="text/plain" id="packed">{data}</script>
<script type="module">{script}</script>
</body>
</html>
"""


def masked(told: "Any", redactor: "Names") -> "Any":
    """
    Give what was stored of a request, a run or an event without what a name masks.
    """
    shown = redacted(told, (redactor,), (STORED,))
    return _without_said(shown, redactor)


def names_with(more: "Iterable[str]") -> "Names":
    """
    Give a redactor by the usual names and *more*.

    Raises:
        TypeError, ValueError: For what is no such name.
    """
    from instrument._payloads.redact import as_redactor

    return as_redactor([*USUAL_NAMES, *more])  # type: ignore[return-value]


def _without_said(told: "Any", redactor: "Names") -> "Any":
    """
    Mask what messages tell of such names: ``password='x'``.
    """
    if type(told) is list:
        return [_without_said(it, redactor) for it in told]
    if type(told) is not dict:
        return told
    changed = dict(told)
    for name, value in told.items():
        if name in _TEXTS and type(value) is str:
            changed[name] = redactor.masked_text(value)
        elif name in _HOLDERS:
            changed[name] = _without_said(value, redactor)
    held = changed.get("data") if told.get("event") == "on_custom_event" else None
    if type(held) is dict and redactor.masks(held.get("name")):
        changed["data"] = {**held, "data": MASK}
    return changed


@cache
def joined() -> str:
    """
    Give the page's modules as one script: each a function that gives what it exports,
    behind those that it imports.
    """
    sources: dict[str, str] = {}
    _collect(_FIRST, sources)
    script = "".join(_as_function(name, text) for name, text in sources.items())
    # what would end the element, or begin a comment of HTML in it
    return re.sub(r"<(?=/script|!--|script)", r"\\x3c", script, flags=re.IGNORECASE)


def _as_function(name: str, text: str) -> str:
    exported = ", ".join(_EXPORT.findall(text))
    body = _EXPORT.sub("", _IMPORT.sub(r"const \1 = \2_js;", text))
    return f"const {name}_js = (() => {{\n{body}\nreturn {{ {exported} }};\n}})();\n"


def _collect(name: str, sources: "dict[str, str]") -> None:
    if name in sources:
        return
    text = _read(f"{name}.js")
    for _, imported in _IMPORT.findall(text):
        _collect(imported, sources)
    sources[name] = text


def _read(name: str) -> str:
    return (PAGE / name).read_text("utf-8")


def _hash(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"
