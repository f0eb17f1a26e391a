"""
SDKs that make OpenTelemetry spans of their own: their call is one run here, and one span.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

from instrument import callbacks
from instrument.testing import Recorder

if TYPE_CHECKING:
    from tests.integrations.provider import Provider

trace: Any = pytest.importorskip("opentelemetry.trace")

CALLS: Any = import_module("sdks")
facts: Any = import_module("facts")


class Span(trace.NonRecordingSpan):  # type: ignore[misc]
    """
    A span that keeps its name.
    """

    def __init__(self, name: str, spans: list[str]) -> None:
        super().__init__(trace.SpanContext(1, 2, False, trace.TraceFlags(1)))
        self.name = name
        self._spans = spans

    def is_recording(self) -> bool:
        """
        Have what the SDK tells told.
        """
        return True

    def end(self, end_time: int | None = None) -> None:
        """
        Note that it has ended.
        """
        self._spans.append(self.name)


class Tracers(trace.TracerProvider):  # type: ignore[misc]
    """
    Gives tracers, of which it is the only one.
    """

    def __init__(self, spans: list[str]) -> None:
        self._spans = spans

    def get_tracer(self, *args: object, **kwargs: object) -> Any:
        """
        Give itself.
        """
        return self

    def start_span(self, name: str, *args: object, **kwargs: object) -> Any:
        """
        Start a span.
        """
        return Span(name, self._spans)

    def start_as_current_span(self, name: str, *args: object, **kwargs: object) -> Any:
        """
        Start one, and be in it.
        """
        return trace.use_span(Span(name, self._spans), end_on_exit=True)


def anthropic(url: str, tracers: Tracers) -> Any:
    """
    Make a client whose spans go to these.
    """
    telemetry = {"tracer_provider": tracers}
    made = import_module("anthropic").Anthropic
    return made(api_key="k", base_url=url, open_telemetry=telemetry)


def mistralai(url: str, tracers: Tracers) -> Any:
    """
    Make the same of Mistral's.
    """
    client = CALLS.MISTRAL.make(url)
    module = import_module("mistralai.extra.observability.telemetry")
    module.configure_telemetry(client, provider=tracers)
    return client


@pytest.mark.parametrize("name", ["chat", "stream"])
@pytest.mark.parametrize("make", [anthropic, mistralai], ids=lambda it: it.__name__)
def test_no_second_run(make: Any, name: str, hear: Any, provider: "Provider") -> None:
    """
    What an SDK tells its tracer is what it told before, and no run beside ours.
    """
    sdk = {"anthropic": CALLS.ANTHROPIC, "mistralai": CALLS.MISTRAL}[make.__name__]
    pytest.importorskip(sdk.module)
    recorder = Recorder()
    spans: list[str] = []

    with CALLS.closing(make(provider.url, Tracers(spans))) as client:
        facts.read(sdk.calls[name](client))
        alone = list(spans)
        with callbacks(recorder):
            facts.read(sdk.calls[name](hear(client)))

    facts.check(recorder, sdk, name)
    assert len(alone) > 0
    assert spans == alone * 2
