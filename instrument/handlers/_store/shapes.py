"""
Rows as JSON: a request in a list, a run in a tree. What is not known is left out.
"""

import re

from instrument.handlers._store.tables import loaded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

SUMMARY = (
    *("id", "trace_id", "trace_hex", "run_id", "kind", "name", "said", "answered"),
    *("error_type", "error_message", "error_name", "user", "models", "input_tokens"),
    *("output_tokens", "cost_usd", "unpriced", "started_ns", "duration_ms"),
    *("first_token_ms", "runs", "errors", "retries", "model_calls", "tags", "process"),
    *("changed",),
)
SKELETON = (
    *("id", "run_id", "parent_run_id", "kind", "name", "started_ns"),
    *("duration_ms", "first_token_ms", "model", "provider", "input_tokens"),
    *("cached_tokens", "output_tokens", "reasoning_tokens", "cost_usd"),
    *("error_type", "error_message", "is_origin", "retries", "marks", "hint"),
    *("finish", "said"),
)
_SAID = 120
_MESSAGE = 300
_KEPT = (
    *("kind", "name", "duration_ms", "first_token_ms", "model", "provider"),
    *("input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens", "cost_usd"),
    *("hint", "finish"),
)
_CUT = re.compile(r"… \[(\d{1,18}) more characters\]\Z")
_LEFT = re.compile(r"(?:… )?(\d{1,18}|more) (?:more )?(items|entries)\Z")
_MOST_CUTS = 100


def summary(
    row: "tuple[Any, ...]", process: "dict[str, Any] | None"
) -> "dict[str, Any]":
    """
    Give a request of the list.

    Args:
        row: The columns `SUMMARY`, and the status.
    """
    told = dict(zip((*SUMMARY, "status"), row, strict=True))
    models = loaded(told["models"])
    made = {
        "key": told["id"],
        "trace_id": told["trace_id"],
        "hex": told["trace_hex"],
        "run_id": told["run_id"] or told["trace_id"],
        "kind": told["kind"] or "chain",
        "name": told["name"] or "",
        "status": told["status"],
        "said": told["said"] or "",
        "started_ms": told["started_ns"] / 1e6,
        "runs": told["runs"],
        "errors": told["errors"],
        "model_calls": told["model_calls"],
    }
    for name in ("answered", "user", "input_tokens", "output_tokens", "cost_usd"):
        _put(made, name, told[name])
    for name in ("duration_ms", "first_token_ms"):
        _put(made, name, told[name])
    for name in ("unpriced", "retries"):
        _put(made, name, told[name] or None)
    if told["status"] == "error":
        for name in ("error_type", "error_message", "error_name"):
            _put(made, name, told[name])
    if models:
        made |= {"model": models[0], "models": len(models)}
    if told["tags"]:
        made["tags"] = loaded(told["tags"])
    _put(made, "process", process)
    return made


def skeleton(
    row: "tuple[Any, ...]", seq: int, began_ns: int, known: "Any"
) -> "dict[str, Any]":
    """
    Give a run of the tree.

    Args:
        row: The columns `SKELETON`, and the status.
        seq: Which it is in the order of starts.
        began_ns: When the request began.
        known: The ids of the runs of the request.
    """
    told = dict(zip((*SKELETON, "status"), row, strict=True))
    status = told["status"]
    made = {"run_id": told["run_id"], "seq": seq, "status": status}
    made["start_ms"] = (told["started_ns"] - began_ns) / 1e6
    if told["parent_run_id"] in known:
        made["parent_run_id"] = told["parent_run_id"]
    for name in _KEPT:
        value = told[name]
        if value is not None:
            made[name] = value
    if told["said"]:
        made["said"] = shorter(told["said"], _SAID)
    if told["error_type"]:
        made["error_type"] = told["error_type"]
        made["error_message"] = shorter(told["error_message"] or "", _MESSAGE)
        made["origin" if told["is_origin"] else "passed_on"] = True
    if told["retries"]:
        made["retries"] = told["retries"]
    if told["marks"]:
        made["marks"] = loaded(told["marks"])
    return made


def shorter(text: str, most: int) -> str:
    """
    Give no more than the beginning of *text*.
    """
    return text if len(text) <= most else text[: most - 1] + "…"


def cuts_in(value: "Any", path: str = "") -> "list[dict[str, Any]]":
    """
    Tell what was cut when it was written: where, and how much of how much is there.
    """
    found = []
    for cut in _cuts(value, path):
        found.append(cut)
        if len(found) == _MOST_CUTS:
            break
    return found


def _cuts(value: "Any", path: str) -> "Iterator[dict[str, Any]]":
    kind = type(value)
    if kind is str:
        cut = _CUT.search(value)
        if cut is not None:
            recorded = cut.start()
            yield _cut(path, recorded, recorded + int(cut[1]))
    elif kind is dict:
        left = _left(value.get("…"), "entries")
        if left is not None:
            yield _cut(path, len(value) - 1, len(value) - 1 + left)
        for key, item in value.items():
            yield from _cuts(item, f"{path}.{key}" if path else key)
    elif kind is list:
        left = _left(value[-1] if value else None, "items")
        if left is not None:
            yield _cut(path, len(value) - 1, len(value) - 1 + left)
        for index, item in enumerate(value):
            yield from _cuts(item, f"{path}[{index}]")


def _left(value: "Any", noun: str) -> int | None:
    found = _LEFT.match(value) if type(value) is str else None
    if found is None or found[2] != noun or found[1] == "more":
        return None
    return int(found[1])


def _cut(path: str, recorded: int, whole: int) -> "dict[str, Any]":
    return {"path": path, "recorded": recorded, "whole": whole}


def _put(made: "dict[str, Any]", name: str, value: "Any") -> None:
    if value is not None:
        made[name] = value
