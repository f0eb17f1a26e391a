"""
Spans in the words of gen_ai and OpenInference, heard as runs; by real emitters, and by
spans made as they make them.
"""

import asyncio
import gc
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from instrument import auto, callbacks, current_run, traced
from instrument._hearing.targets import installed
from instrument._runs.merging import Inner
from instrument._runs.opening import frameworks, lookouts
from instrument.exceptions import BudgetExceeded
from instrument.handlers import BudgetHandler, OpenTelemetryHandler, UsageHandler
from instrument.testing import Recorder

pytest.importorskip("opentelemetry.sdk")

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from instrument.integrations import opentelemetry as adapter


@pytest.fixture
def provider() -> Iterator[Any]:
    """
    Give an application's provider that is heard.
    """
    auto.install()
    made = TracerProvider()
    adapter.hear(made)
    yield made
    auto.uninstall()


@pytest.fixture
def tracer(provider: Any) -> Any:
    """
    Give what a framework makes its spans with.
    """
    return provider.get_tracer("a.framework")


def said(role: str, *parts: Any) -> str:
    """
    Write a message of gen_ai as an attribute has it.
    """
    made = [{"type": "text", "content": it} if type(it) is str else it for it in parts]
    return json.dumps([{"role": role, "parts": made}])


def test_agent_with_a_model_and_a_tool(tracer: Any, recorder: Recorder) -> None:
    """
    Spans of gen_ai are runs: kinds by operation, names, messages, tool calls, usage.
    """
    call = {"type": "tool_call", "id": "c1", "name": "look", "arguments": {"q": 1}}
    agent = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "helper"}
    tool = {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "look",
        "gen_ai.tool.description": "Looks.",
        "gen_ai.tool.call.arguments": '{"q": 1}',
    }

    with (
        callbacks(recorder),
        tracer.start_as_current_span("invoke_agent helper", attributes=agent) as top,
    ):
        with tracer.start_as_current_span("chat big-1") as chat:
            chat.set_attributes(
                {
                    "gen_ai.provider.name": "openai",
                    "gen_ai.request.temperature": 0.5,
                    "gen_ai.request.model": "big-1",
                    "gen_ai.response.model": "big-1-0",
                    "gen_ai.response.id": "r1",
                    "gen_ai.response.finish_reasons": ["tool_calls"],
                    "gen_ai.response.time_to_first_chunk": 0.25,
                    "gen_ai.system_instructions": '[{"type":"text","content":"Be"}]',
                    "gen_ai.input.messages": said("user", "hi"),
                    "gen_ai.output.messages": said("assistant", "let me", call),
                    "gen_ai.usage.input_tokens": 10,
                    "gen_ai.usage.output_tokens": 4,
                    "gen_ai.usage.cache_read.input_tokens": 3,
                    "operation.cost": 0.5,
                }
            )
        with tracer.start_as_current_span("execute_tool look", attributes=tool) as t:
            t.set_attribute("gen_ai.tool.call.result", "found")
        top.set_attribute("final_result", "done")

    assert recorder.tree() == (
        "agent helper: ok\n  chat_model big-1: ok\n  tool look: ok"
    )
    top_run, model, tool_run = recorder.runs
    assert top_run.outputs == "done"
    assert model.model == "big-1-0"
    assert model.provider == "openai"
    assert model.params == {"temperature": 0.5}
    assert model.time_to_first_token_s == pytest.approx(0.25)
    assert model.inputs == [
        {"role": "system", "content": "Be"},
        {"role": "user", "content": "hi"},
    ]
    assert model.usage.to_dict() == {
        "input_tokens": 10,
        "output_tokens": 4,
        "cache_read_tokens": 3,
        "cost_usd": 0.5,
    }
    end = next(it for it in recorder.events if it.event == "on_llm_end").data
    assert (end["text"], end["finish_reason"], end["response_id"]) == (
        "let me",
        "tool_calls",
        "r1",
    )
    assert end["tool_calls"] == [{"id": "c1", "name": "look", "arguments": {"q": 1}}]
    assert recorder.events[1].data["model"] == "big-1"
    assert tool_run.inputs == {"q": 1}
    assert tool_run.outputs == "found"
    assert tool_run._description == "Looks."


def test_openinference(tracer: Any, recorder: Recorder) -> None:
    """
    So are spans of OpenInference, of which each field of a message is an attribute.
    """
    kind = "openinference.span.kind"
    prefix = "llm.output_messages.0.message"

    with callbacks(recorder):
        chain = {kind: "CHAIN", "input.value": '{"q": "hi"}'}
        with tracer.start_as_current_span("Answer", attributes=chain) as top:
            asked = {kind: "LLM", "llm.input_messages.0.message.role": "user"}
            asked["llm.input_messages.0.message.contents.0.message_content.text"] = "hi"
            asked["llm.invocation_parameters"] = '{"model": "m", "temperature": 1}'
            with tracer.start_as_current_span(
                "ChatCompletion", attributes=asked
            ) as llm:
                called = f"{prefix}.tool_calls.0.tool_call"
                llm.set_attributes(
                    {
                        "llm.model_name": "big-1",
                        "llm.system": "openai",
                        "llm.finish_reason": "stop",
                        f"{prefix}.role": "assistant",
                        f"{prefix}.content": "well",
                        f"{called}.id": "c1",
                        f"{called}.function.name": "look",
                        f"{called}.function.arguments": '{"q": 1}',
                        f"{prefix}.unknown": "x",
                        "llm.output_messages.oops": "x",
                        "llm.token_count.prompt": 7,
                        "llm.token_count.completion": 2,
                        "llm.token_count.completion_details.reasoning": 1,
                    }
                )
            found = {"input.value": "what?", kind: "RETRIEVER"}
            with tracer.start_as_current_span("Search", attributes=found) as search:
                search.set_attribute("retrieval.documents.0.document.content", "one")
                search.set_attribute("retrieval.documents.1.document.content", "two")
            text = {"embedding.embeddings.0.embedding.text": "t", kind: "EMBEDDING"}
            text["embedding.model_name"] = "small"
            with tracer.start_as_current_span("Embed", attributes=text):
                pass
            for more in ("GUARDRAIL", "UNKNOWN"):
                with tracer.start_as_current_span("More", attributes={kind: more}):
                    pass
            top.set_attribute("output.value", "done")

    runs = {run.kind: run for run in recorder.runs}
    assert list(runs) == ["chain", "chat_model", "retriever", "embedding", "guardrail"]
    model = runs["chat_model"]
    assert model.name == "ChatCompletion"
    assert model.inputs == [{"role": "user", "content": "hi"}]
    assert model.params == {"temperature": 1}
    assert model.usage.reasoning_tokens == 1
    assert recorder.roots[0].inputs == {"q": "hi"}
    assert recorder.roots[0].outputs == "done"
    assert runs["retriever"].inputs == "what?"
    assert runs["retriever"].outputs == ["one", "two"]
    assert runs["embedding"].inputs == ["t"]
    assert runs["embedding"].model == "small"
    end = next(it for it in recorder.events if it.event == "on_llm_end").data
    assert end["text"] == "well"
    assert end["tool_calls"] == [{"id": "c1", "name": "look", "arguments": {"q": 1}}]


CHAT = "gen_ai.input.messages"


@pytest.mark.parametrize(
    "name, attributes, inputs, outputs",
    [
        (
            "chat m",
            {
                CHAT: said(
                    "user",
                    {"type": "tool_call_response", "id": "c", "response": "r"},
                    {"type": "reasoning", "content": "hm"},
                    "then",
                    {"type": "uri", "uri": "https://x"},
                )
            },
            [
                {"role": "tool", "content": "r", "tool_call_id": "c"},
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "then"},
                        {"type": "uri", "uri": "https://x"},
                    ],
                    "reasoning_content": "hm",
                },
            ],
            None,
        ),
        (
            "chat m",
            {CHAT: said("tool", {"type": "tool_call_response", "result": 7})},
            [{"role": "tool", "content": 7, "tool_call_id": None}],
            None,
        ),
        ("chat m", {CHAT: "no json"}, [], None),
        ("chat m", {CHAT: "[broken"}, [], None),
        (
            "chat m",
            {CHAT: '["text", {"role": "user"}]'},
            [{"role": "user", "content": None}],
            None,
        ),
        ("chat m", {"input.value": "hi"}, [{"role": "user", "content": "hi"}], None),
        (
            "chat m",
            {"input.value": '{"messages": [{"role": "user", "content": "a"}, 7]}'},
            [{"role": "user", "content": "a"}],
            None,
        ),
        ("text_completion m", {"input.value": "once"}, ["once"], None),
        ("embeddings m", {"input.value": '["a", "b"]'}, ["a", "b"], None),
        ("embeddings m", {"input.value": "a"}, ["a"], None),
        ("embeddings m", {}, [], None),
        ("retrieval d", {"input.value": '{"q": 1}'}, '{"q": 1}', None),
        ("retrieval d", {"gen_ai.retrieval.query.text": "q"}, "q", None),
        ("retrieval d", {"gen_ai.retrieval.documents": '["x"]'}, "", ["x"]),
        ("execute_tool t", {"input.value": "plain"}, {"input": "plain"}, None),
        ("execute_tool t", {"output.value": '{"a": 1}'}, {}, {"a": 1}),
        (
            "invoke_agent a",
            {
                CHAT: said("user", "hi"),
                "gen_ai.output.messages": said("assistant", "ok"),
            },
            {"input": [{"role": "user", "content": "hi"}]},
            "ok",
        ),
        ("invoke_workflow", {}, {}, None),
    ],
    ids=range(18),
)
def test_what_went_in_and_came_out(
    tracer: Any,
    recorder: Recorder,
    name: str,
    attributes: Any,
    inputs: Any,
    outputs: Any,
) -> None:
    """
    What a span of each kind was given and gave is read; what cannot be read is passed
    over.
    """
    with callbacks(recorder), tracer.start_as_current_span(name, attributes=attributes):
        pass

    (run,) = recorder.runs
    assert run.inputs == inputs
    if not run._kind.is_model:
        assert run.outputs == outputs


@pytest.mark.parametrize(
    "name, attributes",
    [
        ("GET /answer", {}),
        ("chatting with a friend", {}),
        ("chat m", {"gen_ai.operation.name": "create_memory"}),
    ],
)
def test_what_is_no_run(
    tracer: Any, recorder: Recorder, name: str, attributes: Any
) -> None:
    """
    Any other span is none; what is below it is below what is above it.
    """
    start = tracer.start_as_current_span
    other = start(name, attributes=attributes)
    with callbacks(recorder), start("invoke_agent a"), other, start("execute_tool t"):
        pass

    assert recorder.tree() == "agent a: ok\n  tool t: ok"
    assert not adapter._listening.open_spans


def test_parents_across_both_worlds(tracer: Any, recorder: Recorder) -> None:
    """
    A span in a run of ours is below it, and a run of ours in a span below that; also in
    a thread to which only the span's context was given.
    """

    @traced.tool
    def search() -> str:
        with tracer.start_as_current_span("chat m"):
            return current_run().kind

    @traced
    def answer() -> None:
        with tracer.start_as_current_span("invoke_agent a") as agent:
            assert current_run().name == "a"
            assert search() == "chat_model"
            context = trace.set_span_in_context(agent)
            thread = threading.Thread(target=elsewhere, args=(context,))
            thread.start()
            thread.join()

    def elsewhere(context: Any) -> None:
        tracer.start_span("execute_tool apart", context).end()

    with callbacks(recorder):
        answer()

    assert recorder.tree() == (
        f"chain {recorder.runs[0].name}: ok\n"
        "  agent a: ok\n"
        f"    tool {recorder.runs[2].name}: ok\n"
        "      chat_model m: ok\n"
        "    tool apart: ok"
    )


def test_one_run_per_call(tracer: Any, recorder: Recorder) -> None:
    """
    A model's span inside a model's run is part of it, and adds what it knows; a tool's
    inside that tool's run is that.
    """

    @traced.chat_model
    def model() -> str:
        with tracer.start_as_current_span("chat big-1") as span:
            span.set_attribute("gen_ai.usage.input_tokens", 3)
            span.set_attribute("gen_ai.provider.name", "openai")
        return "well"

    @traced.tool("look")
    def look() -> None:
        start = tracer.start_as_current_span
        with start("execute_tool look"), start("execute_tool other"):
            pass

    usage = UsageHandler()
    with callbacks(recorder, usage):
        model()
        look()

    assert [run.kind for run in recorder.runs] == ["chat_model", "tool", "tool"]
    (first, _, other) = recorder.runs
    assert first.usage.input_tokens == 3
    assert first.provider == "openai"
    assert first.model == "big-1"
    assert usage.total.calls == 1
    assert other.parent_id == recorder.runs[1].id


def test_inside_what_is_part(tracer: Any, recorder: Recorder) -> None:
    """
    A span inside an SDK's call that is part of a model's run is part of that as well.
    """

    @traced.chat_model
    def model() -> str:
        part = Inner(current_run(), None, None, dict)
        tracer.start_span("chat m").end()
        part.returned(None)
        return "well"

    with callbacks(recorder):
        model()

    assert len(recorder.runs) == 1


def test_errors(tracer: Any, recorder: Recorder) -> None:
    """
    The exception that crosses a span is that of its run; of one that is only told, its
    type and message are.
    """
    error = ValueError("no rows")

    def failing() -> None:
        start = tracer.start_as_current_span
        with start("invoke_agent a"), start("execute_tool t"):
            raise error

    with callbacks(recorder):
        with pytest.raises(ValueError, match="no rows"):
            failing()
        with tracer.start_as_current_span("execute_tool told") as told:
            told.record_exception(KeyError("first"))
            told.record_exception(OSError("no disk"))
            told.set_status(StatusCode.ERROR)
        with tracer.start_as_current_span("execute_tool quiet") as quiet:
            quiet.set_attribute("error.type", "tool error!")
            quiet.set_status(StatusCode.ERROR)

    agent, tool, told_run, quiet_run = recorder.runs
    assert tool.error is error
    assert agent.error is error
    assert (tool.error_origin, agent.error_origin) == (True, False)
    assert type(told_run.error).__name__ == "OSError"
    assert str(told_run.error) == "no disk"
    assert type(quiet_run.error).__name__ == "SpanError"
    assert str(quiet_run.error) == "tool error!"


@pytest.mark.anyio
async def test_cancelled_and_left(tracer: Any, recorder: Recorder) -> None:
    """
    A span through which a cancellation or a close goes tells nothing of it, but its run
    does; what was being handled before it has no part in that.
    """

    async def waiting() -> None:
        with tracer.start_as_current_span("execute_tool waiting"):
            await asyncio.Event().wait()

    def stream() -> Any:
        with tracer.start_as_current_span("chat stream"):
            yield 1

    with callbacks(recorder):
        task = asyncio.create_task(waiting())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        left = stream()
        next(left)
        left.close()
        try:
            raise GeneratorExit
        except GeneratorExit:
            tracer.start_span("execute_tool meanwhile").end()

    assert [run.status for run in recorder.runs] == ["cancelled", "abandoned", "ok"]


def test_span_that_is_dropped(tracer: Any, recorder: Recorder) -> None:
    """
    A span that goes without an end is a run that was left; nothing is kept of it.
    """
    with callbacks(recorder):
        span = tracer.start_span("invoke_agent a")
        below = tracer.start_span("GET /", trace.set_span_in_context(span))
        del below
        del span
        gc.collect()

    assert recorder.tree() == "agent a: abandoned"
    assert not adapter._listening.open_spans
    assert not adapter._listening._dropping


def test_nobody_listens(tracer: Any) -> None:
    """
    Where nobody listens nothing is made; nor of what a handler itself calls, nor after
    `auto.uninstall()`.
    """
    tracer.start_span("chat m").end()

    class Calls(Recorder):
        def on_event(self, event: Any, **kwargs: Any) -> None:
            tracer.start_span("chat inside").end()
            super().on_event(event)

    calls = Calls()
    with callbacks(calls):
        tracer.start_span("chat m").end()
        with callbacks(inherit=False):
            tracer.start_span("chat unheard").end()
    auto.uninstall()
    late = Recorder()
    with callbacks(late):
        tracer.start_span("chat m").end()

    assert calls.tree() == "chat_model m: ok"
    assert late.runs == []


def test_open_while_switched_off(tracer: Any, recorder: Recorder) -> None:
    """
    A span that is open when all is switched off ends its run all the same.
    """
    with callbacks(recorder):
        span = tracer.start_span("chat m")
        auto.uninstall()
        span.end()

    assert recorder.tree() == "chat_model m: ok"


def test_budget_stops_the_next_call(tracer: Any) -> None:
    """
    A handler that stops requests stops what a span begins, and no end.
    """
    budget = BudgetHandler(max_calls=1)

    with callbacks(budget), tracer.start_as_current_span("invoke_agent a"):
        tracer.start_span("chat one").end()
        with pytest.raises(BudgetExceeded):
            tracer.start_span("chat two")

    assert not adapter._listening.open_spans


def test_failure_at_an_end(tracer: Any, reports: list[str]) -> None:
    """
    What a handler raises at an end does not reach the code that ends a span.
    """

    class Strict(Recorder):
        raise_error = True

        def on_llm_end(self, response: Any, **kwargs: Any) -> None:
            raise RuntimeError("too late")

    with callbacks(Strict()):
        tracer.start_span("chat m").end()

    assert "too late" in "".join(reports)


def test_attributes_that_cannot_be_read(
    tracer: Any, recorder: Recorder, reports: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A span that cannot be read is reported, and no run; the code that makes it goes on.
    """

    def broken(*_: object) -> Any:
        raise KeyError("attributes")

    monkeypatch.setattr(adapter._listening, "kind_of", broken)
    with callbacks(recorder):
        tracer.start_span("chat m").end()

    assert recorder.runs == []
    assert "failed at the start of a span" in reports[0]


def test_owned_scopes(provider: Any, recorder: Recorder) -> None:
    """
    What another adapter hears is not heard twice: by the name of a span's scope, while
    that adapter is at work. Spans of our own scope are never heard.
    """
    at_work = {
        f"instrument.integrations.{name}" for name in ("openai", "mcp", "botocore")
    }
    names = {
        "openinference.instrumentation.openai": False,
        "opentelemetry.instrumentation.openai_v2": False,
        "openinference.instrumentation.bedrock": False,
        "openinference.instrumentation.crewai": True,
        "mcp-python-sdk": True,
        "instrument": False,
    }
    before = dict(installed)
    installed.clear()
    installed.update(dict.fromkeys(at_work))

    try:
        for name, is_heard in names.items():
            recorder.clear()
            with callbacks(recorder):
                provider.get_tracer(name).start_span("chat m").end()
            assert bool(recorder.runs) is is_heard, name
        recorder.clear()
        with callbacks(recorder):
            mcp = provider.get_tracer("mcp-python-sdk")
            mcp.start_span("execute_tool t", kind=SpanKind.CLIENT).end()
            installed.clear()
            mcp.start_span("execute_tool t", kind=SpanKind.CLIENT).end()
        assert len(recorder.runs) == 1
    finally:
        installed.update(before)


def test_our_spans_beside_theirs(provider: Any, recorder: Recorder) -> None:
    """
    `OpenTelemetryHandler` makes no second span of what was heard as one of the same
    provider, and one of another's; what is below it is below the span that there is.
    """
    exporter, elsewhere = InMemorySpanExporter(), InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    other = TracerProvider()
    other.add_span_processor(SimpleSpanProcessor(elsewhere))
    tracer = provider.get_tracer("a.framework")

    @traced.tool("ours")
    def ours() -> None:
        pass

    both = callbacks(OpenTelemetryHandler(provider), OpenTelemetryHandler(other))
    with both, tracer.start_as_current_span("invoke_agent a"):
        ours()

    spans = {span.name: span for span in exporter.get_finished_spans()}
    assert set(spans) == {"invoke_agent a", "ours"}
    assert spans["ours"].parent == spans["invoke_agent a"].get_span_context()
    assert {span.name for span in elsewhere.get_finished_spans()} == {"a", "ours"}


def test_status_and_bad_provider(provider: Any) -> None:
    """
    ``auto.status()`` tells how it is heard; `hear` takes a provider of the SDK, once.
    """
    adapter.hear(provider)
    (status,) = [it for it in auto.status() if it.framework == "opentelemetry"]

    assert status.hook == "TracerProvider.add_span_processor"
    assert "agents" in status.hears
    assert len(provider._active_span_processor._span_processors) == 1
    with pytest.raises(TypeError, match="takes a TracerProvider"):
        adapter.hear(trace.NoOpTracerProvider())


def test_switched_on_twice() -> None:
    """
    To listen twice, or no more twice, is as once; a provider that is set while nobody
    is to listen is left alone.
    """
    listening = adapter._listening
    for _ in range(2):
        adapter.load()
        adapter.install()
    assert frameworks.count(listening.in_hand) == 1
    assert lookouts.count(listening._look) == 1
    setting = listening.SettingWatch().called(sys._getframe())
    setting.returned(None)
    for _ in range(2):
        adapter.uninstall()
    setting.returned(None)
    setting.raised(TypeError())

    assert listening.in_hand not in frameworks
    assert listening._look not in lookouts


def ran(code: str) -> str:
    """
    Run a program of its own: the process's provider can be set once only.
    """
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", HEAD + code],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


HEAD = """
from instrument import auto, callbacks, traced
from instrument.testing import Recorder
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
auto.install()
recorder = Recorder()
provider = TracerProvider()
tracer = trace.get_tracer("a.framework")
"""


@pytest.mark.parametrize(
    "before, after",
    [
        ("trace.set_tracer_provider(provider)\n", ""),
        ("", "trace.set_tracer_provider(provider)\nwith callbacks(): pass\n"),
        ("", "trace.set_tracer_provider(provider)\ntraced('ours').__enter__()\n"),
    ],
    ids=["before", "block", "run"],
)
def test_processes_own_provider(before: str, after: str) -> None:
    """
    The process's provider is found when there is one: at once, when a block opens, or a
    run of ours; none is set or made.
    """
    code = f"""
auto.uninstall()
{before}
auto.install()
assert ("ProxyTracerProvider" in repr(trace.get_tracer_provider())) is {not before}
with callbacks(recorder).install():
    {after.replace(chr(10), chr(10) + "    ")}
    tracer.start_span("chat m").end()
assert trace.get_tracer_provider() is provider
from instrument._runs.opening import lookouts
assert lookouts == []
print([run.name for run in recorder.runs if run.name != "ours"])
"""
    assert ran(code) == "['m']"


@pytest.mark.skipif(sys.version_info < (3, 12), reason="needs sys.monitoring")
def test_found_when_it_is_set() -> None:
    """
    From Python 3.12 on it is found when it is set, with process-wide handlers as well.
    """
    code = """
callbacks(recorder).install()
import os
try:
    trace.set_tracer_provider()
except TypeError:
    pass
trace.set_tracer_provider(provider)
tracer.start_span("chat m").end()
print([run.name for run in recorder.runs])
auto.uninstall()
"""
    assert ran(code) == "['m']"


@pytest.mark.timeout(240)  # it imports a great deal
def test_pydantic_ai() -> None:
    """
    pydantic-ai's agents, models and tools are runs, streamed or not, with what a tool of
    ours does below them.
    """
    pytest.importorskip("pydantic_ai")
    code = """
trace.set_tracer_provider(provider)
import asyncio
from pydantic_ai import Agent
from pydantic_ai.models.test import TestModel

Agent.instrument_all()
agent = Agent(TestModel(), name="weather", instructions="Be brief.")

@traced("ours")
def ours(city):
    return "sunny in " + city

@agent.tool_plain
def lookup(city: str) -> str:
    return ours(city)

broken = Agent(TestModel(), name="broken")

@broken.tool_plain
def fails(x: int) -> str:
    raise ValueError("no rows")

async def streamed():
    async with agent.run_stream("and now?") as result:
        async for _ in result.stream_text():
            pass

with callbacks(recorder):
    agent.run_sync("how is it?")
    asyncio.run(streamed())
    try:
        broken.run_sync("go")
    except ValueError:
        pass
print(recorder.tree())
model = recorder.find(kind="chat_model")[1]
print(model.inputs[0], model.inputs[-1]["content"], model.usage.output_tokens)
"""
    one = (
        "agent weather: ok\n  chat_model test: ok\n  tool lookup: ok\n"
        "    chain ours: ok\n  chat_model test: ok\n"
    )
    assert ran(code) == (
        f"{one}{one}"
        "agent broken: error ValueError\n  chat_model test: ok\n"
        "  tool fails: error ValueError\n"
        "{'role': 'system', 'content': 'Be brief.'} sunny in a 11"
    )


@pytest.mark.parametrize("is_client_heard", [True, False])
def test_mcp_server(*, is_client_heard: bool) -> None:
    """
    A server of MCP's tells its tools' calls; where their client is heard in the same
    process, they are one run.
    """
    pytest.importorskip("mcp.server.mcpserver")
    code = f"is_client_heard = {is_client_heard}\n"
    code += """
trace.set_tracer_provider(provider)
import asyncio, logging
from mcp.client import Client
from mcp.server.mcpserver import MCPServer
logging.disable()
server = MCPServer("demo")

@server.tool()
def add(a: int, b: int) -> int:
    return a + b

@server.tool()
def fails() -> int:
    raise ValueError("no")

async def main():
    async with Client(server) as client:
        await client.call_tool("add", {"a": 1, "b": 2})
        await client.call_tool("fails", {})

known = auto._installed.get("instrument.integrations.mcp")
if known is not None and not is_client_heard:
    del auto._installed["instrument.integrations.mcp"]
    known.uninstall()
with callbacks(recorder):
    asyncio.run(main())
told = [(run.name, run.status) for run in recorder.find(kind="tool")]
print(told, known is not None)
"""
    # what fails at a server raises nothing at its client
    is_heard = is_client_heard and sys.version_info >= (3, 12)
    fails = "ok" if is_heard else "error"
    told = [("add", "ok"), ("fails", fails)]
    assert ran(code) == f"{told} {sys.version_info >= (3, 12)}"


@pytest.mark.parametrize("is_owned", [True, False])
def test_openinference_over_openai(provider: Any, is_owned: bool) -> None:
    """
    What OpenInference tells of OpenAI's SDK is heard where our adapter does not hear the
    SDK itself, and is one run either way.
    """
    pytest.importorskip("openinference.instrumentation.openai")
    if is_owned and sys.version_info < (3, 12):
        pytest.skip("needs sys.monitoring")
    code = f"""
import sys
sys.path.append({str(__file__.rpartition("/")[0])!r})
trace.set_tracer_provider(provider)
import openai
from openinference.instrumentation.openai import OpenAIInstrumentor
from provider import Provider
OpenAIInstrumentor().instrument(tracer_provider=provider)
if not {is_owned}:
    known = auto._installed.pop("instrument.integrations.openai", None)
    known and known.uninstall()
with Provider() as fake, callbacks(recorder):
    client = openai.OpenAI(api_key="x", base_url=fake.url + "/v1")
    client.chat.completions.create(
        model="gpt-x", messages=[{{"role": "user", "content": "hi"}}]
    )
    client.close()
(run,) = recorder.runs
print(run.kind, run.status, run.inputs, run.usage.input_tokens is not None)
"""
    assert ran(code) == ("chat_model ok [{'role': 'user', 'content': 'hi'}] True")


@pytest.mark.parametrize(
    "key, value",
    [
        (f"llm.output_messages.{'9' * 5_000}.message.role", "user"),
        ("gen_ai.response.time_to_first_chunk", float("inf")),
        ("gen_ai.response.time_to_first_chunk", float("nan")),
        ("llm.output_messages.0.message.tool_calls.0.tool_call.id", b"\xff"),
        ("llm.output_messages.0.message.tool_calls.0.tool_call.arguments", b"\xff"),
        ("gen_ai.output.messages", "[" * 100_000),
    ],
)
def test_what_no_attribute_should_say(
    tracer: Any, recorder: Recorder, reports: list[str], key: str, value: Any
) -> None:
    """
    Whatever an attribute says, the run of its span ends, and that is no failure.
    """
    with callbacks(recorder):
        tracer.start_span("chat big", attributes={key: value}).end()

    assert [run.status for run in recorder.runs] == ["ok"]
    assert reports == []


def test_span_that_cannot_be_read(
    tracer: Any,
    recorder: Recorder,
    reports: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """
    Where the end of a span cannot be read the run ends without outputs, and that is said.
    """
    words = "instrument.integrations.opentelemetry._words.Words"
    monkeypatch.setattr(f"{words}.outputs", None)

    with callbacks(recorder):
        tracer.start_span("chat big").end()

    assert [run.status for run in recorder.runs] == ["ok"]
    assert "the end of a span" in str(reports)


def test_part_that_cannot_be_read(
    tracer: Any,
    recorder: Recorder,
    reports: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """
    Where the end of a span within a model's cannot be read, the model's goes on.
    """
    words = "instrument.integrations.opentelemetry._words.Words"
    statuses: list[str] = []

    with callbacks(recorder), tracer.start_as_current_span("chat big"):
        with monkeypatch.context() as patched:
            for name in ("outputs", "answer", "usage"):
                patched.setattr(f"{words}.{name}", None, raising=False)
            tracer.start_span("chat big").end()
        statuses += [run.status for run in recorder.runs]

    assert statuses == ["running"]
    assert [run.status for run in recorder.runs] == ["ok"]
    assert "the end of a span" in str(reports)


def test_many_answers_of_tools(tracer: Any, recorder: Recorder) -> None:
    """
    Of the parts of a message the first 1,000 are read, and each is looked at once.
    """
    parts = [
        {"type": "tool_call_response", "id": n, "response": n} for n in range(30_000)
    ]

    with callbacks(recorder):
        asked = {"gen_ai.input.messages": said("user", *parts)}
        tracer.start_span("chat big", attributes=asked).end()

    assert len(recorder.runs[0].inputs) == 1_000
