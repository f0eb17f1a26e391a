"""
What hearing LangChain adds to one of its calls.

It wants langchain-core: `ratios` leaves its rows out where that is not installed.
"""

import gc
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any

from instrument import BaseCallbackHandler, callbacks
from tests.benchmarks.measure import (
    Pair,
    Row,
    Side,
    Work,
    collecting_by_itself,
    more,
)

Invoke = Callable[[Any], object]
"""Calls LangChain once, with that config."""


class Ours(BaseCallbackHandler):
    """
    Hears, and does nothing.
    """

    def on_chain_start(self, *args: Any, **kwargs: Any) -> None: ...

    on_chain_end = on_chat_model_start = on_llm_end = on_chain_start


def same(text: str) -> str:
    """
    Be a step.
    """
    return text


def chain() -> Invoke:
    """
    Make a chain of one step.
    """
    from langchain_core.runnables import RunnableLambda

    return partial(RunnableLambda(same).invoke, "x")


def chat_model() -> Invoke:
    """
    Make a chat model that knows its answer.
    """
    from langchain_core.language_models import FakeListChatModel

    return partial(FakeListChatModel(responses=["a"]).invoke, "x")


@contextmanager
def unheard(make: Callable[[], Invoke]) -> Iterator[Pair]:
    """
    Set it heard by nobody against LangChain by itself.
    """
    invoke = make()
    with collecting_by_itself():
        yield _pair(_installed(invoke), _by_itself(invoke))


@contextmanager
def heard(make: Callable[[], Invoke]) -> Iterator[Pair]:
    """
    Set a handler in a block against one of LangChain's in its own config.
    """
    invoke = make()
    with collecting_by_itself():
        yield _pair(_in_block(invoke), _by_itself(invoke, callbacks=[_theirs()]))


@contextmanager
def heard_in_config(make: Callable[[], Invoke]) -> Iterator[Pair]:
    """
    Set a handler of ours in LangChain's own config against one of LangChain's there.
    """
    invoke = make()
    ours = _installed(invoke, callbacks=[Ours()])
    with collecting_by_itself():
        yield _pair(ours, _by_itself(invoke, callbacks=[_theirs()]))


Set = Callable[[Callable[[], Invoke]], AbstractContextManager[Pair]]


def _row(bar: float | None, compare: Set, make: Callable[[], Invoke]) -> Row:
    return Row(bar, "instr.", more, partial(compare, make), needs="langchain_core")


LANGCHAIN: dict[str, Row] = {
    "added to a LangChain chain, nobody listens": _row(None, unheard, chain),
    "added to a LangChain chain over LangChain's own handler": _row(
        15_000, heard, chain
    ),
    "added to a LangChain chain, ours in LangChain's config": _row(
        None, heard_in_config, chain
    ),
    "added to a LangChain chat model, nobody listens": _row(None, unheard, chat_model),
    "added to a LangChain chat model over LangChain's own handler": _row(
        30_000, heard, chat_model
    ),
}


def _pair(ours: Work, floor: Work) -> Pair:
    return Pair(Side(ours, few=20, many=80), Side(floor, few=20, many=80))


def _by_itself(invoke: Invoke, **config: Any) -> Work:
    from instrument.integrations import langchain

    def work(number: int) -> None:
        langchain.uninstall()
        for _ in range(number):
            invoke(config)
            gc.collect(0)  # its own, no more

    return work


def _installed(invoke: Invoke, **config: Any) -> Work:
    from instrument.integrations import langchain

    def work(number: int) -> None:
        langchain.install()
        for _ in range(number):
            invoke(config)
            gc.collect(0)  # its own, no more

    return work


def _in_block(invoke: Invoke) -> Work:
    work = _installed(invoke)

    def in_block(number: int) -> None:
        with callbacks(Ours()):
            work(number)

    return in_block


def _theirs() -> object:
    from langchain_core.callbacks import BaseCallbackHandler as LangChainHandler

    class Theirs(LangChainHandler):
        def on_chain_start(self, *args: Any, **kwargs: Any) -> None: ...

        on_chain_end = on_chat_model_start = on_llm_end = on_chain_start

    return Theirs()
