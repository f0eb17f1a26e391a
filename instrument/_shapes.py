"""
Read text, chunks, usage and messages from the results of known shapes.

OpenAI's (chat completions, completions, Responses), Anthropic's and LangChain's, as
objects or as dicts. Nothing is imported and nothing is guessed: what has no known
shape gives None.
"""

from instrument._event import Usage
from instrument._messages import content_text, first, get

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_NO_TOKENS = ("response.", "message_", "content_block_", "content.")
"""Events of typed streams that repeat what came as deltas, or carry no text."""
_PLAIN = (str, bytes, int, float, bool, type(None))


class Generation:
    """
    One answer of a model: its text and, of a chat model, the message.
    """

    __slots__ = ("generation_info", "message", "text")

    def __init__(
        self,
        text: str,
        message: object = None,
        generation_info: "dict[str, Any] | None" = None,
    ) -> None:
        self.text = text
        self.message = message
        self.generation_info = generation_info

    def __repr__(self) -> str:
        return f"Generation(text={self.text!r})"


class LLMResult:
    """
    What ``on_llm_end`` gets: LangChain's shape, without LangChain.

    Attributes:
        generations: For each prompt a list of answers: ``generations[0][0].text``.
        llm_output: ``model_name``, ``token_usage``, as far as they are known.
    """

    __slots__ = ("generations", "llm_output", "run")

    def __init__(
        self, generations: "list[list[Generation]]", llm_output: "dict[str, Any]"
    ) -> None:
        self.generations = generations
        self.llm_output = llm_output
        self.run = None

    def __repr__(self) -> str:
        return f"LLMResult(generations={self.generations!r})"


class Answer:
    """
    What was read from a model's result or collected from its chunks.
    """

    __slots__ = ("finish_reason", "message", "model", "text", "tool_calls", "usage")

    def __init__(self, text: str = "", message: object = None) -> None:
        self.text = text
        self.message = message
        self.tool_calls: list[Any] = []
        self.model: str | None = None
        self.finish_reason: str | None = None
        self.usage: Usage | None = None


def token_of(chunk: object) -> "tuple[str, str] | None":
    """
    Read a streamed chunk.

    Returns:
        Its text and channel (``text``, ``reasoning``, ``tool_call``), or None for a
        chunk of no known shape or without text.
    """
    if isinstance(chunk, str):
        return (chunk, "text") if chunk else None
    if isinstance(chunk, _PLAIN):
        return None
    kind = get(chunk, "type")
    if isinstance(kind, str) and kind in _TYPED_CHUNKS:
        return _TYPED_CHUNKS[kind](chunk)  # type: ignore[no-any-return]
    if isinstance(kind, str) and kind.startswith(_NO_TOKENS):
        return None
    if kind == "text" and get(chunk, "snapshot") is not None:
        return None  # Anthropic's SDK says it beside the content_block_delta
    choice = first(get(chunk, "choices"))
    if choice is not None:
        return _of_choice(choice)
    message = get(chunk, "message")
    content = get(chunk if message is None else message, "content")
    if content is None:
        text = get(chunk, "text")
        return (text, "text") if isinstance(text, str) and text else None
    text = content_text(content)
    return (text, "text") if text else None


def answer_of(result: object) -> Answer:
    """
    Read a model's whole result; of a string, the text is all there is.
    """
    if isinstance(result, str):
        return Answer(result)
    if isinstance(result, _PLAIN):
        return Answer()
    generation = first(first(get(result, "generations")))
    choice = first(get(result, "choices"))
    message = get(choice if generation is None else generation, "message")
    source = message if message is not None else result
    answer = Answer(
        message=source if message is not None or _is_message(result) else None
    )
    for holder in (source, generation, choice, result):
        text = _text_of(holder)
        if text:
            answer.text = text
            break
    calls = get(source, "tool_calls")
    answer.tool_calls = list(calls) if isinstance(calls, (list, tuple)) else []
    facts(answer, result)
    if choice is not None:
        answer.finish_reason = _string(get(choice, "finish_reason"))
    if source is not result:
        facts(answer, source)
    return answer


def facts(answer: Answer, source: object) -> None:
    """
    Add to *answer* the usage, model and finish reason that *source* tells.
    """
    if isinstance(source, _PLAIN):
        return
    kind = get(source, "type")
    if kind == "message_start":  # Anthropic's first stream event
        source = get(source, "message")
    elif isinstance(kind, str) and kind.startswith("response."):  # OpenAI Responses
        source = get(source, "response")
    usage = usage_of(source)
    if usage is not None:
        answer.usage = _latest(answer.usage, usage)
    told = get(source, "response_metadata")
    model = _string(get(source, "model")) or _string(get(told, "model_name"))
    answer.model = model or _string(get(told, "model")) or answer.model
    reason = (
        _string(get(source, "stop_reason"))
        or _string(get(get(source, "delta"), "stop_reason"))
        or _string(get(first(get(source, "choices")), "finish_reason"))
        or _string(get(told, "finish_reason"))
        or _string(get(told, "stop_reason"))
    )
    answer.finish_reason = reason or answer.finish_reason


def usage_of(source: object) -> Usage | None:
    """
    Read the usage that a result or a chunk tells, or None.
    """
    usage = get(source, "usage_metadata")  # LangChain
    if get(usage, "input_tokens") is None:
        usage = get(source, "usage")
    if usage is None or isinstance(usage, _PLAIN):
        return None
    if get(usage, "prompt_tokens") is not None:
        return _openai_usage(usage)
    if get(usage, "input_tokens") is None and get(usage, "output_tokens") is None:
        return None
    cached = get(usage, "input_token_details") or get(usage, "input_tokens_details")
    spent = get(usage, "output_token_details") or get(usage, "output_tokens_details")
    read = _count(get(usage, "cache_read_input_tokens"))
    written = _count(get(usage, "cache_creation_input_tokens"))
    given = _count(get(usage, "input_tokens"))
    if given is not None:  # Anthropic counts cached tokens apart
        given += (read or 0) + (written or 0)
    return Usage(
        given,
        _count(get(usage, "output_tokens")),
        _count(get(cached, "cache_read") or get(cached, "cached_tokens")) or read,
        _count(get(cached, "cache_creation")) or written,
        _count(get(spent, "reasoning") or get(spent, "reasoning_tokens")),
    )


def _is_message(result: object) -> bool:
    return get(result, "content") is not None


def _text_of(holder: object) -> str:
    if holder is None or isinstance(holder, _PLAIN):
        return ""
    for name in ("content", "output_text", "text"):
        text = content_text(get(holder, name))
        if text:
            return text
    output = get(holder, "output")  # OpenAI's Responses without output_text
    if isinstance(output, (list, tuple)):
        return "".join(content_text(get(item, "content")) for item in output)
    message = get(holder, "message")
    return content_text(get(message, "content")) if message is not None else ""


def _of_choice(choice: object) -> "tuple[str, str] | None":
    delta = get(choice, "delta")
    if delta is None:
        text = get(choice, "text")
        return (text, "text") if isinstance(text, str) and text else None
    call = get(get(first(get(delta, "tool_calls")), "function"), "arguments")
    for text, channel in (
        (get(delta, "content"), "text"),
        (get(delta, "reasoning_content"), "reasoning"),
        (call, "tool_call"),
    ):
        if isinstance(text, str) and text:
            return text, channel
    return None


def _of_block_delta(chunk: object) -> "tuple[str, str] | None":
    delta = get(chunk, "delta")
    for name, channel in (
        ("text", "text"),
        ("thinking", "reasoning"),
        ("partial_json", "tool_call"),
    ):
        text = get(delta, name)
        if isinstance(text, str) and text:
            return text, channel
    return None


def _delta(channel: str) -> "Any":
    def read(chunk: object) -> "tuple[str, str] | None":
        text = get(chunk, "delta")
        return (text, channel) if isinstance(text, str) and text else None

    return read


_TYPED_CHUNKS: "dict[object, Any]" = {
    "content_block_delta": _of_block_delta,
    "response.output_text.delta": _delta("text"),
    "response.reasoning_text.delta": _delta("reasoning"),
    "response.reasoning_summary_text.delta": _delta("reasoning"),
    "response.function_call_arguments.delta": _delta("tool_call"),
}


def _openai_usage(usage: object) -> Usage:
    prompt = get(usage, "prompt_tokens_details")
    completion = get(usage, "completion_tokens_details")
    return Usage(
        _count(get(usage, "prompt_tokens")),
        _count(get(usage, "completion_tokens")),
        _count(get(prompt, "cached_tokens")),
        None,
        _count(get(completion, "reasoning_tokens")),
    )


def _latest(before: Usage | None, now: Usage) -> Usage:
    """
    Take what a stream tells last; Anthropic tells input first and output at the end.
    """
    known = {**(before.to_dict() if before else {}), **now.to_dict()}
    return Usage(**known)  # type: ignore[arg-type]


def _count(value: object) -> int | None:
    known = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    return value if known else None  # type: ignore[return-value]


def _string(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
