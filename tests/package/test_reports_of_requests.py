"""
Reports of handlers that fail say of which run and request it is, wherever they work.
"""

from _thread import start_new_thread
from collections.abc import Callable, Iterator
from functools import partial
from queue import Queue
from typing import Any

import anyio
import pytest
from loguru import logger

from instrument import callbacks, current_run, traced
from instrument._report import complain
from instrument.handlers import background, filtered

HANDLER = "on_tool_start"


class Failing:
    """
    Fails when it is told of a tool, and when it is flushed.
    """

    def on_tool_start(self, *args: Any, **kwargs: Any) -> None:
        raise KeyError("socket")

    def flush(self) -> None:
        raise OSError("full")


class AsyncFailing:
    """
    The same in coroutines.
    """

    async def on_tool_start(self, *args: Any, **kwargs: Any) -> None:
        raise KeyError("socket")

    async def aflush(self) -> None:
        raise OSError("full")


@pytest.fixture
def told() -> Iterator[list[Any]]:
    """
    What is reported, as records of loguru.
    """
    records: list[Any] = []
    sink = logger.add(lambda text: records.append(text.record))
    yield records
    logger.remove(sink)


def lines_of(records: list[Any]) -> list[str]:
    """
    Give the first line of each report.
    """
    return sorted(record["message"].splitlines()[0] for record in records)


def report(handler: type, event: str, run: str, error: str) -> str:
    """
    Write what a report is to begin with.
    """
    name = handler.__qualname__
    return f"{name} failed at {event} of {run}: {error}; the call goes on without it"


def weather() -> str:
    """
    Give the id of the request.
    """
    return current_run().trace_hex[:6]


async def aweather() -> str:
    """
    The same in async code.
    """
    return current_run().trace_hex[:6]


def in_sync(handler: Any) -> str:
    """
    Have a block in sync code within a run.
    """
    with callbacks(print), traced("answer"), callbacks(handler):
        return traced.tool(weather)()


def in_async(handler: Any) -> str:
    """
    Have one in async code.
    """

    async def request() -> str:
        with callbacks(print), traced("answer"):
            async with callbacks(handler):
                return await traced.tool(aweather)()

    return anyio.run(request)


def sync_on_a_loop(handler: Any) -> str:
    """
    Have sync code on the thread of a loop.
    """

    async def request() -> str:
        with callbacks(print), traced("answer"):
            async with callbacks(handler):
                return traced.tool(weather)()

    return anyio.run(request)


CODE = pytest.mark.parametrize("code", [in_sync, in_async, sync_on_a_loop])


@CODE
@pytest.mark.parametrize("handler", [Failing, AsyncFailing])
def test_event_and_flush(
    told: list[Any], code: Callable[[Any], str], handler: type
) -> None:
    """
    Handlers, async ones included, name the run at an event, the one around their block
    at a flush, and the request.
    """
    request = code(handler())

    assert lines_of(told) == [
        report(handler, "flush", f"chain answer, request {request}", "OSError: full"),
        report(
            handler,
            HANDLER,
            f"tool weather, request {request}"
            if code is not in_async
            else f"tool aweather, request {request}",
            "KeyError: 'socket'",
        ),
    ]


@pytest.mark.parametrize("is_async", [False, True])
def test_given_to_a_call(told: list[Any], is_async: bool) -> None:
    """
    What a call was given names that call when it is flushed.
    """
    handler = AsyncFailing if is_async else Failing
    name = "aweather" if is_async else "weather"
    given: Any = {"callbacks": [handler()]}

    if is_async:
        request = anyio.run(partial(traced.tool(aweather), **given))
    else:
        request = traced.tool(weather)(**given)

    run = f"tool {name}, request {request}"
    assert report(handler, "flush", run, "OSError: full") in lines_of(told)


@pytest.mark.parametrize("wrap", [background, partial(filtered, kinds="tool")])
@pytest.mark.parametrize("handler", [Failing, AsyncFailing])
def test_wrapped(told: list[Any], wrap: Callable[[Any], Any], handler: type) -> None:
    """
    Behind a wrapper they name it too, and are from where it was raised.
    """
    request = in_sync(wrap(handler()))

    run = f"tool weather, request {request}"
    assert report(handler, HANDLER, run, "KeyError: 'socket'") in lines_of(told)
    assert {record["name"] for record in told} == {__name__}
    assert "instrument/handlers" not in "".join(it["message"] for it in told)


def test_block_around_requests(told: list[Any]) -> None:
    """
    A block around whole requests is of none of them when it is flushed.
    """
    with callbacks(Failing()):
        traced(weather)()

    (line,) = lines_of(told)
    assert line == "Failing failed at flush: OSError: full; the call goes on without it"


def test_source_of_what_was_not_raised(told: list[Any]) -> None:
    """
    A report of no exception is from the application's line that has led to it.
    """
    with callbacks(print), traced("answer") as run:
        run.record_usage(prompt_tokens=3)

    (record,) = told
    assert record["name"] == __name__
    assert record["function"] == "test_source_of_what_was_not_raised"


def test_source_of_what_nobody_led_to() -> None:
    """
    Where Python itself has called, as at exit, it is from here.
    """
    heard: Queue[str] = Queue()
    sink = logger.add(lambda text: heard.put(str(text)), format="{name} {message}")

    start_new_thread(complain, ("told by no one", None))

    assert heard.get(timeout=10).endswith(" told by no one\n")
    logger.remove(sink)
