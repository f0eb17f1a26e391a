"""
OpenAI's SDK: chat completions, Responses, completions and embeddings.
"""

import instrument  # noqa: F401 - whole first, though another thread is importing it
from instrument._hearing.monitored.stainless import targets
from instrument._hearing.monitored.streams import AtReturn, closed
from instrument._hearing.wrapped.stainless import rules

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

_targets = targets(
    "openai",
    {
        f"{_HELPERS}.chat._completions:ChatCompletionStream.close": _CLOSE,
        f"{_HELPERS}.chat._completions:AsyncChatCompletionStream.close": _CLOSE,
        f"{_HELPERS}.responses._responses:ResponseStream.close": _CLOSE,
        f"{_HELPERS}.responses._responses:AsyncResponseStream.close": _CLOSE,
    },
)
load, install = _targets.load, _targets.install
uninstall, missing = _targets.uninstall, _targets.missing
is_deaf = _targets.is_deaf

WRAPS = rules("openai")
