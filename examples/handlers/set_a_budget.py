"""
How do I cap what one request may spend?
"""

from collections.abc import Iterator

from instrument import callbacks, traced
from instrument.exceptions import BudgetExceeded
from instrument.handlers import BudgetHandler


@traced.llm
def think(thought: str) -> Iterator[str]:
    for word in f"I think about {thought} and so on and on".split():
        yield f" {word}"


@traced.tool
def delete(file: str) -> None:
    print(f"{file} is gone")


@traced.agent
def philosopher() -> None:
    for thought in ("being", "time", "nothing"):
        for word in think(thought):
            print(word, end="")
        print()


budget = BudgetHandler(max_tokens=14, max_calls=10, tools=["search"])

with callbacks(budget) as request:  # each block has an account of its own
    try:
        philosopher()
    except BudgetExceeded as exc:
        print(f" ... {exc.limit}: {exc.value} of {exc.maximum}")
#>  I think about being and so on and on
#>  I think about time and ... max_tokens: 15 of 14

print(budget.spent(request).tokens, "tokens in", budget.spent(request).calls, "calls")
#> 15 tokens in 2 calls

with callbacks(budget):
    try:
        delete("everything.txt")
    except BudgetExceeded as exc:
        print(f"{exc.limit} are {exc.maximum}, without {exc.value!r}")
#> tools are ('search',), without 'delete'
