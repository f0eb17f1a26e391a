"""
At Python's recursion limit: every start has its end, also where no call has room.
"""

import asyncio
import gc
import inspect
import sys
import warnings
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextvars import copy_context
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest

from instrument import callbacks, traced
from instrument._runs.ending import owed, settle
from instrument._runs.opening import frameworks
from instrument._state import get_state

ROOM = 280
LEVELS = range(14)
FEW_LEVELS = range(0, 14, 3)
each_levels = pytest.mark.parametrize(
    "levels",
    [FEW_LEVELS, pytest.param(LEVELS, marks=pytest.mark.wide)],
    ids=["few", "all"],
)


@pytest.fixture(autouse=True)
def nothing_ignored_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    What Python swallows at a full stack (in a finalizer) goes to a function of C: one
    in Python, as the test runner's, would have no room either, and fail the test.
    """
    monkeypatch.setattr(sys, "unraisablehook", deque(maxlen=0).append)


@pytest.fixture(autouse=True, scope="module")
def collected() -> Iterator[None]:
    """
    Collect what was left in mid-step here, not in a later test.
    """
    yield
    with warnings.catch_warnings(action="ignore"):
        for _ in range(6):
            gc.collect()


class Told:
    """
    Notes starts and ends, as *digs* calls further down have room or not.
    """

    def __init__(self, digs: int = 0) -> None:
        self.digs = digs
        self.log: list[tuple[str, Any, Any]] = []

    def note(self, what: str, told: dict[str, Any]) -> None:
        dig(self.digs)
        self.log.append((what, told["run_id"], told["parent_run_id"]))

    def ids(self, what: str) -> list[Any]:
        return [run_id for told, run_id, _ in self.log if told == what]

    def is_in_order(self) -> bool:
        ends = self.ids("end")
        parents = {run_id: parent for told, run_id, parent in self.log}
        return all(
            parents[it] not in ends or ends.index(it) < ends.index(parents[it])
            for it in ends
        )


class Digging(Told):
    def on_chain_start(self, *_: object, **told: Any) -> None:
        self.note("start", told)

    def on_chain_end(self, *_: object, **told: Any) -> None:
        self.note("end", told)

    def on_chain_error(self, *_: object, **told: Any) -> None:
        self.note("end", told)


class Flat(Told):
    def on_chain_start(self, *_: object, **told: Any) -> None:
        self.log.append(("start", told["run_id"], told["parent_run_id"]))

    def on_chain_end(self, *_: object, **told: Any) -> None:
        self.log.append(("end", told["run_id"], told["parent_run_id"]))

    def on_chain_error(self, *_: object, **told: Any) -> None:
        self.log.append(("end", told["run_id"], told["parent_run_id"]))


class Late(Flat):
    """
    Starts take no room, ends do.
    """

    def on_chain_end(self, *_: object, **told: Any) -> None:
        self.note("end", told)


class Awaited(Told):
    """
    Is async; starts take no room, ends do.
    """

    async def on_chain_start(self, *_: object, **told: Any) -> None:
        self.log.append(("start", told["run_id"], told["parent_run_id"]))

    async def on_chain_end(self, *_: object, **told: Any) -> None:
        self.note("end", told)

    async def on_chain_error(self, *_: object, **told: Any) -> None:
        self.note("end", told)


class AwaitedRecords(Awaited):
    """
    The same by records of the starts.
    """

    on_chain_start = None  # type: ignore[assignment]

    async def on_event(self, event: Any, run: Any) -> None:
        if event.event == "on_chain_start":
            self.log.append(("start", run.id, run.parent_id))


class AwaitedDigging(Told):
    """
    Is async, and takes room at a start as well.
    """

    async def on_chain_start(self, *_: object, **told: Any) -> None:
        self.note("start", told)

    async def on_chain_end(self, *_: object, **told: Any) -> None:
        self.note("end", told)

    on_chain_error = on_chain_end


def of_all_kinds(cls: type[Any]) -> type[Any]:
    """
    Have a class hear runs of all kinds as it hears chains.
    """
    made = type(f"{cls.__name__}OfAll", (cls,), {})
    for kind in ("tool", "retriever", "llm", "embedding"):
        for event in ("start", "end", "error"):
            setattr(made, f"on_{kind}_{event}", getattr(cls, f"on_chain_{event}"))
    made.on_chat_model_start = cls.on_chain_start  # type: ignore[attr-defined]
    return made


def endless() -> None:
    endless()


def dig(levels: int) -> None:
    if levels:
        dig(levels - 1)


@traced("x")
def function() -> None:
    function()


@traced("x", kind="tool")
def tool() -> None:
    function_and_tool()


@traced("x")
def function_and_tool() -> None:
    tool()


@traced("x")
async def coroutine() -> None:
    await coroutine()


@traced("x")
def generator() -> Iterator[int]:
    yield from generator()


@traced("x")
async def async_generator() -> AsyncIterator[int]:
    async for item in async_generator():
        yield item


@traced("x")
def returned_generator() -> Iterator[int]:
    return untraced_generator()


def untraced_generator() -> Iterator[int]:
    yield from returned_generator()


@traced("x")
def generator_expression() -> Iterator[int]:
    return (item for _ in (0,) for item in generator_expression())


@traced("x")
def returned_by_another() -> Iterator[int]:
    @traced("x")
    def another() -> Iterator[int]:
        return untraced_by_another()

    return another()


def untraced_by_another() -> Iterator[int]:
    yield from returned_by_another()


@traced("x")
def returned_coroutine() -> Coroutine[Any, Any, None]:
    return untraced_coroutine()


async def untraced_coroutine() -> None:
    await returned_coroutine()


def block() -> None:
    with traced("x"):
        block()


async def async_block() -> None:
    async with traced("x"):
        await async_block()


@callbacks(tags=["t"])
@traced("x")
def scoped() -> None:
    scoped()


@traced("x")
def given() -> None:
    given(callbacks=[Flat()])  # type: ignore[call-arg]


@traced("x")
def catching() -> str:
    try:
        return catching()
    except RecursionError:
        return "deep"


@traced("x")
async def catching_coroutine() -> str:
    try:
        return await catching_coroutine()
    except RecursionError:
        return "deep"


@traced("x")
def changing() -> None:
    try:
        changing()
    except RecursionError as exc:
        raise ValueError from exc


@traced("x")
async def changing_coroutine() -> None:
    try:
        await changing_coroutine()
    except RecursionError as exc:
        raise ValueError from exc


@traced("x")
def leaf() -> None:
    pass


def leaves() -> None:
    leaf()
    leaves()


def stepped(made: Coroutine[Any, Any, object]) -> None:
    with pytest.raises(StopIteration):
        made.send(None)
    made.close()


async def drained() -> None:
    async for _ in async_generator():
        pass


async def async_leaves() -> None:
    await async_leaf()
    await async_leaves()


@traced("x", kind="tool")
async def tool_coroutine() -> None:
    await coroutine_and_tool()


@traced("x")
async def coroutine_and_tool() -> None:
    await tool_coroutine()


@traced("x")
async def async_leaf() -> None:
    pass


ASYNC_WAYS: dict[str, Callable[[], Coroutine[Any, Any, object]]] = {
    "coroutine": coroutine,
    "async generator": drained,
    "async block": async_block,
    "returned coroutine": returned_coroutine,
    "caught": catching_coroutine,
    "changed": changing_coroutine,
    "leaves": async_leaves,
    "two kinds": coroutine_and_tool,
}

WAYS: dict[str, Callable[[], object]] = {
    "function": function,
    "coroutine": lambda: coroutine().send(None),
    "generator": lambda: list(generator()),
    "async generator": lambda: drained().send(None),
    "block": block,
    "async block": lambda: async_block().send(None),
    "returned generator": lambda: list(returned_generator()),
    "generator expression": lambda: list(generator_expression()),
    "returned by another": lambda: list(returned_by_another()),
    "returned coroutine": lambda: returned_coroutine().send(None),
    "scoped": scoped,
    "given": given,
    "caught": catching,
    "caught, async": lambda: stepped(catching_coroutine()),
    "changed": changing,
    "changed, async": lambda: changing_coroutine().send(None),
    "leaves": leaves,
    "two kinds": function_and_tool,
}


def depth() -> int:
    frame: Any = sys._getframe()
    count = 0
    while frame is not None:
        frame, count = frame.f_back, count + 1
    return count


def deeper(levels: int, way: Callable[[], object]) -> None:
    if levels:
        deeper(levels - 1, way)
    else:
        way()


def with_little_room(
    levels: int, way: Callable[[], object], room: int = ROOM
) -> BaseException | None:
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(depth() + room)
    try:
        deeper(levels, way)
    except (RecursionError, ValueError) as exc:
        return exc.with_traceback(None)
    finally:
        sys.setrecursionlimit(limit)
    return None


def heard(
    handlers: list[Any], levels: int, way: Callable[[], object], room: int = ROOM
) -> None:
    with callbacks(*handlers):
        before = get_state()
        with_little_room(levels, way, room)
        assert get_state() is before
    assert not owed
    assert not frameworks


@pytest.mark.rule(7, "sync")
@pytest.mark.parametrize("way", WAYS)
@each_levels
def test_each_start_has_one_end(way: str, levels: range) -> None:
    """
    Wherever in our code or a handler's the stack is full, what has heard a start hears
    one end, inner before outer, and nobody hears the end of what it heard no start of.
    """
    for level in levels:
        handlers = [Flat(), Digging(4), Flat()]
        copy_context().run(heard, handlers, level, WAYS[way])
        for handler in handlers[::2]:
            assert sorted(handler.ids("start")) == sorted(handler.ids("end"))
            assert handler.is_in_order()


async def awaited(levels: int, way: Callable[[], Coroutine[Any, Any, object]]) -> None:
    if levels:
        await awaited(levels - 1, way)
    else:
        await way()


async def aheard(
    handlers: list[Any], levels: int, way: Callable[[], Coroutine[Any, Any, object]]
) -> None:
    limit = sys.getrecursionlimit()
    async with callbacks(*handlers):
        before = get_state()
        sys.setrecursionlimit(depth() + ROOM)
        try:
            await awaited(levels, way)
        except (RecursionError, ValueError) as exc:
            exc.with_traceback(None)
        finally:
            sys.setrecursionlimit(limit)
        assert get_state() is before
    assert not owed
    assert not frameworks


each_made = pytest.mark.parametrize(
    "made, levels",
    [
        (Awaited, FEW_LEVELS),
        pytest.param(Awaited, LEVELS, marks=pytest.mark.wide),
        pytest.param(AwaitedRecords, LEVELS, marks=pytest.mark.wide),
    ],
)


@pytest.mark.rule(7, "async")
@pytest.mark.parametrize("way", ASYNC_WAYS)
@each_made
@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
def test_each_start_has_one_end_for_async_handlers(
    way: str, made: type[Awaited], levels: range
) -> None:
    """
    Async handlers too hear one end for each start, inner before outer, and no end of
    what they heard no start of: what there is no room to await is queued when there is.
    """
    for level in levels:
        handlers = [Flat(), made(), made(6), Flat()]
        asyncio.run(aheard(handlers, level, ASYNC_WAYS[way]))
        for handler in handlers:
            assert sorted(handler.ids("start")) == sorted(handler.ids("end"))
            assert handler.is_in_order()


@pytest.mark.rule(7, "sync")
@pytest.mark.parametrize("way", WAYS)
@each_made
@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
def test_each_start_has_one_end_for_async_handlers_without_a_loop(
    way: str, made: type[Awaited], levels: range
) -> None:
    """
    So do async handlers where no loop runs: the background loop serves them.
    """
    for level in levels:
        handlers = [Flat(), made(), made(6), Flat()]
        copy_context().run(heard, handlers, level, WAYS[way])
        for handler in handlers:
            assert sorted(handler.ids("start")) == sorted(handler.ids("end"))
            assert handler.is_in_order()


def opened(kind: str) -> None:
    with traced("x", kind=kind):
        pass


@pytest.mark.rule(7, "sync")
@pytest.mark.parametrize(
    "kind", ["tool", "retriever", "llm", "chat_model", "embedding"]
)
def test_each_start_has_one_end_whatever_room_there_is(kind: str) -> None:
    """
    However little room there is for a run of any kind, its start has one end.
    """

    @traced("x", kind=kind)
    def call(text: str) -> str:
        return text

    flat, digging = of_all_kinds(Flat), of_all_kinds(Digging)
    for room in range(14, 90):
        for way in (partial(call, "q"), partial(opened, kind)):
            handlers = [flat(), digging(room % 5), flat()]
            copy_context().run(heard, handlers, 0, way, room)
            for handler in handlers[::2]:
                assert handler.ids("start") == handler.ids("end")


@pytest.mark.rule(7, "async")
@pytest.mark.parametrize("way", ASYNC_WAYS)
@each_levels
@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
def test_each_start_has_one_end_beside_a_start_without_room(
    way: str, levels: range
) -> None:
    """
    So do those beside an async handler that has no room at a start.
    """
    for level in levels:
        handlers = [Flat(), AwaitedDigging(4), Flat()]
        asyncio.run(aheard(handlers, level, ASYNC_WAYS[way]))
        for handler in handlers[::2]:
            assert sorted(handler.ids("start")) == sorted(handler.ids("end"))
            assert handler.is_in_order()


@pytest.mark.rule(7, "sync")
@pytest.mark.parametrize("way", ["leaves", "caught", "caught, async", "scoped"])
def test_ends_that_need_room(way: str) -> None:
    """
    A handler that has no room to hear an end hears it where there is.
    """
    for levels in LEVELS:
        handler = Late(10)
        copy_context().run(heard, [handler], levels, WAYS[way])
        assert sorted(handler.ids("start")) == sorted(handler.ids("end"))


def made() -> Any:
    """
    Make a run that has started, and is in no variable's hand any more.
    """
    with traced("x") as run:
        return run


@pytest.mark.rule(7)
def test_what_is_owed_stays_owed_until_it_can_be_told() -> None:
    """
    Of what is owed the ends of what is below a run are told before its own; what is being
    told just then is left alone, and what has been told is forgotten.
    """
    with callbacks(Flat()), traced("x") as above:
        below = made()
        ended, told, elsewhere = made(), made(), made()
    try:
        owed.update({ended: RecursionError(), elsewhere: RecursionError(), told: None})
        settle(below)
        assert [*owed] == [ended, elsewhere, told]
        settle(above)
        assert [*owed] == [told]
    finally:
        owed.clear()


@pytest.mark.rule(7)
def test_what_there_is_no_room_for_stays_owed() -> None:
    """
    However little room there is to tell what is owed, it is told or stays owed.
    """
    heard, was_owed = Flat(), 0

    for room in range(12 if sys.version_info < (3, 12) else 5, 60):
        with callbacks(heard), traced("x") as above:
            below = made()
            below._ended_ns = None  # as if its end had met a full stack
            owed[below] = RecursionError()
            with_little_room(0, partial(settle, above), room)
            was_owed += below in owed
            settle(above)
        assert not owed
        assert heard.ids("end").count(below.id) == 2

    assert was_owed


def in_c() -> Any:
    """
    Make a handler's method that is written in C, and writes what its run is told with.
    """
    made: Any = partial("{metadata!r}".format)
    made.__signature__ = inspect.signature(lambda *args, **kwargs: None)
    return made


def without_end() -> Any:
    """
    Make one that calls itself without end.
    """
    return lambda *args, **kwargs: endless()


@pytest.mark.rule(7, "sync")
@pytest.mark.parametrize("kind", ["chain", "tool", "llm", "chat_model"])
@pytest.mark.parametrize("is_block", [False, True])
@pytest.mark.parametrize("method", [in_c, without_end])
def test_handler_that_meets_the_limit_itself(
    kind: str, is_block: bool, method: Callable[[], Any], reports: list[str]
) -> None:
    """
    What a handler raises that fills the stack itself, also one written in C, which writes
    what is nested too deep, is its own failure: the call goes on, and the others hear
    each event once.
    """
    nested: list[Any] = []
    for _ in range(200_000):
        nested = [nested]
    heard = [of_all_kinds(Flat)() for _ in range(2)]
    handler = SimpleNamespace()
    setattr(handler, f"on_{kind}_start", method())
    made = traced("x", kind=kind, metadata={"nested": nested})

    with callbacks(heard[0]), callbacks(handler), callbacks(heard[1]):
        if is_block:
            with made:
                pass
        else:
            assert made(lambda given: "done")("q") == "done"

    assert not owed
    for each in heard:
        assert [what for what, _, _ in each.log] == ["start", "end"]
    assert "RecursionError" in reports[0]


@pytest.mark.parametrize("way", WAYS)
def test_what_reaches_the_caller(way: str) -> None:
    """
    The caller gets Python's own error, or what the program makes of it.
    """
    with callbacks(Flat(), Late(10)):
        raised = with_little_room(0, WAYS[way])
    if way.startswith("caught"):
        assert raised is None
    elif way.startswith("changed"):
        assert type(raised) is ValueError
    else:
        assert type(raised) is RecursionError
        assert "maximum recursion depth" in str(raised)


def test_told_before_the_next_run() -> None:
    """
    Where no block is left, what is owed is told before the next run begins.
    """
    handler = Late(10)
    scope = callbacks(handler).install()
    try:
        with_little_room(0, leaves)
        assert owed
        told = len(handler.log)
        leaf()
        assert not owed
        assert {what for what, _, _ in handler.log[told:-2]} == {"end"}
        assert sorted(handler.ids("start")) == sorted(handler.ids("end"))
    finally:
        scope.uninstall()


def test_a_recursion_of_the_handlers_own(reports: Any) -> None:
    """
    A handler that recurses without end has failed, which is reported; the call goes on.
    """

    class Endless(Flat):
        def on_chain_end(self, *_: object, **told: Any) -> None:
            endless()

    handler = Endless()
    with callbacks(handler):
        leaf()
        leaf()
    assert not owed
    assert len(handler.ids("start")) == 2
    assert "on_chain_end" in str(reports)
