"""
What the attributes of a span say, in the words of gen_ai or of OpenInference.
"""

import json
import re
from functools import cached_property
from itertools import takewhile

from instrument._payloads.event import Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

_OPERATIONS = {
    "chat": "chat_model",
    "create_agent": "agent",
    "embeddings": "embedding",
    "execute_tool": "tool",
    "generate_content": "chat_model",
    "invoke_agent": "agent",
    "invoke_workflow": "chain",
    "retrieval": "retriever",
    "text_completion": "llm",
}
_MODELS = ("chat_model", "embedding", "llm")
_KINDS = {
    "AGENT": "agent",
    "CHAIN": "chain",
    "EMBEDDING": "embedding",
    "LLM": "chat_model",
    "RERANKER": "retriever",
    "RETRIEVER": "retriever",
    "TOOL": "tool",
}
_COUNTS = {
    "input_tokens": ("gen_ai.usage.input_tokens", "llm.token_count.prompt"),
    "output_tokens": ("gen_ai.usage.output_tokens", "llm.token_count.completion"),
    "cache_read_tokens": (
        "gen_ai.usage.cache_read.input_tokens",
        "gen_ai.usage.details.cache_read_tokens",
        "llm.token_count.prompt_details.cache_read",
    ),
    "cache_write_tokens": (
        "gen_ai.usage.cache_write.input_tokens",
        "gen_ai.usage.cache_creation.input_tokens",
        "gen_ai.usage.details.cache_write_tokens",
        "llm.token_count.prompt_details.cache_write",
    ),
    "reasoning_tokens": (
        "gen_ai.usage.reasoning.output_tokens",
        "gen_ai.usage.details.reasoning_tokens",
        "llm.token_count.completion_details.reasoning",
    ),
    "cost_usd": ("operation.cost", "llm.cost.total"),
}
_PARAM = re.compile(r"gen_ai\.request\.(?!model$)([\w.]+)")
_MESSAGE = re.compile(r"(\d{1,9})\.message\.(.+)")
_CALL = re.compile(
    r"tool_calls\.(\d{1,9})\.tool_call\.(?:function\.)?(id|name|arguments)"
)
_CONTENT = re.compile(r"contents\.(\d+)\.message_content\.text")
_MOST = 1_000
"""How many messages, or parts of one, are read."""
_LONGEST_S = 1e6


def kind_of(name: str, attributes: "Mapping[str, Any]") -> str | None:
    """
    Tell what a span of that name is, by what it is said to do, or by its first word;
    None where it is no run.
    """
    operation = attributes.get("gen_ai.operation.name")
    if isinstance(operation, str):
        return _OPERATIONS.get(operation)
    kind = attributes.get("openinference.span.kind")
    if isinstance(kind, str):
        return _KINDS.get(kind, kind.lower() if kind != "UNKNOWN" else "chain")
    return _OPERATIONS.get(name.partition(" ")[0])


class Words:
    """
    The attributes of one span, read.
    """

    def __init__(self, span: "Any") -> None:
        self._span = span
        self.attributes: Mapping[str, Any] = span.attributes or {}

    def name(self, kind: str) -> str:
        """
        Name the run: as the tool or the agent is called, else by the span.
        """
        said = {
            "agent": ("gen_ai.agent.name", "agent.name"),
            "tool": ("gen_ai.tool.name", "tool.name"),
        }
        first, _, rest = self._span.name.partition(" ")
        spoken = rest if first in _OPERATIONS and rest else self._span.name
        return self._text(*said.get(kind, ())) or spoken or kind

    @property
    def model(self) -> str | None:
        first, _, rest = self._span.name.partition(" ")
        spoken = rest if _OPERATIONS.get(first) in _MODELS else ""
        told = self._text(
            "gen_ai.response.model",
            "llm.response.model_name",
            "gen_ai.request.model",
            "llm.model_name",
            "llm.request.model_name",
            "embedding.model_name",
        )
        return told or spoken or None

    @property
    def provider(self) -> str | None:
        return self._text(
            "gen_ai.provider.name", "gen_ai.system", "llm.provider", "llm.system"
        )

    @property
    def description(self) -> str | None:
        return self._text("gen_ai.tool.description", "tool.description")

    @property
    def first_chunk_s(self) -> float | None:
        """
        Seconds until the first piece of an answer came.
        """
        seconds = self._first(
            "gen_ai.response.time_to_first_chunk",
            "gen_ai.client.operation.time_to_first_chunk",
        )
        is_number = type(seconds) is int or type(seconds) is float
        return float(seconds) if is_number and 0 <= seconds <= _LONGEST_S else None

    @property
    def usage(self) -> Usage:
        counts = {name: self._first(*keys) for name, keys in _COUNTS.items()}
        return Usage(**{name: it for name, it in counts.items() if _is_count(name, it)})

    def failure(self, span: "Any") -> tuple[str, str]:
        """
        Give the type and the message of what went wrong; of several, the last.
        """
        told = [it.attributes or {} for it in span.events if it.name == "exception"]
        last = told[-1] if told else {}
        name = last.get("exception.type") or self._text("error.type") or "SpanError"
        message = last.get("exception.message") or span.status.description or name
        return str(name).rpartition(".")[2], str(message)

    def params(self, kind: str) -> "dict[str, Any] | None":
        """
        Give a model's other arguments, by name.
        """
        told = {
            found[1]: value
            for key, value in self.attributes.items()
            if (found := _PARAM.fullmatch(key)) is not None
        }
        more = _read(self._text("llm.invocation_parameters"))
        if isinstance(more, dict):
            told.update((name, it) for name, it in more.items() if name != "model")
        return told if kind in _MODELS else None

    def inputs(self, kind: str) -> "Any":
        """
        Give what went in, as far as it is told by now.
        """
        if kind in ("chat_model", "llm"):
            said = self._asked
            return said if kind == "chat_model" else [_written(it) for it in said]
        if kind == "embedding":
            texts = self._numbered("embedding.embeddings.", "embedding.text")
            return texts or _listed(_read(self._given))
        if kind == "retriever":
            query = self._text("gen_ai.retrieval.query.text", "reranker.query")
            return query or _plain(_read(self._given)) or ""
        given = _read(self._text("gen_ai.tool.call.arguments", "tool.parameters"))
        if given is None:
            given = _read(self._given)
        if given is None:
            given = self._asked or None
        return (
            given
            if isinstance(given, dict)
            else {}
            if given is None
            else {"input": given}
        )

    def outputs(self, kind: str) -> "Any":
        """
        Give what came out.
        """
        if kind in ("chat_model", "llm"):
            return self.answer()
        if kind == "retriever":
            told = _read(self._text("gen_ai.retrieval.documents"))
            listed = self._numbered("retrieval.documents.", "document.content")
            return told or listed or _read(self._text("output.value"))
        if kind == "embedding":
            return None
        found = self._text("gen_ai.tool.call.result", "final_result", "output.value")
        if found is None:
            said = _messages(_read(self._text("gen_ai.output.messages")))
            return said[-1]["content"] if said else None
        return _read(found)

    def answer(self) -> "dict[str, Any]":
        """
        Give a model's answer in the shape of a chat completion.
        """
        said = _messages(_read(self._text("gen_ai.output.messages")))
        said = said or self._flat("llm.output_messages.")
        message: dict[str, Any] = (
            said[0] if said else {"role": "assistant", "content": None}
        )
        reasons = self._first("gen_ai.response.finish_reasons", "llm.finish_reason")
        reason = (
            reasons[0] if isinstance(reasons, (list, tuple)) and reasons else reasons
        )
        choice = {"index": 0, "message": message, "finish_reason": reason or None}
        told = {"id": self._text("gen_ai.response.id"), "model": self.model}
        return {"object": "chat.completion", **told, "choices": [choice]}

    @cached_property
    def _asked(self) -> "list[dict[str, Any]]":
        """
        What a model, or an agent, was asked.
        """
        system = _read(self._text("gen_ai.system_instructions"))
        said = _messages(
            _read(self._text("gen_ai.input.messages", "pydantic_ai.all_messages"))
        )
        if isinstance(system, list) and said:
            said = [*_messages([{"role": "system", "parts": system}]), *said]
        said = said or self._flat("llm.input_messages.")
        given = _read(self._given)
        if (
            not said
            and isinstance(given, dict)
            and isinstance(given.get("messages"), list)
        ):
            said = [it for it in given["messages"][:_MOST] if isinstance(it, dict)]
        if not said and isinstance(given, str):
            said = [{"role": "user", "content": given}]
        return said

    @property
    def _given(self) -> str | None:
        return self._text("input.value")

    def _first(self, *keys: str) -> "Any":
        found = (self.attributes.get(key) for key in keys)
        return next((it for it in found if it is not None), None)

    def _text(self, *keys: str) -> str | None:
        found = self._first(*keys)
        return found if isinstance(found, str) and found else None

    def _numbered(self, prefix: str, name: str) -> "list[Any]":
        """
        Read ``prefix.N.name`` of each N.
        """
        found = (self.attributes.get(f"{prefix}{n}.{name}") for n in range(_MOST))
        return list(takewhile(lambda it: it is not None, found))

    def _flat(self, prefix: str) -> "list[dict[str, Any]]":
        """
        Read messages of which each field is an attribute of its own.
        """
        made: dict[int, dict[str, Any]] = {}
        for key, value in self.attributes.items():
            told = (
                _MESSAGE.fullmatch(key.removeprefix(prefix))
                if key.startswith(prefix)
                else None
            )
            if told is None:
                continue
            message = made.setdefault(
                int(told[1]), {"role": "assistant", "content": None}
            )
            field = told[2]
            call, content = _CALL.fullmatch(field), _CONTENT.fullmatch(field)
            if call is not None:
                calls = message.setdefault("calls", {})
                calls.setdefault(int(call[1]), {})[call[2]] = value
            elif content is not None:
                message["content"] = (message["content"] or "") + str(value)
            elif field in ("role", "content", "name", "tool_call_id"):
                message[field] = value
        return [_with_calls(made[number]) for number in sorted(made)[:_MOST]]


def _with_calls(message: "dict[str, Any]") -> "dict[str, Any]":
    calls = message.pop("calls", {})
    if calls:
        message["tool_calls"] = [_call(calls[number]) for number in sorted(calls)]
    return message


def _call(told: "Mapping[str, Any]") -> "dict[str, Any]":
    arguments = told.get("arguments")
    is_text = isinstance(arguments, str)
    written = arguments if is_text else json.dumps(arguments, default=str)
    function = {"name": told.get("name"), "arguments": written}
    return {"id": told.get("id"), "type": "function", "function": function}


def _messages(told: "Any") -> "list[dict[str, Any]]":
    """
    Read messages that have parts; what a tool answered is a message of its own.
    """
    made: list[dict[str, Any]] = []
    for message in told[:_MOST] if isinstance(told, list) else ():
        if not isinstance(message, dict):
            continue
        parts = message.get("parts")
        listed = (
            [it for it in parts[:_MOST] if isinstance(it, dict)]
            if isinstance(parts, list)
            else []
        )
        answers = [it for it in listed if it.get("type") == "tool_call_response"]
        others = [it for it in listed if it.get("type") != "tool_call_response"]
        for part in answers:
            content = part.get("response", part.get("result"))
            made.append(
                {"role": "tool", "content": content, "tool_call_id": part.get("id")}
            )
        if others or not answers:
            made.append(_message(message, others))
    return made


def _message(
    message: "dict[str, Any]", parts: "list[dict[str, Any]]"
) -> "dict[str, Any]":
    texts = [it.get("content") for it in parts if it.get("type") == "text"]
    thoughts = [str(it.get("content")) for it in parts if it.get("type") == "reasoning"]
    calls = [_call(it) for it in parts if it.get("type") == "tool_call"]
    known = ("text", "reasoning", "tool_call")
    others = [it for it in parts if it.get("type") not in known]
    content: Any = "".join(str(it) for it in texts) if texts else None
    if others:
        content = [*({"type": "text", "text": str(it)} for it in texts), *others]
    made = {"role": message.get("role"), "content": content}
    made |= {"tool_calls": calls} if calls else {}
    made |= {"reasoning_content": "".join(thoughts)} if thoughts else {}
    return made


def _read(text: str | None) -> "Any":
    """
    Read JSON; what is none is text.
    """
    if text is None or text[:1] not in '{["':
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _written(message: "dict[str, Any]") -> str:
    return str(message.get("content") or "")


def _plain(value: "Any") -> str | None:
    return (
        value
        if isinstance(value, str)
        else None
        if value is None
        else json.dumps(value)
    )


def _listed(value: "Any") -> "list[Any]":
    return value if isinstance(value, list) else [] if value is None else [value]


def _is_count(name: str, value: object) -> bool:
    kind = type(value)
    is_number = kind is int or (kind is float and name == "cost_usd")
    return is_number and value >= 0  # type: ignore[operator]
