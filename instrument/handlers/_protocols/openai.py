"""
Chunks of OpenAI's chat completions: any client of OpenAI's can read a chain of yours.

There is one answer, and no tree: the text of the models that are in no tool.

Source: https://platform.openai.com/docs/api-reference/chat-streaming
"""

from instrument import _ids
from instrument._payloads.messages import string
from instrument.handlers._protocols.encoder import Encoder, Shown, said

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from instrument.handlers._protocols.encoder import Data, Frame

_COUNTS = {"input_tokens": "prompt_tokens", "output_tokens": "completion_tokens"}


class OpenAI(Encoder):
    """
    Frames of one completion.

    Attributes:
        model: What the completion says it is of; None for the name of the first run.
    """

    last = "[DONE]"
    can_ask = False

    def __init__(self, *, shows_all: bool) -> None:
        super().__init__(shows_all=shows_all)
        self.model: str | None = None
        self._id, self._created = "chatcmpl", _ids.wall_ns() // 1_000_000_000
        self._reason = "stop"
        self._usage = dict.fromkeys(_COUNTS.values(), 0)

    def take(self, asked: "Mapping[str, Any]") -> None:
        self.model = string(asked.get("model"))

    def begun(self, run: Shown | None) -> "list[Frame]":
        if run is not None:
            self._id = f"chatcmpl-{run.id}"
            self.model = self.model or run.name
        return [self._chunk({"role": "assistant", "content": ""})]

    def started(self, run: Shown, data: "Data") -> "list[Frame]":
        return []

    def piece(self, run: Shown, channel: str, text: str) -> "list[Frame]":
        if run.tool is not None:
            return []
        name = "content" if channel == "text" else "reasoning_content"
        return [self._chunk({name: text})]

    def finished(self, run: Shown, data: "Data") -> "list[Frame]":
        if run.is_model:
            usage = data.get("usage")
            for name, count in usage.items() if isinstance(usage, dict) else ():
                if name in _COUNTS:
                    self._usage[_COUNTS[name]] += count
            is_cut = data.get("finish_reason") in ("length", "max_tokens")
            self._reason = "length" if is_cut else "stop"
        return []

    def failed(
        self, run: Shown, data: "Data", status: str, failure: "tuple[str, str]"
    ) -> "list[Frame]":
        return []

    def emitted(self, run: Shown | None, name: str, data: object) -> "list[Frame]":
        return []

    def done(self, error: "tuple[str, str] | None") -> "list[Frame]":
        if error is not None:
            about = {"message": said(error), "type": error[0], "code": None}
            return [{"error": {**about, "param": None}}]
        total = {"total_tokens": sum(self._usage.values())}
        return [
            self._chunk({}, finish_reason=self._reason),
            {**self._chunk({}), "choices": [], "usage": {**self._usage, **total}},
        ]

    def _chunk(self, delta: "Data", finish_reason: "Any" = None) -> "Frame":
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
        return {
            "id": self._id,
            "object": "chat.completion.chunk",
            "created": self._created,
            "model": self.model or "instrument",
            "choices": [choice],
        }
