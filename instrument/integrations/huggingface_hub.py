"""
The inference clients of the Hugging Face Hub.
"""

from instrument._hearing.monitored.methods import GENERATOR, methods
from instrument._hearing.targets import Watched

DISTRIBUTION = "huggingface_hub"
TESTED = ("1.10.0", "2.4.0")
HOOK = "sys.monitoring"
HEARS = ("chat completions", "texts", "embeddings", "tokens")
OWNS = "nothing"

_watched = Watched(
    methods(
        "huggingface_hub",
        dict.fromkeys(
            (
                "huggingface_hub.inference._client:InferenceClient",
                "huggingface_hub.inference._generated._async_client:AsyncInferenceClient",
            ),
            ("chat_completion", "text_generation", "feature_extraction"),
        ),
        {
            f"huggingface_hub.inference._common:{name}": GENERATOR
            for name in (
                "_stream_chat_completion_response",
                "_async_stream_chat_completion_response",
                "_stream_text_generation_response",
                "_async_stream_text_generation_response",
            )
        },
    )
)
load, install = _watched.load, _watched.install
uninstall, missing = _watched.uninstall, _watched.missing
