"""
Our own records as they are: what `WebSocketHandler` sends, and `Event.from_json` reads.
"""

from instrument._payloads.jsonable import encoded
from instrument.handlers._protocols.encoder import Encoder
from instrument.handlers._shared.page import page_fields, told_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from uuid import UUID

    from instrument._payloads.event import Event
    from instrument.handlers._protocols.encoder import Frame
    from instrument.handlers._shared.page_handler import Question


class Native(Encoder):
    """
    A frame an event.
    """

    is_ordered = False

    def lines(self, event: "Event") -> list[str]:
        frames = self.frames(event)
        return [event.to_json()] if self.shows_all else [encoded(it) for it in frames]

    def frames(self, event: "Event") -> "list[Frame]":
        if event.parent_run_id is None and event.event.endswith(("_end", "_error")):
            told = told_of(event) or {}
            has_failed = event.event.endswith("_error") and told["status"] == "error"
            failure = str(told.get("type", "")), str(told.get("message", ""))
            self.failure = failure if has_failed else None
        fields = event.to_dict() if self.shows_all else page_fields(event)
        return [] if fields is None else [fields]

    def ended(self, error: "tuple[str, str] | None" = None) -> "list[Frame]":
        return []

    def knows(self, run_id: "UUID") -> bool:
        return True

    def question(self, question: "Question") -> "list[Frame]":
        told = {
            "event": "approval",
            "approval_id": question.id,
            "run_id": str(question.run_id),
            "name": question.name,
            "reason": question.reason,
        }
        return [told if question.approved is None else told | _answer(question)]

    def closing(self, error: "tuple[str, str] | None") -> str:
        status = "ok" if error is None else "error"
        told = {"status": status}
        if error is not None and error[0] in ("cancelled", "abandoned"):
            told["status"] = error[0]
        elif error is not None:
            told |= {"type": error[0], "message": error[1]}
        return f"event: end\ndata: {encoded(told)}"


def _answer(question: "Question") -> "Frame":
    return {"approved": question.approved, "reason": question.note}
