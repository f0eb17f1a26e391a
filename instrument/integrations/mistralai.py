"""
Mistral's SDK: chat completions and embeddings.
"""

import instrument  # noqa: F401 - whole first, though another thread is importing it
from instrument._hearing.monitored.methods import GENERATOR, methods
from instrument._hearing.monitored.retries import BACKOFF
from instrument._hearing.monitored.streams import AtReturn, closed
from instrument._hearing.operations import CHAT, Operation
from instrument._hearing.targets import Targets
from instrument._hearing.wrapped.methods import Rule

DISTRIBUTION = "mistralai"
TESTED = ("2.0.0", "3.7.0")
HOOK = "sys.monitoring"
HEARS = ("chat completions", "embeddings", "tokens", "retries")
OWNS = "nothing"

_CHATS = dict.fromkeys(("complete", "complete_async", "stream", "stream_async"), CHAT)
_EMBEDDINGS = dict.fromkeys(
    ("create", "create_async"), Operation("embedding", "embeddings", "inputs")
)

_EVENTS = "mistralai.client.utils.eventstreaming"
_LEFT = AtReturn(lambda stream: stream.generator.gi_frame, closed)
_LEFT_ASYNC = AtReturn(lambda stream: stream.generator.ag_frame, closed)
_CLOSES = {
    f"{_EVENTS}:EventStream.close": _LEFT,
    f"{_EVENTS}:EventStreamAsync.close": _LEFT_ASYNC,
}

_targets = Targets(
    {
        **methods("mistralai", ("mistralai.client.chat:Chat",), _CHATS),
        **methods(
            "mistralai", ("mistralai.client.embeddings:Embeddings",), _EMBEDDINGS
        ),
        f"{_EVENTS}:stream_events": GENERATOR,
        f"{_EVENTS}:stream_events_async": GENERATOR,
        f"{_EVENTS}:EventStream.__exit__": _LEFT,
        f"{_EVENTS}:EventStreamAsync.__aexit__": _LEFT_ASYNC,
        **_CLOSES,
        "mistralai.client.utils.retries:_get_sleep_interval": BACKOFF,
    }
)
load, install, uninstall = _targets.load, _targets.install, _targets.uninstall
is_deaf = _targets.is_deaf


def missing() -> list[str]:
    """
    Name what the package no longer has; version 2 closes its streams in a block alone.
    """
    return [path for path in _targets.missing() if path not in _CLOSES]


_CHAT_RULE = Rule("mistralai", _CHATS)
_EMBEDDINGS_RULE = Rule("mistralai", _EMBEDDINGS)
WRAPS = {
    "Mistral": Rule(
        "mistralai", parts={"chat": _CHAT_RULE, "embeddings": _EMBEDDINGS_RULE}
    ),
    "Chat": _CHAT_RULE,
    "Embeddings": _EMBEDDINGS_RULE,
}
