"""
`Secret`: a marked argument never reaches a handler.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from functools import partial, wraps
from typing import TYPE_CHECKING, Annotated, Any, Optional

import pytest

from instrument import Secret, callbacks, traced

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


own.__annotations__ = {
    "key": Annotated[str, Secret]
}  # as without the __future__ import


def forward(key: Any) -> str: ...  # type: ignore[empty-body]
def forward_alias(key: Any) -> str: ...  # type: ignore[empty-body]


forward.__annotations__ = {"key": Optional["Annotated[str, Secret]"]}
forward_alias.__annotations__ = {"key": Optional["Password"]}

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
    forward,
    forward_alias,
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


@pytest.mark.skipif(sys.version_info < (3, 12), reason="type statements are of 3.12")
@pytest.mark.rule(16, "sync")
def test_secret_in_a_type_statement(everything: Any) -> None:
    """
    ``type Key = Annotated[str, Secret]`` marks a secret like any alias.
    """
    names: dict[str, Any] = {"Annotated": Annotated, "Secret": Secret}
    exec("type Key = Annotated[str, Secret]\ndef use(key: Key): ...", names)

    with callbacks(everything):
        traced(names["use"])(KEY)

    assert KEY not in everything.text


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
