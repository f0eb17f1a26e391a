"""
Ollama's SDK: chats, texts and embeddings.
"""

import instrument  # noqa: F401 - whole first, though another thread is importing it
from instrument._hearing.monitored.methods import GENERATOR, methods
from instrument._hearing.operations import CHAT, Operation
from instrument._hearing.targets import Targets
from instrument._hearing.wrapped.methods import Rule

DISTRIBUTION = "ollama"
TESTED = ("0.6.2", "0.6.3")
HOOK = "sys.monitoring"
HEARS = ("chats", "texts", "embeddings", "tokens")
OWNS = "nothing"

_METHODS = {
    "chat": CHAT,
    "generate": Operation("llm", "generate", "prompt"),
    "embed": Operation("embedding", "embed", "input"),
}
_CLIENTS = ("ollama._client:Client", "ollama._client:AsyncClient")

_targets = Targets(
    {
        **methods("ollama", _CLIENTS, _METHODS),
        **{f"{client}._request>inner": GENERATOR for client in _CLIENTS},
    }
)
load, install = _targets.load, _targets.install
uninstall, missing = _targets.uninstall, _targets.missing
is_deaf = _targets.is_deaf

WRAPS = dict.fromkeys(("Client", "AsyncClient"), Rule("ollama", _METHODS))
