"""
`Secret`, ``redact=`` and ``capture=False``: what must not reach a handler does not.
"""

from __future__ import annotations

import collections
import copy
import io
import json
import logging
import pickle
import sys
import threading
import time
import types
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from functools import partial, wraps
from http import HTTPMethod
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, NamedTuple

import pytest

from instrument import (
    BaseCallbackHandler,
    Event,
    callbacks,
    current_run,
    emit,
    traced,
)
from instrument._payloads.jsonable import jsonable
from instrument._payloads.names import MASK, Names, is_in
from instrument._payloads.redact import OPENED, as_redactor, redacted
from instrument.handlers import (
    RequestLogger,
    StdOutCallbackHandler,
    StoreHandler,
    background,
    tail,
)
from instrument.propagation import attach, carrier
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
def test_metadata_in_an_inner_block(everything: Any) -> None:
    """
    What a block inside a run masks is masked in the run's metadata that is told with
    what is emitted there; where its redactor fails, none is told.
    """
    typed: list[object] = []

    def hear(metadata: object) -> None:
        typed.append(metadata)

    told = callbacks(on_custom_event=hear, metadata={"password": KEY, "team": "search"})
    with told, traced("run") as run:
        with callbacks(everything, redact=["password"]):
            emit("login")
        with callbacks(redact=lambda value, path: 1 / 0):
            emit("login")
        emit("login")

    shown = {"password": "[redacted]", "team": "search"}
    assert typed == [shown, {}, {"password": KEY, "team": "search"}]
    assert everything.events[0].metadata == shown
    assert run.metadata["password"] == KEY


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


@pytest.mark.parametrize(
    "failure", [ValueError("broken"), SystemExit(1), BaseException()]
)
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
    with pytest.raises(
        TypeError, match=r"function \(value, path\) -> value or a list"
    ) as refused:
        callbacks(Recorder(), redact=redact)

    assert str(refused.value).endswith("redact=['password'].") == (redact == "password")


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


def test_attempt_that_is_no_number() -> None:
    """
    An attempt may be told by anything; in it, too, names mask.
    """
    recorder = Recorder()

    with callbacks(recorder, redact=["password"]), traced("run") as run:
        run.retry({"attempt_number": {"of": 3, "password": KEY}})

    assert recorder.events[1].data == {"attempt": {"of": 3, "password": MASK}}


def test_attempts_told_to_a_function_elsewhere() -> None:
    """
    Where the function that redacts is in another process, an attempt's error says what it
    was made of as plain texts and numbers, and nothing where it may hold more.
    """
    recorder = Recorder()
    with callbacks(Recorder(), redact=lambda value, path: value), traced("request"):
        carried = carrier()
    del carried["return"]  # it is told here

    with callbacks(recorder), attach(carried), traced("job") as run:
        for given in ("busy", 3, {"password": KEY}):
            outcome: Future[None] = Future()
            outcome.set_exception(LookupError(given))
            run.retry(types.SimpleNamespace(attempt_number=2, outcome=outcome))

    told = [it.data["message"] for it in recorder.events if it.event == "on_retry"]
    assert told == ["busy", "3", MASK]


@pytest.mark.parametrize("options", [{"redact": ["password"]}, {"capture": False}])
def test_event_of_a_masked_name(options: Any, everything: Any) -> None:
    """
    What the application tells under a name that is masked is masked, in a run or out of
    any.
    """
    with callbacks(everything, **options):
        emit("password", KEY)
        emit("news", {"user": "grace"})
        with traced("run") as run:
            run.emit("dbPassword", KEY)

    assert KEY not in everything.text
    assert ("grace" in everything.text) == ("redact" in options)


MASKED = [
    ("password", "Password", True),
    ("password", "X-PASSWORD", True),
    ("password", "dbPassword", True),
    ("password", "db_password", True),
    ("password", "user.password", True),
    ("password", "passwords", False),
    ("token", "access_token", True),
    ("token", "input_tokens", False),
    ("api_key", "apiKey", True),
    ("api-key", "X-API-KEY", True),
    ("apikey", "API_KEY", True),
    ("key", "monkey", False),
    ("APIKey", "api_key", True),
    ("пароль", "мойПароль", True),
    ("пароль", "ПАРОЛЬ", True),
    ("cl\u00e9", "monCle\u0301", True),
    ("cle\u0301", "CL\u00c9", True),
    ("password", "\uff30assword", True),
    ("password", "x" * 600 + "_password", True),
]


@pytest.mark.parametrize("name, key, is_masked", MASKED)
def test_names_by_words(name: str, key: str, is_masked: bool) -> None:
    """
    A name masks what ends in it as whole words, whatever the case and what parts them.
    """
    shown = redacted({"held": {key: KEY}}, (as_redactor([name]),), ("inputs",))

    assert shown == {"held": {key: MASK if is_masked else KEY}}


@pytest.mark.parametrize("given", [["password", 1], [None], {b"password"}])
def test_redact_names_that_are_none(given: Any) -> None:
    """
    A list with something that is no string is refused, with the cure.
    """
    with pytest.raises(TypeError, match=r"in the list is no name\. Give strings"):
        callbacks(redact=given)


@pytest.mark.parametrize("given", [[""], ["password", " "], ["--"]])
def test_redact_empty_names(given: Any) -> None:
    """
    A name without a letter would mask nothing: it is refused, with the cure.
    """
    with pytest.raises(ValueError, match="would mask nothing"):
        callbacks(redact=given)


def test_most_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    What is known of names that come from outside is bounded.
    """
    monkeypatch.setattr("instrument._payloads.names._MOST_NAMES", 1)
    names: Any = as_redactor(["password"])

    shown = redacted({"a": 1, "b": 2, "password": 3}, (names,), ("inputs",))

    assert shown == {"a": 1, "b": 2, "password": MASK}
    assert len(names._known) == 1


class Header(NamedTuple):
    """
    A pair with names.
    """

    name: str
    value: Any


NAMES = (as_redactor(["password"]),)
SHAPES: list[tuple[Any, Any]] = [
    ([("password", KEY)], [("password", MASK)]),
    ([["password", KEY], ["a", 1]], [["password", MASK], ["a", 1]]),
    ([[1, 2], [2.5, 3]], [[1, 2], [2.5, 3]]),
    (["password", "user"], ["password", "user"]),
    ({"password", "user"}, {"password", "user"}),
    (frozenset([1]), frozenset([1])),
    ({(1, 2)}, {(1, 2)}),
    ('{"password": "x"}', '{"password": "[redacted]"}'),
    (' [{"a": 1}]', ' [{"a": 1}]'),
    ('{"password": "hun', MASK),
    ('{"a": "hun', '{"a": "hun'),
    ("{'password': 'x'}", MASK),
    ("[1] as was shown", "[1] as was shown"),
    ('"a\\u0070', MASK),
    ("[" * 100_000 + '"password":', MASK),
    ("[1," * 400_000, f"{('[1,' * 400_000)[:1_000_000]}… [200000 more characters]"),
    (time.struct_time(range(9)), time.struct_time(range(9))),
    ({(1, "a"): 1}, {(1, "a"): 1}),
    ({HTTPMethod.GET: {"password": 1}}, {"GET": {"password": MASK}}),
    ('{"a": {"password": "x"}, "a": 1}', MASK),
    ('{"a": "{\\"password\\": \\"x', MASK),
    ('[["password", "x', MASK),
    ("[('password', 'x')]", MASK),
    ('["user", "password", "x', '["user", "password", "x'),
    ('{"user": "password", "x', '{"user": "password", "x'),
    (
        {'{"password": 1}': 1, '{"password": 2}': 2, '{"a": 1}': 3},
        {
            '{"password": "[redacted]"}': 1,
            '{"password": "[redacted]"} (2)': 2,
            '{"a": 1}': 3,
        },
    ),
    ([Header("a", 1)], [Header("a", 1)]),
    ([Header("X-Password", 1)], [{"name": "X-Password", "value": MASK}]),
]


@pytest.mark.parametrize("given, shown", SHAPES, ids=range(len(SHAPES)))
def test_masked_shapes(given: Any, shown: Any) -> None:
    """
    Pairs and JSON are looked into; JSON that cannot be read is not shown where it names
    what is masked.
    """
    told = redacted({"held": given}, NAMES, ("inputs",))

    assert told == {"held": shown}


class Listed(list[Any]):
    """
    A list of an application's own.
    """


@pytest.mark.parametrize("made_of", [deque, Listed])
def test_pairs_of_other_sequences(made_of: Callable[[list[str]], Any]) -> None:
    """
    A pair is one in whatever sequence that is, and where it stands among others.
    """
    pair = made_of(["password", "s3cret"])
    names = (as_redactor(["password"]),)

    shown = [redacted(it, names, ("inputs",)) for it in (pair, [pair], {"a": (pair,)})]

    assert shown == [
        ["password", MASK],
        [["password", MASK]],
        {"a": (["password", MASK],)},
    ]


@pytest.mark.parametrize("space", ["\v", "\f", "\x1c", "\xa0", "\u2028", "\u3000"])
def test_json_behind_any_space(space: str) -> None:
    """
    JSON is masked behind whatever ``str.strip`` takes away before it is read.
    """
    text = space + '{"password": "s3cret"}'
    names = (as_redactor(["password"]),)

    assert redacted(text, names, ("inputs",)) == MASK
    assert redacted({"a": [text]}, names, ("inputs",)) == {"a": [MASK]}


@pytest.mark.parametrize("redact", [["password"], lambda value, _: value])
@pytest.mark.parametrize("depth", range(25, 40))
def test_json_that_stands_deep(depth: int, redact: Any) -> None:
    """
    JSON that stands too deep to be looked into is not shown.
    """
    held: Any = {"arguments": f'{{"password": "{KEY}"}}'}
    for _ in range(depth):
        held = {"arguments": held}

    shown = redacted({"a": held}, (as_redactor(redact),), ("inputs",))

    assert KEY not in str(shown) or (callable(redact) and depth < 29)


def test_tokens_that_are_objects() -> None:
    """
    What is told as a token and is no text is looked into before it is made one.
    """
    recorder = Recorder()

    with callbacks(recorder, redact=["password"]), traced("run", kind="llm") as run:
        run.token(Shown(KEY))  # type: ignore[arg-type]
        run.token(Shown(KEY), channel="reasoning")  # type: ignore[arg-type]

    told = [it.data["token"] for it in recorder.events if "token" in it.data]
    assert told == [MASK] * 2


class Shown:
    """
    An object whose ``repr`` shows its field, and no name.
    """

    def __init__(self, password: str) -> None:
        self.password = password

    def __repr__(self) -> str:
        return self.password


def test_keys_that_hold_the_secret() -> None:
    """
    A key that is an object is told by its type where something in it is masked.
    """
    first, second = [Fixed("password", n) for n in (1, 2)]
    third = Fixed("user", 3)

    told = redacted({first: 1, second: 2, third: 3}, NAMES, ("inputs",))

    assert told == {"<Fixed>": 1, "<Fixed> (2)": 2, "Fixed": 3}


class Fixed:
    """
    An object with one field of any name.
    """

    def __init__(self, name: str, value: Any) -> None:
        vars(self)[name] = value

    def __repr__(self) -> str:
        return "Fixed"


def test_unchanged_objects_stay() -> None:
    """
    An object in which nothing is masked is handed on as it is, with what leads back.
    """
    it = Fixed("held", [1])
    vars(it)["itself"] = it
    odd = {it: it}

    told = redacted({"it": it, "odd": odd}, NAMES, ("inputs",))

    assert told["it"] is it
    assert told["odd"] is odd


def test_changed_object_is_told_by_its_fields() -> None:
    """
    Where something in it is masked, an object is told as its type and its fields; what
    leads back to it is told by type.
    """
    outer, inner = Fixed("password", KEY), Fixed("user", "ada")
    vars(outer)["inner"], vars(inner)["outer"] = inner, outer

    assert redacted(outer, NAMES, ("inputs",)) == {
        "type": "Fixed",
        "password": MASK,
        "inner": {
            "type": "Fixed",
            "user": "ada",
            "outer": "<Fixed that holds this>",
        },
    }


def test_object_too_large_to_walk() -> None:
    """
    An object that leads to more than is looked into is told by its type.
    """
    many = Fixed("held", dict.fromkeys(range(3_000)))
    wide = Fixed("user", "ada")
    vars(wide).update(dict.fromkeys(map(str, range(3_000))))

    assert redacted(many, NAMES, ("inputs",)) == {"type": "Fixed", "held": MASK}
    assert redacted(wide, NAMES, ("inputs",)) == {"type": "Fixed"}
    assert redacted(list(range(200_000)), NAMES, ("inputs",)) == MASK


def test_text_that_stands_for_a_value_is_asked_for() -> None:
    """
    A function is asked for the text of a path or an enum too, as that is what is told.
    """

    def hide(value: Any, path: Any) -> Any:
        return "***" if isinstance(value, str) and KEY in value else value

    told = redacted([PurePosixPath(KEY), PurePosixPath("a")], (hide,), ("inputs",))

    assert told == ["***", PurePosixPath("a")]


def test_function_reads_arguments() -> None:
    """
    A function is asked for what stands in the JSON text of a tool's arguments, and what
    is half of such a text is not shown.
    """

    def hide(value: Any, path: Any) -> Any:
        return "***" if path[-1] == "pin" else value

    given = {"arguments": '{"pin": 1}', "text": '{"pin": 1}', "args": '{"pin": '}

    assert redacted(given, (hide,), ("inputs",)) == {
        "arguments": '{"pin": "***"}',
        "text": '{"pin": 1}',
        "args": MASK,
    }


@pytest.mark.parametrize(
    "text, is_shown",
    [
        (f'{{"pin": "{KEY}', False),
        (f' [{{"pin": "{KEY}"}}, ', False),
        (f'"{{\\"pin\\": \\"{KEY}', False),
        ("{{name}} goes in", True),
        ("[a note] of mine", True),
        ('"Hi", she said', True),
        ("-la /tmp", True),
    ],
)
def test_function_and_half_of_the_arguments(text: str, *, is_shown: bool) -> None:
    """
    A model that was cut short leaves half a call, in which a function finds no field: that
    is not shown; what is no JSON is text.
    """
    told = redacted({"input": text}, (lambda value, _: value,), ("inputs",))

    assert told == {"input": text if is_shown else MASK}


class RefusedError(ValueError):
    """
    An exception that tells one of its arguments, and keeps both.
    """

    def __init__(self, user: str, password: str) -> None:
        self.user = user
        self.password = password

    def __str__(self) -> str:
        return f"{self.user} may not enter"


ERRORS = [
    (ValueError("password=x, a=1"), "password=[redacted], a=1"),
    (ValueError("for 'password': 'x y' now"), "for 'password': [redacted] now"),
    (ValueError("Password: x\nnext"), "Password: [redacted]\nnext"),
    (ValueError("password={'a': 1}"), "password=[redacted]"),
    (ValueError("password=password=x"), "password=[redacted]"),
    (ValueError("password='it''s x', a=1"), "password=[redacted], a=1"),
    (ValueError("password='x'\"'\"'y' now"), "password=[redacted] now"),
    (ValueError("password='''x\nit's y''', a=1"), "password=[redacted], a=1"),
    (ValueError('password="""x\n"y" """'), "password=[redacted]"),
    (ValueError("password='', a='b'"), "password=[redacted], a='b'"),
    (ValueError("got [('password', 'x, y')]"), "got [('password', [redacted])]"),
    (ValueError("got [(b'password', b'x, y')]"), "got [(b'password', [redacted])]"),
    (ValueError("(['password', 'x'])"), "(['password', [redacted]])"),
    (ValueError("no ('user', 'password')"), "no ('user', 'password')"),
    (ValueError({"password": "x"}), "{'password': [redacted]}"),
    (ValueError({"password": "x"}, 1), "({'password': [redacted]}, 1)"),
    (ValueError("no input_tokens: 3"), "no input_tokens: 3"),
    (RefusedError("ada", "x"), "[redacted]"),
]


@pytest.mark.parametrize("error, told", ERRORS, ids=range(len(ERRORS)))
def test_messages_of_errors(error: Exception, told: str) -> None:
    """
    What an error says of a masked name is masked; it is made anew of its arguments
    where they hold one.
    """
    recorder = Recorder()

    def fail() -> None:
        raise error

    with callbacks(recorder, redact=["password"]), pytest.raises(ValueError):
        traced(fail)()

    assert recorder.events[-1].data["message"] == told


@pytest.mark.parametrize(
    "redact", [["password"], lambda value, path: MASK if path == ("error",) else value]
)
def test_error_that_a_provider_tells(redact: Any) -> None:
    """
    What a provider answers in place of an answer is masked as the message of an error.
    """
    recorder = Recorder()
    error = {"code": "refused", "message": f"password={KEY}"}

    answer = {"object": "response", "status": "failed", "output": [], "error": error}

    with callbacks(recorder, redact=redact):
        traced.chat_model(lambda _: answer)("hello")

    told = recorder.events[-1].data["error"]
    assert told["code"] == "refused"
    assert told["message"] in (MASK, f"password={MASK}")


def test_errors_that_are_payloads() -> None:
    """
    What an error that is an argument says of a masked name is masked as in the message
    of a run's; one that says nothing of it stays what it is.
    """
    recorder, other = Recorder(), ValueError("no input_tokens: 3")
    errors = [ValueError("bad password=hunter2"), OSError(5, "for 'password': 'x'")]

    with callbacks(recorder, redact=["password"]), traced("request") as run:
        run.inputs = [*errors, other]
        run.retry(errors[0])

    first, second, third = recorder.runs[0].inputs
    assert first == {"type": "ValueError", "args": ("bad password=[redacted]",)}
    assert second["strerror"] == "for 'password': [redacted]"
    assert third is other
    assert not any("hunter2" in event.to_json() for event in recorder.events)


@pytest.mark.parametrize(
    "text, told",
    [
        ("d['password'] = 'x' # a", "d['password'] = ~ # a"),
        ("form[password]=x&user=ada", "form[password]=~&user=ada"),
        ("`password` = `x`, 1", "`password` = ~, 1"),
        ("“password”: “x”", "“password”: ~"),
        ("password       : x", "password       : ~"),
        ("password != 'x' and", "password != ~ and"),
        ("password => x", "password => ~"),
        ("password\uff1ax", "password\uff1a~"),
        ("<password>x</password>\n<user>", "<password>~\n<user>"),
        ("Key (password)=(x) already exists.", "Key (password)=~"),
        ("Key (id, password)=(1, x) exists.", "Key (id, password)=~"),
        ("Key (lower(password))=(x) exists.", "Key (lower(password))=~"),
        ("Key (id, name)=(1, x) exists.", "Key (id, name)=(1, x) exists."),
        ("mysql --password x, y", "mysql --password ~, y"),
        ("['mysql', '--password', 'x', '-q']", "['mysql', '--password', ~, '-q']"),
        ("mysql --passwords x", "mysql --passwords x"),
        ("Login(password=Secret('a', ')x'), id=1)", "Login(password=~, id=1)"),
        ("password=Secret('a', [x, 'y'", "password=~"),
        (
            "f(\n      'password',\n      'x',\n  )",
            "f(\n      'password',\n      ~,\n  )",
        ),
        ("password: |\n  x\n  y", "password: ~"),
        ("password: -----BEGIN KEY-----\nx\ny", "password: ~"),
        ("**password**: x", "**password**: ~"),
        (r'"{\"password\": \"x, y\", \"id\": 1}"', r'"{\"password\": ~, \"id\": 1}"'),
        (
            r"""(4, '{"password": "x\\" y", "id": 1}')""",
            '(4, \'{"password": ~, "id": 1}\')',
        ),
        (r'{"password": "x\\", "id": "y"}', '{"password": ~}'),
        (r"\"password\": \"x) y", r"\"password\": ~"),
        (r"'ada\npassword=x'", r"'ada\npassword=~"),
        (r"'a\tb\x00password: x'", r"'a\tb\x00password: ~"),
        (r'{"e": "\u2028password\t=\t\"x, y\""}', r'{"e": "\u2028password\t=\t~"}'),
        (r"'mysql\n--password\tx, y'", r"'mysql\n--password\t~, y'"),
        (r"[\n  'password',\n  'x'\n]", r"[\n  'password',\n  ~\n]"),
        (r"\password=x, \npasswords=y", r"\password=~, \npasswords=y"),
    ],
)
def test_ways_to_say_a_value(text: str, told: str) -> None:
    """
    A message tells a value under its name as programs, databases, commands and markup do;
    where that does not end in sight, no more of the message is shown. Masked once more it
    stays as it is.
    """
    shown = Names(["password"]).masked_text(text)

    assert shown == told.replace("~", MASK)
    assert Names(["password"]).masked_text(shown) == shown


@pytest.mark.parametrize(
    "text, told",
    [
        ('bad: {"My API key": "x", "id": 1}', 'bad: {"My API key": ~, "id": 1}'),
        ("no such API key: x", "no such API key: ~"),
        (r"'ada\nAPI key: x", r"'ada\nAPI key: ~"),
        (r"'\\apikey: x", r"'\\apikey: ~"),
        (r"'\api key: x", r"'\api key: ~"),
        ("api key = 'x' or", "api key = ~ or"),
        ("('id', 1), ('api key', 'x')", "('id', 1), ('api key', ~)"),
        ("--id 1 api key=x&id=1", "--id 1 api key=~&id=1"),
        ("api, key: x", "api, key: x"),
        ("the rapi key: x, monkey: x", "the rapi key: x, monkey: x"),
        ("key: x", "key: x"),
    ],
)
def test_name_of_several_words(text: str, told: str) -> None:
    """
    A message tells a value under a name of several words, which are parted by spaces.
    """
    assert Names(["api_key"]).masked_text(text) == told.replace("~", MASK)


def test_bytes_that_an_error_says() -> None:
    """
    What an error that is an argument was made of is masked in bytes as in texts.
    """
    error = ValueError(b"password=\xff, user=ada")
    told = {"type": "ValueError", "args": (b"password=[redacted], user=ada",)}

    assert redacted([error], NAMES, ("inputs",)) == [told]


def test_inputs_without_end_are_looked_for_in_few_steps() -> None:
    """
    Of a message that begins very many inputs as pydantic tells them, and ends none, not
    the whole rest is looked at for each.
    """
    looked_at: list[int] = []

    def trace(frame: types.FrameType, event: str, _: object) -> Any:
        if frame.f_code.co_name == "_is_cut":
            looked_at.append(len(frame.f_locals["given"]))

    text = "\n  no number [type=int, input_value=1" * 2_000
    tracing = sys.gettrace()
    try:
        sys.settrace(trace)
        told = Names(["password"]).masked_text(text)
    finally:
        sys.settrace(tracing)

    assert told == text
    assert len(looked_at) == 2_000
    assert max(looked_at) < 1_000


@pytest.mark.parametrize(
    "said, item, is_shown",
    [
        ("C(ada)", "ada", True),
        ("C('a\\nb')", "a\nb", True),
        ("C(adam)", "ada", False),
        ("C(_ada)", "ada", False),
        ("C(12)", 12, True),
        ("C(123)", 12, False),
        ("C()", "", True),
        ("xa" * 30, "a", False),
        ("C()", "longer than what is said", False),
    ],
)
def test_what_a_repr_shows(said: str, item: object, is_shown: bool) -> None:
    """
    A ``repr`` shows a field where that stands in it for itself, not within a word.
    """
    assert is_in(said, item, repr) is is_shown


def test_inputs_that_end_and_not() -> None:
    """
    An input as pydantic tells it is masked up to its type, or where that is missing to
    the end; what stands in a masked one is not looked for.
    """
    names = Names(["password"])
    line = "\npassword\n  no text [type=str, input_value="

    assert names.masked_text(f"{line}1{line}2, input_type=int]\nuser") == (
        f"{line}{MASK}, input_type=int]\nuser"
    )
    assert names.masked_text(f"{line}1") == f"{line}{MASK}"


def test_keys_alike() -> None:
    """
    Keys with the same text are numbered, and all are kept.
    """

    class Same:
        def __repr__(self) -> str:
            return "same"

    keys: dict[Any, Any] = {Same(): number for number in range(6)}
    keys["password"] = KEY
    told = redacted(keys, (as_redactor(["password"]),), ("inputs",))

    assert told == {
        "same": 0,
        **{f"same ({number + 1})": number for number in range(1, 6)},
        "password": MASK,
    }


def test_keys_alike_are_told_apart_in_few_steps() -> None:
    """
    Of very many keys with the same text none is lost, and each is numbered at once.
    """
    asked = collections.Counter[str]()

    class Same:
        def __repr__(self) -> str:
            asked["repr"] += 1
            return "same"

    def trace(frame: types.FrameType, event: str, _: object) -> Any:
        if frame.f_code.co_name != "numbered":
            return None
        asked[event] += 1
        return trace

    keys: dict[Any, Any] = {Same(): number for number in range(2_000)}
    keys["password"] = KEY
    tracing = sys.gettrace()
    try:
        sys.settrace(trace)
        told = redacted(keys, (as_redactor(["password"]),), ("inputs",))
    finally:
        sys.settrace(tracing)

    assert isinstance(told, dict)
    assert list(told.values()) == [*range(2_000), MASK]
    assert list(told)[:3] == ["same", "same (2)", "same (3)"]
    assert list(told)[-2] == "same (2000)"
    assert asked["repr"] == asked["call"] == 2_000
    assert asked["line"] < 2_000 * 100


def test_error_that_holds_one_value_many_times() -> None:
    """
    An error that is an argument is looked into no further than other values.
    """
    shared: Any = ("x",)
    for _ in range(40):
        shared = (shared, shared)
    recorder = Recorder()

    with callbacks(recorder, redact=["password"]), traced("request") as run:
        run.inputs = [ValueError(shared), ValueError("input_tokens: 3")]

    first, second = recorder.runs[0].inputs
    assert MASK in str(first)
    assert str(second) == "input_tokens: 3"


def test_error_that_a_function_replaces(everything: Any) -> None:
    """
    A function may put anything in the place of an error.
    """
    recorder = Recorder()

    def fail() -> None:
        raise ValueError(KEY)

    redact: Any = lambda value, path: 3 if isinstance(value, Exception) else value  # noqa: E731
    with callbacks(recorder, redact=redact), pytest.raises(ValueError, match=KEY):
        traced(fail)()

    assert recorder.events[-1].data["message"] == "3"


@pytest.mark.rule(16, "sync")
def test_failing_redactor_tells_nothing(reports: list[str]) -> None:
    """
    The report of a redactor that fails shows where, and not what it says: that may be
    the secret.
    """

    def fail(value: Any, path: Any) -> Any:
        raise ValueError(f"cannot read {value!r}")

    with callbacks(Recorder(), redact=fail):
        traced(lambda key: None)(KEY)

    assert KEY not in "".join(reports)
    assert "ValueError: (what it says is left out" in reports[0]


@pytest.mark.rule(16, "sync")
def test_interrupted_redactor() -> None:
    """
    An interrupt while a redactor works reaches the caller.
    """

    def stop(value: Any, path: Any) -> Any:
        raise KeyboardInterrupt

    with callbacks(Recorder(), redact=stop), pytest.raises(KeyboardInterrupt):
        traced(lambda key: None)(KEY)


@pytest.mark.rule(16, "generator")
def test_pieces_of_tool_calls() -> None:
    """
    While anything redacts, a piece of a tool's arguments is told by its length.
    """
    recorder = Recorder()
    chunks: list[Any] = []

    def hear(token: str, chunk: Any, channel: str) -> None:
        chunks.append((token, chunk))

    scope = callbacks(recorder, on_llm_new_token=hear, redact=["password"])
    with scope, traced("run", kind="llm") as run:
        run.token('{"pass', object(), "tool_call")
        run.token("Hi", object())

    told = [
        event.data for event in recorder.events if event.event == "on_llm_new_token"
    ]
    assert told == [
        {"token": "", "channel": "tool_call", "length": 6},
        {"token": "Hi", "channel": "text"},
    ]
    assert chunks == [("", None), ("Hi", None)]


@pytest.mark.parametrize("count", [1, 2])
def test_error_made_of_too_much(count: int) -> None:
    """
    An exception that was made of more than is ever shown is told with a limit, and does
    not write it all.
    """
    bush: Any = [1]
    for _ in range(40):
        bush = [bush, bush]
    recorder = Recorder()
    error = ValueError(*[bush] * count)

    with callbacks(recorder), pytest.raises(ValueError) as caught, traced("a"):
        raise error

    assert caught.value is error
    assert "more" in recorder.events[-1].data["message"]


def hides_nothing(value: Any, _: Any) -> Any:
    """
    Redact nothing.
    """
    return value


PIECES: list[Callable[[str], Any]] = [
    lambda it: {
        "choices": [{"delta": {"tool_calls": [{"function": {"arguments": it}}]}}]
    },
    lambda it: {
        "type": "AIMessageChunk",
        "content": "",
        "tool_call_chunks": [{"args": it}],
    },
    lambda it: {"type": "content_block_delta", "delta": {"partial_json": it}},
    lambda it: {"type": "response.function_call_arguments.delta", "delta": it},
    lambda it: {"contentBlockDelta": {"delta": {"toolUse": {"input": it}}}},
]


@pytest.mark.parametrize("made_of", PIECES, ids=range(len(PIECES)))
@pytest.mark.parametrize("at", [5, 12, 22])
def test_pieces_of_tool_calls_that_a_chain_hands_on(made_of: Any, at: int) -> None:
    """
    Half a tool call in what a chain yields is told by its length, and all else as it is.
    """
    recorder = Recorder()
    told = f'{{"user": 1, "password": "{KEY}"}}'

    @traced
    def chain() -> Iterator[Any]:
        yield made_of(told[:at])
        yield made_of(told[at:])
        yield {"choices": [{"delta": {"content": "Hi"}}]}

    with callbacks(recorder, redact=["password"]):
        list(chain())

    first, second, third = recorder.runs[0].outputs
    assert first == f"<piece of a tool call, {at} characters>"
    assert second == f"<piece of a tool call, {len(told) - at} characters>"
    assert third == {"choices": [{"delta": {"content": "Hi"}}]}


@pytest.mark.parametrize("redact", [["password"], hides_nothing])
@pytest.mark.parametrize("made_of", PIECES, ids=range(len(PIECES)))
def test_pieces_of_tool_calls_wherever_they_stand(made_of: Any, redact: Any) -> None:
    """
    Half a tool call is told by its length in whatever holds it, as the pairs that
    LangGraph streams, and to a function as well: of a piece nobody knows the name.
    """
    recorder = Recorder()
    pieces = ['{"password": ', f'"{KEY}"', "}"]

    @traced
    def chain(chunk: Any) -> Iterator[Any]:
        emit("chunk", chunk)
        yield "messages", (chunk, {"step": 1})

    with callbacks(recorder, redact=redact):
        for piece in pieces:
            list(chain(made_of(piece)))

    emitted = [it.data["data"] for it in recorder.events if "data" in it.data]
    for run, event, piece in zip(recorder.runs, emitted, pieces, strict=True):
        told = made_of(f"<piece of a tool call, {len(piece)} characters>")
        assert run.inputs == {"chunk": told}
        assert run.outputs == [("messages", (told, {"step": 1}))]
        assert event == told


def test_arguments_that_lack_their_beginning() -> None:
    """
    What is left of a tool's arguments is not shown where it names what is masked.
    """
    first = {"arguments": f'1, "password": "{KEY}"}}', "input": "Hi, you"}
    second = {"arguments": f'password": "{KEY}"}}'}

    shown = redacted([first, second], NAMES, ("outputs",))

    assert shown == [{"arguments": MASK, "input": "Hi, you"}, {"arguments": MASK}]


class Context:
    """
    Shows all that it holds by then.
    """

    def __repr__(self) -> str:
        return f"Context({self.__dict__})"


@dataclass
class Row:
    """
    Is told by its fields.
    """

    held: object


@pytest.mark.parametrize("redact", [["password"], mask], ids=["names", "function"])
def test_metadata_that_the_body_sets(everything: Any, redact: Any) -> None:
    """
    What a body puts into its run's metadata is redacted, however it puts it there.
    """
    heard: list[dict[str, Any]] = []

    class Typed(BaseCallbackHandler):
        def on_chain_end(self, outputs: Any, **kwargs: Any) -> None:
            heard.append(kwargs["metadata"])

    with callbacks(everything, Typed(), redact=redact), traced("run") as run:
        run.metadata["item"] = {"password": KEY, "user": "ada"}
        run.metadata.update({"password": KEY}, named={"password": KEY})
        run.metadata.setdefault("default", {"password": KEY})
        assert run.metadata.setdefault("default") is run.metadata["default"]
        held = run.metadata
        held |= {"or": {"password": KEY}}

    nothing: Any = run.metadata["default"]
    shown = {"item": {**nothing, "user": "ada"}, "named": nothing, "default": nothing}
    shown |= {"or": nothing, **nothing}
    copies = [run.metadata.copy(), copy.copy(run.metadata), copy.deepcopy(run.metadata)]
    copies.append(pickle.loads(pickle.dumps(run.metadata)))
    assert KEY not in everything.text
    assert heard == [everything.events[-1].metadata] == [shown]
    assert copies == [shown] * 4
    assert {type(it) for it in (*copies, *heard)} == {dict}


def test_metadata_that_changes() -> None:
    """
    An object in metadata is told with every event as it was when it was given.
    """
    recorder, given, added = Recorder(), Context(), Context()
    holder = types.SimpleNamespace(held=[added])

    with callbacks(recorder, redact=["email"], metadata={"given": given}):
        with traced("request") as run:
            run.add_metadata(added=holder, row=Row(added))
            given.__dict__["email"] = added.__dict__["email"] = KEY
        traced(lambda: None)()

    assert recorder.events[0].metadata == {"given": "Context({})"}
    assert recorder.events[1].metadata == {
        "given": "Context({})",
        "added": "namespace(held=[Context({})])",
        "row": {"held": "Context({})"},
    }
    assert KEY not in "".join(it.to_json() for it in recorder.events[:2])
    assert recorder.events[2].metadata == {
        "given": {"type": "Context", "email": MASK},
    }


def asynchronous(hear: Callable[[Event], None]) -> Callable[[Event], Awaitable[None]]:
    """
    Make a handler that sync code does not wait for.
    """

    async def later(event: Event) -> None:
        hear(event)

    return later


@pytest.mark.parametrize(
    "later", [background, partial(tail, keep=lambda _: True), asynchronous]
)
def test_what_is_told_later(later: Any) -> None:
    """
    A handler that is told later is told of an object as it was when its run began.
    """
    lines: list[str] = []
    has_changed, screen = threading.Event(), io.StringIO()

    def hear(event: Event) -> None:
        assert has_changed.wait(5)
        lines.append(event.to_json())

    @traced
    def act(context: Context, more: list[Any]) -> None:
        context.__dict__["email"] = more[0].__dict__["email"] = KEY
        has_changed.set()

    shown = tail(StdOutCallbackHandler(file=screen), keep=lambda _: True)
    with callbacks(later(hear), shown, redact=["email"]):
        act(Context(), [Context()])

    start = Event.from_json(lines[0])
    assert start.data["inputs"] == {"context": "Context({})", "more": ["Context({})"]}
    assert "context=Context({})" in screen.getvalue()
    assert KEY not in "".join(lines) + screen.getvalue()


def test_answer_of_a_redactor_that_holds_itself() -> None:
    """
    What a function has in the place of a value is told, whatever it leads back to.
    """
    recorder, circle = Recorder(), list[Any]()
    circle.append(circle)

    with callbacks(recorder, redact=lambda value, _: circle if value == 1 else value):
        emit("told", {"a": 1})

    assert '{"a":[' in recorder.events[0].to_json()


def test_private_attributes_of_a_model() -> None:
    """
    A model that shows what is private in it is told by its fields, in whatever holds it.
    """
    pydantic = pytest.importorskip("pydantic")

    class Login(pydantic.BaseModel):  # type: ignore[misc,name-defined]
        user: str
        _password: str = pydantic.PrivateAttr(KEY)

        def __repr__(self) -> str:
            return self._password

    told = redacted(
        types.SimpleNamespace(held=Login(user="ada")),
        (as_redactor(["password"]),),
        ("x",),
    )

    assert told == {"type": "SimpleNamespace", "held": {"user": "ada"}}


def test_fields_of_another_name() -> None:
    """
    A field is masked by each name under which its model takes or writes it, and told by
    its own; others are as they were.
    """
    pydantic = pytest.importorskip("pydantic")
    attrs = pytest.importorskip("attrs")
    several = pydantic.AliasChoices("pw", pydantic.AliasPath("login", "db_password"))

    class Settings(pydantic.BaseModel):  # type: ignore[misc,name-defined]
        first: str = pydantic.Field(KEY, alias="password")
        second: str = pydantic.Field(KEY, validation_alias=several)
        third: str = pydantic.Field(KEY, validation_alias="DB_PASSWORD")
        fourth: str = pydantic.Field(KEY, serialization_alias="userPassword")
        fifth: str = pydantic.Field("shown", alias="passwords")

    @attrs.define
    class Login:
        key: str = attrs.field(alias="password")
        user: str = "ada"

    recorder = Recorder()
    with callbacks(recorder, redact=["password"]):
        emit("made", [Settings(), Login(password=KEY)])  # type: ignore[call-arg]
    unmasked = redacted(Settings(), (as_redactor(["token"]),), ("x",))

    masked = dict.fromkeys(("first", "second", "third", "fourth"), MASK)
    assert recorder.events[0].data["data"] == [
        {**masked, "fifth": "shown"},
        {"key": MASK, "user": "ada"},
    ]
    assert type(unmasked) is Settings
    assert list(jsonable(unmasked)) == [*masked, "fifth"]
    assert {type(it) for it in jsonable(unmasked)} == {str}


def refuse(value: str) -> str:
    """
    Refuse whatever it is given.
    """
    raise ValueError("no token")


def refusal(password: object) -> ValueError:
    """
    Give what pydantic raises for a model, a union and a function that refuses.
    """
    pydantic = pytest.importorskip("pydantic")

    class Short(pydantic.BaseModel):  # type: ignore[misc,name-defined]
        user: str = pydantic.Field(max_length=2)
        password: str = pydantic.Field(min_length=20)
        db_password: int | list[int]
        token: Annotated[str, pydantic.AfterValidator(refuse)] | None

    with pytest.raises(ValueError) as caught:
        Short(user="ada", password=password, db_password=password, token=password)
    return caught.value


def test_input_that_a_model_refuses() -> None:
    """
    Pydantic tells what it was given below the name of the field.
    """
    recorder = Recorder()
    given = refusal(KEY)

    for problem in (given, ValueError(given), ValueError("login", str(given))):
        with (
            pytest.raises(ValueError),
            callbacks(recorder, redact=["password", "token"]),
            traced("log in"),
        ):
            raise problem

    for event in recorder.events[1::2]:
        assert KEY not in event.to_json()
        assert event.data["message"].count(MASK) == 4
        assert "'ada'" in event.data["message"]


def test_refusal_within_a_group(tmp_path: Path) -> None:
    """
    A traceback tells a group's errors behind bars.
    """
    store = StoreHandler(tmp_path / "heard.db")
    problem = ExceptionGroup(
        "all", [refusal(KEY), ExceptionGroup("one", [refusal(KEY)])]
    )

    with (
        pytest.raises(ExceptionGroup),
        callbacks(store, redact=["password", "token"]),
        traced("log in"),
    ):
        raise problem

    assert store.drain()
    kept = b"".join(it.read_bytes() for it in tmp_path.iterdir())
    assert kept.count(b"'ada'") == 2
    assert KEY.encode() not in kept


@pytest.mark.parametrize("given", ["{}", "[{}]", "it={}", "'{}'"])
def test_refusal_that_leaves_out_the_name(given: str) -> None:
    """
    Of what is long pydantic tells the beginning and the end, often without the name.
    """
    pydantic = pytest.importorskip("pydantic")
    recorder = Recorder()
    held: Any = {"user": "ada lovelace", "password": KEY * 3}
    if "[" in given:
        held = [held]
    elif "=" in given:
        held = types.SimpleNamespace(**held)
    elif "'" in given:
        held = json.dumps(held)

    with pytest.raises(ValueError) as caught:
        pydantic.TypeAdapter(int).validate_python(held)
    assert KEY in str(caught.value)
    assert "password" not in str(caught.value)
    for problem in (caught.value, ValueError(caught.value)):
        with (
            pytest.raises(ValueError),
            callbacks(recorder, redact=["password"]),
            traced("log in"),
        ):
            raise problem

    for event in recorder.events[1::2]:
        assert KEY not in event.to_json()
        assert f"input_value={MASK}" in event.data["message"]


@pytest.mark.parametrize("redact", [["password", "token"], lambda value, _: value])
def test_refusal_that_is_returned(redact: Any) -> None:
    """
    An error that holds what cannot be looked into is told as its type where it is a
    payload, also among others.
    """
    recorder = Recorder()

    with callbacks(recorder, redact=redact):
        traced(lambda: refusal(KEY))()
        traced.tool(lambda: [ExceptionGroup("all", [refusal(KEY)])])()
        traced(lambda: ValueError("no such user"))()

    for event in recorder.events:
        assert KEY not in event.to_json() + repr(event.data)
    assert '"type":"ValidationError"' in recorder.events[1].to_json()
    assert "ValueError('no such user')" in recorder.events[5].to_json()


@pytest.mark.parametrize("name", ["password", "user"])
def test_notes_of_an_error_that_is_a_payload(name: str) -> None:
    """
    What is told of an error in which something is masked, a field of its own perhaps, are
    its notes too.
    """
    recorder = Recorder()
    error = ValueError({"password": KEY})
    error.add_note(f"password={KEY}")
    setattr(error, name, KEY if name == "password" else "ada")

    with callbacks(recorder, redact=["password"]):
        traced(lambda: error)()

    assert KEY not in recorder.events[1].to_json()


def test_what_hides_itself_stays_hidden() -> None:
    """
    What is made to hide what it holds is not opened in a worker for a function that
    masks at home.
    """
    pydantic = pytest.importorskip("pydantic")
    recorder = Recorder()
    kinds = {"key": pydantic.SecretStr, "raw": pydantic.SecretBytes}
    kinds["pin"] = pydantic.Secret[str]
    login = pydantic.create_model("Login", **kinds)(key=KEY, raw=KEY, pin=KEY)

    with callbacks(Recorder(), redact=lambda value, _: value):
        carried = carrier()
    with callbacks(recorder), attach(carried):
        traced(lambda given: given)(login)

    told = "".join(event.to_json() + repr(event.data) for event in recorder.events)
    assert "SecretStr" in told
    assert KEY not in told


class Kept(collections.UserDict[str, str]):
    """
    A mapping with a text of its own.
    """

    password = KEY

    def __str__(self) -> str:
        return str(vars(self)["password"])


@pytest.mark.parametrize(
    "kind",
    [
        Kept,
        type("Made", (collections.UserDict,), {"__repr__": Kept.__str__}),
        types.new_class(
            "Made",
            (collections.UserDict,),
            exec_body=lambda names: names.update(__repr__=Kept.__str__),
        ),
    ],
    ids=["text", "called", "new class"],
)
def test_mapping_with_a_text_of_its_own(kind: Any) -> None:
    """
    A mapping that says what it holds besides its entries, of a class that a call made
    or of another, does not say so in the message of an error.
    """
    held, recorder = kind(), Recorder()
    held.password = KEY

    with (
        pytest.raises(ValueError),
        callbacks(recorder, redact=["password"]),
        traced("log in"),
    ):
        raise ValueError(held)

    assert KEY not in recorder.events[-1].to_json()


def test_objects_of_a_worker_beyond_what_is_looked_at() -> None:
    """
    Of very many objects that are told as their fields, those that are not looked into are
    masked whole.
    """

    class Point:
        def __init__(self) -> None:
            self.x, self.y = 1, 2

        def __repr__(self) -> str:
            return "Point(1, 2)"

    told: Any = redacted([Point() for _ in range(60_000)], (OPENED,), ("inputs",))

    assert told[0] == {"type": "Point", "x": 1, "y": 2}
    assert told[-1] == MASK


def hashed(value: Any, path: tuple[str | int, ...]) -> Any:
    """
    Mark what stands under one name, each time that it is asked.
    """
    return f"h({value})" if path[-1] == "password" else value


@pytest.mark.parametrize("kind", ["chain", "tool", "llm", "retriever"])
@pytest.mark.parametrize("is_failed", [False, True])
@pytest.mark.parametrize(
    "redact, shown", [(["password"], "[redacted]"), (hashed, f"h({KEY})")]
)
def test_outputs_that_the_body_changes(
    kind: str, redact: Any, shown: str, *, is_failed: bool
) -> None:
    """
    Outputs that a body sets are redacted as it leaves them, each value once.
    """
    recorder = Recorder()

    @traced(kind=kind)
    def work() -> None:
        run = current_run()
        assert run is not None
        row = Row(None)
        run.outputs = {"password": KEY, "in": {}, "row": row}
        outputs: Any = run.outputs
        outputs["in"]["password"] = KEY
        row.held = {"password": KEY}
        if is_failed:
            raise LookupError

    with suppress(LookupError), callbacks(recorder, redact=redact):
        work()

    inner = {"password": shown}
    outputs = jsonable(recorder.runs[0].outputs)
    assert KEY not in recorder.events[-1].to_json().replace(shown, "")
    assert outputs == inner | {"in": inner, "row": {"held": inner}}


@pytest.mark.parametrize(
    "redact, shown", [(["password"], "[redacted]"), (hashed, f"h({KEY})")]
)
def test_metadata_that_the_body_changes(redact: Any, shown: str) -> None:
    """
    What a body puts into a container in its run's metadata is redacted as well, each
    value once, and so for all who hear of it.
    """
    recorder, logged = Recorder(), io.StringIO()
    log = logging.getLogger("changed metadata")
    log.propagate, log.handlers = False, [logging.StreamHandler(logged)]
    log.setLevel(logging.INFO)
    log.handlers[0].setFormatter(logging.Formatter("%(message)s %(metadata)s"))
    heard = []

    @traced
    def work() -> None:
        run = current_run()
        assert run is not None
        run.metadata["in"] = {"password": KEY}
        run.metadata["in"]["more"] = [{"password": KEY}]

    def hear(output: object, metadata: object) -> None:
        heard.append(metadata)

    logger = RequestLogger(log)
    with callbacks(recorder, logger, on_chain_end=hear, redact=redact):
        work()

    told = {"in": {"password": shown, "more": [{"password": shown}]}}
    assert heard == [recorder.events[-1].metadata] == [told]
    assert KEY not in logged.getvalue().replace(shown, "")


def test_key_of_several_levels() -> None:
    """
    A key that is a tuple, as of columns in levels, is masked by its last name; a pair of
    tuples is two of them.
    """
    given = {("db", "password"): KEY, ("db", 1): 1, (("a", "password"),): KEY}
    rows = (("user", "password"), ("ada", "x")), {(): 1}

    told = jsonable(redacted([given, rows], (Names(["password"]),), ("inputs",)))

    assert told == [
        {
            "('db', 'password')": MASK,
            "('db', 1)": 1,
            "(('a', 'password'),)": MASK,
        },
        [[["user", "password"], ["ada", "x"]], {"()": 1}],
    ]
