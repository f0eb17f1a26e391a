"""
Keep values from handlers: `Secret`, and the ``redact=`` of a block.

It fails closed: a redactor that fails drops the whole payload, and what cannot be looked
into is not shown.
"""

from instrument import _report
from instrument._payloads.fields import (
    FIELDS,
    MAPPING,
    REPR,
    SPACES,
    VALUE,
    Unreadable,
    is_of_pairs,
    json_in,
    key_of,
    name_of,
    opening_of,
    read,
)
from instrument._payloads.jsonable import jsonable, repr_of, text_of
from instrument._payloads.names import MASK, Names, words_of
from instrument._state import muted
from instrument._text import args_of, cut, is_sayable, safe_repr, safe_str

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any, Protocol, TypeAlias

    from instrument._payloads.fields import Opening
    from instrument._runs.run import Run

    class Audience(Protocol):
        capture: bool
        redactors: "tuple[Redactor, ...]"

    Path: TypeAlias = tuple[str | int, ...]
    Redactor: TypeAlias = "Callable[[Any, Path], Any] | Names"

DROPPED = "[dropped: the redactor failed]"
_DEPTH = 32
_MOST_VALUES = 100_000
_MOST_OF_AN_OBJECT = 2_000
"""An object may lead to all that a program holds; more of it is not looked into."""
_MOST_JSON = 1_000_000
_MOST_TEXT = 10_000
_MOST_MESSAGE = 100_000
_ARGUMENTS = frozenset(("arguments", "args", "input", "input_str", "partial_json"))


class Secret:
    """
    Mark a parameter whose value no handler may see: ``key: Annotated[str, Secret]``.
    """


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


def redacted(value: object, redactors: "tuple[Redactor, ...]", path: "Path") -> "Any":
    """
    Give *value* as handlers may see it.

    Args:
        value: A payload. What it holds is walked as `fields` opens it; containers are
            rebuilt, objects told as their fields where something changed in them or
            could not be looked into. The original is never touched.
        redactors: Asked for every value, containers before what they hold.
        path: Where the value stands: ``("inputs", "user", "password")``.
    """
    if not redactors:
        return value
    redactor = redactors[0]  # what is reported where memory is full
    with muted():  # a redactor may call what is traced
        try:
            for redactor in redactors:
                value = _walked(redactor, value, path)
        except BaseException as exc:
            _report.unread(redactor, f"redact of {path[0]}", exc)
            return DROPPED
    return value


def said_by(exc: BaseException, audience: "Audience") -> str | None:
    """
    Give the message of *exc* as handlers may see it: made anew of its arguments, where
    something in them is masked. None where no payload is told.
    """
    if not audience.capture:
        return None
    if not audience.redactors:
        return _text_of(exc)
    shown = redacted(exc, audience.redactors, ("error",))
    if shown is exc:
        return safe_str(redacted(_text_of(exc), audience.redactors, ("error",)))
    said = shown.get("args", MASK) if type(shown) is dict else shown
    if type(said) is tuple and len(said) == 1:
        said = said[0]
    if type(said) is not str:
        text = text_of(said, _MOST_TEXT)
    else:
        said = cut(said, _MOST_MESSAGE)
        text = repr(said) if issubclass(type(exc), KeyError) else said
    for redactor in audience.redactors:
        if type(redactor) is Names:
            text = redactor.masked_text(text)
    return text


def error_of(run: "Run") -> str | None:
    """
    Give what *run*'s error says, as `said_by`: it is asked once, whoever tells it.
    """
    if run._said is None and run.error is not None:
        run._said = said_by(run.error, run._audience)
    return run._said


def _text_of(exc: BaseException) -> str:
    """
    Give what *exc* says, with a limit; what Python would write all of that it was made
    of, where that is much, is written here.
    """
    given = args_of(exc)
    if is_sayable(exc):
        return cut(safe_str(exc), _MOST_MESSAGE)
    return text_of(given[0] if len(given) == 1 else given, _MOST_TEXT)


def _walked(redactor: "Redactor", value: object, path: "Path") -> object:
    names = redactor if type(redactor) is Names else None
    if names is not None:
        # the first word says which payload it is: inputs, token, data ...
        if path[1:] and names.masks(path[-1]):
            return MASK
        if path[0] == "error" and type(value) is str:
            value = names.masked_text(value)
    walk = _Walk(redactor, names)
    shown = walk.walked(value, path, _DEPTH)
    if walk.has_met_itself and walk.changes:
        # what leads back to something that is masked cannot be shown as it is
        walk = _Walk(redactor, names, is_strict=True)
        shown = walk.walked(value, path, _DEPTH)
    return shown


class _Walk:
    """
    One walk of one redactor through one payload, of at most so many values.

    Attributes:
        changes: How often something was masked, changed or not looked into.
        has_met_itself: Whether something in it leads back to what holds it.
    """

    __slots__ = (
        "_ask",
        "_is_strict",
        "_left",
        "_names",
        "_odd_keys",
        "_open",
        "changes",
        "has_met_itself",
    )

    def __init__(
        self, redactor: "Redactor", names: Names | None, *, is_strict: bool = False
    ) -> None:
        self._ask: Any = redactor
        self._names = names
        self._left = _MOST_VALUES
        self._open: set[int] = set()
        self._is_strict = is_strict
        self._odd_keys = 0
        self.changes = 0
        self.has_met_itself = False

    def walked(self, value: "Any", path: "Path", depth: int) -> "Any":
        if self._names is None:
            changed = self._ask(value, path)
            if changed is not value:
                self.changes += 1
                return changed
        kind = type(value)
        if kind is str:
            return self._text(value, path, depth)
        if value is None or kind is int or kind is float or kind is bool:
            return value
        if depth == 0 or self._left < 0:
            return self._masked()  # too deep or too large to be looked into: not shown
        key = id(value)
        if key in self._open:
            self.has_met_itself = True
            self.changes += self._is_strict
            return f"<{name_of(value)} that holds this>"
        self._open.add(key)
        try:
            return self._opened(value, kind, path, depth - 1)
        finally:
            self._open.discard(key)

    def _masked(self, told: str = MASK) -> str:
        self.changes += 1
        return str.__str__(told)

    def _opened(self, value: "Any", kind: "Any", path: "Path", depth: int) -> "Any":
        if kind is dict:
            before, odd = self.changes, self._odd_keys
            shown = self._mapping(dict.items(value), len(value), path, depth)
            is_same = self._odd_keys != odd and self.changes == before
            return value if is_same else shown
        opening = opening_of(kind)
        told = opening.told
        if told is REPR or told is FIELDS:
            return self._object(value, opening, path, depth)
        before = self.changes
        if told is VALUE:
            shown = self._told(value, opening, path, depth)
        else:
            most = max(self._left, 0)
            take = opening.read
            found = read(value, take, most) if opening.asks else take(value, most)
            if type(found) is Unreadable:
                return self._masked(found)
            entries, count = found
            count = most + 1 if count is None else count
            if told is MAPPING:
                shown = self._mapping(entries, count, path, depth)
            else:
                shown = self._items(entries, count, kind, path, depth)
        if opening.is_copied or kind is list or kind is tuple:
            if not opening.is_whole:  # for what holds it, and shows its ``repr``
                self._besides(value, opening, path, depth)
            return shown
        self._mapping(held := opening.attributes(value), len(held), path, depth)
        return value if self.changes == before else shown

    def _besides(
        self, value: "Any", opening: "Opening", path: "Path", depth: int
    ) -> None:
        """
        Look into what a mapping holds besides its entries, which is not told.
        """
        outer = self._left
        self._left = left = min(outer, _MOST_OF_AN_OBJECT)
        self._mapping(held := opening.attributes(value), len(held), path, depth)
        self._left = outer - (left - self._left)

    def _told(
        self, value: "Any", opening: "Opening", path: "Path", depth: int
    ) -> "Any":
        """
        Walk what stands for a value: its text, its number.
        """
        before, text = self.changes, json_in(value, opening)
        if text is not None:
            shown = self._text(text, path, depth)
            return str.encode(shown) if self.changes != before else value
        inner = read(value, opening.read) if opening.asks else opening.read(value)
        if type(inner) is Unreadable:
            return self._masked(inner)
        return self.walked(inner, path, depth)

    def _text(self, text: str, path: "Path", depth: int) -> str:
        """
        Walk JSON: of a list of names all that looks so, else arguments of a tool.
        """
        is_told = self._names is not None or path[-1] in _ARGUMENTS
        if not is_told or text.lstrip(SPACES)[:1] not in _BEGINS_JSON:
            return text
        if depth == 0:
            return self._masked()
        import json

        if len(text) > _MOST_JSON:
            self.changes += 1
            return self._unread(cut(text, _MOST_JSON))
        before = self.changes
        try:
            held = json.loads(text, object_pairs_hook=_each_once)
        except (ValueError, RecursionError):
            return self._unread(text)
        shown = self.walked(held, path, depth - 1)
        if self.changes == before:
            return text
        return json.dumps(jsonable(shown), ensure_ascii=False)

    def _unread(self, text: str) -> str:
        """
        Show what is nearly JSON, half of it perhaps, only where it names nothing.
        """
        names = self._names
        if names is None or not ("\\u" in text or names.are_in(text)):
            return text
        return self._masked()

    def _mapping(
        self, pairs: "Iterable[Any]", count: int, path: "Path", depth: int
    ) -> "Any":
        self._left -= count
        if self._left < 0:
            return self._masked()
        names = self._names
        shown: dict[Any, Any] = {}
        for key, item in pairs:
            is_masked = names is not None and names.masks(key)
            kind = type(key)
            if id(kind) not in _NAME_TYPES:
                key = self._key(key, shown, path, depth)  # noqa: PLW2901
            elif names is not None and (
                kind is bytes or (kind is str and key[:1] in _MAY_BEGIN_JSON)
            ):
                key = self._json_key(key, shown, path, depth)  # noqa: PLW2901
            if names is None:
                shown[key] = self.walked(item, (*path, key), depth)
            elif is_masked:
                shown[key] = self._masked()
            elif type(item) is str and item[:1] not in _MAY_BEGIN_JSON:
                is_call = type(key) is str and key in _ARGUMENTS
                shown[key] = self._unread(item) if is_call else item
            else:
                shown[key] = self.walked(item, path, depth)
        return shown

    def _key(
        self, key: "Any", shown: "dict[Any, Any]", path: "Path", depth: int
    ) -> str:
        """
        Give the text of a key that has a hash of its own, which is not asked.
        """
        self._odd_keys += 1
        text, before = key_of(key), self.changes
        told: object = None
        if text is None or self._names is not None:
            told = self.walked(key, path, depth)
        if self.changes != before:
            text = None if text is None else key_of(told)
            text = text or f"<{name_of(key)}>"
        elif text is None:
            text = repr_of(key)
        return _numbered(text, shown)

    def _json_key(
        self, key: "Any", shown: "dict[Any, Any]", path: "Path", depth: int
    ) -> "Any":
        """
        Give a key that may be JSON, itself where nothing in it is masked.
        """
        before = self.changes
        told = self.walked(key, path, depth)
        return key if self.changes == before else _numbered(key_of(told), shown)

    def _items(
        self, items: "list[Any]", count: int, kind: "Any", path: "Path", depth: int
    ) -> "Any":
        self._left -= count
        if self._left < 0:
            return self._masked()
        if self._names is None:
            shown = [
                self.walked(item, (*path, index), depth)
                for index, item in enumerate(items)
            ]
        elif count == _PAIR and is_of_pairs(kind) and self._is_named(items[0]):
            shown = [items[0], self._masked()]
        else:
            shown = [self._item(item, path, depth) for item in items]
        if kind is list:
            return shown
        if kind is set or kind is frozenset:
            is_hashed = all(id(type(item)) in _NAME_TYPES for item in shown)
            return kind(shown) if is_hashed else shown
        return tuple(shown) if issubclass(kind, tuple) else shown

    def _item(self, item: "Any", path: "Path", depth: int) -> "Any":
        """
        Walk one of a sequence, in which a list of two may be a name and its value.
        """
        kind = type(item)
        if kind is str and item[:1] not in _MAY_BEGIN_JSON:
            return item
        if kind is list and len(item) == _PAIR and self._is_named(item[0]):
            return [item[0], self._masked()]
        return self.walked(item, path, depth)

    def _is_named(self, first: object) -> bool:
        names = self._names
        is_number = type(first) is int or type(first) is float
        return not is_number and names is not None and names.masks(first)

    def _object(
        self, value: "Any", opening: "Opening", path: "Path", depth: int
    ) -> "Any":
        """
        Walk the fields of an object; it stays what it is where nothing is masked.
        """
        before, outer = self.changes, self._left
        told, kept = opening.fields(value)
        if opening.told is REPR:
            self._left = min(outer, _MOST_OF_AN_OBJECT)
        left = self._left
        self.changes += not opening.is_whole
        if len(told) == _PAIR and issubclass(type(value), tuple):
            told = self._named_pair(told)
        elif issubclass(type(value), BaseException) and self._hides(told):
            told = [*told, ("args", self._masked())]
        shown = self._mapping(told, len(told), path, depth)
        self._mapping(kept, len(kept), path, depth)
        if opening.told is REPR:
            self._left = outer - (left - self._left)
        if self.changes == before:
            return value
        if opening.told is REPR:
            fields = shown if type(shown) is dict else {}
            return {"type": name_of(value), **fields}
        return shown

    def _hides(self, held: "list[Any]") -> bool:
        """
        Tell whether one of an exception's fields is masked: `BaseException` keeps what
        that was made of as ``args``, under no name.
        """
        names = self._names
        return names is not None and any(
            names.masks(name) and item is not None for name, item in held
        )

    def _named_pair(self, pair: "list[Any]") -> "list[Any]":
        (first, name), (second, _) = pair
        if not self._is_named(name):
            return pair
        return [(first, name), (second, self._masked())]


def _each_once(pairs: "list[tuple[str, Any]]") -> "dict[str, Any]":
    """
    Refuse an object that has a name twice: only the last of them would be looked into.
    """
    held = dict(pairs)
    if len(held) < len(pairs):
        message = "a name stands twice"
        raise ValueError(message)
    return held


def _numbered(text: "Any", shown: "dict[Any, Any]") -> str:
    """
    Give *text* as a key that there is not yet.
    """
    number, told = 1, text
    while told in shown:
        number += 1
        told = f"{text} ({number})"
    return told  # type: ignore[no-any-return]


_PAIR = 2
_BEGINS_JSON = frozenset('{["')
_MAY_BEGIN_JSON = frozenset((*_BEGINS_JSON, *SPACES))
_NAME_TYPES = frozenset(map(id, (str, int, float, bool, type(None), bytes)))
"""By id, as a metaclass may have a hash of its own."""
