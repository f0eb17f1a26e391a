"""
Whatever holds a secret under a masked name, nothing of ours shows it.
"""

import collections
import dataclasses
import datetime as dt
import enum
import functools
import io
import json
import logging
import types
from array import array, typecodes
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from loguru import logger

from instrument import BaseCallbackHandler, callbacks, current_run, emit, traced
from instrument.handlers import (
    FileCallbackHandler,
    RequestLogger,
    StdOutCallbackHandler,
    StreamingStdOutCallbackHandler,
    background,
)
from instrument.testing import Recorder

SECRET = "enigma1940"
CHARACTERS: Any = "w" if "w" in typecodes else "u"


@dataclasses.dataclass
class Login:
    """
    A dataclass.
    """

    user: Any
    password: Any


@dataclasses.dataclass(slots=True, frozen=True)
class Ticket:
    """
    A dataclass with slots.
    """

    user: Any
    db_password: Any


class Row(NamedTuple):
    """
    A named tuple.
    """

    user: Any
    Password: Any


class Header(NamedTuple):
    """
    A pair with names.
    """

    name: Any
    value: Any


class Plain:
    """
    An object whose ``repr`` shows all.
    """

    def __init__(self, value: Any) -> None:
        self.user = "ada"
        self.dbPassword = value

    def __repr__(self) -> str:
        return f"Plain({vars(self)!r})"


class Slotted:
    """
    An object without a dictionary.
    """

    __slots__ = ("__password", "user")

    def __init__(self, value: Any) -> None:
        self.user = "ada"
        self.__password = value

    def __repr__(self) -> str:
        return f"Slotted({self.__password!r})"


class Text(str):  # noqa: SLOT000 - it has fields
    """
    A string with a field.
    """

    def __repr__(self) -> str:
        return f"Text({vars(self)!r})"


class Listed(list[Any]):
    """
    A list with a field.
    """


class Holder:
    """
    An object that holds another, and is held by it.
    """

    def __init__(self, value: Any) -> None:
        self.value = value
        self.itself = self

    def __repr__(self) -> str:
        return f"Holder({self.value!r})"


class Column(enum.Enum):
    """
    Names that are no texts.
    """

    PASSWORD = 1


class RefusedError(Exception):
    """
    An exception that keeps what it was made of: so does Python, as its ``args``.
    """

    def __init__(self, user: str, password: str) -> None:
        self.user = user
        self.password = password

    def __str__(self) -> str:
        return f"{self.user} may not enter"


class LoginError(Exception):
    """
    An exception that tells what it was given.
    """


class Port(enum.IntEnum):
    """
    Names that are numbers.
    """

    PASSWORD = 1


class Upload(io.BytesIO):
    """
    A file whose ``repr`` shows what it was made with.
    """

    def __init__(self, value: Any) -> None:
        super().__init__()
        self.password = value

    def __repr__(self) -> str:
        return f"Upload({self.password!r})"


class Settings(collections.UserDict[str, Any]):
    """
    A mapping with a field besides its entries, which its ``repr`` shows.
    """

    def __init__(self, value: Any) -> None:
        super().__init__(user="ada")
        self.password = value

    def __repr__(self) -> str:
        return f"Settings({self.password!r})"


class Shown(type):
    """
    A class of classes whose ``repr`` shows what they hold.
    """

    def __repr__(cls) -> str:
        return f"Shown({vars(cls)!r})"


class Day(dt.date):
    """
    A date whose ``repr`` shows what it was given.
    """

    def __repr__(self) -> str:
        return f"Day({vars(self)!r})"


class Closed:
    """
    An object that gives another dictionary than its own.
    """

    __dict__ = property(lambda _: {})

    def __init__(self, value: Any) -> None:
        self.password = value

    def __repr__(self) -> str:
        return f"Closed({self.password!r})"


def of_date(value: Any) -> Day:
    """
    Make a date that has the secret as a field.
    """
    made = Day(2026, 1, 1)
    made.password = value  # type: ignore[attr-defined]
    return made


def of_text(value: Any) -> Text:
    """
    Make a string that has the secret as a field.
    """
    made = Text("public")
    made.password = value  # type: ignore[attr-defined]
    return made


def of_list(value: Any) -> Listed:
    """
    Make a list that has the secret as a field.
    """
    made = Listed([1])
    made.password = value  # type: ignore[attr-defined]
    return made


def of_error(value: Any) -> LoginError:
    """
    Make an exception that has the secret as a field.
    """
    made = LoginError("no")
    made.password = value  # type: ignore[attr-defined]
    return made


def by_class(password: Any, *bases: type, **more: Any) -> Any:
    """
    Make a class that has the secret, whose instances show it and do not hold it.
    """

    def shows(it: Any) -> str:
        return f"It({it.db_password!r})"

    held = more or {"db_password": password}
    return type("It", bases, {**held, "__repr__": shows})


def function() -> None:
    """
    Be held by a partial.
    """


NAMES = st.sampled_from(
    ["password", "Password", "PASSWORD", "X-PASSWORD", "dbPassword", "db_password"]
)


HIDES: dict[str, Callable[[str, Any], Any]] = {
    "dict": lambda name, value: {"user": "ada", name: value},
    "bytes key": lambda name, value: {name.encode(): value},
    "ordered": lambda name, value: collections.OrderedDict({name: value}),
    "user dict": lambda name, value: collections.UserDict({name: value}),
    "chain map": lambda name, value: collections.ChainMap({}, {name: value}),
    "proxy": lambda name, value: types.MappingProxyType({name: value}),
    "pairs": lambda name, value: [("a", 1), (name, value)],
    "lists": lambda name, value: [["a", 1], [name, value]],
    "headers": lambda name, value: [(name.encode(), value)],
    "named pairs": lambda name, value: [Header(name, value)],
    "enum key": lambda _, value: {Column.PASSWORD: value},
    "json bytes": lambda name, value: json.dumps({name: str(value)}).encode(),
    "json buffer": lambda name, value: bytearray(
        json.dumps([{name: str(value)}]), "l1"
    ),
    "json characters": lambda name, value: array(
        CHARACTERS, json.dumps({name: str(value)})
    ),
    "number key": lambda _, value: {Port.PASSWORD: value},
    "json text key": lambda name, value: {Text(json.dumps({name: str(value)})): 1},
    "json key": lambda name, value: {json.dumps({name: str(value)}): 1},
    "json bytes key": lambda name, value: {
        json.dumps([{name: str(value)}]).encode(): 1
    },
    "marked json": lambda name, value: (
        b"\xef\xbb\xbf" + json.dumps({name: str(value)}).encode()
    ),
    "half json in json": lambda name, value: json.dumps(
        {"a": json.dumps({name: str(value)})}
    )[:-3],
    "half pairs": lambda name, value: f'[["a", 1], ["{name}", "{value}',
    "spaced": lambda name, value: f'{{"{name}"{" " * 30}: "{value}',
    "long name": lambda name, value: f'{{"{"a" * 300} {name}": "{value}',
    "file": lambda _, value: Upload(value),
    "settings": lambda _, value: Settings(value),
    "class": lambda _, value: Shown("It", (), {"password": value}),
    "date": lambda _, value: of_date(value),
    "closed": lambda _, value: Closed(value),
    "odd key": lambda _, value: {of_text(value): 1},
    "refused": lambda _, value: RefusedError("ada", value),
    "items": lambda name, value: {name: value}.items(),
    "namespace": lambda name, value: types.SimpleNamespace(**{name: value}),
    "json": lambda name, value: json.dumps({"a": [{name: str(value)}]}),
    "json twice": lambda name, value: json.dumps(json.dumps({name: str(value)})),
    "half json": lambda name, value: f'{{"{name}": "{value}',
    "escaped": lambda _, value: f'{{"\\u0070assword": "{value}"}}',
    "repeated": lambda _, value: f'{{"a": {{"password": "{value}"}}, "a": 1}}',
    "dataclass": lambda _, value: Login("ada", value),
    "frozen": lambda _, value: Ticket("ada", value),
    "key": lambda _, value: {Ticket("ada", str(value)): 1},
    "named tuple": lambda _, value: Row("ada", value),
    "object": lambda _, value: Plain(value),
    "slots": lambda _, value: Slotted(value),
    "text": lambda _, value: of_text(value),
    "list": lambda _, value: of_list(value),
    "exception": lambda _, value: of_error(value),
    "arguments": lambda _, value: LoginError({"password": value}),
    "method": lambda _, value: Plain(value).__repr__,
    "set": lambda _, value: {Ticket("ada", str(value))},
    "property": lambda _, value: by_class(property(lambda _: value))(),
    "computed once": lambda _, value: by_class(
        functools.cached_property(lambda _: value)
    )(),
    "class attribute": lambda _, value: by_class(value)(),
    "inherited": lambda _, value: type("Under", (by_class(value),), {})(),
    "any attribute": lambda _, value: by_class(None, __getattr__=lambda *_: value)(),
    "list of a class": lambda _, value: by_class(value, list)([1]),
    "text of a class": lambda _, value: by_class(value, str)("public"),
    "error of a class": lambda _, value: by_class(value, LoginError)("no"),
    "user list": lambda _, value: collections.UserList([{"password": value}]),
}


def hidden(value: Any) -> st.SearchStrategy[Any]:
    """
    Make any structure that holds *value* under a masked name.
    """
    structures = st.sampled_from(sorted(HIDES))
    direct = st.builds(lambda it, name: HIDES[it](name, value), structures, NAMES)
    wraps: list[Callable[[Any], Any]] = [
        lambda held: {"a": held},
        lambda held: [1, held],
        lambda held: ("x", held),
        lambda held: collections.deque([held]),
        lambda held: types.SimpleNamespace(held=held),
        Holder,
        lambda held: Login(held, None),
        lambda held: collections.UserDict(a=held),
        lambda held: Row(held, 1),
    ]
    return st.recursive(
        direct, lambda inner: st.tuples(st.sampled_from(wraps), inner).map(_wrapped)
    )


def _wrapped(pair: Any) -> Any:
    wrap, held = pair
    return wrap(held)


class Careless(BaseCallbackHandler):
    """
    Fails at every tool, telling what it was given.
    """

    def on_tool_start(self, serialized: Any, input_str: str, **kwargs: Any) -> None:
        raise ValueError(f"{input_str} {kwargs['inputs']!r}")


class Told:
    """
    All that ours write.
    """

    def __init__(self, folder: Any) -> None:
        self.file = folder / "events.jsonl"
        self.stream = io.StringIO()
        self.recorder = Recorder()
        self.inputs: list[str] = []
        self.log = logging.Logger("told")  # noqa: LOG001 - of this test alone
        self.log.addHandler(logging.StreamHandler(self.stream))
        self.handlers: list[Any] = [
            self.recorder,
            FileCallbackHandler(self.file),
            background(StdOutCallbackHandler(self.stream)),
            StreamingStdOutCallbackHandler(self.stream),
            RequestLogger(self.log, payload=True),
            Careless(),
        ]

    def keep(self, input_str: str) -> None:
        """
        Keep a tool's input as text.
        """
        self.inputs.append(input_str)

    def text(self) -> str:
        """
        Give all of it.
        """
        events = self.recorder.events
        told = [self.file.read_text("utf-8"), self.stream.getvalue(), *self.inputs]
        told += [event.to_json() + repr(event) + repr(event.data) for event in events]
        for run in self.recorder.runs:
            told.append(repr([run, run.inputs, run.outputs, run.metadata, run.params]))
        return "\n".join(told)


def everything_said(value: Any) -> None:
    """
    Tell *value* in all ways in which a payload can be told.
    """
    for kind in ("chain", "tool", "retriever", "embedding", "llm", "chat_model"):
        traced(kind=kind)(lambda given: given)(value)
        list(traced(kind=kind)(lambda given: iter([given]))(value))

        @traced(kind=kind)
        def stream(given: Any) -> Any:
            yield given

        list(stream(value))

    @traced.tool
    def fails(given: Any) -> None:
        raise LoginError({"password": SECRET}, given)

    with pytest.raises(LoginError):
        fails(value)
    with traced("run", metadata={"given": value}) as run:
        run.add_metadata(more=value)
        run.emit("said", value)
        emit("said", {"a": value})
        run.retry(value)
        run.token("", value, "tool_call")
        current_run().outputs = [value]


@pytest.mark.rule(16, "sync", "generator")
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(value=hidden(SECRET))
def test_secret_is_shown_nowhere(value: Any, tmp_path_factory: Any) -> None:
    """
    Whatever structure holds the secret under a masked name, no handler of ours, no line
    of a file, no repr, report or log shows it.
    """
    reports: list[str] = []
    sink = logger.add(lambda line: reports.append(str(line)), format="{message}")
    told = Told(tmp_path_factory.mktemp("told"))

    with callbacks(*told.handlers, redact=["password"], on_tool_start=told.keep):
        everything_said(value)
    logger.remove(sink)

    assert SECRET not in told.text()
    assert SECRET not in "".join(reports)


@pytest.mark.parametrize("name", sorted(HIDES))
def test_structure_shows_it_unmasked(name: str) -> None:
    """
    Without redaction the secret is seen, so that the test above looks where it is.
    """
    recorder = Recorder()
    value = HIDES[name]("X-PASSWORD", SECRET)

    with callbacks(recorder):
        traced.tool(lambda given: given)(value)

    unseen = {
        "json bytes",
        "json buffer",
        "json characters",
        "marked json",
        "settings",
        "json bytes key",
        "half json in json",
        "date",
        "odd key",
        "text",
        "list",
        "exception",
        "method",
        "escaped",
        "json twice",
        "list of a class",
        "text of a class",
    }
    shown = SECRET in recorder.events[0].to_json()
    assert shown or name in unseen


@pytest.mark.parametrize("name", sorted(HIDES))
@pytest.mark.parametrize("depth", [0, 1, 2, 29, 30, 31])
def test_held_by_what_shows_all(name: str, depth: int) -> None:
    """
    What holds it, at any depth, and shows the ``repr`` of all that it holds, is told by
    its fields.
    """
    recorder = Recorder()
    value = HIDES[name]("X-PASSWORD", SECRET)
    for _ in range(depth):
        value = Holder(value)

    with callbacks(recorder, redact=["password"]):
        traced.tool(lambda given: given)(value)

    for event in recorder.events:
        assert SECRET not in event.to_json() + repr(event.data)
