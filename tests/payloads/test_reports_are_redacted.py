"""
What a failing handler says is reported as handlers may see it, on every road.
"""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from loguru import logger

from instrument import (
    AsyncCallbackHandler,
    BaseCallbackHandler,
    callbacks,
    current_run,
    traced,
)
from instrument.handlers import background

SECRET = "enigma1940"
SAID = f"cannot log in with password='{SECRET}'"


@pytest.fixture
def log() -> Iterator[list[str]]:
    """
    Collect what is reported.
    """
    lines: list[str] = []
    number = logger.add(lines.append, format="{message}")
    yield lines
    logger.remove(number)


@traced("log in")
def log_in() -> None: ...


@traced("log in")
async def alog_in() -> None: ...


class Failing(BaseCallbackHandler):
    """
    Fails at each start.
    """

    def on_chain_start(self, *args: Any, **kwargs: Any) -> None:
        raise ValueError(SAID)


class AsyncFailing(AsyncCallbackHandler):
    """
    Fails at each start, when it is awaited.
    """

    async def on_chain_start(self, *args: Any, **kwargs: Any) -> None:
        raise ValueError(SAID)


class Stopping(AsyncFailing):
    """
    Is waited for, as it may stop the call.
    """

    raise_error = True


class FlushFailing(BaseCallbackHandler):
    """
    Fails when it is flushed.
    """

    def on_chain_start(self, *args: Any, **kwargs: Any) -> None: ...

    def flush(self) -> None:
        raise ValueError(SAID)


class AsyncFlushFailing(BaseCallbackHandler):
    """
    Fails when its flush is awaited.
    """

    async def aflush(self) -> None:
        raise ValueError(SAID)


def in_sync(handler: Any, **options: Any) -> None:
    """
    Call in sync code, with no loop anywhere.
    """
    with callbacks(handler, **options):
        log_in()


def in_async(handler: Any, **options: Any) -> None:
    """
    Call in async code.
    """

    async def request() -> None:
        async with callbacks(handler, **options):
            await alog_in()

    asyncio.run(request())


def on_a_loops_thread(handler: Any, **options: Any) -> None:
    """
    Call sync code on the thread of a loop.
    """

    async def request() -> None:
        async with callbacks(handler, **options):
            log_in()

    asyncio.run(request())


def on_another_loop(handler: Any, **options: Any) -> None:
    """
    Call in async code on another loop than the block's.
    """

    async def request() -> None:
        async with callbacks(handler, **options):
            await asyncio.to_thread(asyncio.run, alog_in())

    asyncio.run(request())


def installed(handler: Any, **options: Any) -> None:
    """
    Call where the handler is installed for the process.
    """
    with callbacks(handler, **options).install():
        log_in()


def in_an_outer_block(handler: Any, **options: Any) -> None:
    """
    Call where an outer block redacts.
    """
    with callbacks(**options), callbacks(handler):
        log_in()


def given_to_a_call(handler: Any, **options: Any) -> None:
    """
    Call with the handler as ``callbacks=``.
    """
    with callbacks(**options):
        log_in(callbacks=[handler])  # type: ignore[call-arg]


WAYS = [
    in_sync,
    in_async,
    on_a_loops_thread,
    on_another_loop,
    installed,
    in_an_outer_block,
    given_to_a_call,
]
HANDLERS: list[Callable[[], Any]] = [
    Failing,
    AsyncFailing,
    Stopping,
    FlushFailing,
    AsyncFlushFailing,
    lambda: background(Failing()),
    lambda: background(AsyncFailing()),
    lambda: background(FlushFailing()),
]


@pytest.mark.parametrize("make", HANDLERS, ids=range(len(HANDLERS)))
@pytest.mark.parametrize("call", WAYS)
def test_secret_is_not_reported(
    call: Callable[..., None], make: Callable[[], Any], log: list[str]
) -> None:
    """
    What stands under a masked name in what a handler raised is masked in its report;
    where no payload is told, nothing of what it says is; else it is shown.
    """
    cases: list[tuple[dict[str, Any], str]] = [
        ({"redact": ["password"]}, "password=[redacted]"),
        ({"capture": False}, "is left out"),
        ({}, SAID),
    ]
    for options, shown in cases:
        log.clear()
        try:
            call(make(), **options)
        except ValueError:
            assert make is Stopping

        told = "".join(log)
        if make is Stopping and "ValueError" not in told:
            continue  # it is raised, and so told
        assert shown in told or (options and "is left out" in told)
        assert (SECRET in told) is (not options)


def test_counts_that_are_none(log: list[str]) -> None:
    """
    What a provider gave as a number, and is none, is reported as handlers may see it.
    """

    @traced("log in")
    def call() -> None:
        current_run().record_usage(input_tokens=SAID)  # type: ignore[arg-type]

    with callbacks(BaseCallbackHandler(), redact=["password"]):
        call()

    assert "[redacted]" in "".join(log)
    assert SECRET not in "".join(log)
