"""
Anthropic's SDK: messages, those of its beta, and completions.
"""

from instrument._hearing.monitored.stainless import targets
from instrument._hearing.targets import Watched

DISTRIBUTION = "anthropic"
TESTED = ("1.0.0", "2.12.0")
HOOK = "sys.monitoring"
HEARS = ("messages", "completions", "tokens", "retries")
OWNS = "nothing"

_watched = Watched(targets("anthropic"))
load, install = _watched.load, _watched.install
uninstall, missing = _watched.uninstall, _watched.missing
