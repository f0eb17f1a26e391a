"""
Google's SDK: what its models generate, chats included, and embeddings.
"""

import instrument  # noqa: F401 - whole first, though another thread is importing it
from instrument._hearing.monitored.methods import GENERATOR_BODY, RequestWatch, methods
from instrument._hearing.monitored.retries import tenacity
from instrument._hearing.operations import Operation
from instrument._hearing.targets import Targets
from instrument._hearing.wrapped.methods import Rule

DISTRIBUTION = "google-genai"
TESTED = ("2.12.0", "3.6.1")
HOOK = "sys.monitoring"
HEARS = ("content", "embeddings", "tokens", "retries")
OWNS = "nothing"

_GENERATE = Operation(
    "chat_model", "generate_content", "contents", "config.system_instruction"
)
_METHODS = {
    "generate_content": _GENERATE,
    "generate_content_stream": _GENERATE,
    "embed_content": Operation("embedding", "embed_content", "contents"),
}
_MODELS = "google.genai.models:Models", "google.genai.models:AsyncModels"
_REQUEST = "_generate_content"
"""What sends one request of a call: several, where it runs functions and asks again."""

_targets = Targets(
    {
        **methods("google_genai", _MODELS, _METHODS),
        f"{_MODELS[1]}.generate_content_stream>stream_generator": GENERATOR_BODY,
        **{f"{models}.{_REQUEST}": RequestWatch() for models in _MODELS},
        **tenacity("google.genai"),
    }
)
load, install = _targets.load, _targets.install
uninstall, missing = _targets.uninstall, _targets.missing
is_deaf = _targets.is_deaf

_RULE = Rule("google_genai", _METHODS, request=_REQUEST)
_ASYNC = Rule("google_genai", parts={"models": _RULE})
WRAPS = {
    "Client": Rule("google_genai", parts={"models": _RULE, "aio": _ASYNC}),
    "AsyncClient": _ASYNC,
    "Models": _RULE,
    "AsyncModels": _RULE,
}
