"""
`StreamingStdOutCallbackHandler`: tokens as they come.
"""

from instrument._audience.handler import BaseCallbackHandler
from instrument._interrupts import Taking
from instrument.handlers._shared.checks import checked_channels
from instrument.handlers._shared.terminal import Terminal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, TextIO


class StreamingStdOutCallbackHandler(BaseCallbackHandler):
    """
    Write each token of every model below, at once.

    Args:
        file: A text stream; by default what ``sys.stdout`` is at the time.
        channels: What is written of an answer: its ``text``; also or instead what was
            thought before, ``reasoning``, and the arguments of a ``tool_call``.

    Tokens are untrusted: line breaks and tabs are written, no other control character.

    Raises:
        TypeError: If *channels* is no list of strings.
        ValueError: For another channel, or none.
    """

    def __init__(
        self, file: "TextIO | None" = None, *, channels: "Iterable[str]" = ("text",)
    ) -> None:
        self._terminal = Terminal(file)
        name = "StreamingStdOutCallbackHandler(channels=...)"
        self._channels = checked_channels(name, channels)

    def on_llm_new_token(
        self, token: str, *, channel: str = "text", **kwargs: "Any"
    ) -> None:
        taking = Taking()
        if channel in self._channels:
            self._terminal.piece(token, kwargs["run"], taking)
