"""
What is held twice at each of many levels, which Python's own texts write twice at each:
it is told in a moment, and no text of any length is worked on whole.
"""

import argparse
import array
import builtins
import collections
import contextlib
import contextvars
import functools
import io
import itertools
import operator
import types
from collections.abc import Callable
from typing import Any

import pytest
from loguru import logger

from instrument import BaseCallbackHandler, _text, callbacks, traced
from instrument._interrupts import is_of_call
from instrument._payloads.jsonable import encoded, repr_of, text_of
from instrument._payloads.names import Names
from instrument._text import is_short, safe_repr, safe_str
from instrument.handlers import (
    MonitorHandler,
    RequestLogger,
    StdOutCallbackHandler,
    TreeHandler,
)
from instrument.testing import Recorder

LEVELS = 60


MAKES: dict[str, Callable[[Any, Any], Any]] = {
    "list": lambda a, b: [a, b],
    "namespace": lambda a, b: types.SimpleNamespace(a=a, b=b),
    "partial": functools.partial(functools.partial, print),
    "exception": ValueError,
    "exception with a text": lambda a, b: OSError(2, a, b),
    "user list": lambda a, b: collections.UserList([a, b]),
    "slice": slice,
    "deque in a namespace": lambda a, b: types.SimpleNamespace(
        a=collections.deque([a, b])
    ),
    "items of a mapping": lambda a, b: collections.UserDict(a=a, b=b).items(),
    "alias": lambda a, b: types.GenericAlias(list, (a, b)),
    "bound method": lambda a, b: collections.UserList([a, b]).append,
    "getter": lambda a, b: operator.methodcaller("a", a, b),
    "repeat": lambda a, b: itertools.repeat([a, b]),
}


@pytest.fixture(params=MAKES)
def shared(request: pytest.FixtureRequest) -> Any:
    """
    Give one that holds one twice that holds one twice ...
    """
    value: Any = (1, 2)
    for _ in range(LEVELS):
        value = MAKES[request.param](value, value)
    return value


def test_in_a_payload(shared: Any) -> None:
    """
    As argument, result and metadata it is told by every handler.
    """

    @traced
    def answer(given: Any) -> Any:
        return given

    stdout, tree = StdOutCallbackHandler(file=io.StringIO()), io.StringIO()
    grouped = MonitorHandler(group_by="shared")
    with (
        callbacks(stdout, TreeHandler(file=tree), metadata={"shared": shared}),
        callbacks(grouped, redact=["password"]),
    ):
        assert (answer(shared) is shared) is True

    assert "answer" in tree.getvalue()
    assert len(grouped.to_dicts()) == 1


def test_in_an_exception(shared: Any) -> None:
    """
    What was raised with it reaches the caller, and its message is told.
    """
    recorder, error = Recorder(), KeyError(shared)

    @traced
    def fail() -> None:
        raise error

    with (
        pytest.raises(KeyError) as raised,
        callbacks(recorder, RequestLogger(), StdOutCallbackHandler(file=io.StringIO())),
    ):
        fail()

    assert (raised.value is error) is True
    assert 0 < len(recorder.events[-1].data["message"]) < 20_000
    error.args = ()  # pytest shows it


@pytest.mark.parametrize("where", ["raised", "cause", "note", "notes"])
def test_in_a_handlers_failure(shared: Any, where: str) -> None:
    """
    A handler that raises with it is reported, and hurts nobody.
    """
    raised: list[BaseException] = []
    lines: list[str] = []

    class Failing(BaseCallbackHandler):
        def on_chain_start(self, serialized: Any, inputs: Any, **kwargs: Any) -> None:
            error = ValueError("odd" if where.startswith("note") else inputs)
            raised.append(error)
            if where.startswith("note"):
                error.__notes__ = [inputs] if where == "note" else inputs
            if where == "cause":
                raise ExceptionGroup("several", [TypeError("other")]) from error
            raise error

    @traced
    def answer(given: Any) -> str:
        return "Rome"

    number = logger.add(lines.append, format="{message}")
    try:
        with callbacks(Failing()):
            assert answer(shared) == "Rome"
    finally:
        logger.remove(number)

    assert len(lines) == 1
    assert "raise error" in lines[0] or "raise ExceptionGroup" in lines[0]
    raised[0].args = ()
    raised[0].__notes__ = []


@pytest.mark.parametrize("often", [1, 2])
def test_groups_in_a_handlers_failure(often: int) -> None:
    """
    A handler raises a group of groups, nested deep or held twice at each level: the call
    goes on, and what is the call's is found in there.
    """
    levels = 2_000 if often == 1 else 26

    def group_of(exc: BaseException) -> BaseExceptionGroup[BaseException]:
        group = BaseExceptionGroup("several", [exc])
        for _ in range(levels):
            group = BaseExceptionGroup("several", [group] * often)
        return group

    def failing(event: object) -> None:
        raise failure

    failure = group_of(ValueError("x"))
    with callbacks(failing):  # or it does not come to an end
        assert traced(lambda: 1)() == 1

    assert is_of_call(group_of(KeyboardInterrupt()))


def test_asked_for_its_text(shared: Any) -> None:
    """
    Each way to its text ends, and says what it is.
    """
    texts = [repr_of(shared), text_of(shared, 10_000), safe_repr(shared)]
    texts += [safe_str(shared), safe_str(ValueError(shared, 1)), encoded({"x": shared})]

    assert all(0 < len(text) < 10_000_000 for text in texts)


class Marker:
    """
    A value that is known by its text.
    """

    def __repr__(self) -> str:
        return "<the marker>"


MODULES = (
    argparse,
    array,
    builtins,
    collections,
    contextlib,
    contextvars,
    functools,
    itertools,
    operator,
    types,
)
LONG = [*range(50_000)]


def ways(kind: Any, held: Any) -> list[Any]:
    """
    Make objects of a class that may hold that, in whichever way it takes it.
    """
    made = []
    for args in (
        (held,),
        (held, held),
        ([held],),
        ({"a": held},),
        ("a", held),
        (print, held),
        (list, (held,)),
        ("a", [ValueError(held)]),
    ):
        with contextlib.suppress(Exception):
            made.append(kind(*args))
    with contextlib.suppress(Exception):
        made.append(kind(a=held))
    return made


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_whatever_writes_what_it_holds(module: types.ModuleType) -> None:
    """
    Of no class of these modules the text is asked that writes much that it holds.
    """
    kinds = [it for it in vars(module).values() if isinstance(it, type)]
    seen = []
    for kind in kinds:
        made = zip(ways(kind, Marker()), ways(kind, LONG), strict=False)
        seen += [
            (kind, method, is_short(short), is_short(long, method))
            for short, long in made
            for method in ("__repr__", "__str__")
            if "<the marker>" in getattr(type(short), method)(short)
        ]

    assert [it for it in seen if it[2:] != (True, False)] == []


def test_short_ones_are_as_python_writes_them() -> None:
    """
    What holds little is told by its own text, as before.
    """
    values = [
        types.SimpleNamespace(a=[1]),
        functools.partial(print, 1),
        ValueError("x"),
    ]
    values += [slice(1, 2), collections.UserList([1, {}]), [].append, LONG[:10]]

    assert [repr_of(value) for value in values] == [repr(value) for value in values]
    told = encoded({"x": values[:2]})
    assert "namespace(a=[1])" in told
    assert "functools.partial(<built-in function print>, 1)" in told


def test_long_ones_are_objects_of_their_fields() -> None:
    """
    What holds much is told as an object, with its type, and cut as lists are.
    """
    told = encoded({"x": types.SimpleNamespace(a=LONG, b="y")})

    assert told.startswith('{"x":{"type":"SimpleNamespace","a":[0,1,2,')
    assert told.endswith('49999],"b":"y"}}')
    assert repr_of(types.SimpleNamespace(b=LONG), 40).startswith(
        "SimpleNamespace(b=[0, 1, 2, 3, 4, 5, 6"
    )


TEXTS = {"plain": "x", "half of a JSON": '{"a": 1, ', "names": "a=b, "}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_a_long_message_is_cut_before_it_is_worked_on(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Of a message of 50 MB a little is masked and told, and how much is left out; so it is
    of a handler's own failure. All of it is searched for no name.
    """
    searched: list[int] = []
    search = Names.masked_text

    def masked_text(names: Names, text: str) -> str:
        searched.append(len(text))
        return search(names, text)

    monkeypatch.setattr(Names, "masked_text", masked_text)
    message = "password=hunter2, " + text * (50_000_000 // len(text))
    recorder = Recorder()
    lines: list[str] = []

    class Failing(BaseCallbackHandler):
        def on_chain_error(self, error: BaseException, **kwargs: Any) -> None:
            raise error

    @traced
    def fail() -> None:
        raise ValueError(message)

    number = logger.add(lines.append, format="{message}")
    try:
        with (
            pytest.raises(ValueError, match="hunter2"),
            callbacks(recorder, Failing(), redact=["password"]),
        ):
            fail()
    finally:
        logger.remove(number)

    told = recorder.events[-1].data["message"]
    assert told.startswith("password=[redacted]")
    assert told.endswith(" more characters]")
    assert len(told) + len(lines[0]) < 300_000
    assert "hunter2" not in told + lines[0]
    assert 0 < sum(searched) < 2_000_000


def test_long_json_is_cut_before_it_is_worked_on() -> None:
    """
    Of JSON that is longer than what is looked into, the beginning alone is shown.
    """
    text = '{"a": "' + "x" * 3_000_000 + '", "password": "hunter2"}'
    recorder = Recorder()

    @traced
    def answer(given: str) -> str:
        return given

    with callbacks(recorder, redact=["password"]):
        assert answer(text) == text

    told = recorder.events[0].data["inputs"]["given"]
    assert told == f"{text[:1_000_000]}… [{len(text) - 1_000_000} more characters]"


def test_most_types(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    What is known of classes is forgotten when there are too many.
    """
    monkeypatch.setattr(_text, "_MOST_TYPES", 2)

    made = [type("Kind", (list,), {})([1]) for _ in range(5)]

    assert all(map(is_short, made))
    assert len(_text._written) <= 3


def test_many_long_ones() -> None:
    """
    After a few that are too long to be asked, the others are told by their fields too.
    """
    long = [types.SimpleNamespace(b=LONG[:3_000]) for _ in range(30)]

    told = text_of([*long, types.SimpleNamespace(a=1)], 1_000_000)

    assert told.endswith("SimpleNamespace(a=1)]")
