"""
What LangChain's runs tell: as our own, with LangChain's objects and keywords untouched.

What its models answered is read where LangChain keeps it. To look where every provider
may keep it takes 30 us a result: its objects are slow to say that they lack an attribute.
"""

from instrument._payloads import kinds as _payload
from instrument._payloads.answers import Answer, take, usage_of
from instrument._payloads.messages import content_text, fields_of, string
from instrument._payloads.redact import redacted
from instrument._runs.opening import NamedRecipe, Recipe
from instrument._runs.results import contained
from instrument.integrations.langchain._open_runs import entry_of
from instrument.integrations.langchain._told_as_chains import (
    decided,
    tell_as_chain,
    text_of,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from langchain_core.outputs import LLMResult

    from instrument._payloads.answers.answer import Token
    from instrument._payloads.kinds import Args
    from instrument._runs.run import Run

    FrameworkLayer = dict[str, Any]

_NOTHING: "dict[str, Any]" = {}
_MORE = ("tool_call_chunks", "tool_calls", "additional_kwargs", "usage_metadata")
_PROVIDER = "model_provider"
_MODEL_KEYS = ("model", "model_name", "model_id", "deployment_name", "engine")


def answer_of(result: "LLMResult") -> Answer:
    """
    Read a result of one prompt or conversation.
    """
    rows = result.generations
    if not rows or not rows[0]:
        return Answer()
    generation = rows[0][0]
    message: Any = getattr(generation, "message", None)
    output: Mapping[str, Any] = result.llm_output or _NOTHING
    info: Mapping[str, Any] = generation.generation_info or _NOTHING
    told: Mapping[str, Any] = _NOTHING
    answer = Answer(_string(generation.text) or "", message)
    used = None
    if message is not None:
        told = message.response_metadata
        # of blocks, old versions take one
        if not issubclass(type(message.content), str):
            answer.text = content_text(message.content)
        used = getattr(message, "usage_metadata", None)
        for call in getattr(message, "tool_calls", None) or ():
            answer.called(call["id"], call["name"], call["args"])
    if not _is_told(used):
        used = _first((output, told), ("token_usage", "usage"))
    answer.usage = None if used is None else usage_of({"usage": used})
    answer.model = _string(_first((told, output), ("model_name", "model")))
    reason = _first((told, info, output), ("finish_reason", "stop_reason"))
    answer.finish_reason = _string(reason)
    return answer


def said(answer: Answer, token: object, chunk: "Any") -> "Sequence[Token]":
    """
    Add what a chunk of a stream says to *answer*, and give its pieces.
    """
    message = fields_of(chunk).get("message")
    if message is None:
        return answer.said(content_text(token))
    text = _only_text(fields_of(message))
    return take(answer, message) if text is None else answer.said(text)


def _only_text(message: "Mapping[str, Any]") -> str | None:
    """
    Give the text of a chunk that tells no more than that, as most do; None of any other.

    To look for all that could be told takes 20 us.
    """
    content = message.get("content")
    if type(content) is not str or any(message.get(name) for name in _MORE):
        return None
    told = message.get("response_metadata")
    return None if told and (len(told) > 1 or _PROVIDER not in told) else content


def _first(holders: "tuple[Mapping[str, Any], ...]", names: tuple[str, ...]) -> "Any":
    for holder in holders:
        if holder:
            for name in names:
                value = holder.get(name)
                if _is_told(value):
                    return value
    return None


def _is_told(value: "Any") -> bool:
    """
    Tell whether there is anything in it; what is no text or dict is not asked.
    """
    kind = type(value)
    return bool(value) if kind is str or kind is dict else value is not None


def _string(value: object) -> str | None:
    return str.__str__(value) if issubclass(type(value), str) else None


class _Original(_payload.Kind):
    """
    Add to a start what LangChain said there; left out where payloads are redacted.
    """

    is_plain = False

    def note(
        self,
        run: "Run",
        serialized: "Any",
        keywords: "FrameworkLayer",
        metadata: "FrameworkLayer | None",
    ) -> None:
        """
        Note what LangChain tells at a start, and who hears may know.

        Args:
            run: Its inputs are as LangChain has them.
            serialized: How it describes the object.
            keywords: What else it tells.
            metadata: Where it keeps what it knows of a model.
        """
        run._entry.original = serialized, keywords
        run._inputs = shown(run, run._inputs, "inputs")

    def started(self, run: "Run") -> "Args":
        (named, *rest), own = super().started(run)
        serialized, keywords = _original(run)
        return (serialized or named, *rest), {**(own or {}), **keywords}


def _original(run: "Run") -> "tuple[Any, FrameworkLayer]":
    return entry_of(run).original if run._audience.shows_all else (None, {})


class _Model(_Original):
    yields_tokens = True
    is_whole = True

    answer_of: "Callable[[Any], Answer]" = staticmethod(answer_of)

    def note(
        self,
        run: "Run",
        serialized: "Any",
        keywords: "FrameworkLayer",
        metadata: "FrameworkLayer | None",
    ) -> None:
        entry = run._entry
        entry.original, entry.answer = (serialized, keywords), None
        inputs = run._inputs
        if self.is_chat:  # it tells one conversation at a time
            inputs = inputs[0] if inputs else []
        run._params = params = keywords.get("invocation_params") or {}
        for key in _MODEL_KEYS:
            model = string(params.get(key))
            if model is not None:
                run._model = model
                break
        _name(run, metadata)
        if run._audience.shows_all:
            run._inputs = inputs.copy() if type(inputs) is list else inputs
        else:
            run._inputs = shown(run, inputs, "inputs")
            params = shown(run, params, "params") if params else None
            run._params = params if type(params) is dict else None

    def started(self, run: "Run") -> "Args":
        if run._audience.shows_all:
            serialized, keywords = run._entry.original
            if "invocation_params" in keywords:
                said = [run._inputs] if self.is_chat else run._inputs
                return (serialized or {"name": run.name}, said), keywords
        return super().started(run)

    def ended(self, run: "Run") -> "Any":
        return run._outputs if run._audience.shows_all else super().ended(run)


def _name(run: "Run", metadata: "FrameworkLayer | None") -> None:
    """
    Note a model and its provider from where LangChain keeps what it knows of them.
    """
    if metadata:
        if run._model is None:
            run._model = string(metadata.get("ls_model_name"))
        run.provider = string(metadata.get("ls_provider")) or run.provider


class _Llm(_Model, _payload.Llm):
    pass


class _ChatModel(_Model, _payload.ChatModel):
    pass


class _Retriever(_Original, _payload.Retriever):
    pass


class _Tool(_Original, _payload.Tool):
    def note(
        self,
        run: "Run",
        serialized: "Any",
        keywords: "FrameworkLayer",
        metadata: "FrameworkLayer | None",
    ) -> None:
        run._entry.input_str = keywords.pop("input_str", "")
        super().note(run, serialized, keywords, metadata)

    def started(self, run: "Run") -> "Args":
        (serialized, text), own = super().started(run)
        if run._audience.shows_all:
            text = entry_of(run).input_str
        return (serialized, text), own


class ToldAsChain(_Original):
    """
    What LangChain tells as a chain, and says to be of this type.
    """

    def note(
        self,
        run: "Run",
        serialized: "Any",
        keywords: "FrameworkLayer",
        metadata: "FrameworkLayer | None",
    ) -> None:
        super().note(run, serialized, keywords, metadata)
        run._entry.inputs = run._inputs
        tell_as_chain(run)


class _ModelToldAsChain(ToldAsChain):
    def note(
        self,
        run: "Run",
        serialized: "Any",
        keywords: "FrameworkLayer",
        metadata: "FrameworkLayer | None",
    ) -> None:
        super().note(run, serialized, keywords, metadata)
        run._entry.answer = None
        run._inputs = self.said(run._inputs)
        _name(run, metadata)

    def said(self, inputs: object) -> "Any":
        """
        Give *inputs* as a model's.
        """
        if inputs.__class__ is list and not inputs:  # they are not to be known
            return inputs
        return [text_of(inputs)]

    def ended(self, run: "Run") -> "Any":
        result = super().ended(run)
        text = decided(run)
        if text is not None:
            result.generations[0][0].text = text
        return result

    def end_data(self, run: "Run") -> "dict[str, Any]":
        text = decided(run)
        data = super().end_data(run)
        return data if text is None else {**data, "text": text}


class _LlmToldAsChain(_ModelToldAsChain, _payload.Llm):
    pass


class _ChatModelToldAsChain(_ModelToldAsChain, _payload.ChatModel):
    def said(self, inputs: object) -> "Any":
        return self.inputs_of({"messages": inputs})


class _RetrieverToldAsChain(ToldAsChain, _payload.Retriever):
    pass


class _ToolToldAsChain(ToldAsChain, _payload.Tool):
    pass


_KINDS = {
    "llm": _Llm(),
    "chat_model": _ChatModel(),
    "retriever": _Retriever(),
    "tool": _Tool(),
}
_TOLD_AS_CHAINS = {
    "llm": _LlmToldAsChain(),
    "chat_model": _ChatModelToldAsChain(),
    "retriever": _RetrieverToldAsChain(),
    "tool": _ToolToldAsChain(),
}
_CHAIN = _Original()

_MADE_BY = "ls_integration"
"""Where LangChain notes what made a graph."""
_AGENTS = "langchain_create_agent"

_NAMES = 1_000
"""Names may come from outside, and without end."""

_known: "dict[tuple[str, str | None, str | None, bool, str | None], Recipe]" = {}
"""What has been made, of that many."""


def recipe(
    kind: str,
    serialized: "Any",
    name: str | None,
    more: "FrameworkLayer",
    run_type: str | None = None,
    metadata: "dict[str, Any] | None" = None,
) -> Recipe:
    """
    Say what a run of LangChain is: never nameless.

    Args:
        kind: As what LangChain tells it.
        serialized: How LangChain describes the object; None for most chains.
        name: What LangChain calls the run.
        more: What else it tells at its start.
        run_type: Of which type it says that a chain is.
        metadata: What it tells of the run besides.
    """
    by = metadata.get(_MADE_BY) if metadata else None
    if type(by) is str and by == _AGENTS and _is_an_agent(name, metadata):  # type: ignore[arg-type]
        run_type = run_type or "agent"
    own = None
    if serialized.__class__ is dict:
        own = serialized.get("name") or _last(serialized.get("id"))
        if type(own) is not str:
            own = str(own) if own else None
    is_bare = serialized is None and not more
    key = kind, name, own, is_bare, run_type
    made = _known.get(key)
    if made is None:
        named = str(name or own or run_type or kind)
        is_named = bool(name and own) and name != own
        chain = _payload.CHAIN if is_bare else _CHAIN
        kinds = _KINDS if run_type is None else _TOLD_AS_CHAINS
        as_kind = kinds.get(run_type or kind, chain)
        made = (NamedRecipe if is_named else Recipe)(
            named, run_type or kind, as_kind=as_kind
        )
        if len(_known) < _NAMES:
            _known[key] = made
    return made


def _is_an_agent(name: str | None, metadata: "dict[str, Any]") -> bool:
    """
    Tell whether what starts is what ``create_agent`` made, and no step within that.

    LangChain hands the metadata of an agent down to all that it calls.
    """
    if "langgraph_step" not in metadata:
        return True
    return name is not None and name == string(metadata.get("lc_agent_name"))


def shown(run: "Run", value: "Any", name: str) -> "Any":
    """
    Give a payload as handlers may have it: LangChain's own objects, where all is shown.
    """
    heard = run._audience
    if heard.shows_all:
        return contained(value)
    if not heard.capture:
        return run._kind.inputs_of({}) if name == "inputs" else None
    return contained(redacted(value, heard.redactors, (name,)))


def known_later(run: "Run", inputs: "Any") -> "Any":
    """
    Give the inputs of a stream, which LangChain tells when it has been read.
    """
    told = shown(run, inputs, "inputs")
    kind = run._kind
    return kind.said(told) if isinstance(kind, _ModelToldAsChain) else told


def _last(path: object) -> "Any":
    return path[-1] if isinstance(path, list) and path else None
