"""
How do I see which of my functions take the time and the memory?
"""

from contextlib import suppress

from instrument import callbacks, current_run, traced
from instrument.handlers import MonitorHandler
from instrument.testing import predictable

cache: dict[str, bytearray] = {}


@traced.retriever
def find(query: str) -> list[str]:
    if not query:
        raise ValueError("nothing to find")
    cache[query] = bytearray(32_000_000)
    return [f"{len(cache[query])} bytes about {query}"]


@traced.chat_model
def model(prompt: str) -> str:
    current_run().record_usage(input_tokens=len(prompt.split()), output_tokens=2)
    return "fourteen hours"


@traced
def answer(question: str) -> str:
    return model(f"{find(question)} {question}")


monitor = MonitorHandler()
with callbacks(monitor), predictable():  # a clock that ticks a millisecond a look
    for question in ("cats", "dogs", "owls", ""):
        with suppress(ValueError):
            answer(question)

for name, stats in monitor.stats.items():  # busiest first
    print(f"{name:<6}  {stats.count} runs, {stats.errors} failed, {stats.max_s:.3f} s")
#> answer  4 runs, 1 failed, 0.007 s
#> find    4 runs, 1 failed, 0.001 s
#> model   3 runs, 0 failed, 0.001 s

find_stats, model_stats = monitor.stats["find"], monitor.stats["model"]
print(model_stats.input_tokens, model_stats.output_tokens, "tokens")
#> 15 6 tokens
print("about", round(find_stats.memory_bytes_max or 0, -7), "bytes more in one run")
#> about 30000000 bytes more in one run
print(*monitor.report().split()[:12])  # the whole is a table
#> run calls errors p50 p95 p99 max total mean in out cpu
