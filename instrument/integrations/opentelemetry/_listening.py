"""
The span processor that makes runs of spans, and how it comes to a provider.

What it raises would reach the application's code, and starve the processors behind it: so
nothing gets out but what is to stop a call at its start.
"""

import sys
from contextlib import suppress
from functools import lru_cache
from weakref import WeakKeyDictionary, ref

from opentelemetry import trace
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider

from instrument import _report
from instrument._hearing.sys_monitoring import Impossible
from instrument._hearing.targets import Targets, installed
from instrument._hearing.watches import HeardCall, Watch
from instrument._payloads.answers import Answer, answer_of
from instrument._payloads.fields import name_of
from instrument._runs.ending import fail, finish
from instrument._runs.merging import belonging
from instrument._runs.opening import (
    Recipe,
    current_run,
    frameworks,
    lookouts,
    nearer,
    open_parent,
    open_run,
)
from instrument._runs.starting import start
from instrument._state import DISABLED, MUTED, get_state
from instrument._text import safe_repr
from instrument.integrations.opentelemetry._words import Words, kind_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType
    from typing import Any

    from instrument._runs.run import Run

_OURS = "instrument"
_SCOPES = ("openinference.instrumentation.", "opentelemetry.instrumentation.")
_OTHERWISE = {
    "bedrock": "botocore",
    "google_generativeai": "google_genai",
    "openai_v2": "openai",
}
"""What is called otherwise by who patches it than by our adapter."""
_is_on = False
_heard: "WeakKeyDictionary[Any, Listening]" = WeakKeyDictionary()
open_spans: "dict[int, Entry]" = {}
"""By their ids, those that are open and heard, or below one that is."""


class Emitted:
    """
    Stands in a run for the span that it comes from.

    Attributes:
        span: Gives it, while it is there: whoever makes spans of runs has this one.
        provider: Gives whose it is.
    """

    __slots__ = ("provider", "span")

    def __init__(self, span: "Any", provider: "Any") -> None:
        self.span = ref(span)
        self.provider = provider


class Entry:
    """
    A span that is a run, or part of one.

    Attributes:
        id: Of the span.
        run: What it is, or is part of.
        is_part: Whether it is a call inside a model's run.
        in_flight: The exception that was being handled when it began.
    """

    __slots__ = ("id", "in_flight", "is_part", "run")

    def __init__(self, span: "Any", run: "Run", *, is_part: bool = False) -> None:
        self.id = span.get_span_context().span_id
        self.run = run
        self.is_part = is_part
        self.in_flight = id(sys.exc_info()[1])


class Listening(SpanProcessor):  # type: ignore[misc]
    """
    What one provider tells of each of its spans.
    """

    def __init__(self, provider: "Any") -> None:
        self._provider = ref(provider)

    def on_start(self, span: "Any", parent_context: "Any" = None) -> None:
        """
        Begin a run, where somebody listens; raises what is to stop the call.
        """
        state = get_state()
        if not _is_on or state is MUTED or not (state or open_spans):
            return
        run = None
        try:
            run = _begun(span, self._provider)
        except Exception as exc:
            _report.failed(self, "the start of a span", exc)
        if run is not None:
            try:
                start(run, state)
            except BaseException:
                _forget(span)
                raise

    def on_end(self, span: "Any") -> None:
        """
        End it; a handler can stop nothing any more.
        """
        entry = _forget(span)
        if entry is None or entry.id != span.get_span_context().span_id:
            return
        try:
            _end(entry, span)
        except Exception as exc:
            _report.failed(self, "the end of a span", exc)
            if not entry.is_part:
                finish(entry.run, None)  # without what cannot be read, if not yet


def switch_on() -> None:
    """
    Hear the process's own provider, now or when there is one.
    """
    global _is_on
    _is_on = not DISABLED
    if in_hand not in frameworks:
        frameworks.append(in_hand)
    if not _look() and _look not in lookouts:
        lookouts.append(_look)
        with suppress(Impossible):  # before Python 3.12: the next block, or run, looks
            _setting.install()


def switch_off() -> None:
    """
    Undo that; what is open ends as it would.
    """
    global _is_on
    _is_on = False
    if in_hand in frameworks:
        frameworks.remove(in_hand)
    _look_no_more()


def hear(provider: object) -> None:
    """
    Add the processor to *provider*, once.
    """
    if not isinstance(provider, TracerProvider):
        message = (
            "instrument.integrations.opentelemetry.hear() takes a TracerProvider of"
            f" opentelemetry-sdk, not {safe_repr(provider)}."
        )
        raise TypeError(message)
    if provider not in _heard:
        _heard[provider] = listening = Listening(provider)
        provider.add_span_processor(listening)


def _look() -> bool:
    """
    Hear the process's own provider, if there is one; tell whether there was.
    """
    # not `get_tracer_provider`, which may make one and set it
    provider = getattr(trace, "_TRACER_PROVIDER", None)
    if not isinstance(provider, TracerProvider):
        return False
    hear(provider)
    _look_no_more()
    return True


def _look_no_more() -> None:
    if _look in lookouts:
        lookouts.remove(_look)
        _setting.uninstall()


class SettingWatch(Watch):
    """
    The function with which a program sets the provider of its process.
    """

    listens = staticmethod(lambda: True)

    def called(self, frame: "FrameType") -> "Setting":
        return Setting()


class Setting(HeardCall):
    """
    One call of it.
    """

    __slots__ = ()

    def returned(self, value: object) -> None:
        if _is_on:
            _look()

    def raised(self, exc: BaseException) -> None:
        """
        Look for nothing: none was set.
        """


_setting = Targets({"opentelemetry.trace:set_tracer_provider": SettingWatch()})


def in_hand() -> "Run | None":
    """
    Give the run of the span that is current here.
    """
    if not open_spans:
        if lookouts:
            _look()
        return None
    current = trace.get_current_span().get_span_context().span_id
    entry = open_spans.get(current)
    return None if entry is None else open_parent(entry.run)


def _begun(span: "Any", provider: "Any") -> "Run | None":
    """
    Make a run of a span that has started; None where it is none, or part of one.
    """
    above = None if span.parent is None else open_spans.get(span.parent.span_id)
    scope = span.instrumentation_scope
    name = "" if scope is None else scope.name
    if name == _OURS:
        return None
    words = Words(span)
    kind = None if _is_owned(name, span) else kind_of(span.name, words.attributes)
    if kind is None:
        _pass(span, above)
        return None
    near = nearer(
        None if above is None else open_parent(above.run), current_run() or None
    )
    if near is not None and kind in ("tool", "agent") and _is_same(near, kind, words):
        _pass(span, above)
        return None
    outer, belongs = belonging(kind)
    if belongs != "run":
        if outer is None:
            _pass(span, above)
        else:
            outer._inner = Answer()
            _keep(span, Entry(span, outer, is_part=True))
        return None
    run = open_run(Recipe(words.name(kind), kind), (), None, near)
    if run is None:
        return None
    run._entry = Emitted(span, provider)
    run._outer = None  # it will not be current: a span ends in any Context
    run._model, run.provider = words.model, words.provider
    run._description = words.description
    run._inputs = run._cleared(words.inputs(kind), "inputs")
    run._params = run._cleared(words.params(kind), "inputs")
    _keep(span, Entry(span, run))
    return run


def _is_owned(scope: str, span: "Any") -> bool:
    """
    Tell whether another adapter hears what this scope tells of.
    """
    if scope == "mcp-python-sdk":
        adapter = "mcp" if span.kind is trace.SpanKind.CLIENT else ""
    else:
        prefix = next((it for it in _SCOPES if scope.startswith(it)), scope)
        adapter = scope.removeprefix(prefix).partition(".")[0]
    adapter = _OTHERWISE.get(adapter, adapter)
    return f"instrument.integrations.{adapter}" in installed


def _is_same(near: "Run", kind: str, words: Words) -> bool:
    """
    Tell whether the run in hand is that very call already.
    """
    return near.kind == kind and near.name == words.name(kind)


def _pass(span: "Any", above: Entry | None) -> None:
    """
    Have what is below *span* find what is above it.
    """
    if above is not None:
        _keep(span, above)


def _keep(span: "Any", entry: Entry) -> None:
    """
    Keep a span until it ends; one that is dropped is abandoned.
    """
    id = span.get_span_context().span_id
    open_spans[id] = entry
    _dropping[id] = ref(span, lambda _: _dropped(id))


_dropping: "dict[int, ref[Any]]" = {}
"""What tells that an open span has gone without an end."""


def _forget(span: "Any") -> Entry | None:
    """
    Give what was kept of a span, if anything was.
    """
    id = span.get_span_context().span_id
    entry = open_spans.pop(id, None)
    if entry is not None:
        _dropping.pop(id, None)
    return entry


def _dropped(id: int) -> None:
    _dropping.pop(id, None)
    entry = open_spans.pop(id, None)
    if entry is not None and entry.id == id and not entry.is_part:
        fail(entry.run, GeneratorExit())


def _end(entry: Entry, span: "Any") -> None:
    """
    End the run of a span, with what was told meanwhile.
    """
    run, words = entry.run, Words(span)
    if entry.is_part:
        run._inner = answer_of(words.answer())
        run.model, run.provider = (
            run.model or words.model,
            run.provider or words.provider,
        )
        run.usage = run.usage or words.usage
        return
    inputs = words.inputs(run.kind)
    if inputs:
        run.inputs = inputs
    run._params = run._cleared(words.params(run.kind), "inputs") or run._params
    run.model, run.provider = words.model or run.model, words.provider or run.provider
    if run._kind.is_model or run.kind == "embedding":
        run.usage = words.usage or run.usage
    if words.first_chunk_s is not None and run._first_token_ns is None:
        run._first_token_ns = run._started_ns + int(words.first_chunk_s * 1e9)
    exc = _raised(entry, span, words)
    if exc is None:
        finish(run, words.outputs(run.kind))
    else:
        fail(run, exc)


def _raised(entry: Entry, span: "Any", words: Words) -> BaseException | None:
    """
    Give what was raised in a span: the very exception, where it is in flight here.
    """
    exc = sys.exc_info()[1]
    is_new = exc is not None and id(exc) != entry.in_flight
    if span.status.status_code is not trace.StatusCode.ERROR:
        # a span that is left says nothing of it
        return exc if is_new and not issubclass(type(exc), Exception) else None
    name, message = words.failure(span)
    if is_new and name_of(exc) == name:
        return exc
    return _error(name)(message)


@lru_cache(100)
def _error(name: str) -> "type[Exception]":
    """
    Give a class of that name, for an exception of which no more than that is known.
    """
    return type(name if name.isidentifier() else "SpanError", (Exception,), {})
