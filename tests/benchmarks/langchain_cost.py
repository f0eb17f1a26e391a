"""
What hearing LangChain adds to one of its calls, in microseconds of CPU time.

``python -m tests.benchmarks.langchain_cost`` prints a row per case. Both sides of a row
are timed in turn, in short slices, and the median of the differences of neighbours
counts: the machine's mood moves both. It wants langchain-core.
"""

import asyncio
from collections.abc import Callable
from statistics import median
from time import process_time
from typing import Any

from langchain_core.callbacks import BaseCallbackHandler as LangChainHandler
from langchain_core.language_models import FakeListChatModel
from langchain_core.runnables import RunnableLambda

from instrument import BaseCallbackHandler, callbacks
from instrument.integrations import langchain

ROUNDS = 20
CALLS = 200

Call = Callable[[Any, Any], None]


class Theirs(LangChainHandler):
    """
    Hears, and does nothing.
    """

    def on_chain_start(self, *args: Any, **kwargs: Any) -> None: ...

    def on_chain_end(self, *args: Any, **kwargs: Any) -> None: ...

    def on_chat_model_start(self, *args: Any, **kwargs: Any) -> None: ...

    def on_llm_end(self, *args: Any, **kwargs: Any) -> None: ...


class Ours(BaseCallbackHandler):
    """
    The same, of ours.
    """

    on_chain_start = on_chain_end = Theirs.on_chain_start
    on_chat_model_start = on_llm_end = Theirs.on_chain_start


def same(text: str) -> str:
    """
    Be a step.
    """
    return text


async def same_later(text: str) -> str:
    """
    Be one of async code.
    """
    return text


def called(runnable: Any, config: Any) -> None:
    """
    Invoke it.
    """
    for _ in range(CALLS):
        runnable.invoke("x", config)


def awaited(runnable: Any, config: Any) -> None:
    """
    The same in async code.
    """

    async def repeat() -> None:
        for _ in range(CALLS):
            await runnable.ainvoke("x", config)

    asyncio.run(repeat())


def timed(call: Call, runnable: Any, config: Any) -> float:
    """
    Give the CPU time of one call.
    """
    started = process_time()
    call(runnable, config)
    return (process_time() - started) / CALLS * 1e6


def bare(call: Call, runnable: Any) -> float:
    """
    Time LangChain by itself.
    """
    langchain.uninstall()
    return timed(call, runnable, None)


def idle(call: Call, runnable: Any) -> float:
    """
    Time it heard by nobody.
    """
    langchain.install()
    return timed(call, runnable, None)


def with_theirs(call: Call, runnable: Any) -> float:
    """
    Time it with a handler in LangChain's own config, without us.
    """
    langchain.uninstall()
    return timed(call, runnable, {"callbacks": [Theirs()]})


def with_ours(call: Call, runnable: Any) -> float:
    """
    Time it with a handler of ours in a block.
    """
    langchain.install()
    with callbacks(Ours()):
        return timed(call, runnable, None)


def theirs_in_block(call: Call, runnable: Any) -> float:
    """
    Time it with a handler of LangChain in a block.
    """
    langchain.install()
    with callbacks(Theirs()):
        return timed(call, runnable, None)


def ours_in_config(call: Call, runnable: Any) -> float:
    """
    Time it with a handler of ours in LangChain's own config.
    """
    langchain.install()
    return timed(call, runnable, {"callbacks": [Ours()]})


Side = Callable[[Call, Any], float]
ROWS: dict[str, tuple[Side, Side, float]] = {
    "nobody listens": (idle, bare, 5),
    "ours in a block, to theirs in config": (with_ours, with_theirs, 10),
    "theirs in a block, to theirs in config": (theirs_in_block, with_theirs, 10),
    "ours in config, to theirs in config": (ours_in_config, with_theirs, 10),
}
"""What is compared with what, and the most that it may add."""

CASES: dict[str, tuple[Call, Any]] = {
    "RunnableLambda.invoke": (called, RunnableLambda(same)),
    "RunnableLambda.ainvoke": (awaited, RunnableLambda(same_later)),
    "chat model.invoke": (called, FakeListChatModel(responses=["a"])),
}


def added(row: str, case: str) -> tuple[float, float]:
    """
    Measure one row of one case: what LangChain takes, and what is added.
    """
    ours, theirs, _ = ROWS[row]
    pairs = [(ours(*CASES[case]), theirs(*CASES[case])) for _ in range(ROUNDS)]
    return median(b for _, b in pairs), median(a - b for a, b in pairs)


def main() -> None:
    """
    Print the table.
    """
    print(f"{'case':24}{'row':42}{'LangChain':>10}{'added':>8}{'bar':>6}")
    for case in CASES:
        for row, (_, _, bar) in ROWS.items():
            taken, more = added(row, case)
            print(f"{case:24}{row:42}{taken:10.1f}{more:8.1f}{bar:6.0f}")


if __name__ == "__main__":
    main()
