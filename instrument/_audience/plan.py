"""
Who hears: layers of handlers, one on the other, settled into an `Audience`.

A `Plan` is a link (one layer over an outer plan), made in no time when a block opens.
It is settled when something first happens under it, and again when the epoch has
changed: a layer was closed from elsewhere, or process-wide handlers came or went.
"""

from itertools import count

from instrument._audience.audience import Receivers, Voices
from instrument._audience.layers import FrameworkLayer
from instrument._state import PROCESS, Frame

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any
    from uuid import UUID

    from instrument._audience.layers import Layer
    from instrument._audience.listener import Listener
    from instrument._payloads.kinds import Chain
    from instrument._runs.run import Run


class Epoch:
    """
    Changes each time that settled plans have become out of date.
    """

    def __init__(self) -> None:
        self.now = 0
        self._next = count(1).__next__

    def end(self) -> None:
        """
        Have plans settle anew; from any thread, after what they depend on has changed.
        """
        self.now = self._next()  # never twice the same, which += could give


EPOCH = Epoch()
"""Asked by every run: of an object that takes a third of what a class would."""


class Plan:
    """
    A layer over an outer plan.

    Attributes:
        own: The layers of the very run that this is the plan of.
        audience: Who hears, as of its epoch.
    """

    outer: "Plan | None"
    layer: "Layer | None"
    own: "tuple[Layer, ...]" = ()
    audience: "Audience"

    def __init__(
        self,
        outer: "Plan | None",
        layer: "Layer | None",
        own: "tuple[Layer, ...]" = (),
    ) -> None:
        self.outer = outer
        self.layer = layer
        self.own = own

    def settle(self) -> "Audience":
        """
        Give who hears now; cheap where nothing has changed since the last time.
        """
        audience = self.audience
        if audience.epoch != EPOCH.now:
            epoch = EPOCH.now
            audience = Audience(self._gathered(), self.own, epoch)
            self.audience = audience
        return audience

    def unsettle(self) -> None:
        """
        Let go of who hears: they hold the layer that this may itself be.
        """
        self.audience = UNSETTLED

    def without(self, layers: "tuple[Layer, ...]") -> "Plan":
        """
        Give the same plan less some layers.
        """
        kept = []
        link: Plan | None = self
        while link is not None:
            if link.layer is not None and link.layer not in layers:
                kept.append(link.layer)
            link = link.outer
        plan = NOBODY
        for layer in reversed(kept):
            plan = Plan(plan, layer)
        return plan

    def _gathered(self) -> "list[Layer]":
        layers = []
        link: Plan | None = self
        while link is not None:
            if link.layer is not None and not link.layer.closed:
                layers.append(link.layer)
            link = link.outer
        return [*PROCESS, *reversed(layers)]


class View(Frame, Plan):
    """
    A frame that is a plan and no more: a run's, less something that was left under it,
    or that of another place and time.

    Attributes:
        run: The run in hand there, or None.
    """

    layer = None
    _is_gone = False
    _mended: "Plan | None" = None

    def __init__(
        self,
        plan: Plan,
        run: "Run | None",
        outer: object = None,
        *,
        stands_on: "Frame | None" = None,
    ) -> None:
        self.outer = plan
        self.run = run
        self._outer = outer
        self._stands_on = stands_on

    @property
    def _plan(self) -> Plan:  # type: ignore[override]
        return self

    def cloned(self, outer: object, layers: "tuple[Layer, ...]") -> "View":
        plan = self.without(layers)
        return View(plan, self.run, outer, stands_on=self._stands_on)


def linked(plan: Plan, layers: "tuple[Layer, ...]") -> Plan:
    """
    Put the layers of one run on *plan*, those that it does not hold already.

    A chain of tasks, each made in a run of the last one's, would grow otherwise.
    """
    heard = plan.settle()
    known = heard.layers
    layer = layers[0] if len(layers) == 1 else None
    is_of_blocks = plan.layer is not None or plan is NOBODY
    if layer.__class__ is FrameworkLayer and is_of_blocks and layer not in known:
        made = Plan(Plan(plan, layer), None, own=layers)
        made.audience = heard.joined(layer)
        return made
    while plan.layer is None and plan.outer is not None:
        plan = plan.outer
    for layer in layers:
        if layer not in known:
            plan = Plan(plan, layer)
    return Plan(plan, None, own=layers)


class Audience:
    """
    Who hears, and with what tags, metadata and redactors: a snapshot, never changed.

    Attributes:
        epoch: Until when it holds.
        layers: What it was settled from, without what ``inherit=False`` cut off.
        listeners: Each with its layer, in the order in which they hear.
        hidden: True where runs are heard that a framework means to hide.
        undecided: True while samples of some layer have not been drawn.
        metadata: What constructors gave, outer to inner, and over it what blocks and
            calls gave.
        shows_all: True where no payload is redacted or dropped.
        wants_tokens: True where a handler has models stream that were not asked to.
        waits: The layers that no block is left for: their async handlers are waited
            for by the outermost run.
    """

    __slots__ = (
        "_receivers",
        "capture",
        "epoch",
        "hidden",
        "is_described",
        "is_tagged",
        "layers",
        "listeners",
        "metadata",
        "redactors",
        "shows_all",
        "tags",
        "undecided",
        "voices_of",
        "waits",
        "wants_tokens",
    )

    def __init__(
        self, layers: "list[Layer]", own: "tuple[Layer, ...]", epoch: int = -1
    ) -> None:
        self.epoch = epoch
        self._receivers: dict[str, Receivers] = {}
        self.voices_of: dict[str, Voices] = {}
        self.undecided = False
        cut = [i for i, layer in enumerate(layers) if not layer.options.inherit]
        below = layers[cut[-1] :] if cut else layers
        self.layers = frozenset(below)
        self.listeners = tuple(self._heard(below, own))
        self.waits = [layer for _, layer in self.listeners if layer.rank != "block"]
        options = [layer.options for layer in layers]
        self.tags = tuple(dict.fromkeys(tag for o in options for tag in o.tags))
        self.redactors = tuple(dict.fromkeys(r for o in options for r in o.redactors))
        self.capture = all(o.capture for o in options)
        self.hidden = all(o.hidden for o in options)
        self.shows_all = self.capture and not self.redactors
        self.wants_tokens = _want_tokens(self.listeners)
        self.metadata: dict[str, Any] = {}
        self.is_tagged = bool(self.tags)
        for constructors in (True, False):
            for layer in layers:
                if (
                    layer.rank == "constructor"
                ) is constructors and layer.options.metadata:
                    self.metadata.update(layer.options.metadata)
        self.is_described = bool(self.metadata)

    def joined(self, layer: "Layer") -> "Audience":
        """
        Give the same with one layer more, of handlers and nothing else.
        """
        # a handler in LangChain's own config is a layer a call: to look at all layers
        # anew takes 4.5 us, this 2
        made = Audience.__new__(Audience)
        made.epoch, made.undecided = self.epoch, self.undecided
        made.tags, made.is_tagged = self.tags, self.is_tagged
        made.metadata, made.is_described = self.metadata, self.is_described
        made.redactors, made.capture = self.redactors, self.capture
        made.shows_all, made.hidden = self.shows_all, self.hidden
        made._receivers, made.voices_of = {}, {}
        made.layers = self.layers | {layer}
        known = {listener.key for listener, _ in self.listeners}
        more = [(it, layer) for it in layer.options.listeners if it.key not in known]
        made.listeners = (*self.listeners, *more)
        made.waits = self.waits + [layer] * len(more)
        made.wants_tokens = self.wants_tokens or _want_tokens(more)
        return made

    def receivers(self, event: str) -> "Receivers":
        """
        Give what serves *event*.
        """
        known = self._receivers.get(event)
        if known is None:
            known = self._receivers[event] = Receivers(self.listeners, event)
        return known

    def voices(self, kind: "Chain") -> "Voices":
        """
        Find what serves the events of one kind of run; kept in `voices_of`.
        """
        made = self.voices_of[kind.start] = Voices(self, kind)
        return made

    def _heard(
        self, layers: "list[Layer]", own: "tuple[Layer, ...]"
    ) -> "list[tuple[Listener, Layer]]":
        heard: dict[object, tuple[Listener, Layer]] = {}
        for layer in self._sampled(layers):
            for listener in layer.options.listeners:
                if listener.local and layer not in own:
                    continue
                known = heard.get(listener.key)
                # a block around the request says more than process-wide does
                if known is None or (known[1].rank, layer.rank) == ("process", "block"):
                    heard[listener.key] = listener, layer
        return list(heard.values())

    def _sampled(self, layers: "list[Layer]") -> "list[Layer]":
        """
        Leave out the layers whose sample this trace is not in.
        """
        kept = []
        trace_id = None
        for layer in reversed(layers):
            if layer.trace_id is not None:
                trace_id = layer.trace_id
            if layer.options.sample >= 1:
                kept.append(layer)
            elif trace_id is None:
                self.undecided = True
                kept.append(layer)
            elif _drawn(trace_id) < layer.options.sample:
                kept.append(layer)
        return kept[::-1]


def _want_tokens(listeners: "Iterable[tuple[Listener, Layer]]") -> bool:
    for listener, _ in listeners:
        if getattr(listener.handler, "wants_tokens", None) is True:
            return True
    return False


def _drawn(trace_id: "UUID") -> float:
    """
    Map a trace id to [0, 1): the same in every process, whatever the ids' pattern.
    """
    mixed = (trace_id.int ^ trace_id.int >> 64) * 0x9E3779B97F4A7C15 & (1 << 64) - 1
    mixed = (mixed ^ mixed >> 32) * 0xD6E8FEB86659FD93 & (1 << 64) - 1
    return (mixed ^ mixed >> 32) / (1 << 64)


UNSETTLED = Plan.audience = Audience([], ())
"""What stands for who hears while that has not been looked for; it never holds."""

NOBODY = Plan(None, None)
"""The plan outside every block: process-wide handlers only."""
