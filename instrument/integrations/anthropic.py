"""
Anthropic's SDK: messages, those of its beta, and completions.
"""

import instrument  # noqa: F401 - whole first, though another thread is importing it
from instrument._hearing.monitored.stainless import targets
from instrument._hearing.wrapped.stainless import rules

DISTRIBUTION = "anthropic"
TESTED = ("1.0.0", "2.12.0")
HOOK = "sys.monitoring"
HEARS = ("messages", "completions", "tokens", "retries")
OWNS = "nothing"

_targets = targets("anthropic")
load, install = _targets.load, _targets.install
uninstall, missing = _targets.uninstall, _targets.missing
is_deaf = _targets.is_deaf

WRAPS = rules("anthropic")
