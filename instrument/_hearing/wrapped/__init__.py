"""
Hear the calls of one client, on every Python: ``wrap(client)``.

Only classes over the SDK's own come in: no object that was given is changed, and no
`sys.monitoring` is needed.
"""

from functools import lru_cache
from importlib import import_module

from instrument._hearing.targets import ADAPTERS
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
    cls: Any = type(client)
    rule = _rule_of(cls)
    if rule is None:
        raise TypeError(_refusal(client))
    return rule.wrapped(client)  # type: ignore[no-any-return]


@lru_cache(maxsize=500)
def _rule_of(cls: type) -> "Any":
    """
    Find how objects of a class are wrapped, by it or one that it inherits from; of all
    adapters that of its package is imported.
    """
    for base in cls.__mro__:
        for module, adapter in ADAPTERS.items():
            if f"{base.__module__}.".startswith(f"{module}."):
                rule = _rules(adapter).get(base.__name__)
                if rule is not None:
                    return rule
    return None


def _rules(adapter: str) -> "dict[str, Any]":
    return getattr(import_module(adapter), "WRAPS", {})


def _refusal(client: object) -> str:
    if isinstance(client, type):
        name = client.__name__
        return f"wrap() takes a client, not the class {name}. Make one: wrap({name}())."
    known = sorted(it.rpartition(".")[2] for it in ADAPTERS.values() if _rules(it))
    return (
        f"wrap() does not know {safe_repr(client)}: it takes a client of "
        f"{', '.join(known)}. For anything else there is @traced."
    )
