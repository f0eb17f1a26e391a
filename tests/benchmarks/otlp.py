"""
What `OTLPHandler` costs a call, beside a span of OpenTelemetry's SDK with its exporter to
the same receiver, and `OpenTelemetryHandler` with that SDK; and what a call costs whose
receiver hangs.

``python tests/benchmarks/otlp.py`` prints a Markdown table. The SDK's rows need
``opentelemetry-sdk`` and ``opentelemetry-exporter-otlp-proto-http``.
"""

import platform
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median, quantiles
from time import perf_counter_ns, process_time, thread_time
from typing import Any

if not __package__:  # run as a script
    sys.path.append(str(Path(__file__).parents[2]))

from instrument import callbacks, current_run, traced
from instrument.handlers import OpenTelemetryHandler, OTLPHandler
from instrument.handlers._shared.run_handler import RunHandler

_RECEIVER = """
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event

class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        if "hangs" in sys.argv:
            Event().wait()
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_): ...

server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
print(server.server_port, flush=True)
server.serve_forever()
"""
_CALLS = 400
_SLICES = 15
_LATENCIES = 5_000


@contextmanager
def receiver(*words: str) -> Iterator[str]:
    """
    Give the address of a receiver in a process of its own, which may hang.
    """
    command = [sys.executable, "-c", _RECEIVER, *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
        finally:
            process.kill()


@traced.chat_model(model="fake-1", provider="nobody")
def model(question: str) -> str:
    """
    Be a model's call.
    """
    current_run().record_usage(input_tokens=3, output_tokens=1)
    return question


def plain(question: str) -> str:
    """
    Be the same, undecorated.
    """
    return question


def sdk_span(url: str) -> tuple[Callable[[str], str], Any] | None:
    """
    Give a call with a span of the SDK that says what ours does, and its provider; None
    without the SDK.
    """
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import (
            OTLPSpanExporter,
        )
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        return None
    provider = TracerProvider()
    exporter = OTLPSpanExporter(f"{url}/v1/traces")
    provider.add_span_processor(BatchSpanProcessor(exporter, max_queue_size=100_000))
    tracer = provider.get_tracer("benchmark")
    messages = '[{"role":"user","parts":[{"type":"text","content":"?"}]}]'

    def call(question: str) -> str:
        with tracer.start_as_current_span("chat fake-1") as span:
            said: Any = {
                "gen_ai.operation.name": "chat",
                "gen_ai.provider.name": "nobody",
                "gen_ai.request.model": "fake-1",
                "gen_ai.response.model": "fake-1",
                "gen_ai.input.messages": messages,
                "gen_ai.output.messages": messages,
                "gen_ai.usage.input_tokens": 3,
                "gen_ai.usage.output_tokens": 1,
            }
            for name, value in said.items():
                span.set_attribute(name, value)
            return question

    return call, provider


def costs_us(call: Callable[[str], object]) -> tuple[float, float]:
    """
    Tell what a call takes, in CPU time of the caller's thread and of all threads.
    """
    here, everywhere = [], []
    for _ in range(_SLICES):
        thread, process = thread_time(), process_time()
        for _ in range(_CALLS):
            call("?")
        here.append((thread_time() - thread) / _CALLS)
        everywhere.append((process_time() - process) / _CALLS)
    return median(here) * 1e6, sum(everywhere) / _SLICES * 1e6


def p99_us(call: Callable[[str], object]) -> float:
    """
    Tell what a call in a hundred takes longer than, by the clock.
    """
    took = []
    for _ in range(_LATENCIES):
        began = perf_counter_ns()
        call("?")
        took.append((perf_counter_ns() - began) / 1e3)
    return quantiles(took, n=100)[98]


def p99_hung_us() -> tuple[float, float, float]:
    """
    Tell that with a receiver that hangs, with one that takes all, and with a handler
    that does nothing.
    """
    with receiver("hangs") as hung, receiver() as willing:
        handlers = [
            OTLPHandler(hung, maxsize=1_000),
            OTLPHandler(willing, maxsize=100_000),
            RunHandler(),
        ]
        took: list[list[float]] = [[], [], []]
        for _ in range(3):
            for handler, each in zip(handlers, took, strict=True):
                with callbacks(handler):
                    each.append(p99_us(model))
        first, second, third = map(min, took)
        return first, second, third


def main() -> None:
    """
    Print the rows.
    """
    print(f"Python {platform.python_version()}, {platform.machine()}\n")
    print("| a model's call | us, its own thread | us, all threads |")
    print("|---|--:|--:|")

    def row(name: str, call: Callable[[str], object]) -> None:
        here, everywhere = costs_us(call)
        print(f"| {name} | {here:.1f} | {everywhere:.1f} |", flush=True)

    row("undecorated", plain)
    with callbacks(RunHandler()):
        row("a handler that does nothing", model)
    with receiver() as url:
        for options in ({}, {"payload": False}, {"dialect": "gen_ai"}):
            given: Any = {"maxsize": 100_000, **options}
            handler = OTLPHandler(url, **given)
            with callbacks(handler):
                row(f"`OTLPHandler({options or ''})`", model)
            handler.drain(60)
        span = sdk_span(url)
        if span is not None:
            call, provider = span
            row("a span of OpenTelemetry's SDK, batched", call)
            for options in ({}, {"payload": False}, {"dialect": "gen_ai"}):
                given = options
                with callbacks(OpenTelemetryHandler(provider, **given)):
                    row(f"`OpenTelemetryHandler({options or ''})`, the same", model)
            provider.shutdown()
    hung, willing, nothing = p99_hung_us()
    print(f"\np99 of a call, us: receiver hung {hung:.0f}, one that takes all", end=" ")
    print(f"{willing:.0f}, a handler that does nothing {nothing:.0f}")


if __name__ == "__main__":
    main()
