"""
Exceptions as a log may have them: what was raised, and where, but no local values.

Log sinks print what they find in a traceback's frames (loguru's ``diagnose``) and an
exception's text as it is. So they are handed a likeness: its class has the same name,
its text and notes are printable, and its frames have the same file, line and function
and hold nothing.
"""

import linecache
from types import FunctionType, TracebackType

from instrument._payloads.fields import name_of
from instrument._payloads.messages import fields_of, items
from instrument._payloads.redact import remote_traceback
from instrument._text import (
    cut,
    members_of,
    printable,
    safe_str,
    traceback_of,
    type_of,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    Show = Callable[[str], str]
    Say = Callable[[BaseException], str]
    Hides = Callable[[str], bool]

_ERRORS = 50
"""The most exceptions shown: causes, contexts and members of groups together."""
_MEMBERS = 15
"""The most members of one group shown; what tracebacks print."""
_FRAMES = 100
"""The most frames of one exception shown, half of them outermost."""
_NOTES = 20
_NOTE = 10_000
_REMOTE = 16_000
_GENERATOR = (lambda: (yield)).__code__
_NAME = 200
_MESSAGE = 100_000
_module_of: "Any" = type.__dict__["__module__"].__get__


def shown_error(
    exc: BaseException,
    show: "Show",
    say: "Say | None" = None,
    hides: "Hides | None" = None,
) -> BaseException:
    """
    Make the likeness of *exc*, with its traceback, cause and context.

    Args:
        show: Gives a text (a message, a note) as it may be seen; it is made printable
            after that.
        say: Gives an exception's message as it may be seen; by default what *show*
            makes of it.
        hides: Tells of a line of a program whether something in it may not be seen.
    """
    return _Likenesses(show, say, hides).of(exc) or _Plain()


class _Plain(Exception):  # noqa: N818 - never raised
    shown = ""

    def __str__(self) -> str:
        return self.shown


class _Group(BaseExceptionGroup[BaseException]):
    shown = ""

    def __str__(self) -> str:
        return self.shown


class _Likenesses:
    """
    The likenesses of one exception and of all that it leads to; cycles stay cycles.
    """

    def __init__(self, show: "Show", say: "Say | None", hides: "Hides | None") -> None:
        self._show = show
        self._hides = hides
        self._say = say or (lambda exc: show(cut(safe_str(exc), _MESSAGE)))
        self._made: dict[int, BaseException | None] = {}

    def of(self, exc: BaseException | None) -> BaseException | None:
        """
        Give the likeness of *exc*; None for none, and where there are too many.
        """
        if exc is None or id(exc) in self._made:
            return self._made.get(id(exc))
        if len(self._made) >= _ERRORS:
            return None
        self._made[id(exc)] = None  # a member may lead back to its group
        made = self._made[id(exc)] = self._alike(exc)
        made.__traceback__ = shown_traceback(traceback_of(exc), self._hides)
        made.__cause__ = self.of(_read["__cause__"](exc))
        made.__context__ = self.of(_read["__context__"](exc))
        made.__suppress_context__ = _read["__suppress_context__"](exc)
        for note in _notes_of(exc):
            made.add_note(self._text(note))
        for line in self._remote_lines(exc):
            made.add_note(printable(line))
        return made

    def _alike(self, exc: BaseException) -> BaseException:
        named = {
            "__module__": _name(_module_of(type(exc))),
            "__qualname__": _name(type_of(exc)),
            "shown": printable(self._say(exc)),
        }
        name = _name(name_of(exc))
        if issubclass(type(exc), BaseExceptionGroup):
            several = members_of(exc)
            members = [self._member(it) for it in several[:_MEMBERS]]
            members = [it for it in members if it is not None]
            if members:
                group: Any = type(name, (_Group,), named)
                made: BaseException = group("", members)
                left = len(several) - len(members)
                if left:
                    made.add_note(f"{left} more of the group are not shown")
                return made
        plain: Any = type(name, (_Plain,), named)
        return plain()  # type: ignore[no-any-return]

    def _member(self, exc: BaseException) -> BaseException | None:
        """
        Give the likeness of a group's member; of one that has been shown its name and
        text: a traceback prints a group whole as often as it is a member.
        """
        known = self._made.get(id(exc))
        if known is None:
            return self.of(exc)
        named = {name: getattr(type(known), name) for name in _NAMED}
        again: Any = type(type(known).__name__, (_Plain,), named)
        return again()  # type: ignore[no-any-return]

    def _text(self, text: str) -> str:
        return printable(self._show(text))

    def _remote_lines(self, exc: BaseException) -> "list[str]":
        """
        Give the traceback that *exc* had in another process, a note a line. What of it
        may be seen is not told by one line.
        """
        text = (remote_traceback(exc) or "")[-_REMOTE:]
        lines = self._show(text).splitlines() if text else []
        return ["In the process where it was raised:", *lines] if lines else []


_NAMED = ("__module__", "__qualname__", "shown")
_read: "dict[str, Callable[[BaseException], Any]]" = {
    name: BaseException.__dict__[name].__get__
    for name in ("__cause__", "__context__", "__suppress_context__")
}
"""What an exception holds, read without asking it."""


def shown_traceback(
    traceback: TracebackType | None, hides: "Hides | None" = None
) -> TracebackType | None:
    """
    Rebuild *traceback*: the same files, lines and functions, and no values; of a line
    that may not be seen, none.
    """
    places = list(_places(traceback))
    left = len(places) - _FRAMES
    if left > 0:
        half = _FRAMES // 2
        places[half:-half] = [(f"<{left} frames left out>", "...", "...", 1)]
    made = None
    for file, name, qualified, line in reversed(places):
        if hides is not None and hides(linecache.getline(file, line)):
            file = f"<{file}, a line that may not be seen>"  # noqa: PLW2901
        made = TracebackType(made, _frame(file, name, qualified, line), 0, line)
    return made


def _places(traceback: TracebackType | None) -> "Iterator[tuple[str, str, str, int]]":
    while traceback is not None:
        code = traceback.tb_frame.f_code
        line = traceback.tb_lineno or 1
        file = printable(code.co_filename)
        if not linecache.getline(file, line).replace("\t", "").rstrip().isprintable():
            file = f"<{file}, a line that cannot be shown>"
        yield file, _name(code.co_name), _name(code.co_qualname), line
        traceback = traceback.tb_next


def _frame(file: str, name: str, qualified: str, line: int) -> "Any":
    """
    Make a frame that stands at *line*: that of a generator which is never started.

    So no line runs under the borrowed name, at which a debugger might stop. The code
    has no columns, hence there are no marks below the line. 2 us.
    """
    code = _GENERATOR.replace(
        co_filename=file, co_name=name, co_qualname=qualified, co_firstlineno=line
    )
    return FunctionType(code, {})().gi_frame


def _name(name: object) -> str:
    return printable(cut(name, _NAME)) if type(name) is str else "?"


def _notes_of(exc: BaseException) -> "list[str]":
    notes = items(fields_of(exc).get("__notes__"))
    return [cut(safe_str(note), _NOTE) for note in notes[:_NOTES]]
