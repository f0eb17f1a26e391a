"""
Exceptions on their way between processes: as JSON, and made anew on the other side.

Only Python's own classes and ours are: no other code runs to make one.
"""

import builtins
from functools import lru_cache

from instrument import exceptions
from instrument._payloads.jsonable import jsonable
from instrument._payloads.names import MASK
from instrument._payloads.redact import TRACEBACK, redacted
from instrument._text import all_raised, args_of, cut, safe_str, type_of
from instrument.exceptions import RemoteError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from instrument._payloads.walk import Redactor

_PLAIN = frozenset(map(id, (str, int, float, bool, type(None))))
"""By id, as a metaclass may have a hash of its own."""
_LONGEST = 100_000
_MOST_ARGS, _LONGEST_LIST, _MOST_BITS = 10, 1_000, 1_024
_LONGEST_NAME = 200
_MOST_HELD = 20
WORKER_LOST = "WorkerLost"


def written(exc: BaseException, *, is_shown: bool = True) -> "dict[str, Any]":
    """
    Write *exc* as JSON.

    Args:
        is_shown: Whether what it says may be seen as it is.
    """
    name = type_of(exc)
    made: dict[str, Any] = {"type": name, "own": _class_of(name) is type(exc)}
    if is_shown:
        made["message"] = safe_str(exc)[:_LONGEST]
        ours = getattr(exceptions, name, None) is type(exc)
        args = exc.__reduce__()[1] if ours else args_of(exc)
        if _are_plain(args):
            made["args"] = list(args)
    return made


def held_by(exc: BaseException, redactors: "tuple[Redactor, ...]") -> "Any":
    """
    Give what *exc*, and what it was raised from, hold besides plain texts: of each a
    dict for a function that looks at that where the work was sent from, and has of
    what they say only text. None where they hold nothing, True of very many.
    """
    raised = all_raised(exc)
    if len(raised) > _MOST_HELD:
        return True
    held = [_fields_of(it, redactors) for it in raised]
    return held if any(held) else None


def _fields_of(exc: BaseException, redactors: "tuple[Redactor, ...]") -> "Any":
    told = jsonable(redacted(exc, redactors, ("raised",)), text=_LONGEST)
    if type(told) is not dict:
        return told  # it could not be looked into
    is_said = all(id(type(it)) in _PLAIN for it in args_of(exc))
    left_out = ("type", "args") if is_said else ("type",)
    return {name: it for name, it in told.items() if name not in left_out}


def hidden_in(held: object, redactors: "tuple[Redactor, ...]") -> "list[bool]":
    """
    Tell of each in what `held_by` gave there, the error first, whether something in it
    is to be hidden, or could not be told.
    """
    if type(held) is not list or not held:
        return [True]
    return [
        type(it) is not dict
        or it.get("args") == MASK
        or jsonable(redacted(it, redactors, ("error",))) != it
        for it in held
    ]


def remade(
    told: "dict[str, Any]", message: str = "", traceback: object = None
) -> BaseException:
    """
    Make an exception of what is told of it, which may be anything.

    Args:
        message: What it says, where that is not told.
        traceback: As text, where it was told.
    """
    trace = cut(traceback, _LONGEST) if type(traceback) is str else ""
    made = _made(told, message, trace)
    if trace:
        made.__dict__[TRACEBACK] = trace
    return made


def _made(told: "dict[str, Any]", message: str, trace: str) -> BaseException:
    name, given = told.get("type"), told.get("message")
    name = name if type(name) is str else "Exception"
    message = given if type(given) is str else message
    args = told.get("args")
    cls = _class_of(name) if told.get("own") is True else None
    if cls is not None:
        is_told = type(args) is list and _are_plain(args)
        try:
            return cls(*args) if is_told else cls(message)  # type: ignore[misc]
        except Exception:  # noqa: S110 - one that is made otherwise
            pass
    return _named(name)(message, name, trace)


@lru_cache(100)
def _named(name: str) -> "type[RemoteError]":
    """
    Give a class of that name, by which records and reports tell it: with no module, as
    that is not told.
    """
    is_name = len(name) < _LONGEST_NAME and name.replace(".", "").isidentifier()
    name = name if is_name else "RemoteError"
    return type(name, (RemoteError,), {"__module__": "builtins"})


def lost(message: str) -> RemoteError:
    """
    Make what the open runs of a worker that is not heard any more end with.
    """
    return _named(WORKER_LOST)(message, WORKER_LOST)


def _class_of(name: str) -> "type[BaseException] | None":
    found = getattr(exceptions, name, None) or getattr(builtins, name, None)
    is_class = isinstance(found, type) and issubclass(found, BaseException)
    return found if is_class else None


def _are_plain(args: "Any") -> bool:
    """
    Tell whether JSON has all of *args*, lists of such included.
    """
    return len(args) <= _MOST_ARGS and all(
        len(it) <= _LONGEST_LIST and all(map(_is_plain, it))
        if type(it) is list or type(it) is tuple
        else _is_plain(it)
        for it in args
    )


def _is_plain(it: "Any") -> bool:
    if type(it) is str:
        return len(it) <= _LONGEST
    if type(it) is int:  # of more than 4,300 digits there is no text
        return it.bit_length() <= _MOST_BITS
    return id(type(it)) in _PLAIN
