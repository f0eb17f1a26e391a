"""
What an object says of itself while something is redacted: what its class has under a
masked name is not shown, what its ``repr`` names is masked, by each name of a field.
"""

import enum
import io
import logging
import subprocess
import types
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import wrapt
from pydantic import BaseModel, Field, computed_field, v1

from instrument import callbacks, current_run, emit, traced
from instrument.handlers import (
    FileCallbackHandler,
    RequestLogger,
    StdOutCallbackHandler,
    TreeHandler,
    background,
)
from instrument.handlers._shared.spans.told import LIMIT, Told
from instrument.testing import Recorder

SECRET = "enigma1940"
SESSION = {"user": "ada", "token": SECRET}


class Session:
    """
    Shows what is kept elsewhere, by name, as a proxy does.
    """

    def __repr__(self) -> str:
        return f"<Session {SESSION}>"


class Account:
    """
    Shows by no name what its class computes.
    """

    def __init__(self) -> None:
        self.user = "ada"

    @property
    def token(self) -> str:
        """
        Be in no instance.
        """
        return SECRET

    @staticmethod
    def renewed() -> str:
        """
        Be a method, for which no function is asked.
        """
        return SECRET

    def __repr__(self) -> str:
        return f"Account({self.user}, {self.token})"


@traced
def take(given: Any) -> None:
    """
    Be given something.
    """


def by_name(value: Any, path: Any) -> Any:
    """
    Mask what stands under one name.
    """
    return "***" if path[-1] == "token" else value


def by_text(value: Any, path: Any) -> Any:
    """
    Mask one text wherever it stands.
    """
    return value.replace(SECRET, "***") if type(value) is str else value


def of_numbers(value: Any, path: Any) -> Any:
    """
    Fail on a text under one name.
    """
    return round(value) if path[-1] == "token" else value


def everything_told(value: Any, redact: Any, folder: Path) -> list[str]:
    """
    Give what each handler tells of *value*, in all places.
    """
    stream, recorder, kept = io.StringIO(), Recorder(), list[str]()
    log = logging.getLogger("own reprs")
    log.propagate, log.handlers = False, [logging.StreamHandler(stream)]
    log.setLevel(logging.INFO)

    @traced.tool
    def work(given: Any) -> Any:
        emit("said", {"it": given})
        with traced("inner", kind="chat_model", inputs=[given]) as run:
            run.outputs = given
        return [given]

    @traced
    def fails() -> None:
        raise LookupError(value)

    def spans(*_: Any, run: Any, **__: Any) -> None:
        told = Told(run, LIMIT, None)
        told.happens("said", run.inputs)
        told.ends(run)
        kept.extend([told._asked, told._answered, *(it[2] for it in told.events)])

    with callbacks(
        recorder,
        TreeHandler(stream),
        StdOutCallbackHandler(stream),
        background(StdOutCallbackHandler(stream)),
        RequestLogger(log, payload=True),
        FileCallbackHandler(folder / "events.jsonl"),
        on_tool_start=lambda input_str: kept.append(input_str),  # noqa: PLW0108 - by name
        on_tool_end=spans,
        redact=redact,
        metadata={"it": value},
    ):
        work(value)
        with pytest.raises(LookupError):
            fails()
    kept += [event.to_json() for event in recorder.events]
    return [*kept, stream.getvalue(), (folder / "events.jsonl").read_text("utf-8")]


@pytest.mark.parametrize(
    "redact", [["token"], by_text], ids=["names", "function of texts"]
)
def test_what_a_repr_says_by_name(redact: Any, tmp_path: Path) -> None:
    """
    What an object shows from elsewhere is masked as the message of an error is: after the
    name that it stands under, or as a function has it.
    """
    told = everything_told(Session(), redact, tmp_path)

    assert SECRET not in "".join(told)
    assert "<Session {'user': 'ada', 'token': " in "".join(told)


@pytest.mark.parametrize("redact", [["token"], by_name, of_numbers])
def test_what_a_class_computes(redact: Any, tmp_path: Path) -> None:
    """
    An object that writes its own ``repr``, and whose class has something under a masked
    name, is told by its fields: for a function too, also one that fails on what stands
    for what is not asked.
    """
    told = everything_told(Account(), redact, tmp_path)

    assert SECRET not in "".join(told)
    assert '{"given":{"type":"Account","user":"ada"}}' in "".join(told)


class Address:
    """
    Computes what it holds within a text, and hides it, as an address of httpx does.
    """

    def __init__(self) -> None:
        self.host = "localhost"
        self._written = f"https://ada:{SECRET}@localhost"

    @property
    def token(self) -> str:
        """
        Be in no field of that name.
        """
        return SECRET

    def __repr__(self) -> str:
        return f"Address({self.host})"


class AddressError(Address, LookupError):
    """
    An error that hides it too.
    """


class Shown(Address):
    """
    Shows it, under no name, as an address of yarl does.
    """

    def __repr__(self) -> str:
        return f"Shown({self.host}, {self._written})"


@dataclass(repr=False)
class Declared(Address):
    """
    Declares the field that it computes it from, and hides it.
    """

    host: str = "localhost"
    _written: str = f"https://ada:{SECRET}@localhost"


@dataclass
class Generated(Declared):
    """
    Has its ``repr`` from its fields.
    """


class Slotted(Address):
    """
    Has it in a slot, and as a list.
    """

    __slots__ = ("_parts",)

    def __init__(self) -> None:
        super().__init__()
        self._parts = ["ada", SECRET]


@pytest.mark.parametrize("redact", [["token"], by_name])
@pytest.mark.parametrize(
    "kind", [Address, AddressError, Declared, Generated, Shown, Slotted]
)
def test_what_a_repr_hides(kind: type[Any], redact: Any, tmp_path: Path) -> None:
    """
    An object that is told by its fields, as its class has something under a masked name,
    shows none that its ``repr`` hides, and none that may be what the class computes that
    from: it is told no more with a redactor than without.
    """
    told = everything_told(kind(), redact, tmp_path)
    held = everything_told(types.SimpleNamespace(held=kind()), redact, tmp_path)

    assert SECRET not in "".join([*told, *held])
    assert '"host":"localhost"' in "".join(told)


@pytest.mark.parametrize("redact", [["token"], by_name])
@pytest.mark.parametrize("way", ["alias", "generator"])
def test_what_a_model_computes_under_another_name(
    way: str, redact: Any, tmp_path: Path
) -> None:
    """
    What a model computes, and writes under a masked name, is not shown.
    """
    alias = "token" if way == "alias" else None

    class Login(BaseModel):
        model_config = {"alias_generator": {"it": "token", "user": "user"}.__getitem__}
        user: str = "ada"

        @computed_field(alias=alias)  # type: ignore[prop-decorator]
        @property
        def it(self) -> str:
            return SECRET

    told = everything_told(types.SimpleNamespace(held=Login()), redact, tmp_path)

    assert SECRET not in "".join(told)
    assert '"user":"ada"' in "".join(told)


def test_proxy_of_what_has_no_fields(reports: list[str]) -> None:
    """
    A proxy of what has no instance dictionary takes nothing of the payload with it.
    """
    recorder = Recorder()

    with callbacks(recorder, redact=["token"]):
        take({"user": "ada", "more": wrapt.ObjectProxy(SESSION)})

    told = {"user": "ada", "more": {"type": "ObjectProxy"}}
    assert recorder.runs[0].inputs == {"given": told}
    assert reports == []


def gone() -> Any:
    """
    Give a proxy of what has gone.
    """
    return wrapt.WeakFunctionProxy(lambda: None)


def late() -> Any:
    """
    Give a proxy of what cannot be made.
    """
    return wrapt.LazyObjectProxy(lambda: next(iter(())))


@pytest.mark.parametrize("made", [gone, late])
@pytest.mark.parametrize("redact", [["token"], lambda value, path: value])
@pytest.mark.parametrize("kind", ["tool", "llm", "chat_model", "retriever"])
def test_proxy_of_what_is_not_there(
    kind: str, redact: Any, made: Callable[[], Any], reports: list[str]
) -> None:
    """
    A proxy whose object has gone, or cannot be made, takes nothing of the payload with
    it, nor do those that a function or a model gives.
    """
    recorder, proxy = Recorder(), made()

    with callbacks(recorder, redact=redact):
        given = {"user": "ada", "more": proxy}
        assert traced(kind=kind)(lambda given: proxy)(given) is proxy

    assert "ada" in recorder.events[0].to_json()
    assert recorder.runs[0].status == "ok"
    assert reports == []


@pytest.mark.parametrize("held", [{"a": 1}, SESSION, (it for it in "ab")])
@pytest.mark.parametrize("kind", ["llm", "chat_model", "embedding", "retriever"])
def test_proxy_of_what_has_no_fields_as_an_answer(
    kind: str, held: object, reports: list[str]
) -> None:
    """
    A proxy of what has no instance dictionary is read as any answer of unknown shape.
    """
    proxy: Any = wrapt.ObjectProxy(held)

    with callbacks(recorder := Recorder()):
        assert traced(kind=kind)(lambda: proxy)() is proxy

    assert recorder.tree().endswith(": ok")
    assert reports == []


def test_interrupt_of_a_function_that_is_asked_by_name() -> None:
    """
    An interrupt while a function is asked of what a class computes is no failure of it.
    """

    def redact(value: Any, path: Any) -> Any:
        if path[-1] == "token":
            raise KeyboardInterrupt
        return value

    with pytest.raises(KeyboardInterrupt), callbacks(Recorder(), redact=redact):
        take(Account())


def test_class_that_gets_a_name_later() -> None:
    """
    What is put on a class after it was told once is found.
    """

    class Open:
        def __repr__(self) -> str:
            return f"Open({getattr(self, 'token', None)})"

    recorder = Recorder()
    with callbacks(recorder, redact=["token"]):
        take(Open())
        Open.token = SECRET  # type: ignore[attr-defined]
        take(Open())

    told = [it.data["inputs"]["given"] for it in recorder.events if "inputs" in it.data]
    assert told == ["Open(None)", {"type": "Open"}]


def test_many_classes_are_not_kept() -> None:
    """
    Of classes beyond some hundreds it is not kept what they have.
    """
    recorder = Recorder()
    with callbacks(recorder, redact=["token"]):
        for _ in range(501):
            take(type("Made", (Account,), {})())

    starts = [
        it.data["inputs"]["given"] for it in recorder.events if "inputs" in it.data
    ]
    assert starts == [{"type": "Made", "user": "ada"}] * 501


def test_class_without_a_repr_stays() -> None:
    """
    An object that shows nothing of itself stays what it is, whatever its class has.
    """

    class Quiet:
        token = SECRET

    recorder, value = Recorder(), Quiet()
    with callbacks(recorder, redact=["token"]):
        take(value)

    assert recorder.runs[0].inputs["given"] is value


def test_member_of_that_name() -> None:
    """
    A member of an enum that writes its own ``repr`` is no secret by its name.
    """

    class Sort(enum.Enum):
        TOKEN = 1

        def __repr__(self) -> str:
            return "sort"

    recorder = Recorder()
    with callbacks(recorder, redact=["token"]):
        take(Sort.TOKEN)

    assert recorder.runs[0].inputs["given"] is Sort.TOKEN


def test_key_beside_what_the_log_masks(caplog: pytest.LogCaptureFixture) -> None:
    """
    A key that is an object is logged as its ``repr`` may be seen, also beside what the
    log itself masks.
    """
    log = logging.getLogger("keys")
    log.setLevel(logging.INFO)

    with callbacks(RequestLogger(log, payload=True), redact=["token"]):
        take({Session(): {"api_key": "x"}})

    told = "".join(str(vars(record)) for record in caplog.records)
    assert SECRET not in told
    assert "'token': [redacted]" in told


def test_event_in_a_block_that_masks_more() -> None:
    """
    An event emitted in a block that masks more than its run does is told as that has it.
    """
    recorder = Recorder()

    with callbacks(recorder), traced("run"), callbacks(redact=["token"]):
        emit("said", {"it": Session()})

    (said,) = [it for it in recorder.events if it.event == "on_custom_event"]
    assert said.data["data"] == {"it": "<Session {'user': 'ada', 'token': [redacted]}>"}


def test_event_in_a_block_that_masks_more_as_arguments() -> None:
    """
    Handlers that take no records, and know what is masked in the run alone, are told what
    an object says as that block has it; what says nothing stays as it is.
    """
    out = io.StringIO()
    told: list[Any] = []

    def keep(data: Any) -> None:
        told.append(data)

    with (
        callbacks(StdOutCallbackHandler(out, payload=1_000), on_custom_event=keep),
        traced("run"),
        callbacks(redact=["token"]),
    ):
        emit("said", {"it": Session()})
        emit("pair", (1, "a"))

    said, pair = told
    assert said == {"it": "<Session {'user': 'ada', 'token': [redacted]}>"}
    assert pair == (1, "a")
    assert "ada" in out.getvalue()
    assert SECRET not in out.getvalue()


class Older(v1.BaseModel):
    """
    A model as version 1 of pydantic makes them.
    """

    user: str = "ada"
    secret: str = v1.Field(alias="dbPassword")
    hidden: str = v1.Field("hidden", repr=False)

    class Config:
        extra = "allow"


class Newer(BaseModel):
    """
    A model of today's pydantic.
    """

    secret: str = Field(alias="dbPassword")


def kept() -> Any:
    """
    Make an object of a class of attrs.
    """
    attrs = pytest.importorskip("attrs")
    made = attrs.make_class("Kept", {"secret": attrs.field(alias="dbPassword")})
    return made(SECRET)


def struct() -> Any:
    """
    Make a struct of msgspec.
    """
    msgspec = pytest.importorskip("msgspec")
    made = msgspec.defstruct(
        "Struct", [("user", str), ("secret", str, msgspec.field(name="dbPassword"))]
    )
    return made("ada", SECRET)


MODELS: dict[str, Callable[[], Any]] = {
    "pydantic.v1": lambda: Older.parse_obj({"dbPassword": SECRET, "more": 1}),
    "pydantic": lambda: Newer(dbPassword=SECRET),
    "attrs": kept,
    "msgspec": struct,
}


@pytest.mark.parametrize("name", ["db password", "secret"])
@pytest.mark.parametrize("is_function", [False, True])
@pytest.mark.parametrize("model", MODELS)
def test_each_name_of_a_field(model: str, is_function: bool, name: str) -> None:
    """
    A field is masked by each name that it has: that in the code, and that by which it is
    given or written.
    """
    recorder, known = Recorder(), name.replace(" p", "P")

    def redact(value: Any, path: Any) -> Any:
        return "[redacted]" if path[-1] == known else value

    with callbacks(recorder, redact=redact if is_function else [name]):
        take(MODELS[model]())

    assert recorder.events[0].data["inputs"]["given"]["secret"] == "[redacted]"
    assert SECRET not in recorder.events[0].to_json()


def test_fields_of_an_older_model() -> None:
    """
    A model of pydantic's first version is told by its fields, those besides included, but
    what it does not show.
    """
    recorder = Recorder()

    with callbacks(recorder):
        take(Older.parse_obj({"dbPassword": "x", "more": 1}))

    told = recorder.events[0].to_dict()["data"]["inputs"]["given"]
    assert told == {"user": "ada", "secret": "x", "more": 1}


class UnpickleableExceptionWrapper(Exception):  # noqa: N818 - as Celery names it
    """
    What Celery has in the place of an error that cannot be pickled.
    """


@pytest.mark.parametrize(
    "error",
    [
        UnpickleableExceptionWrapper("app", "LoginError", (SECRET,)),
        Exception(f"<class 'app.LoginError'>(['{SECRET}'])"),
    ],
)
@pytest.mark.parametrize("redact", [["token"], by_name])
def test_error_of_a_worker_as_a_value(error: Exception, redact: Any) -> None:
    """
    What Celery has of a worker's error is not told where it is a result, as of a group,
    either.
    """
    recorder = Recorder()

    with callbacks(recorder, redact=redact):
        traced(lambda: [1, error])()

    told = {"type": type(error).__name__, "args": "[redacted]"}
    assert recorder.events[1].data["outputs"] == [1, told]


def test_proxy_of_a_weak_reference() -> None:
    """
    A proxy says what it stands for as text, and nothing else: it is told by its type.
    """
    recorder, held = Recorder(), Session()

    @traced
    def fails(given: Any) -> None:
        raise LookupError(given)

    account = Account()
    with callbacks(recorder, redact=["token"]):
        take([weakref.proxy(account), weakref.proxy(held)])
        with pytest.raises(LookupError):
            fails(weakref.proxy(account))

    assert SECRET not in "".join(event.to_json() for event in recorder.events)


@pytest.mark.parametrize("redact", [["token"], by_text])
def test_what_is_to_be_text_or_a_number(redact: Any) -> None:
    """
    An object given as a piece of text, or as the number of an attempt, is told as its
    ``repr`` may be seen.
    """
    recorder, stream, session = Recorder(), io.StringIO(), Session()

    @traced.chat_model
    def work() -> None:
        run = current_run()
        assert run is not None
        run.token(session)  # type: ignore[arg-type]
        run.retry(types.SimpleNamespace(attempt_number=session))

    shown = (recorder, TreeHandler(stream), StdOutCallbackHandler(stream))
    with callbacks(*shown, redact=redact):
        work()

    told = [event.to_json() for event in recorder.events]
    assert SECRET not in "".join([*told, stream.getvalue()])
    assert "retry <Session {" in stream.getvalue()


class StatementError(Exception):
    """
    Keeps a statement and what stands in the place of its marks, as SQLAlchemy does.
    """

    def __init__(self, statement: str, params: Any) -> None:
        super().__init__("refused")
        self.statement, self.params = statement, params


@pytest.mark.parametrize("params", [(1, SECRET), [(1, SECRET)], {"token_1": SECRET}])
def test_parameters_of_a_statement(params: Any) -> None:
    """
    Of an error that is told as a value, and keeps a statement that names something
    masked, the parameters are masked, as in the message of one that is raised.
    """
    statement = "INSERT INTO u (id, token) VALUES (?, ?)"
    errors = [StatementError(statement, params), StatementError("SELECT id", (1,))]
    recorder = Recorder()

    with callbacks(recorder, redact=["token"]):
        traced(lambda: errors)()

    first, second = recorder.events[1].data["outputs"]
    assert first["params"] == "[redacted]"
    assert SECRET not in recorder.events[1].to_json()
    assert second == "StatementError('refused')"


def test_option_of_a_command() -> None:
    """
    Of a command in an error that is told as a value the word behind a masked option is
    masked, as in the message of an error that is raised.
    """
    words = ["login", "--token", SECRET, "-user", "ada", "--token"]
    recorder = Recorder()

    with callbacks(recorder, redact=["token"]):
        traced(lambda: subprocess.CalledProcessError(1, words))()

    told = recorder.events[1].data["outputs"]
    shown = ["login", "--token", "[redacted]", "-user", "ada", "--token"]
    assert told["args"] == (1, shown)
    assert told["cmd"] == shown
