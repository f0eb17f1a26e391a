"""
What passes through may have keys that compare in a way of their own, classes whose
metaclass does, and texts that are of a class of their own: none of them is asked.
"""

import dataclasses
import enum
import io
import logging
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from instrument import callbacks, emit, traced
from instrument.handlers import RequestLogger, StdOutCallbackHandler
from instrument.testing import Recorder

KINDS = ("chain", "tool", "llm", "chat_model", "retriever", "embedding")


class Own(BaseException):
    """
    An exception that is no `Exception`.
    """


class Armed:
    """
    Whether what is asked raises, and what.
    """

    error: type[BaseException] | None = None


def ask() -> None:
    """
    Be asked.
    """
    if Armed.error is not None:
        raise Armed.error


@pytest.fixture(params=[ValueError, SystemExit, Own], autouse=True)
def disarmed(request: pytest.FixtureRequest) -> Iterator[Callable[[], None]]:
    """
    Give what lets everything raise from then on, until the test is over.
    """

    def arm() -> None:
        Armed.error = request.param

    yield arm
    Armed.error = None


class Key(str):
    """
    A text that raises when it is compared, measured or formatted.
    """

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        ask()
        return str.__eq__(self, other)

    def __hash__(self) -> int:
        return str.__hash__(self)

    def __len__(self) -> int:
        ask()
        return str.__len__(self)

    def __str__(self) -> str:
        ask()
        return str.__str__(self)

    __repr__ = __str__


class Closed(type):
    """
    A metaclass that raises when a class is asked for its attributes.
    """

    def __getattribute__(cls, name: str) -> Any:
        ask()
        return type.__getattribute__(cls, name)


class Meta(Closed):
    """
    A metaclass that raises whatever its classes are asked.
    """

    def __eq__(cls, other: object) -> bool:
        ask()
        return cls is other

    def __hash__(cls) -> int:
        ask()
        return id(cls)


class Thing(metaclass=Meta):
    """
    An object of such a class.
    """


class OddError(Exception, metaclass=Closed):
    """
    An exception of such a class.
    """


@dataclasses.dataclass
class Fields:
    """
    A dataclass, whose objects may hold more than its fields.
    """

    x: int = 1


def keyed(made: Any, name: str) -> Any:
    """
    Give an object an attribute whose name is such a key.
    """
    vars(made)[Key(name)] = 1
    return made


FORMS: list[Callable[[str], Any]] = [
    lambda name: {Key(name): 1, "other": 2},
    lambda name: keyed(Fields(), name),
    lambda name: keyed(SimpleNamespace(), name),
    lambda name: [keyed(Fields(), name)],
]


def heard_by(recorder: Recorder) -> list[Any]:
    """
    Make one of each handler that looks at what it is told.
    """
    return [
        recorder,
        lambda event: event.to_json(),
        RequestLogger(logger=logging.getLogger("odd"), payload=True),
        StdOutCallbackHandler(file=io.StringIO()),
    ]


@pytest.mark.parametrize(
    "redact",
    [
        pytest.param(None, marks=pytest.mark.wide),
        ["password"],
        pytest.param(lambda value, path: value, marks=pytest.mark.wide),
    ],
)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.rule(13, "sync")
def test_odd_keys_and_classes(
    kind: str, redact: Any, disarmed: Callable[[], None]
) -> None:
    """
    Whatever has such a key, or is of such a class, is passed on, and its run is told.
    """
    recorder = Recorder()
    names = ("role", "type", "choices", "x", "password", "page_content")
    values = [form(name) for form in FORMS for name in names]
    values += [Thing(), [Thing()], Thing, OddError("a")]
    disarmed()

    options: Any = {} if redact is None else {"redact": redact}
    with callbacks(*heard_by(recorder), **options):
        for value in values:
            assert traced(kind=kind)(lambda it: it)(value) is value
            (item,) = traced(kind=kind)(lambda it: (x for x in [it]))(value)
            assert item is value
            with traced("a", kind=kind, inputs=value) as run:
                run.retry(value)
                run.outputs = value

    assert [run.status for run in recorder.runs] == ["ok"] * 3 * len(values)
    assert sum(event.event.endswith("_end") for event in recorder.events) == len(
        recorder.runs
    )


@pytest.mark.rule(13, "sync")
def test_exception_of_an_odd_class(disarmed: Callable[[], None]) -> None:
    """
    An exception of such a class reaches the caller, and is told by its name.
    """
    recorder, problem = Recorder(), OddError("a")
    caught: BaseException | None = None
    disarmed()

    with callbacks(*heard_by(recorder)):
        try:
            with traced("a") as run:
                run.retry(SimpleNamespace(outcome=None))
                raise problem
        except BaseException as exc:
            caught = exc

    assert caught is problem
    assert recorder.events[-1].data["type"] == "OddError"


@pytest.mark.rule(13, "sync", "generator")
def test_body_that_fails_with_an_object_of_an_odd_class(
    disarmed: Callable[[], None],
) -> None:
    """
    What a body had at hand when it failed is not asked, also within what it held.
    """
    recorder, problem = Recorder(), ValueError("a")
    caught: list[BaseException] = []

    @traced
    def fail(given: object) -> None:
        held = [given]
        held.append(problem)
        raise problem

    @traced
    def stream(given: object) -> Iterator[object]:
        yield given
        raise problem

    thing = Thing()
    disarmed()
    with callbacks(recorder):
        for body in (fail, lambda it: list(stream(it))):
            try:
                body(thing)
            except BaseException as exc:
                caught.append(exc)

    assert caught == [problem, problem]
    assert [run.status for run in recorder.runs] == ["error", "error"]


@pytest.mark.rule(13, "sync")
def test_place_of_a_call_of_an_odd_class(disarmed: Callable[[], None]) -> None:
    """
    Where a piece of a call belongs is told by a number or a text, or not at all.
    """
    recorder = Recorder()
    call = {"index": Thing(), "id": "1", "function": {"name": "f", "arguments": "{}"}}
    chunk = {"choices": [{"index": 0, "delta": {"tool_calls": [call]}}]}
    disarmed()

    with callbacks(recorder):
        list(traced.chat_model(lambda _: (it for it in [chunk]))("hello"))

    (told,) = recorder.events[-1].data["tool_calls"]
    assert told["name"] == "f"


@pytest.mark.rule(13, "sync")
def test_texts_of_a_class_of_their_own(disarmed: Callable[[], None]) -> None:
    """
    Names, kinds, tags, keys of metadata and models are kept as plain text.
    """
    recorder, odd = Recorder(), Key("odd")
    given: Any = {"kind": odd, "tags": [odd], "model": odd, "provider": odd}
    decorated = traced(odd, metadata={odd: 1}, **given)(lambda: odd)
    blocks = callbacks(*heard_by(recorder), tags=[odd], metadata={odd: 1})
    disarmed()

    with blocks:
        decorated()
        emit(odd, odd)
        with traced(odd, **given) as run:
            run.model = odd
            run.emit(odd, odd)
            run.token(odd)
        traced(kind="retriever")(lambda query: query)(odd)

    texts = [run.name, run.kind, run.model, run.provider, *run.tags, *run.metadata]
    assert {type(text) for text in texts} == {str}
    assert [event.data["name"] for event in recorder.events if "name" in event.data]
    assert [run.status for run in recorder.runs] == ["ok"] * 3


def test_enum_as_a_name() -> None:
    """
    Of an enum that is a text, its value is the name.
    """

    class Names(str, enum.Enum):  # noqa: UP042 - whose text is another
        FIRST = "first"

    recorder = Recorder()
    with callbacks(recorder), traced(Names.FIRST, model=Names.FIRST, kind=Names.FIRST):
        pass

    (run,) = recorder.runs
    assert (run.name, run.kind, run.model) == ("first", "first", "first")
    assert {type(text) for text in (run.name, run.kind, run.model)} == {str}


@pytest.mark.parametrize("mark", ["__dataclass_fields__", "__attrs_attrs__", "_fields"])
def test_fields_that_are_none(mark: str, disarmed: Callable[[], None]) -> None:
    """
    A class that keeps something else under such a name is told like any other.
    """

    class Odd(dict[str, Any]):
        def __iter__(self) -> Any:
            ask()

    held: Any = {Key("x"): SimpleNamespace(repr=True)}
    base: Any = tuple if mark == "_fields" else object
    kind: Any = type("Odd", (base,), {mark: Odd(held) if base is object else Thing})
    value, recorder = kind(), Recorder()
    disarmed()

    with callbacks(recorder, lambda event: event.to_json()):
        assert traced(lambda it: it)(value) is value

    assert recorder.runs[0].status == "ok"
