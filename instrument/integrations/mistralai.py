"""
Mistral's SDK: chat completions and embeddings.
"""

from instrument.integrations._methods import GENERATOR, methods
from instrument.integrations._watched import Watched

DISTRIBUTION = "mistralai"
TESTED = ("2.0.0", "3.7.0")
HOOK = "sys.monitoring"
HEARS = ("chat completions", "embeddings", "tokens")
OWNS = "nothing"

_watched = Watched(
    methods(
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
            "mistralai.client.utils.eventstreaming:stream_events": GENERATOR,
            "mistralai.client.utils.eventstreaming:stream_events_async": GENERATOR,
        },
    )
)
load, install = _watched.load, _watched.install
uninstall, missing = _watched.uninstall, _watched.missing
