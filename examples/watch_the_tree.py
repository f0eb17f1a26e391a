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


# In a terminal this is a tree that grows at its foot, and stays there when it is done:
#
#   ✓ agent answer  8.0 ms
#   ├─ ✓ retriever find  1.0 ms
#   ├─ ✗ tool look_at_map  1.0 ms  LookupError: no map of Peru
#   └─ ✓ chat_model model  2.0 ms  fake-1  21 in, 1 out
#     4 runs  8.0 ms  1 model call  21 in, 1 out
#
# Where there is none, as in a log or a pipe, it is lines.
with predictable(), callbacks(TreeHandler()):  # predictable: durations for this page
    answer("What is the capital of Peru?")
