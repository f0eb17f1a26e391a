"""
Cohere's SDK, version 2 of its API: chats and embeddings.
"""

from instrument._hearing.monitored.methods import methods
from instrument._hearing.monitored.retries import BACKOFF
from instrument._hearing.targets import Watched

DISTRIBUTION = "cohere"
TESTED = ("6.0.0", "7.3.1")
HOOK = "sys.monitoring"
HEARS = ("chats", "embeddings", "tokens", "retries")
OWNS = "nothing"

_watched = Watched(
    methods(
        "cohere",
        dict.fromkeys(
            ("cohere.v2.client:V2Client", "cohere.v2.client:AsyncV2Client"),
            ("chat", "chat_stream", "embed"),
        ),
        dict.fromkeys(
            (
                "cohere.core.http_client:_retry_timeout",
                "cohere.core.http_client:_retry_timeout_from_retries",
            ),
            BACKOFF,
        ),
    )
)
load, install = _watched.load, _watched.install
uninstall, missing = _watched.uninstall, _watched.missing
