"""
Who is the parent in another thread: what contextvars carry, and what we carry.
"""

import asyncio
import sys
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from threading import Thread

from instrument import bind
from instrument.propagation import ContextThreadPoolExecutor
from tests.benchmarks.checking import Adapter, Table

THREADS = Table()

Look = Callable[[], Hashable | None]

INHERITED = bool(getattr(sys.flags, "thread_inherit_context", False))
"""Whether a new thread has its starter's context: never before Python 3.14."""


@THREADS.row("plain ThreadPoolExecutor sees the run", INHERITED, sees_runs=True)
def plain_executor(a: Adapter) -> object:
    return _is_seen(a, _in_pool)


@THREADS.row("plain threading.Thread sees the run", INHERITED, sees_runs=True)
def plain_thread(a: Adapter) -> object:
    return _is_seen(a, _in_thread)


@THREADS.row("bind() into ThreadPoolExecutor sees the run", True, sees_runs=True)
def bound_executor(a: Adapter) -> object:
    return _is_seen(a, lambda look: _in_pool(bind(look)))


@THREADS.row("bind() into threading.Thread sees the run", True, sees_runs=True)
def bound_thread(a: Adapter) -> object:
    return _is_seen(a, lambda look: _in_thread(bind(look)))


@THREADS.row("ContextThreadPoolExecutor sees the run", True, sees_runs=True)
def context_executor(a: Adapter) -> object:
    def in_pool(look: Look) -> object:
        with ContextThreadPoolExecutor(1) as pool:
            return pool.submit(look).result()

    return _is_seen(a, in_pool)


@THREADS.row("asyncio.to_thread sees the run", True, sees_runs=True)
def to_thread(a: Adapter) -> object:
    return _is_seen(a, lambda look: asyncio.run(asyncio.to_thread(look)))


@THREADS.row("runs heard of a call in a bound thread", 1, sees_runs=True)
def heard_in_thread(a: Adapter) -> object:
    @a.decorate
    def work() -> None: ...

    return a.runs_of(lambda: _in_thread(bind(work)))


@THREADS.row("runs heard of a call in the executor", 1, sees_runs=True)
def heard_in_executor(a: Adapter) -> object:
    @a.decorate
    def work() -> None: ...

    def use() -> None:
        with ContextThreadPoolExecutor(1) as pool:
            pool.submit(work).result()

    return a.runs_of(use)


def _is_seen(a: Adapter, hop: Callable[[Look], object]) -> bool:
    """
    Tell whether what *hop* calls has the run in hand of where *hop* is called.
    """

    @a.decorate
    def parent() -> tuple[object, object]:
        return a.current(), hop(a.current)

    here, there = parent()
    return here is not None and there == here


def _in_pool(look: Look) -> object:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(look).result()


def _in_thread(look: Callable[[], object]) -> object:
    seen: list[object] = []
    thread = Thread(target=lambda: seen.append(look()))
    thread.start()
    thread.join()
    return seen[0]
