"""
Together's SDK: chat completions, and what else of OpenAI's protocol it speaks.
"""

from instrument._hearing.monitored.stainless import targets
from instrument._hearing.targets import Watched

DISTRIBUTION = "together"
TESTED = ("2.0.0", "3.1.1")
HOOK = "sys.monitoring"
HEARS = ("chat completions", "completions", "embeddings", "tokens", "retries")
OWNS = "nothing"

_watched = Watched(targets("together"))
load, install = _watched.load, _watched.install
uninstall, missing = _watched.uninstall, _watched.missing
