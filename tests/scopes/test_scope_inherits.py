"""
What runs inherit, and that blocks and runs leave nothing behind.
"""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from instrument import callbacks, current_run, traced
from instrument.testing import Recorder

Called = Callable[..., Awaitable[Any]]

pytestmark = pytest.mark.anyio
both_backends = pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
every_mode = ("sync", "async", "generator", "async generator")


@both_backends
@pytest.mark.rule(5, *every_mode)
async def test_tags_are_united(called: Called) -> None:
    """
    Tags of blocks, runs and the run itself add up, outer first, each once.
    """
    recorder = Recorder()

    with (
        callbacks(recorder, tags=["a", "b"]),
        traced("outer", tags=["b", "c"]),
        callbacks(tags=["a", "d"]),
    ):
        await called(traced("x", tags=["e", "c"]))

    (run,) = recorder.find("x")
    assert run.tags == ("a", "b", "c", "d", "e")
    told = [event.tags for event in recorder.events if event.name == "x"]
    assert told == [["a", "b", "c", "d", "e"]] * 2


@both_backends
@pytest.mark.rule(5, *every_mode)
async def test_metadata_is_layered(called: Called) -> None:
    """
    A block's metadata win over constructors', and the inner of two blocks wins.
    """
    recorder = Recorder()

    given = traced("x", metadata={"own": 2, "won": "constructor"})
    outer = {"block": 1, "both": "outer", "won": "block"}
    with callbacks(recorder, metadata=outer), callbacks(metadata={"both": "inner"}):
        await called(given)

    expected = {"own": 2, "block": 1, "both": "inner", "won": "block"}
    assert [event.metadata for event in recorder.events] == [expected] * 2


@pytest.mark.rule(5, "sync")
def test_metadata_of_call_wins() -> None:
    """
    What is given for one run wins over its blocks and constructors.
    """
    recorder = Recorder()

    given = {"k": "block", "b": 1}
    with callbacks(recorder, metadata=given), traced("x", metadata={"k": "call"}):
        pass

    assert recorder.runs[0].metadata == {"k": "call", "b": 1}


@pytest.mark.rule(5, "sync")
def test_process_wide_tags_and_metadata() -> None:
    """
    What a process-wide scope gives is inherited as a block's is, outermost.
    """
    recorder = Recorder()

    process = callbacks(recorder, tags=["p"], metadata={"k": 1, "p": 1})
    with process.install(), callbacks(tags=["b"], metadata={"k": 2}):
        traced("x", tags=["x"])(lambda: None)()

    assert recorder.runs[0].tags == ("p", "b", "x")
    assert recorder.runs[0].metadata == {"k": 2, "p": 1}


@both_backends
@pytest.mark.rule(5, *every_mode)
async def test_end_carries_what_was_added(called: Called) -> None:
    """
    Tags and metadata that a run adds are on its end event and on later children.
    """
    recorder = Recorder()

    def body() -> None:
        traced("before")(lambda: None)()
        with callbacks(tags=["block"]):
            current_run().add_tags("new")
            current_run().add_metadata(k=1)
            traced("after")(lambda: None)()

    with callbacks(recorder, tags=["a"]):
        await called(traced("x"), body)

    start, end = (event for event in recorder.events if event.name == "x")
    assert (start.tags, start.metadata) == (["a"], {})
    assert (end.tags, end.metadata) == (["a", "new"], {"k": 1})
    assert recorder.find("before")[0].tags == ("a",)
    assert set(recorder.find("after")[0].tags) == {"a", "new", "block"}
    assert recorder.find("after")[0].metadata == {"k": 1}


@pytest.mark.rule(5, "sync")
def test_name_is_own() -> None:
    """
    A child has the name of its own function, in the order of a call, never a parent's.
    """
    recorder = Recorder()

    @traced
    def child() -> None: ...

    with callbacks(recorder), traced("parent"):
        child()

    assert [run.name for run in recorder.runs] == ["parent", "child"]
