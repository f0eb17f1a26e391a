"""
Mistral's SDK: chat completions and embeddings.
"""

from instrument._hearing.monitored.methods import GENERATOR, methods
from instrument._hearing.monitored.retries import BACKOFF
from instrument._hearing.monitored.streams import AtReturn, closed
from instrument._hearing.targets import Watched

DISTRIBUTION = "mistralai"
TESTED = ("2.0.0", "3.7.0")
HOOK = "sys.monitoring"
HEARS = ("chat completions", "embeddings", "tokens", "retries")
OWNS = "nothing"

_EVENTS = "mistralai.client.utils.eventstreaming"
_LEFT = AtReturn(lambda stream: stream.generator.gi_frame, closed)
_LEFT_ASYNC = AtReturn(lambda stream: stream.generator.ag_frame, closed)
_CLOSES = {
    f"{_EVENTS}:EventStream.close": _LEFT,
    f"{_EVENTS}:EventStreamAsync.close": _LEFT_ASYNC,
}

_methods = methods(
    "mistralai",
    {
        "mistralai.client.chat:Chat": (
            "complete",
            "complete_async",
            "stream",
            "stream_async",
        ),
        "mistralai.client.embeddings:Embeddings": ("create", "create_async"),
    },
    {
        f"{_EVENTS}:stream_events": GENERATOR,
        f"{_EVENTS}:stream_events_async": GENERATOR,
        f"{_EVENTS}:EventStream.__exit__": _LEFT,
        f"{_EVENTS}:EventStreamAsync.__aexit__": _LEFT_ASYNC,
        **_CLOSES,
        "mistralai.client.utils.retries:_get_sleep_interval": BACKOFF,
    },
)
_watched = Watched(_methods)
load, install, uninstall = _watched.load, _watched.install, _watched.uninstall


def missing() -> list[str]:
    """
    Name what the package no longer has; version 2 closes its streams in a block alone.
    """
    return [path for path in _watched.missing() if path not in _CLOSES]
