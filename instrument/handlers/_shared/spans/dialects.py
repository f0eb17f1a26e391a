"""
The dialects by name, and what all of them say of a span.
"""

import json

from instrument.handlers._shared.spans import gen_ai, openinference
from instrument.handlers._shared.spans.told import LIMIT, within

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from instrument.handlers._shared.spans.told import Told

DIALECTS = ("both", "gen_ai", "openinference")


def attributes_of(told: "Told", dialect: str) -> "dict[str, Any]":
    """
    Give the attributes of a span, those last that tell what it is.

    Args:
        told: Of a run that goes on, or has ended.
        dialect: One of `DIALECTS`.

    Returns:
        Strings, whole numbers, floats, booleans, and lists of strings.
    """
    made: dict[str, Any] = {}
    if dialect != "gen_ai":
        made |= openinference.attributes(told)
    if dialect != "openinference":
        made |= gen_ai.attributes(told)
    if dialect == "gen_ai":  # it has no words for them
        metadata = told.metadata
        made |= {"instrument.tags": told.tags} if told.tags else {}
        if metadata:
            made["instrument.metadata"] = within(metadata, told.limit or LIMIT)
    if told.status in ("cancelled", "abandoned"):
        made["instrument.status"] = told.status
    if told.unheard_parent is not None:
        made["instrument.parent_run_id"] = told.unheard_parent
    return made | {"instrument.kind": told.kind, "instrument.run_id": told.run_id}


def identity_of(told: "Told", dialect: str) -> "dict[str, Any]":
    """
    Give the attributes that tell what a span is, of a run that starts: what samplers go
    by.
    """
    made: dict[str, Any] = {}
    if dialect != "gen_ai":
        made["openinference.span.kind"] = openinference.KINDS.get(told.kind, "CHAIN")
    if dialect != "openinference":
        provider = told.provider
        made["gen_ai.operation.name"] = gen_ai.OPERATIONS.get(told.kind)
        made["gen_ai.provider.name"] = gen_ai.PROVIDERS.get(provider or "", provider)
        made["gen_ai.request.model"] = told.request_model
        if told.kind in ("agent", "tool"):
            made[f"gen_ai.{told.kind}.name"] = told.name
    made |= {"instrument.kind": told.kind, "instrument.run_id": told.run_id}
    return {name: value for name, value in made.items() if value is not None}


def name_of(told: "Told", dialect: str) -> str:
    """
    Give the name of a span.
    """
    return gen_ai.name(told) if dialect == "gen_ai" else told.name


def is_client(told: "Told") -> bool:
    """
    Tell whether it asks somebody else, and so is a span of kind CLIENT.
    """
    return told.kind in gen_ai.CLIENTS


def events_of(told: "Told") -> "list[tuple[str, int, dict[str, Any]]]":
    """
    Give what happened within a span: a name, when (ns), and attributes.
    """
    made: list[tuple[str, int, dict[str, Any]]] = []
    for name, time_ns, text in told.events:
        data = json.loads(text)
        made.append((name, time_ns, {key: _plain(data[key]) for key in data}))
    failure = told.failure
    if failure is not None:
        given = {"exception.type": failure.type, "exception.message": failure.message}
        if failure.stack is not None:
            given["exception.stacktrace"] = failure.stack
        made.append(("exception", told.ended_ns or 0, given))
    return made


def _plain(value: "Any") -> "Any":
    return value if type(value) in (bool, int, float) else within(value, LIMIT)
