"""
Who hears one run, each once, and what of theirs serves each event.
"""

from functools import partial

from instrument import _ids, _report
from instrument._audience.sampling import ARRIVED, incoming_of, sampled
from instrument._payloads.redact import redacted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any
    from uuid import UUID

    from instrument._audience.listener import Listener
    from instrument._audience.plan import Layer
    from instrument._payloads.kinds import Kind

    Methods = tuple[Callable[..., object], ...]

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
        wants_tokens: True where a handler has models stream that were not asked to.
        waits: The layers that no block is left for: their async handlers are waited
            for by the outermost run.
    """

    __slots__ = (
        "_receivers",
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
        "wants_tokens",
    )

    def __init__(
        self, layers: "list[Layer]", own: "tuple[Layer, ...]", epoch: int = -1
    ) -> None:
        self.epoch = epoch
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
        self.layers = frozenset(below)
        self.incoming = incoming_of(layers) if ARRIVED else None
        drawn, self.undecided = below, False
        if is_drawn:
            drawn, self.undecided = sampled(below, self.incoming)
        self.listeners = _each_once(drawn, own)
        self.waits = [layer for _, layer in self.listeners if layer.rank != "block"]
        self.tags, self.redactors = tuple(tags), tuple(redactors)
        self.is_tagged = bool(tags)
        self.shows_all = self.capture and not self.redactors
        self.is_quick = _is_quick(self)
        self.wants_tokens = _want_tokens(self.listeners)
        self.metadata = _described(layers) if self.is_described else {}

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
        made.shows_all, made.plumbing = self.shows_all, self.plumbing
        made.incoming = self.incoming
        made._receivers, made.voices_of = {}, {}
        made.layers = self.layers | {layer}
        known = {listener.key for listener, _ in self.listeners}
        more = [(it, layer) for it in layer.options.listeners if it.key not in known]
        made.listeners = (*self.listeners, *more)
        made.waits = self.waits + [layer] * len(more)
        made.is_quick = _is_quick(made)
        made.wants_tokens = self.wants_tokens or _want_tokens(more)
        return made

    def shows(self) -> "Callable[[str], object] | None":
        """
        Give what makes of a report's text what may be seen; None where that is all.
        """
        return None if self.shows_all else self._shown

    def _shown(self, text: str) -> object:
        return redacted(text, self.redactors, ("error",)) if self.capture else None

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
            find = partial(serving, event=event)
            known = self._receivers[event] = Receivers(self.listeners, find)
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
            find = partial(_piece, channel=channel, is_more=is_more)
            made = Receivers(self.listeners, find, tells=channel is not None)
            known = self._receivers[key] = made
        return known

    def voices(self, kind: "Kind") -> "Voices":
        """
        Find what serves the events of one kind of run; kept in `voices_of`.
        """
        made = self.voices_of[kind.start] = Voices.of(self, kind)
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


def _each_once(
    layers: "list[Layer]", own: "tuple[Layer, ...]"
) -> "tuple[tuple[Listener, Layer], ...]":
    """
    Give each handler once, where it was first given.
    """
    found: dict[object, tuple[Listener, Layer]] = {}
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

    Attributes:
        quick: The methods of both; None where somebody takes whole events, or where
            there is more to look at when a run ends.
        in_full: The same, so that this is looked at; None where it is.
    """

    __slots__ = ("end", "in_full", "quick", "start")

    def __init__(self, start: "Receivers", end: "Receivers") -> None:
        self.start, self.end = start, end
        self.in_full: Voices | None = None
        self.quick: tuple[Methods, Methods] | None = None

    @classmethod
    def of(cls, audience: "Audience", kind: "Kind") -> "Voices":
        receivers = audience.receivers(kind.start), audience.receivers(kind.end)
        full = cls(*receivers)
        start, end = receivers
        if start.native or end.native or not audience.is_quick:
            return full
        made = cls(*receivers)
        made.in_full, made.quick = full, (start.methods, end.methods)
        return made


class Receivers:
    """
    What serves one event: methods in order, and whether any takes it typed or native.
    """

    __slots__ = ("entries", "methods", "native", "typed")

    def __init__(
        self,
        listeners: "tuple[tuple[Listener, Layer], ...]",
        find: "Callable[[Listener], Callable[..., object] | None]",
        *,
        tells: bool = True,
    ) -> None:
        entries: list[tuple[Callable[..., object], Listener, Layer, bool]] = []
        self.typed = self.native = False
        for listener, layer in listeners:
            method = find(listener)
            if method is not None:
                entries.append((method, listener, layer, False))
                self.typed = True
            method = _method(listener, "on_event") if tells else None
            if method is not None:
                entries.append((method, listener, layer, True))
                self.native = True
        self.entries = tuple(entries)
        self.methods = tuple([entry[0] for entry in entries])


def serving(listener: "Listener", event: str) -> "Callable[..., object] | None":
    """
    Find what serves *event*.
    """
    return _method(listener, event) or _fallback(listener, event)


def _piece(
    listener: "Listener", channel: str | None, *, is_more: bool
) -> "Callable[..., object] | None":
    """
    Find what serves a piece: text is for all, and a channel is told where it is asked for.
    """
    method = _method(listener, _PIECE)
    if method is None or (listener.hears_chunks and is_more):
        return None
    if listener.hears_chunks:
        return partial(method, channel=channel or "text")
    if channel is not None and listener.hears_channels:
        return partial(method, channel=channel)
    return method if channel == "text" else None


def _want_tokens(listeners: "Iterable[tuple[Listener, Layer]]") -> bool:
    return any(it.attribute("wants_tokens") is True for it, _ in listeners)


def _method(listener: "Listener", event: str) -> "Callable[..., object] | None":
    """
    Look a method up; a handler whose attributes raise is deaf to that event.
    """
    try:
        return listener.method(event)
    except BaseException as exc:
        _report.unread(listener.handler, event, exc, tells=True)
        return None


def _fallback(listener: "Listener", event: str) -> "Callable[..., object] | None":
    """
    Serve a chat model's start, as text, to a handler that knows only text models.
    """
    if event != "on_chat_model_start" or not _wants_chat(listener):
        return None
    method = _method(listener, "on_llm_start")
    if method is None:
        return None

    def as_text(
        serialized: object, messages: "list[list[Any]]", **kwargs: object
    ) -> object:
        return method(serialized, [listener.written(m) for m in messages], **kwargs)

    return as_text


def _wants_chat(listener: "Listener") -> bool:
    return listener.attribute("ignore_chat_model") is not True
