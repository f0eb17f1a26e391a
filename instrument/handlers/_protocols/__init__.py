"""
Events as the frames of a protocol that front ends read: one protocol a file.

An encoder is made for one stream. It is given each `Event` once, in order, and gives
frames as plain objects; it sends nothing, and knows neither request nor socket.
"""

from importlib import import_module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from instrument.handlers._protocols.encoder import Encoder

PROTOCOLS = {
    "native": "Native",
    "ai-sdk": "AISDK",
    "ag-ui": "AGUI",
    "openai": "OpenAI",
}


def encoder(protocol: str, *, shows_all: bool) -> "Encoder":
    """
    Make the encoder of one stream.

    Args:
        protocol: One of `PROTOCOLS`.
        shows_all: Whether what was asked, and what tools were given and gave, may be
            told: to whoever reads the stream.
    """
    module = import_module(f"{__name__}.{protocol.replace('-', '_')}")
    made: Encoder = getattr(module, PROTOCOLS[protocol])(shows_all=shows_all)
    return made
