"""
How a value is opened: what it is told as, without any code of its own.
"""

import array
import collections
import enum
import functools
import gc
import ipaddress
import json
import signal
import sys
import threading
import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from decimal import Decimal
from fractions import Fraction
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple
from uuid import UUID

import pytest

from instrument import callbacks, traced
from instrument._payloads import fields
from instrument._payloads.fields import (
    key_of,
    name_of,
    opening_of,
    read,
)
from instrument._payloads.jsonable import (
    DEPTH_LIMIT,
    REPR_LIMIT,
    encoded,
    jsonable,
    repr_of,
    text_of,
)
from instrument._payloads.redact import as_redactor, redacted
from instrument._text import is_callers
from instrument.testing import Recorder


@dataclass
class Login:
    """
    A dataclass with a field that its ``repr`` leaves out.
    """

    user: str
    password: str = field(repr=False)


@dataclass(slots=True)
class Half:
    """
    A dataclass with a field that may be unset.
    """

    user: str
    later: str = field(init=False)


class Row(NamedTuple):
    """
    A named tuple.
    """

    user: str
    age: int


class Plain:
    """
    An object with a ``repr`` of its own, which is counted.
    """

    made = 0

    def __init__(self, **given: Any) -> None:
        vars(self).update(given)

    def __repr__(self) -> str:
        type(self).made += 1
        return "Plain()"


class Colour(enum.Enum):
    """
    An enum.
    """

    RED = "red"
    PAIR = (1, 2)


class Endless(Mapping[str, int]):
    """
    A mapping that has no end, and no length.
    """

    def __getitem__(self, key: str) -> int:
        return 1

    def __iter__(self) -> Iterator[str]:
        number = 0
        while True:
            number += 1
            yield str(number)

    def __len__(self) -> int:
        raise TypeError("endless")


class Broken(Mapping[str, int]):
    """
    A mapping that cannot be read.
    """

    def __getitem__(self, key: str) -> int:
        raise BrokenError

    def __iter__(self) -> Iterator[str]:
        return iter(["a"])

    def __len__(self) -> int:
        return 1


class BrokenError(BaseException):
    """
    What payloads raise that are no exception of Python's.
    """


class Lost(tzinfo):
    """
    A time zone that fails.
    """

    def utcoffset(self, when: Any) -> Any:
        raise BrokenError

    dst = tzname = utcoffset


def angry() -> Any:
    """
    Make an object that raises whatever it, or its type, is asked.
    """

    class Mean(type):
        def __hash__(cls) -> int:
            raise BrokenError

        def __eq__(cls, other: object) -> bool:
            raise BrokenError

        def __getattribute__(cls, name: str) -> Any:
            raise BrokenError

    def fail(*_: object) -> Any:
        raise BrokenError

    asked = (
        "__getattribute__ __repr__ __str__ __len__ __bool__ __iter__ __hash__ __eq__"
    )
    made: Any = Mean("Angry", (), dict.fromkeys(asked.split(), fail))
    return made()


class Later:
    """
    What is named as a dataclass, and is none.
    """

    __dataclass_fields__ = 3


TOLD = [
    (Login("ada", "x"), {"user": "ada"}),
    (Half("ada"), {"user": "ada"}),
    (Row("ada", 3), {"user": "ada", "age": 3}),
    (collections.UserDict(a=1), {"a": 1}),
    (collections.ChainMap({"a": 1}), {"a": 1}),
    (types.MappingProxyType({"a": 1}), {"a": 1}),
    (collections.OrderedDict(a=1), {"a": 1}),
    (collections.deque([1]), [1]),
    ({"a": 1}.keys(), ["a"]),
    (Plain(), "Plain()"),
    (Colour.RED, "red"),
    (Colour.PAIR, [1, 2]),
    ({Colour.RED: 1, b"raw": 2, None: 3, True: 4, 2.5: 5}, None),
    (datetime(2026, 1, 1, tzinfo=UTC), "2026-01-01T00:00:00+00:00"),
    (date(2026, 1, 2), "2026-01-02"),
    (time(1, 2), "01:02:00"),
    (timedelta(hours=1), "1:00:00"),
    (datetime(2026, 1, 1, tzinfo=Lost()), "<unreadable datetime>"),
    (Decimal("1.50"), "1.50"),
    (Fraction(1, 3), "1/3"),
    (UUID(int=1), str(UUID(int=1))),
    (PurePosixPath("a/b"), "a/b"),
    (Path("a"), "a"),
    (ipaddress.ip_address("::1"), "::1"),
    (b"ab", "<2 bytes>"),
    (bytearray(3), "<bytearray of 3 bytes>"),
    (memoryview(b"abc"), "<memoryview of 3 bytes>"),
    (array.array("d", [1.0]), "<array of 8 bytes>"),
    (1 + 2j, "(1+2j)"),
    (Broken(), "<unreadable Broken>"),
    (10**9_000, f"<int of {(10**9_000).bit_length():,} bits>"),
]


@pytest.mark.parametrize("value, told", TOLD, ids=range(len(TOLD)))
def test_told_as(value: Any, told: Any) -> None:
    """
    Objects that name their fields are told by them, dates and paths as text, bytes by
    size; the rest by its ``repr``.
    """
    if told is None:
        told = {"red": 1, "raw": 2, "null": 3, "true": 4, "2.5": 5}

    assert jsonable(value) == told
    assert json.loads(encoded({"value": value})) == {"value": told}


def test_angry_object() -> None:
    """
    An object, and a type, that raise whatever they are asked are told as unreadable.
    """
    it = angry()

    assert jsonable([it]) == ["<unreadable Angry>"]
    assert text_of((it,), 50) == "(<unreadable Angry>,)"
    assert redacted({"a": it, "user": 1}, NAMES, ("inputs",))["user"] == "[redacted]"


def test_models_are_told_by_their_fields() -> None:
    """
    Pydantic's models, with what they have besides, and classes of attrs.
    """
    pydantic = pytest.importorskip("pydantic")
    attrs = pytest.importorskip("attrs")

    class Model(pydantic.BaseModel):  # type: ignore[misc,name-defined]
        model_config = pydantic.ConfigDict(extra="allow")
        user: str
        key: str = pydantic.Field(repr=False)
        _kept: str = pydantic.PrivateAttr("private")

    bare = types.new_class("Bare", (pydantic.BaseModel,))
    made = attrs.make_class(
        "Made", {"user": attrs.field(), "k": attrs.field(repr=False)}
    )

    assert jsonable(Model(user="ada", key="x", more=1)) == {"user": "ada", "more": 1}
    assert jsonable(bare()) == {}
    assert jsonable(made("ada", "x")) == {"user": "ada"}
    assert redacted(made("ada", "x"), NAMES, ("inputs",)) == {"user": "[redacted]"}
    shown = redacted(Model(user="ada", key="x", more=1), NAMES, ("inputs",))
    assert shown == {"user": "[redacted]", "more": 1}


NAMES = (as_redactor(["user"]),)


def test_another_thing_of_the_name() -> None:
    """
    A class that is only named as one that tells its fields is told by its ``repr``.
    """
    later = Later()

    assert jsonable(later) == repr_of(later)


def test_each_repr_is_made_once_a_record() -> None:
    """
    However many handlers write a record, each object is asked for its ``repr`` once.
    """
    recorder = Recorder()
    plain = Plain()
    with callbacks(recorder):
        traced(lambda given, again: None)(plain, [plain])
    Plain.made = 0

    first = recorder.events[0]
    assert first.to_json() == first.to_json()
    assert first.to_dict()["data"]["inputs"] == {
        "given": "Plain()",
        "again": ["Plain()"],
    }
    assert Plain.made == 1


def keyed(**more: Any) -> dict[Any, Any]:
    return {Plain(): 1, **more}


def leading_back() -> dict[Any, Any]:
    """
    Give a mapping that redaction walks twice.
    """
    made = keyed(user="ada")
    made["itself"] = made
    return made


KEYED: dict[str, Callable[[], Any]] = {
    "unchanged": keyed,
    "changed": lambda: keyed(user="ada"),
    "tuple": lambda: {(Plain(), 1): 1},
    "subclass": lambda: collections.OrderedDict(keyed()),
    "mapping": lambda: collections.UserDict(keyed()),
    "leading back": leading_back,
}


@pytest.mark.parametrize("make", KEYED.values(), ids=KEYED)
def test_repr_of_a_key_is_made_once_a_record(make: Callable[[], Any]) -> None:
    """
    However many redactors look at a key before it is written, it is asked for its
    ``repr`` once.
    """
    recorder, held = Recorder(), make()
    Plain.made = 0

    with callbacks(recorder, redact=["user"]), callbacks(redact=["password"]):
        traced(lambda held: None)(held)

    assert "Plain()" in recorder.events[0].to_json()
    assert Plain.made == 1


@pytest.mark.parametrize("user", ["ada", "eve"])
def test_repr_of_a_key_is_made_once_for_a_function(user: str) -> None:
    """
    A function is told where a value stands by the texts of the keys, and so is whoever
    hears; a key that is a tuple of names is no object to be asked, and stays.
    """
    paths = []

    def mask(value: Any, path: Any) -> Any:
        paths.append(path[1:])
        return "eve" if value == "ada" else value

    Plain.made = 0
    told = redacted({Plain(): user, (1, 2): 2}, (mask,), ("inputs",))

    assert jsonable(told) == {"Plain()": "eve", "(1, 2)": 2}
    assert {*paths} >= {("Plain()",), ("(1, 2)",)}
    assert Plain.made == 1
    pair = {(1, 2): 2}
    assert redacted(pair, (mask,), ("inputs",)) is pair


def test_most_reprs() -> None:
    """
    Of more objects than a record has room for, the type is told.
    """
    told = jsonable([Plain() for _ in range(REPR_LIMIT + 2)])

    assert told[REPR_LIMIT - 1 :] == ["Plain()", "<Plain>", "<Plain>"]


def test_mapping_without_end() -> None:
    """
    Of a mapping without end only so much is read, and its length is not asked.
    """
    told = jsonable(Endless(), nodes=4)

    assert told == {"1": 1, "2": 1, "3": 1, "…": "more entries"}
    assert redacted(Endless(), NAMES, ("inputs",)) == "[redacted]"
    assert text_of(Endless(), 12) == "{'1': 1, '2': 1, … more}"


def test_all_text_together() -> None:
    """
    Many long strings are cut when all that there is room for has been written.
    """
    told = jsonable(["x" * 1_000_000] * 6)

    assert told[3] == "x" * 1_000_000
    assert told[4:] == ["… [1000000 more characters]"] * 2


TEXTS = [
    ({"a": [1, 2.5, None, True], "b": (1,), "c": {1}}, None),
    ("x", "'x'"),
    ((1, 2), "(1, 2)"),
    (Row("ada", 3), "Row(user='ada', age=3)"),
    (Login("ada", "x"), "Login(user='ada')"),
    (Plain(), "Plain()"),
    (Decimal("1.50"), "'1.50'"),
    (Broken(), "<unreadable Broken>"),
    (10**9_000, repr(f"<int of {(10**9_000).bit_length():,} bits>")),
]


@pytest.mark.parametrize("value, told", TEXTS, ids=range(len(TEXTS)))
def test_text_of(value: Any, told: str | None) -> None:
    """
    As text a value is written as Python would.
    """
    assert text_of(value, 1_000) == (repr(value) if told is None else told)


def test_text_is_cut_while_it_is_made() -> None:
    """
    What there is no room for is counted, and not looked at.
    """
    cyclic: list[Any] = []
    cyclic.append(cyclic)
    nested: list[Any] = []
    for _ in range(100):
        nested = [nested]

    assert text_of(list(range(20_000)), 10) == "[0, 1, 2, 3, … 19,996 more]"
    assert text_of({"a": 1, "b": 2}, 5) == "{'a': 1, … 1 more}"
    assert text_of(Row("ada", 3), 12) == "Row(user='ada', … 1 more)"
    assert text_of(Row("ada", 3), 6) == "Row(user=''… [3 more characters], … 1 more)"
    assert text_of("x" * 30, 10) == f"{'x' * 10!r}… [20 more characters]"
    assert text_of(cyclic, 1_000) == repr(cyclic)
    assert text_of(nested, 1_000).count("[") == DEPTH_LIMIT
    assert "… " in text_of([[[]]] * 9_000, 4)


def test_shared_lists_are_bounded() -> None:
    """
    A list that is shared 30 levels deep, and tuples that the collector does not track,
    are told in bounded time.
    """
    deep: Any = (1, 2)
    for _ in range(30):
        deep = (deep, deep)
    gc.collect()

    assert len(text_of(deep, 1_000)) < 2_000
    assert len(encoded({"deep": deep})) < 2_000_000
    assert "more items" in encoded({"many": list(range(200_000))})
    for _ in range(50):
        deep = [deep] if type(deep) is list else []
    assert "<list nested too deep>" in encoded({"deep": deep})


def test_shared_mappings_are_bounded() -> None:
    """
    Mappings that are no dicts, shared 30 levels deep, are told in bounded time.
    """
    for make in (
        collections.UserDict,
        collections.ChainMap,
        types.MappingProxyType,
    ):
        deep: Any = make({})
        for _ in range(30):
            deep = make({1: deep, 2: deep})

        assert len(encoded({"deep": deep})) < 8_000_000


def test_names_of_keys() -> None:
    """
    A key that is text, a number, bytes or an enum has a name; others have none.
    """
    keys: list[Any] = ["a", b"a", 1, None, False, Colour.RED, Colour.PAIR, (1,)]

    told = [key_of(key) for key in keys]
    assert told == ["a", "a", "1", "null", "false", "red", None, None]
    assert key_of(10**9_000) is None
    assert key_of(bytearray(b"a")) is None
    assert key_of(Broken()) is None
    assert key_of(Decimal("1.5")) == "1.5"


def test_what_a_signal_raises_is_the_callers() -> None:
    """
    An interrupt, and what a signal's handler raises while a value is read, is no failure
    of the value.
    """

    class Slow:
        def __repr__(self) -> str:
            signal.raise_signal(signal.SIGINT)
            return "Slow()"

    def late(number: int, frame: Any) -> None:
        raise TimeoutError

    assert is_callers(KeyboardInterrupt())
    before = signal.signal(signal.SIGINT, late)
    try:
        with pytest.raises(TimeoutError):
            repr_of(Slow())
    finally:
        signal.signal(signal.SIGINT, before)


def test_no_signals(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Where nobody has imported `signal`, no handler of one can have raised.
    """
    monkeypatch.delitem(sys.modules, "signal")

    assert not is_callers(BrokenError())


def test_most_types(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    What is known of types is bounded.
    """
    monkeypatch.setattr(fields, "_MOST_TYPES", 2)
    fields._openings.clear()

    for kind in (Plain, Login, Row, Later, Plain):
        assert opening_of(kind).told in ("repr", "fields")

    assert len(fields._openings) <= 2


def test_reading_is_muted() -> None:
    """
    What a ``repr`` calls is not heard.
    """

    class Tracing:
        def __repr__(self) -> str:
            traced(lambda: 1)()
            return "Tracing()"

    recorder = Recorder()
    with callbacks(recorder):
        assert read(Tracing(), repr) == "Tracing()"

    assert recorder.events == []
    assert name_of(Tracing()) == "Tracing"


HARMLESS: list[Any] = [
    threading.Lock(),
    threading.RLock(),
    len,
    test_reading_is_muted,
    Plain,
    sys,
    range(3),
    ...,
    slice(1, 2),
    sys.stdout,
]


@pytest.mark.parametrize("value", HARMLESS, ids=range(len(HARMLESS)))
def test_harmless_things_stay(value: Any) -> None:
    """
    What shows nothing of what it holds, or holds nothing, is handed on as it is.
    """
    assert redacted(value, NAMES, ("inputs",)) is value


def test_what_cannot_be_looked_into_is_not_shown() -> None:
    """
    A thing whose state no one can read is told by its type alone.
    """
    hidden = iter([{"user": "ada"}])

    assert redacted(hidden, NAMES, ("inputs",)) == {"type": "list_iterator"}
    assert redacted(functools.partial(print, 1), NAMES, ("inputs",)).args == (1,)
    assert redacted(functools.partial(print, user=1), NAMES, ("inputs",)) == {
        "type": "partial",
        "func": print,
        "args": (),
        "keywords": {"user": "[redacted]"},
    }
    assert redacted(Broken(), NAMES, ("inputs",)) == "<unreadable Broken>"
    assert redacted(datetime(2026, 1, 1, tzinfo=Lost()), NAMES, ("inputs",)) == (
        "<unreadable datetime>"
    )


def test_interrupt_while_a_class_is_looked_into() -> None:
    """
    What interrupts the program while a class is asked for its fields is no failure of
    the class, which is looked into once more.
    """
    is_late = True

    class Fields:
        def __iter__(self) -> Iterator[Any]:
            if is_late:
                raise KeyboardInterrupt
            return iter([types.SimpleNamespace(name="user", repr=True)])

    class Login:
        __attrs_attrs__ = Fields()

        def __init__(self) -> None:
            self.user = "ada"

    with pytest.raises(KeyboardInterrupt):
        jsonable(Login())
    is_late = False

    assert jsonable(Login()) == {"user": "ada"}


def test_repr_that_is_known_is_cut() -> None:
    """
    A repr that a record has asked for already is cut where there is less room for it.
    """

    class Long:
        def __repr__(self) -> str:
            return "long" * 100

    memo: Any = {}

    assert len(text_of(it := Long(), 1_000, memo)) == 400
    assert text_of(it, 10, memo) == "longlonglo… [390 more characters]"


def test_text_in_a_buffer_of_bytes() -> None:
    """
    A view of bytes holds no text in which there are names, as an array may.
    """
    names = as_redactor(["password"])
    given = {"view": memoryview(b"ab"), "array": array.array("i", [1])}

    assert redacted(given, (names,), ("inputs",)) == given
