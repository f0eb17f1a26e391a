"""
`Current`: a span that is current while the body of its run is.

OpenTelemetry's context is entered and left by value. Its tokens may be used in the
Context only in which they were made, and a body may be closed in any.
"""

from opentelemetry.context import attach, create_key, get_current, get_value, set_value
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    TraceFlags,
    TraceState,
    set_span_in_context,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Span

    from instrument._audience.sampling import Incoming

_KEY = create_key("instrument")


class Place:
    """
    Marks a context as that of one body, or of what is called in it.
    """

    __slots__ = ("above",)

    def __init__(self, above: "Place | None") -> None:
        self.above = above


class Current:
    """
    What is around the body of one run.

    Args:
        here: The context in which it begins.

    Attributes:
        outside: The context to go back to, while the body's is current.
        place: Marks the contexts in its body.
    """

    __slots__ = ("_inside", "outside", "place")

    def __init__(self, span: "Span", here: "Context") -> None:
        self.place = Place(get_value(_KEY, here))
        marked = set_value(_KEY, self.place, here)
        self._inside: Context | None = set_span_in_context(span, marked)
        self.outside: Context | None = None

    def enter(self) -> None:
        """
        Make the body's context current; nothing where it is, or has ended.
        """
        if self.outside is None and self._inside is not None:
            self.outside = get_current()
            attach(self._inside)

    def leave(self) -> None:
        """
        Keep the body's context, and go back to the one outside.
        """
        outside = self.outside
        if outside is None:
            return
        try:
            self._inside = get_current()
        finally:
            self._attach(outside)

    def end(self) -> None:
        """
        Leave for good; where another Context ends the run, that is not touched.
        """
        outside, self._inside = self.outside, None
        if outside is not None and lies_in(get_current(), self.place):
            self._attach(outside)
        self.outside = None

    def _attach(self, outside: "Context") -> None:
        try:
            attach(outside)
        except BaseException:  # an interrupt: it is attached all the same
            attach(outside)
            raise
        finally:
            self.outside = None


def lies_in(context: "Context", place: Place) -> bool:
    """
    Tell whether *context* is that of the body of *place*, or of something within.
    """
    link = get_value(_KEY, context)
    while link is not None and link is not place:
        link = link.above
    return link is not None


def remote(came: "Incoming", here: "Context") -> "Context":
    """
    Give the context in which the trace goes on that came from another process.
    """
    if came.trace_hex is None or came.span_hex is None:
        return here
    span_context = SpanContext(
        int(came.trace_hex, 16),
        int(came.span_hex, 16),
        is_remote=True,
        trace_flags=TraceFlags(TraceFlags.SAMPLED if came.number < 1 else 0),
        trace_state=TraceState.from_header([came.tracestate or ""]),
    )
    return set_span_in_context(NonRecordingSpan(span_context), here)
