"""
What LangChain's runs tell: as our own, with LangChain's objects and keywords untouched.
"""

from instrument import _payload
from instrument._recipe import Recipe
from instrument.integrations.langchain._heard import told

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from instrument._payload import Args
    from instrument._run import Run

    Given = dict[str, Any]

_MODEL_KEYS = ("model", "model_name", "model_id", "deployment_name", "engine")


class _Original(_payload.Chain):
    """
    Add to a start what LangChain said there; left out where payloads are redacted.
    """

    is_plain = False

    def started(self, run: "Run") -> "Args":
        (named, *rest), own = super().started(run)
        if not run._heard.shows_all:
            return (named, *rest), own
        serialized, keywords = told(run).original
        return (serialized or named, *rest), {**(own or {}), **keywords}


class _Llm(_Original, _payload.Llm):
    pass


class _ChatModel(_Original, _payload.ChatModel):
    pass


class _Retriever(_Original, _payload.Retriever):
    pass


class _Tool(_Original, _payload.Tool):
    def started(self, run: "Run") -> "Args":
        (serialized, text), own = super().started(run)
        if run._heard.shows_all:
            text = told(run).input_str
        return (serialized, text), own


_KINDS = {
    "llm": _Llm(),
    "chat_model": _ChatModel(),
    "retriever": _Retriever(),
    "tool": _Tool(),
}
_CHAIN = _Original()

_NAMES = 1_000
"""Names may come from outside, and without end."""

_plain: "dict[tuple[str, str | None], Recipe]" = {}
"""The recipes of chains of which no more is told than a name, as of most."""


def recipe(
    kind: str,
    serialized: "Any",
    name: str | None,
    metadata: "Given | None",
    keywords: "Given",
) -> Recipe:
    """
    Say what a run of LangChain is: never nameless.

    Args:
        kind: What LangChain calls it.
        serialized: How LangChain describes the object; None for most chains.
        name: What LangChain calls the run.
        metadata: Where LangChain keeps what it knows of a model.
        keywords: What else LangChain tells at its start.
    """
    is_bare = serialized is None and not keywords and name.__class__ is str
    if is_bare and (kind, name) in _plain:
        return _plain[kind, name]
    named = str(name or _name_of(serialized) or kind)
    tells = _KINDS.get(kind)
    if tells is None:
        made = Recipe(named, kind, tells=_payload.CHAIN if is_bare else _CHAIN)
        if is_bare and len(_plain) < _NAMES:
            _plain[kind, name] = made
        return made
    if not tells.is_model:
        return Recipe(named, kind, tells=tells)
    return Recipe(named, kind, _model_facts(metadata or {}, keywords), tells=tells)


def _model_facts(metadata: "Given", keywords: "Given") -> "Given":
    params = keywords.get("invocation_params") or {}
    model = next((params[key] for key in _MODEL_KEYS if params.get(key)), None)
    return {
        "model": _string(model) or _string(metadata.get("ls_model_name")),
        "provider": _string(metadata.get("ls_provider")),
        "_params": dict(params),
    }


def _name_of(serialized: "Any") -> "Any":
    if not isinstance(serialized, dict):
        return None
    path = serialized.get("id")
    return serialized.get("name") or (
        path[-1] if isinstance(path, list) and path else None
    )


def _string(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
