"""
The walk of one redactor through one payload, as `fields` opens it: containers are rebuilt,
objects told as their fields where something in them is masked.

A key is asked for its ``repr`` only where that is told, and once.
"""

from instrument._payloads.field_names import aliases_of
from instrument._payloads.fields import (
    FIELDS,
    MAPPING,
    REPR,
    VALUE,
    Unreadable,
    is_of_pairs,
    json_in,
    key_of,
    name_of,
    opening_of,
    read,
)
from instrument._payloads.jsonable import jsonable, said_of
from instrument._payloads.messages import PIECES, is_half, is_piece, without_subclass
from instrument._payloads.names import (
    MASK,
    MAY_BEGIN_JSON,
    MOST_JSON,
    NAME_TYPES,
    Names,
    Unsaid,
    each_once,
    is_of_names,
    is_of_pool,
    may_be_json,
    numbered,
    only_said,
    shows_by_class,
    without_private,
)
from instrument._payloads.turns import is_failed, retold
from instrument._text import cut, has_other_text, has_texts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any, TypeAlias

    from instrument._payloads.fields import Opening
    from instrument._payloads.jsonable import Memo

    Path: TypeAlias = tuple[str | int, ...]
    Redactor: TypeAlias = "Callable[[Any, Path], Any] | Names"

_DEPTH = 32
_MOST_VALUES = 100_000
_MOST_OF_AN_OBJECT = 2_000
"""An object may lead to all that a program holds; more of it is not looked into."""
_MOST_READ = 4_000_000
"""The most characters of JSON, and of messages, that are looked through in one payload."""
_MOST_MESSAGE = 200_000
_ARGUMENTS = frozenset(("arguments", "args", "input", "input_str", "partial_json"))


def walked(redactor: "Redactor", value: object, path: "Path", said: "Memo") -> object:
    """
    Give *value* as that redactor leaves it.

    Args:
        said: What keys said of themselves, so that none is asked twice.
    """
    names = redactor if type(redactor) is Names else None
    if names is not None:
        # the first word says which payload it is: inputs, token, data ...
        if path[1:] and names.masks(path[-1]):
            return MASK
        if path[0] in ("error", SAID) and type(value) is str:
            value = names.masked_text(cut(value, _MOST_MESSAGE))
    walk = _Walk(redactor, names, said)
    shown = walk.walked(value, path, _DEPTH)
    if walk.has_met_itself and walk.changes:
        # what leads back to something that is masked cannot be shown as it is
        walk = _Walk(redactor, names, said, is_strict=True)
        shown = walk.walked(value, path, _DEPTH)
    return shown


class _Walk:
    """
    One walk of one redactor through one payload, of at most so many values.

    Attributes:
        _asked: How often something was asked, which is not to be asked again.
        _has_failed: Whether this is a failed tool's result, whose texts an error says.
        _has_odd_keys: Whether the last mapping had a key with a hash of its own.
        changes: How often something was masked, changed or not looked into.
        has_met_itself: Whether something in it leads back to what holds it.
    """

    __slots__ = (
        "_above",
        "_ask",
        "_asked",
        "_chars",
        "_has_failed",
        "_has_odd_keys",
        "_is_strict",
        "_left",
        "_names",
        "_open",
        "_said",
        "changes",
        "has_met_itself",
    )

    def __init__(
        self,
        redactor: "Redactor",
        names: Names | None,
        said: "Memo",
        *,
        is_strict: bool = False,
    ) -> None:
        self._above: Any = None
        self._ask: Any = redactor
        self._names = names
        self._said = said
        self._left = _MOST_VALUES
        self._chars = _MOST_READ
        self._open: set[int] = set()
        self._is_strict = is_strict
        self._has_failed = self._has_odd_keys = False
        self._asked = self.changes = 0
        self.has_met_itself = False

    def walked(self, value: "Any", path: "Path", depth: int) -> "Any":
        if self._names is None:
            changed = self._ask(value, path)
            if changed is not value:
                self.changes += 1
                return without_subclass(changed)
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
        before, asked = self.changes, self._asked
        if kind is dict:
            shown = self._mapping(dict.items(value), len(value), path, depth)
            if not self._has_odd_keys:
                return shown
            is_same = self.changes == before and self._asked == asked
            return value if is_same else self._named(shown)
        opening = opening_of(kind)
        told = opening.told
        if told is REPR or told is FIELDS:
            return self._object(value, opening, path, depth)
        self.changes += shows_by_class(kind, self._ask, path)
        if told is VALUE:
            shown = self._told(value, opening, path, depth)
        else:
            self._asked += opening.is_copied
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
            return self._named(shown)
        held = opening.attributes(value, self._left + 1)
        self._mapping(held, len(held), path, depth)
        is_same = self.changes == before and self._asked == asked
        return value if is_same else self._named(shown)

    def _besides(
        self, value: "Any", opening: "Opening", path: "Path", depth: int
    ) -> None:
        """
        Look into what a mapping holds besides its entries, which is not told.
        """
        outer = self._left
        self._left = left = min(outer, _MOST_OF_AN_OBJECT)
        held = opening.attributes(value, self._left + 1)
        self._mapping(held, len(held), path, depth)
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
        if not is_told or not may_be_json(text):
            return self._cleared(text) if self._has_failed else text
        if depth == 0:
            return self._masked()
        if len(text) > MOST_JSON:
            return self._unread(text)
        if not self._has_room(text):
            return self._masked()
        import json

        before = self.changes
        try:
            held = json.loads(text, object_pairs_hook=each_once)
        except (ValueError, RecursionError):
            return self._unread(text)
        shown = self.walked(held, path, depth - 1)
        if self.changes == before:
            return text
        return json.dumps(jsonable(shown), ensure_ascii=False)

    def _unread(self, text: str) -> str:
        """
        Show what is nearly JSON, half of it perhaps, only where it names nothing, and to
        a function nothing of it; of what is long, the beginning.
        """
        if len(text) > MOST_JSON:
            self.changes += 1
            text = cut(text, MOST_JSON)
        names = self._names
        if names is None:
            return self._masked() if is_half(text) else text
        is_seen = self._has_room(text) and "\\u" not in text
        if not is_seen or names.are_in(text):
            return self._masked()
        return self._cleared(text) if self._has_failed else text

    def _has_room(self, text: str) -> bool:
        self._chars -= len(text)
        return self._chars >= 0

    def _mapping(
        self, pairs: "Iterable[Any]", count: int, path: "Path", depth: int
    ) -> "Any":
        self._left -= count
        if self._left < 0:
            return self._masked()
        names, was_failed = self._names, self._has_failed
        self._has_failed = was_failed or (names is not None and is_failed(pairs))
        shown: dict[Any, Any] = {}
        has_odd_keys, above = False, self._above
        for key, item in pairs:
            is_masked = names is not None and names.masks(key)
            kind, aliases = type(key), aliases_of(key)
            self._above = key if kind is str else None
            if id(kind) not in NAME_TYPES:
                has_odd_keys = True
                key = self._key(key, shown, path, depth)  # noqa: PLW2901
            elif names is not None and (
                kind is bytes or (kind is str and key[:1] in MAY_BEGIN_JSON)
            ):
                key = self._json_key(key, shown, path, depth)  # noqa: PLW2901
            is_text = kind is str and type(item) is str
            if is_text and key in PIECES and is_piece(key, item, pairs, above):
                told = f"<piece of a tool call, {len(item):,} characters>"
                shown[key] = self._masked(told)
            elif names is None:
                shown[key] = self._by_each((key, *aliases), item, path, depth)
            elif is_masked:
                shown[key] = self._masked()
            elif type(item) is str and item[:1] not in MAY_BEGIN_JSON:
                is_call = type(key) is str and key in _ARGUMENTS
                told = self._unread(item) if is_call else item
                shown[key] = self._cleared(told) if self._has_failed else told
            else:
                shown[key] = self.walked(item, path, depth)
        self._has_odd_keys, self._above = has_odd_keys, above
        self._has_failed = was_failed
        return shown

    def _by_each(self, names: "Any", item: "Any", path: "Path", depth: int) -> "Any":
        """
        Ask a function of a field by each name that it has, until it changes something.
        """
        before, shown = self.changes, item
        for name in names:
            if self.changes == before:
                shown = self.walked(item, (*path, name), depth)
        return shown

    def _key(
        self, key: "Any", shown: "dict[Any, Any]", path: "Path", depth: int
    ) -> "str | Unsaid":
        """
        Give the text of a key that has a hash of its own, which is not asked; of one that
        is no name and of which nothing is masked, what stands for it until `_named`.
        """
        text, before = key_of(key), self.changes
        told: object = None
        if text is None or self._names is not None:
            told = self.walked(key, path, depth)
        if self.changes != before:
            text = None if text is None else key_of(told)
            text = text or f"<{name_of(key)}>"
        elif text is None and self._names is not None:
            return Unsaid(key)
        elif text is None:  # a path is of names
            self._asked += not is_of_names(key)
            text = self._said_by(key)
        return numbered(text, shown)

    def _named(self, shown: "Any") -> "Any":
        """
        Name the keys that have not been asked, now that they are told.
        """
        if type(shown) is not dict or Unsaid not in map(type, shown):
            return shown
        named: dict[Any, Any] = {}
        for key, item in shown.items():
            if type(key) is Unsaid:
                key = numbered(self._said_by(key.key), named)  # noqa: PLW2901
            named[key] = item
        return named

    def _said_by(self, key: object) -> str:
        known = self._said.get(id(key))
        if known is None:
            known = self._said[id(key)] = key, said_of(key, self._said)
        return known[1]

    def _json_key(
        self, key: "Any", shown: "dict[Any, Any]", path: "Path", depth: int
    ) -> "Any":
        before = self.changes
        told = self.walked(key, path, depth)
        return key if self.changes == before else numbered(key_of(told), shown)

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
        elif (
            count == _PAIR
            and (is_of_pairs(kind) or path[0] == STORED)
            and self._is_named(items[0])
        ):
            shown = [items[0], self._masked()]
        else:
            shown = [self._item(item, path, depth) for item in items]
        if kind is set or kind is frozenset:
            is_hashed = all(id(type(item)) in NAME_TYPES for item in shown)
            return kind(shown) if is_hashed else shown
        return tuple(shown) if issubclass(kind, tuple) else shown

    def _item(self, item: "Any", path: "Path", depth: int) -> "Any":
        """
        Walk one of a sequence, in which a list of two may be a name and its value.
        """
        kind = type(item)
        if kind is str and item[:1] not in MAY_BEGIN_JSON:
            return self._cleared(item) if self._has_failed else item
        if kind is list and len(item) == _PAIR and self._is_named(item[0]):
            return [item[0], self._masked()]
        return self.walked(item, path, depth)

    def _is_named(self, first: object) -> bool:
        names, kind = self._names, type(first)
        is_other = kind is int or kind is float or kind is tuple
        return not is_other and names is not None and names.masks(first)

    def _object(
        self, value: "Any", opening: "Opening", path: "Path", depth: int
    ) -> "Any":
        """
        Walk the fields of an object; it stays what it is where nothing is masked.
        """
        before, outer, names = self.changes, self._left, self._names
        is_by_class = shows_by_class(type(value), self._ask, path)
        self.changes += is_by_class
        most = _MOST_OF_AN_OBJECT if opening.told is REPR else outer
        self._left = left = min(outer, most)
        told, kept = opening.fields(value, left + 1)
        is_error = issubclass(type(value), BaseException)
        # what the run's error says is masked as text, where that is told
        self.changes += not (opening.is_whole or (is_error and path[0] == "error"))
        if len(told) == _PAIR and issubclass(type(value), tuple):
            if self._is_named(told[0][1]):
                told = [told[0], (told[1][0], self._masked())]
        elif is_error:
            told = self._of_error(value, told, path)
        held = self._mapping(kept, len(kept), path, depth)
        if opening.is_turn and names is not None and self.changes != before:
            told = retold(told, held)
        shown = self._mapping(told, len(told), path, depth)
        if is_error and names is None and has_other_text(told, shown):
            shown["args"] = self._masked()  # as for names
        self._left = outer - (left - self._left)
        is_opened = names is not None and names.opens and path[0] != "error"
        self.changes += is_opened and opening.told is REPR
        if opening.told is REPR and (is_by_class or (is_opened and not is_error)):
            shown = only_said(value, told, shown, self._said_by, computes=is_by_class)
        elif is_by_class:
            shown = without_private(shown)
        if self.changes == before:
            if path[0] != "metadata":
                return value
            self._asked += 1  # it is told at the end as well, and may hold more then
            if opening.told is REPR:
                return self._said_by(value)
        shown = self._named(shown)
        if opening.told is REPR:
            return {"type": name_of(value), **(shown if type(shown) is dict else {})}
        return shown

    def _of_error(self, error: "Any", held: "list[Any]", path: "Path") -> "list[Any]":
        """
        Mask all that an exception was made of, where one of its fields is masked:
        `BaseException` keeps that as ``args``, under no name. Else what its texts say
        under such a name, as in the message of a run's error, which is told elsewhere.
        """
        names = self._names
        if path[0] != "error" and is_of_pool(error):
            return [("args", self._masked())]
        if names is None:
            return held
        is_named = any(names.masks(it) and item is not None for it, item in held)
        # a function may have others in the place of texts
        hides = is_named or (path[0] != "error" and names.opens and has_texts(held))
        args = [("args", self._masked())] if hides else []
        if path[0] == "error":
            return [*held, *args]
        stated, left = names.without_parameters(held), self._left
        self.changes += stated is not held
        cleared = [(name, self._cleared(item)) for name, item in stated]
        self._left = left  # they are walked yet
        return [*cleared, *args]

    def _cleared(self, item: "Any", depth: int = _DEPTH) -> "Any":
        kind: Any = type(item)
        names: Any = self._names
        if kind is tuple or kind is list:
            self._left -= len(item)
            if self._left < 0 or depth == 0:
                return self._masked()
            words = names.without_options(item)
            self.changes += words is not item
            return kind([self._cleared(it, depth - 1) for it in words])
        if kind is bytes:
            text = self._cleared(item.decode("latin-1"), depth)
            return str.encode(text, "latin-1")
        if kind is not str:
            return item
        if len(item) > MOST_JSON or not self._has_room(item):
            return self._masked()
        text = names.masked_text(item)
        self.changes += text != item
        return text


SAID = "repr"  # the path of what an object says of itself
STORED = "stored"
"""The path of what was written as JSON, in which a tuple is a list."""
_PAIR = 2
