"""
`Secret`, ``redact=`` and ``capture=False``: what must not reach a handler does not.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from functools import wraps
from typing import Any

import pytest

from instrument import BaseCallbackHandler, callbacks, emit, traced
from instrument.testing import Recorder

Called = Callable[..., Awaitable[Any]]


pytestmark = pytest.mark.anyio


every_mode = ("sync", "async", "generator", "async generator")


KEY = "hunter2"


def like(body: Callable[..., Any], decorate: Callable[[Any], Any]) -> Any:
    """
    Decorate a function of any mode so that it has the name and signature of *body*.
    """
    return lambda function: decorate(wraps(body)(function))


def mask(value: Any, path: tuple[str | int, ...]) -> Any:
    """
    Mask every string that is the key.
    """
    return "***" if isinstance(value, str) and KEY in value else value


@pytest.mark.parametrize("redact", [mask, ["key"]], ids=["function", "names"])
@pytest.mark.rule(16, *every_mode)
async def test_redacted_argument(everything: Any, called: Called, redact: Any) -> None:
    """
    What ``redact`` names or changes is not heard, at any depth of lists and dicts.
    """

    def login(user: object, key: str) -> None:
        got.append((user, key))

    got: list[object] = []
    user = {"name": "me", "keys": [{"key": KEY}, ({"key": KEY},)]}

    with callbacks(everything), callbacks(redact=redact):
        await called(like(login, traced), login, user, KEY)

    assert got == [({"name": "me", "keys": [{"key": KEY}, ({"key": KEY},)]}, KEY)]
    assert KEY not in everything.text
    assert "me" in everything.text


@pytest.mark.parametrize("kind", ["chain", "tool", "retriever", "llm", "chat_model"])
@pytest.mark.rule(16, *every_mode)
async def test_redacted_result(everything: Any, called: Called, kind: str) -> None:
    """
    Results, chunks, tokens and answers go through the redactor as well.
    """

    with callbacks(everything, redact=mask):
        got = await called(traced(kind=kind), lambda: KEY)

    assert got in (KEY, [KEY])
    assert KEY not in everything.text
    assert "***" in everything.text


@pytest.mark.rule(16, "sync")
def test_redacted_words_of_a_run(everything: Any) -> None:
    """
    Text, emitted data, metadata and error messages go through the redactor as well.
    """

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
def test_redactor_of_an_inner_block(everything: Any) -> None:
    """
    A redactor of a block inside a run holds for what is emitted in that block.
    """

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

    outer, inner = (
        callbacks(recorder, redact=wrapped("a")),
        callbacks(redact=wrapped("b")),
    )
    with outer, inner, traced("run", inputs={"x": "1"}) as run:
        run.outputs = "2"

    assert recorder.runs[0].inputs == {"x": "b(a(1))"}
    assert recorder.events[-1].data["outputs"] == "b(a(2))"


@pytest.mark.parametrize("failure", [ValueError("broken"), SystemExit(1)])
@pytest.mark.rule(16, *every_mode)
async def test_redactor_that_fails(
    everything: Any, called: Called, failure: BaseException, reports: list[str]
) -> None:
    """
    A redactor that raises drops the payload, is reported once, and the call goes on.
    """

    def fail(value: object, path: object) -> Any:
        raise failure

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


def test_retry_state(everything: Any) -> None:
    """
    What a retry was told with went past ``redact=`` and ``capture=False``.
    """
    recorder = Recorder()

    for options in ({"redact": mask}, {"capture": False}):
        with callbacks(everything, recorder, **options), traced("run") as run:
            run.retry(KEY)
            run.retry(3)

    told = [e.data["attempt"] for e in recorder.events if e.event == "on_retry"]
    assert told == ["***", 3, None, 3]
    assert KEY not in everything.text
