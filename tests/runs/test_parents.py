"""
Parents: which run a run belongs to.
"""

from collections.abc import Awaitable, Callable
from contextvars import copy_context
from typing import Any

import anyio
import pytest

from instrument import callbacks, traced
from instrument.testing import Recorder

Called = Callable[..., Awaitable[Any]]

pytestmark = pytest.mark.anyio
both_backends = pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
every_mode = ("sync", "async", "generator", "async generator")


def leaf() -> None:
    """
    Make a run.
    """
    traced("leaf")(lambda: None)()


@both_backends
@pytest.mark.rule(11, *every_mode)
async def test_parent_is_ambient_run(called: Called) -> None:
    """
    A run's parent is the run in whose body it was called, blocks between or not.
    """
    recorder = Recorder()

    def body() -> None:
        with callbacks(Recorder()):
            leaf()

    with callbacks(recorder), traced("root") as root:
        await called(traced("x"), body)

    (run,), (child,) = recorder.find("x"), recorder.find("leaf")
    assert (run.parent_id, child.parent_id) == (root.id, run.id)
    assert {each.trace_id for each in recorder.runs} == {root.id}
    assert [each.depth for each in recorder.runs] == [0, 1, 2]


@pytest.mark.rule(11, *every_mode)
def test_ended_parents_are_skipped(called: Called) -> None:
    """
    What runs on after its parent belongs to the nearest run that is still open.
    """
    recorder = Recorder()

    with callbacks(recorder):
        with traced("root") as root:
            with traced("ended"):
                copied = copy_context()
            copied.run(anyio.run, called, traced("first"))
        copied.run(anyio.run, called, traced("second"))

    (first,), (second,) = recorder.find("first"), recorder.find("second")
    assert (first.parent_id, first.trace_id) == (root.id, root.id)
    assert (second.parent_id, second.depth, second.trace_id) == (None, 0, second.id)


@both_backends
@pytest.mark.rule(11, "generator", "async generator")
async def test_stream_keeps_ended_parent(mode: str) -> None:
    """
    A generator belongs to the run it was called in, also when that has ended.
    """
    recorder = Recorder()

    @traced("stream")
    def stream() -> Any:
        yield
        leaf()

    @traced("stream")
    async def astream() -> Any:
        yield
        leaf()

    with callbacks(recorder):
        with traced("request") as request:
            made: Any = stream() if mode == "generator" else astream()
        with traced("other"):
            if mode == "generator":
                list(made)
            else:
                assert [item async for item in made] == [None]

    (run,), (child,) = recorder.find("stream"), recorder.find("leaf")
    assert (run.parent_id, run.trace_id) == (request.id, request.id)
    assert (child.parent_id, child.trace_id) == (run.id, request.id)
