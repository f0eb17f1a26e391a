"""
What LangChain's runs tell: as our own, with LangChain's objects and keywords untouched.
"""

from instrument import _payload
from instrument._recipe import Recipe
from instrument.integrations.langchain._answers import answer_of
from instrument.integrations.langchain._heard import told

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from instrument._payload import Args
    from instrument._run import Run
    from instrument._shapes import Answer

    Given = dict[str, Any]

_MODEL_KEYS = ("model", "model_name", "model_id", "deployment_name", "engine")


class _Original(_payload.Chain):
    """
    Add to a start what LangChain said there; left out where payloads are redacted.
    """

    is_plain = False

    def taken(self, run: "Run", inputs: "Any", keywords: "Given") -> "Any":
        """
        Give what ``run.inputs`` holds, of what LangChain tells.
        """
        return inputs

    def started(self, run: "Run") -> "Args":
        (named, *rest), own = super().started(run)
        serialized, keywords = _original(run)
        return (serialized or named, *rest), {**(own or {}), **keywords}


def _original(run: "Run") -> "tuple[Any, Given]":
    return told(run).original if run._heard.shows_all else (None, {})


class _Model(_Original):
    yields_tokens = True

    answer_of: "Callable[[Any], Answer]" = staticmethod(answer_of)

    def started(self, run: "Run") -> "Args":
        if run._heard.shows_all:
            serialized, keywords = run._entry.original
            if "invocation_params" in keywords:
                return (serialized or {"name": run.name}, self.said(run)), keywords
        return super().started(run)

    def ended(self, run: "Run") -> "Any":
        return run._outputs if run._heard.shows_all else super().ended(run)

    if TYPE_CHECKING:

        def said(self, run: "Run") -> Any: ...


class _Llm(_Model, _payload.Llm):
    pass


class _ChatModel(_Model, _payload.ChatModel):
    def taken(self, run: "Run", inputs: "Any", keywords: "Given") -> "Any":
        return inputs[0] if inputs else []  # it tells one conversation at a time


class _Retriever(_Original, _payload.Retriever):
    pass


class _Tool(_Original, _payload.Tool):
    def taken(self, run: "Run", inputs: "Any", keywords: "Given") -> "Any":
        run._entry.input_str = keywords.pop("input_str", "")
        return inputs

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

_known: "dict[tuple[str, str, bool], Recipe]" = {}
"""What has been made, of that many."""


def recipe(kind: str, serialized: "Any", name: str | None, more: "Given") -> Recipe:
    """
    Say what a run of LangChain is: never nameless.

    Args:
        kind: What LangChain calls it.
        serialized: How LangChain describes the object; None for most chains.
        name: What LangChain calls the run.
        more: What else it tells at its start.
    """
    named = str(name or _name_of(serialized) or kind)
    is_bare = serialized is None and not more
    made = _known.get((kind, named, is_bare))
    if made is None:
        chain = _payload.CHAIN if is_bare else _CHAIN
        made = Recipe(named, kind, tells=_KINDS.get(kind, chain))
        if len(_known) < _NAMES:
            _known[kind, named, is_bare] = made
    return made


def describe_model(run: "Run", metadata: "Given", keywords: "Given") -> None:
    """
    Note which model a run is of, and its parameters.

    Args:
        metadata: Where LangChain keeps what it knows of a model.
        keywords: What else LangChain tells at its start.
    """
    run._params = params = keywords.get("invocation_params") or {}
    for key in _MODEL_KEYS:
        if key in params and (named := _string(params[key])):
            run._model = named
            break
    else:
        run._model = _string(metadata.get("ls_model_name"))
    run.provider = _string(metadata.get("ls_provider"))


def _name_of(serialized: "Any") -> "Any":
    if not isinstance(serialized, dict):
        return None
    path = serialized.get("id")
    return serialized.get("name") or (
        path[-1] if isinstance(path, list) and path else None
    )


def _string(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
