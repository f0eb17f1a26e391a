"""
`Secret`: a marked argument never reaches a handler.
"""

from __future__ import annotations

import inspect
import sys
import types
from collections.abc import Awaitable, Callable
from functools import cache, partial, wraps
from inspect import Parameter, Signature
from textwrap import dedent
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Literal,
    NewType,
    Optional,
    TypedDict,
    TypeVar,
    Union,
    Unpack,
    overload,
)

import pytest
import wrapt

from instrument import Secret, callbacks, traced
from instrument._payloads.names import MASK
from instrument._traced import arguments
from instrument.testing import Recorder

if TYPE_CHECKING:
    from nowhere import Unknown  # type: ignore[import-not-found]


Called = Callable[..., Awaitable[Any]]


Password = Annotated[str, Secret]
NewPassword = NewType("NewPassword", Password)
AnyPassword = TypeVar("AnyPassword", bound=Password)
OnePassword = TypeVar("OnePassword", Password, int)
Tree = Union[Password, list["Tree"]]  # noqa: UP007
Open = Union[Literal["Password"], list["Open"]]  # noqa: UP007


class Login(TypedDict):
    """
    Keywords of which one is a secret.
    """

    user: str
    key: Password


pytestmark = pytest.mark.anyio


every_mode = ("sync", "async", "generator", "async generator")


KEY = "hunter2"


class Pin(Secret):
    """
    A secret of somebody's own.
    """


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


def quoted(key: "Password") -> str: ...  # type: ignore[empty-body]  # noqa: UP037


def union_with_unknown(key: Password | Unknown) -> str: ...  # type: ignore[empty-body]


def unknown_is_marked(key: Annotated[Unknown, Pin]) -> str: ...  # type: ignore[empty-body]


def new_type(key: NewPassword) -> str: ...  # type: ignore[empty-body]


def variable(key: AnyPassword) -> AnyPassword: ...  # type: ignore[empty-body]


def constrained(key: OnePassword) -> OnePassword: ...  # type: ignore[empty-body]


def of_itself(key: Tree) -> str: ...  # type: ignore[empty-body]


def own(key: Annotated[str, Secret]) -> str: ...  # type: ignore[empty-body]


own.__annotations__ = {
    "key": Annotated[str, Secret]
}  # as without the __future__ import


def forward(key: Any) -> str: ...  # type: ignore[empty-body]
def forward_alias(key: Any) -> str: ...  # type: ignore[empty-body]
def forward_in_list(key: Any) -> str: ...  # type: ignore[empty-body]


forward.__annotations__ = {"key": Optional["Annotated[str, Secret]"]}
forward_alias.__annotations__ = {"key": Optional["Password"]}
forward_in_list.__annotations__ = {"key": list["Password"]}

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
    quoted,
    union_with_unknown,
    unknown_is_marked,
    new_type,
    variable,
    constrained,
    of_itself,
    own,
    forward,
    forward_alias,
    forward_in_list,
]


def like(body: Callable[..., Any], decorate: Callable[[Any], Any]) -> Any:
    """
    Decorate a function of any mode so that it has the name and signature of *body*.
    """
    return lambda function: decorate(wraps(body)(function))


@pytest.mark.parametrize("form", FORMS, ids=[form.__name__ for form in FORMS])
@pytest.mark.parametrize("kind", ["chain", "llm", "tool"])
@pytest.mark.rule(16, *every_mode)
async def test_secret_argument(
    everything: Any, called: Called, form: Callable[..., Any], kind: str
) -> None:
    """
    An argument marked `Secret`, in any form of annotation, never reaches a handler.
    """
    got: list[object] = []

    with callbacks(everything):
        await called(like(form, traced(kind=kind)), got.append, KEY)

    assert got == [KEY]
    assert "[redacted]" in everything.text
    assert KEY not in everything.text


@pytest.mark.rule(16, "sync")
def test_secret_of_callables(everything: Any) -> None:
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


@pytest.mark.rule(16, "sync")
def test_secret_keyword_of_many(everything: Any) -> None:
    """
    Keywords that a typed dict names are parameters: with a secret one none is shown.
    """

    @traced
    def login(**given: Unpack[Login]) -> str:
        return given["user"]

    with callbacks(everything):
        assert login(user="me", key=KEY) == "me"

    assert KEY not in everything.text


@pytest.mark.rule(16, "sync")
def test_secret_keyword_of_many_elsewhere(
    everything: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    What a typed dict inherits means what it means in its own module; one may be generic.
    """
    elsewhere = types.ModuleType("elsewhere")
    monkeypatch.setitem(sys.modules, "elsewhere", elsewhere)
    source = """
        from __future__ import annotations
        from typing import Annotated, Generic, TypedDict, TypeVar
        from instrument import Secret
        Pass = Annotated[str, Secret]
        Some = TypeVar("Some")
        class Login(TypedDict):
            key: Pass
        class Typed(TypedDict, Generic[Some]):
            key: Annotated[Some, Secret]
    """
    exec(dedent(source), vars(elsewhere))
    base: Any = elsewhere.Login

    class Named(base):  # type: ignore[misc]
        user: str

    def login(**given: Any) -> str:
        return str(given["user"])

    for keywords in (Named, elsewhere.Typed[str]):
        login.__annotations__["given"] = Unpack[keywords]
        with callbacks(everything):
            assert traced(login)(user="me", key=KEY) == "me"

    assert KEY not in everything.text


@pytest.mark.rule(16, "sync")
def test_secret_by_a_name_from_around(everything: Any) -> None:
    """
    A quoted annotation may name what only the function or class around it knows.
    """
    Own = Annotated[str, Secret]  # noqa: N806 - a type

    @traced
    def log_in(user: str, key: Own) -> None: ...

    class Client:
        Key = Annotated[str, Secret]

        @traced
        def log_in(self, key: Key) -> None: ...

        @traced.tool
        @classmethod
        def make(cls, key: Own) -> None: ...

        @staticmethod
        @traced("check", kind="tool")
        def check(key: Own | None) -> None: ...

    with callbacks(everything):
        log_in("me", KEY)
        Client().log_in(KEY)
        Client.make(KEY)
        Client.check(KEY)

    assert KEY not in everything.text
    assert "me" in everything.text


def wrapped(function: Callable[..., None]) -> Callable[..., None]:
    """
    Decorate a function as any decorator does.
    """

    @wraps(function)
    def call(*args: Any) -> None:
        function(*args)

    return call


@pytest.mark.parametrize(
    "way", ["partial", "wraps", "cache", "bound", "class", "object"]
)
@pytest.mark.rule(16, "sync")
def test_secret_by_a_name_from_around_what_is_wrapped(
    everything: Any, way: str
) -> None:
    """
    It may name that too where the function is wrapped, or of an object or a class that
    stands in the same function.
    """
    Own = Annotated[str, Secret]  # noqa: N806 - a type

    def log_in(user: str, key: Own) -> None: ...

    class Client:
        Key = Annotated[str, Secret]

        def log_in(self, user: str, key: Own) -> None: ...

        @classmethod
        def make(cls, user: str, key: Own) -> None: ...

        def __call__(self, user: str, key: Key) -> None: ...

    class Other(Client): ...

    ways: dict[str, Callable[..., None]] = {
        "partial": partial(log_in),
        "wraps": wrapped(log_in),
        "cache": cache(log_in),
        "bound": Client().log_in,
        "class": Client.make,
        "object": Other(),
    }

    with callbacks(everything):
        traced(ways[way])("me", KEY)

    assert KEY not in everything.text
    assert "me" in everything.text


class Account:
    """
    A class whose methods are decorated when it is there.
    """

    Key = Annotated[str, Secret]

    def log_in(self, key: Key) -> None: ...

    class Card:
        """
        One within it.
        """

        Pin = Annotated[str, Secret]

        def pay(self, pin: Pin) -> None: ...


@pytest.mark.rule(16, "sync")
def test_secret_by_a_name_of_the_class(everything: Any) -> None:
    """
    A method may be decorated later: its annotation names what its class has.
    """
    with callbacks(everything):
        traced(Account().log_in)(KEY)
        traced.tool(Account.log_in)(Account(), KEY)
        traced(Account.Card().pay)(KEY)

    assert KEY not in everything.text


@pytest.mark.rule(16, "sync")
def test_secret_of_what_is_wrapped(everything: Any) -> None:
    """
    What quoted annotations mean is asked of the function that has them, whatever is
    around it.
    """

    class Named:
        func = len

        def __call__(self, key: Password) -> None: ...

    def log_in(key: Password) -> None: ...
    def of_two(number: int, key: Password) -> None: ...

    inner = partial(log_in)

    def outer(*args: Any) -> None:
        inner(*args)

    code, cells = outer.__code__, outer.__closure__
    elsewhere: Any = types.FunctionType(code, vars(types), "outer", None, cells)
    bound = types.MethodType(partial(of_two), 1)

    with callbacks(everything):
        traced(Named())(KEY)
        traced(wraps(inner)(elsewhere))(KEY)
        traced(bound)(KEY)

    assert KEY not in everything.text


@overload
def overloaded(key: Password) -> str: ...
@overload
def overloaded(key: int) -> None: ...
def overloaded(key: str | int) -> str | None:
    """
    Be marked where a reader looks.
    """


@pytest.mark.rule(16, "sync")
def test_secret_beside_the_signature(everything: Any) -> None:
    """
    A mark holds in an overload too, and where another signature leaves it out.
    """

    def log_in(key: Password) -> None: ...

    parameter = Parameter("key", Parameter.POSITIONAL_OR_KEYWORD)
    log_in.__signature__ = Signature([parameter])  # type: ignore[attr-defined]

    with callbacks(everything):
        traced(log_in)(KEY)
        traced(overloaded)(KEY)

    assert KEY not in everything.text


@pytest.mark.rule(16, "sync")
def test_open_type_of_itself(everything: Any) -> None:
    """
    A type that holds itself by its name, and a literal called like one, is no secret.
    """

    @traced
    def use(key: Open) -> None: ...

    with callbacks(everything):
        use("Password")

    assert "Password" in everything.text
    assert "[redacted]" not in everything.text


@pytest.mark.skipif(sys.version_info < (3, 12), reason="type statements are of 3.12")
@pytest.mark.parametrize(
    "statement",
    [
        "type Key = Annotated[str, Secret]",
        "type Key = Annotated[Unknown, Secret]",
        "type Key = Annotated[str, Secret] | list[Key]",
        "type Key = str | list[Key]",
    ],
)
@pytest.mark.rule(16, "sync")
def test_secret_in_a_type_statement(everything: Any, statement: str) -> None:
    """
    ``type Key = Annotated[str, Secret]`` marks a secret like any alias, also where it
    cannot be resolved; a type may hold itself.
    """
    names: dict[str, Any] = {"Annotated": Annotated, "Secret": Secret}
    exec(f"{statement}\ndef use(key: Key): ...", names)

    with callbacks(everything):
        traced(names["use"])(KEY)

    assert (KEY in everything.text) is (Secret.__name__ not in statement)


@pytest.mark.rule(16, "sync", "generator")
def test_secret_of_a_wrong_call(everything: Any) -> None:
    """
    A call that does not fit the signature shows no secret either.
    """
    anything: Any = plain

    with callbacks(everything), pytest.raises(TypeError):
        traced(anything)(KEY, "one too many")
    with callbacks(everything), pytest.raises(TypeError):
        traced(anything)(KEY, extra=KEY)

    assert KEY not in everything.text


@wrapt.decorator
def other(wrapped: Any, instance: object, args: Any, kwargs: Any) -> Any:
    """
    Do nothing, as a decorator of another library below ours.
    """
    return wrapped(*args, **kwargs)


def test_secret_of_a_wrong_call_of_a_method() -> None:
    """
    Which of the arguments is the secret of a method that takes others cannot be told:
    none is shown.
    """
    recorder = Recorder()

    class Client:
        @traced
        @other
        def log_in(self, key: Annotated[str, Secret]) -> None: ...

    anything: Any = Client()
    with callbacks(recorder), pytest.raises(TypeError):
        anything.log_in("ada", KEY, extra=KEY)

    assert recorder.runs[0].inputs == {"args": [MASK, MASK], "kwargs": {"extra": MASK}}


def test_secret_behind_layers_without_end() -> None:
    """
    What wraps itself is looked into so far, and is called as it is.
    """

    class Loop:
        def __call__(self, key: Annotated[str, Secret]) -> str:
            return key

    loop: Any = Loop()
    loop.__wrapped__ = loop
    loop.__signature__ = inspect.signature(Loop.__call__)

    assert traced(loop)(KEY) == KEY


def test_signature_of_more_types_than_are_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """
    What is known of the types whose methods were called is bounded; none is told wrongly.
    """
    monkeypatch.setattr(arguments, "KNOWN_TYPES", 2)
    recorder = Recorder()

    class Base:
        def take(self, key: str) -> None: ...

    take: Any = traced(other(Base.take))
    with callbacks(recorder):
        for number in range(5):
            take(type(f"Part{number}", (Base,), {})(), "a")

    assert [run.inputs["key"] for run in recorder.runs] == ["a"] * 5


def test_no_mark_where_nobody_has_imported_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Where `typing` has not been imported nothing can have been marked.
    """
    recorder = Recorder()

    def work(key: list[int]) -> None: ...

    work.__annotations__["key"] = list[int]
    monkeypatch.delitem(sys.modules, "typing")
    with callbacks(recorder):
        traced(work)([1])

    assert recorder.runs[0].inputs == {"key": [1]}


@pytest.mark.parametrize("count", range(1, 8))
def test_mark_behind_others_that_are_made_to_be_looked_at(count: int) -> None:
    """
    What a quoted part was evaluated to does not pass for the next one, made in its place.
    """
    others = [f"Annotated[str, [{number}]]" for number in range(count)]
    recorder = Recorder()

    def work(key: Any) -> None: ...

    hints = (*others, "Annotated[str, [], Secret]")
    work.__annotations__["key"] = Union[hints]  # noqa: UP007
    with callbacks(recorder):
        traced(work)("hunter2")

    assert recorder.runs[0].inputs == {"key": MASK}
