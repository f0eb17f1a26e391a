"""
Flush the handlers that one call was given: when it ends, so does their request.
"""

from instrument._delivery import flush as _serve

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any

    from instrument._audience.layers import Layer
    from instrument._runs.run import Run

    Pending = Coroutine[Any, Any, None]


def flush_given(run: "Run") -> None:
    """
    Flush what the call of *run*, which has ended, was given in ``callbacks=``.
    """
    layer = _given(run)
    if layer is not None:
        _serve.flush(layer)


def aflush_given(run: "Run", pending: "Pending | None") -> "Pending | None":
    """
    The same in async code, behind what is *pending*; at once where nothing can wait.
    """
    layer = _given(run)
    if layer is None:
        return pending
    if run.status == "abandoned":
        _serve.flush(layer)
        return pending
    return _flush_later(layer, pending, shielded=run.status == "cancelled")


def _given(run: "Run") -> "Layer | None":
    layer = run._layers[-1]
    flushes = layer.rank == "call" and any(it.flushes for it in layer.options.listeners)
    return layer if flushes else None


async def _flush_later(
    layer: "Layer", pending: "Pending | None", *, shielded: bool
) -> None:
    try:
        if pending is not None:
            await pending
    finally:
        await _serve.aflush(layer, shielded=shielded)
