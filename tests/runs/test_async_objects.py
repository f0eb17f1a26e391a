"""
Objects that are called stay what they are to whoever looks, async ones async.
"""

import copy
import inspect
import pickle
import traceback
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import nullcontext
from functools import partial
from traceback import walk_tb
from typing import Any, get_type_hints
from unittest.mock import create_autospec

import pytest
from starlette._utils import is_async_callable
from starlette.background import BackgroundTask

from instrument import bind, callbacks, traced
from instrument._callables.body import drop_second
from instrument.testing import Recorder

pytestmark = pytest.mark.anyio

WAYS = [traced, traced.tool, callbacks(tags=["a"]), bind]


class Search:
    """
    An object that is called as a coroutine function.
    """

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def __call__(self, query: str) -> str:
        if not query:
            raise ValueError("nothing is asked")
        self.asked.append(query)
        return f"<{query}>"


async def test_call_that_does_not_fit() -> None:
    """
    A call of an object that does not take it raises Python's error, one level up.
    """
    with pytest.raises(TypeError, match="query") as raised:
        await traced(Search())()  # type: ignore[call-arg]

    names = [it.name for it in raised.traceback]
    assert names == ["test_call_that_does_not_fit", "__call__"]


def test_frames_dropped() -> None:
    """
    Only a frame that is there is dropped from a traceback.
    """
    with pytest.raises(LookupError) as raised:
        raise LookupError

    drop_second(raised.value)

    assert len([*walk_tb(raised.value.__traceback__)]) == 1


@pytest.mark.parametrize("decorate", WAYS, ids=range(len(WAYS)))
async def test_object_stays_async(decorate: Callable[[Any], Any]) -> None:
    """
    Its class's ``__call__`` is a coroutine function, and so Starlette awaits it: as a
    background task, copied, decorated twice, and with arguments bound.
    """
    search = Search()
    made = decorate(search)

    for each in (made, traced("twice")(made)):
        assert inspect.iscoroutinefunction(type(each).__call__)
        assert inspect.iscoroutinefunction(each.__call__)
        assert is_async_callable(each)
        assert is_async_callable(partial(each, "a"))
        assert isinstance(each, Search)
        assert await each("b") == "<b>"
    assert is_async_callable(copy.copy(made))
    await BackgroundTask(made, "c")()

    assert search.asked == ["b", "b", "c"]


async def test_object_is_heard() -> None:
    """
    Each call of it is one run.
    """
    recorder = Recorder()
    search = traced.tool(Search())

    with callbacks(recorder):
        await BackgroundTask(search, "a")()
        with pytest.raises(ValueError, match="nothing"):
            await search("")

    assert recorder.tree() == "tool Search: ok\ntool Search: error ValueError"
    assert recorder.runs[0].inputs == {"query": "a"}


@pytest.mark.parametrize("heard", [False, True])
@pytest.mark.parametrize("decorate", WAYS, ids=range(len(WAYS)))
async def test_traceback_of_object(
    decorate: Callable[[Any], Any], *, heard: bool
) -> None:
    """
    What it raises has one frame more in its traceback.
    """
    scope: Any = callbacks(Recorder()) if heard else nullcontext()
    with scope, pytest.raises(ValueError, match="nothing") as raised:
        await decorate(Search())("")

    frames = traceback.extract_tb(raised.value.__traceback__)
    assert len(frames) == 3
    assert frames[-1].filename == __file__


def test_object_that_is_not() -> None:
    """
    One whose ``__call__`` is a plain function stays that.
    """

    class Plain:
        def __call__(self) -> int:
            return 1

    made = traced(Plain())

    assert not inspect.iscoroutinefunction(type(made).__call__)
    assert made() == 1


@pytest.mark.parametrize("decorate", WAYS, ids=range(len(WAYS)))
@pytest.mark.parametrize("form", [Search, lambda: partial(Search.__call__, Search())])
def test_what_an_object_takes(
    decorate: Callable[[Any], Any], form: Callable[[], Any]
) -> None:
    """
    `inspect.getfullargspec`, which looks at nothing wrapped, sees what it takes too.
    """
    decorated = decorate(form())

    assert inspect.getfullargspec(decorated).args == ["query"]
    assert inspect.signature(decorated) == inspect.signature(form())


class Plain:
    """
    An object that is called.
    """

    def __call__(self, query: "str", *, limit: int = 3) -> "list[str]":
        return [query] * limit


class Pieces:
    """
    An object that is called as a generator function.
    """

    def __call__(self, query: "str") -> "Iterator[str]":
        yield query


class AsyncPieces:
    """
    The same for async code.
    """

    async def __call__(self, query: "str") -> "AsyncIterator[str]":
        yield query


@pytest.mark.parametrize("decorate", WAYS, ids=range(len(WAYS)))
@pytest.mark.parametrize("form", [Search, Plain, Pieces, AsyncPieces])
def test_what_its_call_is(
    decorate: Callable[[Any], Any], form: Callable[[], Any]
) -> None:
    """
    Asked for its ``__call__``, it gives what answers like the object's own, by which mocks
    and frameworks find what it takes.
    """
    plain, call = form().__call__, decorate(form()).__call__

    assert inspect.signature(call) == inspect.signature(plain)
    assert get_type_hints(call) == get_type_hints(plain)
    assert inspect.getsource(call) == inspect.getsource(plain)
    assert inspect.isgeneratorfunction(call) == inspect.isgeneratorfunction(plain)
    assert inspect.isasyncgenfunction(call) == inspect.isasyncgenfunction(plain)
    with pytest.raises(TypeError, match="too many positional arguments"):
        create_autospec(decorate(form()))("a", "b", "c")


class Annotated:
    """
    Has annotations of its own, and is called as a coroutine function.
    """

    def __init__(self) -> None:
        self.__annotations__ = {"query": str}

    async def __call__(self, query: str) -> None: ...

    @traced
    def stream(self, query: str) -> "Iterator[str]":
        yield query


@pytest.mark.parametrize(
    "made", [traced(Annotated()), traced(Pieces.__call__), Annotated().stream]
)
def test_its_class_is_asked_for_annotations(made: Any) -> None:
    """
    What is wrapped keeps its annotations when those of the wrapper's class are asked for,
    as `help` does.
    """
    annotations = made.__annotations__

    inspect.getmembers(type(made))

    assert annotations
    assert made.__annotations__ == annotations


def test_its_call_is_the_object_called() -> None:
    """
    What is called by way of ``__call__`` is heard as a call of the object.
    """
    recorder = Recorder()
    made = traced("search", kind="tool")(Plain())

    with callbacks(recorder):
        assert made.__call__("a", limit=1) == copy.copy(made).__call__("a", limit=1)
        assert pickle.loads(pickle.dumps(made.__call__))("b", limit=1) == ["b"]

    assert [run.name for run in recorder.runs] == ["search"] * 3
    assert recorder.runs[0].inputs == {"query": "a", "limit": 1}
