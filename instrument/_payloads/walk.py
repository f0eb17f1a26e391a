"""
The walk of one redactor through one payload, as `fields` opens it: containers are rebuilt,
objects told as their fields where something in them is masked.

A key is asked for its ``repr`` only where that is told, and once.
"""

from functools import partial

from instrument._payloads.field_names import aliased, aliases_of, as_left
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
from instrument._payloads.jsonable import said_once
from instrument._payloads.messages import PIECES, is_piece, without_subclass
from instrument._payloads.names import (
    MASK,
    MAY_BEGIN_JSON,
    NAME_TYPES,
    Names,
    Unsaid,
    is_of_names,
    is_of_pool,
    named,
    names_of,
    numbered,
    only_said,
    shows_by_class,
    without_private,
)
from instrument._payloads.texts import ARGUMENTS, DEPTH, Texts
from instrument._payloads.turns import is_failed, retold
from instrument._text import cut, has_other_text, has_texts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any, TypeAlias

    from instrument._payloads.fields import Opening
    from instrument._payloads.jsonable import Memo

    Left: TypeAlias = dict[int, tuple[dict[Any, Any], object]]
    Path: TypeAlias = tuple[str | int, ...]
    Redactor: TypeAlias = "Callable[[Any, Path], Any] | Names"

_MOST_OF_AN_OBJECT = 2_000
"""An object may lead to all that a program holds; more of it is not looked into."""
_MOST_MESSAGE = 200_000


def walked(
    redactor: "Redactor", value: object, path: "Path", said: "Memo", left: "Left"
) -> object:
    """
    Give *value* as that redactor leaves it.

    Args:
        said: What keys said of themselves, so that none is asked twice.
        left: Of which object the fields are that are told in its place, by the id of
            these, and of a mapping which keys are told as text: the next redactor knows
            by it what the class says of them, and what the keys are called.
    """
    names = redactor if type(redactor) is Names else None
    if names is not None:
        # the first word says which payload it is: inputs, token, data ...
        if path[1:] and names.masks(path[-1]):
            return MASK
        if path[0] in ("error", SAID) and type(value) is str:
            value = names.masked_text(cut(value, _MOST_MESSAGE))
    walk = _Walk(redactor, names, said, left)
    shown = walk.walked(value, path, DEPTH)
    if walk.has_met_itself and walk.changes:
        # what leads back to something that is masked cannot be shown as it is
        walk = _Walk(redactor, names, said, left, is_strict=True)
        shown = walk.walked(value, path, DEPTH)
    return shown


class _Walk(Texts):
    """
    One walk of one redactor through one payload, of at most so many values.

    Attributes:
        _asked: How often something was asked, which is not to be asked again.
        _keys: What keys with a hash of their own the last mapping had, by what stands for
            them; of one in which something is masked, that with what it is called.
        has_met_itself: Whether something in it leads back to what holds it.
    """

    def __init__(
        self,
        redactor: "Redactor",
        names: Names | None,
        said: "Memo",
        objects: "Left",
        *,
        is_strict: bool = False,
    ) -> None:
        super().__init__(names)
        self._above: Any = None
        self._ask: Any = redactor
        self._say = partial(said_once, memo=said)
        self._objects = objects
        self._open: set[int] = set()
        self._is_strict = is_strict
        self._keys: dict[Any, Any] = {}
        self.has_met_itself = False
        self._asked = 0

    def walked(self, value: "Any", path: "Path", depth: int) -> "Any":
        if self._names is None:
            changed = self._ask(value, path)
            if changed is not value:
                self.changes += 1
                changed = without_subclass(changed)
                if type(changed) is dict and id(value) in self._objects:
                    self._objects[id(changed)] = changed, self._objects[id(value)][1]
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

    def _opened(self, value: "Any", kind: "Any", path: "Path", depth: int) -> "Any":
        before, asked = self.changes, self._asked
        if kind is dict:
            return self._dict(value, path, depth)
        opening = opening_of(kind)
        told = opening.told
        if told is REPR or told is FIELDS:
            return self._object(value, opening, path, depth)
        if told is VALUE:
            return self._value(value, opening, path, depth)
        self.changes += shows_by_class(kind, self._ask, path)
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
        keys = self._keys if told is MAPPING else {}
        if opening.is_copied or kind is list or kind is tuple:
            if not opening.is_whole:  # for what holds it, and shows its ``repr``
                self._besides(value, opening, path, depth)
            return self._named(shown, keys)
        held = opening.attributes(value, self._left + 1)
        self._mapping(held, len(held), path, depth)
        is_same = self.changes == before and self._asked == asked
        return value if is_same else self._named(shown, keys)

    def _dict(self, value: "dict[Any, Any]", path: "Path", depth: int) -> "Any":
        before, asked = self.changes, self._asked
        pairs: Any = dict.items(value)
        if id(value) in self._objects:
            whole: Any = self._objects[id(value)][1]
            if type(whole) is not dict:
                return self._object(whole, opening_of(type(whole)), path, depth, value)
            pairs = [(whole.get(key, key), item) for key, item in pairs]
        shown = self._mapping(pairs, len(value), path, depth)
        if not self._keys:
            return shown
        is_same = self.changes == before and self._asked == asked
        return value if is_same else self._named(shown, self._keys)

    def _named(self, shown: "Any", keys: "dict[Any, Any]") -> "Any":
        """
        Name the keys of a mapping that have not been asked, and keep for the next
        redactor which they are: by their text it would not know what they are called.
        """
        told = named(shown, self._say, self._names)
        if keys and type(told) is dict:
            pairs = zip(told, shown, strict=True)
            left = {text: keys[key] for text, key in pairs if key in keys}
            self._objects[id(told)] = told, left
        return told

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

    def _value(
        self, value: "Any", opening: "Opening", path: "Path", depth: int
    ) -> "Any":
        """
        Walk a value, which is not told where it hides something masked: that may be made
        of what is told.
        """
        before, asked = self.changes, self._asked
        if shows_by_class(type(value), self._ask, path):
            return self._masked()
        held = opening.attributes(value, self._left + 1)
        self._mapping(held, len(held), path, depth)
        if self.changes != before:
            return self._masked()
        shown = self._told(value, opening, path, depth)
        is_same = self.changes == before and self._asked == asked
        return value if is_same else named(shown, self._say, self._names)

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

    def _mapping(
        self, pairs: "Iterable[Any]", count: int, path: "Path", depth: int
    ) -> "Any":
        self._left -= count
        if self._left < 0:
            return self._masked()
        names, was_failed = self._names, self._has_failed
        self._has_failed = was_failed or (names is not None and is_failed(pairs))
        shown: dict[Any, Any] = {}
        keys: dict[Any, Any] = {}
        above = self._above
        for key, item in pairs:
            is_masked = names is not None and names.masks(key)
            kind, aliases = type(key), aliases_of(key)
            self._above = key if kind is str else None
            if id(kind) not in NAME_TYPES:
                text, known = self._key(key, shown, path, depth)
                key, keys[text] = text, known  # noqa: PLW2901
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
                is_call = type(key) is str and key in ARGUMENTS
                told = self._unread(item) if is_call else item
                shown[key] = self._cleared(told) if self._has_failed else told
            else:
                shown[key] = self.walked(item, path, depth)
        self._keys, self._above = keys, above
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
    ) -> "tuple[Any, Any]":
        """
        Give the text of a key that has a hash of its own, which is not asked, and what of
        it the next redactor knows; of one that is no name and of which nothing is masked,
        what stands for it until `_named`.
        """
        text, before = key_of(key), self.changes
        told: object = None
        if text is None or self._names is not None:
            told = self.walked(key, path, depth)
        if self.changes != before:
            text = None if text is None else key_of(told)
            text = numbered(text or f"<{name_of(key)}>", shown)
            return text, aliased(text, *names_of(key))
        if text is None and self._names is not None:
            return Unsaid(key), key
        if text is None:  # a path is of names
            self._asked += not is_of_names(key)
            text = self._say(key)
        return numbered(text, shown), key

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
        self,
        value: "Any",
        opening: "Opening",
        path: "Path",
        depth: int,
        given: "dict[Any, Any] | None" = None,
    ) -> "Any":
        """
        Walk the fields of an object, or what another redactor left of them; it stays
        what it is where nothing is masked.
        """
        before, names = self.changes, self._names
        is_by_class = shows_by_class(type(value), self._ask, path)
        self.changes += is_by_class
        told, shown = self._fields(value, opening, path, depth, given)
        is_opened = names is not None and names.opens and path[0] != "error"
        if opening.told is REPR:
            self.changes += is_opened
            if is_by_class or (
                is_opened and not issubclass(type(value), BaseException)
            ):
                shown = only_said(value, told, shown, self._say, computes=is_by_class)
        elif is_by_class:
            shown = without_private(shown)
        if self.changes == before:
            if path[0] != "metadata" or given is not None:
                return value if given is None else given
            self._asked += 1  # it is told at the end as well, and may hold more then
            if opening.told is REPR:
                return self._say(value)
        shown = named(shown, self._say, names)
        if opening.told is REPR:
            shown = {"type": name_of(value), **(shown if type(shown) is dict else {})}
        self._objects[id(shown)] = shown, value
        return shown

    def _fields(
        self,
        value: "Any",
        opening: "Opening",
        path: "Path",
        depth: int,
        given: "dict[Any, Any] | None",
    ) -> "tuple[list[Any], Any]":
        """
        Give the fields that are told, as they are and as they may be seen.
        """
        outer, names = self._left, self._names
        most = _MOST_OF_AN_OBJECT if opening.told is REPR else outer
        self._left = left = min(outer, most)
        told, kept = opening.fields(value, left + 1)
        is_error = issubclass(type(value), BaseException)
        # what the run's error says is masked as text, where that is told
        self.changes += not (opening.is_whole or (is_error and path[0] == "error"))
        before = self.changes
        held = self._mapping(kept, len(kept), path, depth)
        if opening.is_turn and names is not None and self.changes != before:
            told = retold(told, held, given)
        elif given is not None:
            told = as_left(told, given)
        if is_error:
            told = self._of_error(value, told, path)
        elif len(told) == _PAIR and issubclass(type(value), tuple):
            told = self._pair(told)
        was_failed = self._has_failed
        if is_error and names is not None and path[0] != "error":
            self._has_failed = True  # what it holds says what its message does
        shown = self._mapping(told, len(told), path, depth)
        self._has_failed = was_failed
        if is_error and names is None and has_other_text(told, shown):
            shown["args"] = self._masked()  # as for names
        self._left = outer - (left - self._left)
        return told, shown

    def _pair(self, told: "list[Any]") -> "list[Any]":
        is_named = self._is_named(told[0][1])
        return [told[0], (told[1][0], self._masked())] if is_named else told

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
        stated, left = names.without_parameters(held), (self._left, self._chars)
        self.changes += stated is not held
        cleared = [(name, self._cleared(item)) for name, item in stated]
        self._left, self._chars = left  # they are walked yet
        return [*cleared, *args]


SAID = "repr"  # the path of what an object says of itself
STORED = "stored"
"""The path of what was written as JSON, in which a tuple is a list."""
_PAIR = 2
