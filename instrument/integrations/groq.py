"""
Groq's SDK: chat completions, and what else of OpenAI's protocol it speaks.
"""

import instrument  # noqa: F401 - whole first, though another thread is importing it
from instrument._hearing.monitored.stainless import targets
from instrument._hearing.wrapped.stainless import rules

DISTRIBUTION = "groq"
TESTED = ("1.0.0", "1.7.0")
HOOK = "sys.monitoring"
HEARS = ("chat completions", "completions", "embeddings", "tokens", "retries")
OWNS = "nothing"

_targets = targets("groq")
load, install = _targets.load, _targets.install
uninstall, missing = _targets.uninstall, _targets.missing
is_deaf = _targets.is_deaf

WRAPS = rules("groq")
