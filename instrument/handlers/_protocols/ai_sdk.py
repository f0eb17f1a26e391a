"""
The AI SDK's UI message stream, version 1: what ``useChat`` reads (``ai`` 6 and 7).

Its message is flat: texts, tools and data follow each other. The tree is told by parts of
type ``data-run``, one a run, which a later one of the same id replaces.

Source: https://ai-sdk.dev/docs/ai-sdk-ui/stream-protocol
"""

from instrument.handlers._protocols.encoder import Encoder, Shown, said

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from instrument.handlers._protocols.encoder import Data, Frame
    from instrument.handlers._shared.page_handler import Question

_REASONS = ("stop", "length", "content-filter", "tool-calls")
_REASON = {
    "end_turn": "stop",
    "max_tokens": "length",
    "content_filter": "content-filter",
    "tool_calls": "tool-calls",
    "tool_use": "tool-calls",
}


class AISDK(Encoder):
    """
    Frames of one assistant message.
    """

    headers = {"x-vercel-ai-ui-message-stream": "v1"}  # noqa: RUF012
    last = "[DONE]"

    def __init__(self, *, shows_all: bool) -> None:
        super().__init__(shows_all=shows_all)
        self._models = 0
        self._reason = "stop"

    def begun(self, run: Shown | None) -> "list[Frame]":
        return [{"type": "start", **({} if run is None else {"messageId": run.id})}]

    def started(self, run: Shown, data: "Data") -> "list[Frame]":
        frames = [_run(run, "running")]
        if run.is_model:
            self._models += 1
            # a step ends every text that is open, so it lasts as long as any model
            return [*frames, {"type": "start-step"}] if self._models == 1 else frames
        if run.kind == "tool":
            given = data.get("inputs") if self.shows_all else {}
            frames.append(_tool("tool-input-available", run, input=given))
        return frames

    def opened(self, run: Shown, channel: str) -> "list[Frame]":
        about = {"instrument": {"run_id": run.id, "name": run.name}}
        frame = {"type": f"{channel}-start", "id": _part(run, channel)}
        return [{**frame, "providerMetadata": about}]

    def piece(self, run: Shown, channel: str, text: str) -> "list[Frame]":
        return [{"type": f"{channel}-delta", "id": _part(run, channel), "delta": text}]

    def closed(self, run: Shown) -> "list[Frame]":
        if run.channel is None:
            return []
        return [{"type": f"{run.channel}-end", "id": _part(run, run.channel)}]

    def finished(self, run: Shown, data: "Data") -> "list[Frame]":
        frames = self._sources(run, data)
        if run.is_model:
            told = str(data.get("finish_reason") or "stop").lower()
            self._reason = _REASON.get(told, told if told in _REASONS else "other")
        if run.kind == "tool":
            got = _output(data) if self.shows_all else None
            frames.append(_tool("tool-output-available", run, output=got))
        ended = _run(run, "ok", data)
        return [*frames, *self._step_ended(run), ended]

    def failed(
        self, run: Shown, data: "Data", status: str, failure: "tuple[str, str]"
    ) -> "list[Frame]":
        frames = []
        if run.kind == "tool" and not run.is_refused:
            text = said(failure) if status == "error" else status
            frames.append(_tool("tool-output-error", run, errorText=text))
        told = _run(run, status, data)
        return [*frames, *self._step_ended(run), told]

    def left(self, run: Shown) -> "list[Frame]":
        return [*self.closed(run), *self._step_ended(run)]

    def emitted(self, run: Shown | None, name: str, data: object) -> "list[Frame]":
        return [{"type": f"data-{name}", "data": data}]

    def asked(self, run: Shown, question: "Question") -> "list[Frame]":
        told = {"type": "data-approval", "id": question.id, "data": _told(question)}
        if run.kind != "tool" or question.approved:
            return [told]
        if question.approved is None:
            about = {"approvalId": question.id, "toolCallId": run.id}
            return [{"type": "tool-approval-request", **about}, told]
        run.is_refused = True
        return [{"type": "tool-output-denied", "toolCallId": run.id}, told]

    def done(self, error: "tuple[str, str] | None") -> "list[Frame]":
        if error is None:
            return [{"type": "finish", "finishReason": self._reason}]
        if error[0] in ("cancelled", "abandoned"):
            return [{"type": "abort", "reason": error[0]}]
        return [{"type": "error", "errorText": said(error)}]

    def _step_ended(self, run: Shown) -> "list[Frame]":
        if not run.is_model:
            return []
        self._models -= 1
        return [] if self._models else [{"type": "finish-step"}]

    def _sources(self, run: Shown, data: "Data") -> "list[Frame]":
        documents = data.get("documents") if run.kind == "retriever" else None
        if not self.shows_all or not isinstance(documents, list):
            return []
        return [
            _source(f"{run.id}-{number}", document)
            for number, document in enumerate(documents)
        ]


def _told(question: "Question") -> "Data":
    return {
        "run_id": str(question.run_id),
        "name": question.name,
        "reason": question.reason if question.approved is None else question.note,
        "approved": question.approved,
    }


def _part(run: Shown, channel: str) -> str:
    return run.id if channel == "text" else f"{run.id}-{channel}"


def _run(run: Shown, status: str, data: "Data | None" = None) -> "Frame":
    told: dict[str, Any] = {
        "run_id": run.id,
        "parent_run_id": None if run.parent is None else run.parent.id,
        "kind": run.kind,
        "name": run.name,
        "status": status,
    }
    for name in ("duration_s", "usage", "finish_reason", "type", "message"):
        if data and data.get(name):
            told[name] = data[name]
    return {"type": "data-run", "id": run.id, "data": told}


def _tool(kind: str, run: Shown, **more: "Any") -> "Frame":
    frame = {"type": kind, "toolCallId": run.id, "dynamic": True, **more}
    return {**frame, "toolName": run.name} if kind == "tool-input-available" else frame


def _output(data: "Data") -> object:
    return data.get("output", data.get("outputs"))


def _source(id: str, document: "Any") -> "Frame":
    fields = document if isinstance(document, dict) else {}
    metadata = fields.get("metadata")
    about = metadata if isinstance(metadata, dict) else fields
    source = about.get("source") or about.get("url") or fields.get("id")
    title = str(about.get("title") or source or "document")
    if isinstance(source, str) and source.startswith(("https://", "http://")):
        return {"type": "source-url", "sourceId": id, "url": source, "title": title}
    frame = {"type": "source-document", "sourceId": id, "mediaType": "text/plain"}
    return {**frame, "title": title}
