"""
Objects whose ``__call__`` is async stay so to whoever looks.
"""

import copy
import inspect
import traceback
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import Any

import pytest
from starlette._utils import is_async_callable
from starlette.background import BackgroundTask

from instrument import bind, callbacks, traced
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
