"""
Who hears: layers of handlers, one on the other, settled into an `Audience`.

A `Plan` is a link (one layer over an outer plan), made in no time when a block opens.
It is settled when something first happens under it, and again when the epoch has
changed: a layer was closed from elsewhere, or process-wide handlers came or went.
"""

from itertools import count

from instrument._audience.audience import Audience
from instrument._state import PROCESS, Frame
from instrument._text import safe_repr

TYPE_CHECKING = False
if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from collections.abc import Mapping, Sequence
    from typing import Any

    from instrument._audience.listener import Listener
    from instrument._audience.sampling import Incoming
    from instrument._payloads.walk import Redactor
    from instrument._runs.run import Run
    from instrument._state import Less


class Options:
    """
    What a block, a constructor or a call gives: handlers and what goes with them.
    """

    __slots__ = (
        "capture",
        "inherit",
        "listeners",
        "metadata",
        "plumbing",
        "redactors",
        "sample",
        "tags",
    )

    def __init__(
        self,
        listeners: "tuple[Listener, ...]" = (),
        tags: "Sequence[str]" = (),
        metadata: "Mapping[str, Any] | None" = None,
        *,
        inherit: bool = True,
        sample: float = 1.0,
        redactors: "tuple[Redactor, ...]" = (),
        capture: bool = True,
        plumbing: bool = True,
    ) -> None:
        self.listeners = listeners
        self.tags = tags
        self.metadata = metadata
        self.inherit = inherit
        self.sample = sample
        self.redactors = redactors
        self.capture = capture
        self.plumbing = plumbing

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
        number: What a block drew when it was entered; its sample is compared with it.
        incoming: What has come from another process, of a block that goes on with it.
        installed: Who hears in such a block as it is installed here.
        is_deserted: Whether the client has gone whose request it is: what is cancelled
            there now was abandoned.
        lanes: The queues of its async handlers, while they hold anything.
        requests: What `tail` keeps of the request, by its key, until it has ended.
    """

    rank = "constructor"
    closed: bool  # without a default, as all that each block sets: see `Run`
    loop: "AbstractEventLoop | None"
    forks = 0
    lanes: "dict[object, Any] | None"
    requests: "dict[object, Any] | None" = None
    number: float | None = None
    trace_hex: str | None = None
    incoming: "Incoming | None" = None
    installed: "tuple[Listener, ...]" = ()
    is_deserted = False

    def __init__(self, options: Options, rank: str = "constructor") -> None:
        self.options = options
        self.rank = rank
        self.closed = False
        self.loop = self.lanes = None

    def has_installed(self, listener: "Listener") -> bool:
        """
        Tell whether it is installed in this process that is heard by it.
        """
        return self.rank == "process" or listener in self.installed


class FrameworkLayer(Layer):
    """
    The handlers, and nothing else, that a framework was given for one run.
    """

    def __init__(self, listeners: "tuple[Listener, ...]") -> None:
        self.options = Options(listeners)
        self.rank = "framework"
        self.closed = False
        self.loop = self.lanes = None


def mark(trace_hex: str) -> Layer:
    """
    Make the layer under which samples are drawn for one trace.
    """
    layer = Layer(_NOTHING, "trace")
    layer.trace_hex = trace_hex
    return layer


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
    own: "tuple[Layer, ...]"
    audience: "Audience"

    def __init__(
        self,
        outer: "Plan | None",
        layer: "Layer | None",
        own: "tuple[Layer, ...]" = (),
    ) -> None:
        self.audience = UNSETTLED
        self.outer = outer
        self.layer = layer
        self.own = own

    def settle(self) -> "Audience":
        """
        Give who hears now; cheap where nothing has changed since the last time.
        """
        audience = self.audience
        epoch = EPOCH.now
        if audience.epoch != epoch:
            audience = self._joined(epoch) or Audience(
                self._in_order(), self.own, epoch
            )
            self.audience = audience
        return audience

    def _joined(self, epoch: int) -> "Audience | None":
        """
        Give who hears where that is known but for one layer; else None.
        """
        return None

    def unsettle(self) -> None:
        """
        Let go of who hears: they hold the layer that this may itself be.
        """
        self.audience = UNSETTLED

    def without(self, layers: "tuple[Layer, ...]", made: "dict[Plan, Plan]") -> "Plan":
        """
        Give the same plan less some layers.

        Args:
            made: What was made of the plans that this one stands on; filled here, so
                that those who stand on each other share what they are made of.
        """
        links: list[Plan] = []
        link: Plan | None = self
        while link is not None and link not in made:
            links.append(link)
            link = link.outer
        plan = NOBODY if link is None else made[link]
        for link in reversed(links):
            if link.layer is not None and link.layer not in layers:
                plan = Plan(plan, link.layer)
            made[link] = plan
        return plan

    def as_it_is(self) -> "dict[Plan, Plan]":
        """
        Give what `without` makes of a plan that stays, by whichever name others have it.
        """
        made: dict[Plan, Plan] = {self: self}
        link = self
        while link.layer is None and link.outer is not None:
            link = link.outer
            made[link] = link
        return made

    def _in_order(self) -> "list[Layer]":
        """
        Give the layers in the order in which their handlers hear: process-wide ones,
        then blocks, constructors and calls as they were entered.
        """
        layers = []
        link: Plan | None = self
        while link is not None:
            layer = link.layer
            if layer is not None and not layer.closed:
                layers.append(layer)
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
    _owner = None
    _entered_from = ()
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
        self.own = ()
        self.audience = UNSETTLED
        self.run = run
        self._outer = outer
        self._stands_on = stands_on

    @property
    def _plan(self) -> Plan:  # type: ignore[override]
        return self

    def cloned(self, outer: object, less: "Less") -> "View":
        run = self._stands_on  # a run has one view at the most
        return View(less(self), self.run, run or outer, stands_on=run)


def linked(plan: Plan, layers: "tuple[Layer, ...]") -> Plan:
    """
    Put the layers of one run on *plan*, those that it does not hold already.

    A chain of tasks, each made in a run of the last one's, would grow otherwise.
    """
    audience = plan.settle()
    known = audience.layers
    layer = layers[0] if len(layers) == 1 else None
    is_of_blocks = plan.layer is not None or plan is NOBODY
    if layer.__class__ is FrameworkLayer and is_of_blocks and layer not in known:
        made = Plan(Plan(plan, layer), None, own=layers)
        made.audience = audience.joined(layer, is_block=False)
        return made
    while plan.layer is None and plan.outer is not None:
        plan = plan.outer
    for layer in layers:
        if layer not in known:
            plan = Plan(plan, layer)
    return Plan(plan, None, own=layers)


def checked_tags(tags: "Any") -> tuple[str, ...]:
    """
    Give *tags* as a tuple.

    Raises:
        TypeError: For a bare string, or anything in it that is no string.
    """
    if isinstance(tags, str):
        message = f"tags is a list of strings, not the string {tags!r}: [{tags!r}]"
        raise TypeError(message)
    made = tuple(tags)
    for tag in made:
        if not issubclass(type(tag), str):
            message = f"tags is a list of strings; {safe_repr(tag)} is none."
            raise TypeError(message)
    return tuple([str.__str__(tag) for tag in made])


def checked_metadata(metadata: "Any") -> "dict[str, Any]":
    """
    Give *metadata* as a dict of its own.

    Raises:
        TypeError: For anything but a mapping with string keys.
    """
    try:
        made: dict[Any, Any] = dict(metadata)
    except (TypeError, ValueError):
        made = {None: None}
    if not all(issubclass(type(key), str) for key in made):
        message = f"metadata is a dict with string keys, not {safe_repr(metadata)}."
        raise TypeError(message)
    return {str.__str__(key): value for key, value in made.items()}


def check_flags(**flags: object) -> None:
    """
    Refuse a flag that is neither True nor False: ``capture="no"`` would capture.

    Raises:
        TypeError: For another value.
    """
    for name, value in flags.items():
        if value is not True and value is not False:
            message = f"callbacks({name}=...) is True or False, not {value!r}."
            raise TypeError(message)


_NOTHING = Options()

UNSETTLED = Audience([], ())
"""What stands for who hears while that has not been looked for; it never holds."""

NOBODY = Plan(None, None)
"""The plan outside every block: process-wide handlers only."""
