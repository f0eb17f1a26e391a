"""
Which requests a share of them hears: ``callbacks(handler, sample=0.1)``.

A block draws once, when it is entered; process-wide handlers draw for each trace.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from uuid import UUID

    from instrument._audience.plan import Layer


def checked_sample(sample: object) -> float:
    """
    Give *sample* as a float.

    Raises:
        TypeError: If it is no number.
        ValueError: If it is not from 0 to 1.
    """
    if isinstance(sample, bool) or not isinstance(sample, (int, float)):
        message = f"callbacks(sample=...) is a number from 0 to 1, not {sample!r}."
        raise TypeError(message)
    if not 0 <= sample <= 1:
        message = (
            f"callbacks(sample=...) is a share from 0 to 1, not {sample!r};"
            " one request in ten is sample=0.1."
        )
        raise ValueError(message)
    return float(sample)


def sampled(layers: "list[Layer]") -> "tuple[list[Layer], bool]":
    """
    Leave out the layers whose sample this request, or this trace, is not in.

    Returns:
        The others, and whether some are among them as there is no trace yet.
    """
    kept = []
    undecided = False
    trace_id = None
    for layer in reversed(layers):
        if layer.trace_id is not None:
            trace_id = layer.trace_id
        sample = layer.options.sample
        if sample >= 1:
            kept.append(layer)
        elif layer.number is not None:
            if layer.number < sample:
                kept.append(layer)
        elif trace_id is None:
            undecided = True
            kept.append(layer)
        elif drawn(trace_id) < sample:
            kept.append(layer)
    return kept[::-1], undecided


def drawn(trace_id: "UUID") -> float:
    """
    Map a trace id to [0, 1): the same in every process, whatever the ids' pattern.
    """
    mixed = (trace_id.int ^ trace_id.int >> 64) * 0x9E3779B97F4A7C15 & (1 << 64) - 1
    mixed = (mixed ^ mixed >> 32) * 0xD6E8FEB86659FD93 & (1 << 64) - 1
    return (mixed ^ mixed >> 32) / (1 << 64)
