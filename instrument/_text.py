"""
Make text of unknown origin safe to show: models and tools write whatever they like.

A value that is asked for its text may raise anything; what is not of its own making,
an interrupt or what a signal handler raised, is the caller's.
"""

import re
import sys
import weakref
from gc import get_referents
from types import (
    AsyncGeneratorType,
    BuiltinFunctionType,
    CodeType,
    CoroutineType,
    FrameType,
    FunctionType,
    GeneratorType,
    ModuleType,
)

from instrument._tasks import is_of_greenlet

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType
    from typing import Any

traceback_of: "Callable[[BaseException], TracebackType | None]" = (
    BaseException.__dict__["__traceback__"].__get__
)
"""Give an exception's traceback, without asking the exception."""
bases_of: "Callable[[type], tuple[type, ...]]" = type.__dict__["__mro__"].__get__
names_in: "Callable[[type], Mapping[str, Any]]" = type.__dict__["__dict__"].__get__
"""Give what a class derives from and holds, without asking its metaclass."""
_qualname_of: "Callable[[type], str]" = type.__dict__["__qualname__"].__get__
_module_of: "Callable[[type], Any]" = type.__dict__["__module__"].__get__
args_of: "Any" = BaseException.__dict__["args"].__get__
dict_of: "Callable[[BaseException], dict[str, Any]]" = BaseException.__dict__[
    "__dict__"
].__get__

_SHORT = 200
_MOST = 200_000
_ITEM = 100  # characters, as much as one value counts
_DEPTH = 40
_MOST_TYPES = 500  # a class is held by what is known of it
_MARKS = ("__dataclass_fields__", "__attrs_attrs__", "__pydantic_fields__")
_FLAT = frozenset(
    map(
        id,
        (
            AsyncGeneratorType,
            BuiltinFunctionType,
            CodeType,
            CoroutineType,
            FrameType,
            FunctionType,
            GeneratorType,
            ModuleType,
            memoryview,
            object,
            range,
            type,
            weakref.ref,
            weakref.ProxyType,
            weakref.CallableProxyType,
        ),
    )
)
_CUT = re.compile(r"… \[([0-9]+) more characters\]\Z")
_MARK = 60
_MOST_RAISED = 1_000
_MOST_GROUPS = 20
_FEW = 10
"""How many of more exceptions than so many are written."""
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
        if not is_short(value):
            return _beginning(value, limit)
        text = str.__str__(repr(value))
    except BaseException as exc:
        if is_callers(exc):
            raise
        text = f"<{type_of(value)} whose repr raised {type_of(exc)}>"
    return cut(text, limit)


def _beginning(value: "Any", limit: int) -> str:
    """
    Show the first *limit* characters of a long text; of what else has much to write,
    its type.
    """
    if not issubclass(type(value), str):
        return f"<{type_of(value)} with too much to show>"
    left = str.__len__(value) - limit
    shown = repr(str.__getitem__(value, slice(limit)))
    return f"{shown[:limit]}… [{left} more characters]"


def class_has(kind: type, name: str) -> bool:
    """
    Tell whether a class has something of that name, without asking its metaclass.
    """
    return any(name in names_in(base) for base in bases_of(kind))


def safe_str(value: object) -> str:
    """
    Give ``str(value)``, or say what stood in the way.
    """
    try:
        if not is_sayable(value):
            return f"<{type_of(value)} with too much to say>"
        return str.__str__(str(value))
    except BaseException as exc:
        if is_callers(exc):
            raise
        return f"<no message: str raised {type_of(exc)}>"


def is_short(value: object, method: str = "__repr__") -> bool:
    """
    Tell whether the text of *value* is the application's own, or has little to write.

    Python's own texts write all that a value holds, and what is held twice at each
    level, twice at each: as often it counts here.

    Args:
        method: ``__str__`` where that is to be asked.
    """
    level, left = [value], _MOST
    for _ in range(_DEPTH):
        holders = []
        for item in level:
            written = _written_by(type(item), method)
            if written is None:
                continue
            is_text, size_of = written
            left -= size_of(item) * (1 if is_text else _ITEM)
            if left < 0:
                return False
            if not is_text:
                is_raised = issubclass(type(item), BaseException)
                holders.append(args_of(item) if is_raised else item)
        if not holders:
            return True
        level, method = get_referents(*holders), "__repr__"
    return False


def is_sayable(value: object) -> bool:
    """
    Tell whether to ask *value* for its text: as for `is_short`, but a text that is there
    already, alone or in an exception, may have any length.
    """
    given = args_of(value) if issubclass(type(value), BaseException) else (value,)
    is_text = len(given) == 1 and issubclass(type(given[0]), str)
    return is_text or is_short(value, "__str__")


_written: "dict[tuple[int, str], tuple[tuple[bool, Any] | None, type]]" = {}


def _written_by(kind: type, method: str) -> "tuple[bool, Any] | None":
    """
    Tell of values whose text is one of Python's own, or made of their fields, whether
    they are text themselves, and what counts what they hold; None of others.
    """
    key = id(kind), method  # a metaclass may have a hash of its own
    known = _written.get(key)
    if known is None:
        if len(_written) >= _MOST_TYPES:
            _written.clear()
        known = _written[key] = _found(kind, method), kind
    return known[0]


def _found(kind: type, method: str) -> "tuple[bool, Any] | None":
    bases = bases_of(kind)
    base = next(base for base in bases if method in names_in(base))
    if base is object and method == "__str__":
        return _found(kind, "__repr__")
    is_made = any(mark in names_in(base) for base in bases for mark in _MARKS)
    is_ours = is_of_library(base) or is_made or issubclass(kind, tuple)
    if id(base) in _FLAT or not is_ours:
        return None
    array = getattr(sys.modules.get("array"), "array", str)
    texts = (str, bytes, bytearray, array)
    sized = (*texts, dict, list, tuple, set, frozenset)
    counts = [it.__len__ for it in sized if issubclass(kind, it)]
    return issubclass(kind, texts), counts[0] if counts else _one


def is_of_library(kind: type) -> bool:
    """
    Tell whether a class is of Python's own library.
    """
    module = _module_of(kind)
    top = module.partition(".")[0] if type(module) is str else None
    if module in _MAKERS:
        return vars(sys.modules[module]).get(_qualname_of(kind)) is kind
    return top in sys.stdlib_module_names


_MAKERS = ("abc", "types")
"""What a call of `ABCMeta` or `new_class` makes says that it is of their module."""


def _one(_: object) -> int:
    return 1


RAISED_FROM: "list[Any]" = [
    BaseException.__dict__[name].__get__ for name in ("__cause__", "__context__")
]
members_of: "Any" = BaseExceptionGroup.__dict__["exceptions"].__get__


def raised_text(
    exc: BaseException,
    frames: "TracebackType | None",
    limit: int,
    show: "Callable[[object], object] | None" = None,
    said: str | None = None,
) -> str:
    """
    Write *exc* as Python does, with what it was raised from; alone, where one of these
    has too much to say.

    Args:
        frames: Its traceback, or a part of that.
        limit: The most characters kept.
        said: Its message, where it has been asked for that.
        show: Gives an exception's message where something in it may not be seen, else
            the exception: then they are written one below the other.
    """
    import traceback

    raised = all_raised(exc)
    is_many = len(raised) > _MOST_RAISED
    if show is not None:  # it looks through all that is in a group, for each in there
        groups = [it for it in raised if issubclass(type(it), BaseExceptionGroup)]
        is_many = is_many or len(groups) > _MOST_GROUPS
    raised = raised[:_FEW] if is_many else raised
    messages = {} if show is None else {id(it): show(it) for it in raised}
    is_long = not all(_is_writable(it, limit) for it in raised)
    if not (is_many or is_long) and all(
        messages.get(id(it), it) is it for it in raised
    ):
        text = _as_python_writes(exc, frames, said)
        if text is not None:
            return cut(text, limit)
    texts = []
    for it in [exc] if is_long else reversed(raised):
        shown = messages.get(id(it), it)
        if shown is it:
            shown = safe_str(it) if said is None or it is not exc else said
        lines = traceback.format_tb(frames if it is exc else traceback_of(it))
        texts.append(f"{''.join(lines)}{type_of(it)}: {shown}")
    return cut("\n\n".join(texts), limit)


def _is_writable(exc: BaseException, limit: int) -> bool:
    """
    Tell whether Python may write *exc* with its notes: it does so line by line.
    """
    notes = dict_of(exc).get("__notes__")
    texts = [it for it in args_of(exc) if issubclass(type(it), str)]
    if sum(map(str.__len__, texts)) > limit or not is_sayable(exc):
        return False
    return notes is None or is_short(notes)


def _as_python_writes(
    exc: BaseException, frames: "TracebackType | None", said: str | None
) -> str | None:
    """
    Write *exc* as Python does; None where it asks what fails, as a cause's notes may.
    """
    import traceback

    try:
        asked = exc if said is None or _is_pythons(exc) else _saying(exc, said)
        told = traceback.TracebackException(type(exc), asked, frames)
        context = RAISED_FROM[1](exc)
        if issubclass(type(context), (StopIteration, StopAsyncIteration)):
            told.__context__ = None  # how a stream told us its end, not what went wrong
        return "".join(told.format())
    except BaseException as failure:
        if is_callers(failure):
            raise
        return None


def _saying(exc: BaseException, said: str) -> BaseException:
    """
    Give what Python writes *exc* by, without asking that for its message once more.
    """
    made = Exception(str.__str__(said))
    made.__cause__, made.__context__ = (of(exc) for of in RAISED_FROM)
    made.__suppress_context__ = _suppresses(exc)
    notes = dict_of(exc).get("__notes__")
    if type(notes) is list:
        made.__notes__ = notes
    return made


def _is_pythons(exc: BaseException) -> bool:
    """
    Tell whether no code but Python's own says what *exc* says.
    """
    if issubclass(type(exc), (BaseExceptionGroup, SyntaxError)):
        return True  # which have more to show
    is_held = all(id(type(it)) in _PLAIN for it in args_of(exc))
    return is_held and _module_of(type(exc)) == "builtins"


_PLAIN = frozenset(map(id, (str, int, float, bool, type(None))))
_suppresses: "Any" = BaseException.__dict__["__suppress_context__"].__get__


def all_raised(exc: BaseException) -> "list[BaseException]":
    """
    Give *exc* and what it was raised from, or while; of very many, some.
    """
    found = {id(exc): exc}
    left = [exc]
    while left and len(found) <= _MOST_RAISED:
        it = left.pop()
        members = members_of(it) if issubclass(type(it), BaseExceptionGroup) else ()
        for other in (*[of(it) for of in RAISED_FROM], *members[:_MOST_RAISED]):
            if other is not None and id(other) not in found:
                found[id(other)] = other
                left.append(other)
    return list(found.values())


def type_of(value: object) -> str:
    """
    Name the type of *value*, without asking its metaclass.
    """
    return str.__str__(_qualname_of(type(value)))


def each_in(
    group: BaseException,
) -> "tuple[list[BaseException], list[BaseException]]":
    """
    Give a group and those in it, and what else is in them, each once: it may be in many.
    """
    groups, found = {id(group): group}, {}
    left = [group]
    while left:
        for it in members_of(left.pop()):
            if not issubclass(type(it), BaseExceptionGroup):
                found[id(it)] = it
            elif id(it) not in groups:
                groups[id(it)] = it
                left.append(it)
    return list(groups.values()), list(found.values())


def has_texts(held: "list[Any]") -> bool:
    """
    Tell whether an exception holds texts by names, as they may be in its message.
    """
    return any(type(item) is str for name, item in held if name != "args")


def has_other_text(held: "list[Any]", shown: "Any") -> bool:
    """
    Tell whether a function has another text in place of one that an exception holds by
    name, as it does among what it was made of, and in its message.
    """
    return type(shown) is dict and any(
        type(item) is str and (type(it := shown.get(name)) is not str or it != item)
        for name, item in held
        if name != "args"
    )


def cancellations() -> "tuple[type[BaseException], ...]":
    """
    Give the exception types by which the loaded async libraries cancel.
    """
    known = (("asyncio.exceptions", "CancelledError"), ("trio", "Cancelled"))
    loaded = [(sys.modules.get(module), name) for module, name in known]
    # of a module that another thread is importing there may be nothing yet
    return tuple(getattr(it, name) for it, name in loaded if hasattr(it, name))


def is_callers(exc: BaseException) -> bool:
    """
    Tell whether what a value's own code raised is for the caller all the same: an
    interrupt, a body being closed, or what a signal's handler raised.

    All else is a failure of that code. A task's own cancellation comes where it awaits,
    and a value is looked at without that, but in a greenlet.
    """
    if issubclass(type(exc), (KeyboardInterrupt, GeneratorExit)):
        return True
    return is_of_signal(exc) or is_of_greenlet(exc)


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
    found = (names_in(base).get("__call__") for base in bases_of(type(handler)))
    call = next((it for it in found if it is not None), None)
    if type(call) is FunctionType and not class_has(type(handler), "__wrapped__"):
        return call.__code__  # an object of the application's, which is not asked
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


def length_of(text: str) -> int:
    """
    Give how long *text* was before `cut`.
    """
    found = _CUT.search(text[-_MARK:])
    return len(text) if found is None else len(text) - len(found[0]) + int(found[1])


def _escaped(char: str) -> str:
    return char.encode("unicode_escape", "surrogatepass").decode("ascii")
