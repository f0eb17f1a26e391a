"""
Clients whose methods are the calls: their names are data.
"""

import functools
import inspect

from instrument._hearing.operations import of_call
from instrument._hearing.wrapped.streams import LATER, aheard, follow, heard, is_stream
from instrument._hearing.wrapped.twins import Twin, twin_of
from instrument._runs.starting import guarded
from instrument._state import get_state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeAlias

    from instrument._hearing.calls import Own, Request
    from instrument._runs.merging import Inner

    Call: TypeAlias = "Own | Inner"


class Rule:
    """
    What is heard of the objects of one class.

    Attributes:
        methods: The methods that are calls of a model or a tool.
        parts: The attributes that hold further objects with such methods.
        is_live: Whether the twin shares its state from now on, instead of a copy of it:
            that of a connection, which counts its requests.
    """

    __slots__ = ("is_live", "methods", "parts", "provider")

    def __init__(
        self,
        provider: str,
        methods: "tuple[str, ...]" = (),
        parts: "tuple[str, ...]" = (),
        *,
        is_live: bool = False,
    ) -> None:
        self.provider = provider
        self.methods = methods
        self.parts = parts
        self.is_live = is_live


_GENAI = Rule(
    "google_genai", ("generate_content", "generate_content_stream", "embed_content")
)
_COHERE = Rule("cohere", ("chat", "chat_stream", "embed"))
_OLLAMA = Rule("ollama", ("chat", "generate", "embed"))
_HUGGINGFACE = Rule(
    "huggingface_hub", ("chat_completion", "text_generation", "feature_extraction")
)
_MCP = Rule("mcp", ("call_tool",), is_live=True)

RULES = {
    "google.genai": {
        "Client": Rule("google_genai", parts=("models", "aio")),
        "AsyncClient": Rule("google_genai", parts=("models",)),
        "Models": _GENAI,
        "AsyncModels": _GENAI,
    },
    "mistralai": {
        "Mistral": Rule("mistralai", parts=("chat", "embeddings")),
        "Chat": Rule(
            "mistralai", ("complete", "complete_async", "stream", "stream_async")
        ),
        "Embeddings": Rule("mistralai", ("create", "create_async")),
    },
    "cohere": {"ClientV2": _COHERE, "AsyncClientV2": _COHERE},
    "ollama": {"Client": _OLLAMA, "AsyncClient": _OLLAMA},
    "huggingface_hub": {
        "InferenceClient": _HUGGINGFACE,
        "AsyncInferenceClient": _HUGGINGFACE,
    },
    "botocore": {"BedrockRuntime": Rule("bedrock", ("converse", "converse_stream"))},
    "mcp": {"ClientSession": _MCP, "Client": _MCP},
}
"""By the module that a class comes from, and its name."""


def rule_of(client: object) -> Rule | None:
    """
    Find the rule for an object, by its class or one that this inherits from.
    """
    for base in type(client).__mro__:
        for module, rules in RULES.items():
            if f"{base.__module__}.".startswith(f"{module}."):
                rule = rules.get(base.__name__)
                if rule is not None:
                    return rule
    return None


def wrapped(client: "Any", rule: Rule) -> "Any":
    """
    Give an object like this one whose calls are heard.
    """
    for name in rule.parts:
        getattr(client, name)  # Mistral's are made when they are first asked for
    parts = {id(getattr(client, name)) for name in rule.parts}
    cls: Any = type(client)
    made = twin_of(client, _mixin(cls, rule), is_live=rule.is_live)
    for name, value in vars(client).items():
        if id(value) in parts:
            made.__dict__[name] = wrapped(value, rule_of(value))  # type: ignore[arg-type]
        elif name in rule.methods:  # Cohere has methods of an object
            made.__dict__[name] = _heard(value, rule.provider, name, bound=True)
    return made


@functools.lru_cache(maxsize=500)
def _mixin(cls: type, rule: Rule) -> type:
    methods = {
        name: _heard(getattr(cls, name), rule.provider, name, bound=False)
        for name in rule.methods
        if hasattr(cls, name)
    }
    return type("Heard", (Twin,), methods)


def _heard(
    method: "Callable[..., Any]", provider: str, name: str, *, bound: bool
) -> "Callable[..., Any]":
    """
    Make a function that calls *method*, and has the call heard.
    """
    asked = _reader(inspect.signature(method), provider, name, skipped=not bound)

    @functools.wraps(method)
    def call(*args: "Any", **kwargs: "Any") -> "Any":
        send = functools.partial(method, *args, **kwargs)
        return heard(asked(args, kwargs), send, _taken)

    @functools.wraps(method)
    async def acall(*args: "Any", **kwargs: "Any") -> "Any":
        send = functools.partial(method, *args, **kwargs)
        return await aheard(asked(args, kwargs), send, _taken)

    return acall if inspect.iscoroutinefunction(method) else call


def _reader(
    signature: inspect.Signature, provider: str, name: str, *, skipped: bool
) -> "Callable[[tuple[Any, ...], dict[str, Any]], Request | None]":
    """
    Make what reads a call's arguments by their names, ``self`` skipped.
    """
    unnamed = [
        each.name for each in signature.parameters.values() if each.kind is _KEYWORDS
    ]

    def read(args: "tuple[Any, ...]", kwargs: "dict[str, Any]") -> "Request | None":
        if not get_state():
            return None
        try:
            given = signature.bind(*args, **kwargs).arguments
        except TypeError:  # Python's own error comes from the call
            return None
        if skipped:
            given.pop(next(iter(given)))
        for each in unnamed:
            given.update(given.pop(each, {}))
        request: Request | None = guarded(
            given, lambda given: of_call(provider, name, given)
        )
        return request

    return read


_KEYWORDS = inspect.Parameter.VAR_KEYWORD


def _taken(call: "Call", result: "Any") -> "tuple[object, Any]":
    """
    Give the whole answer, or `LATER`, and what the caller gets.
    """
    stream = result.get("stream") if type(result) is dict else None  # Bedrock's
    if stream is not None:
        call.go_on(in_pieces=True)
        return LATER, {**result, "stream": follow(call, stream)}
    if is_stream(result):
        call.go_on(in_pieces=True)
        return LATER, follow(call, result)
    return result, result
