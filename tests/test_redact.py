"""
`Secret`, ``redact=`` and ``capture=False``: what must not reach a handler does not.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Iterator
from functools import partial, wraps
from typing import TYPE_CHECKING, Annotated, Any, Optional

import pytest

from instrument import BaseCallbackHandler, Secret, callbacks, emit, traced
from instrument.testing import Recorder

if TYPE_CHECKING:
    from nowhere import Unknown  # type: ignore[import-not-found]

Called = Callable[..., Awaitable[Any]]
Password = Annotated[str, Secret]

pytestmark = pytest.mark.anyio
every_mode = ("sync", "async", "generator", "async generator")

KEY = "hunter2"


class Pin(Secret):
    """
    A secret of somebody's own.
    """


class Everything(Recorder):
    """
    Keeps all that any event carries, as text.
    """

    def __init__(self) -> None:
        super().__init__()
        self.text = ""

    def __getattribute__(self, name: str) -> Any:
        if not name.startswith("on_") or name == "on_event":
            return super().__getattribute__(name)

        def hear(*args: Any, **kwargs: Any) -> None:
            for value in (*args, *kwargs.values()):
                self.text += f" {getattr(value, 'generations', value)!r}"
                self.text += f" {getattr(value, '__dict__', '')!r}"

        return hear

    def on_event(self, event: Any, **kwargs: Any) -> None:
        super().on_event(event)
        self.text += event.to_json()
        self.text += repr([event.run.inputs, event.run.outputs, event.run.params])


def plain(key: Annotated[str, Secret]) -> str: ...  # type: ignore[empty-body]
def instance(key: Annotated[str, Secret()]) -> str: ...  # type: ignore[empty-body]
def subclass(key: Annotated[str, Pin]) -> str: ...  # type: ignore[empty-body]
def union(key: Annotated[str, Secret] | None) -> str: ...  # type: ignore[empty-body]
def optional(key: Optional[Annotated[str, Secret]]) -> str: ...  # type: ignore[empty-body]  # noqa: UP045
def listed(key: list[Annotated[str, Secret]]) -> str: ...  # type: ignore[empty-body]
def deep(key: dict[str, list[Annotated[str, Secret]]]) -> str: ...  # type: ignore[empty-body]
def twice(key: Annotated[Annotated[str, Secret], "more"]) -> str: ...  # type: ignore[empty-body]
def default(key: Annotated[str, Secret] = KEY) -> str: ...  # type: ignore[empty-body]
def several(*key: Annotated[str, Secret]) -> str: ...  # type: ignore[empty-body]
def alias(key: Password) -> str: ...  # type: ignore[empty-body]
def beside_unknown(key: Annotated[str, Secret], other: Unknown = 1) -> str: ...  # type: ignore[empty-body]
def alias_beside_unknown(key: Password, other: Unknown = 1) -> str: ...  # type: ignore[empty-body]


def own(key: Annotated[str, Secret]) -> str: ...  # type: ignore[empty-body]


own.__annotations__ = {"key": Annotated[str, Secret]}  # as without the __future__ import

FORMS = [
    plain,
    instance,
    subclass,
    union,
    optional,
    listed,
    deep,
    twice,
    default,
    several,
    alias,
    beside_unknown,
    alias_beside_unknown,
    own,
]


def like(body: Callable[..., Any], decorate: Callable[[Any], Any]) -> Any:
    """
    Decorate a function of any mode so that it has the name and signature of *body*.
    """
    return lambda function: decorate(wraps(body)(function))


@pytest.mark.parametrize("form", FORMS, ids=[form.__name__ for form in FORMS])
@pytest.mark.parametrize("kind", ["chain", "llm", "tool"])
@pytest.mark.rule(16, *every_mode)
async def test_secret_argument(called: Called, form: Callable[..., Any], kind: str) -> None:
    """
    An argument marked `Secret`, in any form of annotation, never reaches a handler.
    """
    everything = Everything()
    got: list[object] = []

    with callbacks(everything):
        await called(like(form, traced(kind=kind)), got.append, KEY)

    assert got == [KEY]
    assert "[redacted]" in everything.text
    assert KEY not in everything.text


@pytest.mark.rule(16, "sync")
def test_secret_of_callables() -> None:
    """
    Methods, partials and callable objects keep their secrets too.
    """

    class Client:
        @traced
        def login(self, user: str, key: Password) -> None: ...

        @traced
        @classmethod
        def make(cls, key: Password) -> None: ...

        @traced
        @staticmethod
        def check(key: Password) -> None: ...

        def __call__(self, key: Password) -> None: ...

    everything = Everything()
    with callbacks(everything):
        Client().login("me", KEY)
        Client.login(Client(), "me", key=KEY)
        Client.make(KEY)
        Client.check(KEY)
        traced(Client())(KEY)
        traced(partial(alias_of_two, 1))(KEY)
        traced(partial(alias_of_two, key=KEY))(1)

    assert KEY not in everything.text
    assert "me" in everything.text


def alias_of_two(number: int, key: Password) -> None:
    """
    Be what a partial is made of.
    """


@pytest.mark.skipif(sys.version_info < (3, 12), reason="type statements are of 3.12")
@pytest.mark.rule(16, "sync")
def test_secret_in_a_type_statement() -> None:
    """
    ``type Key = Annotated[str, Secret]`` marks a secret like any alias.
    """
    names: dict[str, Any] = {"Annotated": Annotated, "Secret": Secret}
    exec("type Key = Annotated[str, Secret]\ndef use(key: Key): ...", names)  # noqa: S102
    everything = Everything()

    with callbacks(everything):
        traced(names["use"])(KEY)

    assert KEY not in everything.text


@pytest.mark.rule(16, "sync", "generator")
def test_secret_of_a_wrong_call() -> None:
    """
    A call that does not fit the signature shows no secret either.
    """
    everything = Everything()

    with callbacks(everything), pytest.raises(TypeError):
        traced(plain)(KEY, "one too many")
    with callbacks(everything), pytest.raises(TypeError):
        traced(plain)(KEY, extra=KEY)

    assert KEY not in everything.text


def mask(value: Any, path: tuple[str | int, ...]) -> Any:
    """
    Mask every string that is the key.
    """
    return "***" if isinstance(value, str) and KEY in value else value


@pytest.mark.parametrize("redact", [mask, ["key"]], ids=["function", "names"])
@pytest.mark.rule(16, *every_mode)
async def test_redacted_argument(called: Called, redact: Any) -> None:
    """
    What ``redact`` names or changes is not heard, at any depth of lists and dicts.
    """

    def login(user: object, key: str) -> None:
        got.append((user, key))

    got: list[object] = []
    user = {"name": "me", "keys": [{"key": KEY}, ({"key": KEY},)]}
    everything = Everything()

    with callbacks(everything), callbacks(redact=redact):
        await called(like(login, traced), login, user, KEY)

    assert got == [({"name": "me", "keys": [{"key": KEY}, ({"key": KEY},)]}, KEY)]
    assert KEY not in everything.text
    assert "me" in everything.text


@pytest.mark.parametrize("kind", ["chain", "tool", "retriever", "llm", "chat_model"])
@pytest.mark.rule(16, *every_mode)
async def test_redacted_result(called: Called, kind: str) -> None:
    """
    Results, chunks, tokens and answers go through the redactor as well.
    """
    everything = Everything()

    with callbacks(everything, redact=mask):
        got = await called(traced(kind=kind), lambda: KEY)

    assert got in (KEY, [KEY])
    assert KEY not in everything.text
    assert "***" in everything.text


@pytest.mark.rule(16, "sync")
def test_redacted_words_of_a_run() -> None:
    """
    Text, emitted data, metadata and error messages go through the redactor as well.
    """
    everything = Everything()

    def fail() -> None:
        raise ValueError(KEY)

    with callbacks(everything, redact=mask, metadata={"password": KEY}):
        with traced("run", inputs={"a": KEY}) as run:
            run.text(KEY)
            run.emit("login", {"a": [KEY]})
            run.add_metadata(password=KEY, more=KEY)
            emit("login", KEY)
            run.outputs = [KEY]
            traced(lambda: None)()
        emit("outside", {"a": KEY})

    assert KEY not in everything.text
    assert everything.runs[0].metadata == {"password": "***", "more": "***"}


@pytest.mark.rule(16, "sync")
def test_redacted_error_message() -> None:
    """
    The message of an error in an `Event` goes through the redactor.
    """
    recorder = Recorder()

    def fail() -> None:
        raise ValueError(KEY)

    with callbacks(recorder, redact=mask), pytest.raises(ValueError, match=KEY):
        traced(fail)()

    assert recorder.events[-1].data["message"] == "***"
    assert KEY not in recorder.events[-1].to_json()


@pytest.mark.rule(16, "sync")
def test_redactor_of_an_inner_block() -> None:
    """
    A redactor of a block inside a run holds for what is emitted in that block.
    """
    everything = Everything()

    with callbacks(everything), traced("run"), callbacks(redact=["password"]):
        emit("login", {"password": KEY})

    assert KEY not in everything.text


@pytest.mark.rule(16, "sync")
def test_redactors_add_up() -> None:
    """
    Redactors of all blocks around a run are applied, outer ones first, once each.
    """
    recorder = Recorder()

    def wrapped(mark: str) -> Callable[[Any, object], Any]:
        return lambda value, path: f"{mark}({value})" if type(value) is str else value

    with callbacks(recorder, redact=wrapped("a")), callbacks(redact=wrapped("b")):
        with traced("run", inputs={"x": "1"}) as run:
            run.outputs = "2"

    assert recorder.runs[0].inputs == {"x": "b(a(1))"}
    assert recorder.events[-1].data["outputs"] == "b(a(2))"


@pytest.mark.parametrize("failure", [ValueError("broken"), SystemExit(1)])
@pytest.mark.rule(16, *every_mode)
async def test_redactor_that_fails(
    called: Called, failure: BaseException, reports: list[str]
) -> None:
    """
    A redactor that raises drops the payload, is reported once, and the call goes on.
    """

    def fail(value: object, path: object) -> Any:
        raise failure

    everything = Everything()
    with callbacks(everything, redact=fail, metadata={"a": KEY}):
        got = await called(traced, lambda given: given, KEY)

    assert got in (KEY, [KEY])
    assert KEY not in everything.text
    assert everything.runs[0].metadata == {}
    assert len([line for line in reports if "failed at redact of inputs" in line]) == 1


@pytest.mark.rule(16, "sync")
def test_prompts_of_a_redactor_that_fails() -> None:
    """
    Dropped prompts and messages keep their shape: a list, for handlers that loop.
    """

    def fail(value: object, path: object) -> Any:
        raise ValueError

    heard: list[Any] = []

    class Old(BaseCallbackHandler):
        def on_llm_start(self, serialized: Any, prompts: Any, **_: Any) -> None:
            heard.append(prompts)

    with callbacks(Old(), redact=fail):
        traced.llm(lambda prompt: None)("secret")
        traced.chat_model(lambda messages: None)("secret")

    assert all(isinstance(prompts, list) for prompts in heard)
    assert "secret" not in repr(heard)
    assert all("dropped" in prompts[0] and len(prompts) == 1 for prompts in heard)


def test_redactor_of_sets() -> None:
    """
    Sets are looked into like lists.
    """
    recorder = Recorder()

    with callbacks(recorder, redact=mask):
        traced(lambda keys, more: None)({KEY}, frozenset([KEY]))

    assert KEY not in repr(recorder.runs[0].inputs)


class TooOften(BaseException):
    """
    Ends a test that would not end.
    """


@pytest.mark.parametrize("shape", ["cycle", "bush"])
def test_redactor_of_endless_data(shape: str) -> None:
    """
    Data that holds itself, or the same again and again, is redacted in bounded time.
    """
    asked = 0

    def count(value: object, path: object) -> Any:
        nonlocal asked
        asked += 1
        if asked > 1_000_000:
            raise TooOften
        return value

    data: list[Any] = []
    if shape == "cycle":
        data += [data, data]
    else:
        for _ in range(40):
            data = [data, data]

    with callbacks(Recorder(), redact=count):
        assert traced(lambda given: 1)(data) == 1


@pytest.mark.rule(16, "generator")
def test_names_do_not_mask_the_stream() -> None:
    """
    ``redact=["token"]`` masks what stands under that name, not every streamed token.
    """
    recorder = Recorder()

    @traced.llm
    def model() -> Iterator[str]:
        yield "Hi"

    with callbacks(recorder, redact=["token", "text", "inputs", "outputs"]):
        list(model())
        traced(lambda token: "out")(KEY)

    assert recorder.events[1].data["token"] == "Hi"
    assert recorder.find(kind="chain")[0].inputs == {"token": "[redacted]"}
    assert recorder.find(kind="chain")[0].outputs == "out"


@pytest.mark.parametrize("redact", [3, "password", object(), [1], str, {"a": 1}])
def test_redact_that_is_none(redact: Any) -> None:
    """
    What is neither a function nor a list of names is refused, with the cure.
    """
    with pytest.raises(TypeError, match=r"function \(value, path\) -> value or a list"):
        callbacks(Recorder(), redact=redact)


@pytest.mark.parametrize(
    "kind", ["chain", "tool", "retriever", "embedding", "llm", "chat_model"]
)
@pytest.mark.rule(16, *every_mode)
async def test_capture_false(called: Called, kind: str) -> None:
    """
    ``capture=False`` keeps all payloads from every handler below, outer ones included.
    """

    def body(given: str) -> str:
        emit("told", KEY)
        return given

    everything = Everything()
    with callbacks(everything), callbacks(capture=False):
        got = await called(traced(kind=kind), body, KEY)

    assert got in (KEY, [KEY])
    assert KEY not in everything.text
    assert [run.status for run in everything.runs] == ["ok"]


@pytest.mark.rule(16, "sync")
def test_capture_false_of_an_inner_block() -> None:
    """
    A block inside a run keeps what is emitted in it from outer handlers.
    """
    everything = Everything()

    with callbacks(everything), traced("run"), callbacks(capture=False):
        emit("login", {"password": KEY})

    assert KEY not in everything.text
