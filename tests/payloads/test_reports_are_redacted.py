"""
What a failing handler says is reported as handlers may see it, on every road.
"""

import asyncio
import enum
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from loguru import logger

from instrument import (
    AsyncCallbackHandler,
    BaseCallbackHandler,
    Run,
    callbacks,
    current_run,
    emit,
    traced,
)
from instrument.handlers import StoreHandler, background, tail
from instrument.testing import Recorder

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


class Way(enum.Enum):
    """
    A tag.
    """

    SHORT = "short"


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


class RefusedError(Exception):
    """
    An exception that says its field, and not by what name.
    """

    def __init__(self, password: str) -> None:
        super().__init__(f"refused: {password}")
        self.password = password


def refuse(way: str) -> None:
    """
    Raise such an exception: as it is, in a group, or below another.
    """
    if way == "alone":
        raise RefusedError(SECRET)
    if way == "group":
        raise ExceptionGroup("several", [RefusedError(SECRET), KeyError("a")])
    try:
        raise RefusedError(SECRET)
    except RefusedError as exc:
        if way == "cause":
            raise LookupError("a") from exc
        raise LookupError("a")  # noqa: B904 - while it is handled


@pytest.mark.parametrize("way", ["alone", "group", "context", "cause"])
def test_what_an_exception_says_of_its_field(
    way: str, log: list[str], tmp_path: Path
) -> None:
    """
    An exception whose field is masked says it neither in the traceback of a report nor
    in one that is kept, also where another was raised from it.
    """

    def hear(inputs: Any) -> None:
        refuse(way)

    store = StoreHandler(tmp_path / "traces.db")
    told: dict[str, Any] = {"on_chain_start": hear, "redact": ["password"]}
    with callbacks(store, **told), suppress(Exception), traced("log in"):
        refuse(way)
    store.drain(10)

    kept = b"".join(it.read_bytes() for it in tmp_path.iterdir())
    assert b"refuse(way)" in kept or b"in refuse" in kept
    assert "in refuse" in "".join(log)
    assert "RefusedError" in "".join(log)
    assert SECRET.encode() not in kept
    assert SECRET not in "".join(log)


@pytest.mark.parametrize("count", [RefusedError(SECRET), ("password", SECRET)])
def test_counts_that_hold_it(count: Any, log: list[str]) -> None:
    """
    What was given as a number, and holds what is masked, is not reported.
    """
    name = f"counts {type(count).__name__}"
    with callbacks(BaseCallbackHandler(), redact=["password"]), traced(name) as run:
        run.record_usage(input_tokens=count)

    assert "a count must be a number or None, not [redacted]" in "".join(log)
    assert SECRET not in "".join(log)


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


def test_labels_that_are_none(log: list[str]) -> None:
    """
    Of what is given as a name, a tag or a channel and can be none its type is told: it
    may hold what is masked. An enum is told by its value.
    """
    recorder, held = Recorder(), {"password": SECRET}
    given: Any = held

    with callbacks(recorder, redact=["password"]):
        emit(given)
        with traced("ask", kind="llm") as run:
            run.add_tags(given, Way.SHORT, None)  # type: ignore[arg-type]
            run.token("Hi", channel=given)
            run.emit(given)

    assert [it.data["name"] for it in recorder.events if "name" in it.data] == [
        "<dict>"
    ] * 2
    assert list(recorder.runs[-1].tags) == ["<dict>", "short", ""]
    assert [line.split(")")[0] for line in log] == ["run.token(channel='<dict>'"]
    assert SECRET not in "".join(it.to_json() for it in recorder.events)


def test_rule_of_tail_that_fails(log: list[str]) -> None:
    """
    What a rule of `tail` fails with is reported as the request's handlers may see it.
    """

    def keep(runs: list[Run]) -> bool:
        raise ValueError(SAID)

    with callbacks(tail(Recorder(), keep=keep), redact=["password"]):
        log_in()

    assert "keep failed at tail(keep=...): ValueError: cannot log in" in log[0]
    assert SECRET not in "".join(log)
