"""
What an SDK can be asked for: the kind of run, where its messages are, its parameters.

Which field holds what is data, per operation; what is left of the fields are the
parameters, as they were given.
"""

from instrument._hearing.calls import Asked
from instrument._payloads.messages import get
from instrument._payloads.turns import turns_of
from instrument._runs.opening import Recipe
from instrument._runs.results import contained
from instrument._text import type_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

__all__ = ["CHAT", "Operation", "posted"]


class Operation:
    """
    One thing that an SDK can be asked for.

    Attributes:
        name: Of the run, after the SDK's.
        given: The field with the messages, prompts or texts.
        system: The field with the system prompt, if that is apart; ``a.b`` is inside.
        model: The field with the model's name.
    """

    __slots__ = ("_recipes", "given", "kind", "model", "name", "system")

    def __init__(
        self,
        kind: str,
        name: str,
        given: str,
        system: str | None = None,
        model: str = "model",
    ) -> None:
        self.kind = kind
        self.name = name
        self.given = given
        self.system = system
        self.model = model
        self._recipes: dict[str, Recipe] = {}  # by provider

    def asked(self, provider: str, fields: "Mapping[str, Any]") -> Asked:
        """
        Read what a provider is asked for, by the names of its fields.
        """
        recipe = self._recipes.get(provider)
        if recipe is None:
            recipe = Recipe(f"{provider}.{self.name}", self.kind)
            self._recipes[provider] = recipe
        model = get(fields, self.model)
        model = str.__str__(model) if issubclass(type(model), str) else None
        return Asked(recipe, self._inputs, fields, provider, model)

    def _inputs(self, fields: "Mapping[str, Any]") -> "dict[str, Any]":
        given = fields.get(self.given)
        if self.kind == "chat_model":
            given = turns_of(given, self.system and self._system(fields))
        taken = (self.given, self.model, self.system)
        inputs = {_FIRST[self.kind]: given}
        for name, value in fields.items():
            if name not in taken and type_of(value) not in _LEFT_OUT:
                inputs[name] = contained(value)
        return inputs

    def _system(self, fields: "Mapping[str, Any]") -> object:
        value: object = fields
        for name in str(self.system).split("."):
            value = get(value, name)
        return None if type_of(value) in _LEFT_OUT else value


_LEFT_OUT = ("NoneType", "NotGiven", "Omit")
"""Types of what stands for an argument that was not given; the SDKs drop it later."""

_FIRST = {"chat_model": "messages", "llm": "prompts", "embedding": "texts"}

CHAT = Operation("chat_model", "chat", "messages")

_PATHS = {
    "/chat/completions": Operation("chat_model", "chat.completions", "messages"),
    "/responses": Operation("chat_model", "responses", "input", "instructions"),
    "/completions": Operation("llm", "completions", "prompt"),
    "/embeddings": Operation("embedding", "embeddings", "input"),
    "/v1/messages": Operation("chat_model", "messages", "messages", "system"),
    "/v1/complete": Operation("llm", "completions", "prompt"),
}
"""The operations of the SDKs that are made by one generator, by where they post to."""

_MOST_PATHS = 500
"""How many are remembered: they come from outside."""
_posted: dict[str, Operation] = {}
"""The same by whole paths, as they have come."""


def posted(provider: str, path: str, body: "Any", extra: "Any" = None) -> Asked | None:
    """
    Read what is posted to *path*; None where that is no call of a model.

    Args:
        extra: What goes into the body besides, over its own fields.
    """
    if not issubclass(type(body), dict):
        return None
    operation = _posted.get(path) or _operation_at(path)
    if operation is None:
        return None
    if issubclass(type(extra), dict):
        body = {**dict(dict.items(body)), **dict(dict.items(extra))}
    elif type(body) is not dict:
        body = dict(dict.items(body))  # a class of its own may ask and answer
    return operation.asked(provider, body)


def _operation_at(path: str) -> Operation | None:
    given = path.partition("?")[0]
    for end, operation in _PATHS.items():
        if given.endswith(end):
            if len(_posted) < _MOST_PATHS:
                _posted[path] = operation
            return operation
    return None
