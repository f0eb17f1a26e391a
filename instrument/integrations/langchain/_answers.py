"""
What LangChain's models answered, read where LangChain keeps it.

To look where every provider may keep it takes 30 us a result: LangChain's objects are
slow to say that they lack an attribute.
"""

from instrument._payloads.answers import Answer, usage_of
from instrument._payloads.messages import content_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from langchain_core.outputs import LLMResult

_NOTHING: "dict[str, Any]" = {}


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
    answer = Answer(generation.text, message)
    used = None
    if message is not None:
        told = message.response_metadata
        if not isinstance(message.content, str):  # of blocks, old versions take one
            answer.text = content_text(message.content)
        used = getattr(message, "usage_metadata", None)
        for call in getattr(message, "tool_calls", None) or ():
            answer.called(call["id"], call["name"], call["args"])
    used = used or _first((output, told), ("token_usage", "usage"))
    answer.usage = usage_of({"usage": used}) if used else None
    answer.model = _string(_first((told, output), ("model_name", "model")))
    reason = _first((told, info, output), ("finish_reason", "stop_reason"))
    answer.finish_reason = _string(reason)
    return answer


def _first(holders: "tuple[Mapping[str, Any], ...]", names: tuple[str, ...]) -> "Any":
    for holder in holders:
        if holder:
            for name in names:
                if holder.get(name):
                    return holder[name]
    return None


def _string(value: object) -> str | None:
    return value if isinstance(value, str) else None
