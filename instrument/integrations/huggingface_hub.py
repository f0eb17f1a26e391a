"""
The inference clients of the Hugging Face Hub.
"""

import instrument  # noqa: F401 - whole first, though another thread is importing it
from instrument._hearing.monitored.methods import GENERATOR, methods
from instrument._hearing.operations import Operation
from instrument._hearing.targets import Targets
from instrument._hearing.wrapped.methods import Rule

DISTRIBUTION = "huggingface_hub"
TESTED = ("1.10.0", "2.4.0")
HOOK = "sys.monitoring"
HEARS = ("chat completions", "texts", "embeddings", "tokens")
OWNS = "nothing"

_METHODS = {
    "chat_completion": Operation("chat_model", "chat_completion", "messages"),
    "text_generation": Operation("llm", "text_generation", "prompt"),
    "feature_extraction": Operation("embedding", "feature_extraction", "text"),
}
_CLIENTS = (
    "huggingface_hub.inference._client:InferenceClient",
    "huggingface_hub.inference._generated._async_client:AsyncInferenceClient",
)
_STREAMS = (
    "_stream_chat_completion_response",
    "_async_stream_chat_completion_response",
    "_stream_text_generation_response",
    "_async_stream_text_generation_response",
)

_targets = Targets(
    {
        **methods("huggingface_hub", _CLIENTS, _METHODS),
        **{f"huggingface_hub.inference._common:{it}": GENERATOR for it in _STREAMS},
    }
)
load, install = _targets.load, _targets.install
uninstall, missing = _targets.uninstall, _targets.missing
is_deaf = _targets.is_deaf

WRAPS = dict.fromkeys(
    ("InferenceClient", "AsyncInferenceClient"), Rule("huggingface_hub", _METHODS)
)
