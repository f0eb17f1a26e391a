"""
Cohere's SDK, version 2 of its API: chats and embeddings.
"""

import instrument  # noqa: F401 - whole first, though another thread is importing it
from instrument._hearing.monitored.methods import methods
from instrument._hearing.monitored.retries import BACKOFF
from instrument._hearing.operations import CHAT, Operation
from instrument._hearing.targets import Targets
from instrument._hearing.wrapped.methods import Rule

DISTRIBUTION = "cohere"
TESTED = ("6.0.0", "7.3.1")
HOOK = "sys.monitoring"
HEARS = ("chats", "embeddings", "tokens", "retries")
OWNS = "nothing"

_METHODS = {
    "chat": CHAT,
    "chat_stream": CHAT,
    "embed": Operation("embedding", "embed", "texts"),
}
_CLIENTS = ("cohere.v2.client:V2Client", "cohere.v2.client:AsyncV2Client")

_targets = Targets(
    {
        **methods("cohere", _CLIENTS, _METHODS),
        "cohere.core.http_client:_retry_timeout": BACKOFF,
        "cohere.core.http_client:_retry_timeout_from_retries": BACKOFF,
    }
)
load, install = _targets.load, _targets.install
uninstall, missing = _targets.uninstall, _targets.missing
is_deaf = _targets.is_deaf

WRAPS = dict.fromkeys(("ClientV2", "AsyncClientV2"), Rule("cohere", _METHODS))
