"""
What a decorator does to plain callables: what is kept of them, and what a call costs.
"""

import asyncio
import copy
import functools
import gc
import inspect
import pickle
import traceback
import weakref
from collections.abc import Awaitable, Callable, Hashable, Iterator
from contextlib import contextmanager, suppress

from tests.benchmarks.checking import Adapter, Table

CALLS = Table()


def add(x: int, y: int = 2) -> int:
    """Add them."""
    return x + y


@CALLS.row("a call returns", right=3)
def returns(a: Adapter) -> object:
    return a.decorate(add)(1)


@CALLS.row("with parentheses, @d()", right=3)
def parentheses(a: Adapter) -> object:
    return a.called()(add)(1)


@CALLS.row(
    "kept: name, docstring, signature; unwraps to the function",
    right=("add", "Add them.", "(x: int, y: int = 2) -> int", True),
)
def kept(a: Adapter) -> object:
    it = a.decorate(add)
    signature = str(inspect.signature(it))
    return it.__name__, it.__doc__, signature, inspect.unwrap(it) is add


@CALLS.row("type; isfunction; isroutine", right=("function", True, True))
def kind(a: Adapter) -> object:
    it = a.decorate(add)
    return type(it).__name__, inspect.isfunction(it), inspect.isroutine(it)


@CALLS.row("pickles by reference", right=True)
def pickles(a: Adapter) -> object:
    with placed(a) as it:
        return pickle.loads(pickle.dumps(it)) is it


@CALLS.row("deepcopy works", right=3)
def deepcopies(a: Adapter) -> object:
    return copy.deepcopy(a.decorate(add))(1)


@CALLS.row("iscoroutinefunction; awaits", right=(True, 1))
async def coroutine(a: Adapter) -> object:
    @a.decorate
    async def one() -> int:
        return 1

    return inspect.iscoroutinefunction(one), await one()


@CALLS.row(
    "exception: the same object, its traceback one frame longer at most",
    right=(True, True),
)
def exception(a: Adapter) -> object:
    given = LookupError("mine")

    @a.decorate
    def fail() -> None:
        raise given

    caught = _raised_by(fail)
    return caught is given, len(traceback.extract_tb(caught.__traceback__)) - 2 <= 1


@CALLS.row("method, property; classmethod and staticmethod below", right=(True,) * 4)
def methods(a: Adapter) -> object:
    class Thing:
        @a.decorate
        def method(self, x: int) -> tuple[object, int]:
            return self, x

        @property
        @a.decorate
        def seven(self) -> int:
            return 7

        @classmethod
        @a.decorate
        def of_class(cls) -> type:
            return cls

        @staticmethod
        @a.decorate
        def free(x: int) -> int:
            return x

    it = Thing()
    return (
        it.method(1) == (it, 1),
        it.seven == 7,
        Thing.of_class() is Thing,
        Thing.free(3) == 3,
    )


@CALLS.row("classmethod and staticmethod decorated from above", right=(True, True))
def descriptors(a: Adapter) -> object:
    class Thing:
        @a.decorate
        @classmethod
        def of_class(cls) -> type:
            return cls

        @a.decorate
        @staticmethod
        def free(x: int) -> int:
            return x

    return Thing.of_class() is Thing, Thing.free(3) == 3


@CALLS.row("a class: is one still, and makes objects of itself", right=(True, True, 1))
def classes(a: Adapter) -> object:
    @a.decorate
    class Thing:
        def __init__(self, value: int) -> None:
            self.value = value

    made = Thing(1)
    return inspect.isclass(Thing), isinstance(made, Thing), made.value


@CALLS.row("partial; lambda; callable object; builtin", right=(3, 1, 1, 1))
def callables(a: Adapter) -> object:
    class Same:
        def __call__(self, x: int) -> int:
            return x

    same: Callable[[int], int] = lambda x: x  # noqa: E731 - a lambda is the point
    return (
        a.decorate(functools.partial(add, 1))(2),
        a.decorate(same)(1),
        a.decorate(Same())(1),
        a.decorate(len)([1]),
    )


@CALLS.row(
    "a plain function's coroutine is awaited inside the run", True, sees_runs=True
)
async def returned_coroutine(a: Adapter) -> object:
    async def inner() -> Hashable | None:
        return a.current()

    @a.decorate
    def plain() -> Awaitable[Hashable | None]:
        return inner()

    outer = a.current()
    return await plain() not in (None, outer)


@CALLS.row("arguments are let go after the call", right=True)
def arguments_freed(a: Adapter) -> object:
    class Big:
        pass

    @a.decorate
    def take(x: Big) -> None: ...

    given = Big()
    seen = weakref.ref(given)
    take(given)
    del given
    gc.collect()
    return seen() is None


@CALLS.row("repr() of arguments is not called", right=(1, 0))
def argument_repr(a: Adapter) -> object:
    calls = []

    class Odd:
        def __repr__(self) -> str:
            calls.append(1)
            raise RuntimeError

    @a.decorate
    def take(x: Odd) -> int:
        return 1

    return take(Odd()), len(calls)


@CALLS.row(
    "wrong arguments: Python's own TypeError",
    right="add() takes from 1 to 2 positional arguments but 3 were given",
)
def wrong_arguments(a: Adapter) -> object:
    it: Callable[..., int] = a.decorate(add)
    return str(_raised_by(lambda: it(1, 2, 3)))


@CALLS.row("KeyboardInterrupt and CancelledError pass, runs ended", 2, sees_runs=True)
def interrupted(a: Adapter) -> object:
    @a.decorate
    def fail(kind: type[BaseException]) -> None:
        raise kind

    def use() -> None:
        for kind in (KeyboardInterrupt, asyncio.CancelledError):
            with suppress(kind):
                fail(kind)

    outer = a.current()
    count = a.runs_of(use)
    assert a.current() == outer
    return count


@CALLS.row("decorated twice: runs a call", 1, sees_runs=True)
def decorated_twice(a: Adapter) -> object:
    return a.runs_of(lambda: a.decorate(a.decorate(add))(1))


@CALLS.row("a nested call takes one frame more at most", right=True)
def frames(a: Adapter) -> object:
    depths: list[int] = []

    @a.decorate
    def descend(levels: int) -> None:
        if levels:
            descend(levels - 1)
        else:
            depths.append(len(inspect.stack(0)))

    descend(0)
    descend(10)
    return (depths[1] - depths[0]) / 10 - 1 <= 1


@contextmanager
def placed(a: Adapter) -> Iterator[Callable[..., int]]:
    """
    Put the decorated function where its name says it is, as the syntax would.
    """
    bare = add
    globals()["add"] = a.decorate(bare)
    try:
        yield add
    finally:
        globals()["add"] = bare


def _raised_by(function: Callable[[], object]) -> BaseException:
    try:
        function()
    except Exception as exc:
        return exc
    raise AssertionError("nothing was raised")
