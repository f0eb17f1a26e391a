"""
Which requests a share of them hears: ``callbacks(handler, sample=0.1)``.

A block draws once, when it is entered; process-wide handlers draw for each trace. Where
a draw has come in from another process, nobody draws again.
"""

from instrument import _ids
from instrument._text import safe_repr

TYPE_CHECKING = False
if TYPE_CHECKING:
    from instrument._audience.plan import Layer


ARRIVED: "list[bool]" = []
"""Not empty once something has come in: until then nobody looks for it."""


class Incoming:
    """
    What another process has sent along: the trace that goes on here, and its draw.

    Attributes:
        trace_hex: The id of the trace, or None.
        span_hex: The id of what is above it there, or None.
        number: What was drawn; samples are compared with it.
        tracestate: What tracers have noted for each other; it goes on unchanged.
    """

    __slots__ = ("number", "span_hex", "trace_hex", "tracestate")

    def __init__(
        self,
        trace_hex: str | None,
        span_hex: str | None,
        number: float,
        tracestate: str | None = None,
    ) -> None:
        ARRIVED[:] = (True,)
        self.trace_hex = trace_hex
        self.span_hex = span_hex
        self.number = number
        self.tracestate = tracestate


def incoming_of(layers: "list[Layer]") -> Incoming | None:
    """
    Give what has come in nearest, or None.
    """
    for layer in reversed(layers):
        if layer.incoming is not None:
            return layer.incoming
    return None


def checked_sample(sample: object, what: str = "callbacks") -> float:
    """
    Give the *sample* that *what* was given as a float.

    Raises:
        TypeError: If it is no number.
        ValueError: If it is not from 0 to 1.
    """
    if isinstance(sample, bool) or not isinstance(sample, (int, float)):
        message = (
            f"{what}(sample=...) is a number from 0 to 1, not {safe_repr(sample)}."
        )
        raise TypeError(message)
    if not 0 <= sample <= 1:
        message = (
            f"{what}(sample=...) is a share from 0 to 1, not {sample!r};"
            " one request in ten is sample=0.1."
        )
        raise ValueError(message)
    return float(sample)


def sampled(
    layers: "list[Layer]", incoming: Incoming | None
) -> "tuple[list[Layer], bool]":
    """
    Leave out the layers whose sample this request, or this trace, is not in.

    Args:
        incoming: What has come in, with what was drawn for the trace.

    Returns:
        The others, and whether some are among them as there is no trace yet.
    """
    kept = []
    undecided = False
    number = None if incoming is None else incoming.number
    for layer in reversed(layers):
        if layer.trace_hex is not None and incoming is None:
            number = drawn(layer.trace_hex)
        sample = layer.options.sample
        if sample >= 1:
            kept.append(layer)
        elif layer.number is not None:
            if layer.number < sample:
                kept.append(layer)
        elif number is None:
            undecided = True
            kept.append(layer)
        elif number < sample:
            kept.append(layer)
    return kept[::-1], undecided


def drawn(trace_hex: str) -> float:
    """
    Map a trace id, as others see it, to [0, 1): the same in every process.
    """
    return _ids.mixed(int(trace_hex, 16)) / (1 << 64)
