"""
Errors: told at each level they cross, and the caller gets what he would get anyway.
"""

import traceback
from collections.abc import Awaitable, Callable
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial
from typing import Any

import anyio
import pytest

from instrument import callbacks, current_run, traced
from instrument.testing import Recorder

Called = Callable[..., Awaitable[Any]]

pytestmark = pytest.mark.anyio
both_backends = pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
every_mode = ("sync", "async", "generator", "async generator")


@dataclass(frozen=True)
class FrozenError(Exception):
    """
    Refuses attributes.
    """

    code: int = 1


class SlottedError(Exception):
    """
    Compares equal to all, refuses attributes, and cannot be shown.
    """

    __slots__ = ("code",)

    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = None  # type: ignore[assignment]

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(name)

    def __str__(self) -> str:
        raise ValueError


def undecorated(function: Any) -> Any:
    """
    Do nothing.
    """
    return function


def following(function: Any) -> Any:
    """
    Make a plain function that returns what *function*, a generator's, gives.
    """

    def call() -> Any:
        return function()

    return call


@both_backends
@pytest.mark.rule(8, *every_mode)
@pytest.mark.parametrize("error", [ValueError, FrozenError, SlottedError])
async def test_error_crosses_levels(
    called: Called, error: Callable[[], Exception]
) -> None:
    """
    Each level tells the error, one is its origin, and the caller gets the same object.
    """
    recorder = Recorder()
    raised = error()

    @traced("inner")
    def fail() -> None:
        raise raised

    caught = pytest.raises(type(raised))
    with callbacks(recorder), caught as info, traced("block"):
        await called(traced("x"), fail)

    assert info.value is raised
    assert raised.__context__ is raised.__cause__ is None
    ends = recorder.events[3:]
    assert [(event.name, event.event) for event in ends] == [
        ("inner", "on_chain_error"),
        ("x", "on_chain_error"),
        ("block", "on_chain_error"),
    ]
    assert [event.data["origin"] for event in ends] == [True, False, False]
    inner, outer, block = recorder.runs[::-1]
    assert inner.error is outer.error is raised
    assert type(block.error) is type(raised)


@pytest.mark.rule(8, "sync")
def test_origin_in_two_traces() -> None:
    """
    One exception object that crosses two requests at once has one origin in each.
    """
    recorder = Recorder()
    raised = ValueError()

    @traced("inner")
    def fail() -> None:
        raise raised

    requests = [(copy_context(), traced("outer")) for _ in range(2)]
    with callbacks(recorder).install():
        for context, block in requests:
            context.run(block.__enter__)
        for context, _ in requests:
            with pytest.raises(ValueError):
                context.run(fail)
        for context, block in requests:
            context.run(block.__exit__, ValueError, raised, None)

    ends = [event for event in recorder.events if event.event == "on_chain_error"]
    origins = [(event.name, event.data["origin"]) for event in ends]
    assert origins == [("inner", True)] * 2 + [("outer", False)] * 2


def test_error_that_is_changed_on_its_way() -> None:
    """
    A run's error says what the exception did when the run ended, also where it is
    given another text or a note on its way.
    """
    recorder = Recorder()
    error = ValueError("first")

    @traced
    def inner() -> None:
        run = current_run()
        raise error from LookupError(run.kind)

    @traced
    def noted() -> None:
        run = current_run()
        try:
            inner()
        except ValueError as exc:
            exc.add_note(f"note of {run.kind}")
            raise

    @traced
    def worded() -> None:
        run = current_run()
        try:
            noted()
        except ValueError as exc:
            exc.args = (f"second of {run.kind}",)
            raise

    with callbacks(recorder), pytest.raises(ValueError, match="second"):
        worded()

    told = {run.name: run.error for run in recorder.runs}
    said = {name: (str(it), getattr(it, "__notes__", [])) for name, it in told.items()}
    note = ["note of chain"]
    assert said == {
        "inner": ("first", []),
        "noted": ("first", note),
        "worded": ("second of chain", note),
    }
    assert error not in told.values()


@pytest.mark.rule(8, *every_mode)
@pytest.mark.parametrize("levels", [1, 3])
@pytest.mark.parametrize("decorate", [traced("x"), callbacks(Recorder())])
async def test_traceback_grows_by_one(
    called: Called, decorate: Callable[[Any], Any], levels: int
) -> None:
    """
    A traceback is at most one frame longer for each level, whoever listens.
    """

    async def frames(decorate: Callable[[Any], Any]) -> int:
        def body() -> None:
            raise ZeroDivisionError

        for _ in range(levels - 1):
            body = decorate(partial(_calling, body))
        try:
            await called(decorate, body)
        except ZeroDivisionError as exc:
            return len(traceback.extract_tb(exc.__traceback__))
        return 0

    plain = await frames(undecorated)
    idle = await frames(decorate)
    with callbacks(Recorder()):
        heard = await frames(decorate)

    assert max(idle, heard) <= plain + levels


def _calling(function: Callable[[], None]) -> None:
    function()


@pytest.mark.rule(8, *every_mode)
@pytest.mark.parametrize("decorate", [traced("x"), callbacks(Recorder())])
@pytest.mark.parametrize(
    "args, kwargs", [((), {}), ((1, 2, 3), {}), ((1,), {"c": 1}), ((1,), {"a": 2})]
)
async def test_wrong_arguments(
    mode: str,
    decorate: Callable[[Any], Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> None:
    """
    Wrong arguments raise Python's own TypeError, heard or not, and leave no run open.
    """
    recorder = Recorder()

    def function(a: int, b: int = 0) -> int:
        return a + b

    async def coroutine(a: int, b: int = 0) -> int:
        return a + b

    def generator(a: int, b: int = 0) -> Any:
        yield a + b

    async def async_generator(a: int, b: int = 0) -> Any:
        yield a + b

    of_mode: dict[str, Any] = {
        "sync": function,
        "async": coroutine,
        "generator": generator,
        "async generator": async_generator,
    }
    plain = of_mode[mode]
    with pytest.raises(TypeError) as expected:
        plain(*args, **kwargs)

    for scope in (callbacks(), callbacks(recorder)):
        with scope, pytest.raises(TypeError) as caught:
            made = decorate(plain)(*args, **kwargs)
            if mode == "async":
                await made
        assert str(caught.value) == str(expected.value)

    assert {run.status for run in recorder.runs} <= {"error"}


@pytest.mark.rule(8, "sync")
def test_wrong_arguments_of_method() -> None:
    """
    A method called wrongly says what an undecorated one says.
    """

    class Plain:
        def method(self, a: int) -> None: ...

        @classmethod
        def of_class(cls, a: int) -> None: ...

        @staticmethod
        def static(a: int) -> None: ...

    class Traced:
        method = traced(vars(Plain)["method"])
        of_class = traced(vars(Plain)["of_class"])
        static = traced(vars(Plain)["static"])

    for name in ("method", "of_class", "static"):
        texts = []
        for owner in (Plain(), Traced()):
            with callbacks(Recorder()), pytest.raises(TypeError) as caught:
                getattr(owner, name)()
            texts.append(str(caught.value))
        assert texts[0] == texts[1]


@both_backends
@pytest.mark.rule(8, "async", "async generator")
async def test_cancelled_arrives_as_error(mode: str) -> None:
    """
    A cancelled run arrives as an error, with what a stream had yielded.
    """
    recorder = Recorder()

    async def waiting() -> None:
        scope.cancel()
        await anyio.sleep_forever()

    async def stream() -> Any:
        yield 1
        await waiting()

    with callbacks(recorder), anyio.CancelScope() as scope:
        if mode == "async":
            await traced("x")(waiting)()
        async for _ in traced("x")(stream)():
            pass

    (run,), end = recorder.runs, recorder.events[-1]
    assert (end.event, end.data["status"]) == ("on_chain_error", "cancelled")
    assert run.outputs == ([1] if mode == "async generator" else None)


@pytest.mark.rule(8, "generator", "async generator", "sync")
@pytest.mark.parametrize("kind", ["chain", "llm"])
async def test_abandoned_has_partial_output(mode: str, kind: str) -> None:
    """
    A stream closed early arrives as an abandoned error, with its partial output.
    """
    recorder = Recorder()

    def stream() -> Any:
        yield from "abc"

    async def astream() -> Any:
        for letter in "abc":
            yield letter

    decorate = traced("x", kind=kind)
    with callbacks(recorder):
        if mode == "async generator":
            made: Any = decorate(astream)()
            await anext(made)
            await made.aclose()
        else:
            made = decorate(stream if mode == "generator" else following(stream))()
            next(made)
            made.close()

    (run,), end = recorder.runs, recorder.events[-1]
    assert end.event == f"on_{kind}_error"
    assert (run.status, run.outputs) == (
        "abandoned",
        ["a"] if kind == "chain" else "a",
    )
