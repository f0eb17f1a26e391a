"""
Scope: who hears, in what order, and what runs inherit.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import anyio
import pytest

from instrument import BaseCallbackHandler, Event, callbacks, traced
from instrument.testing import Recorder

Called = Callable[..., Awaitable[Any]]

pytestmark = pytest.mark.anyio
both_backends = pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
every_mode = ("sync", "async", "generator", "async generator")


def names(recorder: Recorder) -> list[str]:
    """
    Give the names of the runs that it heard.
    """
    return [run.name for run in recorder.runs]


def leaf() -> None:
    """
    Make a run called leaf.
    """
    traced("leaf")(lambda: None)()


@both_backends
@pytest.mark.rule(1, *every_mode)
async def test_block_hears_all_below(called: Called) -> None:
    """
    A handler hears each run inside its block once, nested ones included.
    """
    recorder = Recorder()

    with callbacks(recorder):
        await called(traced("outer"), leaf)

    events = [(event.name, event.event) for event in recorder.events]
    assert events == [
        ("outer", "on_chain_start"),
        ("leaf", "on_chain_start"),
        ("leaf", "on_chain_end"),
        ("outer", "on_chain_end"),
    ]


@both_backends
@pytest.mark.rule(1, *every_mode)
async def test_order_is_order_entered(called: Called) -> None:
    """
    Process-wide handlers hear first, then blocks, constructors and calls as entered.
    """
    order: list[str] = []

    def hearing(name: str) -> Callable[[Event], None]:
        def hear(event: Event) -> None:
            if event.name == "inner":
                order.append(name)

        return hear

    def given(function: Any) -> Any:
        made = traced("inner", callbacks=[hearing("constructor")])(function)
        return partial(made, callbacks=[hearing("call")])

    with (
        callbacks(hearing("block")),
        callbacks(hearing("process")).install(),
        traced("outer", callbacks=[hearing("outer")]),
        callbacks(hearing("inside")),
    ):
        await called(given)

    once = ["process", "block", "outer", "inside", "constructor", "call"]
    assert order == once * 2


@both_backends
@pytest.mark.rule(1, *every_mode)
async def test_same_object_hears_once(called: Called) -> None:
    """
    A handler given by a block, a constructor and the process hears each event once.
    """
    recorder = Recorder()

    twice, process = callbacks(recorder, recorder), callbacks(recorder).install()
    with twice, process, callbacks(recorder):
        await called(traced("x", callbacks=[recorder]))

    assert len(recorder.events) == 2


@pytest.mark.rule(1, "sync")
def test_bound_method_hears_once() -> None:
    """
    A bound method, which is a new object at each look, counts as the same handler.
    """

    class Log:
        heard = 0

        def count(self, event: Event) -> None:
            self.heard += 1

    one, other = Log(), Log()

    with callbacks(one.count, one.count), callbacks(one.count, other.count):
        leaf()

    assert (one.heard, other.heard) == (2, 2)


@pytest.mark.rule(1, "sync")
def test_equal_handlers_hear_both() -> None:
    """
    Handlers that compare equal are still two: identity counts.
    """

    class Equal(Recorder):
        def __eq__(self, other: object) -> bool:
            return True

        __hash__ = None  # type: ignore[assignment]

    one, other = Equal(), Equal()

    with callbacks(one, other):
        leaf()

    assert len(one.runs) == len(other.runs) == 1


@pytest.mark.rule(1, "sync")
def test_constructor_below_cut_hears() -> None:
    """
    Where outer handlers are cut off, a constructor's own still hears its calls inside.
    """
    recorder, outer = Recorder(), Recorder()

    @traced("f", callbacks=[recorder])
    def function(again: bool) -> None:
        if again:
            with callbacks(inherit=False):
                function(again=False)

    with callbacks(outer):
        function(again=True)

    assert names(recorder) == ["f", "f"]
    assert names(outer) == ["f"]


@both_backends
@pytest.mark.rule(2, *every_mode)
async def test_outer_hears_after_block(called: Called) -> None:
    """
    After a block, also one left by an exception, only outer handlers hear.
    """
    outer, inner = Recorder(), Recorder()

    with callbacks(outer):
        with pytest.raises(ZeroDivisionError), callbacks(inner):
            await called(traced("inside"), lambda: 1 / 0)
        await called(traced("after"))

    assert names(outer) == ["inside", "after"]
    assert names(inner) == ["inside"]


@both_backends
@pytest.mark.rule(2, *every_mode)
async def test_concurrent_requests(called: Called) -> None:
    """
    Of two requests at once neither hears the other.
    """
    heard = {name: Recorder() for name in ("a", "b")}
    ready = {name: anyio.Event() for name in heard}

    async def request(name: str, other: str) -> None:
        async with callbacks(heard[name]):
            ready[name].set()
            await ready[other].wait()
            await called(traced(name), leaf)
            await anyio.lowlevel.checkpoint()
            await called(traced(name))

    async with anyio.create_task_group() as group:
        group.start_soon(request, "a", "b")
        group.start_soon(request, "b", "a")

    assert {name: names(it) for name, it in heard.items()} == {
        "a": ["a", "leaf", "a"],
        "b": ["b", "leaf", "b"],
    }


@pytest.mark.rule(2, "generator")
def test_interleaved_generators() -> None:
    """
    Generators of two requests, stepped in turns in one thread, do not mix.
    """
    heard = [Recorder(), Recorder()]

    @traced("stream")
    def stream() -> Any:
        for _ in range(3):
            leaf()
            yield

    streams = []
    for recorder in heard:
        with callbacks(recorder):
            streams.append(stream())
    for _ in zip(*streams, strict=True):
        leaf()

    assert [names(it) for it in heard] == [["stream", "leaf", "leaf", "leaf"]] * 2
    assert [len(it.roots) for it in heard] == [1, 1]


@pytest.mark.rule(1, "sync")
def test_handler_of_part_hears_part() -> None:
    """
    A handler with one method hears that event only, and needs no base class.
    """
    ended: list[object] = []

    class Ends:
        def on_chain_end(self, outputs: object, **_: object) -> None:
            ended.append(outputs)

    class Deaf(BaseCallbackHandler):
        pass

    with callbacks(Ends(), Deaf()):
        traced("x")(lambda: 7)()

    assert ended == [7]
