"""
OpenAI's SDK: chat completions, Responses, completions and embeddings.
"""

from instrument._hearing.monitored.stainless import targets
from instrument._hearing.monitored.streams import AtReturn, closed
from instrument._hearing.targets import Watched

DISTRIBUTION = "openai"
TESTED = ("2.0.0", "3.57.0")
HOOK = "sys.monitoring"
HEARS = (
    "chat completions",
    "responses",
    "completions",
    "embeddings",
    "tokens",
    "retries",
)
OWNS = "nothing"

_CLOSE = AtReturn(lambda stream: stream._response, closed)
_HELPERS = "openai.lib.streaming"

_watched = Watched(
    targets(
        "openai",
        {
            f"{_HELPERS}.chat._completions:ChatCompletionStream.close": _CLOSE,
            f"{_HELPERS}.chat._completions:AsyncChatCompletionStream.close": _CLOSE,
            f"{_HELPERS}.responses._responses:ResponseStream.close": _CLOSE,
            f"{_HELPERS}.responses._responses:AsyncResponseStream.close": _CLOSE,
        },
    )
)
load, install = _watched.load, _watched.install
uninstall, missing = _watched.uninstall, _watched.missing
