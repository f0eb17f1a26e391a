"""
Google's SDK: what its models generate, chats included, and embeddings.
"""

from instrument._hearing.monitored.methods import GENERATOR, methods
from instrument._hearing.monitored.retries import tenacity
from instrument._hearing.targets import Watched

DISTRIBUTION = "google-genai"
TESTED = ("2.12.0", "3.6.1")
HOOK = "sys.monitoring"
HEARS = ("content", "embeddings", "tokens", "retries")
OWNS = "nothing"

_methods = methods(
    "google_genai",
    dict.fromkeys(
        ("google.genai.models:Models", "google.genai.models:AsyncModels"),
        ("generate_content", "generate_content_stream", "embed_content"),
    ),
    {
        "google.genai.models:AsyncModels.generate_content_stream>stream_generator": (
            GENERATOR
        ),
    },
)
_watched = Watched([*_methods, tenacity("google.genai")])
load, install = _watched.load, _watched.install
uninstall, missing = _watched.uninstall, _watched.missing
