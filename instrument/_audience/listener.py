"""
What may be given as a handler, and the `Listener` that the dispatcher makes of it.

No base class is needed. What is wrong with a handler is said when it is given.
"""

from collections.abc import Sequence
from copy import copy
from types import BuiltinMethodType, FunctionType, MethodType
from weakref import ref

from instrument import _interrupts, _report
from instrument._audience.by_class import by_class, keep
from instrument._audience.signature import adapted, names
from instrument._payloads import turns as _turns
from instrument._state import guard_collections, unguarded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeAlias

    from instrument._audience import typed
    from instrument._audience.plan import Layer

    Handler: TypeAlias = typed.Handler
else:
    Handler = object
"""
What may be given as a handler: an object with some of the ``on_*`` methods, a handler
of LangChain, or a callable that takes every `Event`.
"""
Handlers: "TypeAlias" = Sequence[Handler]

EVENTS: "dict[str, tuple[tuple[str, ...], tuple[str, ...]]]" = {
    # event: (its positional arguments by name, the ``ignore_*`` flags that silence it)
    "on_llm_start": (("serialized", "prompts"), ("ignore_llm",)),
    "on_chat_model_start": (("serialized", "messages"), ("ignore_chat_model",)),
    "on_llm_new_token": (("token",), ("ignore_llm",)),
    "on_stream_event": (("event",), ("ignore_llm",)),
    "on_llm_end": (("response",), ("ignore_llm",)),
    "on_llm_error": (("error",), ("ignore_llm",)),
    "on_chain_start": (("serialized", "inputs"), ("ignore_chain",)),
    "on_chain_end": (("outputs",), ("ignore_chain",)),
    "on_chain_error": (("error",), ("ignore_chain",)),
    "on_tool_start": (("serialized", "input_str"), ("ignore_agent",)),
    "on_tool_end": (("output",), ("ignore_agent",)),
    "on_tool_error": (("error",), ("ignore_agent",)),
    "on_retriever_start": (("serialized", "query"), ("ignore_retriever",)),
    "on_retriever_end": (("documents",), ("ignore_retriever",)),
    "on_retriever_error": (("error",), ("ignore_retriever",)),
    "on_embedding_start": (("serialized", "texts"), ("ignore_embedding",)),
    "on_embedding_end": (("vectors",), ("ignore_embedding",)),
    "on_embedding_error": (("error",), ("ignore_embedding",)),
    "on_agent_action": (("action",), ("ignore_agent",)),
    "on_agent_finish": (("finish",), ("ignore_agent",)),
    "on_text": (("text",), ()),
    "on_retry": (("retry_state",), ("ignore_retry",)),
    "on_custom_event": (("name", "data"), ("ignore_custom_event",)),
    "on_interrupt": (("event",), ()),
    "on_resume": (("event",), ()),
    "on_event": (("event",), ()),
}
_LANGCHAIN = "langchain_core.callbacks.base"
_LANGCHAIN_OBJECTS = "instrument.integrations.langchain._objects"
_BASES = (_LANGCHAIN, "instrument._audience.handler")
_BOUND = frozenset(map(id, (MethodType, BuiltinMethodType)))
_FUNCTIONS = _BOUND | {id(FunctionType)}
_kinds: "dict[int, str]" = by_class()
_flushing: "dict[int, bool]" = by_class()
met: "dict[int, bool]" = by_class()
"""Classes of handlers of which nothing is left to be said when one is given; and whether
leaving its block may have something to call."""
may_flush_of = met.get
_foreign: "dict[int, bool]" = by_class()
_whole: "dict[int, dict[str, ref[Any]]]" = by_class()
"""What serves each event in handlers of a class, where it takes all as it is."""
_NONE: "dict[str, ref[Any]]" = {}


class Listener:
    """
    One handler as the dispatcher sees it: its methods, looked up when first needed.
    """

    __slots__ = ("__weakref__", "event", "handler", "key", "local")
    hears = True
    """False for what is in a block only to be called when that is left."""

    def take(self, handler: "Any", event: str | None = None) -> None:
        """
        Be that of *handler*. No ``__init__``: without one, its class's call takes a
        third of the time.
        """
        self.handler = handler
        self.event = event
        self.local = False
        is_plain = event is None and id(type(handler)) not in _BOUND
        self.key = id(handler) if is_plain else _key(handler, event)
        if unguarded:  # whoever hears is one of these
            guard_collections()

    def __deepcopy__(self, memo: object) -> "Listener":
        return self  # a copy would be known by the handler that it is no longer of

    @property
    def raises(self) -> bool:
        """
        Whether its errors may stop a call.
        """
        return self.attribute("raise_error") is True

    @property
    def remote(self) -> str:
        """
        Where it works when a request goes on in another process, as it says itself:
        ``forward``, ``local`` or ``drop``.
        """
        said = None if self.event is not None else self.attribute("remote")
        return said if type(said) is str and said in ("local", "drop") else "forward"

    def forwards(self, layer: "Layer") -> bool:
        """
        Tell whether it hears here what happens in other processes. What is local does
        where a block gave it, which no other process has.
        """
        where = self.remote
        return where == "forward" or (
            where == "local" and not layer.has_installed(self)
        )

    @property
    def needs_its_place(self) -> bool:
        """
        Whether it must hear where and when things happen.
        """
        return self.attribute("_around") is not None

    @property
    def flushes(self) -> bool:
        """
        Whether leaving its block has something to call; known by its type.
        """
        known = _flushing.get(id(type(self.handler)))
        if known is None:
            known = self._has_flush()
        return known and self.event is None

    def _has_flush(self) -> bool:
        names = ("flush", "aflush")
        has_any = any(self.attribute(name) is not None for name in names)
        cls = type(self.handler)
        if id(cls) in _kinds:  # what it is does not depend on the instance
            keep(_flushing, cls, has_any)
            if id(cls) in met:
                keep(met, cls, has_any)
        return has_any

    def flusher(
        self, name: str, layer: "Layer | None" = None
    ) -> "Callable[[], Any] | None":
        """
        Give the handler's ``flush`` or ``aflush``, or None.

        Args:
            layer: What is left; None where that is nothing in particular.
        """
        if self.event is not None:
            return None  # a plain function: what it is bound to is not ours to flush
        method = self.attribute(name)
        return method if callable(method) else None

    def attribute(self, name: str) -> "Any":
        """
        Read an attribute of the handler; None where there is none, or it raises.
        """
        try:
            return getattr(self.handler, name, None)
        except BaseException as exc:
            _report.unread(self.handler, name, exc, tells=True)
            return None

    @property
    def hears_chunks(self) -> bool:
        """
        Whether it is LangChain's, and hears of all that a model says in LangChain's way.
        """
        return self.event is None and is_langchain(self.handler)

    @property
    def hears_channels(self) -> bool:
        """
        Whether it hears reasoning and calls of tools as they come, as it asks for them.
        """
        method = self.handler
        if self.event is None:
            method = self.attribute("on_llm_new_token")
        return names(method, "channel")

    def written(self, messages: "list[Any]") -> str:
        """
        Write a conversation as text, for a handler that knows text models only.
        """
        of_langchain = is_langchain(self.handler)
        text: str = (langchain_objects() if of_langchain else _turns).written(messages)
        return text

    def method(self, event: str) -> "Callable[..., Any] | None":
        """
        Give what serves *event*, made to take what is passed, or None.
        """
        positional, flags = EVENTS[event]
        handler = self.handler
        if self.event is not None:
            if self.event != event:
                return None
            return adapted(handler, event, positional, whole=False)
        method = getattr(handler, event, None)
        if method is None:
            if event != "on_event" or has_methods(type(handler)):
                return None
            is_plain = _kind(handler) == "callable"
            return _event_only(handler) if is_plain else None
        function = getattr(method, "__func__", None)
        known = _whole.get(id(type(handler)), _NONE).get(event)
        is_known = known is not None and known() is function
        if not is_known and is_base(function):
            return None  # it does nothing, or refuses
        for flag in flags:
            if getattr(handler, flag, None) is True:
                return None
        if is_known:  # and takes all as it is
            return method  # type: ignore[no-any-return]
        if is_langchain(handler):
            return _for_langchain(event, method)
        made = adapted(method, event, positional, whole=True)
        if made is method and type(function) is FunctionType:
            whole = {**_whole.get(id(type(handler)), _NONE), event: ref(function)}
            keep(_whole, type(handler), whole)
        return made


def as_listener(handler: object, event: str | None = None) -> Listener:
    """
    Make a `Listener` of what a caller gave.

    Args:
        handler: A handler; with *event*, the function for that one event.
        event: The ``on_*`` name it was given under as a keyword, if it was.

    Raises:
        TypeError: If it can hear nothing; names the value and the cure.
    """
    if event is None and is_met(handler):
        return quick_listener(handler)
    if issubclass(type(handler), Listener):
        return handler  # type: ignore[return-value]
    if event is not None:
        if event not in EVENTS:
            from instrument._audience.slips import no_event

            raise TypeError(no_event(event, EVENTS))
        if not callable(handler):
            message = f"callbacks({event}=...) takes a function, not {handler!r}."
            raise TypeError(message)
        made = Listener()
        made.take(handler, event)
        return made
    if _kind(handler) == "none":
        from instrument._audience.slips import no_handler

        raise TypeError(no_handler(handler, EVENTS))
    made = Listener()
    made.take(handler)
    cls = type(handler)
    if id(cls) in _kinds and id(cls) not in _BOUND and not unguarded:
        keep(met, cls, _flushing.get(id(cls)) is not False)
    return made


def is_met(handler: object) -> bool:
    """
    Tell whether the class of *handler* is among `met`.
    """
    return id(type(handler)) in met


def quick_listener(handler: object) -> Listener:
    """
    Make that of a handler whose class is among `met`.
    """
    made = Listener()
    made.handler, made.event, made.local = handler, None, False
    made.key = id(handler)
    return made


def has_flush(listeners: "tuple[Listener, ...]") -> bool:
    """
    Tell whether leaving the block of *listeners* has something to call.
    """
    for listener in listeners:
        plain = listener.__class__ is Listener  # of which it is known without a call
        if plain and _flushing.get(id(type(listener.handler))) is False:
            continue
        if listener.flushes:
            return True
    return False


def local(handler: object) -> Listener:
    """
    Let a constructor handler hear that object's own runs only, not those below.

    ``@traced(callbacks=[local(handler)])``; it has no place in a block.
    """
    made = copy(as_listener(handler))
    made.local = True
    return made


def is_langchain(handler: object) -> bool:
    """
    Tell whether *handler* is of a class of LangChain's callbacks, without importing it.
    """
    cls = type(handler)
    known = _foreign.get(id(cls))
    if known is None:
        known = any(base.__module__ == _LANGCHAIN for base in cls.__mro__)
        keep(_foreign, cls, known)
    return known


def is_base(function: object) -> bool:
    """
    Tell whether it is a method of a base class, which does nothing, or refuses.
    """
    return getattr(function, "__module__", None) in _BASES


def has_methods(cls: type) -> bool:
    """
    Tell whether handlers of a class, which has been met, have methods that hear.
    """
    kind = _kinds.get(id(cls))
    return _has_events(cls) if kind is None else kind == "methods"


def _has_events(cls: type) -> bool:
    return any(getattr(cls, event, None) is not None for event in EVENTS)


def _key(handler: "Any", event: str | None) -> object:
    kind = type(handler)
    if kind is MethodType:  # a bound method is made anew at each access
        return (id(handler.__self__), id(handler.__func__), event)
    if kind is BuiltinMethodType:
        return (id(handler.__self__), handler.__name__, event)
    return id(handler) if event is None else (id(handler), event)


def _kind(handler: object) -> str:
    """
    Tell what *handler* is: ``methods``, ``callable`` or ``none``.

    Known by its type, unless that depends on what the instance holds.
    """
    cls = type(handler)
    kind = _kinds.get(id(cls))
    if kind is not None:
        return kind
    if issubclass(cls, (type, list, tuple, set, frozenset, dict, str, bytes)):
        return "none"
    by_type = _has_events(cls)
    if by_type or id(cls) in _FUNCTIONS:
        kind = "methods" if by_type else "callable"
        keep(_kinds, cls, kind)
        if by_type and not is_langchain(handler):
            others = [it for it in dir(cls) if it[:3] == "on_" and it not in EVENTS]
            if others:
                _tell_slips(cls, others)
        return kind
    if any(callable(getattr(handler, event, None)) for event in EVENTS):
        return "methods"
    return "callable" if callable(handler) else "none"


def _tell_slips(cls: type, methods: "list[str]") -> None:
    try:
        from instrument._audience.slips import report
    except Exception as exc:  # no descriptor or memory is to be had
        _interrupts.pass_on(exc)
        return
    report(cls, methods, EVENTS)


def _event_only(function: "Any") -> "Callable[..., Any]":
    def hear(event: object, **_: object) -> object:
        return function(event)

    return hear


def _for_langchain(event: str, method: "Callable[..., Any]") -> "Callable[..., Any]":
    """
    Have a LangChain handler hear LangChain's objects.
    """
    return langchain_objects().translated(event, method)  # type: ignore[no-any-return]


def langchain_objects() -> "Any":
    """
    Import what makes LangChain's objects, of a handler of whose classes one is LangChain's.
    """
    from importlib import import_module

    return import_module(_LANGCHAIN_OBJECTS)
