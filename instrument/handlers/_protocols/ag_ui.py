"""
AG-UI 1.0: what ``HttpAgent`` of ``@ag-ui/client`` reads.

Agents below the first run are subagents, and what happens in them says in which.

Source: https://docs.ag-ui.com/concepts/events
"""

from instrument._payloads.jsonable import encoded
from instrument._payloads.messages import string
from instrument.handlers._protocols.encoder import Encoder, Shown, said

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from instrument.handlers._protocols.encoder import Data, Frame
    from instrument.handlers._shared.page_handler import Question

_COUNTS = {
    "input_tokens": "inputTokens",
    "output_tokens": "outputTokens",
    "reasoning_tokens": "reasoningTokens",
    "cache_read_tokens": "cachedInputTokens",
    "cache_write_tokens": "cacheWriteInputTokens",
}
_MESSAGE = {"text": "TEXT_MESSAGE", "reasoning": "REASONING_MESSAGE"}


class AGUI(Encoder):
    """
    Frames of one run of AG-UI.

    Attributes:
        thread_id: The conversation's id, as the client knows it.
        run_id: The run's, likewise; None for the id of the first run.
    """

    def __init__(self, *, shows_all: bool) -> None:
        super().__init__(shows_all=shows_all)
        self.thread_id: str | None = None
        self.run_id: str | None = None
        self._usage: dict[str | None, dict[str, Any]] = {}

    def take(self, asked: "Mapping[str, Any]") -> None:
        self.thread_id = string(asked.get("threadId"))
        self.run_id = string(asked.get("runId"))

    def begun(self, run: Shown | None) -> "list[Frame]":
        self.run_id = self.run_id or (run.id if run else "none")
        self.thread_id = self.thread_id or self.run_id
        return [{"type": "RUN_STARTED", **self._ids(), "protocolVersion": "1.0"}]

    def started(self, run: Shown, data: "Data") -> "list[Frame]":
        if run is self._first or run.is_model:
            return []
        if run.kind == "tool":
            frames = [_of(run, "TOOL_CALL_START", toolCallName=run.name)]
            if self.shows_all:
                frames.append(
                    _of(run, "TOOL_CALL_ARGS", delta=encoded(data.get("inputs")))
                )
            return [*frames, _of(run, "TOOL_CALL_END")]
        if run.agent is run:
            frame = {"type": "SUBAGENT_STARTED", "subagentRunId": run.id}
            above = run.parent and run.parent.agent
            if above:
                frame["parentSubagentRunId"] = above.id
            if run.tool:
                frame["parentToolCallId"] = run.tool.id
            return [{**frame, "name": run.name}]
        return [_in_agent(run, {"type": "STEP_STARTED", "stepName": _step(run)})]

    def opened(self, run: Shown, channel: str) -> "list[Frame]":
        role = "assistant" if channel == "text" else "reasoning"
        frame = _message(run, channel, "START", role=role)
        if channel == "text":
            return [frame]
        return [_message(run, channel, "", type="REASONING_START"), frame]

    def piece(self, run: Shown, channel: str, text: str) -> "list[Frame]":
        return [_message(run, channel, "CONTENT", delta=text)]

    def closed(self, run: Shown) -> "list[Frame]":
        channel = run.channel
        if channel is None:
            return []
        frame = _message(run, channel, "END")
        if channel == "text":
            return [frame]
        return [frame, _message(run, channel, "", type="REASONING_END")]

    def finished(self, run: Shown, data: "Data") -> "list[Frame]":
        if run.is_model:
            self._count(data)
        if run is self._first or run.is_model:
            return []
        if run.kind == "tool":
            told = data.get("output", data.get("outputs")) if self.shows_all else ""
            return [_result(run, told if isinstance(told, str) else encoded(told))]
        if run.agent is run:
            return [{"type": "SUBAGENT_FINISHED", "subagentRunId": run.id}]
        return [_in_agent(run, {"type": "STEP_FINISHED", "stepName": _step(run)})]

    def failed(
        self, run: Shown, data: "Data", status: str, failure: "tuple[str, str]"
    ) -> "list[Frame]":
        if run is self._first or run.is_model:
            return []
        text = said(failure) if status == "error" else status
        if run.kind == "tool":
            return [{**_result(run, text), "metadata": {"error": True}}]
        if run.agent is run:
            frame = {"type": "SUBAGENT_ERROR", "subagentRunId": run.id}
            return [{**frame, "message": text, "code": failure[0] or status}]
        return [_in_agent(run, {"type": "STEP_FINISHED", "stepName": _step(run)})]

    def left(self, run: Shown) -> "list[Frame]":
        frames = self.closed(run)
        if run is self._first or run.is_model or run.kind == "tool":
            return frames
        if run.agent is run:
            return [*frames, {"type": "SUBAGENT_FINISHED", "subagentRunId": run.id}]
        step = {"type": "STEP_FINISHED", "stepName": _step(run)}
        return [*frames, _in_agent(run, step)]

    def emitted(self, run: Shown | None, name: str, data: object) -> "list[Frame]":
        frame: Frame = {"type": "CUSTOM", "name": name, "value": data}
        return [frame if run is None else _in_agent(run, frame)]

    def asked(self, run: Shown, question: "Question") -> "list[Frame]":
        # the fields of an interrupt, but the run goes on: it waits where it is
        told: Data = {
            "id": question.id,
            "reason": "tool_call",
            "toolCallId": run.id,
            "message": question.reason or f"May {question.name} be called?",
        }
        if question.approved is not None:
            told |= {"approved": question.approved, "message": question.note}
        return [_in_agent(run, {"type": "CUSTOM", "name": "approval", "value": told})]

    def done(self, error: "tuple[str, str] | None") -> "list[Frame]":
        usage = {"usage": [*self._usage.values()]} if self._usage else {}
        if error is not None and error[0] not in ("cancelled", "abandoned"):
            return [{"type": "RUN_ERROR", "message": said(error), "code": error[0]}]
        outcome = {"type": "success" if error is None else "cancelled"}
        return [{"type": "RUN_FINISHED", **self._ids(), "outcome": outcome, **usage}]

    def _ids(self) -> "dict[str, Any]":
        return {"threadId": self.thread_id, "runId": self.run_id}

    def _count(self, data: "Data") -> None:
        """
        Add up what a model has used.
        """
        told, model = data.get("usage"), data.get("model")
        if not isinstance(told, dict) or not told:
            return
        named = {"model": model} if isinstance(model, str) else {}
        sums = self._usage.setdefault(model if named else None, named)
        for name, count in told.items():
            if name in _COUNTS:
                sums[_COUNTS[name]] = sums.get(_COUNTS[name], 0) + count


def _in_agent(run: Shown, frame: "Frame") -> "Frame":
    return frame if run.agent is None else {**frame, "subagentRunId": run.agent.id}


def _of(run: Shown, kind: str, **more: "Any") -> "Frame":
    return _in_agent(run, {"type": kind, "toolCallId": run.id, **more})


def _result(run: Shown, content: str) -> "Frame":
    return _of(run, "TOOL_CALL_RESULT", messageId=f"{run.id}-result", content=content)


def _message(run: Shown, channel: str, part: str, **more: "Any") -> "Frame":
    id = run.id if channel == "text" else f"{run.id}-{channel}"
    kind = f"{_MESSAGE[channel]}_{part}"
    return _in_agent(run, {"type": kind, "messageId": id, **more})


def _step(run: Shown) -> str:
    """
    Give a name that no other open step has.
    """
    return f"{run.name} {run.id[-6:]}"
