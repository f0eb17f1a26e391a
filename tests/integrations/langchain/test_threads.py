"""
LangChain in threads that the program makes itself.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Thread
from typing import Any

import pytest

pytest.importorskip("langchain_core")

from langchain_core.runnables import Runnable, RunnableLambda

from instrument import bind, callbacks, current_run, traced
from instrument.propagation import ContextThreadPoolExecutor
from instrument.testing import Recorder

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("langchain")]

Call = Callable[[], Any]


def raw_thread(call: Call) -> None:
    """
    Call in a thread.
    """
    thread = Thread(target=call)
    thread.start()
    thread.join()


def raw_executor(call: Call) -> None:
    """
    Call in a pool.
    """
    with ThreadPoolExecutor() as pool:
        pool.submit(call).result()


def carrying_executor(call: Call) -> None:
    """
    Call in the pool that carries the Context.
    """
    with ContextThreadPoolExecutor() as pool:
        pool.submit(call).result()


def default_executor(call: Call) -> None:
    """
    Call in a loop's own pool.
    """

    async def main() -> None:
        await asyncio.get_running_loop().run_in_executor(None, call)

    asyncio.run(main())


RAW = [raw_thread, raw_executor, default_executor]


def inner(_: object) -> str:
    """
    Do what a run in hand is needed for.
    """
    return current_run().name


def nested() -> "Runnable[Any, Any]":
    """
    Make a chain in which one calls another.
    """
    leaf: Runnable[Any, Any] = RunnableLambda(inner, name="inner")
    return RunnableLambda(leaf.invoke, name="outer")


@pytest.mark.parametrize("where", RAW)
def test_thread_of_no_context(where: Callable[[Call], None]) -> None:
    """
    A raw thread knows of no block, so nothing in it is heard.
    """
    recorder = Recorder()

    with callbacks(recorder):
        where(lambda: nested().invoke(1))

    assert recorder.events == []


@pytest.mark.parametrize("where", [*RAW, carrying_executor])
def test_bound_call(where: Callable[[Call], None], whole: Callable[..., None]) -> None:
    """
    What `bind` wraps is heard in any thread, below the run it was bound in.
    """
    recorder = Recorder()

    with callbacks(recorder), traced("request"):
        where(bind(lambda: nested().invoke(1)))

    whole(recorder)
    assert recorder.tree() == (
        "chain request: ok\n  chain outer: ok\n    chain inner: ok"
    )


def test_carrying_executor(whole: Callable[..., None]) -> None:
    """
    `ContextThreadPoolExecutor` needs no `bind`.
    """
    recorder = Recorder()

    with callbacks(recorder), traced("request"):
        carrying_executor(lambda: nested().invoke(1))

    whole(recorder)
    assert [run.name for run in recorder.runs] == ["request", "outer", "inner"]


@pytest.mark.parametrize("where", RAW)
@pytest.mark.parametrize("bound", [True, False])
def test_thread_inside_a_lambda(
    where: Callable[[Call], None], bound: bool, whole: Callable[..., None]
) -> None:
    """
    A raw thread in the body of a LangChain function is deaf, unless it is bound there.
    """
    recorder = Recorder()

    def body(_: object) -> None:
        def call() -> Any:
            return nested().invoke(1)

        where(bind(call) if bound else call)

    with callbacks(recorder):
        RunnableLambda(body).invoke(1)

    whole(recorder)
    assert recorder.tree() == "chain body: ok" + bound * (
        "\n  chain outer: ok\n    chain inner: ok"
    )


def test_thread_inside_a_traced_function(whole: Callable[..., None]) -> None:
    """
    Bound in a traced function that LangChain called, a call hangs on that function.
    """
    recorder = Recorder()

    @traced("own")
    def body(_: object) -> None:
        raw_thread(bind(lambda: nested().invoke(1)))

    with callbacks(recorder):
        RunnableLambda(body, name="body").invoke(1)

    whole(recorder)
    assert [run.name for run in recorder.runs] == ["body", "own", "outer", "inner"]
    assert [run.depth for run in recorder.runs] == [0, 1, 2, 3]


def test_process_wide_in_a_raw_thread(whole: Callable[..., None]) -> None:
    """
    Process-wide handlers hear a raw thread too, as a trace of its own.
    """
    recorder = Recorder()

    with callbacks(recorder).install():
        raw_thread(lambda: nested().invoke(1))

    whole(recorder)
    assert recorder.tree() == "chain outer: ok\n  chain inner: ok"


async def test_call_soon(whole: Callable[..., None]) -> None:
    """
    A callback of the loop is heard: it has the Context it was given in.
    """
    recorder = Recorder()
    done = asyncio.Event()

    def call() -> None:
        nested().invoke(1)
        done.set()

    with callbacks(recorder):
        asyncio.get_running_loop().call_soon(call)
        await done.wait()

    whole(recorder)
    assert [run.name for run in recorder.runs] == ["outer", "inner"]


def test_no_model_on_the_stack() -> None:
    """
    A thread of a step's body is in no model of LangChain's.
    """
    from instrument.integrations.langchain._open_runs import model_in_hand

    found: list[object] = []

    def step(text: str) -> str:
        thread = Thread(target=lambda: found.append(model_in_hand()))
        thread.start()
        thread.join()
        return text

    with callbacks(Recorder()):
        RunnableLambda(step).invoke("x")

    assert found == [None]
