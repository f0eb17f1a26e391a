"""
``callbacks(hidden=False)``: runs that are marked as plumbing are left out of the tree.
"""

from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("langchain_core")

from langchain_core.runnables import Runnable, RunnableLambda

from instrument import callbacks, current_run, traced
from instrument.testing import Recorder

pytestmark = pytest.mark.usefixtures("langchain")

HIDDEN = "langsmith:hidden"
STEP = {"langgraph_step": 1}


def chain(name: str, body: Callable[[Any], Any] = str) -> "Runnable[Any, Any]":
    """
    Make a chain of one function.
    """
    return RunnableLambda(body, name=name)


def app(seen: list[str]) -> "Runnable[Any, Any]":
    """
    Make a chain in which plumbing stands between two others.
    """

    def write(value: Any) -> Any:
        seen.append(current_run().name)
        chain("below").invoke(value, {"callbacks": []})
        return traced("own")(chain("deep").invoke)(value)

    plumbing = chain("_write", write)
    return chain("top", lambda value: plumbing.invoke(value, {"tags": [HIDDEN]}))


def test_shown_by_default(whole: Callable[..., None]) -> None:
    """
    Plumbing is shown under its name, with the tag that marks it.
    """
    seen, recorder = list[str](), Recorder()

    with callbacks(recorder):
        app(seen).invoke(1)

    whole(recorder)
    assert [run.name for run in recorder.runs] == [
        "top",
        "_write",
        "below",
        "own",
        "deep",
    ]
    assert HIDDEN in recorder.find("_write")[0].tags
    assert seen == ["_write"]


def test_left_out(whole: Callable[..., None]) -> None:
    """
    With ``hidden=False`` it is left out, and what it calls hangs on the nearest shown;
    chains below it inherit the tag, and are left out as well.
    """
    seen, recorder = list[str](), Recorder()

    with callbacks(recorder, hidden=False):
        app(seen).invoke(1)

    whole(recorder)
    assert recorder.tree() == "chain top: ok\n  chain own: ok"
    assert seen == ["top"]


@pytest.mark.parametrize("name", ["__start__", "ChannelWrite<a,b>", "_write", "_read"])
def test_known_by_name(name: str, whole: Callable[..., None]) -> None:
    """
    LangGraph's own steps are left out in versions that did not tag them.
    """
    recorder = Recorder()
    plumbing = chain(name, lambda value: chain("below").invoke(value))

    with callbacks(recorder, hidden=False):
        chain("top", plumbing.invoke).invoke(1, {"metadata": STEP})

    whole(recorder)
    assert recorder.tree() == "chain top: ok\n  chain below: ok"


def test_at_the_root(whole: Callable[..., None]) -> None:
    """
    Below plumbing that nobody called, each call is a tree.
    """
    recorder = Recorder()

    def body(value: Any) -> None:
        chain("one").invoke(value)
        chain("two").invoke(value)

    with callbacks(recorder, hidden=False):
        chain("_write", body).invoke(1, {"metadata": STEP})

    whole(recorder, roots=2)
    assert recorder.tree() == "chain one: ok\nchain two: ok"
