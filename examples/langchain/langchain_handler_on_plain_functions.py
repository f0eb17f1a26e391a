"""
Can a handler written for LangChain hear functions that never touch LangChain?
"""

from collections.abc import Iterator

from langchain_core.callbacks import UsageMetadataCallbackHandler
from langchain_core.tracers.run_collector import RunCollectorCallbackHandler

from instrument import callbacks, current_run, traced


@traced.retriever
def search(query: str) -> list[str]:
    return ["Cats sleep 14 hours a day."]


@traced.chat_model(model="fake-vet-1")
def vet(messages: list[dict[str, str]]) -> Iterator[str]:
    yield from ("14 ", "hours.")
    current_run().record_usage(input_tokens=12, output_tokens=2)


@traced
def answer(question: str) -> str:
    facts = search(question)
    return "".join(vet([{"role": "user", "content": f"{facts} {question}"}]))


usage = UsageMetadataCallbackHandler()         # LangChain's own, unchanged
trees = RunCollectorCallbackHandler()
with callbacks(usage, trees):
    print(answer("How long do cats sleep?"))

tokens = usage.usage_metadata["fake-vet-1"]
print(tokens["input_tokens"], "+", tokens["output_tokens"], "tokens")
(root,) = trees.traced_runs                    # with LangChain's messages and documents
for run in root.child_runs:
    print(run.run_type, run.name)
print(root.child_runs[0].outputs["documents"][0].page_content)

#> 14 hours.
#> 12 + 2 tokens
#> retriever search
#> llm vet
#> Cats sleep 14 hours a day.
