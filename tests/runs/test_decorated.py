"""
What is decorated stays what it is: methods, partials, objects; copied, pickled, shipped.
"""

import builtins
import copy
import inspect
import os
import pickle
import subprocess
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any
from unittest.mock import MagicMock

import cloudpickle
import pytest

from instrument import bind, callbacks, traced
from instrument.testing import Recorder

Called = Callable[..., Awaitable[Any]]

pytestmark = pytest.mark.anyio
every_mode = ("sync", "async", "generator", "async generator")
each_decorator = pytest.mark.parametrize(
    "decorate",
    [traced("x"), callbacks(Recorder()), bind],
    ids=["traced", "callbacks", "bind"],
)

Decorate = Callable[[Any], Any]


def names(recorder: Recorder) -> list[str]:
    """
    Give the names of the runs that it heard.
    """
    return [run.name for run in recorder.runs]


@traced
def at_module(a: int) -> int:
    """
    Stay importable.
    """
    return a


@traced
def generator_at_module(a: int) -> Any:
    """
    Stay importable.
    """
    yield a


class Holder:
    """
    Has a method of each kind.
    """

    @traced
    def method(self, a: int) -> Any:
        return a

    @traced
    def stream(self, a: int) -> Any:
        yield a

    @traced
    @classmethod
    def of_class(cls, a: int) -> Any:
        return a

    @classmethod
    @traced
    def of_class_below(cls, a: int) -> Any:
        return a

    @traced
    @staticmethod
    def static(a: int) -> Any:
        return a

    @staticmethod
    @traced
    def static_below(a: int) -> Any:
        return a


@pytest.mark.rule(1, "sync", "generator")
@pytest.mark.parametrize("owner", [Holder, Holder()], ids=["class", "object"])
@pytest.mark.parametrize(
    "name", ["of_class", "of_class_below", "static", "static_below", "method", "stream"]
)
def test_methods(owner: Any, name: str) -> None:
    """
    A method is heard once, under its name, with its arguments and without `self`.
    """
    recorder = Recorder()
    given = (1,)
    if owner is Holder and name in ("method", "stream"):
        given = (Holder(), 1)  # type: ignore[assignment]

    with callbacks(recorder):
        result = getattr(owner, name)(*given)
        result = list(result) if name == "stream" else [result]

    assert result == [1]
    assert names(recorder) == [f"Holder.{name}"]
    assert recorder.runs[0].inputs == {"a": 1}


@each_decorator
@pytest.mark.rule(1, *every_mode)
async def test_callables(called: Called, decorate: Decorate) -> None:
    """
    Partials, callable objects and builtins give what they give undecorated.
    """
    recorder = Recorder()

    def counted() -> int:
        traced("leaf")(lambda: None)()
        return 1

    class Callable_:  # noqa: N801 - shadows nothing
        def __call__(self, *args: int) -> int:
            return counted()

    with callbacks(recorder):
        expected = await called(_itself, counted)
        assert await called(decorate, counted) == expected
        assert await called(lambda it: decorate(partial(it)), counted) == expected
        assert await called(lambda it: decorate(_object(it)), counted) == expected
        assert decorate(Callable_())() == 1
        assert decorate(len)("abc") == 3
        assert decorate(partial(int, base=2))("11") == 3


def _itself(function: Any) -> Any:
    return function


def _object(function: Any) -> Any:
    class Object:
        def __call__(self, *args: Any) -> Any:
            return function(*args)

    return Object()


@pytest.mark.rule(1, *every_mode)
async def test_decorated_twice(called: Called) -> None:
    """
    Decorated twice there is one run: the outer options win, and tags add up.
    """
    recorder = Recorder()

    with callbacks(recorder):
        inner, outer = traced.tool("inner", tags=["a"]), traced("outer", tags=["b"])
        await called(lambda function: outer(inner(function)))

    (run,) = recorder.runs
    assert (run.name, run.kind, run.tags) == ("outer", "tool", ("a", "b"))


@pytest.mark.rule(1, "sync")
def test_signatures() -> None:
    """
    Arguments are recorded by name, whatever the signature, and passed on untouched.
    """
    recorder = Recorder()

    def positional(a: int, /, b: int = 2, *rest: int, c: int = 3, **more: int) -> Any:
        return a, b, rest, c, more

    def keywords(self: int, cls: int = 0, args: int = 1, kwargs: int = 2) -> Any:
        return self, cls, args, kwargs

    def mutable(kept: list[int] = []) -> Any:  # noqa: B006
        kept.append(1)
        return kept

    with callbacks(recorder):
        assert traced(positional)(1, 2, 4, c=5, a=6) == positional(1, 2, 4, c=5, a=6)
        assert traced(keywords)(self=1, cls=2) == keywords(self=1, cls=2)
        decorated = traced(mutable)
        assert decorated() is decorated()

    assert [run.inputs for run in recorder.runs] == [
        {"a": 1, "b": 2, "rest": (4,), "c": 5, "more": {"a": 6}},
        {"self": 1, "cls": 2, "args": 1, "kwargs": 2},
        {"kept": []},
        {"kept": [1]},
    ]


@pytest.mark.rule(1, "sync", "generator")
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickle(protocol: int) -> None:
    """
    Functions and methods pickle by reference, as undecorated ones do.
    """
    for function in (at_module, generator_at_module, Holder.static):
        assert pickle.loads(pickle.dumps(function, protocol)) is function
    bound: Any = pickle.loads(pickle.dumps(Holder().method, protocol))
    assert bound(1) == 1
    stream: Any = pickle.loads(pickle.dumps(Holder().stream, protocol))
    assert list(stream(1)) == [1]


@pytest.mark.rule(1, "sync", "generator")
@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
def test_copy(copied: Callable[[Any], Any]) -> None:
    """
    A copied function is the function; a copied object keeps its methods.
    """
    assert copied(at_module) is at_module
    assert copied(generator_at_module) is generator_at_module
    assert copied(Holder()).method(1) == 1
    assert list(copied(Holder()).stream(1)) == [1]
    part = copied(traced(partial(at_module, 1)))
    assert part() == 1


@each_decorator
@pytest.mark.rule(1, *every_mode)
@pytest.mark.filterwarnings("ignore:.* was never entered:RuntimeWarning")
async def test_shipped_by_value(called: Called, decorate: Decorate, mode: str) -> None:
    """
    A local function goes through cloudpickle, is heard there, and carries no handler.
    """
    recorder = Recorder()

    def shipped(function: Any) -> Any:
        return pickle.loads(cloudpickle.dumps(decorate(function)))

    with callbacks(recorder):
        assert await called(shipped, _double, 2) in (4, [4])

    is_traced = isinstance(decorate, type(traced("x")))
    heard = [run.inputs for run in recorder.runs]
    assert heard == ([{"args": (2,)}] if is_traced else [])


def _double(number: int) -> int:
    return 2 * number


size = traced(len)


def test_shipped_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Through cloudpickle too, what another program finds by its name goes by that, and what
    it does not find goes by value.
    """
    recorder = Recorder()

    with callbacks(recorder):
        assert pickle.loads(cloudpickle.dumps(size))("ab") == 2
        monkeypatch.setattr(builtins, "len", size)
        assert pickle.loads(cloudpickle.dumps(size)) is size
        monkeypatch.undo()

    assert names(recorder) == ["len"]


def test_signature_that_there_is_none_of() -> None:
    """
    An object of which Python knows no signature has none decorated either.
    """
    made: Any = traced(partial(dict))

    with pytest.raises(ValueError, match="no signature"):
        inspect.signature(made)
    assert made(a=1) == {"a": 1}


@pytest.mark.rule(5, "sync")
def test_class_takes_handlers() -> None:
    """
    Objects of a traced class, a dataclass or a subclass too, have handlers of their own.
    """
    heard = [Recorder(), Recorder()]

    @traced
    @dataclass
    class Chain:
        name: str = "n"

        @traced
        def run(self) -> str:
            return self.name

    class Child(Chain):
        def __init__(self, name: str) -> None:
            super().__init__(name)

    make: Any = Chain
    make_child: Any = Child
    objects = [
        make("a", callbacks=[heard[0]], tags=["t"]),
        make_child("b", callbacks=heard[1]),
    ]

    assert [each.run() for each in objects] == ["a", "b"]
    assert make("plain").run() == "plain"
    assert [len(each.runs) for each in heard] == [1, 1]
    assert heard[0].runs[0].tags == ("t",)
    assert str(inspect.signature(Chain)) == "(name: str = 'n') -> None"


@pytest.mark.rule(5, "sync")
def test_slots() -> None:
    """
    A class whose slots leave no place for handlers is refused when it is decorated.
    """

    class Closed:
        __slots__ = ("a",)

    @traced
    class Open:
        __slots__ = ("__dict__",)

    with pytest.raises(TypeError, match="__slots__"):
        traced(Closed)
    make: Any = Open
    assert make(callbacks=[Recorder()])


def test_repr() -> None:
    """
    An object, a generator function and its method say of themselves what they did.
    """

    class Answer:
        def __call__(self) -> str:
            return "answer"

        def stream(self) -> Any:
            yield "answer"

        def __repr__(self) -> str:
            return "Answer()"

    class Traced(Answer):
        stream = traced(Answer.stream)

    made, owner = Answer(), Traced()

    assert repr(traced("answer")(made)) == "Answer()"
    assert repr(traced(Answer.stream)) == repr(Answer.stream)
    assert (
        repr(owner.stream)
        == "<bound method test_repr.<locals>.Answer.stream of Answer()>"
    )


def test_inputs_of_a_bound_method() -> None:
    """
    What a bound method is called with is told by name, like any function's arguments.
    """

    class Search:
        def find(self, query: str, limit: int = 3) -> None: ...

        @classmethod
        def find_all(cls, query: str) -> Any:
            yield query

    recorder = Recorder()
    with callbacks(recorder):
        traced(Search().find)("a", limit=2)
        traced(Search().find)(query="b")
        list(traced(Search.find_all)("c"))

    assert [run.inputs for run in recorder.runs] == [
        {"query": "a", "limit": 2},
        {"query": "b", "limit": 3},
        {"query": "c"},
    ]


@traced
class Twice:
    """
    Methods of every kind that are traced.
    """

    @traced(tags=["inner"])
    def plain(self, a: int = 1) -> Any:
        return self, a

    @traced(tags=["inner"])
    async def coroutine(self, a: int = 1) -> Any:
        return self, a

    @traced(tags=["inner"])
    def generator(self, a: int = 1) -> Any:
        yield self, a

    @traced(tags=["inner"])
    async def async_generator(self, a: int = 1) -> Any:
        yield self, a

    @traced(tags=["inner"])
    @classmethod
    def of_class(cls, a: int = 1) -> Any:
        return cls, a


async def result_of(called: Any) -> Any:
    """
    Give what a call of any of these comes to.
    """
    if inspect.isawaitable(called):
        return await called
    if inspect.isgenerator(called):
        return next(called)
    return await anext(called) if inspect.isasyncgen(called) else called


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize(
    "name", ["plain", "coroutine", "generator", "async_generator", "of_class"]
)
async def test_method_of_an_object_decorated_twice(name: str, times: int) -> None:
    """
    A traced method, taken from its object and traced again, is that object's, is one
    run, and is heard by the object's own handlers.
    """
    own, recorder = Recorder(), Recorder()
    thing = Twice(callbacks=[own])  # type: ignore[call-arg]
    owner: Any = Twice if name == "of_class" else thing
    method = getattr(thing, name)
    for _ in range(times):
        method = traced("again", tags=["outer"])(method)

    assert await result_of(method(2)) == (owner, 2)
    with callbacks(recorder):
        assert await result_of(method(a=3)) == (owner, 3)

    assert inspect.signature(method) == inspect.signature(getattr(thing, name))
    assert [run.name for run in recorder.runs] == ["again"]
    assert recorder.runs[0].inputs == {"a": 3}
    assert {*recorder.runs[0].tags} == {"inner", "outer"}
    assert len(own.runs) == (0 if name == "of_class" else 2)


class Kept:
    """
    An object whose methods are decorated later.
    """

    def __init__(self, size: int = 3) -> None:
        self.size = size

    def bare(self, a: int) -> Any:
        return self.size, a

    @traced(tags=["inner"])
    def itself(self, a: int) -> Any:
        return self.size, a


@pytest.mark.parametrize("name", ["bare", "itself"])
@pytest.mark.parametrize(
    "copied",
    [lambda it: pickle.loads(pickle.dumps(it)), copy.copy, copy.deepcopy],
    ids=["pickle", "copy", "deepcopy"],
)
@each_decorator
def test_method_of_an_object_copied(
    name: str, copied: Callable[[Any], Any], decorate: Decorate
) -> None:
    """
    A decorated method of an object is pickled and copied as the method is: with it.
    """
    recorder = Recorder()

    again = copied(decorate(getattr(Kept(4), name)))
    with callbacks(recorder):
        result = again(2)

    assert result == (4, 2)
    assert names(recorder) in ([], ["x"], ["Kept.itself"])


@each_decorator
def test_mock(decorate: Decorate) -> None:
    """
    A mock, which has every attribute, is decorated like any object.
    """
    assert decorate(MagicMock(return_value=1))() == 1
    assert traced(MagicMock(return_value=2))() == 2


PLAIN = """
from inspect import getmembers
from instrument import callbacks, traced
from instrument.testing import Recorder

class Doubles:
    def __call__(self, x: int) -> int:
        return 2 * x

@traced
def each(x: int):
    yield x

heard, doubles = Recorder(), traced(Doubles())
getmembers(type(each))
with callbacks(heard):
    print(doubles(1), doubles.__call__(2), list(each(3)), each.__annotations__)
print([run.name for run in heard.runs])
"""


@pytest.mark.parametrize("disabled", ["", "true"])
def test_without_the_extension_of_wrapt(disabled: str) -> None:
    """
    Objects and generator functions are decorated also where wrapt is Python alone.
    """
    env = {**os.environ, "WRAPT_DISABLE_EXTENSIONS": disabled}
    printed = subprocess.check_output(
        [sys.executable, "-c", PLAIN], env=env, text=True, timeout=60
    )

    assert printed.splitlines() == [
        "2 4 [3] {'x': <class 'int'>}",
        "['Doubles', 'Doubles', 'each']",
    ]
