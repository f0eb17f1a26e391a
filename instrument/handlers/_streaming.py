"""
`StreamingStdOutCallbackHandler`: tokens as they come.
"""

from instrument._audience.handler import BaseCallbackHandler
from instrument.handlers._shared.terminal import Terminal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TextIO


class StreamingStdOutCallbackHandler(BaseCallbackHandler):
    """
    Write each token of every model below, at once.

    Args:
        file: A text stream; by default what ``sys.stdout`` is at the time.

    Tokens are untrusted: line breaks and tabs are written, no other control character.
    """

    def __init__(self, file: "TextIO | None" = None) -> None:
        self._terminal = Terminal(file)

    def on_llm_new_token(self, token: str, **kwargs: "Any") -> None:
        self._terminal.piece(token, kwargs["run"])
