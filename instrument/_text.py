"""
Make text of unknown origin safe to show: models and tools write whatever they like.
"""

from instrument._interrupts import is_of_signal, traceback_of

__all__ = ["cut", "is_callers", "printable", "safe_repr", "safe_str", "traceback_of"]

_SHORT = 200


def printable(text: str, *, also: str = "") -> str:
    """
    Replace every character of *text* that could drive a terminal or fake a line.

    Args:
        text: Any text, lone surrogates included.
        also: Control characters to let through, for instance ``"\\n\\t"``.

    Returns:
        *text* with control, format, separator and surrogate characters written as
        Python escapes (``\\x1b``, ``\\u202e``).
    """
    if text.isascii() and text.isprintable():
        return text
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
        text = f"<{type(value).__name__} whose repr raised {type(exc).__name__}>"
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
        return f"<no message: str raised {type(exc).__name__}>"


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


def cut(text: str, limit: int) -> str:
    """
    Keep the first *limit* characters of *text* and say how many were left out.
    """
    if len(text) <= limit:
        return text
    return f"{text[:limit]}… [{len(text) - limit} more characters]"


def _escaped(char: str) -> str:
    return char.encode("unicode_escape", "surrogatepass").decode("ascii")
