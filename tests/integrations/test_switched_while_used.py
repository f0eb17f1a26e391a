"""
``auto.install`` and ``uninstall``, twice, and while calls of every SDK run.
"""

import gc
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from importlib import import_module
from typing import TYPE_CHECKING, Any, Self

import pytest

from instrument import auto, callbacks
from instrument._hearing.monitored import streams as _streams
from instrument.testing import Recorder

if TYPE_CHECKING:
    from tests.integrations.provider import Provider

if sys.version_info < (3, 12):
    pytest.skip("sys.monitoring needs Python 3.12", allow_module_level=True)

pytestmark = [
    pytest.mark.anyio,
    # Google's SDK takes aiohttp where that is installed
    pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession"),
]

SDKS: list[Any] = import_module("sdks").SDKS
closing: Any = import_module("sdks").closing
facts: Any = import_module("facts")

TIMES = 5


@pytest.fixture(autouse=True)
def nothing_armed() -> Iterator[None]:
    """
    Check that after the test no function is heard, and no call waited for.
    """
    yield
    auto.uninstall()
    gc.collect()
    assert sys.monitoring.get_tool(3) is None
    assert _streams._kept == {}


@facts.every_sdk
def test_a_stream_that_is_read_unheard(sdk: Any, provider: "Provider") -> None:
    """
    Who asked for a stream that was read while nothing was heard hears none of later ones.
    """
    recorder = Recorder()
    auto.install()

    with closing(sdk.make(provider.url)) as client:
        with callbacks(recorder):
            stream = sdk.calls["stream"](client)
        auto.uninstall()
        facts.read(stream)
        auto.install()
        for _ in range(5):
            facts.read(sdk.calls["stream"](client))
        del stream
        gc.collect()

    assert facts.tokens(recorder) == []
    assert {run.status for run in recorder.runs} <= {"abandoned"}


class Switching:
    """
    Two threads that uninstall and install, over and over.
    """

    def __init__(self) -> None:
        self.errors: list[BaseException] = []
        self._threads = [threading.Thread(target=self._switch) for _ in range(2)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        for thread in self._threads:
            thread.join()

    @property
    def goes_on(self) -> bool:
        return any(thread.is_alive() for thread in self._threads)

    def _switch(self) -> None:
        try:
            for _ in range(TIMES):
                auto.uninstall()
                auto.install()
        except BaseException as exc:
            self.errors.append(exc)


def check_ended_once(recorder: Recorder) -> None:
    """
    Check that each run that was heard to start was heard to end well, once.
    """
    starts = Counter(e.run_id for e in recorder.events if e.event.endswith("_start"))
    ends = Counter(
        e.run_id for e in recorder.events if e.event.endswith(("_end", "_error"))
    )
    assert starts == ends
    assert set(starts.values()) <= {1}
    # a stream whose reader was not armed when it began is missed when it is dropped
    assert {run.status for run in recorder.runs} <= {"ok", "abandoned"}


@facts.every_sdk
def test_installed_twice(sdk: Any, provider: "Provider") -> None:
    """
    What is installed twice is heard once, and one uninstall undoes it.
    """
    recorder = Recorder()
    auto.install()
    auto.install()

    with closing(sdk.make(provider.url)) as client, callbacks(recorder):
        facts.read(sdk.calls["stream"](client))
        auto.uninstall()
        facts.read(sdk.calls["stream"](client))

    facts.check(recorder, sdk, "stream")


@facts.every_sdk
def test_calls_in_threads(sdk: Any, provider: "Provider") -> None:
    """
    Calls that run meanwhile end their runs once, and no attribute is another's after.
    """
    auto.uninstall()
    recorder = Recorder()
    errors: list[BaseException] = []

    def call(client: Any, switching: Switching) -> None:
        try:
            with callbacks(recorder):
                while switching.goes_on:
                    facts.read(sdk.calls["stream"](client))
                    sdk.calls["chat"](client)
        except BaseException as exc:
            errors.append(exc)

    with ExitStack() as stack:
        clients = [stack.enter_context(closing(sdk.make(provider.url))) for _ in "ab"]
        for _ in range(2):  # what is made when it is first used has been made
            facts.read(sdk.calls["stream"](clients[0]))
            sdk.calls["chat"](clients[0])
            before = facts.snapshot(sdk.module)
        with Switching() as switching:
            callers = [
                threading.Thread(target=call, args=(c, switching)) for c in clients
            ]
            for caller in callers:
                caller.start()
            for caller in callers:
                caller.join()

    auto.uninstall()
    after = facts.snapshot(sdk.module)
    gc.collect()

    assert errors == switching.errors == []
    check_ended_once(recorder)
    assert {k: v for k, v in after.items() if before.get(k) != v} == {}


@facts.every_async_sdk
async def test_calls_in_tasks(sdk: Any, provider: "Provider") -> None:
    """
    The same of an async client.
    """
    recorder = Recorder()

    async with sdk.amake(provider.url) as client:
        with callbacks(recorder), Switching() as switching:
            while switching.goes_on:
                await facts.aread(sdk.acalls["stream"](client))
                await facts.aread(sdk.acalls["chat"](client))
    gc.collect()

    assert switching.errors == []
    check_ended_once(recorder)


async def test_tools() -> None:
    """
    The same of a client of the Model Context Protocol.
    """
    pytest.importorskip("mcp")
    from mcp.client.client import Client

    recorder = Recorder()

    async with Client(import_module("test_wrap_mcp").server()) as client:
        with callbacks(recorder), Switching() as switching:
            while switching.goes_on:
                await client.call_tool("add", {"a": 1, "b": 2})

    assert switching.errors == []
    check_ended_once(recorder)
