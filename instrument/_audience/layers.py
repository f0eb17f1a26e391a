"""
What is put on a plan: options, and the layer that one opening of them makes.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from collections.abc import Mapping
    from typing import Any
    from uuid import UUID

    from instrument._audience.listener import Listener
    from instrument._delivery.lanes import Lane
    from instrument._payloads.redact import Redactor


class Options:
    """
    What a block, a constructor or a call gives: handlers and what goes with them.
    """

    __slots__ = (
        "capture",
        "hidden",
        "inherit",
        "listeners",
        "metadata",
        "redactors",
        "sample",
        "tags",
    )

    def __init__(
        self,
        listeners: "tuple[Listener, ...]" = (),
        tags: tuple[str, ...] = (),
        metadata: "Mapping[str, Any] | None" = None,
        *,
        inherit: bool = True,
        sample: float = 1.0,
        redactors: "tuple[Redactor, ...]" = (),
        capture: bool = True,
        hidden: bool = True,
    ) -> None:
        self.listeners = listeners
        self.tags = tags
        self.metadata = metadata
        self.inherit = inherit
        self.sample = sample
        self.redactors = redactors
        self.capture = capture
        self.hidden = hidden

    def __bool__(self) -> bool:
        return bool(self.listeners or self.tags or self.metadata)


class Layer:
    """
    One opening of some `Options`: a block entered, a constructor's, a call's.

    Attributes:
        rank: ``block``, ``constructor``, ``call``, ``framework`` (what that was given
            itself), or ``trace`` (no handlers: the mark at which samples below were
            drawn).
        closed: True once it was left from another Context: it counts no more.
        loop: The event loop on which it was opened, where its handlers are at home.
        forks: How often this process had been forked off then.
        lanes: The queues of its async handlers, while they hold anything.
    """

    rank = "constructor"
    closed = False
    loop: "AbstractEventLoop | None" = None
    forks = 0
    lanes: "dict[object, Lane] | None" = None
    trace_id: "UUID | None" = None

    def __init__(self, options: Options, rank: str = "constructor") -> None:
        self.options = options
        self.rank = rank


class FrameworkLayer(Layer):
    """
    The handlers, and nothing else, that a framework was given for one run.
    """

    def __init__(self, listeners: "tuple[Listener, ...]") -> None:
        self.options = Options(listeners)
        self.rank = "framework"


def mark(trace_id: "UUID") -> Layer:
    """
    Make the layer under which samples are drawn for one trace.
    """
    layer = Layer(_NOTHING, "trace")
    layer.trace_id = trace_id
    return layer


_NOTHING = Options()
