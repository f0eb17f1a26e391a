"""
Keep values from handlers: `Secret`, and the ``redact=`` of a block.

It fails closed: a redactor that fails drops the whole payload, and what cannot be looked
into is not shown.
"""

import re
from functools import lru_cache, partial

from instrument import _report
from instrument._payloads.event import has_objects
from instrument._payloads.fields import opening_of
from instrument._payloads.jsonable import Asked, jsonable, text_of
from instrument._payloads.messages import without_subclass
from instrument._payloads.names import MASK, NAME_TYPES, Names, is_of_pool, words_of
from instrument._payloads.walk import SAID, walked
from instrument._state import muted
from instrument._text import (
    args_of,
    cut,
    dict_of,
    has_texts,
    is_sayable,
    safe_repr,
    safe_str,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Protocol

    from instrument._payloads.jsonable import Memo
    from instrument._payloads.walk import Left, Path, Redactor
    from instrument._runs.run import Run

    class Audience(Protocol):
        capture: bool
        redactors: "tuple[Redactor, ...]"


_NOTHING = object()
DROPPED = "[dropped: the redactor failed]"
_MOST_TEXT = 10_000
_MOST_MESSAGE = 100_000
_MOST_TRACEBACK = 16_000
_MOST_HELD = 1_000
_MOST_JOINED = 100
_NOT_YET = "told later"
"""The path of metadata, of which what objects say is not told yet."""
_PLACE = re.compile(r'^[|+ ]{0,99}File "[^"\n]*", line \d+, in .*$', re.MULTILINE)
TRACEBACK = "__instrument_traceback__"
"""The mark with the traceback of what was raised in another process."""


OPENED = Names((), opens=True)
"""Masks nothing, and has plain objects told as their fields."""


def masked_all(value: "Any", path: "Path") -> "Any":
    """
    Mask whatever there is: a redactor for where it is not known what to mask.
    """
    return MASK if path[1:] else value


class Secret:
    """
    Mark a parameter whose value no handler may see: ``key: Annotated[str, Secret]``.
    """


class Metadata(dict["str", "Any"]):
    """
    The metadata of a run where something is redacted, also what its body puts there.

    A copy is a plain dict of what handlers may see, whatever was put into the containers
    and objects in it since.
    """

    __slots__ = ("_before", "_redactors")

    def __init__(
        self, given: "dict[str, Any]", redactors: "tuple[Redactor, ...]"
    ) -> None:
        self._redactors = redactors
        self._before: dict[Path, Any] = {}
        self.update(given)

    def __setitem__(self, name: str, value: "Any") -> None:
        self.update({name: value})

    def setdefault(self, name: str, default: "Any" = None) -> "Any":
        if name not in self:
            self[name] = default
        return self.get(name)

    def update(self, *given: "Any", **named: "Any") -> None:
        super().update(self._shown(dict(*given, **named)))

    def copy(self) -> "dict[str, Any]":
        is_settled = all(id(type(it)) in NAME_TYPES for it in self.values())
        return dict(self) if is_settled else self._shown(dict(self))

    def __ior__(self, given: "Any") -> "Any":  # type: ignore[misc]
        self.update(given)
        return self

    def __reduce__(self) -> "Any":
        return dict, (self.copy(),)

    def _shown(self, given: "dict[str, Any]") -> "dict[str, Any]":
        shown = redacted(given, self._redactors, ("metadata",), self._before)
        return shown if type(shown) is dict else {}


def as_redactor(given: object) -> "Redactor":
    """
    Make a redactor of a function ``(value, path) -> value`` or a list of names.

    Raises:
        TypeError: For anything else.
        ValueError: For a name without a letter or digit.
    """
    if isinstance(given, (list, tuple, set, frozenset)):
        for name in given:
            if not isinstance(name, str):
                message = (
                    "callbacks(redact=...) takes a function (value, path) -> value or a"
                    f" list of names to mask, and {safe_repr(name)} in the list is no"
                    ' name. Give strings: redact=["password"].'
                )
                raise TypeError(message)
            if not words_of(name):
                message = (
                    f"callbacks(redact=[...]) cannot mask by the name {safe_repr(name)},"
                    " which has no letter or digit: it would mask nothing. Name a"
                    ' field: redact=["password"].'
                )
                raise ValueError(message)
        return Names(given)
    if callable(given) and not isinstance(given, type):
        return given
    message = (
        "callbacks(redact=...) takes a function (value, path) -> value or a list of"
        f" names to mask, not {safe_repr(given)}."
    )
    if isinstance(given, str):
        message += f" Of one name: redact=[{safe_repr(given)}]."
    raise TypeError(message)


def redacted(
    value: object,
    redactors: "tuple[Redactor, ...]",
    path: "Path",
    before: "dict[Path, Any] | None" = None,
    said: "Memo | None" = None,
) -> "Any":
    """
    Give *value* as handlers may see it.

    Args:
        value: A payload. What it holds is walked as `fields` opens it; containers are
            rebuilt, objects told as their fields where something changed in them or
            could not be looked into. The original is never touched.
        redactors: Asked for every value, containers before what they hold.
        path: Where the value stands: ``("inputs", "user", "password")``.
        before: What functions gave the last time, of a payload that is redacted more
            than once, as a body may change it: of that, a hash perhaps, they are not
            asked.
        said: What `asked_for` gave, where others redact it as well.
    """
    if not redactors:
        return value
    redactor = redactors[0]  # what is reported where memory is full
    with muted():  # a redactor may call what is traced
        try:
            said = asked_for(redactors) if said is None else said
            given: dict[Path, Any] = {}
            objects: Left = {}
            order: Any = redactors if len(redactors) == 1 else _in_order(redactors)
            left = len(order)
            for redactor in order:
                ask: Any = redactor
                is_names, left = type(redactor) is Names, left - 1
                if before is not None and not is_names:
                    ask = partial(_asked, redactor, before, given)
                at = path
                if left and path[0] == "metadata":  # the last tells what objects say
                    at = (_NOT_YET, *path[1:])
                    ask = ask if is_names else partial(_at, path[0], ask)
                value = walked(ask, value, at, said, objects)
            if before is not None:
                before.update(given)
        except BaseException as exc:
            _report.unread(redactor, f"redact of {path[0]}", exc)
            return DROPPED
    return value


def _in_order(redactors: "tuple[Redactor, ...]") -> "list[Redactor]":
    """
    Give lists of names that follow one another as one redactor: the first leaves of an
    object in which it masks something the fields alone, and the next would not know what
    its class calls them, nor what that has. Functions keep their place: they may hide an
    object by what it is.
    """
    order: list[Any] = []
    for each in redactors:
        if order and type(each) is type(order[-1]) is Names:
            both = order.pop(), each
            order.append(_joined(tuple((it.names, it.opens) for it in both)))
        else:
            order.append(each)
    return order


@lru_cache(maxsize=_MOST_JOINED)
def _joined(lists: "tuple[tuple[frozenset[str], bool], ...]") -> Names:
    names = frozenset[str]().union(*(names for names, _ in lists))
    return Names(names, opens=any(opens for _, opens in lists))


def _at(first: str, ask: "Any", value: "Any", path: "Path") -> "Any":
    return ask(value, (first, *path[1:]))


def _asked(
    redactor: "Any",
    before: "dict[Path, Any]",
    given: "dict[Path, Any]",
    value: "Any",
    path: "Path",
) -> "Any":
    known = before.get(path, _NOTHING)
    is_text = type(value) is str is type(known)
    if value is known or (is_text and value == known):
        return value
    shown = redactor(value, path)
    if shown is not value:
        given[path] = without_subclass(shown)
    return shown


def given_text(shown: "Any") -> str:
    """
    Give what a redactor has made of a text: a text, or else how it shows itself.
    """
    is_text = issubclass(type(shown), str)
    return str.__str__(shown) if is_text else safe_repr(shown, limit=_MOST_TEXT)


def asked_for(redactors: "tuple[Redactor, ...]") -> "Memo":
    """
    Give where to keep what objects say of themselves, for who tells it: shown as the
    message of an error is, which may name what stands in it.
    """
    if not redactors:
        return {}
    made = Asked()
    made.shown = partial(_shown_text, redactors)
    return made


def _shown_text(redactors: "tuple[Redactor, ...]", text: str) -> str:
    try:
        for redactor in redactors:
            if type(redactor) is Names:
                text = redactor.masked_text(text)  # all that a walk of it would find
            else:
                text = given_text(redacted(text, (redactor,), (SAID,)))
    except BaseException as exc:  # pragma: no cover - memory is full just here
        _report.unread(redactor, "redact of a repr", exc)
        return DROPPED
    return text


def emitted(
    name: str, shown: "Any", redactors: "tuple[Redactor, ...]", *, is_inner: bool
) -> "Any":
    """
    Give what is emitted under that name, which may be masked by it.

    Args:
        shown: That, redacted.
        is_inner: Whether that is in a block which may mask more than its run: handlers,
            which know what is masked in the run, are given no objects then.
    """
    if shown is None or not redactors:
        return shown
    if any(type(it) is Names and it.masks(name) for it in redactors):
        return MASK
    if is_inner and has_objects({"": shown}):
        return jsonable(shown, memo=asked_for(redactors))
    return shown


def said_by(exc: BaseException, audience: "Audience") -> str | None:
    """
    Give the message of *exc* as handlers may see it: made anew of its arguments, where
    something in them is masked. None where no payload is told.
    """
    if not audience.capture:
        return None
    if not audience.redactors:
        return _text_of(exc)
    if is_of_pool(exc):
        return given_text(redacted(_places_in(exc), audience.redactors, ("error",)))
    shown = redacted(exc, audience.redactors, ("error",))
    if shown is exc:
        return given_text(redacted(_text_of(exc), audience.redactors, ("error",)))
    said = shown.get("args", MASK) if type(shown) is dict else shown
    if type(said) is tuple and len(said) == 1:
        said = said[0]
    if type(said) is not str:
        text = text_of(said, _MOST_TEXT, asked_for(audience.redactors))
    else:
        said = cut(said, _MOST_MESSAGE)
        text = repr(said) if issubclass(type(exc), KeyError) else said
    for redactor in audience.redactors:
        if type(redactor) is Names:
            text = redactor.masked_text(text)
    return text


def _places_in(exc: BaseException) -> str:
    """
    Give where it was raised there, without what it said.
    """
    return "\n".join(["", *_PLACE.findall(_text_of(exc)), MASK])


def said_of_attempt(exc: BaseException, audience: "Audience") -> str | None:
    """
    Give what the error of an attempt says, as `said_by`; nothing of it where that may
    hold what a function in another process hides, which has only that text.
    """
    if audience.capture and any(it is OPENED for it in audience.redactors):
        held, _ = opening_of(type(exc)).fields(exc, _MOST_HELD)
        is_plain = all(type(it) is str or type(it) is int for it in args_of(exc))
        if has_texts(held) or not is_plain:
            return MASK
    return said_by(exc, audience)


def error_of(run: "Run") -> str | None:
    """
    Give what *run*'s error says, as `said_by`: it is asked once, whoever tells it.
    """
    if run._said is None and run.error is not None:
        run._said = said_by(run.error, run._audience)
    return run._said


def traceback_text(run: "Run") -> str | None:
    """
    Give the traceback of what was raised in *run*, as handlers may see it: no local
    values, and of one that is too long its end. None where that was raised elsewhere, or
    the run has not failed, but was left.
    """
    exc = run.error
    if exc is None or not run.error_origin or run.status != "error":
        return None
    show = run._audience.shows()
    text: object = remote_traceback(exc)
    if text is None:
        text = _report.written(exc, show=show, said=error_of(run))
    elif show is not None:
        text = show(text)
    if type(text) is not str:
        return None
    over = len(text) - _MOST_TRACEBACK
    return text if over <= 0 else f"… [{over} characters left out]\n{text[over:]}"


def remote_traceback(exc: BaseException) -> str | None:
    """
    Give the traceback that *exc* had in the process where it was raised, as was told.
    """
    return dict.get(dict_of(exc), TRACEBACK)


def _text_of(exc: BaseException) -> str:
    """
    Give what *exc* says, with a limit; what Python would write all of that it was made
    of, where that is much, is written here.
    """
    given = args_of(exc)
    if is_sayable(exc):
        return cut(safe_str(exc), _MOST_MESSAGE)
    return text_of(given[0] if len(given) == 1 else given, _MOST_TEXT)
