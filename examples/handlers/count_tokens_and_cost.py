"""
What did this request consume, and what did all of them cost?
"""

from collections.abc import Iterator
from typing import Any

from instrument import callbacks, current_run, traced
from instrument.handlers import UsageHandler


@traced.chat_model(model="big-1", provider="nobody")
def big(question: str) -> dict[str, Any]:  # a result of OpenAI's shape, or Anthropic's
    told = {"prompt_tokens": 1_000, "completion_tokens": 200}
    return {"choices": [{"message": {"content": "Well ..."}}], "usage": told}


@traced.llm(model="small-1", provider="nobody")
def small(question: str) -> Iterator[str]:  # or whatever it says itself
    yield from ("Yes", ".")
    current_run().record_usage(input_tokens=50, output_tokens=2)


usage = UsageHandler(
    prices={  # US dollars per million tokens; what is missing is counted, not guessed
        "big-1": {"input": 3.0, "output": 15.0},
    }
)

with callbacks(usage) as first:
    big("Is it done?")
    print("".join(small("Really?")))
#> Yes.
with callbacks(usage):
    big("And now?")
    print(usage.request().total.calls, "call in this request")
#> 1 call in this request

print(f"${usage.request(first).total.cost_usd:.4f} in the first")
#> $0.0060 in the first
print(usage.report())
#> model    provider  calls     in  out      cost
#> big-1    nobody        2  2,000  400    $0.012
#> small-1  nobody        1     50    2  no price
#> total                  3  2,050  402    $0.012
#> 1 call without a price: UsageHandler({'small-1': {'input': ...}})
