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


# In a terminal the tree grows at its foot, and what is left there in the end is
#
#   ✓ agent answer  13 ms
#   ├─ ✓ retriever find  1.0 ms
#   ├─ ✗ tool look_at_map  1.0 ms  LookupError: no map of Peru
#   └─ ✓ chat_model model  3.0 ms  fake-1  21 in, 1 out
#     4 runs  13 ms  1 model call  21 in, 1 out
#
# Where there is none, as in a pipe or a log, the runs are lines.
with predictable(), callbacks(TreeHandler()):  # predictable: each step takes 1 ms
    answer("What is the capital of Peru?")
#> > agent answer  question='What is the capital of Peru?'
#>   > retriever find  'What is the capital of Peru?'
#>   < retriever find  1.0 ms  1 document: 'Lima has been the capital of Peru since 1535.'
#>   > tool look_at_map  country='Peru'
#>   ! tool look_at_map  1.0 ms  LookupError: no map of Peru
#> Without a map, then.
#>   > chat_model model  user: 'What is the capital of Peru?'
#>   < chat_model model  3.0 ms  fake-1, 21 in, 1 out  'Lima'
#> < agent answer  13 ms  1 model call, 21 in, 1 out  'Lima'
