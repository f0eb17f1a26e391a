"""
What the request of an SDK's call means: the kind of run, its messages, its parameters.

Which field holds what is data, per operation; what is left of a request are the
parameters, as they were given.
"""

from instrument._hearing.asked_messages import messages_of
from instrument._hearing.calls import Request
from instrument._payloads.messages import get
from instrument._runs.recipe import Recipe
from instrument._runs.telling import contained

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

__all__ = ["Operation", "of_body", "of_call"]


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

    def request(self, provider: str, fields: "Mapping[str, Any]") -> Request:
        """
        Read a request of this operation.
        """
        recipe = self._recipes.get(provider)
        if recipe is None:
            recipe = Recipe(f"{provider}.{self.name}", self.kind)
            self._recipes[provider] = recipe
        model = fields.get(self.model)
        if not isinstance(model, str):
            model = None
        return Request(recipe, self._inputs, fields, provider, model)

    def _inputs(self, fields: "Mapping[str, Any]") -> "dict[str, Any]":
        given = fields.get(self.given)
        if self.kind == "chat_model":
            given = messages_of(given, self.system and self._system(fields))
        taken = (self.given, self.model, self.system)
        inputs = {_FIRST[self.kind]: given}
        for name, value in fields.items():
            if name not in taken and type(value).__name__ not in _LEFT_OUT:
                inputs[name] = contained(value)
        return inputs

    def _system(self, fields: "Mapping[str, Any]") -> object:
        value: object = fields
        for name in str(self.system).split("."):
            value = get(value, name)
        return value


_LEFT_OUT = ("NoneType", "NotGiven", "Omit")
"""Types of what stands for an argument that was not given; the SDKs drop it later."""

_FIRST = {"chat_model": "messages", "llm": "prompts", "embedding": "texts"}

_CHAT = Operation("chat_model", "chat", "messages")
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
"""How many paths are remembered, and how many tools: their names come from outside."""
_posted: dict[str, Operation] = {}
"""The same by whole paths, as they have come."""
_LONGEST_NAME = 200
_tools: dict[str, Recipe] = {}
"""What runs of MCP's tools begin with, by their names; long ones are not kept."""

_METHODS: "dict[str, dict[str, Operation]]" = {
    "google_genai": {
        name: Operation(
            "chat_model", "generate_content", "contents", "config.system_instruction"
        )
        for name in ("generate_content", "generate_content_stream")
    }
    | {"embed_content": Operation("embedding", "embed_content", "contents")},
    "mistralai": {
        **dict.fromkeys(
            ("complete", "complete_async", "stream", "stream_async", "parse"), _CHAT
        ),
        **dict.fromkeys(
            ("create", "create_async"), Operation("embedding", "embeddings", "inputs")
        ),
    },
    "cohere": {
        **dict.fromkeys(("chat", "chat_stream"), _CHAT),
        "embed": Operation("embedding", "embed", "texts"),
    },
    "ollama": {
        "chat": _CHAT,
        "generate": Operation("llm", "generate", "prompt"),
        "embed": Operation("embedding", "embed", "input"),
    },
    "huggingface_hub": {
        "chat_completion": Operation("chat_model", "chat_completion", "messages"),
        "text_generation": Operation("llm", "text_generation", "prompt"),
        "feature_extraction": Operation("embedding", "feature_extraction", "text"),
    },
    "instructor": {"create": Operation("chat_model", "create", "messages", "system")},
    "litellm": {
        "completion": Operation("chat_model", "completion", "messages"),
        "text_completion": Operation("llm", "text_completion", "prompt"),
        "responses": Operation("chat_model", "responses", "input", "instructions"),
        "embedding": Operation("embedding", "embedding", "input"),
    },
    "bedrock": dict.fromkeys(
        ("converse", "converse_stream"),
        Operation("chat_model", "converse", "messages", "system", "modelId"),
    ),
}
"""The operations of the other SDKs, by the method that is called."""


def of_body(provider: str, path: str, body: object) -> Request | None:
    """
    Read what is posted to *path*; None where that is no call of a model.
    """
    if not isinstance(body, dict):
        return None
    operation = _posted.get(path) or _operation_at(path)
    return None if operation is None else operation.request(provider, body)


def _operation_at(path: str) -> Operation | None:
    given = path.partition("?")[0]
    for end, operation in _PATHS.items():
        if given.endswith(end):
            if len(_posted) < _MOST_PATHS:
                _posted[path] = operation
            return operation
    return None


def of_call(provider: str, method: str, fields: "Mapping[str, Any]") -> Request | None:
    """
    Read the arguments, by name, of a method; None where that is no call of a model.
    """
    if provider == "mcp":
        tool = _tool(str(fields.get("name")))
        return Request(tool, dict, fields.get("arguments") or {}, provider)
    operation = _METHODS[provider].get(method)
    return None if operation is None else operation.request(provider, fields)


def _tool(name: str) -> Recipe:
    known = _tools.get(name)
    if known is None:
        known = Recipe(name, "tool")
        if len(_tools) < _MOST_PATHS and len(name) <= _LONGEST_NAME:
            _tools[name] = known
    return known
