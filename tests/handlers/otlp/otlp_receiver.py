"""
A receiver on loopback that reads what it is sent by the official classes, and answers as
it is told; and where nobody listens.
"""

import gzip
import json
import threading
from collections.abc import Callable
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)

Answer = Callable[[Any], None]


def taken(request: Any) -> None:
    """
    Answer as a receiver that has taken all.
    """
    answered(request, 200)


def answered(request: Any, code: int, body: bytes = b"", **headers: str) -> None:
    """
    Answer with a code, a body, and headers; with 200 it has taken what was sent.
    """
    if code == 200:
        request.take()
    request.send_response(code)
    for name, value in headers.items():
        request.send_header(name.replace("_", "-"), value)
    request.send_header("content-length", str(len(body)))
    request.end_headers()
    request.wfile.write(body)


class Receiver:
    """
    Takes OTLP over HTTP.

    Attributes:
        answer: What it does with each request whose body was read.
        requests: Path and headers of all, in order.
        spans: What was sent in those that it has taken.
    """

    def __init__(self) -> None:
        self.answer: Answer = taken
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.bodies: list[bytes] = []
        self.resources: list[dict[str, Any]] = []
        self.spans: list[Any] = []
        self.metrics: list[Any] = []
        self.by_header: dict[str, list[Any]] = {}
        self.released = threading.Event()
        self._changed = threading.Condition()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        serve = partial(self._server.serve_forever, 0.01)
        threading.Thread(target=serve, daemon=True).start()

    def close(self) -> None:
        """
        Take nothing more.
        """
        self.released.set()
        self._server.shutdown()
        self._server.server_close()

    def wait_for(self, holds: Callable[[], bool]) -> None:
        """
        Wait until *holds* is true, which is asked at each request.
        """
        with self._changed:
            assert self._changed.wait_for(holds, 20)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            take: Callable[[], None]
            released = receiver.released

            def log_message(self, *args: object) -> None: ...

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                headers = {name.lower(): it for name, it in self.headers.items()}
                with receiver._changed:
                    receiver.requests.append((self.path, headers))
                    receiver.bodies.append(body)
                    receiver._changed.notify_all()
                self.take = partial(receiver._take, self.path, headers, body)
                receiver.answer(self)

        return Handler

    def _take(self, path: str, headers: dict[str, str], body: bytes) -> None:
        if headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        with self._changed:
            if path.endswith("/metrics"):
                held = ExportMetricsServiceRequest.FromString(body).resource_metrics
                self.metrics += [it for each in held for it in each.scope_metrics]
            else:
                sent = ExportTraceServiceRequest.FromString(body).resource_spans
                for each in sent:
                    self.resources.append(plain(each.resource.attributes))
                    for scope in each.scope_spans:
                        self.spans += scope.spans
                        tenant = headers.get("x-tenant", "")
                        self.by_header.setdefault(tenant, []).extend(scope.spans)
            self._changed.notify_all()


def plain(attributes: Any) -> dict[str, Any]:
    """
    Give attributes of a message as a dict.
    """
    return {each.key: value_of(each.value) for each in attributes}


def value_of(value: Any) -> Any:
    """
    Give a value of a message as one of Python's.
    """
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [value_of(item) for item in value.array_value.values]
    return getattr(value, kind)


def told(span: Any) -> dict[str, Any]:
    """
    Give a span as plain data, without what differs from run to run.
    """
    events = [(event.name, plain(event.attributes)) for event in span.events]
    for _, given in events:
        given.pop("exception.stacktrace", None)
    return json.loads(  # type: ignore[no-any-return]
        json.dumps(
            {
                "name": span.name,
                "kind": span.kind,
                "status": [span.status.code, span.status.message],
                "attributes": plain(span.attributes),
                "events": events,
            }
        )
    )
