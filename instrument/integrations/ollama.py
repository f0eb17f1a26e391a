"""
Ollama's SDK: chats, texts and embeddings.
"""

from instrument._hearing.monitored.methods import GENERATOR, methods
from instrument._hearing.targets import Watched

DISTRIBUTION = "ollama"
TESTED = ("0.6.2", "0.6.3")
HOOK = "sys.monitoring"
HEARS = ("chats", "texts", "embeddings", "tokens")
OWNS = "nothing"

_watched = Watched(
    methods(
        "ollama",
        dict.fromkeys(
            ("ollama._client:Client", "ollama._client:AsyncClient"),
            ("chat", "generate", "embed"),
        ),
        {
            "ollama._client:Client._request>inner": GENERATOR,
            "ollama._client:AsyncClient._request>inner": GENERATOR,
        },
    )
)
load, install = _watched.load, _watched.install
uninstall, missing = _watched.uninstall, _watched.missing
