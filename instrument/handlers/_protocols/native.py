"""
Our own records as they are: what `WebSocketHandler` sends, and `Event.from_json` reads.
"""

from instrument.handlers._protocols.encoder import Encoder
from instrument.handlers._shared.page import page_fields

TYPE_CHECKING = False
if TYPE_CHECKING:
    from instrument._payloads.event import Event
    from instrument.handlers._protocols.encoder import Frame


class Native(Encoder):
    """
    A frame an event.
    """

    def frames(self, event: "Event") -> "list[Frame]":
        fields = event.to_dict() if self.shows_all else page_fields(event)
        return [] if fields is None else [fields]

    def ended(self, error: "tuple[str, str] | None" = None) -> "list[Frame]":
        return []
