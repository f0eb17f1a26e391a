"""
Sync code that a task runs in a greenlet, as SQLAlchemy does, awaits in plain calls: what
cancels the task comes there, in a handler or in a payload that loads something as it is
asked.
"""

import asyncio
import sys
from collections.abc import Callable, Iterator, Mapping
from types import SimpleNamespace
from typing import Any

import pytest

from instrument import BaseCallbackHandler, callbacks, traced
from instrument.testing import Recorder

Load = Callable[[], object]


class Ended(BaseException):
    """
    Stands for ``greenlet.GreenletExit``.
    """


class Loads(BaseCallbackHandler):
    """
    Waits for something in each event.
    """

    def __init__(self, load: Load) -> None:
        self.load = load

    def on_event(self, event: Any, **kwargs: Any) -> None:
        self.load()


class Flushes(Recorder):
    """
    Waits for something as its block is left.
    """

    def __init__(self, load: Load) -> None:
        super().__init__()
        self.load = load

    def flush(self) -> None:
        self.load()


class Row:
    """
    Loads what it shows.
    """

    def __init__(self, load: Load) -> None:
        self.load = load

    def __repr__(self) -> str:
        return f"Row({self.load()})"


class Rows(Mapping[str, object]):
    """
    Loads what it holds.
    """

    def __init__(self, load: Load) -> None:
        self.load = load

    def __getitem__(self, key: str) -> object:
        return self.load()

    def __iter__(self) -> Iterator[str]:
        return iter(["a"])

    def __len__(self) -> int:
        return 1


@traced.tool
def tool(given: object = None) -> str:
    return "result"


def in_a_handler(load: Load) -> str:
    with callbacks(Loads(load)):
        return tool()


def as_it_is_flushed(load: Load) -> str:
    with callbacks(Flushes(load)):
        return tool()


def in_a_repr(load: Load) -> str:
    with callbacks(lambda event: event.to_json()):
        return tool(Row(load))


def in_a_mapping(load: Load) -> str:
    with callbacks(lambda event: event.to_json()):
        return tool(Rows(load))


def in_a_redactor(load: Load) -> str:
    with callbacks(Recorder(), redact=lambda value, path: load()):
        return tool(1)


def in_what_is_recorded(load: Load) -> str:
    with callbacks(Recorder()):
        return traced(outputs=lambda result: load())(tool)()


PLACES = pytest.mark.parametrize(
    "place",
    [
        in_a_handler,
        as_it_is_flushed,
        in_a_repr,
        in_a_mapping,
        in_a_redactor,
        in_what_is_recorded,
    ],
    ids=lambda place: place.__name__,
)


def raises(error: type[BaseException]) -> Load:
    """
    Make what raises that as something is waited for.
    """

    def load() -> object:
        raise error

    return load


async def meet_a_cancellation() -> None:
    """
    Have the task of here meet one, as a greenlet does that waits.
    """
    task: Any = asyncio.current_task()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.sleep(0)


def run_as(monkeypatch: pytest.MonkeyPatch, *, parent: object) -> None:
    """
    Say that this runs in a greenlet with that parent.
    """
    current = SimpleNamespace(parent=parent)
    module = SimpleNamespace(getcurrent=lambda: current, GreenletExit=Ended)
    monkeypatch.setitem(sys.modules, "greenlet", module)


@PLACES
@pytest.mark.anyio
async def test_cancellation_in_a_greenlet(
    place: Callable[[Load], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    The task's own reaches the call, wherever it comes.
    """
    run_as(monkeypatch, parent="that of the loop")
    await meet_a_cancellation()

    with pytest.raises(asyncio.CancelledError):
        place(raises(asyncio.CancelledError))


@PLACES
@pytest.mark.parametrize("is_met, parent", [(False, "that of the loop"), (True, None)])
@pytest.mark.anyio
async def test_own_cancellation_in_a_greenlet(
    place: Callable[[Load], str],
    is_met: bool,
    parent: object,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """
    One that is nobody's is a failure there too, as is any in code that no greenlet runs.
    """
    run_as(monkeypatch, parent=parent)
    if is_met:
        await meet_a_cancellation()

    assert place(raises(asyncio.CancelledError)) == "result"


@PLACES
def test_own_cancellation_in_a_greenlet_without_a_loop(
    place: Callable[[Load], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Where no task runs, none is cancelled.
    """
    run_as(monkeypatch, parent="another")

    assert place(raises(asyncio.CancelledError)) == "result"


@PLACES
def test_end_of_a_greenlet(
    place: Callable[[Load], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A greenlet that is ended ends, wherever it waits.
    """
    run_as(monkeypatch, parent="another")

    with pytest.raises(Ended):
        place(raises(Ended))


async def spawned(function: Callable[..., Any], *args: object) -> Any:
    """
    Run *function* in a greenlet, as ``sqlalchemy.util.greenlet_spawn`` does.
    """
    greenlet: Any = pytest.importorskip("greenlet")
    made = greenlet.greenlet(function)
    result = made.switch(*args)
    while not made.dead:
        try:
            value = await result
        except BaseException:
            result = made.throw(*sys.exc_info())
        else:
            result = made.switch(value)
    return result


@PLACES
@pytest.mark.anyio
async def test_time_limit_in_a_greenlet(place: Callable[[Load], str]) -> None:
    """
    What a real one waits for is stopped by a time limit, and what a handler has
    cancelled itself does not stop the call.
    """
    greenlet: Any = pytest.importorskip("greenlet")
    dropped = asyncio.get_running_loop().create_future()
    dropped.cancel()

    def waits_for(awaitables: list[Any]) -> Load:
        parent = greenlet.getcurrent().parent
        return lambda: awaitables and parent.switch(awaitables.pop())

    def work(*awaitables: Any) -> str:
        return place(waits_for(list(awaitables)))

    assert await spawned(work, dropped) == "result"
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await spawned(work, asyncio.sleep(60))
