"""
A run that has ended, as a span on the wire.
"""

from instrument.handlers._otlp import wire
from instrument.handlers._shared.spans.dialects import (
    attributes_of,
    events_of,
    is_client,
    name_of,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from instrument.handlers._shared.spans.told import Told

_STATUSES = {"ok": wire.OK, "error": wire.ERROR}


def encoded(told: "Told", dialect: str) -> bytes:
    """
    Give the span of a run that has ended.

    One that was cancelled or left has no status: it has not failed.
    """
    failure = told.failure
    return wire.span(
        trace_hex=told.trace_hex,
        span_hex=told.span_hex,
        parent_hex=told.parent_hex,
        is_remote=told.is_remote,
        name=name_of(told, dialect),
        kind=wire.CLIENT if is_client(told) else wire.INTERNAL,
        started_ns=told.started_ns,
        ended_ns=told.ended_ns or told.started_ns,
        attributes=attributes_of(told, dialect),
        events=events_of(told),
        lost_events=told.lost_events,
        status=_STATUSES.get(told.status, wire.UNSET),
        message="" if failure is None else failure.message,
    )
