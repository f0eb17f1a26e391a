"""
Leaving blocks: out of order, twice, from a thread, a task, a copy or the collector; one
object in many places at once, one Context for many tasks.
"""

import _thread
import asyncio
import gc
import os
import sys
import threading
import types
from collections.abc import Awaitable, Callable, Generator, Iterator
from contextlib import ExitStack
from contextvars import Context, copy_context
from itertools import permutations
from typing import Any

import anyio
import pytest

from instrument import (
    BaseCallbackHandler,
    callbacks,
    current_run,
    emit,
    traced,
)
from instrument._audience.plan import Layer, Plan
from instrument._scopes import scope as scopes
from instrument._state import PROCESS, chain, get_state
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


def leaf(name: str = "leaf") -> None:
    """
    Make a run.
    """
    traced(name)(lambda: None)()


def leave(block: Any, exc: BaseException | None = None) -> None:
    """
    Leave a block as ``with`` does.
    """
    block.__exit__(exc and type(exc), exc, None)


def lines_of_chains(act: Callable[[], object]) -> int:
    """
    Count the lines that *act* executes where chains and plans are put together.
    """
    files = {it.__code__.co_filename for it in (chain, Plan.without)}
    lines = 0

    def counting(*_: object) -> Any:
        nonlocal lines
        lines += 1
        return counting

    tracing = sys.gettrace()
    sys.settrace(
        lambda frame, *_: counting if frame.f_code.co_filename in files else None
    )
    try:
        act()
    finally:
        sys.settrace(tracing)
    return lines


def in_thread(function: Callable[..., object], *args: object) -> None:
    """
    Call a function in a thread, whose Context is empty.
    """
    thread = threading.Thread(target=function, args=args)
    thread.start()
    thread.join()


@pytest.mark.rule(3, *every_mode)
def test_copies_hear_on(called: Called) -> None:
    """
    Left where it was entered, a block is still heard in copies of its Context.
    """
    recorder = Recorder()
    before = get_state()

    with callbacks(recorder):
        copied = copy_context()
    copied.run(anyio.run, called, traced("later"), leaf)
    leaf("outside")

    assert names(recorder) == ["later", "leaf"]
    assert get_state() is before


@pytest.mark.rule(3, *every_mode)
def test_left_elsewhere_is_closed(called: Called) -> None:
    """
    Left from a thread, a block is closed at once in every copy of its Context.
    """
    recorder, outer = Recorder(), Recorder()
    block = callbacks(recorder)

    with callbacks(outer):
        entered = copy_context()
        entered.run(block.__enter__)
        copied = entered.copy()
        in_thread(leave, block)
    entered.run(leaf)
    copied.run(anyio.run, called, traced("later"))

    assert names(recorder) == []
    assert names(outer) == ["leaf", "later"]


@both_backends
@pytest.mark.rule(3, "async")
async def test_background_task_hears_on() -> None:
    """
    A task that was started inside a block is heard after the block.
    """
    recorder = Recorder()
    left = anyio.Event()

    async def background() -> None:
        await left.wait()
        leaf()

    async with anyio.create_task_group() as group:
        async with callbacks(recorder):
            group.start_soon(background)
            await anyio.lowlevel.checkpoint()
        left.set()
        leaf("outside")

    assert names(recorder) == ["leaf"]


@both_backends
@pytest.mark.rule(3, "async")
async def test_task_leaves_block_of_another() -> None:
    """
    A block that a child task leaves is closed for the task that entered it, too.
    """
    recorder = Recorder()
    block = callbacks(recorder)

    async def child() -> None:
        leave(block)
        leaf("child")

    block.__enter__()
    async with anyio.create_task_group() as group:
        group.start_soon(child)
    leaf("parent")
    leave(block)

    assert names(recorder) == []


@pytest.mark.rule(3, "sync")
@pytest.mark.parametrize("order", list(permutations("abr")))
def test_leaving_out_of_order(order: tuple[str, ...]) -> None:
    """
    Two blocks and a run may be left in any order: who remains hears.
    """
    before = get_state()
    heard = {"a": Recorder(), "b": Recorder(), "last": Recorder()}
    with callbacks(heard["last"]):
        inside = get_state()
        opened: dict[str, Any] = {
            "a": callbacks(heard["a"]),
            "r": traced("r"),
            "b": callbacks(heard["b"]),
        }
        for each in opened.values():
            each.__enter__()

        for number, name in enumerate(order):
            leave(opened.pop(name))
            leaf(str(number))
            for other in ("a", "b"):
                is_heard = str(number) in names(heard[other])
                assert is_heard == (other in opened)
            assert current_run().name == ("r" if "r" in opened else "none")

        assert get_state() is inside
    assert get_state() is before
    assert names(heard["last"]) == ["r", "0", "1", "2"]


@pytest.mark.rule(3, *every_mode)
async def test_left_twice(called: Called) -> None:
    """
    A block left twice, or never entered, raises nothing and leaves others alone.
    """
    recorder = Recorder()
    block = callbacks(Recorder())

    def body() -> None:
        block.__enter__()
        leave(block)
        leave(block)
        leave(callbacks(Recorder()))
        leave(traced("never"))

    with callbacks(recorder):
        await called(traced("x"), body)
        leaf()

    assert names(recorder) == ["x", "leaf"]


@pytest.mark.rule(3, "generator")
@pytest.mark.parametrize("how", ["close", "collect", "in a cycle"])
def test_block_in_dropped_generator(how: str) -> None:
    """
    A block inside a plain generator is left when that is closed or collected elsewhere.
    """
    recorder = Recorder()

    def stream() -> Any:
        with callbacks(recorder):
            yield

    made: list[Any] = [stream()]
    entered = copy_context()
    entered.run(next, made[0])
    if how == "close":
        in_thread(made[0].close)
    if how == "in a cycle":
        made.append(made)
    del made
    in_thread(gc.collect)
    entered.run(leaf)

    assert names(recorder) == []


@pytest.mark.rule(3, "sync", "generator")
@pytest.mark.parametrize("where", ["thread", "copy", "Context"])
def test_traced_block_ended_elsewhere(where: str) -> None:
    """
    A run that is ended elsewhere does not cut its surroundings off: their blocks are
    left as usual, and copies hear on.
    """
    recorder = Recorder()
    before = get_state()

    def stream() -> Any:
        with traced("x"):
            yield

    with callbacks(recorder):
        generator = stream()
        next(generator)
        copied = copy_context()
        if where == "thread":
            in_thread(generator.close)
        else:
            (copy_context() if where == "copy" else Context()).run(generator.close)
        assert not current_run()
        leaf("inside")
    leaf("outside")
    copied.run(leaf, "copy")

    assert get_state() is before
    assert names(recorder) == ["x", "inside", "copy"]


@pytest.mark.rule(3, "sync")
def test_left_under_run_copies_hear_on() -> None:
    """
    A block left inside a run is left here only: copies taken before hear on.
    """
    recorder, outer = Recorder(), Recorder()
    block = callbacks(recorder)

    with callbacks(outer):
        block.__enter__()
        with traced("x"):
            copied = copy_context()
            leave(block)
            leaf("here")
            copied.run(leaf, "copy")

    assert names(recorder) == ["x", "copy"]
    assert names(outer) == ["x", "here", "copy"]


@pytest.mark.rule(3, "sync")
def test_constructor_is_deaf_after_its_run() -> None:
    """
    A block that outlives the run it was entered in does not keep that run's handlers.
    """
    recorder, constructor = Recorder(), Recorder()
    block = callbacks(recorder)

    with traced("a", callbacks=[constructor], tags=["a"]):
        block.__enter__()
    leaf()
    leave(block)

    assert names(constructor) == ["a"]
    assert [(run.name, run.tags) for run in recorder.runs] == [("leaf", ())]


@pytest.mark.rule(3, "sync")
@pytest.mark.parametrize("twice", ["here", "copy", "thread"])
def test_run_left_twice(twice: str) -> None:
    """
    A run left a second time, from wherever, raises nothing and ends once.
    """
    recorder = Recorder()
    run = traced("x")

    with callbacks(recorder):
        inside = get_state()
        run.__enter__()
        copied = copy_context()
        leave(run)
        if twice == "thread":
            in_thread(leave, run)
        else:
            (copied if twice == "copy" else copy_context()).run(leave, run)
        assert get_state() is inside
        copied.run(leaf)

    assert [event.name for event in recorder.events] == ["x", "x", "leaf", "leaf"]


@pytest.mark.rule(3, "sync")
def test_reused_object_nests() -> None:
    """
    One object entered again inside itself is left as often as it was entered.
    """
    recorder = Recorder()
    before = get_state()
    block = callbacks(recorder, tags=["t"])

    with block, ExitStack() as stack:
        stack.enter_context(block)
        leaf("1")
        stack.close()
        leaf("2")
    leaf("3")

    assert names(recorder) == ["1", "2"]
    assert get_state() is before


@pytest.mark.rule(3, "sync", "generator")
@pytest.mark.parametrize("is_first", [True, False])
def test_reused_object_leaves_its_own(*, is_first: bool) -> None:
    """
    A generator that leaves an object entered in two Contexts leaves its own entry.
    """
    recorder = Recorder()
    block = callbacks(recorder)

    def stream() -> Any:
        with block:
            yield

    generator = stream()
    elsewhere = Context()
    if is_first:
        elsewhere.run(next, generator)
    with block:
        if not is_first:
            elsewhere.run(next, generator)
        generator.close()
        leaf("here")
        elsewhere.run(leaf, "there")
    leaf("after")

    assert names(recorder) == ["here"]


@pytest.mark.rule(7, "sync", "generator")
def test_reused_run_ends_its_own() -> None:
    """
    A generator that ends a traced block entered in two Contexts ends its own run.
    """
    recorder = Recorder()
    block = traced("block")

    def stream() -> Any:
        with block as run:
            yield run

    with callbacks(recorder):
        generator = stream()
        run = copy_context().run(next, generator)
        with block as other:
            generator.close()
            assert (run.status, other.status) == ("abandoned", "running")

    assert [each.status for each in recorder.runs] == ["abandoned", "ok"]


@pytest.mark.rule(3, "async", "async generator")
async def test_reused_object_leaves_its_own_async() -> None:
    """
    So does an async generator that another task closes.
    """
    recorder = Recorder()
    block = callbacks(recorder)

    async def stream() -> Any:
        async with block:
            yield

    generator = stream()
    elsewhere = Context()
    loop = asyncio.get_running_loop()
    await loop.create_task(anext(generator), context=elsewhere)
    async with block:
        await generator.aclose()
        leaf("here")
        elsewhere.run(leaf, "there")

    assert names(recorder) == ["here"]


@pytest.mark.rule(3, "sync")
def test_block_entered_by_the_interpreter() -> None:
    """
    A block may be entered where no Python function stands above, as a thread's body.
    """
    block = callbacks(Recorder())

    _thread.start_new_thread(block.__enter__, ())
    while not block._open:
        os.sched_yield()
    leave(block)

    assert not block._open


@pytest.mark.rule(3, "sync")
@pytest.mark.parametrize("make", [callbacks, lambda: traced("x")])
def test_one_object_in_many_threads(make: Callable[[], Any]) -> None:
    """
    One object may be entered and left by many threads at once, and keeps no entry.
    """
    shared = make()
    errors: list[BaseException] = []

    def work() -> None:
        try:
            with callbacks(on_text=lambda text: None):
                for _ in range(1_000):
                    with shared:
                        pass
        except BaseException as exc:
            errors.append(exc)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)

    assert errors == []
    assert shared._open == {}


@pytest.mark.rule(3, "async")
async def test_shared_context_of_tasks() -> None:
    """
    Two tasks that share one Context leave it as they found it.
    """
    recorder = Recorder()
    shared = copy_context()
    before = shared.run(get_state)
    steps = [asyncio.Event(), asyncio.Event()]

    @traced("x")
    async def work(mine: int, other: int) -> None:
        async with callbacks(recorder):
            steps[mine].set()
            await steps[other].wait()
            leaf()

    loop = asyncio.get_running_loop()
    tasks = [
        loop.create_task(work(0, 1), context=shared),
        loop.create_task(work(1, 0), context=shared),
    ]
    await asyncio.gather(*tasks)

    assert shared.run(get_state) is before
    assert names(recorder).count("leaf") == 2
    assert {run.status for run in recorder.runs} == {"ok"}


class Looked(dict[int, Any]):
    """
    Counts the entries that are looked at.
    """

    looks = 0

    def values(self) -> Any:
        for entry in super().values():
            Looked.looks += 1
            yield entry


@pytest.mark.rule(1, "sync")
@pytest.mark.parametrize("make", [callbacks, traced])
async def test_shared_object_is_left_at_once(make: Any) -> None:
    """
    To leave an object where it was entered looks at none of its other entries.
    """

    block = traced("shared") if make is traced else callbacks(Recorder())
    block._open = Looked()
    Looked.looks = 0
    leave = asyncio.Event()

    async def request() -> None:
        async with block:
            await leave.wait()

    with callbacks(Recorder()):
        tasks = [asyncio.create_task(request()) for _ in range(10)]
        await asyncio.sleep(0)
        assert len(block._open) == 10
        leave.set()
        await asyncio.gather(*tasks)

    assert len(block._open) == 0
    assert Looked.looks == 0


@types.coroutine
def suspended() -> Iterator[None]:
    """
    Wait for the next step.
    """
    yield


@pytest.mark.parametrize("make", [callbacks, traced])
@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("is_reversed", [False, True])
def test_shared_object_is_left_elsewhere(
    make: Any, *, is_async: bool, is_reversed: bool
) -> None:
    """
    An object that is entered many times at once, and left from other Contexts, closes
    what was entered there; it looks at each of its entries once, and keeps none.
    """
    recorder = Recorder()
    block = traced("shared") if make is traced else callbacks(recorder)
    block._open = Looked()
    Looked.looks = 0
    count = 500

    async def request(number: int) -> None:
        if is_async:
            async with block as entered:
                emit(f"in {number}")
                await suspended()
                left.append((number, entered))
        else:
            with block as entered:
                emit(f"in {number}")
                await suspended()
                left.append((number, entered))

    left: list[tuple[int, Any]] = []
    with callbacks(recorder):
        requests = [request(number) for number in range(count)]
        contexts = [copy_context() for _ in requests]
        for context, each in zip(contexts, requests, strict=True):
            context.run(each.send, None)
        late = request(count)
        order = [*reversed(requests)] if is_reversed else requests
        for number, each in enumerate(order):
            with pytest.raises(StopIteration):
                Context().run(each.send, None)
            entered = left[-1][1]
            assert entered.closed if make is callbacks else entered.status == "ok"
            if number == 0:  # one more, now that they are known by their places
                copy_context().run(late.send, None)
        with pytest.raises(StopIteration):
            Context().run(late.send, None)

    assert len(left) == count + 1
    assert len(block._open) == 0
    assert block._places is None
    assert Looked.looks <= count + 1


@pytest.mark.parametrize("make", [callbacks, traced])
def test_entered_by_another_for_us(make: Any) -> None:
    """
    What an `ExitStack` has entered many times, each within the last, it leaves without
    a look at all that is open each time.
    """
    block = traced("shared") if make is traced else callbacks(Recorder())
    stepped = 0

    def count(frame: Any, event: str, _: object) -> None:
        nonlocal stepped
        stepped += event == "call" and frame.f_code is chain.__code__

    with callbacks(Recorder()):
        stack = ExitStack()
        for _ in range(200):
            stack.enter_context(block)
        before = sys.getprofile()
        sys.setprofile(count)
        stack.close()
        sys.setprofile(before)

    assert len(block._open) == 0
    assert block._places is None
    assert stepped < 5 * 200


def test_entered_where_no_place_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    What the interpreter itself has entered is left as the last that was.
    """
    recorder = Recorder()
    shared = callbacks(recorder)

    def nowhere(depth: int) -> None:
        raise ValueError

    monkeypatch.setattr(scopes, "_getframe", nowhere)
    first, second = copy_context(), copy_context()
    first.run(shared.__enter__)
    second.run(shared.__enter__)

    shared.__exit__(None, None, None)
    second.run(emit, "after")
    first.run(emit, "before")
    shared.__exit__(None, None, None)
    first.run(emit, "after")

    assert [event.data["name"] for event in recorder.events] == ["before"]
    assert not shared._open


def test_block_given_to_a_block() -> None:
    """
    A ``callbacks`` object is no handler: it is refused with the cure, nothing silent.
    """
    block: Any = callbacks(Recorder())

    with pytest.raises(TypeError, match=r"not another callbacks.*with outer, inner"):
        callbacks(block)


def test_decorator_without_handlers() -> None:
    """
    ``@callbacks`` without its parentheses is refused at the first call, with the cure.
    """

    @callbacks
    def answer(*args: Any) -> None: ...

    given: list[tuple[Any, ...]] = [(), ("question",)]
    for args in given:
        with pytest.raises(TypeError, match=r"Write @callbacks\(handler\)"):
            answer(*args)


def test_coroutine_closed_inside() -> None:
    """
    A coroutine that is closed inside a block has its handlers flushed, without a wait.
    """

    class Flushes:
        flushed = 0

        def on_chain_start(self, *_: object, **__: object) -> None: ...

        def flush(self) -> None:
            self.flushed += 1

    class Waits:
        def __await__(self) -> Generator[None, None, None]:
            yield

    async def main() -> None:
        async with callbacks(handler):
            await Waits()

    handler = Flushes()
    running = main()
    running.send(None)
    running.close()

    assert handler.flushed == 1


def test_many_installed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    To install an object, or to undo that, looks at none of the others.
    """
    looks: list[object] = []

    def is_same(layer: Layer, other: object) -> bool:
        looks.append(layer)
        return layer is other

    monkeypatch.setattr(Layer, "__hash__", object.__hash__)
    monkeypatch.setattr(Layer, "__eq__", is_same)
    scopes = [callbacks(Recorder()) for _ in range(50)]

    for scope in scopes:
        scope.install()
    for scope in reversed(scopes):
        scope.uninstall()

    assert not looks
    assert not PROCESS


@pytest.mark.parametrize("kind", ["blocks", "runs", "runs with handlers", "both"])
def test_growth_of_leaving_out_of_order(kind: str) -> None:
    """
    Each of some blocks, left first in, first out, is left in as many steps as there are
    blocks above it, however many have been left so before.
    """
    makers: dict[str, list[Callable[[], Any]]] = {
        "blocks": [lambda: callbacks(lambda event: None)],
        "runs": [lambda: traced("x")],
        "runs with handlers": [lambda: traced("x", callbacks=[lambda event: None])],
    }
    makers["both"] = [*makers["blocks"], *makers["runs"]]

    def steps(count: int) -> int:
        with callbacks(lambda event: None):
            blocks = [make() for make in makers[kind] * (count // len(makers[kind]))]
            for block in blocks:
                block.__enter__()
            half = count // 2
            for block in blocks[:half]:
                leave(block)
            taken = lines_of_chains(lambda: leave(blocks[half]))
            for block in reversed(blocks[half + 1 :]):
                leave(block)
        return taken

    few, more, most = steps(20), steps(40), steps(60)

    assert few < more
    assert most - more == more - few


def test_uninstall_that_is_interrupted() -> None:
    """
    An interrupt as the handlers are flushed leaves nothing installed.
    """
    recorder = Recorder()

    class Interrupted(BaseCallbackHandler):
        def flush(self) -> None:
            raise KeyboardInterrupt

    installed = callbacks(Interrupted(), recorder).install()
    with pytest.raises(KeyboardInterrupt):
        installed.uninstall()
    traced("x")(len)("")

    assert recorder.runs == []
