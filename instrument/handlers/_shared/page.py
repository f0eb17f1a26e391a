"""
What a page is told of a request: how far it is, and what it answers; nothing that was
asked, no tool's arguments or results, and nothing that the application keeps beside.
"""

from instrument._payloads.event import TOKEN

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from instrument._payloads.event import Event

_CUSTOM = "on_custom_event"
_ENDINGS = ("status", "usage", "finish_reason", "type", "message")
_OF_MODELS = ("on_llm_end", "on_llm_error")


def page_fields(event: "Event") -> "dict[str, Any] | None":
    """
    Give what a page is told of *event*; None of what is not for a page.

    What begins, ends or is the application's own has the fields of an `Event`, but for
    tags and metadata. A piece of text or reasoning has its ``run_id`` and ``data``: the
    start of that run has told the rest.
    """
    data = told_of(event)
    if data is None:
        return None
    name, run_id = event.event, str(event.run_id)
    if name == TOKEN:
        return {"event": name, "run_id": run_id, "data": data}
    parent_id = event.parent_run_id
    return {
        "v": event.v,
        "event": name,
        "seq": event.seq,
        "time_ns": event.time_ns,
        "trace_id": str(event.trace_id),
        "run_id": run_id,
        "parent_run_id": None if parent_id is None else str(parent_id),
        "kind": event.kind,
        "name": event.name,
        "data": data,
    }


def told_of(event: "Event") -> "dict[str, Any] | None":
    """
    Give what a page is told of ``data``; None of what is not for a page.
    """
    name, data = event.event, event.data
    if name == TOKEN:
        return None if data["channel"] == "tool_call" else data
    if name == _CUSTOM:
        return data
    if name.endswith("_start"):
        return {}
    if not name.endswith(("_end", "_error")):
        return None
    told = (*_ENDINGS, "text") if name in _OF_MODELS else _ENDINGS
    shown = {key: data[key] for key in told if data.get(key)}
    return {**shown, "duration_s": round(data["duration_s"], 6)}
