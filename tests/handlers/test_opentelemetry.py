"""
`OpenTelemetryHandler`: runs as spans of the application's own provider, current while
their bodies run.
"""

import asyncio
import copy
import gc
import json
import logging
import re
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from contextvars import copy_context
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from instrument import (
    BaseCallbackHandler,
    auto,
    bind,
    callbacks,
    current_run,
    emit,
    traced,
    wrap,
)
from instrument._delivery import flush as _serve
from instrument.handlers import OpenTelemetryHandler, background, filtered, tail
from instrument.propagation import attach, extract
from instrument.testing import Recorder

pytest.importorskip("opentelemetry.sdk")

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, Sampler

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


class App:
    """
    An application with a provider of its own.
    """

    def __init__(self, **given: Any) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider(**given)
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.span = self.provider.get_tracer("app").start_as_current_span
        self.handler = OpenTelemetryHandler(self.provider)

    @property
    def spans(self) -> tuple[ReadableSpan, ...]:
        """
        All that have ended, in that order.
        """
        return self.exporter.get_finished_spans()  # type: ignore[no-any-return]

    def tree(self) -> dict[str, str | None]:
        """
        Give the name of each span's parent by its own.
        """
        names = {it.context.span_id: it.name for it in self.spans}
        return {
            it.name: it.parent and names.get(it.parent.span_id, "elsewhere")
            for it in self.spans
        }

    def named(self, name: str) -> ReadableSpan:
        """
        Give the one span of that name.
        """
        (found,) = [it for it in self.spans if it.name == name]
        return found


@pytest.fixture
def app(caplog: pytest.LogCaptureFixture) -> Iterator[App]:
    """
    Give an application in whose log OpenTelemetry has nothing to complain of.
    """
    made = App()
    with caplog.at_level(logging.WARNING, "opentelemetry"):
        yield made
    assert not caplog.records


def current() -> str:
    """
    Name the span that is current.
    """
    return getattr(trace.get_current_span(), "name", "none")


def test_tree_with_one_root(app: App) -> None:
    """
    A block inside a traced endpoint exports a tree with one root: our runs below the
    server's span, and the application's spans below our runs.
    """

    @traced.tool
    def search() -> None:
        with app.span("SELECT"):
            pass

    @traced
    def answer() -> None:
        search()
        with app.span("between"):
            traced("inner")(len)("")

    with app.span("GET /answer"), callbacks(app.handler):
        answer()
        assert current() == "GET /answer"

    assert {span.name for span in app.spans} == {
        "GET /answer",
        "answer",
        "search",
        "SELECT",
        "between",
        "inner",
    }
    assert len({span.context.trace_id for span in app.spans}) == 1
    tree = app.tree()
    assert tree["GET /answer"] is None
    assert tree["answer"] == "GET /answer"
    assert tree["between"] == "answer"
    assert tree["inner"] == "between"
    assert tree["SELECT"] == "search"


def test_provider_is_the_applications(app: App) -> None:
    """
    The provider is the same object after it, and the application's own spans are the
    same in number and parents as without the handler.
    """

    @traced
    def answer() -> None:
        with app.span("outer"), app.span("inner"):
            pass

    answer()
    alone = app.tree()
    app.exporter.clear()
    before = trace.get_tracer_provider()
    with callbacks(app.handler):
        answer()

    assert trace.get_tracer_provider() is before
    own = {span.name: span for span in app.spans if span.name != "answer"}
    assert set(own) == set(alone) == {"outer", "inner"}
    assert app.tree() == {"answer": None, "outer": "answer", "inner": "outer"}


@pytest.mark.anyio
async def test_tasks_at_once(app: App) -> None:
    """
    Each task has its own span current; none sees another's.
    """

    @traced.chat_model
    async def model(name: str) -> str:
        assert current() == "model"
        with app.span(f"POST {name}"):
            await asyncio.sleep(0)
        assert current() == "model"
        return name

    @traced
    async def answer() -> None:
        await asyncio.gather(*(model(name) for name in "abc"))
        assert current() == "answer"

    with app.span("GET /answer"):
        async with callbacks(app.handler):
            await answer()
            assert current() == "GET /answer"

    tree = app.tree()
    assert [tree[f"POST {name}"] for name in "abc"] == ["model"] * 3
    assert tree["model"] == "answer"
    assert (
        len({it.parent.span_id for it in app.spans if it.parent and "POST" in it.name})
        == 3
    )


def test_generator(app: App) -> None:
    """
    A generator's span is current in its body at each step, with what it has opened
    itself, and never in its consumer; also where it is sent to, thrown into, or closed.
    """
    seen: list[str] = []

    @traced("stream")
    def stream() -> Iterator[int]:
        with app.span("inside"):
            seen.append(current())
            got = yield 1
            seen.append(f"{current()} {got}")
            try:
                yield 2
            except KeyError:
                seen.append(current())
        seen.append(current())
        yield 3
        seen.append("never")

    with callbacks(app.handler), app.span("consumer"):
        steps: Any = stream()
        assert current() == "consumer"
        assert next(steps) == 1
        assert current() == "consumer"
        assert steps.send("x") == 2
        assert current() == "consumer"
        assert steps.throw(KeyError()) == 3
        assert current() == "consumer"
        steps.close()
        assert current() == "consumer"

    assert seen == ["inside", "inside x", "inside", "stream"]
    assert app.tree() == {"inside": "stream", "stream": "consumer", "consumer": None}
    assert (
        dict(app.named("stream").attributes or {})["instrument.status"] == "abandoned"
    )


def test_generator_that_returns(app: App) -> None:
    """
    So it is for one that a plain function has returned, stepped already or not.
    """
    seen: list[str] = []

    def steps() -> Iterator[int]:
        seen.append(current())
        yield 1
        seen.append(current())

    @traced
    def fresh() -> Any:
        seen.append(current())
        return steps()

    @traced
    def begun() -> Any:
        made = steps()
        next(made)
        return made

    with callbacks(app.handler), app.span("consumer"):
        for function in (fresh, begun):
            stream = function()
            assert current() == "consumer"
            list(stream)
            assert current() == "consumer"

    assert seen == ["fresh", "fresh", "fresh", "begun", "begun"]
    assert app.tree() == {"fresh": "consumer", "begun": "consumer", "consumer": None}


@pytest.mark.anyio
async def test_async_generator(app: App) -> None:
    """
    The same of an async generator, at each resume, and of a coroutine that a plain
    function has returned.
    """
    seen: list[str] = []

    @traced("stream")
    async def stream() -> Any:
        with app.span("inside"):
            yield current()
            await asyncio.sleep(0)
            yield current()
        seen.append(current())

    @traced("returned")
    def returned() -> Any:
        async def inner() -> str:
            await asyncio.sleep(0)
            return current()

        return inner()

    with callbacks(app.handler), app.span("consumer"):
        async for item in stream():
            assert item == "inside"
            assert current() == "consumer"
            await asyncio.sleep(0)
        coroutine = returned()
        assert current() == "consumer"
        assert await coroutine == "returned"
        assert current() == "consumer"

    assert seen == ["stream"]
    assert app.tree() == {
        "inside": "stream",
        "stream": "consumer",
        "returned": "consumer",
        "consumer": None,
    }


@pytest.mark.anyio
async def test_async_generator_that_is_stopped(app: App) -> None:
    """
    One that a handler stops at a token is closed inside its span, which fails with that.
    """
    within: list[str] = []

    class Enough(BaseCallbackHandler):
        raise_error = True

        def on_llm_new_token(self, token: str, **kwargs: Any) -> None:
            raise LookupError("enough")

    @traced.llm
    async def stream() -> Any:
        try:
            yield "a"
        finally:
            within.append(current())

    with callbacks(app.handler, Enough()), app.span("consumer"):
        with pytest.raises(LookupError, match="enough"):
            async for _ in stream():
                pass
        assert current() == "consumer"

    name = within[0]
    assert app.tree() == {name: "consumer", "consumer": None}
    assert not app.named(name).status.is_ok


@pytest.mark.anyio
async def test_async_generator_left(app: App) -> None:
    """
    One that is left early, or closed by another task, leaves nobody with its span.
    """

    @traced("stream")
    async def stream() -> Any:
        yield 1
        yield 2

    with callbacks(app.handler), app.span("consumer"):
        first = stream()
        async for _ in first:
            break
        assert current() == "consumer"
        await first.aclose()
        second = stream()
        await anext(second)
        await asyncio.create_task(second.aclose())
        assert current() == "consumer"
        third = stream()
        await anext(third)
        with pytest.raises(ValueError, match="thrown"):
            await third.athrow(ValueError("thrown"))
        assert current() == "consumer"

    assert app.tree() == {"stream": "consumer", "consumer": None}
    assert len(app.spans) == 4


def test_block(app: App) -> None:
    """
    A traced block is current in it; left in another Context it leaves that alone.
    """
    with callbacks(app.handler):
        with traced("block"):
            assert current() == "block"
        assert current() == "none"

        elsewhere, block = copy_context(), traced("moved")
        with app.span("here"):
            elsewhere.run(block.__enter__)
            assert elsewhere.run(current) == "moved"
            assert current() == "here"
            block.__exit__(None, None, None)
            assert current() == "here"

    assert app.named("moved").end_time is not None


def test_collected_elsewhere(app: App) -> None:
    """
    A suspended generator that is collected in another Context, thread or none of its own
    ends its span without a word from OpenTelemetry.
    """

    @traced("stream")
    def stream() -> Iterator[int]:
        yield from (1, 2)

    def left() -> None:
        holder.append(stream())
        next(holder[0])

    holder: list[Any] = []
    with callbacks(app.handler):
        copy_context().run(left)
        thread = threading.Thread(target=holder.clear)
        thread.start()
        thread.join()
        copy_context().run(left)
        holder.clear()
        gc.collect()
        assert current() == "none"

    assert [span.name for span in app.spans] == ["stream", "stream"]


def test_collected_with_its_run(app: App) -> None:
    """
    So does one that is collected together with its run, of whose inputs it is part.
    """

    @traced("stream")
    def stream(holder: list[Any]) -> Iterator[int]:
        yield from (1, 2)

    def left() -> None:
        holder: list[Any] = []
        made = stream(holder)
        next(made)
        holder.append(made)

    with callbacks(app.handler):
        left()
        gc.collect()

    (span,) = app.spans
    assert dict(span.attributes or {})["instrument.status"] == "abandoned"


def test_threads(app: App) -> None:
    """
    In a thread to which only our scope was carried, a run has its parent all the same,
    and is current there; and the thread is left as it was.
    """

    @traced.tool
    def search() -> str:
        return current()

    def work() -> tuple[str, str]:
        return search(), current()

    @traced
    def answer() -> None:
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(bind(work)).result() == ("search", "none")
            assert pool.submit(current).result() == "none"

    with callbacks(app.handler):
        answer()

    assert app.tree() == {"search": "answer", "answer": None}


def test_ended_in_the_midst_of_a_step(app: App) -> None:
    """
    One that is ended while its body is being stepped, as at exit, goes on without a span.
    """

    @traced("stream")
    def stream() -> Iterator[str]:
        for reference in list(_serve._streams.values()):
            made: Any = reference()
            made.abandon()
        yield current()
        yield current()

    with callbacks(app.handler), app.span("consumer"):
        for item in stream():
            assert item == "consumer"
            assert current() == "consumer"

    assert app.tree() == {"stream": "consumer", "consumer": None}


def test_context_left_by_the_body(app: App) -> None:
    """
    A body that leaves its own spans attached, or ends inside a run that has not, spoils
    nothing for its caller.
    """

    @traced
    def careless() -> None:
        leaked = trace.set_span_in_context(trace.get_current_span())
        otel_context.attach(otel_context.set_value("leaked", 1, leaked))

    with callbacks(app.handler), app.span("caller"):
        careless()
        assert current() == "caller"
        assert otel_context.get_value("leaked") is None

    @traced
    def forgets() -> None:
        traced("never left").__enter__()
        assert current() == "never left"

    def call() -> None:
        with callbacks(app.handler), app.span("caller"):
            forgets()
            assert current() == "caller"

    copy_context().run(call)


def test_remote_parent(app: App) -> None:
    """
    Below `attach` a root goes on with the trace that came in, with its state; where a
    span is current, that is nearer.
    """
    headers = {"traceparent": f"00-{TRACE}-{SPAN}-01", "tracestate": "vendor=1"}

    with attach(extract(headers)), callbacks(app.handler):
        with traced("root") as run:
            assert run.trace_hex == TRACE
        with app.span("server"), traced("nearer"):
            pass
    with attach({"draw": 0.5}), callbacks(app.handler), traced("alone"):
        pass

    root = app.named("root")
    assert f"{root.context.trace_id:032x}" == TRACE
    assert root.parent is not None
    assert f"{root.parent.span_id:016x}" == SPAN
    assert root.parent.is_remote
    assert root.context.trace_state.get("vendor") == "1"
    assert app.tree()["nearer"] == "server"
    assert app.tree()["alone"] is None


def test_unsampled_remote_parent(app: App) -> None:
    """
    What its sender did not sample, the provider's own sampler sees as that.
    """
    headers = {"traceparent": f"00-{TRACE}-{SPAN}-00"}

    with attach(extract(headers)), callbacks(app.handler), traced("root"):
        pass

    assert app.spans == ()


def test_attributes(app: App) -> None:
    """
    A span tells what OTLP tells: usage, messages, status and errors, in both dialects.
    """

    @traced.chat_model(model="big-1", provider="openai", tags=["v2"])
    def model(messages: Any) -> str:
        current_run().record_usage(input_tokens=3, output_tokens=1)
        emit("looked up", {"rows": 2})
        current_run().text("thinking")
        current_run().retry(2)
        return "Well ..."

    @traced.tool
    def broken() -> None:
        raise ValueError("no rows")

    with callbacks(app.handler, metadata={"session_id": "s1"}):
        model([{"role": "user", "content": "hi"}])
        with pytest.raises(ValueError, match="no rows"):
            broken()

    span, failed = app.named("model"), app.named("broken")
    told = dict(span.attributes or {})
    assert told["gen_ai.operation.name"] == "chat"
    assert told["openinference.span.kind"] == "LLM"
    assert told["gen_ai.usage.input_tokens"] == 3
    assert told["llm.token_count.completion"] == 1
    assert told["session.id"] == "s1"
    assert json.loads(str(told["gen_ai.input.messages"]))[0]["role"] == "user"
    assert span.kind is trace.SpanKind.CLIENT
    assert span.status.status_code is trace.StatusCode.OK
    assert [(it.name, dict(it.attributes or {})) for it in span.events] == [
        ("looked up", {"rows": 2}),
        ("text", {"text": "thinking"}),
        ("retry", {"attempt": 2}),
    ]
    assert failed.kind is trace.SpanKind.INTERNAL
    assert failed.status.status_code is trace.StatusCode.ERROR
    assert failed.status.description == "no rows"
    (exception,) = failed.events
    assert dict(exception.attributes or {})["exception.type"] == "ValueError"


def test_agents(app: App) -> None:
    """
    What an agent does is an event of its span, with what it decided on.
    """

    @traced.agent
    def agent() -> None:
        run = current_run()
        run._tell("on_agent_action", ("look",), {"action": "look"})
        run._tell("on_agent_finish", ("done",), {"finish": "done"})

    with callbacks(app.handler):
        agent()

    (span,) = app.spans
    assert [it.name for it in span.events] == ["agent_action", "agent_finish"]


def test_dialect_and_payload(app: App) -> None:
    """
    One dialect may be chosen, and no payload.
    """
    handler = OpenTelemetryHandler(app.provider, dialect="gen_ai", payload=False)
    short = OpenTelemetryHandler(app.provider, dialect="openinference", payload=5)

    @traced.tool
    def search(query: str) -> str:
        return query * 9

    with callbacks(handler, short):
        search("a secret")

    told = {span.name: dict(span.attributes or {}) for span in app.spans}
    assert "secret" not in str(told["execute_tool search"])
    assert "openinference.span.kind" not in told["execute_tool search"]
    assert len(str(told["search"]["output.value"])) < 30


def test_two_providers() -> None:
    """
    Two providers have spans each; those of the handler that hears first are current.
    """
    first, second = App(), App()

    both = callbacks(first.handler, second.handler)
    with both, traced("outer"), traced("inner"), first.span("SELECT"):
        pass

    assert first.tree() == {"SELECT": "inner", "inner": "outer", "outer": None}
    assert second.tree() == {"inner": "outer", "outer": None}


def test_filtered(app: App) -> None:
    """
    Of some runs only, the others have no spans; what is below them is below the next.
    """

    @traced.tool
    def search() -> str:
        return current()

    tools = callbacks(filtered(app.handler, kinds="tool"))
    with tools, app.span("server"), traced("chain"):
        assert current() == "server"
        assert search() == "search"

    assert app.tree() == {"search": "server", "server": None}


def test_not_sampled() -> None:
    """
    Where the provider samples nothing, nothing is exported, and all is as it was.
    """
    app = App(sampler=ALWAYS_OFF)

    @traced
    def answer() -> str:
        return "yes"

    with callbacks(app.handler), app.span("server"):
        assert answer() == "yes"

    assert app.spans == ()


@pytest.mark.parametrize("dialect", ["both", "gen_ai", "openinference"])
def test_what_samplers_see(dialect: str) -> None:
    """
    A sampler of the application's is told what a span is: its kind, model and name.
    """
    seen: list[Any] = []

    class Sees(Sampler):  # type: ignore[misc]
        def should_sample(self, *args: Any, **kwargs: Any) -> Any:
            seen.append(dict(args[4]))
            return ALWAYS_OFF.should_sample(*args, **kwargs)

        def get_description(self) -> str:
            return "sees"

    app = App(sampler=Sees())
    handler = OpenTelemetryHandler(app.provider, dialect=dialect)

    @traced.chat_model(model="big-1", provider="bedrock")
    def ask(question: str) -> str:
        return question

    @traced.tool
    def look(query: str) -> str:
        return query

    with callbacks(handler):
        ask("secret")
        look("secret")

    model, tool = seen
    gen_ai, openinference = dialect != "openinference", dialect != "gen_ai"
    assert "secret" not in str(seen)
    assert (model.get("gen_ai.request.model") == "big-1") is gen_ai
    assert (model.get("gen_ai.provider.name") == "aws.bedrock") is gen_ai
    assert (tool.get("gen_ai.tool.name") == "look") is gen_ai
    assert (tool.get("openinference.span.kind") == "TOOL") is openinference
    assert tool["instrument.kind"] == "tool"


def test_processor_that_fails(app: App, reports: list[str]) -> None:
    """
    A processor of the application's that raises is reported, and breaks no call.
    """

    class Broken(SimpleSpanProcessor):  # type: ignore[misc]
        def on_end(self, span: ReadableSpan) -> None:
            raise OSError("no disk")

    app.provider.add_span_processor(Broken(InMemorySpanExporter()))

    with callbacks(app.handler), traced("root"):
        pass

    assert "OpenTelemetryHandler failed at on_chain_end" in reports[0]
    assert current() == "none"


def test_sampler_that_fails(reports: list[str]) -> None:
    """
    So is a sampler: the run has no span then, and what is told of it no place.
    """

    class Broken(Sampler):  # type: ignore[misc]
        def should_sample(self, *args: Any, **kwargs: Any) -> Any:
            raise OSError("no network")

        def get_description(self) -> str:
            return "broken"

    app = App(sampler=Broken())

    with callbacks(app.handler), traced("root"):
        emit("told", {"to": "nobody"})

    assert app.spans == ()
    assert "OpenTelemetryHandler failed at on_chain_start" in reports[0]
    assert len(reports) == 1


def test_stopped_by_another_handler(app: App) -> None:
    """
    A run that another handler stops at its start ends its span, and is not left current.
    """

    class Stop(Recorder):
        raise_error = True

        def on_event(self, event: Any, **kwargs: Any) -> None:
            raise RuntimeError("stop")

    @traced
    def answer() -> None:
        raise AssertionError

    with callbacks(app.handler, Stop()), app.span("server"):
        with pytest.raises(RuntimeError, match="stop"):
            answer()
        assert current() == "server"

    assert app.tree() == {"answer": "server", "server": None}


def test_traceback_is_no_longer(app: App) -> None:
    """
    A traceback has the frames that it has without the handler.
    """

    @traced
    def stream() -> Iterator[int]:
        yield 1
        raise ValueError("x")

    def frames(handler: Any) -> list[str]:
        with callbacks(handler):
            try:
                list(stream())
            except ValueError as exc:
                return [it.name for it in traceback.extract_tb(exc.__traceback__)]
        raise AssertionError

    assert frames(app.handler) == frames(Recorder())


def test_run_told_elsewhere_is_late(app: App) -> None:
    """
    What begins below a run that has ended is below its span.
    """

    @traced.tool
    def late() -> None:
        pass

    with callbacks(app.handler):
        with traced("root"):
            bound = bind(late)
            stream = traced("stream")(lambda: (yield 1))()
        bound()
        list(stream)

    assert app.tree()["stream"] == "root"


@pytest.mark.skipif(sys.version_info < (3, 12), reason="needs sys.monitoring")
def test_watched_generator(
    app: App, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """
    A generator that is heard by ``auto.watch`` has its span current at each step.
    """
    (tmp_path / "streaming.py").write_text(
        "def steps(seen):\n    for _ in range(2):\n        yield seen()\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    auto.watch("streaming:steps", name="watched")
    steps = import_module("streaming").steps

    try:
        with callbacks(app.handler), app.span("consumer"):
            for item in steps(current):
                assert item == "watched"
                assert current() == "consumer"
    finally:
        auto.unwatch("streaming:steps")
        auto.uninstall()

    assert app.tree() == {"watched": "consumer", "consumer": None}


def test_stream_of_a_wrapped_client(app: App) -> None:
    """
    Where a wrapped SDK streams by a generator, what that does at each step is in the
    model's span, and its consumer in its own; the HTTP body says where it is read.
    """
    httpx: Any = pytest.importorskip("httpx")
    ollama: Any = pytest.importorskip("ollama")
    read = []

    class Body(httpx.SyncByteStream):  # type: ignore[misc]
        def __iter__(self) -> Iterator[bytes]:
            for is_last in (False, False, True):
                read.append(current())
                piece = {"message": {"role": "assistant", "content": "a"}}
                yield json.dumps({**piece, "done": is_last}).encode() + b"\n"

    transport = httpx.MockTransport(lambda _: httpx.Response(200, stream=Body()))
    client = wrap(ollama.Client(transport=transport))
    messages = [{"role": "user", "content": "hi"}]

    with callbacks(app.handler), app.span("consumer"):
        for _ in client.chat(model="m", messages=messages, stream=True):
            assert current() == "consumer"

    (model,) = [name for name, above in app.tree().items() if above == "consumer"]
    assert read == [model] * 3


def test_needs_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Without the package it says what to install.
    """
    monkeypatch.setitem(sys.modules, "opentelemetry", None)

    with pytest.raises(
        ImportError, match=r"pip install 'instrument-callbacks\[otel\]'"
    ):
        OpenTelemetryHandler()


def test_wrapped_is_refused(app: App) -> None:
    """
    In background, or afterwards, no span could be current: both are refused.
    """
    with pytest.raises(TypeError, match="must hear where and when"):
        background(app.handler)
    with pytest.raises(TypeError, match="must hear where and when"):
        tail(app.handler)


@pytest.mark.parametrize(
    "given, error",
    [
        ({"tracer_provider": "global"}, TypeError),
        ({"tracer_provider": TracerProvider}, TypeError),
        ({"dialect": "otel"}, ValueError),
        ({"payload": "no"}, TypeError),
        ({"payload": -1}, ValueError),
    ],
    ids=str,
)
def test_bad_arguments(given: Any, error: type[Exception]) -> None:
    """
    What cannot be is an error at once, that names it.
    """
    with pytest.raises(error, match=r"OpenTelemetryHandler\("):
        OpenTelemetryHandler(**given)


def test_is_itself(app: App) -> None:
    """
    A copy is the handler, as for all of ours, and it is shown by its name.
    """
    assert copy.deepcopy(app.handler) is app.handler
    assert repr(app.handler) == "<OpenTelemetryHandler>"


def test_leaves_nothing_behind(app: App) -> None:
    """
    Nothing is kept of a run that has gone.
    """
    with callbacks(app.handler):
        for _ in range(100):
            with traced("root"):
                pass
        list(traced("stream")(lambda: (yield 1))())

    for _ in range(6):  # before Python 3.12 some keep the Context that they met
        gc.collect()
    assert not app.handler._open
    assert len(app.handler._ended) == 0


class Interrupts:
    """
    Interrupts a call within the handler, or of OpenTelemetry's context, by its number;
    a profiler, as that ends with what it raises.
    """

    def __init__(self, at: int) -> None:
        self.left = at

    def __call__(self, frame: FrameType, event: str, _: object) -> None:
        if event == "call" and PLACES.search(frame.f_code.co_filename):
            self.left -= 1
            if not self.left:
                raise KeyboardInterrupt


PLACES = re.compile(r"[/\\]_opentelemetry[/\\]|[/\\]opentelemetry[/\\]context[/\\]")


class Names(SpanProcessor):  # type: ignore[misc]
    """
    The names of the spans that have begun, and of those that have ended.
    """

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.ended: list[str] = []

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        self.begun.append(span.name)

    def on_end(self, span: Any) -> None:
        self.ended.append(span.name)


def test_interrupts() -> None:
    """
    Wherever the handler is interrupted, each span that was begun ends, once, and no
    context stays current.
    """

    @traced.llm
    def model() -> Iterator[str]:
        yield from ("a", "b")

    before = otel_context.get_current()
    at, comes = 0, Interrupts(0)
    while comes.left <= 0:
        at, comes = at + 1, Interrupts(at + 1)
        names, provider = Names(), TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(names)
        handler = OpenTelemetryHandler(provider)

        with suppress(KeyboardInterrupt), callbacks(handler), profiled(comes):
            with traced("root"):
                emit("told", {})
                with traced("inner"):
                    pass
            list(model())

        assert sorted(names.begun) == sorted(names.ended), at
        assert otel_context.get_current() == before, at
        assert not handler._open, at
    assert at > 50


@contextmanager
def profiled(profile: Any) -> Iterator[None]:
    try:
        sys.setprofile(profile)
        yield
    finally:
        sys.setprofile(None)


def test_processes_own_provider() -> None:
    """
    Without a provider given the process's own is used, also one that is set later; ours
    is never set.
    """
    code = """
from instrument import callbacks, traced
from instrument.handlers import OpenTelemetryHandler
from opentelemetry import trace
handler = OpenTelemetryHandler()
with callbacks(handler), traced("unheard"): pass
assert type(trace.get_tracer_provider()).__name__ == "ProxyTracerProvider"
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
exporter = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
trace.set_tracer_provider(provider)
with callbacks(handler), traced("heard"): pass
assert trace.get_tracer_provider() is provider
print([(span.name, span.instrumentation_scope.name) for span in exporter.get_finished_spans()])
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.stderr == ""
    assert done.stdout.strip() == "[('heard', 'instrument')]"
