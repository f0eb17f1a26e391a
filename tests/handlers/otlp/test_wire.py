"""
The wire format by hand, read by the official classes; and what the official SDK sends for
the same spans.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instrument import callbacks, traced
from instrument.handlers import OTLPHandler
from instrument.handlers._otlp import wire

if TYPE_CHECKING:
    from tests.handlers.otlp.otlp_receiver import Receiver

TOOLS: Any = pytest.importorskip("otlp_receiver")
TRACE: Any = pytest.importorskip("opentelemetry.proto.trace.v1.trace_pb2")

VALUES = st.one_of(
    st.text(st.characters()),
    st.booleans(),
    st.integers(-(1 << 63), (1 << 63) - 1),
    st.floats(allow_nan=False),
    st.lists(st.text()),
)


def span(**given: Any) -> Any:
    """
    Write a span, and read it by the official class.
    """
    fields: dict[str, Any] = {
        "trace_hex": "4bf92f3577b34da6a3ce929d0e0e4736",
        "span_hex": "00f067aa0ba902b7",
        "parent_hex": None,
        "is_remote": False,
        "name": "",
        "kind": wire.INTERNAL,
        "started_ns": 1,
        "ended_ns": 2,
        "attributes": {},
        "events": [],
        "lost_events": 0,
        "status": wire.UNSET,
        "message": "",
    }
    return TRACE.Span.FromString(wire.span(**(fields | given)))


def utf8(value: Any) -> Any:
    """
    Give text as UTF-8 can have it.
    """
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    return [utf8(item) for item in value] if isinstance(value, list) else value


@given(st.dictionaries(st.text(), VALUES), st.text(st.characters()), st.text())
def test_any_attributes(attributes: dict[str, Any], name: str, message: str) -> None:
    """
    Whatever stands in attributes, names and messages arrives, lone surrogates as ``?``.
    """
    read = span(
        attributes=attributes,
        name=name,
        message=message,
        status=wire.ERROR,
        events=[(name, 5, attributes)],
    )

    expected = {utf8(key): utf8(value) for key, value in attributes.items()}
    assert TOOLS.plain(read.attributes) == expected
    assert TOOLS.plain(read.events[0].attributes) == expected
    assert (read.name, read.events[0].name) == (utf8(name), utf8(name))
    assert (read.status.code, read.status.message) == (2, utf8(message))
    assert not read.DiscardUnknownFields()


def test_fields() -> None:
    """
    Each field of a span is where it belongs.
    """
    read = span(
        parent_hex="00f067aa0ba902b8",
        is_remote=True,
        kind=wire.CLIENT,
        started_ns=1_767_225_600_000_000_000,
        ended_ns=(1 << 64) - 1,
        lost_events=300,
        attributes={"large": 1 << 70},
    )

    assert read.trace_id.hex() == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert read.span_id.hex() == "00f067aa0ba902b7"
    assert read.parent_span_id.hex() == "00f067aa0ba902b8"
    assert (read.kind, read.flags) == (3, 0x301)
    assert read.start_time_unix_nano == 1_767_225_600_000_000_000
    assert read.end_time_unix_nano == (1 << 64) - 1
    assert read.dropped_events_count == 300
    assert TOOLS.plain(read.attributes) == {"large": f"{1 << 70}"}


@given(st.binary(max_size=60))
def test_any_answer(answer: bytes) -> None:
    """
    Whatever a receiver answers is read without an error.
    """
    count, why = wire.refused(answer)

    assert count >= 0
    assert isinstance(why, str)


@given(st.integers(0, (1 << 63) - 1), st.text())
def test_refused(count: int, why: str) -> None:
    """
    What a receiver says that it has refused is read as the official classes write it.
    """
    service = import_module("opentelemetry.proto.collector.trace.v1.trace_service_pb2")
    partial = service.ExportTracePartialSuccess(rejected_spans=count, error_message=why)
    answer = service.ExportTraceServiceResponse(partial_success=partial)

    assert wire.refused(answer.SerializeToString()) == (count, why)
    assert wire.refused(
        b"\x0d\0\0\0\0\x11" + bytes(8) + answer.SerializeToString()
    ) == (
        count,
        why,
    )


@pytest.mark.parametrize("dialect", ["both", "gen_ai", "openinference"])
def test_as_the_sdk_sends_it(
    receiver: "Receiver", monkeypatch: pytest.MonkeyPatch, dialect: str
) -> None:
    """
    For the same spans the SDK's own exporter sends the same messages, field by field.
    """
    exporter: Any = pytest.importorskip(
        "opentelemetry.exporter.otlp.proto.http.trace_exporter"
    )
    told_of_all = import_module("test_dialects").told_of_all
    spans: Any = import_module("instrument.handlers._otlp.spans")
    told = told_of_all()

    handler = OTLPHandler(receiver.url, dialect=dialect, service="shop")
    for each in told:
        handler._sender.put(each)
    assert handler.drain(20)
    ours, receiver.spans = receiver.spans, []
    exporter.OTLPSpanExporter(f"{receiver.url}/v1/traces").export(
        [readable(each, dialect, spans) for each in told]
    )

    theirs = receiver.spans
    assert len(ours) == len(theirs) == len(told)
    for one, other in zip(ours, theirs, strict=True):
        assert one.flags == other.flags | 1  # the SDK leaves out that it was sampled
        one.flags = other.flags
        assert one == other


def readable(told: Any, dialect: str, spans: Any) -> Any:
    """
    Give what is told of a run as the SDK's own span.
    """
    sdk: Any = import_module("opentelemetry.sdk.trace")
    trace: Any = import_module("opentelemetry.trace")

    def context(span_hex: str) -> Any:
        ids = int(told.trace_hex, 16), int(span_hex, 16)
        return trace.SpanContext(*ids, False, trace.TraceFlags(1))

    def text(value: Any) -> Any:
        return utf8(value) if isinstance(value, (str, list)) else value

    message = None if told.failure is None else utf8(told.failure.message)
    code = {"ok": trace.StatusCode.OK, "error": trace.StatusCode.ERROR}
    return sdk.ReadableSpan(
        name=spans.name_of(told, dialect),
        context=context(told.span_hex),
        parent=None if told.parent_hex is None else context(told.parent_hex),
        attributes=spans.attributes_of(told, dialect),
        events=[
            sdk.Event(name, {key: text(it) for key, it in given.items()}, at)
            for name, at, given in spans.events_of(told)
        ],
        kind=trace.SpanKind.CLIENT
        if spans.is_client(told)
        else trace.SpanKind.INTERNAL,
        status=trace.Status(code.get(told.status, trace.StatusCode.UNSET), message),
        start_time=told.started_ns,
        end_time=told.ended_ns,
    )


@pytest.mark.anyio
async def test_oteltap() -> None:
    """
    A receiver that others have written, and that takes no gzip, gets all of it.
    """
    oteltap: Any = pytest.importorskip("oteltap")
    port = free_port()
    settings = oteltap.OtelTapHttpProtobufReceiverSettings(
        http_port=port, listen_on_all_interfaces=False
    )

    @traced.tool
    def look_up(city: str) -> str:
        return city.upper()

    async with oteltap.OtelTapHttpProtobufReceiver(settings) as tap:
        handler = OTLPHandler(f"http://127.0.0.1:{port}", service="tapped")
        async with callbacks(handler, metadata={"user_id": "u1"}):
            look_up("Rome")
        found = await tap.await_trace(lambda it: "look_up" in it.name, timeout=20)

    attributes = TOOLS.plain(found.attributes)
    assert attributes["gen_ai.tool.call.result"] == "ROME"
    assert attributes["user.id"] == "u1"


def free_port() -> int:
    """
    Give a port of loopback that nobody listens on.
    """
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def test_ratio_sampler(receiver: "Receiver") -> None:
    """
    Of 2,000 traces that were exported, OpenTelemetry's own ratio sampler keeps its share.
    """
    sampling: Any = pytest.importorskip("opentelemetry.sdk.trace.sampling")
    handler = OTLPHandler(receiver.url, payload=False)

    @traced
    def work() -> None: ...

    with callbacks(handler):
        for _ in range(2_000):
            work()
    assert handler.drain(30)

    ids = [int.from_bytes(each.trace_id, "big") for each in receiver.spans]
    bound = sampling.TraceIdRatioBased(0.5).bound
    assert len(set(ids)) == 2_000
    assert 0.45 < sum(id & (1 << 64) - 1 < bound for id in ids) / 2_000 < 0.55
    assert not any(each.flags & 0x02 for each in receiver.spans)
