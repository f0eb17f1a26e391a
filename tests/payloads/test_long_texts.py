"""
Texts, names and keys of millions of characters, and objects of as many attributes: what
shows a part of one makes no more.
"""

import traceback
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
from loguru import logger

from instrument import callbacks, traced
from instrument._payloads.jsonable import encoded, is_plain, jsonable, text_of
from instrument._payloads.kinds import nearest_kind
from instrument._payloads.names import MASK
from instrument._payloads.redact import as_redactor, redacted
from instrument._text import raised_text, safe_repr
from instrument.handlers import RequestLogger
from instrument.handlers._shared.open_runs import other_model
from instrument.handlers._shared.spans.told import Told
from instrument.handlers._shared.style import Marks
from instrument.handlers._shared.values import value
from instrument.handlers._stdout import attempt
from instrument.testing import Recorder

LONG = 20_000_000
NAMES = (as_redactor(["password"]),)


def most_held_by(act: Callable[[], object]) -> int:
    """
    Tell how many bytes more there were at once meanwhile.
    """
    tracemalloc.start()
    try:
        act()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


class Text(str):
    """
    Text of a class of its own.
    """

    __slots__ = ()


class Wide:
    """
    What has many attributes.
    """


class WideError(Exception):
    """
    An error that has.
    """


@dataclass
class WideFields:
    """
    A dataclass that has more than its fields.
    """

    a: int = 1


@pytest.mark.parametrize(
    "held",
    [
        {"a": "é" * LONG},
        {"é" * LONG: 1},
        {"a": ["x", ("y", {"b": "é" * LONG})]},
        {"a": {"b": {f"{'é' * 100_000}{it}": it for it in range(200)}}},
    ],
    ids=["value", "key", "deep", "keys"],
)
def test_record(held: dict[str, Any]) -> None:
    """
    A record is cut before it is written, whatever in it is long.
    """
    written: list[str] = []

    # escaped, all of it takes six times as many
    assert most_held_by(lambda: written.append(encoded({"data": held}))) < 4 * LONG
    assert "more " in written[0]


@pytest.mark.parametrize(
    "held, expected",
    [
        ({"a": [1, (None, 1.5, True)], "b": {}}, True),
        ({"a": "x" * 199_000}, True),
        ({"a": "x" * 200_001}, False),
        ({"x" * 200_001: 1}, False),
        ({"a": [0] * 1_900}, True),
        ({"a": [0] * 2_100}, False),
        ({"a": Text("x")}, False),
        ({"a": {Text("x"): 1}}, False),
        ({"a": object()}, False),
        (["a"], False),
    ],
    ids=range(10),
)
def test_plain(held: object, expected: object) -> None:
    """
    What is small and of json's own types is written as it is.
    """
    assert is_plain(held) is expected


@pytest.mark.parametrize(
    "show",
    [
        lambda wide: text_of(wide, 100),
        lambda wide: next(value(wide, Marks())),
        lambda wide: redacted(wide, NAMES, ("inputs",)),
        lambda wide: redacted(wide, (lambda it, _: it,), ("inputs",)),
    ],
    ids=["text", "line", "names", "function"],
)
@pytest.mark.parametrize("kind", [Wide, WideError, WideFields])
def test_attributes(show: Callable[[object], object], kind: type) -> None:
    """
    Of very many attributes no more are read than may be told.
    """
    wide = kind()
    vars(wide).update(dict.fromkeys(range(400_000), 1))

    assert most_held_by(lambda: show(wide)) < 24_000_000


def test_attributes_are_counted() -> None:
    """
    How many attributes are left out is told.
    """
    wide = SimpleNamespace(**dict.fromkeys(map(str, range(300_000)), 1))
    told = jsonable(wide)

    assert told["…"] == f"{300_002 - len(told)} more entries"  # with the type
    assert text_of(wide, 100).endswith(" more)")


@pytest.mark.parametrize("kind", [str, Text])
def test_repr(kind: type[str]) -> None:
    """
    Of a long text the beginning is asked for.
    """
    text = kind("x" * LONG)
    shown: list[str] = []

    assert most_held_by(lambda: shown.append(safe_repr(text))) < LONG // 2
    assert shown[0].startswith("'xxx")
    assert shown[0].endswith("… [19999800 more characters]")


@pytest.mark.parametrize("letter", "x [")
def test_what_is_looked_through(letter: str) -> None:
    """
    Of a long text that may be JSON a beginning is looked through, and shown.
    """
    text = letter * 3_000_000
    shown = redacted({"input": text}, NAMES, ("inputs",))

    assert shown["input"].startswith(text[:1_000_000])
    assert shown["input"].endswith("… [2000000 more characters]")


@pytest.mark.parametrize("text", ['["{}"]', '["{}"', '{{"a": "{}"}}'])
def test_held_many_times(text: str) -> None:
    """
    What is beyond the most that is looked through is not shown.
    """
    text = text.replace("{}", "x" * 900_000)
    shown = redacted({"a": [text] * 100}, NAMES, ("inputs",))

    assert shown["a"][0] == text
    assert shown["a"][-1] == MASK
    errors = redacted(ValueError(*[text] * 100), NAMES, ("inputs",))
    assert MASK in errors["args"]


def test_what_is_said_of_an_error() -> None:
    """
    Of what is said where something fails a beginning is looked through.
    """
    assert len(redacted("\\" * 1_000_000, NAMES, ("error",))) < 300_000


def test_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A long kind is not compared with those that are known.
    """
    monkeypatch.setattr("difflib.get_close_matches", None)

    assert nearest_kind("k" * 1_000_000) is None


def test_model() -> None:
    """
    Models are told apart by the end of their names.
    """
    assert other_model("m" * 1_000, "m" * 2_000) == ""
    assert other_model("m" * 1_000 + "/a", "b") == "m" * 1_000 + "/a"


@pytest.mark.parametrize(
    "number",
    ["x" * 1_000_000, [1] * 1_000_000, 10**5_000],
    ids=["text", "list", "number"],
)
def test_attempt(number: object) -> None:
    """
    What stands for the number of an attempt is cut.
    """
    stops = {"stop": SimpleNamespace(max_attempt_number=10**5_000)}

    assert len(attempt({"attempt_number": number})) < 100
    assert len(attempt({"attempt_number": 1, "retry_object": stops})) < 100


def test_span() -> None:
    """
    What a span is told by is cut, and says so.
    """
    long = "n" * 5_000
    tags = [f"{long}{it}" for it in range(300)]
    options: Any = {"kind": long, "model": long, "provider": long, "tags": tags}

    with callbacks(Recorder()), traced(long, **options) as run:
        told = Told(run, 100, None)
        told.happens(long, {})
    told.ends(run)

    names = told.name, told.kind, told.model, told.request_model, told.provider
    assert {*map(len, (*names, told.events[0][0], *told.tags[:-1]))} == {1_024}
    assert told.name.endswith("… [4000 more characters]")
    assert told.tags[-1] == "… 200 more tags"


def test_record_of_a_log() -> None:
    """
    A record comes from a place with a name of one line, not a long one.
    """
    places: list[str] = []
    sink = logger.add(lambda told: places.append(told.record["function"]))
    try:
        with callbacks(RequestLogger()), traced("a", kind="k\n" * 1_000):
            pass
    finally:
        logger.remove(sink)

    assert {*map(len, places)} == {150}
    assert "\n" not in places[0]


def test_tree() -> None:
    """
    A recorder's tree shows the beginning of a name.
    """
    recorder = Recorder()
    with callbacks(recorder), traced("n" * 5_000, kind="k" * 5_000):
        pass

    assert recorder.tree().count("… [4000 more characters]") == 2


def in_groups(depth: int) -> BaseException:
    """
    Give an error in a group in a group ...
    """
    exc: Exception = ValueError("deep")
    for _ in range(depth):
        exc = ExceptionGroup("group", [exc])
    return exc


def raised_from(count: int) -> BaseException:
    """
    Give an error that was raised from another, which was raised from another ...
    """
    exc = ValueError("number 0.")
    for number in range(1, count):
        below, exc = exc, ValueError(f"number {number}.")
        exc.__cause__ = below
    return exc


@pytest.mark.parametrize(
    "exc, told",
    [
        (in_groups(100), "ExceptionGroup: "),
        (raised_from(5_000), "ValueError: number 4999."),
        (raised_from(5_000), "ValueError: number 4998."),
    ],
    ids=["groups", "causes", "cause"],
)
def test_errors(exc: BaseException, told: str) -> None:
    """
    Of very many errors that led to one, or are in it, a few are looked at, and written.
    """
    asked: list[object] = []

    def show(it: object) -> object:
        asked.append(it)
        return it

    assert told in raised_text(exc, None, 10_000, show)
    assert 2 <= len(asked) <= 10
    assert told in raised_text(exc, None, 10_000)


def test_few_errors_are_written_as_python_does() -> None:
    """
    Of fewer none is left out.
    """
    exc = in_groups(5)

    text = raised_text(exc, None, 10_000, lambda it: it)

    assert text == "".join(traceback.format_exception(exc))
