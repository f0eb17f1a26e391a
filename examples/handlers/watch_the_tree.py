"""
How do I watch a request as a tree in my terminal?
"""

from collections.abc import Iterator

from instrument import callbacks, current_run, traced
from instrument.handlers import TreeHandler
from instrument.testing import predictable


@traced.retriever
def find(question: str) -> list[str]:
    return ["Lima has been the capital of Peru since 1535."]


@traced.tool
def look_at_map(country: str) -> str:
    raise LookupError(f"no map of {country}")


@traced.chat_model(model="fake-1")
def model(question: str, facts: list[str]) -> Iterator[str]:
    yield from facts[0].split()[:1]
    current_run().record_usage(input_tokens=21, output_tokens=1)


@traced.agent
def answer(question: str) -> str:
    facts = find(question)
    try:
        look_at_map("Peru")
    except LookupError:
        print("Without a map, then.")  # goes above the tree while that grows
    return "".join(model(question, facts))


# In a terminal the tree grows at its foot, with the newest words of the model that
# answers. Where there is none, as in a pipe or a log, it is written once, like this.
with predictable(), callbacks(TreeHandler()):  # predictable: each step takes 1 ms
    answer("What is the capital of Peru?")
#> Without a map, then.
#>   14 ms  ✓ agent answer  question='What is the capital of Peru?' → 'Lima'
#>  1.0 ms  ├─ ✓ retriever find  'What is the capital of Peru?' → 1 document: 'Lima has been the capital of Peru since 153…
#>  1.0 ms  ├─ ✗ tool look_at_map  country='Peru'
#>          │    LookupError: no map of Peru
#>  4.0 ms  └─ ✓ chat_model model  fake-1, 21 in, 1 out  → 'Lima'
#>          4 runs, 1 failed, 1 model call, 21 in, 1 out  id 999a96
