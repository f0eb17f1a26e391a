# mypy: disable-error-code="import-not-found, misc"
# what is measured is not installed where types are checked
"""
Measure one library in an environment of its own: ``python peer.py NAME off|on``.

It imports nothing of ours but for our own row. Nothing leaves the process: what a
library would send goes to a sink that only counts. Prints a JSON object.
"""

import functools
import json
import os
import sys
import timeit
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from statistics import median
from time import process_time
from typing import Any

CALLS = 500
"""In one request: what a peer opens for a request is paid by so many calls."""

_SLICES = 11
_FEW_TOKENS, _MANY_TOKENS = 1_000, 5_000
_EMPTY_CALLS = 20_000
_NOWHERE = "http://127.0.0.1:9"


@dataclass
class Peer:
    """
    One library, switched off or on.

    Args:
        decorate: Its decorator.
        stream: Its decorator of a generator that is followed to its end; None where it
            has none.
        request: Opens what one request opens.
        ended: Tells how many spans have ended so far.
    """

    decorate: Callable[[Any], Any]
    stream: Callable[[Any], Any] | None = None
    request: Callable[[], AbstractContextManager[Any]] = nullcontext
    ended: Callable[[], int] = lambda: 0


class Sink:
    """
    Counts what a library would send, whatever it calls that.
    """

    def __init__(self) -> None:
        self.count = 0

    def take(self, *args: object, **kwargs: object) -> None:
        self.count += 1

    def ended(self) -> int:
        return self.count


def instrument(*, on: bool) -> Peer:
    from instrument import callbacks, traced

    sink = Sink()

    class Handler:
        def on_chain_start(
            self, serialized: Any, inputs: Any, **kwargs: Any
        ) -> None: ...

        def on_chain_end(self, outputs: Any, **kwargs: Any) -> None:
            sink.count += 1

        def on_llm_new_token(self, token: str, **kwargs: Any) -> None: ...

    handler = Handler()
    request = (lambda: callbacks(handler)) if on else nullcontext
    return Peer(traced, traced.llm, request, sink.ended)


def opentelemetry(*, on: bool) -> Peer:
    from opentelemetry import trace

    sink = Sink()
    if on:
        from opentelemetry.sdk.trace import SpanProcessor, TracerProvider

        class Processor(SpanProcessor):
            def on_end(self, span: Any) -> None:
                sink.count += 1

        provider = TracerProvider()
        provider.add_span_processor(Processor())
        trace.set_tracer_provider(provider)
    tracer = trace.get_tracer("bench")
    return Peer(tracer.start_as_current_span("add"), ended=sink.ended)


def sentry(*, on: bool) -> Peer:
    import sentry_sdk

    if not on:
        return Peer(sentry_sdk.trace)

    sink = Sink()

    def drop(event: Any, hint: Any) -> None:
        sink.count += len(event["spans"])

    sentry_sdk.init(
        dsn="http://key@127.0.0.1:9/1",
        traces_sample_rate=1.0,
        default_integrations=False,
        auto_enabling_integrations=False,
    )
    sentry_sdk.get_global_scope().add_event_processor(drop)
    return Peer(
        sentry_sdk.trace,
        request=lambda: sentry_sdk.start_transaction(name="bench"),
        ended=sink.ended,
    )


def ddtrace(*, on: bool) -> Peer:
    os.environ["DD_TRACE_ENABLED"] = str(on).lower()
    os.environ["DD_INSTRUMENTATION_TELEMETRY_ENABLED"] = "false"
    os.environ["DD_REMOTE_CONFIGURATION_ENABLED"] = "false"
    os.environ["DD_TRACE_AGENT_URL"] = _NOWHERE
    os.environ["DD_TRACE_STARTUP_LOGS"] = "false"
    from ddtrace.trace import TraceFilter, tracer

    sink = Sink()

    class Drop(TraceFilter):
        def process_trace(self, trace: Any) -> None:
            sink.count += len(trace)

    if on:
        tracer.configure(trace_processors=[Drop()])
    return Peer(tracer.wrap(), tracer.wrap(), ended=sink.ended)


def langsmith(*, on: bool) -> Peer:
    os.environ["LANGSMITH_TRACING"] = str(on).lower()
    from langsmith import Client, traceable
    from langsmith.run_helpers import tracing_context

    if not on:
        return Peer(traceable, traceable)

    sink = Sink()

    class Counting(Client):
        def create_run(self, *args: Any, **kwargs: Any) -> None: ...

        update_run = sink.take

    client = Counting(
        api_url=_NOWHERE, api_key="key", info={}, auto_batch_tracing=False
    )
    return Peer(
        traceable,
        traceable(run_type="llm"),
        lambda: tracing_context(enabled=True, client=client),
        sink.ended,
    )


def llama_index(*, on: bool) -> Peer:
    from llama_index_instrumentation import get_dispatcher

    dispatcher = get_dispatcher("bench")
    if not on:
        return Peer(dispatcher.span)

    from llama_index_instrumentation.span import BaseSpan
    from llama_index_instrumentation.span_handlers import BaseSpanHandler

    sink = Sink()

    class Counting(BaseSpanHandler[BaseSpan]):
        def new_span(self, id_: str, *args: Any, **kwargs: Any) -> BaseSpan:
            return BaseSpan(id_=id_)

        def prepare_to_exit_span(self, id_: str, *args: Any, **kwargs: Any) -> Any:
            sink.take()
            return self.open_spans.get(id_)

        def prepare_to_drop_span(self, id_: str, *args: Any, **kwargs: Any) -> Any:
            return self.open_spans.get(id_)

    dispatcher.add_span_handler(Counting())
    return Peer(dispatcher.span, ended=sink.ended)


def _counting_exporter(sink: Sink) -> Any:
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

    class Counting(SpanExporter):
        def export(self, spans: Any) -> SpanExportResult:
            sink.count += len(spans)
            return SpanExportResult.SUCCESS

    return Counting()


def logfire(*, on: bool) -> Peer:
    os.environ["LOGFIRE_IGNORE_NO_CONFIG"] = "1"
    import logfire

    sink = Sink()
    if on:
        from opentelemetry.sdk.trace.export import SimpleSpanProcessor

        logfire.configure(
            send_to_logfire=False,
            console=False,
            additional_span_processors=[SimpleSpanProcessor(_counting_exporter(sink))],
        )
    stream = logfire.instrument(allow_generator=True)
    return Peer(logfire.instrument, stream, ended=sink.ended)


def langfuse(*, on: bool) -> Peer:
    from langfuse import Langfuse, observe

    sink = Sink()
    client = Langfuse(
        public_key="public",
        secret_key="secret",
        base_url=_NOWHERE,
        tracing_enabled=on,
        span_exporter=_counting_exporter(sink),
    )

    def ended() -> int:
        client.flush()
        return sink.count

    return Peer(observe, observe, ended=ended)


PEERS: dict[str, Callable[..., Peer]] = {
    "instrument": instrument,
    "opentelemetry-sdk": opentelemetry,
    "sentry-sdk": sentry,
    "ddtrace": ddtrace,
    "langsmith": langsmith,
    "llama-index-instrumentation": llama_index,
    "logfire": logfire,
    "langfuse": langfuse,
}


def add(x: int, y: int) -> int:
    return x + y


def words(tokens: int) -> Iterator[str]:
    for _ in range(tokens):
        yield "word"


def empty(function: Callable[..., Any]) -> Callable[..., Any]:
    """
    Wrap in the cheapest decorator there is: the yardstick of each process.
    """

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


def main(name: str, mode: str) -> None:
    """
    Print what one call, one token and the yardstick cost, in microseconds of CPU.
    """
    warnings.simplefilter("ignore")
    peer = PEERS[name](on=mode == "on")
    decorated = peer.decorate(add)
    with peer.request():
        before = peer.ended()
        for _ in range(10):
            decorated(1, 2)
    heard = peer.ended() - before

    yardstick = empty(add)
    pairs = [(_calls_us(peer, decorated), _empty_us(yardstick)) for _ in range(_SLICES)]
    found = {
        "heard": heard,
        "call": median(call / least for call, least in pairs),
        "yardstick_us": median(least for _, least in pairs),
        "token": _token(peer, yardstick),
    }
    print("\n" + json.dumps(found), flush=True)
    os._exit(0)  # without what is sent at exit


def _token(peer: Peer, yardstick: Callable[..., Any]) -> float | None:
    """
    Tell what the next token of a stream costs, in yardsticks.
    """
    if peer.stream is None:
        return None
    stream = peer.stream(words)
    each = []
    for _ in range(_SLICES):
        few_us = _stream_us(peer, stream, _FEW_TOKENS)
        more_us = _stream_us(peer, stream, _MANY_TOKENS) - few_us
        each.append(more_us / (_MANY_TOKENS - _FEW_TOKENS) / _empty_us(yardstick))
    return median(each)


def _calls_us(peer: Peer, function: Callable[..., Any]) -> float:
    started = process_time()
    with peer.request():
        for _ in range(CALLS):
            function(1, 2)
    return (process_time() - started) / CALLS * 1e6


def _stream_us(peer: Peer, stream: Callable[..., Any], tokens: int) -> float:
    for _ in stream(1):  # what was cold is warm
        pass
    started = process_time()
    with peer.request():
        for _ in stream(tokens):
            pass
    return (process_time() - started) * 1e6


def _empty_us(function: Callable[..., Any]) -> float:
    timer = timeit.Timer("f(1, 2)", globals={"f": function}, timer=process_time)
    return timer.timeit(_EMPTY_CALLS) / _EMPTY_CALLS * 1e6


if __name__ == "__main__":
    main(*sys.argv[1:3])
