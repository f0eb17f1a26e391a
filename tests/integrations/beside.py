"""
A program that calls OpenAI's SDK beside another that watches, and prints what is heard.

``python tests/integrations/beside.py openinference first`` has OpenInference patch the
SDK before anything here; ``last`` afterwards. ``nobody`` is another, too.
"""

import asyncio
import json
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from instrument import auto, callbacks, wrap
from instrument.testing import Recorder

sys.path.append(str(Path(__file__).parent))  # tests/ is no package

CALLS: Any = import_module("sdks")
facts: Any = import_module("facts")
PROVIDER: Any = import_module("provider")
WAYS = {"automatic": (True, False), "wrapped": (False, True), "both": (True, True)}
"""Whether everything is heard, and whether the client is wrapped."""


def openinference(url: str) -> Any:
    """
    Have OpenInference patch the SDK; give its spans.
    """
    exporter, tracers = spans()
    module = import_module("openinference.instrumentation.openai")
    module.OpenAIInstrumentor().instrument(tracer_provider=tracers)
    return exporter


def langfuse(url: str) -> Any:
    """
    Have Langfuse patch the SDK.
    """
    exporter, tracers = spans()
    import_module("langfuse").Langfuse(
        public_key="pk",
        secret_key="sk",
        base_url=url,
        span_exporter=spans()[0],  # else it would send them to the provider
        tracer_provider=tracers,
    )
    import_module("langfuse.openai")
    return exporter


def nobody(url: str) -> Any:
    """
    Patch nothing.
    """
    return None


def spans() -> Any:
    """
    Make what keeps spans, and what makes them.
    """
    export = import_module("opentelemetry.sdk.trace.export")
    memory = import_module(f"{export.__name__}.in_memory_span_exporter")
    tracers = import_module("opentelemetry.sdk.trace").TracerProvider()
    exporter = memory.InMemorySpanExporter()
    tracers.add_span_processor(export.SimpleSpanProcessor(exporter))
    return exporter, tracers


def heard(name: str, client: Any) -> dict[str, Any]:
    """
    Call it, and say what was heard and what came back.
    """
    recorder = Recorder()
    with callbacks(recorder):
        if "Async" in type(client).__name__:
            result = asyncio.run(acall(name, client))
        else:
            result = list_of(CALLS.OPENAI.calls[name](client))
    (run,) = recorder.runs
    told = [e.data["token"] for e in recorder.events if e.event == "on_llm_new_token"]
    return {
        "tree": recorder.tree(),
        "tokens": told,
        "usage": run.usage.to_dict(),
        "pieces": [type(piece).__name__ for piece in result],
    }


async def acall(name: str, client: Any) -> list[Any]:
    """
    Call an async client.
    """
    async with client:
        return await facts.aread(CALLS.OPENAI.acalls[name](client))  # type: ignore[no-any-return]


def list_of(result: Any) -> list[Any]:
    """
    Read a stream, whatever is around it.
    """
    return list(result) if hasattr(result, "response") else [result]


def main(other: str, order: str) -> list[dict[str, Any]]:
    """
    Give a row for each way of hearing, call, and kind of client.
    """
    rows = []
    auto.uninstall()
    with PROVIDER.Provider() as provider:
        made = CALLS.OPENAI.make(provider.url)
        exporter = globals()[other](provider.url) if order == "first" else None
        for way, (is_heard, is_wrapped) in WAYS.items():
            if is_heard:
                auto.install()
            for name in ("chat", "stream", "tools stream", "embed"):
                for client in (made, CALLS.OPENAI.amake(provider.url)):
                    if exporter is None:
                        exporter = globals()[other](provider.url)
                    called = wrap(client) if is_wrapped else client
                    row = heard(name, called)
                    traced = exporter.get_finished_spans() if exporter else [None]
                    rows.append({"way": way, "name": name, "spans": len(traced), **row})
                    if exporter:
                        exporter.clear()
            auto.uninstall()
    return rows


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])))  # noqa: T201
