"""
How do I stop a request that gets too expensive?
"""

from typing import Any

from instrument import BaseCallbackHandler, callbacks, current_run, traced
from instrument.testing import Recorder


class OverBudgetError(Exception):
    pass


class Budget(BaseCallbackHandler):
    raise_error = True  # else what it raises would only be reported

    def __init__(self, tokens: int) -> None:
        self.left = tokens

    def on_llm_start(self, serialized: Any, prompts: Any, **kwargs: Any) -> None:
        if self.left <= 0:
            raise OverBudgetError(f"{-self.left} tokens over")

    def on_llm_end(self, response: Any, **kwargs: Any) -> None:
        self.left -= kwargs["run"].usage.output_tokens or 0


@traced.llm
def think(thought: str) -> str:
    print(f"thinking about {thought} ...")
    current_run().record_usage(output_tokens=400)
    return thought


@traced.agent
def philosopher() -> None:
    for thought in ("being", "time", "nothing", "lunch"):
        think(thought)


heard = Recorder()
with callbacks(Budget(tokens=1_000), heard):
    try:
        philosopher()
    except OverBudgetError as exc:
        print(f"Stopped: {exc}. Lunch is cancelled.")
#> thinking about being ...
#> thinking about time ...
#> thinking about nothing ...
#> Stopped: 200 tokens over. Lunch is cancelled.

print(heard.tree())
#> agent philosopher: error OverBudgetError
#>   llm think: ok
#>   llm think: ok
#>   llm think: ok
#>   llm think: error OverBudgetError
