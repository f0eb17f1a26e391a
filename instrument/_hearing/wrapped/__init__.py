"""
Hear the calls of one client, on every Python: ``wrap(client)``.
"""

import inspect

from instrument._hearing.wrapped import methods as _methods
from instrument._hearing.wrapped import stainless as _stainless
from instrument._hearing.wrapped.twins import Twin
from instrument._text import safe_repr

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeVar

    C = TypeVar("C")


def wrap(client: "C") -> "C":
    """
    Give a client like *client* whose calls of models are runs, in whatever scope.

    It shares the connections of *client*, which itself stays as it was: use the one that
    comes back. Its class is made from the client's own, so that `isinstance` holds; its
    copies, resources, helpers, raw responses and streams are heard, too. What is sent
    and what comes back are the same. A client that is wrapped already comes back itself.
    Async handlers are awaited in place. Retries of OpenAI's, Anthropic's, Groq's and
    Together's SDKs are told; those of others where `instrument.auto` hears them.

    Raises:
        TypeError: If it is not a client of an SDK that is known.
    """
    if isinstance(client, Twin):
        return client
    if not inspect.isclass(client) and not inspect.ismodule(client):
        cls: Any = type(client)
        if _stainless.package_of(cls):
            return _stainless.wrapped(client)  # type: ignore[no-any-return]
        rule = _methods.rule_of(client)
        if rule is not None:
            return _methods.wrapped(client, rule)  # type: ignore[no-any-return]
    raise TypeError(_refusal(client))


def _refusal(client: object) -> str:
    known = ", ".join(sorted({*_stainless.PACKAGES, *_methods.RULES}))
    if inspect.isclass(client):
        name = client.__name__
        return f"wrap() takes a client, not the class {name}. Make one: wrap({name}())."
    return (
        f"wrap() does not know {safe_repr(client)}: it takes a client of {known}. "
        "For anything else there is @traced."
    )
