"""
`OTLPHandler` and its receivers: each gets its own, and none that is slow, dead or strange
does anything to a call.
"""

import asyncio
import gc
import os
import random
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from importlib import import_module, metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from instrument import callbacks, current_run, emit, traced
from instrument.handlers import OTLPHandler, background, filtered
from instrument.handlers._store.reader import Reader
from instrument.propagation import attach, inject

if TYPE_CHECKING:
    from tests.handlers.otlp.otlp_receiver import Receiver

TOOLS: Any = pytest.importorskip("otlp_receiver")
SENDER: Any = import_module("instrument.handlers._otlp.sender")
WORKER: Any = import_module("instrument.handlers._shared.worker")


@traced.tool
def tool(number: int) -> int:
    """
    Be a run below.
    """
    return number


@traced
def request(number: int = 1) -> int:
    """
    Be a request.
    """
    return tool(number)


@traced
def alone() -> None:
    """
    Be a run alone.
    """


def failing(code: int, **headers: str) -> Callable[[Any], None]:
    """
    Answer with *code* every time.
    """
    return lambda each: TOOLS.answered(each, code, b"no", **headers)


def first(
    answer: Callable[[Any], None], then: Callable[[Any], None] = TOOLS.taken
) -> Callable[[Any], None]:
    """
    Answer so once, and then as a receiver that takes all.
    """
    answers = iter([answer])

    def answers_each(each: Any) -> None:
        next(answers, then)(each)

    return answers_each


def hang(each: Any) -> None:
    """
    Answer nothing until the test is over.
    """
    each.server.RequestHandlerClass.released.wait(30)


@pytest.mark.anyio
async def test_two_tenants(receiver: "Receiver") -> None:
    """
    100 requests at once, of two tenants: each receiver's headers get 200 spans in 50
    traces, and none of the other's.
    """

    @traced.tool
    async def look_up(number: int) -> int:
        await asyncio.sleep(0)
        return number

    @traced.chat_model
    async def model(number: int) -> Any:
        for piece in "ab":
            await asyncio.sleep(0)
            yield piece

    @traced
    async def answer(number: int) -> str:
        task = asyncio.create_task(look_up(number))
        await asyncio.gather(look_up(number), task)
        return "".join([piece async for piece in model(number)])

    handlers = []

    async def serve(number: int) -> None:
        tenant = "AB"[number % 2]
        handler = OTLPHandler(receiver.url, headers={"x-tenant": tenant})
        handlers.append(handler)
        async with callbacks(handler, metadata={"user_id": tenant}):
            await answer(number)

    threads = threading.active_count()
    await asyncio.gather(*(serve(number) for number in range(100)))
    assert threading.active_count() <= threads + 2
    assert all(handler.drain(20) for handler in handlers)

    for tenant in "AB":
        spans = receiver.by_header[tenant]
        assert len(spans) == 200
        assert len({span.trace_id for span in spans}) == 50
        users = {TOOLS.plain(span.attributes)["user.id"] for span in spans}
        assert users == {tenant}
    assert receiver.by_header.keys() == {"A", "B"}


def test_tree(receiver: "Receiver") -> None:
    """
    Spans have the ids and parents of their runs, their times, and the resource says who
    sent them.
    """
    runs = []

    @traced
    def root() -> None:
        runs.append(current_run())
        request(3)

    handler = OTLPHandler(receiver.url, service="shop", resource={"region": "eu"})
    with callbacks(handler):
        root()
    assert handler.drain(20)

    spans = {span.name.rpartition(".")[2]: span for span in receiver.spans}
    assert spans["root"].trace_id.hex() == runs[0].trace_hex
    assert spans["root"].parent_span_id == b""
    assert spans["request"].parent_span_id == spans["root"].span_id
    assert spans["tool"].parent_span_id == spans["request"].span_id
    assert {span.trace_id for span in receiver.spans} == {spans["root"].trace_id}
    assert spans["root"].start_time_unix_nano == runs[0].started_at
    took = spans["root"].end_time_unix_nano - spans["root"].start_time_unix_nano
    assert took == pytest.approx(runs[0].duration_s * 1e9, abs=2)
    assert {span.flags for span in receiver.spans} == {0x101}
    assert receiver.resources == [{"service.name": "shop", "region": "eu"}]
    assert receiver.requests[0][0] == "/v1/traces"
    assert (handler.sent, handler.dropped, handler.failures) == (3, 0, 0)


def test_incoming_trace(receiver: "Receiver") -> None:
    """
    A trace that came in goes on: its id, its span as a parent elsewhere, and what is sent
    along has the ids that are exported.
    """
    trace, span = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
    headers: list[str] = []

    @traced
    def root() -> None:
        headers.append(inject({})["traceparent"])

    handler = OTLPHandler(receiver.url)
    with attach({"traceparent": f"00-{trace}-{span}-01"}), callbacks(handler):
        root()
    assert handler.drain(20)

    (sent,) = receiver.spans
    assert (sent.trace_id.hex(), sent.parent_span_id.hex()) == (trace, span)
    assert sent.flags == 0x301
    assert headers == [f"00-{trace}-{sent.span_id.hex()}-01"]


def test_parent_that_has_ended(receiver: "Receiver") -> None:
    """
    What a generator calls after its parent has ended is below it all the same.
    """

    @traced
    def pieces() -> Any:
        yield tool(1)

    @traced
    def makes() -> Any:
        return iter([pieces()])

    handler = OTLPHandler(receiver.url)
    with callbacks(handler):
        made = next(makes())
        list(made)
    assert handler.drain(20)

    spans = {span.name.rpartition(".")[2]: span for span in receiver.spans}
    assert spans["pieces"].parent_span_id == spans["makes"].span_id
    assert spans["tool"].parent_span_id == spans["pieces"].span_id


def test_what_happens_within(receiver: "Receiver") -> None:
    """
    Events of the application's own, texts, retries and an agent's steps are events of
    their span, as the exception is that it ended with.
    """

    @traced.agent
    def agent() -> None:
        emit("progress", {"done": 1, "of": [1, 2]})
        emit("plain", "text")
        run = current_run()
        run.text("thinking")
        run.retry(2)
        run._tell("on_agent_action", ({"tool": "t"},), {})
        run._tell("on_agent_finish", ({"output": "o"},), {})
        raise ValueError("no such \ud800 city")

    handler = OTLPHandler(receiver.url)
    with callbacks(handler), pytest.raises(ValueError, match="city"):
        agent()
    assert handler.drain(20)

    (span,) = receiver.spans
    events = [(event.name, TOOLS.plain(event.attributes)) for event in span.events]
    stack = events[-1][1].pop("exception.stacktrace")
    assert events == [
        ("progress", {"done": 1, "of": "[1,2]"}),
        ("plain", {"data": "text"}),
        ("text", {"text": "thinking"}),
        ("retry", {"attempt": 2}),
        ("agent_action", {"action": '{"tool":"t"}'}),
        ("agent_finish", {"finish": '{"output":"o"}'}),
        (
            "exception",
            {"exception.type": "ValueError", "exception.message": "no such ? city"},
        ),
    ]
    assert "raise ValueError" in stack
    assert (span.status.code, span.status.message) == (2, "no such ? city")


def test_error_on_its_way(receiver: "Receiver") -> None:
    """
    The traceback is told where an exception came from; above it, only what it was.
    """

    class OwnError(Exception): ...

    @traced.tool
    def inner() -> None:
        raise OwnError("x" * 50_000)

    @traced
    def outer() -> None:
        inner()

    handler = OTLPHandler(receiver.url)
    with callbacks(handler), pytest.raises(OwnError):
        outer()
    assert handler.drain(20)

    below, above = (TOOLS.plain(span.events[0].attributes) for span in receiver.spans)
    assert below["exception.type"] == above["exception.type"]
    assert below["exception.type"].endswith("test_sending." + OwnError.__qualname__)
    assert len(below["exception.stacktrace"]) < 16_100
    assert len(below["exception.message"]) < 32_100
    assert "exception.stacktrace" not in above


def test_redacted(receiver: "Receiver") -> None:
    """
    What is redacted is so in what is sent: arguments, results, metadata, errors.
    """

    @traced.tool
    def login(password: str) -> dict[str, str]:
        raise ValueError(f"password={password}")

    handler = OTLPHandler(receiver.url)
    block = callbacks(handler, redact=["password"], metadata={"password": "hunter2"})
    with block, pytest.raises(ValueError, match="hunter2"):
        login("hunter2")
    with callbacks(handler, capture=False), pytest.raises(ValueError, match="hunter2"):
        login("hunter2")
    assert handler.drain(20)

    assert len(receiver.spans) == 2
    assert not any(b"hunter2" in span.SerializeToString() for span in receiver.spans)


@pytest.mark.parametrize("code", [429, 502, 503, 504])
def test_tried_again(receiver: "Receiver", reports: list[str], code: int) -> None:
    """
    A receiver that asks for patience gets the same once more, when it says; that is
    reported once, and nothing is lost.
    """
    receiver.answer = first(failing(code, retry_after="0"))
    handler = OTLPHandler(receiver.url, service=f"{code}")
    drawn = random.getstate()

    with callbacks(handler):
        request()
    assert handler.drain(20)

    assert (handler.sent, handler.dropped, handler.failures) == (2, 0, 1)
    assert random.getstate() == drawn  # the application's own
    assert len(receiver.spans) == 2
    assert len(reports) == 1
    assert f"cannot send: it answered {code}" in reports[0]


@pytest.mark.parametrize("code", [400, 404, 413, 500, 302])
def test_refused(receiver: "Receiver", reports: list[str], code: int) -> None:
    """
    What a receiver refuses for good is dropped at once, counted and reported; it is
    followed nowhere else.
    """
    location = {"location": f"{receiver.url}/elsewhere"} if code == 302 else {}
    receiver.answer = failing(code, **location)
    handler = OTLPHandler(receiver.url, service=f"{code}")

    for _ in range(3):
        with callbacks(handler):
            request()
        assert handler.drain(20)

    assert (handler.sent, handler.dropped, handler.failures) == (0, 6, 3)
    assert len(reports) == 2
    assert "cannot send" in reports[0]
    assert "drops spans" in reports[1]
    assert {path for path, _ in receiver.requests} == {"/v1/traces"}


@pytest.mark.parametrize("code", [400, 415])
def test_gzip_refused(receiver: "Receiver", code: int) -> None:
    """
    A receiver that takes no gzip gets the same plain, from then on at once.
    """

    def answer(each: Any) -> None:
        is_packed = each.headers.get("content-encoding") == "gzip"
        TOOLS.answered(each, code if is_packed else 200)

    receiver.answer = answer
    handler = OTLPHandler(receiver.url, service=f"plain {code}")

    for _ in range(2):
        with callbacks(handler):
            request()
        assert handler.drain(20)

    packed = [headers.get("content-encoding") for _, headers in receiver.requests]
    assert packed == ["gzip", None, None]
    assert (handler.sent, handler.failures, len(receiver.spans)) == (4, 0, 4)


def test_partly_refused(receiver: "Receiver", reports: list[str]) -> None:
    """
    Spans that a receiver says it has refused are counted as dropped, and why is reported.
    """
    partial = b"\x08\x01\x12\x07too odd"
    body = b"\x0a" + bytes([len(partial)]) + partial
    receiver.answer = lambda each: TOOLS.answered(each, 200, body)
    handler = OTLPHandler(receiver.url)

    with callbacks(handler):
        request()
    assert handler.drain(20)

    assert (handler.sent, handler.dropped) == (1, 1)
    assert "too odd" in reports[0]


@pytest.mark.parametrize(
    "header, after_s",
    [
        (None, None),
        ("3", 3.0),
        ("-3", 0.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        ("Fri, 01 Jan 9999 00:00:00 GMT", pytest.approx(2.5e11, rel=0.1)),
        ("soon", None),
        ("nan", None),
    ],
)
def test_retry_after(header: str | None, after_s: float | None) -> None:
    """
    When to try again is told in seconds or by a date; what is neither tells nothing.
    """
    post: Any = import_module("instrument.handlers._otlp.post")

    assert post._after(header) == after_s


def cut_off(each: Any) -> None:
    """
    Close in mid-answer.
    """
    each.take()
    each.send_response(200)
    each.send_header("content-length", "1000")
    each.end_headers()
    each.wfile.write(b"some")


def garbage(each: Any) -> None:
    """
    Answer with what is no message.
    """
    TOOLS.answered(each, 200, os.urandom(100) + b"\x0b\x0c\x0d\x0e\x0f")


def large(each: Any) -> None:
    """
    Answer at length.
    """
    TOOLS.answered(each, 200, bytes(500_000))


def reset(each: Any) -> None:
    """
    Answer, and reset the connection in the midst of it.
    """
    cut_off(each)
    linger = struct.pack("ii", 1, 0)
    each.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    each.connection.close()


@pytest.mark.parametrize("answer", [cut_off, garbage, large, reset])
def test_strange_answer(
    receiver: "Receiver", reports: list[str], answer: Callable[[Any], None]
) -> None:
    """
    An answer that says 200 has taken all, whatever stands in it and wherever it ends.
    """
    receiver.answer = answer
    handler = OTLPHandler(receiver.url, service=answer.__name__)

    with callbacks(handler):
        request()
    assert handler.drain(20)

    assert (handler.sent, handler.failures, reports) == (2, 0, [])


def test_no_answer_at_all(receiver: "Receiver") -> None:
    """
    A receiver that hangs up without an answer, or speaks no HTTP, is tried again.
    """

    def speaks_otherwise(each: Any) -> None:
        each.wfile.write(b"220 smtp ready\r\n")

    receiver.answer = first(lambda each: None, first(speaks_otherwise))
    handler = OTLPHandler(receiver.url)

    with callbacks(handler):
        alone()
    assert handler.drain(20)

    assert (handler.sent, handler.failures) == (1, 2)


def test_hung_receiver(receiver: "Receiver", reports: list[str]) -> None:
    """
    A receiver that hangs holds up no call and no block; what is beyond the queue is
    dropped and counted, with one report, and `drain` says that it was not in time.
    """
    receiver.answer = hang
    handler = OTLPHandler(receiver.url, maxsize=10)

    with callbacks(handler):
        alone()
    handler._sender._hurry.put(None)
    receiver.wait_for(lambda: bool(receiver.requests))
    with callbacks(handler):
        for _ in range(100):
            alone()

    assert not handler.drain(0.01)
    assert handler.dropped == 90
    assert len(reports) == 1
    assert "10 spans wait already" in reports[0]


def test_tight_queue(receiver: "Receiver", monkeypatch: pytest.MonkeyPatch) -> None:
    """
    When the queue fills, what happened within runs goes before the spans themselves; and
    beyond a bound of memory what went in and came out.
    """

    def late(each: Any) -> None:
        receiver.released.wait(20)
        TOOLS.taken(each)

    receiver.answer = first(late)
    monkeypatch.setattr(SENDER, "_HELD_CHARS", 640_000)
    handler = OTLPHandler(receiver.url, maxsize=120)

    @traced
    def talks(text: str) -> None:
        emit("step", {"text": "small"})

    with callbacks(handler):
        talks("x")
    handler._sender._hurry.put(None)
    receiver.wait_for(lambda: bool(receiver.requests))
    with callbacks(handler):
        for number in range(80):
            talks("y" * 10_000 if number < 75 else "z")
    held = handler._sender._held
    receiver.released.set()
    assert handler.drain(40)

    assert held <= SENDER._HELD_CHARS + 1_000
    assert (handler.sent, handler.dropped) == (81, 0)
    spans = [(span, TOOLS.plain(span.attributes)) for span in receiver.spans]
    asked = ["input.value" in given for _, given in spans]
    assert asked.count(False) > 5
    assert asked[-5:] == [True] * 5
    assert [len(span.events) for span, _ in spans[:10]] == [1] * 10
    assert [span.dropped_events_count for span, _ in spans[-10:]] == [1] * 10


def test_nobody_listens(reports: list[str]) -> None:
    """
    Where nobody listens calls go on, blocks are left at once, and one report says it.
    """
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        handler = OTLPHandler(url)
        failed = threading.Event()
        complain = handler._sender._complain
        handler._sender._complain = lambda what: (complain(what), failed.set())  # type: ignore[method-assign, assignment, func-returns-value]
        with callbacks(handler):
            request()
        handler._sender._hurry.put(None)
        assert failed.wait(20)

    assert handler.failures == 1
    assert len(reports) == 1
    assert "ConnectionRefusedError" in reports[0]
    assert url in reports[0]


def test_secrets(receiver: "Receiver", reports: list[str]) -> None:
    """
    Values of headers stand in no repr and in no report, also where the receiver says
    them; nor do a URL's password and query.
    """
    secret = "sk-very-secret"
    key = secret.encode()
    receiver.answer = lambda each: TOOLS.answered(
        each, 400, each.headers["authorization"].encode() * 2 + b"; A key: " + key
    )
    url = receiver.url.replace("//", "//ada:hunter2@") + "/v1/traces?api_key=hunter2"
    headers = {"Authorization": f"Bearer {secret}", "x-tenant": "A", "x-none": ""}
    handler = OTLPHandler(url, headers=headers)

    with callbacks(handler):
        request()
    handler.drain(20)

    said = " ".join([repr(handler), *reports])
    assert "[redacted]" in said
    assert secret not in said
    assert "hunter2" not in said
    assert receiver.requests[0][1]["authorization"] == f"Bearer {secret}"


def test_shared_sender(receiver: "Receiver") -> None:
    """
    Handlers that say the same to the same receiver share one sender.
    """
    one, two = (OTLPHandler(receiver.url, service="same") for _ in range(2))
    other = OTLPHandler(receiver.url, service="other")

    with callbacks(one):
        alone()
    assert one.drain(20)
    with callbacks(two):
        alone()
    assert two.drain(20)

    assert one._sender is two._sender
    assert other._sender is not one._sender
    assert two.sent == 2


def test_idle_thread_ends(
    receiver: "Receiver", monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A thread that nothing comes to ends.
    """
    monkeypatch.setattr(WORKER, "_IDLE_S", 0.01)
    handler = OTLPHandler(receiver.url)
    with callbacks(handler):
        alone()
    assert handler.drain(20)

    thread = handler._sender._thread
    if thread is not None:
        thread.join(20)

    assert handler._sender._thread is None
    assert handler.drain(1)
    with callbacks(handler):
        alone()
    assert handler.drain(20)
    assert handler.sent == 2


def test_whole_batches(receiver: "Receiver") -> None:
    """
    More than a batch is sent as several, without waiting between them.
    """
    handler = OTLPHandler(receiver.url, payload=False)

    with callbacks(handler):
        for _ in range(1_500):
            alone()
    assert handler.drain(20)

    assert handler.sent == 1_500
    assert 3 <= len(receiver.requests) <= 6


def test_no_wait_for_a_whole_batch(
    receiver: "Receiver", monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Where more than a batch waits already, it is sent without waiting for more.
    """

    def late(each: Any) -> None:
        receiver.released.wait(20)
        TOOLS.taken(each)

    monkeypatch.setattr(SENDER.Sender, "_delay_s", 600.0)
    receiver.answer = first(late)
    handler = OTLPHandler(receiver.url, payload=False)

    with callbacks(handler):
        for _ in range(514):  # a batch and more
            alone()
        receiver.wait_for(lambda: bool(receiver.requests))
        for _ in range(1_100):
            alone()
    receiver.released.set()

    receiver.wait_for(lambda: len(receiver.spans) >= 1_536)


def test_collected_meanwhile(receiver: "Receiver") -> None:
    """
    Generators that are collected while a span is queued end, and theirs is queued too.
    """

    @traced
    def pieces() -> Any:
        yield 1
        yield 2

    handler = OTLPHandler(receiver.url, payload=False)
    before = gc.get_threshold()
    try:
        gc.set_threshold(1, 1, 1)
        with callbacks(handler):
            for _ in range(600):
                left: list[Any] = [pieces()]
                next(left[0])
                left.append(left)
    finally:
        gc.set_threshold(*before)
    del left
    for _ in range(2_000):  # does nothing while another thread is at it
        gc.collect()
        if not handler._open:
            break
        time.sleep(0.01)
    receiver.wait_for(
        lambda: len(receiver.spans) >= 600
    )  # some: in the sender's thread
    assert handler.drain(20)

    assert (handler.sent, handler.dropped) == (600, 0)


def test_ends_that_are_lost(
    receiver: "Receiver", monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Of runs whose end is never told, as a wrapper drops it, so many are known and the
    others counted.
    """
    monkeypatch.setattr(import_module("instrument.handlers._otlp"), "_MOST_OPEN", 10)
    handler = OTLPHandler(receiver.url)
    started: Any = handler.run_started

    with callbacks(on_chain_start=lambda *_, run, **__: started(run)):
        for _ in range(15):
            alone()

    assert len(handler._open) == 10
    assert handler.dropped == 5


def test_wrapped(receiver: "Receiver") -> None:
    """
    In background and filtered it works as others do.
    """
    handler = OTLPHandler(receiver.url)

    with callbacks(background(filtered(handler, kinds="tool"))):
        request()
    assert handler.drain(20)

    (span,) = receiver.spans
    assert span.name == "tool"
    assert TOOLS.plain(span.attributes)["instrument.parent_run_id"]


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_wait(receiver: "Receiver", anyio_backend: str) -> None:
    """
    With ``wait=True`` a block is left when all was sent.
    """
    handler = OTLPHandler(receiver.url, wait=True, service=anyio_backend)
    assert repr(handler).startswith("<OTLPHandler to http")

    with callbacks(handler):
        alone()
    assert len(receiver.spans) == 1
    async with callbacks(handler):
        alone()
    assert len(receiver.spans) == 2


@pytest.mark.anyio
async def test_wait_in_vain(
    receiver: "Receiver", reports: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Where that takes too long, it is reported and the block left.
    """
    receiver.answer = hang
    handler = OTLPHandler(receiver.url, wait=True)
    monkeypatch.setattr(handler, "drain", lambda: type(handler).drain(handler, 0.01))

    with callbacks(handler):
        alone()
    async with callbacks(handler):
        alone()

    assert "TimeoutError: what waits was not sent in 30 s" in reports[0]


def test_metrics(receiver: "Receiver") -> None:
    """
    With ``metrics=True`` durations, first pieces and tokens of models come as histograms,
    by what was asked of whom.
    """

    @traced.chat_model(model="m-1", provider="openai")
    def model(words: str) -> Any:
        yield from words.split()
        current_run().record_usage(input_tokens=3, output_tokens=70_000_000)

    @traced.llm
    def fails(prompt: str) -> None:
        raise KeyError(prompt)

    handler = OTLPHandler(receiver.url, metrics=True)
    with callbacks(handler):
        request()
        list(model("a b"))
        with pytest.raises(KeyError):
            fails("x")
    assert handler.drain(20)
    receiver.wait_for(lambda: bool(receiver.metrics))
    assert handler.drain(20)

    (scope,) = receiver.metrics
    assert scope.scope.name == "instrument"
    found = {metric.name: metric for metric in scope.metrics}
    assert set(found) == {
        "gen_ai.client.operation.duration",
        "gen_ai.client.operation.time_to_first_chunk",
        "gen_ai.client.token.usage",
    }
    usage = found["gen_ai.client.token.usage"]
    assert usage.unit == "{token}"
    assert usage.histogram.aggregation_temporality == 2
    by_type = {
        TOOLS.plain(point.attributes)["gen_ai.token.type"]: point
        for point in usage.histogram.data_points
    }
    assert (by_type["input"].count, by_type["input"].sum) == (1, 3.0)
    assert list(by_type["input"].bucket_counts) == [0, 1] + [0] * 13
    assert by_type["output"].bucket_counts[-1] == 1
    assert list(by_type["input"].explicit_bounds)[:3] == [1.0, 4.0, 16.0]
    durations = found["gen_ai.client.operation.duration"].histogram.data_points
    assert [TOOLS.plain(point.attributes) for point in durations] == [
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": "m-1",
            "gen_ai.response.model": "m-1",
        },
        {"gen_ai.operation.name": "text_completion", "error.type": "KeyError"},
    ]
    for point in durations:
        assert point.min == point.max == point.sum > 0


def test_metrics_refused(receiver: "Receiver", reports: list[str]) -> None:
    """
    Metrics that are refused are reported once, and lose no span.
    """

    @traced.llm
    def model(prompt: str) -> str:
        return prompt

    def answer(each: Any) -> None:
        TOOLS.answered(each, 404 if each.path.endswith("metrics") else 200)

    receiver.answer = answer
    handler = OTLPHandler(receiver.url, metrics=True)
    for _ in range(2):
        with callbacks(handler):
            model("x")
        assert handler.drain(20)

    assert handler.sent == 2
    assert len(reports) == 1
    assert "cannot send metrics: it answered 404" in reports[0]


def test_metrics_that_are_late(receiver: "Receiver") -> None:
    """
    Metrics that a receiver has no time for are sent again, also where nothing comes.
    """

    @traced.llm
    def model(prompt: str) -> str:
        return prompt

    unwilling = threading.Event()

    def answer(each: Any) -> None:
        is_late = each.path.endswith("metrics") and not unwilling.is_set()
        if is_late:
            unwilling.set()
        TOOLS.answered(each, 503 if is_late else 200)

    receiver.answer = answer
    handler = OTLPHandler(receiver.url, metrics=True)
    with callbacks(handler):
        model("x")
    assert handler.drain(20)
    assert handler.failures == 1
    sent = len(receiver.metrics)

    assert handler.drain(20)
    assert len(receiver.metrics) > sent


def test_metrics_wait(receiver: "Receiver", monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Metrics are sent once a minute, until when the thread stays.
    """

    @traced.llm
    def model(prompt: str) -> str:
        return prompt

    monkeypatch.setattr(WORKER, "_IDLE_S", 0.01)
    monkeypatch.setattr(SENDER.Sender, "_delay_s", 0.01)
    handler = OTLPHandler(receiver.url, metrics=True)
    sender = handler._sender
    looked, is_ended = threading.Event(), sender._has_ended
    sender._has_ended = lambda: (is_ended(), looked.set())[0]  # type: ignore[method-assign, func-returns-value]
    with callbacks(handler):
        model("x")
    receiver.wait_for(lambda: bool(receiver.spans))
    assert looked.wait(20)
    assert not receiver.metrics
    assert sender._thread is not None

    sender._metrics_due = 0.0
    receiver.wait_for(lambda: bool(receiver.metrics))


def test_metrics_are_bounded() -> None:
    """
    Of more than 1,000 combinations of attributes no more are kept.
    """
    metrics: Any = import_module("instrument.handlers._otlp.metrics").Metrics()

    for number in range(1_010):
        metrics._count("gen_ai.client.token.usage", 1.0, {"model": number})

    assert len(metrics._points) == 1_000


def run(code: str, url: str, *args: str) -> "subprocess.CompletedProcess[str]":
    """
    Run a program that has a handler, `handler`, and a run to make, `alone`.
    """
    program = f"""if True:
        import sys
        from instrument import callbacks, traced
        from instrument.handlers import OTLPHandler
        handler = OTLPHandler({url!r})

        @traced
        def alone(): ...

        @traced
        def pieces():
            yield 1
            yield 2
    """
    return subprocess.run(
        [sys.executable, "-c", program + "\n" + code, *args],
        capture_output=True,
        text=True,
        check=True,
        timeout=50,
    )


@pytest.mark.parametrize(
    "code, names",
    [
        ("with callbacks(handler): alone()", ["alone"]),
        ("with callbacks(handler).install(): alone(); sys.exit()", ["alone"]),
        ("with callbacks(handler):\n    left = pieces(); next(left)", ["pieces"]),
    ],
)
def test_sent_at_exit(receiver: "Receiver", code: str, names: list[str]) -> None:
    """
    At the interpreter's exit all is sent, also the end of what is suspended still.
    """
    done = run(code, receiver.url)

    assert [span.name for span in receiver.spans] == names
    assert done.stderr == ""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_sent_as_a_worker_ends(receiver: "Receiver") -> None:
    """
    A worker that was forked by multiprocessing sends all before it goes.
    """
    code = """
import multiprocessing
callbacks(handler).install()
worker = multiprocessing.get_context("fork").Process(target=alone)
worker.start()
worker.join()
"""

    run(code, receiver.url)

    assert [span.name for span in receiver.spans] == ["alone"]


def test_hung_at_exit(receiver: "Receiver") -> None:
    """
    A receiver that hangs keeps the interpreter for a short while, and what was lost is
    said.
    """
    receiver.answer = hang
    code = (
        "import instrument.handlers._shared.worker as worker\n"
        "worker.EXIT_WAIT_S = 0.2\n"
        "with callbacks(handler): alone()\n"
    )

    done = run(code, receiver.url)

    # whether the last attempt gives up before its time is over, or just after
    lost = ("lost 1 spans that were not sent in time at exit", "drops spans")
    assert any(said in done.stderr for said in lost)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no such timer")
def test_interrupted_at_exit(receiver: "Receiver", tmp_path: Path) -> None:
    """
    Who interrupts the wait at exit waits a moment more; what others have is written, and
    what was lost is said.
    """
    receiver.answer = hang
    code = f"""
import signal
from instrument.handlers import StoreHandler

def interrupt(number, frame): raise KeyboardInterrupt
signal.signal(signal.SIGALRM, interrupt)
store = StoreHandler({str(tmp_path / "traces.db")!r})
with callbacks(handler, store): alone()
import instrument.handlers._shared.worker as worker
worker.EXIT_WAIT_S, worker._HURRIED_S = 30.0, 0.3
signal.setitimer(signal.ITIMER_REAL, 1.0)
"""

    begun = time.monotonic()
    done = run(code, receiver.url)

    assert time.monotonic() - begun < 20
    assert "KeyboardInterrupt" in done.stderr
    assert "lost 1 spans that were not sent in time at exit" in done.stderr
    assert Reader(tmp_path / "traces.db").about()["runs"] == 1


def test_dead_at_exit() -> None:
    """
    Where nobody listens at exit, it is said, and not tried for long.
    """
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        code = (
            "import instrument.handlers._shared.worker as worker\n"
            "worker.EXIT_WAIT_S = 1.5\n"
            "with callbacks(handler): alone()\n"
        )
        done = run(code, url)

    assert "cannot send: ConnectionRefusedError" in done.stderr
    assert "drops spans" in done.stderr


def test_several_at_exit(receiver: "Receiver") -> None:
    """
    All senders together have that while at exit.
    """
    code = (
        f"other = OTLPHandler({receiver.url!r}, service='other')\n"
        "with callbacks(handler, other): alone()\n"
    )

    done = run(code, receiver.url)

    assert len(receiver.spans) == 2
    assert done.stderr == ""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_fork(receiver: "Receiver") -> None:
    """
    A forked child sends its own spans, and none of those that wait in its parent.
    """
    code = (
        "import os\n"
        "with callbacks(handler):\n"
        "    alone()\n"
        "    child = os.fork()\n"
        "    if not child:\n"
        "        list(pieces())\n"
        "        assert handler.drain(20) and handler.sent == 1\n"
        "        os._exit(0)\n"
        "    assert os.waitpid(child, 0)[1] == 0\n"
        "assert handler.drain(20) and handler.sent == 1, handler.sent\n"
    )

    run(code, receiver.url)

    assert sorted(span.name for span in receiver.spans) == ["alone", "pieces"]


def test_no_thread_is_to_be_had(
    receiver: "Receiver", monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Where no thread can be started the spans wait, until `drain` sends them itself.
    """

    start = threading.Thread.start

    def cannot(thread: Any) -> None:
        if "OTLP" in thread.name:
            raise RuntimeError("can't start new thread")
        start(thread)

    handler = OTLPHandler(receiver.url)
    monkeypatch.setattr(threading.Thread, "start", cannot)
    with callbacks(handler):
        alone()
    assert handler.sent == 0
    assert handler.drain(20)

    assert handler.sent == 1


def test_one_that_cannot_be_written(
    receiver: "Receiver", reports: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A span that cannot be written is dropped, counted and reported; others are sent.
    """
    spans: Any = import_module("instrument.handlers._otlp.spans")
    written = spans.encoded

    def encoded(told: Any, dialect: str) -> bytes:
        if told.name == "tool":
            raise ZeroDivisionError
        return written(told, dialect)  # type: ignore[no-any-return]

    monkeypatch.setattr(spans, "encoded", encoded)
    handler = OTLPHandler(receiver.url)
    with callbacks(handler):
        request()
    assert handler.drain(20)

    assert (handler.sent, handler.dropped) == (1, 1)
    assert "one could not be written" in reports[0]


def test_thread_goes_on(
    receiver: "Receiver", reports: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Whatever goes wrong in the thread that sends is reported, and it goes on.
    """
    handler = OTLPHandler(receiver.url)
    send = handler._sender._post.send
    bodies: list[bytes] = []

    def fails(body: bytes, timeout_s: float) -> Any:
        bodies.append(body)
        if len(bodies) == 1:
            raise LookupError("unforeseen")
        return send(body, timeout_s)

    monkeypatch.setattr(handler._sender._post, "send", fails)
    for _ in range(2):
        with callbacks(handler):
            alone()
        assert handler.drain(20)

    assert len(receiver.spans) == 1
    assert (handler.sent, handler.dropped) == (1, 1)
    assert any("unforeseen" in it for it in reports)
    thread = handler._sender._thread
    handler._sender._start()
    assert handler._sender._thread is thread


def test_run_that_was_not_told(
    receiver: "Receiver", reports: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Of a run whose start it was not told, or could not take, it tells nothing.
    """
    handler = OTLPHandler(receiver.url)

    @traced
    def outer() -> None:
        with callbacks(handler):
            emit("lost", 1)

    def fails(*args: object) -> None:
        raise MemoryError

    with callbacks(OTLPHandler(receiver.url, service="other")):
        outer()
    monkeypatch.setattr(import_module("instrument.handlers._otlp"), "Told", fails)
    with callbacks(handler):
        alone()
    assert handler.drain(20)

    assert handler.sent == 0
    assert "MemoryError" in reports[0]


def test_suppressed_tracing(receiver: "Receiver") -> None:
    """
    The thread that sends has OpenTelemetry's own marks that nothing of it is traced.
    """
    context = pytest.importorskip("opentelemetry.context")
    seen: list[object] = []
    handler = OTLPHandler(receiver.url)
    send = handler._sender._post.send

    def sends(body: bytes, timeout_s: float) -> Any:
        seen.append(context.get_value("suppress_instrumentation"))
        return send(body, timeout_s)

    handler._sender._post.send = sends  # type: ignore[method-assign]
    with callbacks(handler):
        alone()
    assert handler.drain(20)

    assert seen == [True]
    assert context.get_value("suppress_instrumentation") is None


def test_version_that_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Run from a checkout, which has no metadata, what is sent has an empty version.
    """

    def fail(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", fail)

    assert SENDER._version() == ""
