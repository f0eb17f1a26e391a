"""
What stands below a decorator of ours: other decorators, class methods, arguments.
"""

import functools
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import wrapt

from instrument import callbacks, traced
from instrument.testing import Recorder

pytestmark = pytest.mark.anyio

seen: list[str] = []


@wrapt.decorator
def other(wrapped: Any, instance: object, args: Any, kwargs: Any) -> Any:
    """
    Note who is called on whom, as any decorator of an application does.
    """
    seen.append(type(instance).__name__)
    return wrapped(*args, **kwargs)


def leaf() -> str:
    """
    Make a run.
    """
    return traced("leaf")(lambda: "done")()


class Owner:
    """
    Its methods have another decorator below ours.
    """

    @traced("sync")
    @other
    def sync(self, number: int) -> int:
        return number

    @traced("async")
    @other
    async def awaited(self, number: int) -> int:
        return number


@pytest.mark.rule(1, "sync", "async")
async def test_other_decorator_on_a_method(mode: str) -> None:
    """
    A method below another library's decorator is heard, and that decorator called.
    """
    recorder = Recorder()
    seen.clear()

    with callbacks(recorder):
        if mode == "sync":
            result = Owner().sync(1)
        else:
            result = await Owner().awaited(1)

    assert result == 1
    assert seen == ["Owner"]
    assert [(run.name, run.inputs, run.outputs) for run in recorder.runs] == [
        (mode, {"number": 1}, 1)
    ]


@pytest.mark.parametrize("kind", [classmethod, staticmethod])
@pytest.mark.rule(1, "sync")
def test_block_of_a_class_method(kind: Callable[..., Any]) -> None:
    """
    ``@callbacks`` takes class methods and static ones, and gives the same again.
    """
    recorder = Recorder()

    class Holder:
        in_block: Any = callbacks(recorder)(kind(lambda *args: leaf()))

    assert type(vars(Holder)["in_block"]) is kind
    assert (Holder.in_block(), Holder().in_block()) == ("done", "done")
    assert len(recorder.runs) == 2


@pytest.mark.rule(1, "sync", "async", "generator", "async generator")
async def test_first_argument_with_handlers(
    called: Callable[..., Awaitable[Any]],
) -> None:
    """
    An object's handlers hear its own methods, not functions that it is passed to.
    """
    of_function, of_object = Recorder(), Recorder()

    @traced
    class Passed:
        pass

    make: Any = Passed
    passed = make(callbacks=[of_object])
    await called(traced("x", callbacks=[of_function]), lambda it: None, passed)

    assert [run.name for run in of_function.runs] == ["x"]
    assert of_object.runs == []


def test_more_decorators_than_are_looked_behind() -> None:
    """
    What stands behind very many decorators is heard by its name.
    """
    recorder = Recorder()

    def below(function: Any) -> Any:
        @functools.wraps(function)
        def decorated(*args: Any) -> Any:
            return function(*args)

        return decorated

    function: Any = leaf
    for _ in range(30):
        function = below(function)
    with callbacks(recorder):
        assert traced(function)() == "done"

    assert [run.name for run in recorder.runs] == ["leaf", "leaf"]
