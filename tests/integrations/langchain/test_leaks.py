"""
Nothing stays behind: no hook, no run, no payload, however many blocks and calls.
"""

import asyncio
import gc
import weakref
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import pytest

pytest.importorskip("langchain_core")

from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langchain_core.runnables import Runnable, RunnableLambda
from langchain_core.tracers.context import _configure_hooks

from instrument import auto, callbacks, traced
from instrument.integrations.langchain import _open_runs

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_kept", "langchain")]

CHAIN: "Runnable[Any, Any]" = RunnableLambda(lambda x: x, name="inner")
OUTER: "Runnable[Any, Any]" = RunnableLambda(CHAIN.invoke, name="outer")
MODEL = FakeListChatModel(responses=["abc"])
APP = RunnableLambda(str) | MODEL


class Handler:
    """
    Hears starts.
    """

    count = 0

    def on_chain_start(self, *_: Any, **__: Any) -> None:
        self.count += 1


@pytest.fixture(scope="module", autouse=True)
def met() -> None:
    """
    Meet each type and name once: what is known of those is kept, and bounded.
    """
    auto.install()
    with callbacks(Handler()):
        OUTER.invoke(0)
        for app in (APP, MODEL):
            next(app.stream("q"))
    auto.uninstall()


def test_blocks_leave_no_hook() -> None:
    """
    Ten thousand blocks leave LangChain's list of hooks as it was.
    """
    before = list(_configure_hooks)
    handler = Handler()

    for number in range(10_000):
        with callbacks(handler):
            if number % 100 == 0:
                CHAIN.invoke(number)

    assert _configure_hooks == before
    assert handler.count == 100


def test_calls_leave_no_run() -> None:
    """
    Ten thousand calls in one block leave no run and no growing map.
    """
    handler = Handler()

    with callbacks(handler), traced("request"):
        for number in range(2_500):
            OUTER.invoke(number)
        kept = len(_open_runs._ended)
        for number in range(2_500):
            OUTER.invoke(number)

    assert handler.count == 10_001
    assert _open_runs.open_runs == {}
    assert kept == len(_open_runs._ended) == _open_runs._MOST_ENDED


class Payload:
    """
    Can be looked at for whether it is still there.
    """


@pytest.mark.usefixtures("uncollected")
@pytest.mark.parametrize("in_run", [True, False])
def test_payloads_are_not_kept(in_run: bool) -> None:
    """
    What a call was given goes when the call is over, in a request that goes on too.
    """
    payload = Payload()
    gone = weakref.ref(payload)

    with callbacks(Handler()), traced("request") if in_run else nullcontext():
        OUTER.invoke(payload)
        del payload
        gc.collect()
        assert gone() is None


def test_abandoned_streams() -> None:
    """
    A thousand streams that nobody finishes leave no run open.
    """
    with callbacks(Handler()):
        for _ in range(500):
            next(APP.stream("q"))
            next(MODEL.stream("q"))

    assert _open_runs.open_runs == {}


async def test_abandoned_async_streams() -> None:
    """
    The same in async code, once the loop has closed them.
    """
    async with callbacks(Handler()):
        for _ in range(200):
            await anext(APP.astream("q"))
            await anext(MODEL.astream("q"))
    gc.collect()
    for _ in range(100):  # turns of the loop
        await asyncio.sleep(0)

    assert _open_runs.open_runs == {}


def test_oldest_of_none() -> None:
    """
    Looking for the oldest in a map that another thread has emptied is no error.
    """
    assert _open_runs._oldest({}) is None


def test_oldest_of_what_changes_meanwhile() -> None:
    """
    Where another thread puts something in as the oldest is looked for, there is none yet.
    """

    class Changing(dict[int, Any]):
        def __iter__(self) -> Iterator[int]:
            raise RuntimeError("dictionary changed size during iteration")

    assert _open_runs._oldest({1: None}) == 1
    assert _open_runs._oldest({}) is None
    assert _open_runs._oldest(Changing()) is None
