"""
What is said of a wrong handler, or of a name that is nearly that of an event.
"""

from collections.abc import Iterable
from difflib import get_close_matches
from importlib import import_module
from opcode import opmap

from instrument import _report
from instrument._text import safe_repr

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType
    from typing import Any

_OFTEN_MEANT = {
    "on_agent_end": "on_chain_end",
    "on_agent_error": "on_chain_error",
    "on_agent_start": "on_chain_start",
    "on_chat_model_end": "on_llm_end",
    "on_chat_model_error": "on_llm_error",
    "on_token": "on_llm_new_token",
}
_HANDLERS = ("callback", "callbacks", "handler", "handlers")
OPTIONS = (
    "tags",
    "metadata",
    "inherit",
    "sample",
    "redact",
    "capture",
    "plumbing",
)
"""What `callbacks` takes besides, by keyword."""

_CLOSE = 0.85
"""How near a method's name is to an event's to be taken for a slip."""


_HOMES = ("", ".handlers", ".testing", ".propagation", ".exceptions")
_ALIKE = 0.75
"""How near a name that ends as most do is to another to be taken for a slip."""


def no_name(module: str, name: str, asks: "FrameType") -> Exception:
    """
    Give what to raise where one of our modules has no *name*, with the cure.

    Args:
        asks: Who wants it: ``from module import name`` would tell nothing of an
            `AttributeError` but that there is no such name.
    """
    message = f"module {module!r} has no attribute {name!r}{_where(module, name)}"
    if asks.f_code.co_code[asks.f_lasti] == opmap["IMPORT_FROM"]:
        return ImportError(message)
    return AttributeError(message, name=name, obj=None)  # Python guesses of an obj


def _where(module: str, name: str) -> str:
    """
    Tell where to find what is not in *module*.
    """
    if name.startswith("_"):
        return ""
    for home in _HOMES:
        other = f"instrument{home}"
        if name in import_module(other).__all__:
            return f". Here it is: from {other} import {name}"
    names = import_module(module).__all__
    near = get_close_matches(name, names, n=1, cutoff=_ALIKE)
    return f". Did you mean {near[0]!r}?" if near else f". It has {', '.join(names)}"


def report(cls: type, methods: "Iterable[str]", events: "Iterable[str]") -> None:
    """
    Report which *methods* of *cls* are named nearly as an event is, and hear nothing.
    """
    for method in methods:
        near = _nearest(method, events, _CLOSE)
        if near is not None:
            _report.complain(
                f"{cls.__qualname__}.{method} hears nothing: there is no such event."
                f" Did you mean {near!r}?",
                None,
            )


def note_what_is_given(exc: BaseException, event: str, names: "Iterable[str]") -> None:
    """
    Say on *exc* what *event* gives, if a handler could not be called with that.
    """
    traceback = exc.__traceback__
    while traceback is not None:
        module = str(traceback.tb_frame.f_globals.get("__name__"))
        if not module.startswith("instrument.") or ".handlers." in module:
            return  # it could be called, and failed later
        traceback = traceback.tb_next
    exc.add_note(f"{event} gives {', '.join(names)}. **kwargs takes what is not named.")


def no_event(name: str, events: "Iterable[str]") -> str:
    """
    Say that *name* is no event, and which one, or which option, may be meant.
    """
    if name in _HANDLERS:
        return f"callbacks() takes handlers as they are, without {name}=: callbacks(h)."
    meant = _hint(name, events, OPTIONS)
    return f"callbacks() knows no event or option {name!r}. {meant}"


def no_handler(handler: object, events: "Iterable[str]") -> str:
    """
    Say why *handler* can hear nothing, and what to do.
    """
    if isinstance(handler, type):
        name = handler.__name__
        return (
            f"callbacks() takes handlers, not the class {name}."
            f" Make one: callbacks({name}())."
        )
    if isinstance(handler, (list, tuple, set, frozenset)):
        return (
            f"callbacks() takes handlers one by one, not a {type(handler).__name__}"
            f" of them: {safe_repr(handler)}. Unpack it: callbacks(*handlers)."
        )
    slips = [method for method in dir(type(handler)) if method.startswith("on_")]
    if slips:
        return (
            f"callbacks() takes handlers, and {safe_repr(handler)} is none: there is no"
            f" event {slips[0]!r}. {_hint(slips[0], events)}"
        )
    return (
        f"callbacks() takes handlers, and {safe_repr(handler)} is none: it has no"
        " on_* method and cannot be called. Give it a method such as on_llm_end, or"
        " pass a function that takes an Event."
    )


def _hint(name: str, events: "Iterable[str]", options: tuple[str, ...] = ()) -> str:
    near = _nearest(name, (*options, *events))
    return f"Did you mean {near!r}?" if near else f"Events: {', '.join(events)}."


def _nearest(name: str, events: "Iterable[str]", cutoff: float = 0.6) -> str | None:
    if name in _OFTEN_MEANT:
        return _OFTEN_MEANT[name]
    return next(iter(get_close_matches(name, events, n=1, cutoff=cutoff)), None)


def as_it_was_called(functions: "Any") -> "Any":
    """
    Take ``hidden=``, which is called ``plumbing`` now, out of what was given by name.
    """
    value = functions.pop("hidden")
    message = f"callbacks(hidden={value!r}) is called plumbing={value!r} now."
    _report.warn(message, DeprecationWarning)
    return value


LOCAL = (
    "local() is for a handler given where a thing is made, @traced(callbacks=["
    "local(handler)]). In a block give the handler itself: callbacks(handler)."
)
