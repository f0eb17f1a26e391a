"""
Who hears one run, each once, and what of theirs serves each event.
"""

from copy import copy
from functools import partial

from instrument import _ids, _report
from instrument._audience.pairs import pair_of
from instrument._audience.sampling import ARRIVED, incoming_of, sampled
from instrument._payloads.names import is_of_pool
from instrument._payloads.redact import redacted, said_by

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any
    from uuid import UUID

    from instrument._audience.listener import Listener
    from instrument._audience.plan import Layer
    from instrument._payloads.kinds import Kind

    Method = Callable[..., object]
    Methods = tuple[Method, ...]
    Entry = tuple[Method, Listener, Layer, bool]

_new = object.__new__

CHANNELS = ("text", "reasoning", "tool_call")
"""What a piece of an answer is."""
_PIECE = "on_llm_new_token"


class Audience:
    """
    Who hears, and with what tags, metadata and redactors: a snapshot, never changed.

    Attributes:
        epoch: Until when it holds.
        layers: What it was settled from, without what ``inherit=False`` cut off.
        listeners: Each with its layer, in the order in which they hear.
        incoming: What has come in from another process, or None.
        is_quick: True where somebody hears, as it is, whatever is told: nothing is
            redacted, nothing is to be drawn.
        undecided: True while samples of some layer have not been drawn.
        metadata: What constructors gave, outer to inner, and over it what blocks and
            calls gave.
        plumbing: True where runs are heard that a framework makes of its own steps.
        shows_all: True where no payload is redacted or dropped.
        waits: The layers that no block is left for: their async handlers are waited
            for by the outermost run.
    """

    __slots__ = (
        "_natives",
        "_receivers",
        "_wants_tokens",
        "capture",
        "epoch",
        "incoming",
        "is_described",
        "is_quick",
        "is_tagged",
        "layers",
        "listeners",
        "metadata",
        "plumbing",
        "redactors",
        "shows_all",
        "tags",
        "undecided",
        "voices_of",
        "waits",
    )

    def __init__(
        self, layers: "list[Layer]", own: "tuple[Layer, ...]", epoch: int = -1
    ) -> None:
        self.epoch = epoch
        self._natives: dict[Listener, Method] | None = None
        self._wants_tokens: bool | None = None
        self._receivers: dict[object, Receivers] = {}
        self.voices_of: dict[str, Voices] = {}
        below, is_drawn = layers, False
        tags: dict[str, None] = {}
        redactors: dict[Any, None] = {}
        self.capture = self.plumbing = True
        self.is_described = False
        # one look at each: a request pays for this at its first call
        for index, layer in enumerate(layers):
            options = layer.options
            if not options.inherit:
                below = layers[index:]
            if options.sample < 1:
                is_drawn = True
            if options.tags:
                tags.update(dict.fromkeys(options.tags))
            if options.redactors:
                redactors.update(dict.fromkeys(options.redactors))
            if options.metadata:
                self.is_described = True
            self.capture = self.capture and options.capture
            self.plumbing = self.plumbing and options.plumbing
        self.layers = tuple(below)
        self.incoming = incoming_of(layers) if ARRIVED else None
        drawn, self.undecided = below, False
        if is_drawn:
            drawn, self.undecided = sampled(below, self.incoming)
        self.listeners = _each_once(drawn, own, {})
        self.waits = _waited_for(self.listeners)
        self.tags, self.redactors = tuple(tags), tuple(redactors)
        self.is_tagged = bool(tags)
        self.shows_all = self.capture and not self.redactors
        self.is_quick = _is_quick(self)
        self.metadata = _described(layers) if self.is_described else {}

    def joined(self, layer: "Layer", *, is_block: bool = True) -> "Audience":
        """
        Give the same with one layer more, of handlers and nothing else.
        """
        # most blocks are such layers, and handlers in LangChain's own config, one a
        # call: to look at all layers anew takes twice as much
        made = _new(Audience)
        made.epoch, made.undecided = self.epoch, self.undecided
        made.tags, made.is_tagged = self.tags, self.is_tagged
        made.metadata, made.is_described = self.metadata, self.is_described
        made.redactors, made.capture = self.redactors, self.capture
        made.shows_all, made.plumbing = self.shows_all, self.plumbing
        made.incoming = self.incoming
        made._natives = made._wants_tokens = None
        made._receivers, made.voices_of = {}, {}
        made.layers = (*self.layers, layer)
        given = layer.options.listeners
        if len(given) == 1 and not self.listeners:
            made.listeners = ((given[0], layer),)
        else:
            found = {entry[0].key: entry for entry in self.listeners}
            made.listeners = _each_once((layer,), (layer,), found)
        made.waits = self.waits
        if self.waits or not is_block:
            made.waits = _waited_for(made.listeners)
        made.is_quick = bool(  # as `_is_quick`, which is a call more
            made.listeners and made.shows_all and not made.undecided
        )
        return made

    def forwarded(self) -> "Audience":
        """
        Give the same, heard by those alone who hear here what happens elsewhere.
        """
        made = copy(self)
        made._natives = made._wants_tokens = None
        made._receivers, made.voices_of = {}, {}
        made.listeners = tuple([it for it in self.listeners if it[0].forwards(it[1])])
        made.waits = _waited_for(made.listeners)
        made.is_quick = _is_quick(made)
        return made

    @property
    def wants_tokens(self) -> bool:
        """
        Whether a handler has models stream that were not asked to.
        """
        if self._wants_tokens is None:
            asked = (it.attribute("wants_tokens") for it, _ in self.listeners)
            self._wants_tokens = any(answer is True for answer in asked)
        return self._wants_tokens

    def shows(self) -> "Callable[[object], object] | None":
        """
        Give what makes of a report's text what may be seen, and of an exception its
        message where something in it may not; None where that is all.
        """
        return None if self.shows_all else self._shown

    def _shown(self, told: object) -> object:
        if not self.capture:
            return None
        shown = redacted(told, self.redactors, ("error",))
        if not issubclass(type(told), BaseException):
            return shown
        is_said = shown is told and not is_of_pool(told)
        return told if is_said else said_by(told, self)  # type: ignore[arg-type]

    def trace_hex_of(self, root_id: "UUID") -> str:
        """
        Give the trace id that others see, of the trace with that root.
        """
        came = None if self.incoming is None else self.incoming.trace_hex
        return came or _ids.trace_hex_of(root_id)

    def receivers(self, event: str) -> "Receivers":
        """
        Give what serves *event*.
        """
        known = self._receivers.get(event)
        if known is None:
            natives = self._natives
            if natives is None:
                natives = self._look()
            known = _receivers(self.listeners, natives, serving, event)
            self._receivers[event] = known
        return known

    def pieces(self, channel: str | None, *, is_more: bool = False) -> "Receivers":
        """
        Give what serves a piece of an answer.

        Args:
            channel: What it is; None for a chunk of LangChain's in which there is none:
                its handlers hear that all the same.
            is_more: Whether it is one more of a chunk of LangChain's, of which its
                handlers have heard.
        """
        key = (channel, True) if is_more else channel
        known = self._receivers.get(key)
        if known is None:
            natives = {} if channel is None else self._natives or self._look()
            find = partial(_piece, is_more=is_more)
            known = _receivers(self.listeners, natives, find, channel)
            self._receivers[key] = known
        return known

    def _look(self) -> "dict[Listener, Method]":
        """
        Find what takes events whole: looked for once, as it takes them all.
        """
        natives = {}
        for listener, _ in self.listeners:
            method = serving(listener, "on_event")
            if method is not None:
                natives[listener] = method
        self._natives = natives
        return natives

    def voices(self, kind: "Kind") -> "Voices":
        """
        Find what serves the events of one kind of run; kept in `voices_of`.
        """
        made = Voices()
        made.start = made.end = made.quick = made.methods = None
        starts: Methods = ()
        ends: Methods = ()
        for listener, _ in self.listeners:
            known = pair_of(listener, kind.start, kind.end)
            if known is None:
                made.look(self, kind)
                break
            first, last = known
            if first is not None:
                starts += (first,)
            if last is not None:
                ends += (last,)
        else:
            made.methods = methods = starts, ends
            made.hears_start = bool(starts)
            if self.is_quick:
                made.quick = methods
        self.voices_of[kind.start] = made  # whole: other threads take it from there
        return made


def _described(layers: "list[Layer]") -> "dict[str, Any]":
    """
    Give what constructors gave, and over it what blocks and calls gave.
    """
    given: dict[str, Any] = {}
    for constructors in (True, False):
        for layer in layers:
            metadata = layer.options.metadata
            if metadata and (layer.rank == "constructor") is constructors:
                given.update(metadata)
    return given


def _is_quick(made: Audience) -> bool:
    return bool(made.listeners and made.shows_all and not made.undecided)


def _waited_for(listeners: "tuple[tuple[Listener, Layer], ...]") -> "list[Layer]":
    return [layer for _, layer in listeners if layer.rank != "block"]


def _each_once(
    layers: "Iterable[Layer]",
    own: "tuple[Layer, ...]",
    found: "dict[object, tuple[Listener, Layer]]",
) -> "tuple[tuple[Listener, Layer], ...]":
    """
    Give each handler once, where it was first given: those *found* by their keys before.
    """
    for layer in layers:
        for listener in layer.options.listeners:
            if listener.local and layer not in own:
                continue
            known = found.get(listener.key)
            # a block around the request says more than process-wide does
            if known is None or (known[1].rank, layer.rank) == ("process", "block"):
                found[listener.key] = listener, layer
    return tuple(found.values())


class Voices:
    """
    What serves the start and end of one kind of run; few ever tell an error.

    It has no ``__init__``, as all that is made for each block: a class without one is
    called in half the time.

    Attributes:
        start: What serves the start; None until it is asked for, see `look`.
        end: Likewise.
        hears_start: Whether anything does serve the start.
        methods: Those of the start and of the end, where their classes tell them.
        quick: The methods of both; None where somebody takes whole events, or where
            there is more to look at when a run ends.
    """

    __slots__ = ("end", "hears_start", "methods", "quick", "start")
    start: "Receivers | None"
    end: "Receivers | None"
    hears_start: bool
    methods: "tuple[Methods, Methods] | None"
    quick: "tuple[Methods, Methods] | None"

    def look(self, audience: Audience, kind: "Kind") -> "tuple[Receivers, Receivers]":
        """
        Give what serves both, of whom each is.
        """
        if self.methods is not None:
            starts, ends = self.methods
            self.end = end = _of_methods(ends, audience.listeners)
            self.start = start = _of_methods(starts, audience.listeners)
            return start, end
        self.end = end = audience.receivers(kind.end)
        self.start = start = audience.receivers(kind.start)
        self.hears_start = bool(start.entries)
        if audience.is_quick and not start.native:
            self.quick = start.methods, end.methods
        return start, end

    @property
    def in_full(self) -> "Voices | None":
        """
        The same, so that there is more looked at; None where there is.
        """
        if self.quick is None:
            return None
        made = copy(self)
        made.quick = None
        return made


class Receivers:
    """
    What serves one event: methods in order, and whether any takes it typed or native.
    """

    __slots__ = ("entries", "methods", "native", "typed")
    entries: "tuple[Entry, ...]"
    methods: "Methods"
    native: bool
    typed: bool


def _of_methods(
    methods: "Methods", listeners: "tuple[tuple[Listener, Layer], ...]"
) -> Receivers:
    """
    Give what serves an event by *methods* of some of the handlers, in their order.
    """
    entries: list[Entry] = []
    left = iter(listeners)
    for method in methods:
        listener, layer = next(left)
        while listener.handler is not method.__self__:  # type: ignore[attr-defined]
            listener, layer = next(left)
        entries.append((method, listener, layer, False))
    made = Receivers()
    made.entries, made.methods = tuple(entries), methods
    made.native, made.typed = False, bool(methods)
    return made


def _receivers(
    listeners: "tuple[tuple[Listener, Layer], ...]",
    natives: "dict[Listener, Method]",
    find: "Callable[[Listener, Any], Method | None]",
    what: str | None,
) -> Receivers:
    """
    Find what serves an event, looking at each handler in full.
    """
    entries: list[Entry] = []
    methods: list[Method] = []  # a comprehension costs as much as all the rest
    for listener, layer in listeners:
        method = find(listener, what)
        if method is not None:
            entries.append((method, listener, layer, False))
            methods.append(method)
        if natives and listener in natives:
            entries.append((natives[listener], listener, layer, True))
            methods.append(natives[listener])
    made = Receivers()
    made.native = bool(natives)
    made.typed = len(entries) > len(natives)
    made.entries = tuple(entries)
    made.methods = tuple(methods)
    return made


def serving(listener: "Listener", event: str) -> "Method | None":
    """
    Find what serves *event*; a handler whose attributes raise is deaf to it.
    """
    try:
        method = listener.method(event)
    except BaseException as exc:
        _report.unread(listener.handler, event, exc, tells=True)
        method = None
    if method is None and event == "on_chat_model_start":
        return _as_text(listener)
    return method


def _piece(
    listener: "Listener", channel: str | None, *, is_more: bool
) -> "Callable[..., object] | None":
    """
    Find what serves a piece: text is for all, and a channel is told where it is asked for.
    """
    method = serving(listener, _PIECE)
    if method is None or (listener.hears_chunks and is_more):
        return None
    if listener.hears_chunks:
        return partial(method, channel=channel or "text")
    if channel is not None and listener.hears_channels:
        return partial(method, channel=channel)
    return method if channel == "text" else None


def _as_text(listener: "Listener") -> "Callable[..., object] | None":
    """
    Serve a chat model's start, as text, to a handler that knows only text models.
    """
    if not _wants_chat(listener):
        return None
    method = serving(listener, "on_llm_start")
    if method is None:
        return None

    def as_text(
        serialized: object, messages: "list[list[Any]]", **kwargs: object
    ) -> object:
        return method(serialized, [listener.written(m) for m in messages], **kwargs)

    return as_text


def _wants_chat(listener: "Listener") -> bool:
    return listener.attribute("ignore_chat_model") is not True
