"""
`Happening`: for handlers to which what a run tells meanwhile is an event within a span.
"""

from instrument._payloads.messages import get
from instrument.handlers._shared.run_handler import RunHandler

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from instrument._runs.run import Run


class Happening(RunHandler):
    """
    Hear that runs start and end, and what happens in between.
    """

    def happens(self, run: "Run", name: str, data: "dict[Any, Any]") -> None:
        """
        Hear that something happens in *run*, where it happens.
        """

    def on_custom_event(self, name: str, data: "Any", **kwargs: "Any") -> None:
        self.happens(
            kwargs["run"], name, data if type(data) is dict else {"data": data}
        )

    def on_text(self, text: str, **kwargs: "Any") -> None:
        self.happens(kwargs["run"], "text", {"text": text})

    def on_retry(self, retry_state: "Any", **kwargs: "Any") -> None:
        attempt = get(retry_state, "attempt_number")
        attempt = retry_state if attempt is None else attempt
        self.happens(kwargs["run"], "retry", {"attempt": attempt})

    def on_agent_action(self, action: "Any", **kwargs: "Any") -> None:
        self.happens(kwargs["run"], "agent_action", {"action": action})

    def on_agent_finish(self, finish: "Any", **kwargs: "Any") -> None:
        self.happens(kwargs["run"], "agent_finish", {"finish": finish})
