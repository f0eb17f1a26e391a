"""
What serves an event: methods of handlers, in order.
"""

from instrument import _report

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from instrument._audience.layers import Layer
    from instrument._audience.listener import Listener
    from instrument._audience.plan import Audience
    from instrument._payloads.kinds import Chain


class Voices:
    """
    What serves the start and end of one kind of run; few ever tell an error.
    """

    __slots__ = ("end", "start")

    def __init__(self, audience: "Audience", kind: "Chain") -> None:
        self.start = audience.receivers(kind.start)
        self.end = audience.receivers(kind.end)


class Receivers:
    """
    What serves one event: methods in order, and whether any takes it typed or native.
    """

    __slots__ = ("entries", "methods", "native", "typed")

    def __init__(
        self, listeners: "tuple[tuple[Listener, Layer], ...]", event: str
    ) -> None:
        entries: list[tuple[Callable[..., object], Listener, Layer, bool]] = []
        self.typed = self.native = False
        for listener, layer in listeners:
            method = _method(listener, event) or _fallback(listener, event)
            if method is not None:
                entries.append((method, listener, layer, False))
                self.typed = True
            method = _method(listener, "on_event")
            if method is not None:
                entries.append((method, listener, layer, True))
                self.native = True
        self.entries = tuple(entries)
        self.methods = tuple([entry[0] for entry in entries])


def _method(listener: "Listener", event: str) -> "Callable[..., object] | None":
    """
    Look a method up; a handler whose attributes raise is deaf to that event.
    """
    try:
        return listener.method(event)
    except (Exception, SystemExit) as exc:
        _report.failed(listener.handler, event, exc)
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
    return getattr(listener.handler, "ignore_chat_model", None) is not True
