"""
A request as Markdown, to be pasted into a chat with a model: bounded, and what is cut
says how much.
"""

import json
import re
from time import localtime, strftime

from instrument._cli.stored_trees import name_of
from instrument._text import cut, printable
from instrument.handlers._shared import amounts
from instrument.handlers._shared.open_runs import ID

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    Run = dict[str, Any]

MOST = 60_000
"""The characters that it has at most, about 15,000 tokens."""
_TREE = 12_000
_VALUE = 4_000
_ERROR = 6_000
_ENDS = 1_000
_NAMED = 50
_WENT_IN = ("messages", "prompts", "texts", "query", "inputs")
_CAME_OUT = (
    *("outputs", "documents", "vectors", "reasoning", "text", "tool_calls"),
    "finish_reason",
)
_FENCE = re.compile(r"^[^\S\n]*(`{3,})", re.MULTILINE)


class Markdown:
    """
    Writes a request.

    Args:
        request: Its row.
        runs: All its runs, in the order in which they started.
    """

    def __init__(self, request: "Run", runs: "list[Run]") -> None:
        self._request = request
        self._runs = runs

    def text(self, tree: str) -> str:
        """
        Write it, with the *tree* first.
        """
        parts = [self._head(), _fenced(cut(tree, _TREE))]
        left = MOST - sum(map(len, parts)) - _ENDS
        numbered = list(enumerate(self._runs, 1))
        failed = [it for it in numbered if _is_origin(it[1])]
        rest = [it for it in numbered if not _is_origin(it[1])]
        left_out = []
        for number, run in [*failed, *rest]:
            part = "\n\n".join(_run(number, run))
            if len(part) > left:
                left_out.append(number)
                continue
            left -= len(part) + 2
            parts.append(part)
        if left_out:
            told = ", ".join(map(str, left_out[:_NAMED]))
            more = len(left_out) - _NAMED
            more_told = f" and {more:,} more" if more > 0 else ""
            parts.append(
                f"Left out, as this text has at most {MOST:,} characters:"
                f" {amounts.counted(len(left_out), 'run')} (numbers {told}{more_told})."
            )
        return "\n\n".join(parts) + "\n"

    def _head(self) -> str:
        request = self._request
        then = strftime("%Y-%m-%d %H:%M:%S", localtime(request["started_ms"] / 1e3))
        told = [f"started {then}", request["status"]]
        if "duration_ms" in request:
            told.append(f"took {amounts.duration(request['duration_ms'] / 1e3)}")
        told += [amounts.counted(request["runs"], "run"), *_consumed(request)]
        name = printable(request["name"])
        head = f"# Request {request['hex'][:ID]}: {request['kind']} {name}"
        return f"{head}\n\n{', '.join(told)}. Runs are numbered as they started."


def _run(number: int, run: "Run") -> "Iterator[str]":
    name = name_of(run["kind"], run["name"], run.get("model"), run.get("provider"))
    told = [run["status"]]
    if "duration_ms" in run:
        told.append(amounts.duration(run["duration_ms"] / 1e3))
    told += _consumed(run)
    yield f"## {number}. {run['kind']} {printable(name)} ({', '.join(told)})"
    error = run.get("error")
    if error:
        message = f"{error.get('type')}: {error.get('message', '')}"
        if not _is_origin(run):
            yield f"Passed on: {printable(cut(message, _VALUE))}"
        else:
            yield "Error:"
            yield _fenced(cut((error.get("traceback") or message).strip(), _ERROR))
    for what, names in (("In", _WENT_IN), ("Out", _CAME_OUT)):
        for key in names:
            if run.get(key) not in (None, [], {}, ""):
                yield f"{what}, {key.replace('_', ' ')}:"
                yield _fenced(cut(_written(run[key]), _VALUE))
    for each in run.get("cut", ()):
        path, recorded, whole = each["path"], each["recorded"], each["whole"]
        yield f"Of {path} {recorded:,} of {whole:,} characters were kept."


def _is_origin(run: "Run") -> bool:
    return bool(run.get("error", {}).get("origin") or run.get("origin"))


def _consumed(told: "Run") -> "list[str]":
    shown = []
    for name, what in (("input_tokens", "in"), ("output_tokens", "out")):
        if name in told:
            shown.append(f"{amounts.tokens(told[name])} {what}")
    if "cost_usd" in told:
        shown.append(amounts.money(told["cost_usd"]))
    return shown


def _written(value: "Any") -> str:
    if type(value) is str:
        return value
    if type(value) is list and value and all(_is_message(it) for it in value):
        return "\n".join(f"{it['role']}: {_said(it)}" for it in value)
    return json.dumps(value, ensure_ascii=False, indent=1)


def _is_message(value: "Any") -> bool:
    return type(value) is dict and type(value.get("role")) is str


def _said(message: "dict[str, Any]") -> str:
    content = message.get("content")
    told = [
        content if type(content) is str else json.dumps(content, ensure_ascii=False)
    ]
    if message.get("tool_calls"):
        told.append(json.dumps(message["tool_calls"], ensure_ascii=False))
    return " ".join(told)


def _fenced(text: str) -> str:
    """
    Put text of any origin into a block that it cannot end.
    """
    ticks = max([2, *(len(found) for found in _FENCE.findall(text))]) + 1
    fence = "`" * ticks
    return f"{fence}\n{printable(text, also=chr(10) + chr(9))}\n{fence}"
