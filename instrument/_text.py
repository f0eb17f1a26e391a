"""
Make text of unknown origin safe to show: models and tools write whatever they like.

A value that is asked for its text may raise anything; what is not of its own making,
an interrupt or what a signal handler raised, is the caller's.
"""

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import CodeType, TracebackType
    from typing import Any

traceback_of: "Callable[[BaseException], TracebackType | None]" = (
    BaseException.__dict__["__traceback__"].__get__
)
"""Give an exception's traceback, without asking the exception."""
bases_of: "Callable[[type], tuple[type, ...]]" = type.__dict__["__mro__"].__get__
names_in: "Callable[[type], Mapping[str, Any]]" = type.__dict__["__dict__"].__get__
"""Give what a class derives from and holds, without asking its metaclass."""
_qualname_of: "Callable[[type], str]" = type.__dict__["__qualname__"].__get__

_SHORT = 200
_JOINERS = "\u200c\u200d"


def printable(text: str, *, also: str = "") -> str:
    """
    Replace every character of *text* that could drive a terminal or fake a line.

    Args:
        text: Any text, lone surrogates included.
        also: Control characters to let through, for instance ``"\\n\\t"``.

    Returns:
        *text* with control, format, separator and surrogate characters written as
        Python escapes (``\\x1b``, ``\\u202e``), but for the two joiners, without which
        emoji fall apart and Persian words run together.
    """
    text = str.__str__(text)
    if text.isascii() and text.isprintable():
        return text
    also += _JOINERS
    return "".join(
        char if char.isprintable() or char in also else _escaped(char) for char in text
    )


def safe_repr(value: object, *, limit: int = _SHORT) -> str:
    """
    Give ``repr(value)``, or say what stood in the way.

    Args:
        value: Anything; its ``__repr__`` may raise.
        limit: The most characters kept; what is cut is counted in the text.
    """
    try:
        text = str.__str__(repr(value))
    except BaseException as exc:
        if is_callers(exc):
            raise
        text = f"<{type_of(value)} whose repr raised {type_of(exc)}>"
    return cut(text, limit)


def safe_str(value: object) -> str:
    """
    Give ``str(value)``, or say what stood in the way.
    """
    try:
        return str.__str__(str(value))
    except BaseException as exc:
        if is_callers(exc):
            raise
        return f"<no message: str raised {type_of(exc)}>"


def type_of(value: object) -> str:
    """
    Name the type of *value*, without asking its metaclass.
    """
    return str.__str__(_qualname_of(type(value)))


def is_callers(exc: BaseException) -> bool:
    """
    Tell whether what a value's own code raised is for the caller all the same: an
    interrupt, a body being closed, or what a signal's handler raised.

    All else is a failure of that code. A task's own cancellation comes where it awaits,
    and a value is looked at without that.
    """
    if issubclass(type(exc), (KeyboardInterrupt, GeneratorExit)):
        return True
    return is_of_signal(exc)


def is_of_signal(exc: BaseException) -> bool:
    """
    Tell whether a signal handler raised *exc*: its frame is in the traceback.
    """
    known = codes_of_signals()
    traceback = traceback_of(exc) if known else None
    while traceback is not None:
        if traceback.tb_frame.f_code in known:
            return True
        traceback = traceback.tb_next
    return False


def codes_of_signals() -> "set[CodeType]":
    """
    Give the codes that run first when a signal comes.
    """
    signal: Any = sys.modules["_signal"]  # what `signal` is made of; Python loads it
    handlers = map(signal.getsignal, range(1, signal.NSIG))
    return {code for it in handlers if callable(it) and (code := _code_of(it))}


def _code_of(handler: "Any") -> "CodeType | None":
    """
    Give the code that runs first when *handler* is called; None of what is in C.
    """
    while type(handler).__name__ == "partial" and hasattr(handler, "func"):
        handler = handler.func
    function = getattr(handler, "__func__", handler)
    if not hasattr(function, "__code__"):
        function = getattr(type(handler), "__call__", None)  # noqa: B004 - not asked whether
    return getattr(function, "__code__", None)


def cut(text: str, limit: int) -> str:
    """
    Keep the first *limit* characters of *text* and say how many were left out.
    """
    text = str.__str__(text)
    if len(text) <= limit:
        return text
    return f"{text[:limit]}… [{len(text) - limit} more characters]"


def _escaped(char: str) -> str:
    return char.encode("unicode_escape", "surrogatepass").decode("ascii")
