"""
`OpenTelemetryHandler`: every run a span of the application's own provider.
"""

from weakref import WeakKeyDictionary

from instrument._interrupts import Taking, is_of_call
from instrument._text import safe_repr
from instrument.handlers._shared.checks import checked_choice
from instrument.handlers._shared.spans.dialects import (
    DIALECTS,
    attributes_of,
    events_of,
    identity_of,
    is_client,
    name_of,
)
from instrument.handlers._shared.spans.happening import Happening
from instrument.handlers._shared.spans.told import Told, checked_limit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Self

    from opentelemetry.context import Context
    from opentelemetry.trace import Span, TracerProvider

    from instrument._runs.run import Run
    from instrument.handlers._opentelemetry.current import Current, Place

SCOPE = "instrument"
"""The name of what our spans come from."""


class OpenTelemetryHandler(Happening):
    """
    Make every run a span of the application's own provider of OpenTelemetry.

    A run's span is current while its body runs: spans of HTTP clients and databases nest
    below it, and it nests below the server's. Runs that a framework tells of, and streams
    of providers between their steps, have parents and are not current. The provider is
    never set or changed, and its sampler, processors and exporters do what they do.

    Args:
        tracer_provider: Whose spans they are; None for the process's own, also one that
            is set later.
        dialect: In whose words: ``gen_ai`` (OpenTelemetry's conventions 1.41),
            ``openinference`` (Phoenix), or ``both``.
        payload: How many characters a field of what went in and came out has at most;
            True for 32,000; False for none of it.

    Raises:
        ImportError: If opentelemetry-api is not installed.
        TypeError, ValueError: For what cannot be; names the value and the cure.
    """

    _around = True

    def __init__(
        self,
        tracer_provider: "TracerProvider | None" = None,
        *,
        dialect: str = "both",
        payload: bool | int = True,
    ) -> None:
        try:
            from opentelemetry import trace
        except ImportError:
            message = (
                "OpenTelemetryHandler needs opentelemetry-api: pip install"
                " 'instrument-callbacks[otel]'"
            )
            raise ImportError(message) from None
        is_none = not isinstance(tracer_provider, (trace.TracerProvider, type(None)))
        if is_none:
            message = (
                "OpenTelemetryHandler(tracer_provider=...) is a TracerProvider, or None"
                f" for the process's own, not {safe_repr(tracer_provider)}."
            )
            raise TypeError(message)
        self._dialect = checked_choice(
            "OpenTelemetryHandler(dialect=...)", dialect, *DIALECTS
        )
        self._limit = checked_limit("OpenTelemetryHandler(payload=...)", payload)
        self._provider = tracer_provider
        self._tracer = trace.get_tracer(SCOPE, tracer_provider=tracer_provider)
        # by their ids, which nothing is called for: a run may be collected before its end is told
        self._open: dict[int, _Known] = {}
        self._ended: WeakKeyDictionary[Run, _Known] = WeakKeyDictionary()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def __deepcopy__(self, memo: object) -> "Self":
        return self

    def run_started(self, run: "Run") -> None:
        from opentelemetry.context import get_current

        from instrument.handlers._opentelemetry.current import Current

        here = get_current() if run._around is None else run._around.outside
        # an interrupt has it told once more: what was begun by then goes on
        made = self._open.get(run.id.int) or self._begun(run, here)
        if run._around is None and run._is_in_hand and made.told is not None:
            around = Current(made.span, here)
            run._around, made.around, made.place = around, around, around.place
        if made.around is not None:
            made.around.enter()

    def _begun(self, run: "Run", here: "Context") -> "_Known":
        from opentelemetry.trace import SpanKind

        emitted = self._emitted(run)
        if emitted is not None:
            self._open[run.id.int] = made = _Known(emitted, None)
            return made
        above = run._parent
        known = None
        if above is not None:
            known = self._open.get(above.id.int) or self._ended.get(above)
        told = Told(run, self._limit, None if known is None else above)
        made, id = _Known(None, told), run.id.int
        made.span = self._tracer.start_span(
            name_of(told, self._dialect),
            _parent_context(run, known, here),
            SpanKind.CLIENT if is_client(told) else SpanKind.INTERNAL,
            identity_of(told, self._dialect),
            start_time=told.started_ns,
        )
        self._open[id] = made  # no interrupt comes between
        return made

    def run_ended(self, run: "Run") -> None:
        id = run.id.int
        known = self._open.get(id)
        if known is None:
            return
        taking = Taking()
        try:
            self._ended[run] = known  # others may begin below it
            if known.told is not None:
                self._end(run, known, known.told, taking)
        except BaseException as exc:
            taking.fails(exc)
            raise
        else:
            taking.is_taken = True
        finally:
            if taking.is_taken:
                known.told = None
                self._open.pop(id, None)

    def _end(self, run: "Run", known: "_Known", told: Told, taking: Taking) -> None:
        if known.around is not None:
            known.around.end()
            known.around = None
        told.ends(run)
        span = known.span
        try:
            if span.is_recording():
                _write(known, told, self._dialect)
        except (
            BaseException
        ) as exc:  # pragma: no cover - no provider's span raises here
            if is_of_call(exc):  # it is told once more
                raise
            span.end(told.ended_ns)
            raise
        taking.is_taken = True
        try:
            span.end(told.ended_ns)
        except BaseException:  # pragma: no cover - an interrupt, before that had
            if span.is_recording():
                span.end(told.ended_ns)
            raise

    def _emitted(self, run: "Run") -> "Span | None":
        """
        Give the span that *run* was heard from, where that is one of this provider.
        """
        from opentelemetry import trace

        entry = run._entry
        if not hasattr(entry, "provider"):
            return None
        own = self._provider or getattr(trace, "_TRACER_PROVIDER", None)
        return entry.span() if entry.provider() is own else None

    def happens(self, run: "Run", name: str, data: "dict[Any, Any]") -> None:
        known = self._open.get(run.id.int)
        if known is not None and known.told is not None:
            known.told.happens(name, data)


class _Known:
    """
    What is known of a run that was told.

    Attributes:
        events: What is still to be written of those in it; None before its end.
    """

    __slots__ = ("around", "events", "place", "span", "told")

    def __init__(self, span: "Any", told: Told | None) -> None:
        self.span: Span = span
        self.told = told
        self.events: list[Any] | None = None
        self.around: Current | None = None
        self.place: Place | None = None


def _parent_context(run: "Run", known: _Known | None, here: "Context") -> "Context":
    """
    Give the context in which the span of *run* is to start.

    Args:
        known: The run above it.
        here: The context of now: where it lies in the body of the run above, there may
            be a span of the application's in between.
    """
    from opentelemetry.trace import get_current_span, set_span_in_context

    from instrument.handlers._opentelemetry.current import lies_in, remote

    if known is not None:
        is_within = known.place is not None and lies_in(here, known.place)
        return here if is_within else set_span_in_context(known.span, here)
    came = run._audience.incoming
    if came is None or get_current_span(here).get_span_context().is_valid:
        return here
    return remote(came, here)


def _write(known: "_Known", told: Told, dialect: str) -> None:
    from opentelemetry.trace import StatusCode

    span, name = known.span, name_of(told, dialect)
    span.update_name(name)
    span.set_attributes(attributes_of(told, dialect))
    if known.events is None:
        known.events = [*events_of(told)]
    while known.events:
        event, time_ns, attributes = known.events[0]
        del known.events[0]  # none is written twice
        span.add_event(event, attributes, time_ns)
    if told.failure is not None:
        span.set_status(StatusCode.ERROR, told.failure.message)
    elif told.status == "ok":
        span.set_status(StatusCode.OK)
